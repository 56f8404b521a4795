//! Where and when the database made a change, from an event's `source` or the metadata of a flattened row.

use std::borrow::Cow;

use crate::change::SourceOrder;
use crate::decode::json::{self, Cell, Fields};
use crate::decode::outcome::{Reached, Stamp, origin};

/// Fields by the names that they have in `source`.
pub(super) enum Source<'a> {
    Event(Fields<'a>),
    /// Names are prefixed by `__source_` or `__`, as `add.fields` chose them.
    Flat(Fields<'a>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Snapshot {
    /// A change from the log.
    No,
    /// A row read before the log: its position is that of the snapshot.
    Initial,
    /// A row read between changes of the log.
    Incremental,
}

impl<'a> Source<'a> {
    /// The version's order, as far as the partition has reached, and the time of the commit.
    pub fn stamp(&self, reached: &mut Reached) -> Stamp {
        let order = match (self.snapshot(), self.order()) {
            (Snapshot::No, order) => reached.order(order),
            // Any server may take a snapshot, so its rows compare with those of all.
            (Snapshot::Initial, order) => {
                reached.order(order.map(|order| SourceOrder { origin: 0, ..order }))
            }
            // Debezium drops such rows where a change of the log overlaps them: the order of arrival is right.
            (Snapshot::Incremental, order) => {
                reached.order_here(order.map(|order| SourceOrder { origin: 0, ..order }))
            }
        };
        Stamp {
            order,
            committed_ms: self.get("ts_ms").and_then(json::integer),
        }
    }

    /// Whether it has a place in the database's log.
    pub fn is_from_log(&self) -> bool {
        self.snapshot() == Snapshot::No && self.order().is_some()
    }

    pub fn text(&self, name: &str) -> Cow<'a, str> {
        match self.get(name).map(Cell::read) {
            Some(Ok(Cell::Text(text))) => text,
            _ => Cow::Borrowed(""),
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        match self {
            Source::Event(fields) => fields.get(name),
            Source::Flat(fields) => {
                let prefixed = |prefix| {
                    let found = fields
                        .0
                        .iter()
                        .find(|(field, _)| field.strip_prefix(prefix) == Some(name));
                    found.map(|(_, json)| *json)
                };
                prefixed("__source_").or_else(|| prefixed("__"))
            }
        }
    }

    fn unsigned(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim_matches('"').parse().ok()
    }

    fn order(&self) -> Option<SourceOrder> {
        if let Some(lsn) = self.unsigned("lsn") {
            let origin = origin(&format!("postgresql {}", self.text("db")));
            return Some(SourceOrder {
                origin,
                order: (lsn, 0, 0),
            });
        }
        // `mysql-bin.000003`: files are numbered on.
        let file = self.text("file").rsplit_once('.')?.1.parse().ok()?;
        let row = self
            .unsigned("row")
            .and_then(|row| u32::try_from(row).ok())
            .unwrap_or(0);
        let origin = origin(&format!("mysql {}", self.unsigned("server_id").unwrap_or(0)));
        Some(SourceOrder {
            origin,
            order: (file, self.unsigned("pos")?, row),
        })
    }

    fn snapshot(&self) -> Snapshot {
        match self.get("snapshot").map(|json| json.trim_matches('"')) {
            Some("incremental") => Snapshot::Incremental,
            Some("false" | "null" | "") => Snapshot::No,
            Some(_) => Snapshot::Initial,
            None if self.text("op") == "r" => Snapshot::Initial,
            None => Snapshot::No,
        }
    }
}
