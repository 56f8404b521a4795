//! The read side: one shard's vectors at one tick.

use roaring::RoaringBitmap;

use super::codes::QueryCode;
use super::linked::{Asked, Linked};
use super::nearest::{Nearest, Scored};
use super::original::Original;
use super::score::Query;
use super::table::{Entry, Table};
use super::young::Young;
use super::{Effort, Quantization, SharedVector, Slot, VectorSettings};
use crate::index::Deadline;

/// The read side: one shard's vectors at one tick. Immutable; states share what they have in common.
#[derive(Clone)]
pub struct VectorState {
    pub(super) settings: VectorSettings,
    /// Grows with each state. What was marked as dead at a later one is alive here.
    pub(super) moment: u64,
    pub(super) table: Table,
    /// Rows that are not in the graph; without graphs none.
    pub(super) young: Young,
    pub(super) graph: Option<Linked>,
    /// Vectors whose rows are in the graph.
    pub(super) in_graph: usize,
    pub(super) unbuilt: usize,
}

/// A hit of the vector leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VectorHit {
    pub slot: Slot,
    /// Cosine, dot product, or minus the squared distance; of what rows keep of the vectors, if hits are scored by rows.
    pub score: f32,
}

/// The least width of a search that does not say how hard it tries. Most vectors need no more; those of few dimensions,
/// such as word vectors, need up to three times as much.
const WIDTH_MIN: usize = 100;

/// And what it finds of the ten nearest, as measured on the index's own vectors.
const ACCURACY: f32 = 0.995;

/// Candidates that codes can tell from the best are scored by their originals until more than so many in a row are not
/// among the best. Each costs as much as twenty scores by codes; none would do, but for vectors with a few large
/// components, whose codes are worse than others.
const PATIENCE: usize = 1;

/// The same where rows are reduced, and half as many more as hits are asked for: their codes are off by more.
const PATIENCE_REDUCED: usize = 20;

/// Vectors between two looks at the deadline.
const BATCH: usize = 256;

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

    /// Whether the scores of hits are rounded: all but those of exact searches.
    pub fn rounds(&self) -> bool {
        self.settings.scores_rows()
    }

    /// The score of a slot's vector, in full precision.
    pub fn score_of(&self, slot: Slot, query: &[f32]) -> Option<f32> {
        let fits = self.settings.fits(query);
        let (_, vector) = self.get(slot).filter(|_| fits)?;
        Some(Query::new(query, self.settings.metric).score(vector.read(&mut Vec::new())))
    }

    /// Searchable vectors that are not in the graph yet and due to be. A few thousand young ones never are.
    pub fn unbuilt(&self) -> usize {
        self.unbuilt
    }

    /// The `limit` vectors nearest to `query` among the slots of `filter`, best first, ties by slot.
    ///
    /// Never fewer than exist up to `limit`. A query of other dimensions, or with a number that is not finite, is near to nothing.
    pub fn search(
        &self,
        query: &[f32],
        limit: usize,
        effort: Effort,
        filter: Option<&RoaringBitmap>,
    ) -> Vec<VectorHit> {
        self.search_until(query, limit, effort, filter, &Deadline::never())
    }

    /// The same, but when the deadline is over, what was found until then is the answer. A search along links has no
    /// more than its width to go, so it is scans that stop.
    pub fn search_until(
        &self,
        query: &[f32],
        limit: usize,
        effort: Effort,
        filter: Option<&RoaringBitmap>,
        deadline: &Deadline,
    ) -> Vec<VectorHit> {
        let eligible = filter.map_or(self.len(), |filter| self.len().min(filter.len() as usize));
        let limit = limit.min(eligible);
        if limit == 0 || !self.settings.fits(query) || deadline.is_over() {
            return Vec::new();
        }
        let Some(width) = self.width(effort, limit) else {
            let query = Query::new(query, self.settings.metric);
            return self.scan(&query, limit, filter, deadline);
        };
        let candidates = self.candidates(query, limit, width, filter, eligible, deadline);
        self.score(&Query::new(query, self.settings.metric), limit, &candidates)
    }

    /// The width of a graph search; `None` where all are to be looked at.
    fn width(&self, effort: Effort, limit: usize) -> Option<usize> {
        if !self.settings.graphs {
            return None;
        }
        let effort = match effort {
            Effort::Usual => self.settings.effort,
            effort => effort,
        };
        match (effort, &self.graph) {
            (Effort::Exact, _) => None,
            (Effort::Width(width), _) => Some(width),
            (Effort::Accuracy(accuracy), Some(linked)) => linked.graph.calibration().width(accuracy, limit),
            (Effort::Usual | Effort::Accuracy(_), linked) => {
                let known = linked.as_ref().map(|linked| linked.graph.calibration());
                let wide = known.map_or(0, |known| known.width_about(ACCURACY));
                // The graph may have twice the rows of the one that was measured.
                Some((wide + wide / 4).max(WIDTH_MIN).max(2 * limit))
            }
        }
    }

    /// Scores every eligible vector.
    fn scan(
        &self,
        query: &Query,
        limit: usize,
        filter: Option<&RoaringBitmap>,
        deadline: &Deadline,
    ) -> Vec<VectorHit> {
        let (mut nearest, mut room) = (Nearest::new(limit), Vec::new());
        let mut push = |slot: Slot, entry: &Entry| {
            nearest.push(Scored {
                score: query.score(entry.vector.read(&mut room)),
                id: slot.0,
            });
        };
        let mut scanned = 0;
        let mut in_time = || {
            scanned += 1;
            scanned % BATCH != 0 || !deadline.is_over()
        };
        match filter {
            None => self
                .table
                .iter()
                .take_while(|_| in_time())
                .for_each(|(slot, entry)| push(slot, entry)),
            Some(filter) => {
                let slots = filter.iter().map(Slot).take_while(|_| in_time());
                slots
                    .filter_map(|slot| Some((slot, self.table.get(slot)?)))
                    .for_each(|(slot, entry)| push(slot, entry));
            }
        }
        hits(nearest)
    }

    /// Slots chosen by their codes, best first; only current and eligible ones, and at least as many as exist up to
    /// the limit: young rows are all scanned, and the graph's too if a search finds too few.
    fn candidates(
        &self,
        query: &[f32],
        limit: usize,
        width: usize,
        filter: Option<&RoaringBitmap>,
        eligible: usize,
        deadline: &Deadline,
    ) -> Vec<Scored> {
        let code = QueryCode::new(query, self.settings.quantization);
        let asked = Asked {
            code: &code,
            limit,
            kept: width.max(2 * (limit + self.patience(limit))),
            width,
            filter,
            eligible: eligible.min(self.in_graph),
            deadline,
        };
        let mut candidates = match &self.graph {
            Some(linked) => {
                let reduced = linked.graph.reduction().map(|reduction| code.reduced(reduction));
                let asked = Asked {
                    code: reduced.as_ref().unwrap_or(&code),
                    ..asked
                };
                linked
                    .graph
                    .beams()
                    .lend(|beam| linked.search(&asked, self.moment, beam))
            }
            None => Vec::new(),
        };
        if !self.young.is_empty() {
            // What codes tell to be worse than half as many more as may be looked at need not be gathered.
            let enough = (limit + self.patience(limit)) * 3 / 2;
            let worst = candidates.get(enough - 1);
            let least = worst.map_or(f32::NEG_INFINITY, |worst| self.hardly_below(worst.score));
            candidates.extend(self.young.scan(&asked, self.moment, least));
            candidates.sort_unstable_by(|a, b| b.cmp(a));
        }
        candidates
    }

    /// What codes cannot tell from a score below it.
    fn hardly_below(&self, score: f32) -> f32 {
        score - score.abs() * self.settings.quantization.error(self.settings.dimensions)
    }

    /// How many candidates in a row may be no better before the others are believed to be none.
    fn patience(&self, limit: usize) -> usize {
        let reduced = self.graph.as_ref().and_then(|linked| linked.graph.reduction());
        match reduced {
            Some(_) => PATIENCE_REDUCED + limit / 2,
            None => PATIENCE,
        }
    }

    /// What a slot's vector is scored by, unless all are looked at.
    fn original(&self, slot: Slot) -> Option<Original<'_>> {
        if !self.settings.scores_rows() {
            return self.table.get(slot).map(|entry| Original::Vector(&entry.vector));
        }
        if let Some(linked) = &self.graph
            && let Some(row) = linked.graph.row_of(slot)
            && linked.marks.at(self.moment)(row)
        {
            return Some(Original::Row(linked.graph.rows(), row as usize));
        }
        let (block, row) = self.young.find(self.table.get(slot)?.stamp)?;
        Some(Original::Row(&block.rows, row))
    }

    /// Scores candidates, best first, by their originals.
    fn score(&self, query: &Query, limit: usize, candidates: &[Scored]) -> Vec<VectorHit> {
        let (mut nearest, mut room) = (Nearest::new(limit), Vec::new());
        let patience = self.patience(limit);
        let last = candidates.get(limit - 1).or(candidates.last());
        let tied = last.map_or(0.0, |last| self.hardly_below(last.score));
        let mut waited = 0;
        // Each step of the way to a vector waits for memory: a few candidates take it together.
        'all: for chunk in candidates.chunks(limit + patience) {
            let originals: Vec<(Scored, Original)> = chunk
                .iter()
                .filter_map(|&candidate| Some((candidate, self.original(Slot(candidate.id))?)))
                .collect();
            originals.iter().for_each(|(_, original)| original.look_up());
            originals.iter().for_each(|(_, original)| original.prefetch());
            for (Scored { id, score: by_code }, original) in originals {
                let scored = Scored {
                    score: query.score(original.read(&mut room)),
                    id,
                };
                // Those that codes cannot tell from the best are all looked at.
                waited = match nearest.takes(scored) {
                    true => 0,
                    false => waited + usize::from(by_code < tied),
                };
                if waited > patience {
                    break 'all;
                }
                nearest.push(scored);
            }
        }
        hits(nearest)
    }
}

impl VectorSettings {
    /// Whether hits are scored by what rows keep of their vectors.
    fn scores_rows(&self) -> bool {
        self.graphs && self.quantization == Quantization::Int16
    }

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
