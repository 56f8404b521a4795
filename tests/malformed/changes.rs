//! What must be true of every change, whatever the message was.

use std::collections::HashSet;

use millpond::change::{Change, Datum, DatumRef, Float, Key, Operation, Row};
use millpond::decode::Message;
use millpond::definition::{Format, Table};

pub fn check_change(table: &Table, message: &Message<'_>, change: &Change) {
    assert_eq!(change.version.partition, message.partition);
    assert_eq!(change.version.offset, message.offset);
    match &change.operation {
        Operation::Truncate => assert!(change.key.0.is_empty() && change.moved_from.is_none()),
        Operation::Delete => {
            assert!(change.moved_from.is_none());
            check_key(table, &change.key);
        }
        Operation::Upsert(row) => {
            check_key(table, &change.key);
            check_row(table, row);
            if let Some(old) = &change.moved_from {
                check_key(table, old);
                assert_ne!(*old, change.key, "moved to where it was");
                assert!(row.has_unavailable(), "completed from an old row, and complete");
            }
        }
    }
}

/// A key has all its columns, one of them at least not null, and only values that stand for themselves.
fn check_key(table: &Table, key: &Key) {
    assert_eq!(key.0.len(), table.key.len());
    assert!(!key.0.iter().all(Datum::is_null), "no key at all");
    for part in key.0.iter() {
        assert!(
            !matches!(part, Datum::Unavailable | Datum::Vector(_)),
            "{part:?} in a key"
        );
        check_datum(table, part.into());
        if let Datum::Decimal(text) = part {
            let is_short = text.parse::<i64>().is_err() && !(text.contains('.') && text.ends_with('0'));
            assert!(is_short, "{text} is not the one form of a number in a key");
        }
    }
    if key.0.len() > 1 {
        assert_eq!(
            key.text().matches('/').count(),
            key.0.len() - 1,
            "the parts cannot be told apart"
        );
    }
}

fn check_row(table: &Table, row: &Row) {
    let names = row.columns().names();
    let different: HashSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len(), "a column stands twice: {names:?}");
    assert_eq!(names.len(), row.values().count());
    for (name, value) in row.iter() {
        check_datum(table, value);
        let is_vector = table.vectors.first().is_some_and(|vector| vector.name == name);
        match value {
            DatumRef::Vector(components) => {
                assert!(is_vector, "a vector in column {name}");
                let dimensions = table.vectors.first().map(|vector| vector.dimensions);
                assert_eq!(Some(components.len()), dimensions);
                assert!(components.iter().all(|component| component.is_finite()));
            }
            DatumRef::Null | DatumRef::Unavailable => {}
            value => assert!(!is_vector, "{value:?} as a vector"),
        }
    }
    let mut json = Vec::new();
    row.write_json(&mut json);
    check_json(&json);
}

fn check_datum(table: &Table, datum: DatumRef<'_>) {
    match datum {
        DatumRef::Unavailable => assert_eq!(table.format, Format::DebeziumJson, "a value that is elsewhere"),
        DatumRef::Float(Float(value)) => assert!(value.is_finite()),
        DatumRef::Decimal(text) => assert!(is_plain_decimal(text), "{text:?} as a decimal"),
        DatumRef::Json(text) => check_json(text.as_bytes()),
        _ => {}
    }
}

/// `-12.30`: no exponent, no `+`, no superfluous leading zeros, no minus before zero.
fn is_plain_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(are_digits)
        && (digits.len() == text.len() || digits.bytes().any(|byte| matches!(byte, b'1'..=b'9')))
}

/// Valid JSON in UTF-8, however deep.
pub fn check_json(json: &[u8]) {
    let text = std::str::from_utf8(json).expect("JSON is text");
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        panic!("{error} in {text}");
    }
}
