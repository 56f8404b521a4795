//! Messages -> changes: pure, on the source's thread.
//!
//! A decoder reads no clock, no disk and no network (claim-check files are read through a function handed in).
//! What it cannot decode becomes a [`Refusal`]; it never stops the stream and never panics.

mod canal;
mod debezium;
mod embedding;
mod maxwell;
mod upsert;

use crate::change::{Change, Offset, PartitionId};
use crate::definition::Table;

/// One message as a source gives it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Empty where the source has no topics.
    pub topic: &'a str,
    pub partition: PartitionId,
    pub offset: Offset,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(String, Vec<u8>)],
    /// When it was produced, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

/// What came of some messages.
#[derive(Debug, Default)]
pub struct Decoded {
    /// In the order of the messages, and within a message in its own.
    pub changes: Vec<Change>,
    /// Messages, or rows of a message, that are dead letters.
    pub refusals: Vec<Refusal>,
    /// Messages without row changes: DDL, watermarks, heartbeats, other tables, unknown types.
    pub skipped: u64,
}

/// Why a message, or a row of it, could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub partition: PartitionId,
    pub offset: Offset,
    /// Names the field and what would be right.
    pub reason: String,
}

/// Decodes the messages of one partition of one table.
pub struct Decoder {
    // per format: the format's own decoder with its caches
}

impl Decoder {
    pub fn new(table: &Table) -> Decoder {
        let _ = table;
        todo!()
    }

    /// Appends to `out` what the message holds. Messages of a partition come in its order.
    pub fn decode(&mut self, message: &Message<'_>, out: &mut Decoded) {
        let _ = (message, out);
        todo!()
    }
}
