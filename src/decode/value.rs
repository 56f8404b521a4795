//! One value of a message -> [`Datum`], by the column's type and the way its format writes values.
//!
//! A value that its type does not describe stays as it came: a wrong type in a dataflow file, or a date beyond all
//! calendars, must not lose a row.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::connect::{self, Connect};
use super::json::{Cell, compact};
use super::temporal::{self, Unit};
use super::{number, temporal::date};
use crate::change::Datum;
use crate::definition::ColumnType;

/// How a format writes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// All as text: labels as numbers, bytes as ISO-8859-1.
    Canal,
    /// Kafka Connect's JSON: decimals and bits as base64 of bytes, dates and times as numbers.
    Connect,
    /// JSON as people write it: labels as text, bytes as base64.
    Plain,
}

/// What is known of a column's values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Untyped,
    Sql(ColumnType),
    Connect(Connect),
}

/// Debezium's stand-in for a value that the database did not send.
const UNAVAILABLE: &str = "__debezium_unavailable_value";
const UNAVAILABLE_LIST: &str = r#"["__debezium_unavailable_value"]"#;
const UNAVAILABLE_BASE64: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";

/// Whether the value is not in the message but in the row before it.
pub(super) fn is_unavailable(cell: &Cell<'_>, wire: Wire) -> bool {
    wire == Wire::Connect
        && match cell {
            Cell::Text(text) => text == UNAVAILABLE || text == UNAVAILABLE_BASE64,
            Cell::Nested(json) => *json == UNAVAILABLE_LIST,
            _ => false,
        }
}

pub(super) fn read(cell: Cell<'_>, kind: &Kind, wire: Wire) -> Datum {
    if is_unavailable(&cell, wire) {
        return Datum::Unavailable;
    }
    match (kind, &cell) {
        (_, Cell::Null) => Datum::Null,
        (Kind::Untyped, _) => untyped(&cell),
        (Kind::Connect(kind), _) => connect::read(&cell, kind).unwrap_or_else(|| untyped(&cell)),
        (Kind::Sql(kind), _) => typed(&cell, kind, wire).unwrap_or_else(|| untyped(&cell)),
    }
}

/// The value as JSON says it.
fn untyped(cell: &Cell<'_>) -> Datum {
    match cell {
        Cell::Null => Datum::Null,
        Cell::Bool(value) => Datum::Bool(*value),
        Cell::Number(text) => number::untyped(text),
        Cell::Text(text) => Datum::text(text),
        Cell::Nested(json) => as_json(json).unwrap_or_else(|| Datum::text(json)),
    }
}

/// The value as its SQL type says it, or `None` where it is nothing of that type.
fn typed(cell: &Cell<'_>, kind: &ColumnType, wire: Wire) -> Option<Datum> {
    match (kind, cell) {
        (ColumnType::Bool, Cell::Number(text)) => boolean(text),
        (ColumnType::Bool, Cell::Text(text)) => boolean(text),
        (ColumnType::Int { .. } | ColumnType::Bit, Cell::Bool(value)) => Some(Datum::Int(i64::from(*value))),
        (ColumnType::Int { unsigned }, Cell::Number(text)) => integer(text, *unsigned, wire),
        (ColumnType::Int { unsigned }, Cell::Text(text)) => integer(text, *unsigned, wire),
        (ColumnType::Float, Cell::Number(text)) => Some(number::float(text)),
        (ColumnType::Float, Cell::Text(text)) => Some(number::float(text)),
        (ColumnType::Decimal { scale }, _) if wire == Wire::Connect => {
            connect::decimal(cell, i64::from(scale.unwrap_or(0)))
        }
        (ColumnType::Decimal { .. }, Cell::Number(text)) => decimal(text),
        (ColumnType::Decimal { .. }, Cell::Text(text)) => decimal(text),
        (ColumnType::Text, Cell::Number(text)) => Some(Datum::text(text)),
        (ColumnType::Text, Cell::Bool(value)) => Some(Datum::text(if *value { "true" } else { "false" })),
        (ColumnType::Bytes, Cell::Text(text)) => match wire {
            Wire::Canal => latin_1(text).map(|bytes| Datum::Bytes(bytes.into())),
            Wire::Connect | Wire::Plain => STANDARD
                .decode(&**text)
                .ok()
                .map(|bytes| Datum::Bytes(bytes.into())),
        },
        (ColumnType::Bit, Cell::Text(text)) => match wire {
            Wire::Connect => connect::bits(text),
            Wire::Canal | Wire::Plain => number::integer(text),
        },
        (ColumnType::Bit, Cell::Number(text)) => number::integer(text),
        (ColumnType::Date, Cell::Number(text)) => {
            date(text.parse().ok()?).map(|text| Datum::Text(text.into()))
        }
        // Debezium's default for MySQL in any precision, and for PostgreSQL's TIME.
        (ColumnType::Time, Cell::Number(text)) => time(text.parse().ok()?),
        (ColumnType::DateTime { precision }, Cell::Number(text)) => date_time(text.parse().ok()?, *precision),
        (ColumnType::DateTimeZoned, Cell::Number(text)) => {
            let value = text.parse().ok()?;
            let text = temporal::date_time(value, Unit::by_magnitude(value))?;
            Some(Datum::Text((text + "Z").into()))
        }
        (ColumnType::Json, Cell::Text(text)) => as_json(text),
        (ColumnType::Enum(labels), Cell::Number(text)) => label(labels, text),
        (ColumnType::Enum(labels), Cell::Text(text)) if wire == Wire::Canal => label(labels, text),
        (ColumnType::Set(labels), Cell::Number(text)) => label_set(labels, text),
        (ColumnType::Set(labels), Cell::Text(text)) if wire == Wire::Canal => label_set(labels, text),
        (ColumnType::Set(_), Cell::Nested(json)) => serde_json::from_str::<Vec<String>>(json)
            .ok()
            .map(|labels| Datum::text(&labels.join(","))),
        _ => None,
    }
}

fn boolean(text: &str) -> Option<Datum> {
    match text {
        "1" | "t" | "true" | "TRUE" => Some(Datum::Bool(true)),
        "0" | "f" | "false" | "FALSE" => Some(Datum::Bool(false)),
        _ => None,
    }
}

fn integer(text: &str, unsigned: bool, wire: Wire) -> Option<Datum> {
    match number::integer(text)? {
        // Debezium sends BIGINT UNSIGNED as the signed integer of the same bits; smaller types fit.
        Datum::Int(value) if unsigned && value < 0 && wire == Wire::Connect => {
            Some(number::unsigned(value as u64))
        }
        value => Some(value),
    }
}

fn decimal(text: &str) -> Option<Datum> {
    number::decimal(text).map(|plain| Datum::Decimal(plain.into()))
}

fn time(value: i64) -> Option<Datum> {
    let text =
        temporal::time(value, Unit::Microseconds).or_else(|| temporal::time(value, Unit::Nanoseconds))?;
    Some(Datum::Text(text.into()))
}

fn date_time(value: i64, precision: Option<u32>) -> Option<Datum> {
    let text = precision
        .and_then(|digits| temporal::date_time(value, Unit::by_precision(digits)))
        .or_else(|| temporal::date_time(value, Unit::by_magnitude(value)))?;
    Some(Datum::Text(text.into()))
}

pub(super) fn as_json(text: &str) -> Option<Datum> {
    compact(text).map(|json| Datum::Json(json.into()))
}

/// The bytes of which each character is one, or `None` if a character is no byte.
fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(char).ok()).collect()
}

/// An ENUM's index counts from 1; 0 is MySQL's empty label for what is none of them.
fn label(labels: &[String], index: &str) -> Option<Datum> {
    let known = match index.parse::<usize>().ok()? {
        0 if !labels.is_empty() => Some(""),
        index => labels.get(index.wrapping_sub(1)).map(String::as_str),
    };
    known.map(Datum::text).or_else(|| number::integer(index))
}

/// A SET's mask has a bit a label.
fn label_set(labels: &[String], mask: &str) -> Option<Datum> {
    let bits: u64 = mask.parse().ok()?;
    // `>>` by 64 would overflow, and SET has at most 64 labels.
    let unknown = labels.is_empty() || labels.len() < 64 && bits >> labels.len() != 0;
    if unknown {
        return Some(number::unsigned(bits));
    }
    let set = labels
        .iter()
        .take(64)
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1);
    Some(Datum::text(
        &set.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(","),
    ))
}
