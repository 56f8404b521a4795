//! The two legs and the documents behind them: a write side per shard, an immutable read side per tick.

mod deadline;
pub mod documents;
mod keys;
pub mod leg;
pub mod keyword;
pub mod shard;
pub mod snapshot;
pub mod sets;
mod slots;
mod pieces;
mod recovery;
mod held;
mod waiting;
pub mod stored;
pub mod vector;

pub use deadline::{Deadline, Waiting};
pub use documents::{Document, Slot};
pub use leg::{DocumentVector, DocumentVectors};
pub use sets::{FieldOfFile, Phase, Progress, SecondSet, Sets, VectorSet};
pub use shard::Shard;
pub use snapshot::{LegState, Published, Snapshot, VectorStatus};
