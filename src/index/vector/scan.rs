//! A graph's rows looked at one by one: by their sketches, where there are, and those that may be near by their codes.

use super::codes::{QueryCode, Rows, Scores};
use super::kernel::bits;
use super::linked::{Asked, Linked};
use super::nearest::{Nearest, Scored};
use super::sketch::{LUCK, Sketches};
use crate::index::Deadline;

/// Rows that are scored at once, between two looks at the deadline.
const BATCH_ROWS: usize = 256;

/// Rows that are scored whatever the others' bounds are, for each hit that is asked for: the better they are, the
/// fewer others may be better.
const FIRST: usize = 2;

/// And for few hits.
const FIRST_MIN: usize = 20;

/// Rows for each of these from which on it is worth while to bound scores first.
const SKETCHED_MIN: usize = 12;

impl Linked {
    /// The nearest of all living rows that are allowed, best first.
    pub(super) fn scan(&self, asked: &Asked<'_>, moment: u64) -> Vec<Scored> {
        let eligible = self.eligible(asked, moment);
        let mut found = Found::new(self.graph.rows(), asked);
        match self.graph.sketches() {
            Some(sketches) if is_sketched(eligible.len(), asked.limit) => {
                let mut bounded = Bounded::new(sketches, asked, &eligible);
                bounded.score_best(&mut found);
                bounded.score_others(&mut found);
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
        let query = sketches.frame().query(asked.code, LUCK);
        let mut bounds = vec![0.0; rows.len()];
        let mut best = Nearest::new(first(asked.limit));
        let mut worst = f32::NEG_INFINITY;
        let (mut known, mut places) = (0, Vec::with_capacity(BATCH_ROWS));
        for (rows, bounds) in rows.chunks(BATCH_ROWS).zip(bounds.chunks_mut(BATCH_ROWS)) {
            if asked.deadline.is_over() {
                break;
            }
            sketches.bounds(&query, rows, bounds);
            bits::reaching(bounds, worst, &mut places);
            for &place in &places {
                let score = bounds[place as usize];
                if score >= worst {
                    let id = known as u32 + place;
                    best.push(Scored { score, id });
                    worst = best.worst().map_or(worst, |worst| worst.score);
                }
            }
            known += rows.len();
        }
        bounds.truncate(known);
        Bounded { rows, bounds, best }
    }

    /// Scores the best by their bounds, which are not among the others from now on.
    fn score_best(&mut self, found: &mut Found<'_>) {
        found.score(self.best.iter().map(|best| self.rows[best.id as usize]));
        for best in self.best.iter() {
            self.bounds[best.id as usize] = f32::NEG_INFINITY;
        }
    }

    /// Scores the others that may be better than the worst hit so far.
    fn score_others(&self, found: &mut Found<'_>) {
        let mut places = Vec::with_capacity(BATCH_ROWS);
        for (rows, bounds) in self.rows.chunks(BATCH_ROWS).zip(self.bounds.chunks(BATCH_ROWS)) {
            bits::reaching(bounds, found.reached(), &mut places);
            found
                .batch
                .extend(places.iter().map(|place| rows[*place as usize]));
            if found.batch.len() >= BATCH_ROWS && !found.score_batch() {
                return;
            }
        }
        found.score_batch();
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
            batch: Vec::with_capacity(2 * BATCH_ROWS),
            scores: Scores::default(),
        }
    }

    /// What a row must reach to be a hit: any finite score while there are too few.
    fn reached(&self) -> f32 {
        let worst = self.hits.worst();
        worst.map_or(f32::MIN, |worst| worst.score.max(f32::MIN))
    }

    /// Scores rows by their codes.
    fn score(&mut self, mut rows: impl Iterator<Item = u32>) {
        loop {
            self.batch.extend(rows.by_ref().take(BATCH_ROWS));
            if self.batch.is_empty() || !self.score_batch() {
                return;
            }
        }
    }

    /// Scores the rows of the batch, and empties it; whether there was time.
    fn score_batch(&mut self) -> bool {
        if self.deadline.is_over() {
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
        self.batch.clear();
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
