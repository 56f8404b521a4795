//! Best-first search along links: the loop in which a query, and the building of a graph, spend their time.
//!
//! HNSW's `SEARCH-LAYER` (Malkov and Yashunin, 2016), with one sorted pool in the place of its two heaps.

use super::codes::{QueryCode, Rows, Scores};
use super::links::Links;
use super::nearest::Scored;

/// How much a search looks at, and how much of that it returns.
#[derive(Clone, Copy)]
pub struct Breadth {
    /// Rows whose neighbours are looked at, as long as they are the best. HNSW's ef.
    pub width: usize,
    /// Rows that are returned, at least as many. Those beyond the width cost nothing, and where codes are inexact
    /// some of the nearest are among them.
    pub kept: usize,
}

impl From<usize> for Breadth {
    fn from(width: usize) -> Breadth {
        Breadth { width, kept: width }
    }
}

/// A search's memory, used again by the next one.
#[derive(Default)]
pub struct Beam {
    seen: Seen,
    pool: Pool,
    fresh: Vec<u32>,
    scores: Scores,
}

impl Beam {
    /// The rows nearest to the query, best first, found from `start` along links.
    pub fn search(
        &mut self,
        rows: &Rows,
        links: &impl Links,
        query: &QueryCode,
        start: &[u32],
        breadth: Breadth,
    ) -> Vec<Scored> {
        self.begin(rows, query, start, breadth);
        while let Some(row) = self.pool.next() {
            self.seen.insert_all(links.of(row), &mut self.fresh);
            self.take_fresh(rows, query);
            if let Some(row) = self.pool.peek() {
                links.prefetch(row);
            }
        }
        self.pool.found()
    }

    /// The same among the rows that `passes` lets pass, where so few do that links between them are rare: a neighbour
    /// that does not pass is stepped over to its own neighbours (ACORN: Patel et al., 2024).
    pub fn search_among(
        &mut self,
        rows: &Rows,
        links: &impl Links,
        query: &QueryCode,
        start: &[u32],
        breadth: Breadth,
        passes: impl Fn(u32) -> bool,
    ) -> Vec<Scored> {
        self.begin(rows, query, start, breadth);
        while let Some(row) = self.pool.next() {
            for &neighbour in links.of(row) {
                if !self.seen.insert(neighbour) {
                    continue;
                }
                if passes(neighbour) {
                    self.fresh.push(neighbour);
                    continue;
                }
                let beyond = links.of(neighbour).iter().copied();
                self.fresh
                    .extend(beyond.filter(|&row| passes(row) && self.seen.insert(row)));
            }
            self.take_fresh(rows, query);
        }
        self.pool.found()
    }

    /// The nearest row that going to an ever nearer neighbour leads to.
    pub fn descend(&mut self, rows: &Rows, links: &impl Links, query: &QueryCode, start: Scored) -> Scored {
        let mut here = start;
        loop {
            let neighbours = links.of(here.id);
            rows.scores_at(query, neighbours, &mut self.scores);
            let found = neighbours
                .iter()
                .zip(&self.scores.values)
                .map(|(&id, &score)| Scored { score, id });
            match found.max() {
                Some(better) if better > here => here = better,
                _ => return here,
            }
        }
    }

    fn begin(&mut self, rows: &Rows, query: &QueryCode, start: &[u32], breadth: Breadth) {
        self.seen.reset(rows.len());
        self.pool.reset(breadth);
        self.fresh.clear();
        self.fresh
            .extend(start.iter().copied().filter(|&row| self.seen.insert(row)));
        self.take_fresh(rows, query);
    }

    fn take_fresh(&mut self, rows: &Rows, query: &QueryCode) {
        rows.scores_at(query, &self.fresh, &mut self.scores);
        let mut worst = self.pool.worst();
        for (&row, &score) in self.fresh.iter().zip(&self.scores.values) {
            if score > worst {
                self.pool.insert(score, row);
                worst = self.pool.worst();
            }
        }
        self.fresh.clear();
    }
}

/// The best rows so far, best first, and which of them have been looked at.
#[derive(Default)]
struct Pool {
    /// Only the neighbours of the best so many are looked at.
    width: usize,
    /// So many are kept.
    kept: usize,
    places: Vec<Place>,
    /// All before have been looked at.
    next: usize,
}

#[derive(Clone, Copy)]
struct Place {
    score: f32,
    row: u32,
    is_done: bool,
}

impl Pool {
    fn reset(&mut self, breadth: Breadth) {
        self.width = breadth.width.max(1);
        self.kept = breadth.kept.max(self.width);
        self.places.clear();
        self.next = 0;
    }

    /// What a score must exceed to be taken.
    fn worst(&self) -> f32 {
        let worst = self.places.get(self.kept - 1);
        worst.map_or(f32::NEG_INFINITY, |worst| worst.score)
    }

    fn insert(&mut self, score: f32, row: u32) {
        self.places.truncate(self.kept - 1);
        let place = self.places.partition_point(|better| better.score >= score);
        self.places.insert(
            place,
            Place {
                score,
                row,
                is_done: false,
            },
        );
        self.next = self.next.min(place);
    }

    /// The best row that has not been looked at; it has been now.
    fn next(&mut self) -> Option<u32> {
        while self.next < self.width
            && let Some(place) = self.places.get_mut(self.next)
        {
            self.next += 1;
            if !place.is_done {
                place.is_done = true;
                return Some(place.row);
            }
        }
        None
    }

    /// The best row that has not been looked at.
    fn peek(&self) -> Option<u32> {
        let end = self.width.min(self.places.len());
        let left = self.places.get(self.next..end)?;
        left.iter().find(|place| !place.is_done).map(|place| place.row)
    }

    fn found(&self) -> Vec<Scored> {
        let places = self.places.iter();
        places
            .map(|&Place { score, row, .. }| Scored { score, id: row })
            .collect()
    }
}

/// A set of rows. Emptying it costs as much as it held.
#[derive(Default)]
struct Seen {
    words: Vec<u64>,
    touched: Vec<u32>,
}

impl Seen {
    fn reset(&mut self, rows: usize) {
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
        let words = rows.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Inserts rows, and appends those that are new.
    fn insert_all(&mut self, rows: &[u32], new: &mut Vec<u32>) {
        // Written without branches, which could not be foreseen.
        let mut len = new.len();
        new.resize(len + rows.len(), 0);
        for &row in rows {
            let (word, bit) = (&mut self.words[row as usize / 64], 1_u64 << (row % 64));
            if *word == 0 {
                self.touched.push(row / 64);
            }
            new[len] = row;
            len += usize::from(*word & bit == 0);
            *word |= bit;
        }
        new.truncate(len);
    }

    /// Whether the row is new.
    fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.words[row as usize / 64], 1 << (row % 64));
        let is_new = *word & bit == 0;
        if *word == 0 {
            self.touched.push(row / 64);
        }
        *word |= bit;
        is_new
    }
}
