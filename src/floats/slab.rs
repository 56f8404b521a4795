//! Which rows are free, in all chunks of rows of one length.
//!
//! A row that becomes free is handed out again before a new chunk is made, and of chunks with room the oldest is filled
//! first: so under churn others become empty, and go.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::chunk::Chunk;
use super::spool::{Spool, SpoolFile};

/// One written row, until this is dropped.
#[derive(Debug)]
pub struct Row {
    chunk: Arc<Chunk>,
    number: u32,
}

/// Bytes of the first chunk. Each after it is as large as all before, up to the last: so no more than half is unused.
const CHUNK_BYTES_MIN: usize = 64 << 10;
/// Some huge pages.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Where it is to be moved: until it is full, a chunk takes memory.
const CHUNK_BYTES_MAX_ON_DISK: usize = 1 << 20;

/// The chunks of all rows of one length.
#[derive(Default)]
struct Slab {
    /// By number.
    chunks: BTreeMap<u64, Rows>,
    /// Chunks that have rows to hand out.
    with_room: BTreeSet<u64>,
    bytes: usize,
    made: u64,
    /// Where chunks that are full are moved to.
    spool: Weak<SpoolFile>,
}

/// Which rows of a chunk are free.
struct Rows {
    chunk: Arc<Chunk>,
    /// Rows from here on have never been handed out.
    fresh: u32,
    freed: Vec<u32>,
    /// The disk took no row: none is handed out any more.
    is_sealed: bool,
}

/// By the length of their rows. Vectors come and go on many threads, but each takes far longer to make than a row to find.
static SLABS: Mutex<BTreeMap<usize, Slab>> = Mutex::new(BTreeMap::new());

fn slabs() -> MutexGuard<'static, BTreeMap<usize, Slab>> {
    SLABS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Row {
    /// A row with a copy of these floats.
    pub fn of(floats: &[f32]) -> Row {
        loop {
            let (row, full) = Row::hand_out(floats.len());
            // SAFETY: the row has just been handed out, and is known here only.
            if unsafe { row.chunk.write(row.number, floats) } {
                if let Some(spool) = full {
                    row.chunk.move_to(&spool);
                }
                return row;
            }
            // The next one is of another chunk. This one becomes free, as it is dropped.
            if let Some(slab) = slabs().get_mut(&floats.len()) {
                slab.seal(row.chunk.number);
            }
        }
    }

    /// A row that is free; and the file for its chunk, if there is one and this was its last fresh row.
    fn hand_out(length: usize) -> (Row, Option<Spool>) {
        let mut slabs = slabs();
        let slab = slabs.entry(length).or_default();
        let number = match slab.with_room.first() {
            Some(number) => *number,
            None => slab.add(length),
        };
        let Some(rows) = slab.chunks.get_mut(&number) else {
            unreachable!("chunks with room are chunks")
        };
        let chunk = rows.chunk.clone();
        let (number, is_fresh) = match rows.freed.pop() {
            Some(number) => (number, false),
            None => (rows.fresh, true),
        };
        rows.fresh += u32::from(is_fresh);
        let is_full = rows.fresh == chunk.rows();
        if is_full && rows.freed.is_empty() {
            slab.with_room.remove(&chunk.number);
        }
        let spool = slab.spool.upgrade().filter(|_| is_full && is_fresh).map(Spool);
        (Row { chunk, number }, spool)
    }

    /// The floats, without making them resident where they lie on disk.
    pub fn read<'a>(&'a self, room: &'a mut Vec<f32>) -> &'a [f32] {
        // SAFETY: a row is written before anybody has it, and free only when it is dropped.
        unsafe { self.chunk.read(self.number, room) }
    }
}

impl Deref for Row {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: as in `read`.
        unsafe { self.chunk.get(self.number) }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let mut slabs = slabs();
        let length = self.chunk.length();
        let Some(slab) = slabs.get_mut(&length) else {
            return;
        };
        slab.take_back(self);
        if slab.chunks.is_empty() && slab.spool.strong_count() == 0 {
            slabs.remove(&length);
        }
        // If that was the last row of its chunk, the memory goes with this row, and without the lock.
    }
}

impl Slab {
    /// Makes one more chunk.
    fn add(&mut self, length: usize) -> u64 {
        let is_to_move = self.spool.strong_count() > 0;
        let bytes_max = match is_to_move {
            true => CHUNK_BYTES_MAX_ON_DISK,
            false => CHUNK_BYTES_MAX,
        };
        let bytes = self.bytes.clamp(CHUNK_BYTES_MIN, bytes_max);
        let number = self.made;
        let chunk = Chunk::new(number, length, bytes, is_to_move);
        self.made += 1;
        self.bytes += chunk.bytes();
        self.with_room.insert(number);
        let rows = Rows {
            chunk: Arc::new(chunk),
            fresh: 0,
            freed: Vec::new(),
            is_sealed: false,
        };
        self.chunks.insert(number, rows);
        number
    }

    /// Takes a row back; and lets go of its chunk, if that has no other one.
    fn take_back(&mut self, row: &Row) {
        let (number, chunks) = (row.chunk.number, self.chunks.len());
        let Some(rows) = self.chunks.get_mut(&number) else {
            return;
        };
        rows.freed.push(row.number);
        let is_empty = rows.freed.len() == rows.fresh as usize;
        if !rows.is_sealed {
            self.with_room.insert(number);
        }
        // If it is the only one with room, the next row would make it again, and be the next to take it away.
        let is_spare = rows.is_sealed || self.with_room.len() > 1 || chunks == 1;
        if is_empty && is_spare {
            self.bytes -= rows.chunk.bytes();
            self.with_room.remove(&number);
            self.chunks.remove(&number);
        }
    }

    /// Hands out no row of a chunk any more.
    fn seal(&mut self, number: u64) {
        self.with_room.remove(&number);
        if let Some(rows) = self.chunks.get_mut(&number) {
            rows.is_sealed = true;
        }
    }
}

/// The file that full chunks of rows of a length go to: the one that they go to already, or that `make` gives.
///
/// Chunks that are full are moved at once.
pub fn spool<E>(length: usize, make: impl FnOnce() -> Result<Spool, E>) -> Result<Spool, E> {
    let mut slabs = slabs();
    let slab = slabs.entry(length).or_default();
    if let Some(known) = slab.spool.upgrade() {
        return Ok(Spool(known));
    }
    let spool = make()?;
    slab.spool = Arc::downgrade(&spool.0);
    let full = slab
        .chunks
        .values()
        .filter(|rows| rows.fresh == rows.chunk.rows());
    let full: Vec<Arc<Chunk>> = full.map(|rows| rows.chunk.clone()).collect();
    drop(slabs);
    full.iter().for_each(|chunk| chunk.move_to(&spool));
    Ok(spool)
}

/// How many chunks there are of rows of a length, and how many of those lie on disk.
#[cfg(test)]
pub fn chunks(length: usize) -> (usize, usize) {
    let slabs = slabs();
    let chunks = slabs
        .get(&length)
        .into_iter()
        .flat_map(|slab| slab.chunks.values());
    let moved: Vec<bool> = chunks.map(|rows| rows.chunk.is_moved()).collect();
    (moved.len(), moved.iter().filter(|moved| **moved).count())
}
