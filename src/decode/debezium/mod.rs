//! `debezium-json`: events with and without their schema, flattened rows, tombstones.

mod source;
mod types;

use super::json::Fields;
use super::message_key::{MessageKey, enveloped};
use super::outcome::{Body, Outcome, Reached, Refused, Stamp};
use super::row::{Shapes, has_unavailable};
use super::target::Target;
use crate::change::Key;
use source::Source;
use types::{Described, Types};

pub(super) struct Debezium {
    types: Types,
    shapes: Shapes<Described>,
    reached: Reached,
    before: Before,
}

/// What the last message that was no tombstone has been.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Skipped,
    Deleted,
    Other,
}

/// What an event says of its row, besides the row.
struct About<'a> {
    key: MessageKey<'a>,
    before: Option<Fields<'a>>,
    stamp: Stamp,
    described: Described,
}

impl Debezium {
    pub fn target(&self) -> &Target {
        &self.types.target
    }

    pub fn new(target: Target) -> Debezium {
        let types = Types::new(target);
        Debezium {
            types,
            shapes: Shapes::new(),
            reached: Reached::default(),
            before: Before::Other,
        }
    }

    pub fn decode(&mut self, outcome: &mut Outcome<'_>) {
        let text = match outcome.body() {
            Body::Tombstone => return self.tombstone(outcome),
            Body::Refused => return,
            Body::Text(text) => text,
        };
        let parsed = Fields::parse(text).and_then(|fields| match enveloped(&fields) {
            None => Ok((Some(fields), None)),
            Some("null") => Ok((None, None)),
            Some(payload) => Fields::parse(payload).map(|payload| (Some(payload), fields.present("schema"))),
        });
        match parsed {
            Ok((Some(fields), schema)) => self.value(fields, schema, outcome),
            Ok((None, _)) => self.tombstone(outcome),
            Err(error) => outcome.refuse(format!("value: {error}: expected a Debezium event or a row")),
        }
    }

    fn value(&mut self, fields: Fields<'_>, schema: Option<&str>, outcome: &mut Outcome<'_>) {
        self.before = Before::Other;
        let is_event = fields.text("op").len() == 1
            && ["after", "before", "source"]
                .into_iter()
                .any(|name| fields.get(name).is_some());
        let topic = outcome.message.topic;
        let target = &self.types.target;
        if is_event {
            let source = Source::Event(fields.object("source").unwrap_or_default());
            let table = source.text("table");
            let takes = match table.is_empty() {
                true => target.takes_topic(topic),
                false => target.takes(&source.text("db"), &source.text("schema"), &table),
            };
            if takes && is_row_event(&fields) {
                return self.event(&fields, &source, schema, outcome);
            }
        } else if let Some(source) = drop_of_table(&fields, target) {
            let stamp = source.stamp(&mut self.reached);
            return match self.types.target.is_merged() {
                true => outcome.refuse("DROP TABLE: other tables flow into this one, so its rows stay"),
                false => outcome.truncate(stamp),
            };
        } else if target.takes_topic(topic) && !is_notice(&fields, topic) {
            return self.flat(fields, schema, outcome);
        }
        self.before = Before::Skipped;
        outcome.skip();
    }

    /// `{"op","before","after","source"}`
    fn event(
        &mut self,
        fields: &Fields<'_>,
        source: &Source<'_>,
        schema: Option<&str>,
        outcome: &mut Outcome<'_>,
    ) {
        let key = MessageKey::parse(outcome.message.key);
        let described = self.types.describe(schema, &key);
        let stamp = source.stamp(&mut self.reached);
        let about = About {
            key,
            before: fields.object("before"),
            stamp,
            described,
        };
        match &*fields.text("op") {
            "t" if self.types.target.is_merged() => {
                outcome.refuse("truncate: other tables flow into this one, so its rows stay");
            }
            "t" => outcome.truncate(stamp),
            "d" => self.delete(&about, outcome),
            _ => match fields.object("after") {
                Some(after) => self.upsert(&after, &about, outcome),
                None => outcome.refuse("`after` is missing: expected the row"),
            },
        }
    }

    /// A row by itself, as `ExtractNewRecordState` makes it: columns named `__...` are about the event.
    fn flat(&mut self, fields: Fields<'_>, schema: Option<&str>, outcome: &mut Outcome<'_>) {
        let (meta, row): (Vec<_>, Vec<_>) =
            fields.0.into_iter().partition(|(name, _)| name.starts_with("__"));
        let (meta, row) = (Fields(meta), Fields(row));
        let deleted = meta
            .get("__deleted")
            .is_some_and(|json| json.trim_matches('"') == "true");
        let deleted = deleted || meta.text("__op") == "d";
        let key = MessageKey::parse(outcome.message.key);
        let described = self.types.describe(schema, &key);
        let stamp = Source::Flat(meta).stamp(&mut self.reached);
        match deleted {
            true => self.delete(
                &About {
                    key,
                    before: Some(row),
                    stamp,
                    described,
                },
                outcome,
            ),
            false => self.upsert(
                &row,
                &About {
                    key,
                    before: None,
                    stamp,
                    described,
                },
                outcome,
            ),
        }
    }

    fn upsert(&mut self, row: &Fields<'_>, about: &About<'_>, outcome: &mut Outcome<'_>) {
        let Debezium { types, shapes, .. } = self;
        let same = |known: &Described| *known == about.described;
        let shape = shapes.of(row, same, || {
            Ok((about.described, types.shape(row, about.described)?))
        });
        let read = shape
            .map_err(Refused::from)
            .and_then(|shape| Ok((shape, shape.row(&types.target, row)?)));
        let (shape, (key, row)) = match read {
            Ok(read) => read,
            Err(refused) => return outcome.refuse(refused),
        };
        let old = about
            .before
            .as_ref()
            .and_then(|before| shape.key(&types.target, before, before).ok());
        // Where the message key is the row's, the key has not moved, and `before` may hold mere defaults.
        let moved = old.filter(|old| *old != key && !is_named(types, &about.key, &key));
        let moved_from = match has_unavailable(&row) {
            true => header_key(types, outcome)
                .filter(|old| *old != key)
                .or_else(|| moved.clone()),
            false => None,
        };
        if let Some(old) = moved {
            outcome.delete(old, about.stamp);
        }
        outcome.upsert(key, row, moved_from, about.stamp);
    }

    /// By the columns of the message key, else by the row that was, else by a key that is a mere value.
    fn delete(&mut self, about: &About<'_>, outcome: &mut Outcome<'_>) {
        let by_message = || self.types.key_of_message(&about.key);
        let by_row = || match &about.before {
            Some(before) => self.types.key_of_row(before, about.described),
            None => Err("the row before is missing, and the message key is no object".to_owned()),
        };
        let key = match about.key {
            MessageKey::Columns { .. } => by_message().or_else(|reason| by_row().map_err(|_| reason)),
            MessageKey::Scalar(_) => by_row().or_else(|_| by_message()),
            MessageKey::Absent => by_row(),
        };
        match key {
            Ok(key) => {
                self.before = Before::Deleted;
                outcome.delete(key, about.stamp);
            }
            Err(reason) => outcome.refuse(format!("delete: {reason}: expected the key columns")),
        }
    }

    /// A null value deletes its key: again after an event that did, or as the only sign of it.
    fn tombstone(&mut self, outcome: &mut Outcome<'_>) {
        let message = outcome.message;
        let for_us = self.types.target.takes_topic(message.topic);
        // Without a topic it belongs to the event before it.
        if !for_us || message.topic.is_empty() && self.before == Before::Skipped {
            return outcome.skip();
        }
        let key = MessageKey::parse(message.key);
        if matches!(key, MessageKey::Absent) {
            return outcome.skip();
        }
        self.types.describe(None, &key);
        match self.types.key_of_message(&key) {
            Ok(key) => outcome.delete(
                key,
                Stamp {
                    order: self.reached.order(None),
                    committed_ms: None,
                },
            ),
            Err(_) if self.before == Before::Deleted => outcome.skip(),
            Err(reason) => outcome.refuse(format!("tombstone: {reason}")),
        }
    }
}

fn is_named(types: &Types, message_key: &MessageKey<'_>, key: &Key) -> bool {
    matches!(message_key, MessageKey::Columns { .. })
        && types.key_of_message(message_key).is_ok_and(|named| named == *key)
}

/// The key that the row had before it moved, which Debezium names in a header.
fn header_key(types: &Types, outcome: &Outcome<'_>) -> Option<Key> {
    let (_, value) = outcome
        .message
        .headers
        .iter()
        .find(|(name, _)| name == "__debezium.oldkey")?;
    types.key_of_message(&MessageKey::parse(Some(value))).ok()
}

/// Whether an event changes rows: no logical message, no mark of an incremental snapshot.
fn is_row_event(fields: &Fields<'_>) -> bool {
    if !matches!(&*fields.text("op"), "r" | "c" | "u" | "d" | "t") {
        return false;
    }
    // A row of the signal table: `{"id","type","data"}`.
    let signal = fields
        .object("after")
        .filter(|after| after.0.len() == 3 && after.get("data").is_some());
    !signal.is_some_and(|after| after.text("type").starts_with("snapshot-window-"))
}

/// The source of a schema change that drops our table, as the log has it. A snapshot begins with such messages, and says
/// nothing of rows by them; the topic has those of all tables, so ours must have been selected by name.
fn drop_of_table<'a>(fields: &Fields<'a>, target: &Target) -> Option<Source<'a>> {
    let changes: Vec<Fields<'_>> = serde_json::from_str(fields.get("tableChanges")?).ok()?;
    let source = Source::Event(fields.object("source")?);
    let is_drop = changes.iter().any(|change| change.text("type") == "DROP");
    let is_ours = target.selects(&source.text("db"), &source.text("schema"), &source.text("table"));
    (is_drop && is_ours && fields.get("ddl").is_some() && source.is_from_log()).then_some(source)
}

/// Whether a message tells of something else than rows: a schema change, a heartbeat, a transaction's bounds.
fn is_notice(fields: &Fields<'_>, topic: &str) -> bool {
    let has = |name: &str| fields.get(name).is_some();
    topic.starts_with("__debezium-heartbeat")
        || has("ddl") && (has("tableChanges") || has("source"))
        || matches!(&*fields.text("status"), "BEGIN" | "END") && has("event_count") && has("data_collections")
        || has("ts_ms")
            && fields
                .0
                .iter()
                .all(|(name, _)| matches!(&**name, "ts_ms" | "ts_us" | "ts_ns"))
}
