//! What survives: one manifest names the files that belong to one tick; recovery reads them back.
//!
//! The dataflow hands over a [`Cut`]; [`Store::write`] makes it durable, on a thread of its own, and [`Store::open`]
//! gives back the newest one that is whole.

mod durable;
mod block;
mod layers;
mod manifest;
mod recover;
mod rows;
mod shape;
pub mod snapshots;
mod store;
mod sets;
mod texts;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use durable::{Checkpointed, Durable};
pub use recover::{OpenError, Rekey};
pub use sets::{StoredSecond, StoredSet, StoredSets};
pub use shape::{Change, IndexShape, Shape, TableShape, VectorShape};
pub use store::{CheckpointError, Store};
pub use writer::Writer;

use crate::change::{Key, PartitionId, Row, TextHash, Tick, Vector, Version};
use crate::definition::KeptFile;
use crate::index::Sets;
use crate::index::snapshot::ShardState;
use crate::index::stored::StoredShard;

/// Everything that a checkpoint adds to the one before it, as of one tick.
pub struct Cut {
    pub tick: Tick,
    /// The last position of each partition, as `table/partition`.
    pub positions: BTreeMap<String, u64>,
    /// The numbers that versions know partitions by.
    pub partitions: BTreeMap<String, PartitionId>,
    /// By table of the definition.
    pub tables: Vec<TableCut>,
    /// What has changed in the collection of vectors: a text's vector, or its failure, or nothing any more.
    pub texts: BTreeMap<TextHash, Option<TextVector>>,
    /// With the legs that are to be kept.
    pub shards: Vec<Arc<ShardState>>,
    pub sets: Sets,
    /// Lanes of texts of which nothing is needed any more, but what `texts` has.
    pub forgotten: Vec<u32>,
}

/// What has changed in one table since the cut before.
#[derive(Clone, Default)]
pub struct TableCut {
    /// The newest truncate.
    pub truncated: Option<Version>,
    /// `None`: nothing is known of the key any more.
    pub keys: Vec<(Key, Option<StoredKey>)>,
}

impl TableCut {
    /// The row that was read last, as far as offsets tell.
    pub fn newest_row(&self) -> Option<&Row> {
        let rows = self.keys.iter().filter_map(|(_, stored)| match stored {
            Some(StoredKey {
                version,
                state: StoredState::Row(row),
            }) => Some((version.offset, row)),
            _ => None,
        });
        rows.max_by_key(|(offset, _)| *offset).map(|(_, row)| row)
    }
}

/// What collapse keeps of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub version: Version,
    pub state: StoredState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredState {
    Row(Row),
    /// `before` is the deleted row, as long as one that moved may ask for it.
    Deleted {
        before: Option<Row>,
    },
}

/// What the embedder made of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextVector {
    Known(Vector),
    Failed,
}

/// What [`Store::open`] found: the same as all cuts up to its tick, put together.
pub struct Recovered {
    pub tick: Tick,
    pub positions: BTreeMap<String, u64>,
    pub partitions: BTreeMap<String, PartitionId>,
    /// By name of the table.
    pub tables: BTreeMap<String, TableCut>,
    pub texts: BTreeMap<TextHash, TextVector>,
    /// As many as the definition needs, or none where they do not fit it.
    pub shards: Vec<StoredShard>,
    /// The upgrades that were under way, or that the dataflow file does not know.
    pub sets: StoredSets,
    /// What the definition of now asks of the stored data; it is done already.
    pub change: Change,
    /// Where the index is made anew: the one that can be served until then.
    pub before: Option<Before>,
}

/// The index as it was stored, by the definition that it was stored by.
pub struct Before {
    pub tick: Tick,
    pub positions: BTreeMap<String, u64>,
    pub file: KeptFile,
    /// Which models answered instead of those of the file.
    pub sets: StoredSets,
    pub shape: Shape,
    /// By name of the table.
    pub tables: BTreeMap<String, TableCut>,
    pub texts: BTreeMap<TextHash, TextVector>,
    pub shards: Vec<StoredShard>,
}
