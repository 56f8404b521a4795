//! What came of one message: changes with their versions, refusals, or nothing.

use xxhash_rust::xxh3::xxh3_64;

use super::{Cause, Decoded, Message, Refusal};
use crate::change::{Change, Key, Operation, Row, SourceOrder, Version};

/// One message, and where its changes go.
pub(super) struct Outcome<'a> {
    pub message: &'a Message<'a>,
    out: &'a mut Decoded,
    /// Rows that are done with.
    rows: u32,
    refused: usize,
}

/// Bytes of dead letters of one message, where it is not larger itself. Each refused row is a letter with the whole
/// message, so that those of many rows would take space quadratic in its length.
const LETTERS_BYTES_MAX: usize = 16 << 20;

/// Why a row is refused.
#[derive(Debug)]
pub(super) struct Refused {
    cause: Cause,
    reason: String,
}

impl Refused {
    pub fn schema_change(reason: String) -> Refused {
        Refused {
            cause: Cause::SchemaChange,
            reason,
        }
    }
}

impl From<String> for Refused {
    fn from(reason: String) -> Refused {
        Refused {
            cause: Cause::Malformed,
            reason,
        }
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Refused {
        reason.to_owned().into()
    }
}

/// A message's value.
pub(super) enum Body<'a> {
    /// No value, or the literal `null` that some converters write for none.
    Tombstone,
    Text(&'a str),
    /// Not text. It has been refused.
    Refused,
}

/// When the source made a change, in its own order and by its clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    pub order: Option<SourceOrder>,
    pub committed_ms: Option<i64>,
}

impl<'a> Outcome<'a> {
    pub fn new(message: &'a Message<'a>, out: &'a mut Decoded) -> Outcome<'a> {
        Outcome {
            message,
            out,
            rows: 0,
            refused: 0,
        }
    }

    pub fn body(&mut self) -> Body<'a> {
        let bytes = self.message.value.unwrap_or_default().trim_ascii();
        if bytes.is_empty() || bytes == b"null" {
            return Body::Tombstone;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Body::Text(text),
            Err(error) => {
                self.refuse(format!("value: {error}: expected JSON in UTF-8"));
                Body::Refused
            }
        }
    }

    /// The message, or a row of it, becomes a dead letter.
    pub fn refuse(&mut self, refused: impl Into<Refused>) {
        self.refused += 1;
        let single_max = (LETTERS_BYTES_MAX / self.message.value.map_or(0, <[u8]>::len).max(1)).max(1);
        if self.refused <= single_max + 1 {
            self.push_refusal(refused.into(), self.refused > single_max);
        }
        self.row_done();
    }

    /// `stands_for_others`: no other refusal of the message follows.
    fn push_refusal(&mut self, refused: Refused, stands_for_others: bool) {
        let Refused { cause, reason } = refused;
        let (row, reason) = match stands_for_others {
            false => (self.rows, reason),
            true => (
                Refusal::OTHERS,
                format!(
                    "row {}: {reason}; further rows of the message may be wrong, too",
                    self.rows
                ),
            ),
        };
        let Message {
            partition, offset, ..
        } = *self.message;
        self.out.refusals.push(Refusal {
            partition,
            offset,
            row,
            cause,
            reason,
        });
    }

    /// Another row of the message follows, if any does.
    pub fn row_done(&mut self) {
        self.rows = self.rows.saturating_add(1);
    }

    /// The message holds no change of this table.
    pub fn skip(&mut self) {
        self.out.skipped += 1;
    }

    pub fn upsert(&mut self, key: Key, row: Row, moved_from: Option<Key>, stamp: Stamp) {
        self.push(key, Operation::Upsert(row), moved_from, stamp);
    }

    pub fn delete(&mut self, key: Key, stamp: Stamp) {
        self.push(key, Operation::Delete, None, stamp);
    }

    pub fn truncate(&mut self, stamp: Stamp) {
        self.push(Key::new([]), Operation::Truncate, None, stamp);
    }

    fn push(&mut self, key: Key, operation: Operation, moved_from: Option<Key>, stamp: Stamp) {
        let version = Version {
            source: stamp.order,
            partition: self.message.partition,
            offset: self.message.offset,
        };
        let committed_ms = stamp.committed_ms.or(self.message.timestamp_ms);
        self.out.changes.push(Change {
            key,
            operation,
            version,
            moved_from,
            committed_ms,
        });
    }
}

/// The source order that this partition has reached.
///
/// A message without one among others that have it, a tombstone, takes the order of the message before it. So it
/// is not taken for older than the row that it deletes.
#[derive(Default)]
pub(super) struct Reached(Option<SourceOrder>);

impl Reached {
    pub fn order(&mut self, own: Option<SourceOrder>) -> Option<SourceOrder> {
        self.0 = own.or(self.0);
        self.0
    }

    /// For a message whose place in the partition says more than its own order.
    pub fn order_here(&mut self, own: Option<SourceOrder>) -> Option<SourceOrder> {
        self.0 = self.0.or(own);
        self.0
    }
}

/// A source's number in [`SourceOrder`]: never zero, and the same in every process.
pub(super) fn origin(name: &str) -> u64 {
    xxh3_64(name.as_bytes()).max(1)
}
