//! Rows of floats, all of one length, in memory or in a file.

use std::sync::{OnceLock, PoisonError, RwLock};

use super::region::Region;
use super::spool::{Extent, Spool};

/// Rows of floats, numbered from 0.
///
/// | a row is       | its floats                                                                         |
/// |----------------|------------------------------------------------------------------------------------|
/// | free           | nobody reads or writes                                                             |
/// | handed out     | its owner writes once, and nobody reads before                                     |
/// | written        | anybody who has it reads, and nobody writes until it is free again                 |
///
/// Who is handed which row is up to the slab.
#[derive(Debug)]
pub struct Chunk {
    /// Among the chunks of its slab, in the order of their age.
    pub number: u64,
    /// Floats of a row.
    length: usize,
    region: Region,
    /// Held by many while they write their rows, and by one alone while it moves the chunk.
    is_moving: RwLock<()>,
    /// Where the chunk lies, once it has been moved.
    moved: OnceLock<Extent>,
}

const FLOAT_BYTES: usize = size_of::<f32>();

impl Chunk {
    /// A chunk of `bytes`, a whole number of pages, or as many more as one row needs; for good or until it is moved.
    pub fn new(number: u64, length: usize, bytes: usize, is_to_move: bool) -> Chunk {
        let bytes = bytes.max(row_bytes(length).next_multiple_of(PAGE_MAX));
        let region = match is_to_move {
            true => Region::small(bytes),
            false => Region::huge(bytes),
        };
        Chunk {
            number,
            length,
            region,
            is_moving: RwLock::new(()),
            moved: OnceLock::new(),
        }
    }

    /// Floats of a row.
    pub fn length(&self) -> usize {
        self.length
    }

    pub fn bytes(&self) -> usize {
        self.region.bytes()
    }

    pub fn rows(&self) -> u32 {
        let rows = self.region.bytes() / row_bytes(self.length);
        u32::try_from(rows).unwrap_or(u32::MAX)
    }

    /// Where a row begins, in bytes.
    fn start(&self, row: u32) -> usize {
        let start = row as usize * row_bytes(self.length);
        assert!(
            start + row_bytes(self.length) <= self.region.bytes(),
            "row {row} is in its chunk"
        );
        start
    }

    /// Writes a row; whether it could be written.
    ///
    /// # Safety
    /// The row is handed out to the caller, who has shown it to nobody.
    pub unsafe fn write(&self, row: u32, floats: &[f32]) -> bool {
        assert_eq!(floats.len(), self.length, "rows are of one length");
        let start = self.start(row);
        let _stays = self.is_moving.read().unwrap_or_else(PoisonError::into_inner);
        match self.moved.get() {
            Some(extent) => extent.write(start, bytemuck::cast_slice(floats)),
            None => {
                // SAFETY: `start` says that the row lies in the region, which is aligned to pages, and rows to floats.
                // Nobody else reads or writes the row, by the caller's promise; and the region is memory, as nobody
                // moves the chunk while the lock is held.
                unsafe {
                    let to = self.region.start().add(start).cast::<f32>();
                    std::ptr::copy_nonoverlapping(floats.as_ptr(), to.as_ptr(), floats.len());
                }
                true
            }
        }
    }

    /// The floats of a row.
    ///
    /// # Safety
    /// The row has been written, before the caller came to know of it, and does not become free during the life time.
    pub unsafe fn get(&self, row: u32) -> &[f32] {
        let start = self.start(row);
        // SAFETY: `start` says that the row lies in the region, aligned as floats are. Nobody writes to it, by the
        // caller's promise, and a move puts the same bytes in its place.
        unsafe {
            let floats = self.region.start().add(start).cast::<f32>();
            std::slice::from_raw_parts(floats.as_ptr(), self.length)
        }
    }

    /// The same; if the chunk lies on disk, in `room` rather than in pages that become resident.
    ///
    /// # Safety
    /// That of [`Chunk::get`].
    pub unsafe fn read<'a>(&'a self, row: u32, room: &'a mut Vec<f32>) -> &'a [f32] {
        if let Some(extent) = self.moved.get() {
            room.resize(self.length, 0.0);
            if extent.read(self.start(row), bytemuck::cast_slice_mut(room)) {
                return room;
            }
            // The mapping knows no better, but where it fails nothing goes on with a wrong vector.
        }
        // SAFETY: the caller's.
        unsafe { self.get(row) }
    }

    /// Moves the chunk to a file, unless it lies in one; if the file does not take it, it stays in memory.
    ///
    /// All its rows have been handed out at some time.
    pub fn move_to(&self, spool: &Spool) {
        let _alone = self.is_moving.write().unwrap_or_else(PoisonError::into_inner);
        if self.moved.get().is_some() {
            return;
        }
        // SAFETY: the region is memory, all of it has a value, and nobody writes to it: rows are written under the lock.
        let bytes = unsafe { std::slice::from_raw_parts(self.region.start().as_ptr(), self.region.bytes()) };
        let moved = spool.take(bytes).and_then(|extent| {
            // SAFETY: the file has these bytes, and only rows that are handed out are written to it. From now on they
            // are: who writes the next row finds where the chunk lies.
            unsafe { self.region.replace(extent.file(), extent.offset())? };
            Ok(extent)
        });
        match moved {
            // It has been empty, as it is set under the lock.
            Ok(extent) => drop(self.moved.set(extent)),
            Err(error) => spool.warn_of(&error),
        }
    }

    /// Whether it lies on disk.
    #[cfg(test)]
    pub fn is_moved(&self) -> bool {
        self.moved.get().is_some()
    }
}

/// Rows without floats take the room of one.
fn row_bytes(length: usize) -> usize {
    length.max(1) * FLOAT_BYTES
}

/// The largest page of any machine: a file is mapped from a whole one on.
const PAGE_MAX: usize = 64 << 10;
