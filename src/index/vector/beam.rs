//! Best-first search along links: the loop in which a query, and the building of a graph, spend their time.
//!
//! HNSW's `SEARCH-LAYER` (Malkov and Yashunin, 2016), with one sorted pool in the place of its two heaps, and with the
//! beams of DiskANN (Subramanya et al., 2019): a few of the best rows are looked at together.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::codes::{QueryCode, Rows, Scores};
use super::links::Links;
use super::nearest::Scored;
use super::pool::Pool;
use super::way::Bits;

/// How much a search looks at, and how much of that it returns.
#[derive(Clone, Copy)]
pub struct Breadth {
    /// Rows whose neighbours are looked at, as long as they are the best. HNSW's ef.
    pub width: usize,
    /// Rows that are returned, at least as many. Those beyond the width cost nothing, and where codes are inexact
    /// some of the nearest are among them.
    pub kept: usize,
}

/// Rows whose neighbours are looked at together, at most: to wait for the memory of several takes as long as for one.
const AT_ONCE_MAX: usize = 4;

/// Of the width, the share that is looked at together: the others may turn out to be none of the best.
const AT_ONCE_SHARE: usize = 8;

impl Breadth {
    fn at_once(self) -> usize {
        (self.width / AT_ONCE_SHARE).clamp(1, AT_ONCE_MAX)
    }
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
    best: Best,
    /// Rows to be scored.
    fresh: Vec<u32>,
    /// Rows to be stepped over.
    near: Vec<u32>,
}

/// Beams of searches that have ended, for those to come: a thread that asks may be a new one each time.
pub struct Beams {
    put: Sender<Beam>,
    take: Receiver<Beam>,
}

/// Beams that are kept: of so many searches at a time.
const BEAMS_MAX: usize = 64;

impl Beams {
    pub fn new() -> Beams {
        let (put, take) = bounded(BEAMS_MAX);
        Beams { put, take }
    }

    /// Lends a beam to a search.
    pub fn lend<T>(&self, search: impl FnOnce(&mut Beam) -> T) -> T {
        let mut beam = self.take.try_recv().unwrap_or_default();
        let found = search(&mut beam);
        // One too many is dropped.
        let _ = self.put.try_send(beam);
        found
    }
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
        self.begin(rows, links, query, start, breadth);
        let at_once = breadth.at_once();
        loop {
            let looked_at = self.best.pool.next_few(at_once);
            if looked_at.is_empty() {
                return self.best.pool.found();
            }
            let met = self.seen.rows.len();
            for &row in looked_at {
                self.seen.insert_all(links.of(row));
            }
            // Mostly none of those met now is better.
            let next = self.best.pool.left().take(at_once);
            next.for_each(|row| links.prefetch(row));
            self.best.take(&self.seen.rows[met..], rows, links, query);
        }
    }

    /// The same among the rows that are eligible, where so few are that links between them are rare: a neighbour
    /// that is not is stepped over to its own neighbours (ACORN: Patel et al., 2024).
    pub fn search_among(
        &mut self,
        rows: &Rows,
        links: &impl Links,
        query: &QueryCode,
        start: &[u32],
        breadth: Breadth,
        eligible: &Bits,
    ) -> Vec<Scored> {
        self.begin(rows, links, query, start, breadth);
        while let &[row] = self.best.pool.next_few(1) {
            self.fresh.clear();
            self.near.clear();
            for &row in self.seen.insert_all(links.of(row)) {
                match eligible.contains(row) {
                    true => self.fresh.push(row),
                    false => self.near.push(row),
                }
            }
            self.near.iter().for_each(|&row| links.look_up(row));
            self.near.iter().for_each(|&row| links.prefetch(row));
            for &row in &self.near {
                let fresh = self.seen.insert_among(links.of(row), eligible);
                self.fresh.extend_from_slice(fresh);
            }
            self.best.take(&self.fresh, rows, links, query);
        }
        self.best.pool.found()
    }

    /// The nearest row that going to an ever nearer neighbour leads to.
    pub fn descend(&mut self, rows: &Rows, links: &impl Links, query: &QueryCode, start: Scored) -> Scored {
        let mut here = start;
        loop {
            let neighbours = links.of(here.id);
            rows.scores_at(query, neighbours, &mut self.best.scores);
            let found = neighbours
                .iter()
                .zip(&self.best.scores.values)
                .map(|(&id, &score)| Scored { score, id });
            match found.max() {
                Some(better) if better > here => here = better,
                _ => return here,
            }
        }
    }

    fn begin(&mut self, rows: &Rows, links: &impl Links, query: &QueryCode, start: &[u32], breadth: Breadth) {
        self.seen.reset(rows.len());
        self.best.pool.reset(breadth);
        let fresh = self.seen.insert_all(start);
        self.best.take(fresh, rows, links, query);
    }
}

/// The best rows, and the scores of those that may be among them.
#[derive(Default)]
struct Best {
    pool: Pool,
    scores: Scores,
}

impl Best {
    fn take(&mut self, fresh: &[u32], rows: &Rows, links: &impl Links, query: &QueryCode) {
        rows.scores_at(query, fresh, &mut self.scores);
        let mut worst = self.pool.worst();
        for (&row, &score) in fresh.iter().zip(&self.scores.values) {
            if score > worst {
                self.pool.insert(score, row);
                links.look_up(row);
                worst = self.pool.worst();
            }
        }
    }
}

/// A set of rows. Emptying it costs as much as it holds.
#[derive(Default)]
struct Seen {
    words: Vec<u64>,
    /// In the order in which they came.
    rows: Vec<u32>,
}

impl Seen {
    fn reset(&mut self, rows: usize) {
        for row in self.rows.drain(..) {
            self.words[row as usize / 64] = 0;
        }
        let words = rows.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Inserts rows, and returns those that are new.
    fn insert_all(&mut self, rows: &[u32]) -> &[u32] {
        self.insert_if(rows, |_| true)
    }

    /// Inserts the eligible ones of some rows, and returns those that are new.
    fn insert_among(&mut self, rows: &[u32], eligible: &Bits) -> &[u32] {
        self.insert_if(rows, |row| eligible.contains(row))
    }

    #[inline(always)]
    fn insert_if(&mut self, rows: &[u32], may: impl Fn(u32) -> bool) -> &[u32] {
        // Written without branches, which could not be foreseen.
        let start = self.rows.len();
        self.rows.resize(start + rows.len(), 0);
        let mut len = start;
        for &row in rows {
            let (word, bit) = (
                &mut self.words[row as usize / 64],
                u64::from(may(row)) << (row % 64),
            );
            self.rows[len] = row;
            len += usize::from(bit & !*word != 0);
            *word |= bit;
        }
        self.rows.truncate(len);
        &self.rows[start..]
    }
}
