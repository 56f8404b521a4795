//! `upsert-json`: the row as the value, its key as the message key; a null value deletes.

use std::borrow::Cow;

use super::json::Fields;
use super::message_key::MessageKey;
use super::outcome::{Body, Outcome, Refused, Stamp};
use super::row::{Shape, Shapes};
use super::target::Target;
use super::value::{Kind, Wire};
use crate::change::{Datum, Key, Row};

pub(super) struct Upsert {
    target: Target,
    shapes: Shapes<()>,
}

impl Upsert {
    pub fn new(target: Target) -> Upsert {
        Upsert {
            target,
            shapes: Shapes::new(),
        }
    }

    pub fn decode(&mut self, outcome: &mut Outcome<'_>) {
        if !self.target.takes_topic(outcome.message.topic) {
            return outcome.skip();
        }
        let text = match outcome.body() {
            Body::Tombstone => return tombstone(&self.target, outcome),
            Body::Refused => return,
            Body::Text(text) => text,
        };
        match Fields::parse(text) {
            Ok(fields) => self.row(fields, outcome),
            Err(error) => outcome.refuse(format!("value: {error}: expected a row as a JSON object")),
        }
    }

    fn row(&mut self, fields: Fields<'_>, outcome: &mut Outcome<'_>) {
        let message_key = MessageKey::parse(outcome.message.key);
        let deleted = is_delete(&fields.text("_op"));
        let mut fields = Fields(fields.0);
        fields.0.retain(|(name, _)| name != "_op");
        add_key(&mut fields, &message_key, &self.target);
        let result = read(&self.target, &mut self.shapes, &fields, deleted).map(|(key, row)| {
            let key = agreed(key, &message_key, &self.target);
            match row {
                Some(row) => outcome.upsert(key, row, None, Stamp::default()),
                None => outcome.delete(key, Stamp::default()),
            }
        });
        if let Err(refused) = result {
            outcome.refuse(refused);
        }
    }
}

pub(super) fn is_delete(op: &str) -> bool {
    matches!(op, "delete" | "d")
}

/// Adds the key columns that stand in the message key alone.
pub(super) fn add_key<'a>(fields: &mut Fields<'a>, message_key: &'a MessageKey<'_>, target: &Target) {
    for name in &target.key {
        if fields.get(name).is_none()
            && let Some(json) = message_key.column(name, target)
        {
            fields.0.push((Cow::Owned(name.clone()), json));
        }
    }
}

/// The key, and the row where there is one.
pub(super) fn read(
    target: &Target,
    shapes: &mut Shapes<()>,
    fields: &Fields<'_>,
    deleted: bool,
) -> Result<(Key, Option<Row>), Refused> {
    let kind = |name: &str| target.kind(name).unwrap_or(Kind::Untyped);
    let make = || Ok(((), Shape::new(target, fields, Wire::Plain, kind)?));
    let shape = shapes.of(fields, |()| true, make)?;
    match deleted {
        true => Ok((shape.key(target, fields, fields)?, None)),
        false => shape.row(target, fields).map(|(key, row)| (key, Some(row))),
    }
}

/// A null value deletes by the message key.
pub(super) fn tombstone(target: &Target, outcome: &mut Outcome<'_>) {
    let message_key = MessageKey::parse(outcome.message.key);
    if matches!(message_key, MessageKey::Absent) {
        return outcome.skip();
    }
    match key_of(&message_key, target) {
        Ok(key) => outcome.delete(key, Stamp::default()),
        Err(reason) => outcome.refuse(format!("tombstone: {reason}")),
    }
}

/// The key as the message key writes it, if that is the same in text: a producer may send `1` as the key and `"1"`
/// in the row, and a later null value has the message key alone.
pub(super) fn agreed(key: Key, message_key: &MessageKey<'_>, target: &Target) -> Key {
    let same = |a: &Datum, b: &Datum| Key::new([a.clone()]).text() == Key::new([b.clone()]).text();
    match key_of(message_key, target) {
        Ok(named) if named != key && named.0.iter().zip(key.0.iter()).all(|(a, b)| same(a, b)) => named,
        _ => key,
    }
}

fn key_of(message_key: &MessageKey<'_>, target: &Target) -> Result<Key, String> {
    message_key.key(target, Wire::Plain, |name| {
        target.kind(name).unwrap_or(Kind::Untyped)
    })
}
