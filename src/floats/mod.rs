//! Where the floats of vectors lie: in rows of large chunks, or in a mapped file.
//!
//! A search scores a few dozen vectors that lie all over the memory. In chunks on huge pages finding them takes less
//! time than in an allocation each, and nothing is lost between them. A chunk that is full can be moved to a file, while
//! others read in it ([`Spool`]).
//!
//! - `region`: memory that the system gives, and puts a file in the place of
//! - `chunk`: rows of one length in it
//! - `slab`: which rows are free, in all chunks of a length
//! - `spool`: the file

mod region;
mod chunk;
mod slab;
mod spool;

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

pub use spool::Spool;

/// Floats that never change: a handle of one word, whose clones share them.
#[derive(Clone, Debug)]
pub struct Floats(Arc<Place>);

#[derive(Debug)]
enum Place {
    Row(slab::Row),
    /// As they lie in a mapped file, at an address where floats may be.
    Stored(Box<Bytes>),
}

impl Floats {
    /// A copy of these.
    pub fn new(floats: &[f32]) -> Floats {
        Floats(Arc::new(Place::Row(slab::Row::of(floats))))
    }

    /// Floats in little-endian order; copied only where they cannot be used as they lie.
    pub fn stored(bytes: Bytes) -> Floats {
        if cfg!(target_endian = "little") && bytemuck::try_cast_slice::<u8, f32>(&bytes).is_ok() {
            return Floats(Arc::new(Place::Stored(Box::new(bytes))));
        }
        let floats = bytes.as_chunks().0.iter();
        let floats: Vec<f32> = floats.map(|float| f32::from_le_bytes(*float)).collect();
        Floats::new(&floats)
    }

    /// The floats, without making them resident where they lie on disk: those are copied to `room`.
    ///
    /// For all who read many vectors. Through `deref` the system keeps what has been read, and its neighbourhood, mapped.
    pub fn read<'a>(&'a self, room: &'a mut Vec<f32>) -> &'a [f32] {
        match &*self.0 {
            Place::Row(row) => row.read(room),
            Place::Stored(bytes) => bytemuck::cast_slice(bytes),
        }
    }

    /// Whether both are one.
    pub fn is_same(&self, other: &Floats) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.0 {
            Place::Row(row) => row,
            Place::Stored(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
