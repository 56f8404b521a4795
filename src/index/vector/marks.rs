//! Which rows are dead, and since when: so every state sees exactly the rows of its own moment.
//!
//! Marks are shared by all states. A row is marked before the state in which it is dead is published, with that
//! state's moment; states before go on seeing it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The marks of a block's or a graph's rows.
pub struct Marks {
    /// The moment that the others are counted from.
    origin: u64,
    /// When each row died.
    died: Vec<AtomicU32>,
    /// A bit for each row that has ever been marked. Hardly any has, and so searches seldom look for when.
    marked: Vec<AtomicU64>,
}

/// Of a row that is alive.
const NEVER: u32 = u32::MAX;

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

impl Marks {
    /// Of rows that are all alive.
    pub fn alive(rows: usize, origin: u64) -> Marks {
        Marks::all(rows, origin, NEVER, 0)
    }

    /// Of rows that are all dead.
    pub fn dead(rows: usize, origin: u64) -> Marks {
        Marks::all(rows, origin, 0, u64::MAX)
    }

    fn all(rows: usize, origin: u64, died: u32, marked: u64) -> Marks {
        Marks {
            origin,
            died: (0..rows).map(|_| died.into()).collect(),
            marked: (0..rows.div_ceil(BITS)).map(|_| marked.into()).collect(),
        }
    }

    /// Marks of one more row, which is alive.
    pub fn push(&mut self) {
        if self.died.len().is_multiple_of(BITS) {
            self.marked.push(AtomicU64::default());
        }
        self.died.push(AtomicU32::new(NEVER));
    }

    /// Marks a row as dead from a moment on.
    pub fn kill(&self, row: usize, moment: u64) {
        if let Some(died) = self.died.get(row) {
            died.store(self.number(moment), Ordering::Relaxed);
            self.marked[row / BITS].fetch_or(1 << (row % BITS), Ordering::Relaxed);
        }
    }

    /// Takes a mark back that no published state has seen.
    pub fn revive(&self, row: usize) {
        if let Some(died) = self.died.get(row) {
            died.store(NEVER, Ordering::Relaxed);
        }
    }

    /// Who is alive at a moment.
    pub fn at(&self, moment: u64) -> impl Fn(u32) -> bool + Copy {
        let moment = self.number(moment);
        move |row| {
            let row = row as usize;
            self.died.get(row).is_some_and(|died| {
                let marked = self.marked[row / BITS].load(Ordering::Relaxed);
                marked >> (row % BITS) & 1 == 0 || died.load(Ordering::Relaxed) > moment
            })
        }
    }

    /// A moment in 32 bits. The 2^32nd deletion after the origin and those after it are one moment: a state that
    /// old misses what was deleted since, and no state sees what is dead.
    fn number(&self, moment: u64) -> u32 {
        let number = u32::try_from(moment.saturating_sub(self.origin));
        number.unwrap_or(NEVER).min(NEVER - 1)
    }
}

impl Clone for Marks {
    fn clone(&self) -> Self {
        let died = self.died.iter().map(|died| died.load(Ordering::Relaxed).into());
        let marked = self.marked.iter().map(|word| word.load(Ordering::Relaxed).into());
        Marks {
            origin: self.origin,
            died: died.collect(),
            marked: marked.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_sees_the_rows_that_were_alive_then() {
        let mut marks = Marks::alive(2, 100);
        marks.kill(0, 103);
        marks.push();
        let alive = |moment| [0, 1, 2].map(marks.at(moment));
        assert_eq!(alive(102), [true, true, true]);
        assert_eq!(alive(103), [false, true, true]);
        assert!(!marks.at(103)(3), "there is no such row");
        let later = marks.clone();
        later.kill(1, 104);
        assert_eq!(alive(104), [false, true, true], "a copy has a life of its own");
    }

    #[test]
    fn rows_are_added_one_by_one() {
        let mut marks = Marks::alive(0, 0);
        for row in 0..200 {
            assert!(!marks.at(0)(row));
            marks.push();
            if row % 3 == 0 {
                marks.kill(row as usize, 1);
            }
        }
        assert!((0..200).all(marks.at(0)));
        assert!((0..200).all(|row| marks.at(1)(row) == (row % 3 != 0)));
    }

    #[test]
    fn what_died_before_the_marks_or_long_after_is_dead() {
        let marks = Marks::alive(2, 100);
        marks.kill(0, 7);
        marks.kill(1, 100 + (1 << 40));
        assert_eq!([0, 1].map(marks.at(100)), [false, true]);
        assert_eq!([0, 1].map(marks.at(100 + (1 << 41))), [false, false]);
        let dead = Marks::dead(1, 100);
        assert!(!dead.at(100)(0));
        dead.revive(0);
        assert!(dead.at(1 << 50)(0));
    }
}
