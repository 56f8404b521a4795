//! Special cases of each format, by what they decode to.

mod canal;
mod debezium;
mod embedding;
mod maxwell;
mod upsert;

use std::fmt::Write;

use expect_test::Expect;
use millpond::change::{Change, DatumRef, Float, Operation, Row};
use millpond::decode::Decoded;
use millpond::definition::Table;

use super::{Record, decode};

/// Decodes records at offsets 0, 1, 2 ... and compares a line for each change and refusal.
fn check(table: &Table, records: &[Record], expected: Expect) {
    expected.assert_eq(&show(&decode(table, records)));
}

fn show(decoded: &Decoded) -> String {
    let mut out = String::new();
    for change in &decoded.changes {
        writeln!(out, "{}", show_change(change)).unwrap();
    }
    for refusal in &decoded.refusals {
        writeln!(out, "refused @{}: {}", refusal.offset.0, refusal.reason).unwrap();
    }
    if decoded.skipped > 0 {
        writeln!(out, "skipped {}", decoded.skipped).unwrap();
    }
    out
}

/// `upsert 1 @0 order 429918007904436226 0 0 at 1640007049196 {id: 1, name: "x"}`
fn show_change(change: &Change) -> String {
    let what = match &change.operation {
        Operation::Upsert(_) => "upsert",
        Operation::Delete => "delete",
        Operation::Truncate => "truncate",
    };
    let key: Vec<_> = change.key.0.iter().map(show_datum).collect();
    let mut line = format!("{what} {} @{}", key.join("/"), change.version.offset.0);
    if let Some(source) = &change.version.source {
        let (a, b, c) = source.order;
        let snapshot = if source.origin == 0 { " of any" } else { "" };
        write!(line, " order {a} {b} {c}{snapshot}").unwrap();
    }
    if let Some(committed) = change.committed_ms {
        write!(line, " at {committed}").unwrap();
    }
    if let Some(old) = &change.moved_from {
        write!(line, " from {old}").unwrap();
    }
    if let Operation::Upsert(row) = &change.operation {
        write!(line, " {}", show_row(row)).unwrap();
    }
    line
}

fn show_row(row: &Row) -> String {
    let columns: Vec<_> = row
        .iter()
        .map(|(name, value)| format!("{name}: {}", show_datum(value)))
        .collect();
    format!("{{{}}}", columns.join(", "))
}

/// Values as their types show: 1, 1.0f, 1.0d, "1", x01, vector [1.0], json {}.
fn show_datum<'a>(datum: impl Into<DatumRef<'a>>) -> String {
    match datum.into() {
        DatumRef::Null => "null".to_owned(),
        DatumRef::Bool(value) => value.to_string(),
        DatumRef::Int(value) => value.to_string(),
        DatumRef::Float(Float(value)) => format!("{value:?}f"),
        DatumRef::Decimal(text) => format!("{text}d"),
        DatumRef::Text(text) => format!("{text:?}"),
        DatumRef::Bytes(bytes) => bytes
            .iter()
            .fold("x".to_owned(), |out, byte| format!("{out}{byte:02x}")),
        DatumRef::Vector(values) => format!("vector {:?}", &**values),
        DatumRef::Json(text) => format!("json {text}"),
        DatumRef::Unavailable => "unavailable".to_owned(),
    }
}
