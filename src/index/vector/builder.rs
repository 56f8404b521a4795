//! Builds a graph over rows with hnsw_rs, which is named here only.
//!
//! hnsw_rs ends the process on more than 256 links, panics on distances that are negative or no numbers, and
//! never compares dimensions. So it sees row numbers only, and a distance that is computed here, from codes.
//! Rows go in one by one: that is repeatable, and leaves the other cores to those who wait.

use std::sync::atomic::{AtomicBool, Ordering};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::codes::Rows;
use super::graph::Lists;
use super::{Metric, kernel};

/// Links a row gets when it is inserted, in each upper layer; twice as many in the lowest.
const LINKS: usize = 16;

/// Candidates among which a row's links are chosen. See `tests/vector.rs` for the recall this gives.
const WIDTH: usize = 128;

/// More layers than any number of rows needs: each has a sixteenth of the one below.
const LAYERS_MAX: usize = 16;

/// The lists of a graph over all rows, of which there is at least one; `None` if told to stop.
pub fn build(rows: &Rows, metric: Metric, stop: &AtomicBool) -> Option<Lists> {
    let hnsw = Hnsw::new(
        LINKS,
        rows.len(),
        LAYERS_MAX,
        WIDTH,
        RowDistance::new(rows, metric),
    );
    for row in 0..rows.len() {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        hnsw.insert((&[row as u32], row));
    }
    Some(lists(&hnsw, rows.len()))
}

fn lists(hnsw: &Hnsw<u32, RowDistance>, rows: usize) -> Lists {
    let top = usize::from(hnsw.get_max_level_observed());
    let points = hnsw.get_point_indexation();
    // The first point that came to the top layer has been the entry since.
    let entry = points
        .get_layer_iterator(top)
        .next()
        .map_or(0, |point| point.get_origin_id() as u32);
    let mut base = vec![Vec::new(); rows];
    let mut upper = vec![Vec::new(); top];
    for point in points {
        let row = point.get_origin_id();
        let level = usize::from(point.get_point_id().0);
        // Above its own level a point has links that serve hnsw_rs only.
        for (layer, neighbours) in point
            .get_neighborhood_id()
            .into_iter()
            .take(level + 1)
            .enumerate()
        {
            let neighbours: Vec<u32> = neighbours.iter().map(|neighbour| neighbour.d_id as u32).collect();
            match layer {
                0 => base[row] = neighbours,
                _ => upper[layer - 1].push((row as u32, neighbours)),
            }
        }
    }
    for layer in &mut upper {
        layer.sort_unstable_by_key(|&(row, _)| row);
    }
    Lists { entry, base, upper }
}

/// The distance of two rows: never negative, and smaller where the metric's score is greater.
///
/// Cosine: `1 - cosine`. L2: half the squared distance. Dot: the greatest squared length minus the product, which
/// is no true distance, but leads to those rows that queries ask for. (The textbook's way, lifting all rows to
/// one length by one more dimension, has a recall of 0.2 instead of 0.98 where lengths differ by e.)
struct RowDistance<'a> {
    rows: &'a Rows,
    base: f32,
}

impl RowDistance<'_> {
    fn new(rows: &Rows, metric: Metric) -> RowDistance<'_> {
        let base = match metric {
            Metric::Cosine => 1.0,
            Metric::L2 => 0.0,
            Metric::Dot => (0..rows.len())
                .map(|row| score(rows, row, row))
                .fold(0.0, f32::max),
        };
        RowDistance { rows, base }
    }
}

impl Distance<u32> for RowDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        // `max` also takes zero where squares of the largest numbers made infinity minus infinity.
        (self.base - score(self.rows, a[0] as usize, b[0] as usize)).max(0.0)
    }
}

fn score(rows: &Rows, a: usize, b: usize) -> f32 {
    let (a_term, b_term) = (rows.term(a), rows.term(b));
    let product = kernel::dot_codes(rows.code(a), rows.code(b)) as f32;
    a_term.factor * b_term.factor * product + a_term.bias + b_term.bias
}
