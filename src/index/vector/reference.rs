//! Builds a graph over rows with hnsw_rs, which is named here only: `builder = "hnsw_rs"`, and what ours is tested by.
//!
//! hnsw_rs ends the process on more than 256 links, panics on distances that are negative or no numbers, and
//! never compares dimensions. So it sees row numbers only, and a distance that is computed here, from codes.
//! Rows go in one by one: that is repeatable, and leaves the other cores to those who wait.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::build::GraphSettings;
use super::codes::Rows;
use super::graph::Graph;
use super::links::Open;
use super::{Metric, VectorSettings};

/// More layers than any number of rows needs: each has a sixteenth of the one below.
const LAYERS_MAX: usize = 16;

/// A graph over all rows, of which there is at least one; `None` if told to stop.
pub fn build(rows: Rows, settings: &VectorSettings, stop: &AtomicBool) -> Option<Graph> {
    let GraphSettings { links, width } = settings.graph;
    let distance = RowDistance::new(&rows, settings.metric);
    let hnsw = Hnsw::new(links, rows.len(), LAYERS_MAX, width, distance);
    for row in 0..rows.len() {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        hnsw.insert((&[row as u32], row));
    }
    let points = hnsw.get_point_indexation();
    // The first point that came to the top layer has been the entry since.
    let top = usize::from(hnsw.get_max_level_observed());
    let entry = points
        .get_layer_iterator(top)
        .next()
        .map(|point| point.get_origin_id());
    let mut lists = Vec::with_capacity(rows.len());
    for point in points {
        let (row, level) = (point.get_origin_id(), usize::from(point.get_point_id().0));
        lists.push((row, level, point.get_neighborhood_id()));
    }
    lists.sort_by_key(|(row, level, _)| (Reverse(*level), Some(*row) != entry, *row));

    let mut ordered = Rows::with_capacity(rows.dimensions(), rows.quantization(), rows.len());
    let mut place_of = vec![0; rows.len()];
    for (place, (row, ..)) in (0..).zip(&lists) {
        place_of[*row] = place;
        ordered.push_row(&rows, *row);
    }
    let layers: Vec<Open> = (0..=top)
        .map(|layer| {
            let rows = lists.partition_point(|(_, level, _)| *level >= layer);
            let mut open = Open::new(rows, settings.graph.links_max(layer));
            for (mut list, (.., neighbours)) in open.lists_mut().zip(&lists) {
                // hnsw_rs links rows with some above their own level, too, for its own use.
                let neighbours = neighbours.get(layer).into_iter().flatten();
                let neighbours = neighbours.map(|neighbour| place_of[neighbour.d_id]);
                list.set(neighbours.filter(|&neighbour| (neighbour as usize) < rows));
            }
            open
        })
        .collect();
    drop(hnsw);
    Graph::freeze(ordered, &layers, None, stop)
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
    rows.score(&rows.as_query(a), b as u32).score + rows.bias(a)
}
