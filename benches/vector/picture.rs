//! The curves as a picture: recall against queries a second, a panel for each set and number of threads.

use std::fmt::Write;
use std::path::Path;

use crate::curve::Curve;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 300.0;
const MARGIN: f64 = 56.0;
const PANELS_PER_ROW: usize = 2;

/// Recalls that the picture shows, with a line at each.
const RECALLS: [f64; 5] = [0.9, 0.95, 0.99, 0.999, 0.9999];

/// Legible on white and on black, and told apart by those who see no red or green.
const COLOURS: [(&str, &str); 5] = [
    ("millpond", "#d55e00"),
    ("hnswlib", "#0072b2"),
    ("faiss", "#009e73"),
    ("usearch-f32", "#cc79a7"),
    ("usearch-f16", "#999999"),
];

/// A title, and the curves of the engines.
pub type Panel = (String, Vec<(String, Curve)>);

/// Writes `benches/vector.svg`.
pub fn write(panels: &[Panel]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/vector.svg");
    match std::fs::write(&path, draw(panels)) {
        Ok(()) => println!("wrote {}", path.display()),
        Err(error) => println!("{}: {error}", path.display()),
    }
}

fn draw(panels: &[Panel]) -> String {
    let columns = PANELS_PER_ROW.min(panels.len()) as f64;
    let rows = panels.len().div_ceil(PANELS_PER_ROW) as f64;
    let (width, height) = (columns * (WIDTH + MARGIN), rows * (HEIGHT + MARGIN));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, (title, curves)) in panels.iter().enumerate() {
        let left = (number % PANELS_PER_ROW) as f64 * (WIDTH + MARGIN) + MARGIN;
        let top = (number / PANELS_PER_ROW) as f64 * (HEIGHT + MARGIN) + MARGIN / 2.0;
        line(
            &mut svg,
            format_args!("<g transform=\"translate({left} {top})\">"),
        );
        panel(&mut svg, title, curves);
        line(&mut svg, format_args!("</g>"));
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, title: &str, curves: &[(String, Curve)]) {
    let (inner, floor) = (WIDTH - MARGIN / 2.0, HEIGHT - MARGIN / 2.0);
    let shown = |curve: &Curve| -> Vec<(f64, f64)> {
        let points = curve.points().iter().filter(|point| point.recall >= RECALLS[0]);
        points.map(|point| (point.recall, point.per_second)).collect()
    };
    let speeds = || {
        let points = curves.iter().flat_map(|(_, curve)| shown(curve));
        points.map(|(_, speed)| speed)
    };
    let bottom = speeds().fold(f64::INFINITY, f64::min).min(1e3);
    let top = speeds().fold(0.0, f64::max).max(1e4);
    // Both axes are logarithmic: misses to the right, speed upwards.
    let nines = |recall: f64| -(1.0 - recall.min(RECALLS[4])).log10();
    let x =
        |recall: f64| (nines(recall) - nines(RECALLS[0])) / (nines(RECALLS[4]) - nines(RECALLS[0])) * inner;
    let y = |speed: f64| floor - (speed / bottom).ln() / (top / bottom).ln() * (floor - 10.0);

    line(
        svg,
        format_args!("<text y=\"-6\" font-weight=\"bold\">{title}</text>"),
    );
    for recall in RECALLS {
        let x = x(recall);
        line(
            svg,
            format_args!("<path d=\"M{x:.1} 0V{floor}\" stroke=\"#ddd\"/>"),
        );
        line(
            svg,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{recall}</text>",
                floor + 14.0
            ),
        );
    }
    for speed in [1e2, 2e2, 5e2, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5] {
        if (bottom..=top).contains(&speed) {
            let y = y(speed);
            line(
                svg,
                format_args!("<path d=\"M0 {y:.1}H{inner}\" stroke=\"#ddd\"/>"),
            );
            line(
                svg,
                format_args!(
                    "<text x=\"-4\" y=\"{:.1}\" text-anchor=\"end\">{speed}</text>",
                    y + 4.0
                ),
            );
        }
    }
    for (number, (engine, curve)) in curves.iter().enumerate() {
        let colour = COLOURS
            .iter()
            .find(|(name, _)| name == engine)
            .map_or("black", |(_, colour)| colour);
        let places: Vec<String> = shown(curve)
            .into_iter()
            .map(|(recall, speed)| format!("{:.1},{:.1}", x(recall), y(speed)))
            .collect();
        let places = places.join(" ");
        line(
            svg,
            format_args!(
                "<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            ),
        );
        let height = floor - 8.0 - 14.0 * (curves.len() - 1 - number) as f64;
        line(
            svg,
            format_args!("<text x=\"6\" y=\"{height}\" fill=\"{colour}\">{engine}</text>"),
        );
    }
    line(
        svg,
        format_args!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">recall@10; upwards queries/s</text>",
            inner / 2.0,
            floor + 27.0
        ),
    );
}

fn line(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(svg, "{text}");
}
