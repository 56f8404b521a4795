//! A shard on disk: which parts hold it, how they are written, and how a shard is opened from them.
//!
//! | part      | what it holds                                  | written                       |
//! |-----------|------------------------------------------------|-------------------------------|
//! | `segment` | one segment of the keyword leg                 | once                          |
//! | `graph`   | one graph of the vector leg                    | once                          |
//! | `slots`   | which document is in which slot, which segments' documents live | at every checkpoint |
//!
//! Documents and vectors are not among them: they come again through the dataflow, and the first tick puts them
//! back beside the legs (`recovery`).

use std::io;

use serde::{Deserialize, Serialize};

use super::Shard;
use super::keyword::{self, KeywordSchema, KeywordWriter, StoredKeyword};
use super::leg::Leg;
use super::recovery::Recovery;
use super::shard::ShardSettings;
use super::slots::SlotTable;
use super::snapshot::ShardState;
use super::vector::{self, StoredVectors, VectorWriter};
use crate::definition::Index;
use crate::storage::{Damaged, Part, PartReader, PartWriter};

/// The parts of one shard, and what the manifest itself says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredShard {
    keyword: StoredKeyword,
    /// By vector field.
    vectors: Vec<StoredVectors>,
    /// `None`: nothing was ever stored.
    slots: Option<Part>,
    /// Of the slots, before compression: no more is decompressed.
    #[serde(default = "unsaid")]
    slots_bytes: u64,
}

/// Older manifests do not say it; none of their tables is as large.
fn unsaid() -> u64 {
    4 << 30
}

impl StoredShard {
    /// All parts that must be kept for this shard.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let vectors = self.vectors.iter().flat_map(StoredVectors::parts);
        self.keyword.parts().chain(vectors).chain(&self.slots)
    }
}

/// Writes a shard's state. Parts that `before` has already are used again.
pub fn store(state: &ShardState, before: &StoredShard, parts: &PartWriter<'_>) -> io::Result<StoredShard> {
    let (keyword, alive) = keyword::store(&state.keyword, &before.keyword, parts)?;
    let legs = state.legs.iter().enumerate();
    let vectors = legs.map(|(field, leg)| vector::store(&leg.vectors, before.vectors.get(field), parts));
    let table = SlotTable::of(state, alive);
    let mut slots_bytes = 0;
    let slots = parts.write("slots", |out| {
        slots_bytes = table.write(out)?;
        Ok(())
    })?;
    Ok(StoredShard {
        keyword,
        vectors: vectors.collect::<io::Result<_>>()?,
        slots: Some(slots),
        slots_bytes,
    })
}

/// Opens the write side of a stored shard. Its first tick has to bring all its documents, even if that is none.
pub fn open(
    index: &Index,
    dimensions: &[usize],
    settings: &ShardSettings,
    stored: &StoredShard,
    parts: &PartReader<'_>,
) -> Result<Shard, Damaged> {
    let Some(part) = &stored.slots else {
        return Ok(Shard::new(index, dimensions, settings));
    };
    let table = SlotTable::read(&parts.read(part)?, stored.slots_bytes);
    let mut table = table.ok_or_else(|| part.damaged("it is no table of slots"))?;
    let contradiction = || part.damaged("it contradicts the segments and graphs that were stored with it");

    let keyword = KeywordWriter::open(
        KeywordSchema::new(index),
        settings.compaction(),
        settings.wake.clone(),
        &stored.keyword,
        std::mem::take(&mut table.alive),
        table.slots.len(),
        parts,
    )?;
    if !keyword.has_documents_at(table.iter().map(|(slot, _)| slot)) {
        return Err(contradiction());
    }

    // A second set of vectors is one more, and is not stored while it is being built.
    let (before, now) = (stored.vectors.len(), index.vectors.len());
    if before.abs_diff(now) > 1 || (before == 0) != (now == 0) {
        return Err(part.damaged("it was stored by an index with other vectors"));
    }
    let mut legs = Vec::new();
    for (number, (field, dimensions)) in index.vectors.iter().zip(dimensions).enumerate() {
        let (vectors, wake) = (settings.vectors(field, *dimensions), settings.wake.clone());
        let writer = match stored.vectors.get(number) {
            Some(stored) => VectorWriter::open(
                vectors,
                wake,
                stored,
                table.next_stamp(number),
                table.places(number),
                parts,
            )?,
            None => VectorWriter::new(vectors, wake),
        };
        legs.push(Leg::new(field, writer));
    }

    let slots = table.slots.len();
    let recovery = Recovery::new(table, legs.iter().map(|leg| leg.writer.graph_row_stamps()));
    let mut shard = Shard::with_legs(keyword, legs, index.freshness);
    shard.begin_recovery(slots, recovery.ok_or_else(contradiction)?);
    Ok(shard)
}
