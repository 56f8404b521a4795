//! Entries of a row file: key, version and row, in compressed blocks that each name the columns of their rows once.
//!
//! A block is the lengths of what follows, compressed and plain, as little-endian `u32`, then zstd: the shapes of its rows,
//! then its entries, as postcard. The part's checksum covers all of it.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{StoredKey, StoredState};
use crate::change::{Columns, Datum, DatumRef, Key, Row, Version};

/// Plain bytes of a block, one entry more or less: what a reader holds of each part at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// Plain bytes that a block may say to have, as an entry may be a row of a large message: a reader makes room for them.
const PLAIN_BYTES_MAX: usize = 1 << 30;

/// Fast, and rows shrink to about a third.
const COMPRESSION: i32 = 1;

/// A key, and what is known of it now: `None` for nothing any more.
pub(super) type Entry = (Key, Option<StoredKey>);

/// What postcard reads of an entry; [`Put`] is the same from references.
#[derive(Deserialize)]
struct Got {
    key: Key,
    state: Option<GotState>,
}

#[derive(Deserialize)]
enum GotState {
    Row(Version, GotRow),
    Deleted(Version, Option<GotRow>),
}

#[derive(Deserialize)]
struct GotRow {
    /// The place in the block's shapes.
    columns: u32,
    values: Box<[Datum]>,
}

#[derive(Serialize)]
struct Put<'a> {
    key: &'a Key,
    state: Option<PutState<'a>>,
}

#[derive(Serialize)]
enum PutState<'a> {
    Row(&'a Version, PutRow<'a>),
    Deleted(&'a Version, Option<PutRow<'a>>),
}

#[derive(Serialize)]
struct PutRow<'a> {
    columns: u32,
    values: Vec<DatumRef<'a>>,
}

/// Writes entries in blocks.
pub(super) struct BlockWriter<'a> {
    out: &'a mut dyn Write,
    compressor: zstd::bulk::Compressor<'static>,
    shapes: Shapes,
    entries: Vec<u8>,
    count: u64,
}

impl<'a> BlockWriter<'a> {
    pub fn new(out: &'a mut dyn Write) -> io::Result<BlockWriter<'a>> {
        Ok(BlockWriter {
            out,
            compressor: zstd::bulk::Compressor::new(COMPRESSION)?,
            shapes: Shapes::default(),
            entries: Vec::new(),
            count: 0,
        })
    }

    pub fn push(&mut self, key: &Key, state: Option<&StoredKey>) -> io::Result<()> {
        let shapes = &mut self.shapes;
        let mut row = |row: &Row| shapes.place(row.columns());
        let state = state.map(|StoredKey { version, state }| match state {
            StoredState::Row(stored) => {
                let columns = row(stored);
                PutState::Row(version, PutRow::new(columns, stored))
            }
            StoredState::Deleted { before } => {
                let before = before.as_ref().map(|stored| PutRow::new(row(stored), stored));
                PutState::Deleted(version, before)
            }
        });
        self.entries = postcard::to_extend(&Put { key, state }, std::mem::take(&mut self.entries))
            .map_err(io::Error::other)?;
        self.count += 1;
        if self.entries.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Ends the last block; how many entries there are.
    pub fn finish(mut self) -> io::Result<u64> {
        if !self.entries.is_empty() {
            self.end_block()?;
        }
        Ok(self.count)
    }

    fn end_block(&mut self) -> io::Result<()> {
        let mut plain = postcard::to_stdvec(&self.shapes.list).map_err(io::Error::other)?;
        plain.append(&mut self.entries);
        if plain.len() > PLAIN_BYTES_MAX {
            return Err(io::Error::other(format!(
                "a row takes more than {PLAIN_BYTES_MAX} bytes"
            )));
        }
        let compressed = self.compressor.compress(&plain)?;
        for length in [compressed.len(), plain.len()] {
            let length = u32::try_from(length).map_err(io::Error::other)?;
            self.out.write_all(&length.to_le_bytes())?;
        }
        self.shapes = Shapes::default();
        self.out.write_all(&compressed)
    }
}

impl<'a> PutRow<'a> {
    fn new(columns: u32, row: &'a Row) -> PutRow<'a> {
        PutRow {
            columns,
            values: row.values().collect(),
        }
    }
}

/// The shapes of a block's rows.
#[derive(Default)]
struct Shapes {
    list: Vec<Arc<Columns>>,
    places: FxHashMap<Arc<Columns>, u32>,
}

impl Shapes {
    fn place(&mut self, columns: &Arc<Columns>) -> u32 {
        // Rows that follow each other mostly share theirs.
        match self.list.last() {
            Some(last) if Arc::ptr_eq(last, columns) => self.list.len() as u32 - 1,
            _ => *self.places.entry(columns.clone()).or_insert_with(|| {
                self.list.push(columns.clone());
                self.list.len() as u32 - 1
            }),
        }
    }
}

/// Reads entries back, block by block. An error is the reason why the part is damaged.
pub(super) struct BlockReader {
    bytes: Bytes,
    plain: Vec<u8>,
    /// How far the block is read.
    at: usize,
    shapes: Vec<Arc<Columns>>,
    /// Of all blocks, so that rows of one shape share it.
    known: HashSet<Arc<Columns>>,
}

impl BlockReader {
    pub fn new(bytes: Bytes) -> BlockReader {
        BlockReader {
            bytes,
            plain: Vec::new(),
            at: 0,
            shapes: Vec::new(),
            known: HashSet::new(),
        }
    }

    /// The next entry, or `None` at the end.
    pub fn read(&mut self) -> Result<Option<Entry>, String> {
        if self.at == self.plain.len() {
            if self.bytes.is_empty() {
                return Ok(None);
            }
            self.begin_block()?;
        }
        let rest = &self.plain[self.at..];
        let (got, after) = postcard::take_from_bytes::<Got>(rest).map_err(|error| error.to_string())?;
        self.at = self.plain.len() - after.len();
        let state = match got.state {
            None => None,
            Some(GotState::Row(version, row)) => Some(StoredKey {
                version,
                state: StoredState::Row(self.row(row)?),
            }),
            Some(GotState::Deleted(version, before)) => Some(StoredKey {
                version,
                state: StoredState::Deleted {
                    before: before.map(|row| self.row(row)).transpose()?,
                },
            }),
        };
        Ok(Some((got.key, state)))
    }

    fn begin_block(&mut self) -> Result<(), String> {
        let mut length = || {
            let bytes = self.bytes.split_to_checked(4)?;
            Some(u32::from_le_bytes(bytes.as_ref().try_into().ok()?) as usize)
        };
        let (Some(compressed), Some(plain)) = (length(), length()) else {
            return Err("it ends inside a block".into());
        };
        let Some(compressed) = self.bytes.split_to_checked(compressed) else {
            return Err("it ends inside a block".into());
        };
        if plain > PLAIN_BYTES_MAX {
            return Err(format!("a block says to have {plain} bytes"));
        }
        self.plain = zstd::bulk::decompress(&compressed, plain).map_err(|error| error.to_string())?;
        let (shapes, entries) =
            postcard::take_from_bytes::<Vec<Arc<Columns>>>(&self.plain).map_err(|error| error.to_string())?;
        self.at = self.plain.len() - entries.len();
        self.shapes = shapes.into_iter().map(|columns| self.known(columns)).collect();
        Ok(())
    }

    fn known(&mut self, columns: Arc<Columns>) -> Arc<Columns> {
        if let Some(known) = self.known.get(&columns) {
            return known.clone();
        }
        self.known.insert(columns.clone());
        columns
    }

    fn row(&self, row: GotRow) -> Result<Row, String> {
        match self.shapes.get(row.columns as usize) {
            Some(columns) if columns.names().len() == row.values.len() => {
                Ok(Row::new(columns.clone(), row.values))
            }
            _ => Err("a row has no columns".into()),
        }
    }
}

trait SplitChecked {
    fn split_to_checked(&mut self, bytes: usize) -> Option<Bytes>;
}

impl SplitChecked for Bytes {
    fn split_to_checked(&mut self, bytes: usize) -> Option<Bytes> {
        (bytes <= self.len()).then(|| self.split_to(bytes))
    }
}
