//! The rows of a code: a search along links may pass by a row, and must not if its very vector is asked for.

use xxhash_rust::xxh3::xxh3_64;

use super::codes::{QueryCode, Rows};

/// Rows by the hash of their code, in a table with open places.
pub struct Twins {
    places: Vec<u32>,
}

const FREE: u32 = u32::MAX;

/// Rows of one code that are kept: who asks for the vector of a crowd is content with some of it.
const KEPT_MAX: usize = 128;

impl Twins {
    pub fn new(rows: &Rows) -> Twins {
        let mut twins = Twins {
            // A third stays free, so that few places are looked at.
            places: vec![FREE; rows.len() + rows.len() / 2 + 1],
        };
        for row in 0..rows.len() {
            let code = rows.code(row);
            let mut kept = 0;
            let mut place = twins.first(code);
            while twins.places[place] != FREE && kept < KEPT_MAX {
                kept += usize::from(rows.code(twins.places[place] as usize) == code);
                place = (place + 1) % twins.places.len();
            }
            if kept < KEPT_MAX {
                twins.places[place] = row as u32;
            }
        }
        twins
    }

    pub fn of(&self, rows: &Rows, query: &QueryCode) -> impl Iterator<Item = u32> {
        let code = query.row();
        let first = self.first(&code);
        let (before, after) = self.places.split_at(first);
        let places = after.iter().chain(before).copied();
        places
            .take_while(|&row| row != FREE)
            .filter(move |&row| rows.code(row as usize) == code)
    }

    fn first(&self, code: &[u8]) -> usize {
        // Multiply and shift: even over any number of places.
        ((u128::from(xxh3_64(code)) * self.places.len() as u128) >> 64) as usize
    }
}
