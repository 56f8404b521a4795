//! A graph's rows looked at one by one: by their sketches, where there are, and those that may be near by their codes.

use super::codes::{QueryCode, Rows, Scores};
use super::linked::{Asked, Linked};
use super::nearest::{Nearest, Scored};
use super::sketch::Sketches;
use crate::index::Deadline;

/// Rows that are scored at once, between two looks at the deadline.
const BATCH_ROWS: usize = 256;

/// Rows that are scored whatever the others' bounds are, for each hit that is asked for: the better they are, the
/// fewer others may be better.
const FIRST: usize = 2;

/// And for few hits.
const FIRST_MIN: usize = 32;

/// Rows for each of these from which on it is worth while to bound scores first.
const SKETCHED_MIN: usize = 8;

impl Linked {
    /// The nearest of all living rows that are allowed, best first.
    pub(super) fn scan(&self, asked: &Asked<'_>, moment: u64) -> Vec<Scored> {
        let eligible = self.eligible(asked, moment);
        let mut found = Found::new(self.graph.rows(), asked);
        match self.graph.sketches() {
            Some(sketches) if is_sketched(eligible.len(), asked.limit) => {
                let bounded = Bounded::new(sketches, asked, &eligible);
                found.score(bounded.best());
                bounded.others(&mut found);
            }
            _ => found.score(eligible.into_iter()),
        }
        found.nearest.into_sorted()
    }
}

/// Rows, and what their scores hardly exceed.
struct Bounded<'a> {
    rows: &'a [u32],
    /// Of as many rows as there was time for.
    bounds: Vec<f32>,
    /// The best by their bounds, as places in both.
    best: Nearest,
}

impl Bounded<'_> {
    fn new<'a>(sketches: &Sketches, asked: &Asked<'_>, rows: &'a [u32]) -> Bounded<'a> {
        let query = sketches.query(asked.code);
        let mut bounds = Vec::with_capacity(rows.len());
        let mut best = Nearest::new(first(asked.limit));
        let mut worst = f32::NEG_INFINITY;
        for batch in rows.chunks(BATCH_ROWS) {
            if asked.deadline.is_over() {
                break;
            }
            let known = bounds.len();
            sketches.bounds(&query, batch, &mut bounds);
            for (id, &score) in (known as u32..).zip(&bounds[known..]) {
                // Hardly any is among the best.
                if score >= worst {
                    best.push(Scored { score, id });
                    worst = best.worst().map_or(worst, |worst| worst.score);
                }
            }
        }
        Bounded { rows, bounds, best }
    }

    fn best(&self) -> impl Iterator<Item = u32> {
        self.best.iter().map(|best| self.rows[best.id as usize])
    }

    /// The others that may be better than the worst hit. A bound that is no number says nothing.
    fn others(&self, found: &mut Found<'_>) {
        let worst = self.best.worst();
        let mut places = 0..self.bounds.len();
        loop {
            let reached = found.hits.worst().map_or(f32::NEG_INFINITY, |worst| worst.score);
            let may_be_better = |&place: &usize| {
                let (score, id) = (self.bounds[place], place as u32);
                score.is_nan() || score >= reached && worst.is_some_and(|worst| Scored { score, id } < worst)
            };
            let rows = places
                .by_ref()
                .filter(may_be_better)
                .map(|place| self.rows[place]);
            if !found.score_batch(rows) {
                return;
            }
        }
    }
}

/// What a scan has found so far.
struct Found<'a> {
    rows: &'a Rows,
    code: &'a QueryCode,
    deadline: &'a Deadline,
    nearest: Nearest,
    /// Of these, as many as hits are asked for.
    hits: Nearest,
    batch: Vec<u32>,
    scores: Scores,
}

impl<'a> Found<'a> {
    fn new(rows: &'a Rows, asked: &Asked<'a>) -> Found<'a> {
        Found {
            rows,
            code: asked.code,
            deadline: asked.deadline,
            nearest: Nearest::new(asked.kept),
            hits: Nearest::new(asked.limit),
            batch: Vec::with_capacity(BATCH_ROWS),
            scores: Scores::default(),
        }
    }

    /// Scores rows by their codes.
    fn score(&mut self, mut rows: impl Iterator<Item = u32>) {
        while self.score_batch(&mut rows) {}
    }

    /// Scores the next of the rows; whether there were any, and time for them.
    fn score_batch(&mut self, rows: impl Iterator<Item = u32>) -> bool {
        self.batch.clear();
        self.batch.extend(rows.take(BATCH_ROWS));
        if self.batch.is_empty() || self.deadline.is_over() {
            return false;
        }
        self.rows.scores_at(self.code, &self.batch, &mut self.scores);
        let mut worst = self
            .nearest
            .worst()
            .map_or(f32::NEG_INFINITY, |worst| worst.score);
        for (&id, &score) in self.batch.iter().zip(&self.scores.values) {
            // Hardly any is among the best.
            if score >= worst {
                self.nearest.push(Scored { score, id });
                self.hits.push(Scored { score, id });
                worst = self.nearest.worst().map_or(worst, |worst| worst.score);
            }
        }
        true
    }
}

/// How many rows are scored whatever the bounds of the others are.
fn first(limit: usize) -> usize {
    FIRST_MIN.max(FIRST * limit)
}

/// Whether so many rows are enough for their scores to be bounded first.
pub fn is_sketched(rows: usize, limit: usize) -> bool {
    rows >= SKETCHED_MIN * first(limit)
}
