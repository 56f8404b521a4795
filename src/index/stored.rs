//! A shard on disk: which parts hold it, how they are written, and how a shard is opened from them.

use std::io;

use serde::{Deserialize, Serialize};

use super::Shard;
use super::shard::ShardSettings;
use super::snapshot::ShardState;
use crate::definition::Index;
use crate::storage::{Damaged, Part, PartReader, PartWriter};

/// The parts of one shard, and what the manifest itself says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredShard {}

impl StoredShard {
    /// All parts that must be kept for this shard.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        [].into_iter()
    }
}

/// Writes a shard's state. Parts that `before` has already are used again.
pub fn store(state: &ShardState, before: &StoredShard, parts: &PartWriter<'_>) -> io::Result<StoredShard> {
    let _ = (state, before, parts);
    todo!()
}

/// Opens the write side of a stored shard.
pub fn open(
    index: &Index,
    dimensions: Option<usize>,
    settings: &ShardSettings,
    stored: &StoredShard,
    parts: &PartReader<'_>,
) -> Result<Shard, Damaged> {
    let _ = (index, dimensions, settings, stored, parts);
    todo!()
}
