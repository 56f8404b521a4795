//! Nothing changes: queries a second at equal recall, one thread and two, against the best peer.

use crate::common::Goal;
use crate::curve::Curve;
use crate::data::{Clustered, Set, glove, icecat};
use crate::engine::{Filter, Own, Question, all, curves, load};
use crate::truth::{Contents, Grades};
use crate::{CLUSTERS, DIMENSIONS, Size, figure, judged, peers, picture};

const RECALLS: [f64; 3] = [0.95, 0.99, 0.999];

/// Above this there is nothing to compare.
const UNTIL: f64 = 0.9999;

pub fn run(size: &Size, draw: bool) {
    let clustered = Clustered::new(DIMENSIONS, CLUSTERS, 1).set(size.rows, size.queries);
    let sets: Vec<Set> = [Some(clustered), icecat(), glove()]
        .into_iter()
        .flatten()
        .collect();
    let mut panels = Vec::new();
    for set in &sets {
        let contents = Contents::all(&set.base);
        let grades = Grades::new(&contents, &set.queries);
        let changes: Vec<(u32, &[f32])> = contents.iter().collect();
        let mut own = Own::new(&set.queries);
        let mut peers = peers::start(&peers::ALL, &set.queries);
        let mut engines = all(&mut own, &mut peers);
        for (engine, work) in load(&mut engines, &changes) {
            let name = format!("{}: {engine} builds, 2 threads", set.name);
            figure(&name, changes.len() as f64 / work.seconds, "vectors/s");
        }
        for threads in [1, 2] {
            let question = Question {
                ef: None,
                threads,
                filter: Filter::None,
            };
            let measured = curves(&mut engines, &grades, question, UNTIL);
            report(&set.name, threads, &measured);
            panels.push((format!("{}, threads: {threads}", set.name), measured));
        }
    }
    if draw {
        picture::write(&panels);
    }
}

fn report(set: &str, threads: usize, measured: &[(String, Curve)]) {
    for (engine, curve) in measured {
        for point in curve.points() {
            let line = serde_json::json!({
                "bench": "vector",
                "set": set,
                "threads": threads,
                "engine": engine,
                "ef": point.ef,
                "recall": (point.recall * 1e4).round() / 1e4,
                "queries_per_s": point.per_second.round(),
            });
            println!("{line}");
        }
    }
    for recall in RECALLS {
        let label = format!("{set}, threads {threads}, recall {recall}");
        let speeds: Vec<(&str, f64)> = measured
            .iter()
            .filter_map(|(engine, curve)| Some((engine.as_str(), curve.speed_at(recall)?)))
            .collect();
        for (engine, speed) in &speeds {
            figure(&format!("{label}: {engine}"), *speed, "queries/s");
        }
        let (own, others): (Vec<_>, Vec<_>) = speeds.iter().partition(|(engine, _)| *engine == "millpond");
        let best = others.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
        if best > 0.0 {
            let own = own.first().map_or(0.0, |(_, speed)| *speed);
            judged(
                &format!("{label}: against the best peer"),
                own / best,
                Goal::AtLeast(1.5),
            );
        }
    }
}
