//! The read side: one shard's vectors at one tick.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::codes::{QueryCode, Rows, Scores};
use super::graph::Graph;
use super::nearest::{Nearest, Scored};
use super::score::Query;
use super::table::{Entry, Table};
use super::{SharedVector, Slot, VectorSettings};

/// The read side: one shard's vectors at one tick. Immutable; states share what they have in common.
#[derive(Clone)]
pub struct VectorState {
    pub(super) settings: VectorSettings,
    pub(super) table: Table,
    /// Rows that are in no graph, in blocks; without graphs none.
    pub(super) young: imbl::Vector<Arc<Rows>>,
    pub(super) graphs: Vec<Arc<Graph>>,
    pub(super) unbuilt: usize,
}

/// A hit of the vector leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VectorHit {
    pub slot: Slot,
    /// Cosine, dot product, or minus the squared distance; in full precision.
    pub score: f32,
}

/// The least width of a graph search: recall@10 on 19,406 product texts is 0.99 then; at 64 it is 0.977.
const WIDTH_MIN: usize = 100;

/// What each row that a graph search keeps costs it where all are eligible: as much as scoring ten by a scan.
const SCANNED_PER_KEPT: usize = 10;

/// Rows that a graph search sees, by their codes, in the time in which a scan scores one.
const SEEN_PER_SCANNED: usize = 2;

impl VectorState {
    /// Vectors that are searchable.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The vector that a slot has, and the number that it was taken in with.
    pub(in crate::index) fn get(&self, slot: Slot) -> Option<(u64, &SharedVector)> {
        self.table.get(slot).map(|entry| (entry.stamp, &entry.vector))
    }

    /// Searchable vectors that are not in a graph yet and due to be. A few thousand young ones never are.
    pub fn unbuilt(&self) -> usize {
        self.unbuilt
    }

    /// The `limit` vectors nearest to `query` among the slots of `filter`, best first, ties by slot.
    ///
    /// Never fewer than exist up to `limit`. `ef` is the width of the graph search; `exact` scans everything.
    /// A query of other dimensions, or with a number that is not finite, is near to nothing.
    pub fn search(
        &self,
        query: &[f32],
        limit: usize,
        ef: Option<usize>,
        filter: Option<&RoaringBitmap>,
        exact: bool,
    ) -> Vec<VectorHit> {
        let eligible = filter.map_or(self.len(), |filter| self.len().min(filter.len() as usize));
        let limit = limit.min(eligible);
        if limit == 0 || !self.settings.fits(query) {
            return Vec::new();
        }
        let width = ef
            .unwrap_or(WIDTH_MIN.max(2 * limit))
            .clamp(limit, self.len().max(limit));
        let exact = exact || !self.settings.graphs || self.is_scan_quicker(eligible, width);
        let query = Query::new(query, self.settings.metric);
        let hits = if exact {
            None
        } else {
            self.nearest(&query, limit, width, filter, eligible)
        };
        // Fewer hits than eligible slots: some of those may have no vector, or the graph missed something.
        match hits {
            Some(hits) if hits.len() == limit => hits,
            _ => self.scan(&query, limit, filter),
        }
    }

    /// Whether scoring all that are eligible takes less than a graph search, which has to see the more rows for
    /// each that it keeps, the fewer are eligible.
    fn is_scan_quicker(&self, eligible: usize, width: usize) -> bool {
        let kept_cost = width.saturating_mul(SCANNED_PER_KEPT);
        eligible.saturating_mul(eligible) < self.len().saturating_mul(kept_cost)
    }

    /// Scores every eligible vector.
    fn scan(&self, query: &Query, limit: usize, filter: Option<&RoaringBitmap>) -> Vec<VectorHit> {
        let mut nearest = Nearest::new(limit);
        let mut push = |slot: Slot, entry: &Entry| {
            nearest.push(Scored {
                score: query.score(&entry.vector),
                id: slot.0,
            });
        };
        match filter {
            None => self.table.iter().for_each(|(slot, entry)| push(slot, entry)),
            Some(filter) => {
                let slots = filter.iter().map(Slot);
                slots
                    .filter_map(|slot| Some((slot, self.table.get(slot)?)))
                    .for_each(|(slot, entry)| push(slot, entry));
            }
        }
        hits(nearest)
    }

    /// Chooses candidates by their codes and scores those; `None` if that takes longer than a scan.
    fn nearest(
        &self,
        query: &Query,
        limit: usize,
        width: usize,
        filter: Option<&RoaringBitmap>,
        eligible: usize,
    ) -> Option<Vec<VectorHit>> {
        let code = QueryCode::new(query.vector());
        let is_eligible = |rows: &Rows, row: usize| {
            let slot = rows.slot(row);
            filter.is_none_or(|filter| filter.contains(slot.0))
                && self.table.is_current(slot, rows.stamp(row))
        };
        // Codes are off by a percent or so: what belongs among the best is not far behind them.
        let mut candidates = Nearest::new(4 * limit + 32);
        let mut scores = Scores::default();
        for block in &self.young {
            block.scores(&code, &mut scores);
            for (row, &score) in scores.values.iter().enumerate() {
                let candidate = Scored {
                    score,
                    id: block.slot(row).0,
                };
                if candidates.takes(candidate) && is_eligible(block, row) {
                    candidates.push(candidate);
                }
            }
        }
        for graph in &self.graphs {
            let rows = graph.rows();
            let rows_max = eligible.saturating_mul(SEEN_PER_SCANNED);
            for found in graph.search(&code, width, rows_max, |row| is_eligible(rows, row))? {
                candidates.push(Scored {
                    score: found.score,
                    id: rows.slot(found.id as usize).0,
                });
            }
        }
        let mut nearest = Nearest::new(limit);
        for Scored { id, .. } in candidates.into_sorted() {
            if let Some(entry) = self.table.get(Slot(id)) {
                nearest.push(Scored {
                    score: query.score(&entry.vector),
                    id,
                });
            }
        }
        Some(hits(nearest))
    }
}

impl VectorSettings {
    /// Whether a vector can be compared with those of the index.
    pub(super) fn fits(&self, vector: &[f32]) -> bool {
        vector.len() == self.dimensions && vector.iter().all(|value| value.is_finite())
    }
}

fn hits(nearest: Nearest) -> Vec<VectorHit> {
    let hits = nearest.into_sorted().into_iter();
    hits.map(|Scored { score, id }| VectorHit {
        slot: Slot(id),
        score,
    })
    .collect()
}
