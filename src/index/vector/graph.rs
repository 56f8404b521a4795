//! A frozen graph: rows of codes, and layers of links between them.
//!
//! A graph never changes; which of its rows are dead is kept beside it, in [`Marks`](super::marks::Marks).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::Xxh3;

use super::Slot;
use super::beam::{Beam, Beams, Breadth};
use super::calibrate::Calibration;
use super::codes::{QueryCode, Rows};
use super::links::{Frozen, Links, Open};
use super::nearest::Scored;
use super::reduce::Reduction;
use super::sketch::{Frame, Sketches};
use super::twins::Twins;
use super::way::Bits;

/// A navigable graph over rows, of which there is at least one.
pub struct Graph {
    rows: Rows,
    /// From the lowest up. The lowest has all rows, each above it the first so many of those below; every search
    /// begins at row 0.
    layers: Vec<Frozen>,
    /// By slot: its newest row, or [`NO_ROW`].
    row_of: Vec<u32>,
    twins: Twins,
    sketches: Option<Sketches>,
    beams: Beams,
    calibration: Calibration,
    /// How its rows were made of longer vectors, if they were.
    reduction: Option<Arc<Reduction>>,
}

const NO_ROW: u32 = u32::MAX;

impl Graph {
    /// Freezes what a builder has linked: `layers` from the lowest up. What was measured on the `last` graph is
    /// believed as long as it can be. `None` if it was told to stop.
    pub fn freeze(rows: Rows, layers: &[Open], last: Option<&Graph>, stop: &AtomicBool) -> Option<Graph> {
        let mut layers: Vec<Frozen> = layers.iter().map(|layer| Frozen::new(layer.lists())).collect();
        if !link_islands(&rows, &mut layers, stop) {
            return None;
        }
        let known = last
            .map(|last| &last.calibration)
            .filter(|known| known.holds(rows.len()));
        let frame = last.filter(|_| known.is_some()).and_then(Graph::frame);
        let mut graph = Graph::new(rows, layers, known.cloned().unwrap_or_default(), frame.cloned());
        if known.is_none() {
            graph.calibration = Calibration::of(&graph);
        }
        Some(graph)
    }

    /// A graph that was read, of an index with so many slots; `None` if a search could go astray in it.
    pub(super) fn from_parts(
        rows: Rows,
        layers: Vec<Frozen>,
        calibration: Calibration,
        slots: usize,
    ) -> Option<Graph> {
        let mut below = rows.len();
        let sound = rows.are_sound()
            && layers.first().is_some_and(|lowest| lowest.rows() == below)
            && layers.iter().all(|layer| {
                let is_smaller = (1..=below).contains(&layer.rows());
                below = layer.rows();
                is_smaller && layer.are_sound()
            });
        let has_slots = rows.slots.iter().all(|&slot| (slot as usize) < slots);
        (sound && has_slots).then(|| Graph::new(rows, layers, calibration, None))
    }

    fn new(rows: Rows, layers: Vec<Frozen>, calibration: Calibration, frame: Option<Arc<Frame>>) -> Graph {
        let slots = rows.slots.iter().max().map_or(0, |&last| last as usize + 1);
        let mut row_of = vec![NO_ROW; slots];
        for (row, &slot) in rows.slots.iter().enumerate() {
            let newest = &mut row_of[slot as usize];
            if *newest == NO_ROW || rows.stamp(*newest as usize) < rows.stamp(row) {
                *newest = row as u32;
            }
        }
        Graph {
            twins: Twins::new(&rows),
            sketches: Sketches::of(&rows, frame),
            beams: Beams::new(),
            rows,
            layers,
            row_of,
            calibration,
            reduction: None,
        }
    }

    /// What is reduced has no sketches: its codes are short, and too inexact for bounds to choose among them.
    pub fn with_reduction(self, reduction: Option<Arc<Reduction>>) -> Graph {
        let sketches = self.sketches.filter(|_| reduction.is_none());
        Graph {
            sketches,
            reduction,
            ..self
        }
    }

    /// What tells this graph from every other of its index: no two vectors ever have one stamp.
    pub fn name(&self) -> String {
        let mut hash = Xxh3::new();
        for stamp in self.rows.stamps.iter() {
            hash.update(&stamp.to_le_bytes());
        }
        format!("{:032x}", hash.digest128())
    }

    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    pub fn reduction(&self) -> Option<&Arc<Reduction>> {
        self.reduction.as_ref()
    }

    /// What bounds the scores of rows, where that is quicker than to score them.
    pub fn sketches(&self) -> Option<&Sketches> {
        self.sketches.as_ref()
    }

    /// What its sketches are drawn by.
    pub fn frame(&self) -> Option<&Arc<Frame>> {
        self.sketches.as_ref().map(Sketches::frame)
    }

    /// Links of the lowest layer.
    pub fn links(&self) -> usize {
        self.layers[0].neighbours.len()
    }

    /// What searches of this graph work with.
    pub fn beams(&self) -> &Beams {
        &self.beams
    }

    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    pub(super) fn layers(&self) -> &[Frozen] {
        &self.layers
    }

    /// The slots of all rows are less than this.
    pub fn slots(&self) -> u32 {
        self.row_of.len() as u32
    }

    /// The newest row of a slot, which may be dead.
    pub fn row_of(&self, slot: Slot) -> Option<u32> {
        let row = *self.row_of.get(slot.0 as usize)?;
        (row != NO_ROW).then_some(row)
    }

    /// Appends the newest rows of slots, as far as they are alive.
    pub fn add_rows_of(&self, slots: &[u32], is_alive: impl Fn(u32) -> bool, rows: &mut Vec<u32>) {
        // Written without branches, which could not be foreseen.
        let mut len = rows.len();
        rows.resize(len + slots.len(), NO_ROW);
        for &slot in slots {
            let row = self.row_of.get(slot as usize).copied().unwrap_or(NO_ROW);
            rows[len] = row;
            len += usize::from(is_alive(row));
        }
        rows.truncate(len);
    }

    /// The rows nearest to the query, best first, by the scores of their codes.
    pub fn search(&self, query: &QueryCode, breadth: Breadth, beam: &mut Beam) -> Vec<Scored> {
        let start = self.descend(query, beam);
        beam.search(&self.rows, &self.layers[0], query, &[start.id], breadth)
    }

    /// The same among eligible rows, from some of those on.
    pub fn search_among(
        &self,
        query: &QueryCode,
        seeds: &[u32],
        breadth: Breadth,
        eligible: &Bits,
        beam: &mut Beam,
    ) -> Vec<Scored> {
        beam.search_among(&self.rows, &self.layers[0], query, seeds, breadth, eligible)
    }

    /// Whether so many eligible rows are, around a row, at least a quarter as frequent as everywhere.
    pub fn is_amidst(&self, row: u32, eligible: &Bits, count: usize) -> bool {
        let lowest = &self.layers[0];
        let around = || lowest.of(row).iter().flat_map(|&row| lowest.of(row));
        let (met, of) = (
            around().filter(|&&row| eligible.contains(row)).count(),
            around().count(),
        );
        met * 4 * self.rows.len() >= of * count
    }

    /// Rows with the very code of the query: a vector that is in the index finds itself.
    pub fn twins(&self, query: &QueryCode) -> impl Iterator<Item = u32> {
        self.twins.of(&self.rows, query)
    }

    /// Walks the sparse layers to a row near the query.
    pub fn descend(&self, query: &QueryCode, beam: &mut Beam) -> Scored {
        let start = self.rows.score(query, 0);
        let sparse = self.layers.iter().skip(1).rev();
        sparse.fold(start, |here, layer| beam.descend(&self.rows, layer, query, here))
    }
}

/// Adds links until every row can be reached from the first.
///
/// Builders cut long lists to the nearest neighbours, and so drop the only way to some row now and then. Whether it came
/// to the end, rather than being told to stop.
fn link_islands(rows: &Rows, layers: &mut [Frozen], stop: &AtomicBool) -> bool {
    let Some((lowest, _)) = layers.split_first_mut() else {
        return true;
    };
    let mut is_reached = vec![false; rows.len()];
    let mut extra: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
    let mut beam = Beam::default();
    let mut ahead = vec![0];
    is_reached[0] = true;
    let mut next = 0;
    loop {
        while let Some(row) = ahead.pop() {
            for &neighbour in lowest.of(row) {
                if !std::mem::replace(&mut is_reached[neighbour as usize], true) {
                    ahead.push(neighbour);
                }
            }
        }
        let Some(island) = (next..rows.len()).find(|&row| !is_reached[row]) else {
            break;
        };
        next = island;
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        // A search sees reached rows only, and ends near the island.
        let query = rows.as_query(island);
        let shore = beam.search(rows, lowest, &query, &[0], SHORE_WIDTH.into());
        let links_of = |row: &u32| extra.get(row).map_or(0, Vec::len);
        let mut from = shore
            .into_iter()
            .map(|found| found.id)
            .min_by_key(links_of)
            .unwrap_or(0);
        // Islands of a crowd of equal rows all have one shore: from there on they are linked as a tree.
        while let Some(full) = extra.get(&from).filter(|links| links.len() == ISLANDS_MAX) {
            from = full[island % ISLANDS_MAX];
        }
        extra.entry(from).or_default().push(island as u32);
        is_reached[island] = true;
        ahead.push(island as u32);
    }
    if !extra.is_empty() {
        let lists: Vec<Vec<u32>> = (0..rows.len() as u32)
            .map(|row| [lowest.of(row), extra.get(&row).map_or(&[], Vec::as_slice)].concat())
            .collect();
        *lowest = Frozen::new(lists.iter().map(Vec::as_slice));
    }
    true
}

/// Rows near an island among which the one is chosen that leads there.
const SHORE_WIDTH: usize = 16;

/// Islands that one row leads to. With them its list is no longer than a builder has room for, and stays whole in the
/// next graph.
const ISLANDS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::{Metric, Quantization};
    use super::*;

    #[test]
    fn a_crowd_of_islands_hangs_on_no_single_row() {
        const ROWS: u32 = 300;
        let mut rows = Rows::with_capacity(2, Quantization::Int8, ROWS as usize);
        for row in 0..ROWS {
            rows.push(&[1.0, 2.0], Metric::Cosine, Slot(row), row.into());
        }
        let open = [Open::new(ROWS as usize, 4)];
        let told_to_stop = Graph::freeze(rows.clone(), &open, None, &AtomicBool::new(true));
        assert!(told_to_stop.is_none());
        let graph = Graph::freeze(rows, &open, None, &AtomicBool::new(false)).unwrap();
        let lists = || (0..ROWS).map(|row| graph.layers[0].of(row));
        assert!(lists().all(|list| list.len() <= ISLANDS_MAX));
        let mut reached: Vec<u32> = lists().flatten().copied().collect();
        reached.sort_unstable();
        assert!(reached.into_iter().eq(1..ROWS), "each by one way, from the first");
    }
}
