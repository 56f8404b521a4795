//! What hits are scored by: vectors, or rows that keep enough of them.

use super::SharedVector;
use super::codes::Rows;
use super::kernel;

/// What a hit is scored by.
pub enum Original<'a> {
    Vector(&'a SharedVector),
    /// A row of int16.
    Row(&'a Rows, usize),
}

impl Original<'_> {
    /// Asks the memory where the numbers are.
    pub fn look_up(&self) {
        match self {
            Original::Vector(vector) => kernel::prefetch(&vector[..vector.len().min(1)]),
            Original::Row(..) => {}
        }
    }

    /// Asks the memory for the numbers.
    pub fn prefetch(&self) {
        match self {
            Original::Vector(vector) => kernel::prefetch(vector),
            Original::Row(rows, row) => rows.prefetch(*row),
        }
    }

    /// The numbers, in `room` where they are not in memory as they are.
    pub fn read<'a>(&'a self, room: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Original::Vector(vector) => vector.read(room),
            Original::Row(rows, row) => rows.restore(*row, room),
        }
    }
}
