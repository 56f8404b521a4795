//! Messages that are large in one way each. What takes time or room quadratic in their size does not come to an end
//! here.

use std::sync::Arc;

use millpond::change::{DatumRef, Operation, Row, TableId};
use millpond::decode::{Decoded, Decoder, Message, Refusal};
use millpond::definition::{Definition, Format};
use millpond::intake::{DeadLetters, Intake};
use millpond::metrics::Metrics;

use super::changes::check_change;
use super::dataflows::{definition, formats};
use crate::shared::message;

/// Columns of a wide row, rows of a long message: a pass over all for each of them would take hours.
const MANY: usize = 200_000;

/// The plain table of each format: key `id`.
fn plain() -> impl Iterator<Item = (Format, Arc<Definition>)> {
    formats()
        .into_iter()
        .step_by(3)
        .map(|definition| (definition.tables[0].format, definition))
}

fn decode(definition: &Definition, key: Option<&str>, value: &str, headers: &[(String, Vec<u8>)]) -> Decoded {
    let table = &definition.tables[0];
    let message = Message {
        key: key.map(str::as_bytes),
        headers,
        ..message(0, value)
    };
    let mut decoded = Decoded::default();
    Decoder::new(table).decode(&message, &mut decoded);
    for change in &decoded.changes {
        check_change(table, &message, change);
    }
    decoded
}

/// `"a":value`, without braces.
fn fields(names: impl Iterator<Item = String>, value: &str) -> String {
    names
        .map(|name| format!("\"{name}\":{value}"))
        .collect::<Vec<_>>()
        .join(",")
}

fn wide(value: &str) -> String {
    fields((0..MANY).map(|n| format!("c{n}")), value)
}

/// The last first: whoever looks from the start for each passes most of them.
fn wide_backwards(value: &str) -> String {
    fields((0..MANY).rev().map(|n| format!("c{n}")), value)
}

/// A message of the format that upserts one row.
fn upsert(format: Format, columns: &str) -> String {
    match format {
        Format::CanalJson => format!(r#"{{"table":"t","type":"INSERT","data":[{{"id":"1",{columns}}}]}}"#),
        Format::DebeziumJson => format!(r#"{{"op":"c","after":{{"id":1,{columns}}},"source":{{}}}}"#),
        Format::MaxwellJson => format!(r#"{{"table":"t","type":"insert","data":{{"id":1,{columns}}}}}"#),
        Format::UpsertJson => format!(r#"{{"id":1,{columns}}}"#),
        Format::EmbeddingJson => format!(r#"{{"id":1,{columns},"meta":{{"m":1,{columns}}}}}"#),
    }
}

#[track_caller]
fn only_row(decoded: &Decoded) -> &Row {
    assert_eq!(decoded.refusals, []);
    match &decoded.changes[..] {
        [change] => match &change.operation {
            Operation::Upsert(row) => row,
            other => panic!("{other:?}"),
        },
        others => panic!("{} changes", others.len()),
    }
}

#[test]
fn a_row_may_have_any_number_of_columns() {
    for (format, definition) in plain() {
        let decoded = decode(&definition, None, &upsert(format, &wide("\"7\"")), &[]);
        let row = only_row(&decoded);
        assert!(row.columns().names().len() > MANY, "{}", format.name());
        assert_eq!(row.get("c7"), Some(DatumRef::Text("7")), "{}", format.name());
    }
}

#[test]
fn columns_find_their_declared_types_among_any_number() {
    let mut formats = plain();
    let (_, canal) = formats.next().expect("canal-json is the first");
    let (_, debezium) = formats.next().expect("debezium-json is the second");
    for types in ["mysqlType", "sqlType"] {
        let value = if types == "sqlType" { "4" } else { "\"int\"" };
        let (declared, columns) = (wide_backwards(value), wide("\"7\""));
        let message = format!(
            r#"{{"table":"t","type":"INSERT","{types}":{{{declared}}},"data":[{{"id":"1",{columns}}}]}}"#
        );
        let decoded = decode(&canal, None, &message, &[]);
        assert_eq!(only_row(&decoded).get("c7"), Some(DatumRef::Int(7)), "{types}");
    }
    let field = |n| format!(r#"{{"type":"string","name":"io.debezium.data.Json","field":"c{n}"}}"#);
    let declared = (0..MANY).rev().map(field).collect::<Vec<_>>().join(",");
    let columns = wide("\"[7]\"");
    let message = format!(r#"{{"schema":{{"fields":[{declared}]}},"payload":{{"id":1,{columns}}}}}"#);
    let decoded = decode(&debezium, None, &message, &[]);
    assert_eq!(only_row(&decoded).get("c7"), Some(DatumRef::Json("[7]")));
}

#[test]
fn many_rows_under_many_declared_types_cost_what_both_cost() {
    let (_, canal) = plain().next().expect("canal-json is the first");
    let declared = wide("\"int\"");
    let message =
        |rows: &str| format!(r#"{{"table":"t","type":"INSERT","mysqlType":{{{declared}}},"data":[{rows}]}}"#);
    let rows = |row: &dyn Fn(usize) -> String| (0..MANY).map(row).collect::<Vec<_>>().join(",");

    let alike = rows(&|n| format!(r#"{{"id":"{n}","c1":"7"}}"#));
    let decoded = decode(&canal, None, &message(&alike), &[]);
    assert_eq!((decoded.changes.len(), decoded.refusals), (MANY, vec![]));

    // Rows of one table have the same columns. Where no two have, all but the first are refused, together.
    let different = rows(&|n| format!(r#"{{"id":"{n}","c{n}":"7"}}"#));
    let decoded = decode(&canal, None, &message(&different), &[]);
    assert!(
        (1..100).contains(&decoded.changes.len()),
        "{}",
        decoded.changes.len()
    );
    let last = decoded.refusals.last().expect("the others are refused");
    assert!(
        last.reason.contains("different sets of columns"),
        "{}",
        last.reason
    );
}

#[test]
fn the_dead_letters_of_a_message_take_no_more_than_a_bound() {
    let (_, canal) = plain().next().expect("canal-json is the first");
    for rows in [1, 100, 3_000, MANY] {
        let message = format!(
            r#"{{"table":"t","type":"INSERT","data":[{}]}}"#,
            vec!["{}"; rows].join(",")
        );
        let refusals = decode(&canal, None, &message, &[]).refusals;
        assert!(
            refusals.len() * message.len() <= (16 << 20) + message.len(),
            "{rows} rows"
        );
        let (last, singles) = refusals.split_last().expect("no row has a key");
        assert!((0..).zip(singles).all(|(row, refusal)| refusal.row == row));
        if refusals.len() == rows {
            assert_eq!(last.row as usize, rows - 1);
        } else {
            assert_eq!(
                last.row,
                Refusal::OTHERS,
                "{rows} rows, {} letters",
                refusals.len()
            );
            assert!(
                last.reason.contains(&format!("row {}: ", singles.len())),
                "{}",
                last.reason
            );
            assert!(singles.len() > 10, "{rows} rows");
        }
    }
}

/// A canal table with this key.
fn keyed(key: &str) -> Arc<Definition> {
    definition(&format!(
        "name = \"t\"\ntables.t = {{ source = {{ kind = \"http\" }}, format = \"canal-json\", key = [\"{key}\"] }}\n\
         index = {{ query = \"SELECT {key} FROM t\", key = \"{key}\", text = {{ {key} = {{}} }} }}"
    ))
}

#[test]
fn the_letter_for_all_further_rows_stays_until_its_message_decodes_as_a_whole() {
    let rows = |name: &str| vec![format!(r#"{{"{name}":"1"}}"#); 2_000].join(",");
    let whole = |rows: &str| format!(r#"{{"table":"t","type":"INSERT","data":[{rows}]}}"#);
    for (rows, is_whole) in [(rows("n"), true), (rows("n") + "," + &rows("m"), false)] {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::append_to(&folder.path().join("letters")).unwrap();
        let intake =
            |key: &str| Intake::new(keyed(key), letters.clone(), Metrics::default(), Arc::new(|| {}));
        let (refusing, _queue) = intake("id");
        let whole = whole(&rows);
        let partition = &mut refusing.receivers(TableId(0)).partition("0");
        partition.receiver.receive(&[message(0, &whole)]).unwrap();
        let others = format!("t/0/0/{}", Refusal::OTHERS);
        let ids = ["t/0/0".to_owned(), others.clone()];
        assert!(
            letters
                .get(&others)
                .unwrap()
                .unwrap()
                .reason
                .contains("further rows")
        );

        let (corrected, _queue) = intake("n");
        let replayed = corrected.replay(&ids).unwrap();
        assert!(replayed.decoded.contains(&ids[0]), "its row has a key now");
        assert_eq!(replayed.decoded.contains(&others), is_whole);
        assert_eq!(replayed.failed.len(), usize::from(!is_whole));
    }
}

/// Levels, digits, repetitions: beyond every stack, and every number.
const LONG: usize = 50_000;

/// What is deep, long or repeated, as the value of a column and as a whole.
fn oddities() -> Vec<String> {
    let deep = |open: &str, close: &str| open.repeat(LONG) + "1" + &close.repeat(LONG);
    let digits = "9".repeat(LONG);
    vec![
        deep("[", "]"),
        deep("{\"a\":", "}"),
        "[".repeat(LONG),
        "{\"a\":".repeat(LONG),
        digits.clone(),
        format!("-{digits}.{digits}e-{digits}"),
        format!("0.{}1", "0".repeat(LONG)),
        format!("1{}e-{LONG}", "0".repeat(LONG)),
        format!("\"{digits}\""),
        format!("\"{}\"", "\\ud83d\\udd0b".repeat(LONG)),
        format!("\"{}\"", "\\\\".repeat(LONG)),
        format!("{{{}}}", fields((0..LONG).map(|_| "a".into()), "1")),
        format!("{{\"scale\":{digits},\"value\":\"{}\"}}", "////".repeat(LONG)),
        format!("[{}]", vec!["{\"a\":1}"; LONG].join(",")),
    ]
}

const TYPES: [&str; 12] = [
    "int",
    "bigint unsigned",
    "decimal(9,2)",
    "float",
    "date",
    "datetime",
    "bit(64)",
    "json",
    "blob",
    "enum('a')",
    "set('a')",
    "no type",
];

#[test]
fn values_of_any_depth_and_length_come_to_something() {
    let run = || {
        for (format, definition) in plain() {
            for value in oddities() {
                let what = || {
                    format!(
                        "{}: {}",
                        format.name(),
                        value.chars().take(40).collect::<String>()
                    )
                };
                let row = upsert(format, &format!("\"name\":{value}"));
                for (key, value) in [
                    (None, &row),
                    (Some(&value), &row),
                    (Some(&value), &value),
                    (None, &value),
                ] {
                    let decoded = decode(&definition, key.map(String::as_str), value, &[]);
                    let came = decoded.changes.len() + decoded.refusals.len() + decoded.skipped as usize;
                    assert!(came > 0, "{}", what());
                }
            }
        }
        let (_, canal) = plain().next().expect("canal-json is the first");
        for value in oddities() {
            for kind in TYPES {
                let types = format!(r#""mysqlType":{{"name":"{kind}"}}"#);
                let message = format!(
                    r#"{{"table":"t","type":"INSERT",{types},"data":[{{"id":"1","name":{value}}}]}}"#
                );
                let decoded = decode(&canal, None, &message, &[]);
                assert!(
                    !decoded.changes.is_empty() || !decoded.refusals.is_empty(),
                    "{kind}"
                );
            }
        }
    };
    // The stack of a thread that reads a source.
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run);
    thread.expect("a thread starts").join().expect("it ends");
}

#[test]
fn any_number_of_headers_is_read_past() {
    let headers: Vec<_> = (0..MANY).map(|n| (format!("h{n}"), vec![b'['; 9])).collect();
    for (format, definition) in plain() {
        let decoded = decode(
            &definition,
            Some("{\"id\":1}"),
            &upsert(format, "\"name\":null"),
            &headers,
        );
        only_row(&decoded);
    }
}
