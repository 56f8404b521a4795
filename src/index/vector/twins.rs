//! The rows of a code: a search along links may pass by a row, and must not if its very vector is asked for.

use xxhash_rust::xxh3::xxh3_64;

use super::codes::{QueryCode, Rows};

/// Rows by the hash of their code: the last row of each code in a table with open places, and behind it the others.
pub struct Twins {
    places: Vec<u32>,
    /// By row: another row of its code.
    others: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Twins {
    pub fn new(rows: &Rows) -> Twins {
        let mut twins = Twins {
            // A third stays free, so that few places are looked at.
            places: vec![NONE; rows.len() + rows.len() / 2 + 1],
            others: vec![NONE; rows.len()],
        };
        for row in 0..rows.len() {
            let place = twins.place(rows, rows.code(row));
            twins.others[row] = std::mem::replace(&mut twins.places[place], row as u32);
        }
        twins
    }

    pub fn of(&self, rows: &Rows, query: &QueryCode) -> impl Iterator<Item = u32> {
        let known = |row: u32| (row != NONE).then_some(row);
        let last = known(self.places[self.place(rows, &query.row())]);
        std::iter::successors(last, move |&row| known(self.others[row as usize]))
    }

    /// Where the last row of a code is, or would be.
    fn place(&self, rows: &Rows, code: &[u8]) -> usize {
        // Multiply and shift: even over any number of places.
        let mut place = ((u128::from(xxh3_64(code)) * self.places.len() as u128) >> 64) as usize;
        while self.places[place] != NONE && rows.code(self.places[place] as usize) != code {
            place = (place + 1) % self.places.len();
        }
        place
    }
}
