//! What came of one message: changes with their versions, refusals, or nothing.

use xxhash_rust::xxh3::xxh3_64;

use super::{Decoded, Message, Refusal};
use crate::change::{Change, Key, Operation, Row, SourceOrder, Version};

/// One message, and where its changes go.
pub(super) struct Outcome<'a> {
    pub message: &'a Message<'a>,
    out: &'a mut Decoded,
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
        Outcome { message, out }
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
    pub fn refuse(&mut self, reason: impl Into<String>) {
        let Message {
            partition, offset, ..
        } = *self.message;
        self.out.refusals.push(Refusal {
            partition,
            offset,
            reason: reason.into(),
        });
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
