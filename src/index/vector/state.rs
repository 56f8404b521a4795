//! The read side: one shard's vectors at one tick.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::beam::{Beam, Breadth};
use super::codes::{QueryCode, Scores};
use super::graph::Graph;
use super::marks::Marks;
use super::nearest::{Nearest, Scored};
use super::original::Original;
use super::score::Query;
use super::table::{Entry, Table};
use super::way::{Bits, Way};
use super::young::Young;
use super::{Effort, Quantization, SharedVector, Slot, VectorSettings, way};
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

/// A graph, and which of its rows are dead.
#[derive(Clone)]
pub struct Linked {
    pub graph: Arc<Graph>,
    pub marks: Arc<Marks>,
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

/// Rows with the code of the query that are looked at: where rows are reduced, they may have many vectors.
const TWINS: usize = 128;

/// Rows of which a scan computes the products at once.
const BATCH_ROWS: usize = 256;

impl Linked {
    /// Marks the row of a slot as dead from a moment on, if its vector is that of the stamp.
    pub fn kill(&self, slot: Slot, stamp: u64, moment: u64) {
        let row = self.graph.row_of(slot).map(|row| row as usize);
        if let Some(row) = row.filter(|&row| self.graph.rows().stamp(row) == stamp) {
            self.marks.kill(row, moment);
        }
    }
}

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
                Some(wide.max(WIDTH_MIN).max(2 * limit))
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
            scanned % BATCH_ROWS != 0 || !deadline.is_over()
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
            candidates.extend(self.scan_young(&asked));
            candidates.sort_unstable_by(|a, b| b.cmp(a));
        }
        candidates
    }

    fn scan_young(&self, asked: &Asked<'_>) -> Vec<Scored> {
        let mut nearest = Nearest::new(asked.kept);
        let mut scores = Scores::default();
        for block in self.young.blocks() {
            if asked.deadline.is_over() {
                break;
            }
            let is_alive = block.marks.at(self.moment);
            block.rows.scores(asked.code, &mut scores);
            for (row, &score) in (0..).zip(&scores.values) {
                let id = block.rows.slot(row as usize).0;
                let candidate = Scored { score, id };
                if nearest.takes(candidate) && is_alive(row) && asked.allows(id) {
                    nearest.push(candidate);
                }
            }
        }
        nearest.into_sorted()
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
        let error = self.settings.quantization.error(self.settings.dimensions);
        let tied = last.map_or(0.0, |last| last.score - last.score.abs() * error);
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

/// A question to the codes.
#[derive(Clone, Copy)]
struct Asked<'a> {
    code: &'a QueryCode,
    limit: usize,
    /// Candidates for the score by the vectors.
    kept: usize,
    width: usize,
    filter: Option<&'a RoaringBitmap>,
    /// Rows of the graph that are alive and, about, allowed.
    eligible: usize,
    deadline: &'a Deadline,
}

impl Asked<'_> {
    fn breadth(&self, width: usize) -> Breadth {
        Breadth {
            width,
            kept: self.kept.max(width),
        }
    }

    fn allows(&self, slot: u32) -> bool {
        self.filter.is_none_or(|filter| filter.contains(slot))
    }
}

impl Linked {
    /// Slots near to the query, best first.
    fn search(&self, asked: &Asked<'_>, moment: u64, beam: &mut Beam) -> Vec<Scored> {
        let Asked { code, width, .. } = *asked;
        let rows = self.graph.rows();
        let is_alive = self.marks.at(moment);
        let slot = |row: u32| rows.slot(row as usize).0;
        let allowed = |near: &Scored| is_alive(near.id) && asked.allows(slot(near.id));
        let (eligible, limit) = (asked.eligible, asked.limit);
        let way = Way::choose(eligible, rows.len(), self.graph.links(), width, limit);
        let mut near = match (way, asked.filter) {
            (Way::Scan, _) => return self.scan(asked, moment),
            (Way::Among, Some(filter)) => match self.among(filter, asked, moment, beam) {
                Some(near) => near,
                None => return self.scan(asked, moment),
            },
            _ => {
                let wide = way::wide(eligible, rows.len(), width, limit);
                self.graph.search(code, asked.breadth(wide), beam)
            }
        };
        near.retain(allowed);
        // A search along links may pass by a row, and must not if its very vector is asked for.
        let twins = self.graph.twins(code).map(|row| rows.score(code, row));
        for twin in twins.filter(allowed).take(limit.max(TWINS)) {
            if near.iter().all(|near| near.id != twin.id) {
                near.insert(0, twin);
            }
        }
        if near.len() < limit.max(width / 4).min(eligible) {
            // Most that are near the query do not pass: those that do are elsewhere.
            return self.scan(asked, moment);
        }
        near.iter_mut().for_each(|near| near.id = slot(near.id));
        near
    }

    /// Scores the codes of all living rows that are allowed.
    fn scan(&self, asked: &Asked<'_>, moment: u64) -> Vec<Scored> {
        match asked.filter {
            Some(filter) => self.scan_rows(asked, self.rows_of(filter, moment)),
            None => {
                let is_alive = self.marks.at(moment);
                let rows = 0..self.graph.rows().len() as u32;
                self.scan_rows(asked, rows.filter(|&row| is_alive(row)))
            }
        }
    }

    fn scan_rows(&self, asked: &Asked<'_>, mut eligible: impl Iterator<Item = u32>) -> Vec<Scored> {
        let rows = self.graph.rows();
        let mut nearest = Nearest::new(asked.kept);
        let (mut batch, mut scores) = (Vec::with_capacity(BATCH_ROWS), Scores::default());
        let mut worst = f32::NEG_INFINITY;
        loop {
            batch.clear();
            batch.extend(eligible.by_ref().take(BATCH_ROWS));
            if batch.is_empty() || asked.deadline.is_over() {
                return nearest.into_sorted();
            }
            rows.scores_at(asked.code, &batch, &mut scores);
            for (&row, &score) in batch.iter().zip(&scores.values) {
                // Hardly any is among the best.
                if score >= worst {
                    let id = rows.slot(row as usize).0;
                    nearest.push(Scored { score, id });
                    worst = nearest.worst().map_or(f32::NEG_INFINITY, |worst| worst.score);
                }
            }
        }
    }

    /// A search among the living rows of a filter's slots, from a few that are spread over it and from the row nearest
    /// to the query. `None` where they are all far from the query, and so about as far as each other: no link leads on.
    fn among(
        &self,
        filter: &RoaringBitmap,
        asked: &Asked<'_>,
        moment: u64,
        beam: &mut Beam,
    ) -> Option<Vec<Scored>> {
        let mut eligible = Bits::none(self.graph.rows().len());
        let mut seeds = Vec::with_capacity(SEEDS + 2);
        let between_seeds = filter.len() as usize / SEEDS + 1;
        for (place, row) in self.rows_of(filter, moment).enumerate() {
            eligible.insert(row);
            if place % between_seeds == 0 {
                seeds.push(row);
            }
        }
        let nearest = self.graph.descend(asked.code, beam).id;
        if !self.graph.is_amidst(nearest, &eligible, asked.eligible) {
            return None;
        }
        seeds.push(nearest);
        let breadth = asked.breadth(asked.width);
        let graph = &self.graph;
        Some(graph.search_among(asked.code, &seeds, breadth, &eligible, beam))
    }

    /// The living rows of a filter's slots.
    fn rows_of(&self, filter: &RoaringBitmap, moment: u64) -> impl Iterator<Item = u32> {
        let is_alive = self.marks.at(moment);
        let rows = filter.iter().filter_map(|slot| self.graph.row_of(Slot(slot)));
        rows.filter(move |&row| is_alive(row))
    }
}

/// Rows of a filter from which a search among it begins.
const SEEDS: usize = 16;

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
