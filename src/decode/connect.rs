//! Kafka Connect's schemas: the types that Debezium's envelope names, and the values that they describe.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::json::{Cell, Fields, Text};
use super::temporal::{self, Unit};
use super::{number, value};
use crate::change::Datum;

/// How a schema says that a field's values are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connect {
    /// Nothing more than JSON says: integers, booleans, text, structures.
    Json,
    /// A document, as text.
    JsonText,
    Float,
    Bytes,
    Bits,
    Decimal {
        scale: i64,
    },
    /// `{"scale":2,"value":"ATo="}`
    VariableDecimal,
    /// Days.
    Date,
    Time(Unit),
    DateTime(Unit),
}

/// The types of a row's columns, and which of them have a semantic name.
///
/// One schema comes with every message, so it is parsed only when its text changes.
#[derive(Debug, Default)]
pub(super) struct Schema {
    text: Box<str>,
    columns: HashMap<String, Column>,
    /// Counts the schemas seen, so that what was derived from another one shows its age.
    pub generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub kind: Connect,
    /// Whether the schema says more than the bare JSON type, and so knows better than a dataflow file.
    pub semantic: bool,
}

impl Schema {
    /// Takes over the schema of the next message. One that cannot be read says nothing about any column.
    pub fn update(&mut self, text: &str) {
        if *self.text != *text {
            let node: Node = serde_json::from_str(text).unwrap_or_default();
            *self = Schema {
                text: text.into(),
                columns: node.columns(),
                generation: self.generation + 1,
            };
        }
    }

    pub fn column(&self, name: &str) -> Option<Column> {
        self.columns.get(name).copied()
    }
}

/// A node of a schema, as Connect writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node<'a> {
    #[serde(borrow)]
    field: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<HashMap<Text<'a>, Text<'a>>>,
    #[serde(borrow)]
    fields: Option<Vec<Node<'a>>>,
}

impl<'a> Node<'a> {
    /// The columns of the row: of `after` in an event's schema, else the fields themselves.
    fn columns(self) -> HashMap<String, Column> {
        let mut fields = self.fields.unwrap_or_default();
        let is_after = |node: &Node<'_>| {
            node.field.as_ref().is_some_and(|field| field.0 == "after") && node.fields.is_some()
        };
        if let Some(place) = fields.iter().position(is_after) {
            fields = fields.swap_remove(place).fields.unwrap_or_default();
        }
        fields
            .into_iter()
            .filter_map(|node| {
                let column = node.column();
                Some((node.field?.0.into_owned(), column))
            })
            .collect()
    }

    fn column(&self) -> Column {
        let name = self.name.as_ref().map_or("", |name| &*name.0);
        let kind = match name {
            "org.apache.kafka.connect.data.Decimal" => Connect::Decimal { scale: self.scale() },
            "io.debezium.data.VariableScaleDecimal" => Connect::VariableDecimal,
            "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => Connect::Date,
            "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => {
                Connect::Time(Unit::Milliseconds)
            }
            "io.debezium.time.MicroTime" => Connect::Time(Unit::Microseconds),
            "io.debezium.time.NanoTime" => Connect::Time(Unit::Nanoseconds),
            "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => {
                Connect::DateTime(Unit::Milliseconds)
            }
            "io.debezium.time.MicroTimestamp" => Connect::DateTime(Unit::Microseconds),
            "io.debezium.time.NanoTimestamp" => Connect::DateTime(Unit::Nanoseconds),
            "io.debezium.data.Bits" => Connect::Bits,
            "io.debezium.data.Json" => Connect::JsonText,
            // These are what they look like: ISO text, a label, labels, a year, microseconds, vectors.
            "io.debezium.time.ZonedTimestamp"
            | "io.debezium.time.ZonedTime"
            | "io.debezium.time.Year"
            | "io.debezium.time.MicroDuration"
            | "io.debezium.time.Interval"
            | "io.debezium.data.Enum"
            | "io.debezium.data.EnumSet"
            | "io.debezium.data.Uuid" => Connect::Json,
            _ => {
                let kind = match self.kind.as_ref().map_or("", |kind| &*kind.0) {
                    "bytes" => Connect::Bytes,
                    "float" | "float32" | "double" | "float64" => Connect::Float,
                    _ => Connect::Json,
                };
                return Column {
                    kind,
                    semantic: false,
                };
            }
        };
        Column { kind, semantic: true }
    }

    fn scale(&self) -> i64 {
        let scale = self
            .parameters
            .as_ref()
            .and_then(|all| all.iter().find(|(name, _)| name.0 == "scale"));
        scale.and_then(|(_, scale)| scale.0.parse().ok()).unwrap_or(0)
    }
}

/// The value as the schema says, or `None` where it is nothing of that type.
pub(super) fn read(cell: &Cell<'_>, kind: &Connect) -> Option<Datum> {
    match (kind, cell) {
        (Connect::JsonText, Cell::Text(text)) => value::as_json(text),
        (Connect::Float, Cell::Number(text)) => Some(number::float(text)),
        (Connect::Bytes, Cell::Text(text)) => STANDARD
            .decode(&**text)
            .ok()
            .map(|bytes| Datum::Bytes(bytes.into())),
        (Connect::Bits, Cell::Text(text)) => bits(text),
        (Connect::Decimal { scale }, _) => decimal(cell, *scale),
        (Connect::VariableDecimal, _) => decimal(cell, 0),
        (Connect::Date, Cell::Number(text)) => iso(temporal::date(text.parse().ok()?)),
        (Connect::Time(unit), Cell::Number(text)) => iso(temporal::time(text.parse().ok()?, *unit)),
        (Connect::DateTime(unit), Cell::Number(text)) => iso(temporal::date_time(text.parse().ok()?, *unit)),
        _ => None,
    }
}

fn iso(text: Option<String>) -> Option<Datum> {
    text.map(|text| Datum::Text(text.into()))
}

/// A decimal in any of the four ways in which Connect and Debezium write one.
pub(super) fn decimal(cell: &Cell<'_>, scale: i64) -> Option<Datum> {
    let plain = match cell {
        Cell::Number(text) => number::decimal(text)?.into_owned(),
        Cell::Text(text) if is_plain(text, scale) => number::decimal(text)?.into_owned(),
        Cell::Text(text) => number::decimal_of_bytes(&STANDARD.decode(&**text).ok()?, scale)?,
        Cell::Nested(json) => {
            let fields = Fields::parse(json).ok()?;
            let unscaled = STANDARD.decode(&*fields.text("value")).ok()?;
            number::decimal_of_bytes(&unscaled, fields.integer("scale")?)?
        }
        Cell::Null | Cell::Bool(_) => return None,
    };
    Some(Datum::Decimal(plain.into()))
}

/// Whether text is a number, and not base64 that looks like one.
///
/// Base64 has no point and no minus. Digits alone could be either: where the scale is not zero a number would have
/// a point; where it is zero such base64 is rare, as only few negative numbers of three, six .. bytes have it.
fn is_plain(text: &str, scale: i64) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits {
        scale == 0 || !text.len().is_multiple_of(4)
    } else {
        text.contains(['.', '-'])
    };
    number && number::decimal(text).is_some()
}

/// A bit string as a number, the lowest byte first; longer ones than a number holds stay bytes.
pub(super) fn bits(base64: &str) -> Option<Datum> {
    let bytes = STANDARD.decode(base64).ok()?;
    let mut lowest_first = [0; 8];
    match lowest_first.get_mut(..bytes.len()) {
        Some(start) => {
            start.copy_from_slice(&bytes);
            Some(number::unsigned(u64::from_le_bytes(lowest_first)))
        }
        None => Some(Datum::Bytes(bytes.into())),
    }
}
