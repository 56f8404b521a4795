//! `maxwell-json`: one row a message, in JSON's own types.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{self, Fields, Text};
use super::message_key::MessageKey;
use super::outcome::{Body, Outcome, Reached, Refused, Stamp, origin};
use super::row::{Shape, Shapes};
use super::target::Target;
use super::value::{Kind, Wire};
use crate::change::SourceOrder;

pub(super) struct Maxwell {
    pub(super) target: Target,
    shapes: Shapes<()>,
    reached: Reached,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Event<'a> {
    #[serde(borrow, default)]
    database: Option<Text<'a>>,
    #[serde(borrow, default)]
    table: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    ts: Option<&'a RawValue>,
    #[serde(default)]
    xoffset: Option<u64>,
    /// Set on the last row of a transaction.
    #[serde(default)]
    commit: Option<bool>,
    /// `master.000006:800911`
    #[serde(borrow, default)]
    position: Option<Text<'a>>,
    #[serde(default)]
    server_id: Option<u64>,
    #[serde(borrow, default)]
    data: Option<Fields<'a>>,
    #[serde(borrow, default)]
    old: Option<Fields<'a>>,
}

impl Maxwell {
    pub fn new(target: Target) -> Maxwell {
        Maxwell {
            target,
            shapes: Shapes::new(),
            reached: Reached::default(),
        }
    }

    pub fn decode(&mut self, outcome: &mut Outcome<'_>) {
        let text = match outcome.body() {
            Body::Tombstone => return self.tombstone(outcome),
            Body::Refused => return,
            Body::Text(text) => text,
        };
        match serde_json::from_str(text) {
            Ok(event) => self.event(event, outcome),
            Err(error) => outcome.refuse(format!("value: {error}: expected a Maxwell object")),
        }
    }

    fn event(&mut self, event: Event<'_>, outcome: &mut Outcome<'_>) {
        let (database, table) = (Text::or_empty(&event.database), Text::or_empty(&event.table));
        if table.is_empty() || !self.target.takes(database, "", table) {
            return outcome.skip();
        }
        let stamp = self.stamp(&event);
        let Some(fields) = event.data.as_ref() else {
            return match &*event.kind.0 {
                "insert" | "update" | "delete" | "bootstrap-insert" => {
                    outcome.refuse("`data` is missing: expected the row");
                }
                "table-drop" if self.target.is_merged() => {
                    outcome.refuse(format!(
                        "table-drop of `{database}.{table}`: other tables flow into this one, so its rows stay"
                    ));
                }
                "table-drop" => outcome.truncate(stamp),
                _ => outcome.skip(),
            };
        };
        let kind = |name: &str| self.target.kind(name).unwrap_or(Kind::Untyped);
        let make = || Ok(((), Shape::new(&self.target, fields, Wire::Plain, kind)?));
        let shape = match &*event.kind.0 {
            "insert" | "update" | "delete" | "bootstrap-insert" => self.shapes.of(fields, |()| true, make),
            _ => return outcome.skip(),
        };
        let result = shape.map_err(Refused::from).and_then(|shape| {
            if event.kind.0 == "delete" {
                outcome.delete(shape.key(&self.target, fields, fields)?, stamp);
                return Ok(());
            }
            let (key, row) = shape.row(&self.target, fields)?;
            let old = event
                .old
                .as_ref()
                .and_then(|old| shape.key(&self.target, old, fields).ok());
            if let Some(old) = old.filter(|old| *old != key) {
                outcome.delete(old, stamp);
            }
            outcome.upsert(key, row, None, stamp);
            Ok(())
        });
        if let Err(refused) = result {
            outcome.refuse(refused);
        }
    }

    /// Some pipelines write null for a deleted row. Its key is `{"database","table","pk.id":1}`.
    fn tombstone(&mut self, outcome: &mut Outcome<'_>) {
        let MessageKey::Columns { fields, .. } = MessageKey::parse(outcome.message.key) else {
            return outcome.skip();
        };
        let table = fields.text("table");
        if !table.is_empty() && !self.target.takes(&fields.text("database"), "", &table) {
            return outcome.skip();
        }
        let columns = fields.0.into_iter().filter_map(|(name, json)| {
            let column = name.strip_prefix("pk.")?.to_owned();
            Some((Cow::Owned(column), json))
        });
        let key = MessageKey::Columns {
            fields: Fields(columns.collect()),
            schema: None,
        };
        match key.key(&self.target, Wire::Plain, |name| {
            self.target.kind(name).unwrap_or(Kind::Untyped)
        }) {
            Ok(key) => outcome.delete(
                key,
                Stamp {
                    order: self.reached.order(None),
                    committed_ms: None,
                },
            ),
            Err(reason) => outcome.refuse(format!("tombstone: {reason}")),
        }
    }

    fn stamp(&mut self, event: &Event<'_>) -> Stamp {
        let order = event.position.as_ref().and_then(|position| {
            let (file, pos) = position.0.rsplit_once(':')?;
            let file = file.rsplit_once('.')?.1.parse().ok()?;
            // The last row of a transaction has `commit` instead of its number.
            let last = if event.commit == Some(true) { u32::MAX } else { 0 };
            let row = event
                .xoffset
                .map_or(last, |row| u32::try_from(row).unwrap_or(u32::MAX));
            let origin = origin(&format!("maxwell {}", event.server_id.unwrap_or(0)));
            Some(SourceOrder {
                origin,
                order: (file, pos.parse().ok()?, row),
            })
        });
        let ts = event.ts.and_then(|ts| json::integer(ts.get()));
        // Seconds, but milliseconds in messages about DDL.
        let unit = if event.data.is_some() { 1_000 } else { 1 };
        Stamp {
            order: self.reached.order(order),
            committed_ms: ts.and_then(|ts| ts.checked_mul(unit)),
        }
    }
}
