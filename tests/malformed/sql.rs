//! SQL: filters, queries and templates; an expression that is printed is the same again, and an index selects by a
//! filter exactly the documents for whose rows it is true.
//!
//! The first byte of an input chooses; the rest is the text.

use std::collections::BTreeSet;
use std::path::Path;

use millpond::change::{Columns, Datum, Float, Row, Vector};
use millpond::definition::{Expression, Field, Filters, Template, parse, parse_filter};
use millpond::query::{Mode, SearchRequest};
use millpond::replay::Replay;

use super::changes::check_json;
use super::dataflows::{definition, filled};

thread_local! {
    static SHOP: Replay = filled(definition(DEFINITION), ROWS);
    static FIELDS: Vec<Field> = definition(DEFINITION).index.clone().map(|index| index.fields).unwrap_or_default();
}

/// Columns whose values are what their fields say: elsewhere the fields decide, as a column of floats holds no decimals.
const DEFINITION: &str = r#"
name = "shop"
tables.shop = { source = { kind = "http" }, format = "upsert-json", key = ["id"] }
embedder = { model = "none", dimensions = 2 }
[index]
query = "SELECT id, a, b, c, v FROM shop"
key = "id"
vector = "v"
fields = { a = "i64", b = "keyword", c = "bool", id = "i64" }
"#;

const ROWS: &[&str] = &[
    r#"{"id":1,"a":1,"b":"red","c":true,"v":[1,0]}"#,
    r#"{"id":2,"a":-5,"b":"Red%","c":false,"v":[1,0]}"#,
    r#"{"id":3,"a":null,"b":null,"c":null,"v":[1,0]}"#,
    r#"{"id":4,"a":9223372036854775807,"b":"","c":true,"v":[1,0]}"#,
    r#"{"id":5,"a":-9223372036854775808,"b":"12","c":false,"v":[1,0]}"#,
    r#"{"id":6,"a":0,"b":"É_x","c":true,"v":[1,0]}"#,
    r#"{"id":7,"a":100,"b":"red","c":null,"v":[1,0]}"#,
    r#"{"id":8,"b":"'quoted'","v":[1,0]}"#,
];

pub fn run(data: &[u8]) {
    let Some((&choice, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match choice % 4 {
        0 => filter(text),
        1 => selects(text),
        2 => query(text),
        _ => template(text),
    }
}

/// Parentheses that may be near the parser's limit of nesting.
const DEEP: usize = 40;

fn filter(text: &str) {
    let parsed = match parse_filter(text) {
        Ok(parsed) => parsed,
        Err(fault) => {
            assert!(
                fault.line.is_none() && !fault.message.trim().is_empty(),
                "{fault:?}"
            );
            assert!(!fault.message.contains('\n'), "{fault:?}");
            return;
        }
    };
    let printed = parsed.to_string();
    // Where the text was close to a limit, its parentheses and words may be beyond.
    let again = match parse_filter(&printed) {
        Ok(again) => again,
        Err(fault) if fault.message.starts_with("the SQL ") => return,
        // Inside of CASE the parser takes what is too deep for something else.
        Err(_) if printed.matches("(").count() > DEEP => return,
        Err(fault) => panic!("{text} as {printed}: {fault:?}"),
    };
    assert_eq!(again.to_string(), printed, "{text}");
    for row in rows() {
        let value = parsed.evaluate(&row);
        assert_eq!(value, again.evaluate(&row), "{text} as {printed}");
        assert_eq!(value, parsed.evaluate(&row), "{text} twice");
        assert!(!matches!(value, Datum::Unavailable), "{text}");
        let mut json = Vec::new();
        value.write_json(&mut json);
        check_json(&json);
    }
}

/// The same filter by an index and by the rows.
fn selects(text: &str) {
    let request = SearchRequest {
        vector: Some(vec![1.0, 0.0]),
        mode: Mode::Vector,
        filter: Some(text.into()),
        limit: 100,
        ..SearchRequest::default()
    };
    SHOP.with(|shop| {
        let searcher = shop.searcher().expect("the dataflow has an index");
        let answer = match searcher.search_in(&shop.snapshot(), &request) {
            Ok(answer) => answer,
            Err(error) => {
                assert!(
                    error.kind == millpond::query::ErrorKind::Request && !error.message.is_empty(),
                    "{error:?}"
                );
                return;
            }
        };
        assert!(answer.failed.is_empty(), "{:?}", answer.failed);
        let found: BTreeSet<String> = answer.hits.iter().map(|hit| hit.key.to_string()).collect();
        assert_eq!(found.len(), answer.hits.len());
        let filter = FIELDS.with(|fields| Filters { fields, now: None }.parse(text));
        let filter = filter.expect("it was searched by");
        assert_eq!(found, selected(shop, &filter), "{text}");
    });
}

fn selected(shop: &Replay, filter: &Expression) -> BTreeSet<String> {
    let snapshot = shop.snapshot();
    let documents = (1..=ROWS.len()).filter_map(|id| snapshot.document(&id.to_string()));
    let selected = documents.filter(|document| filter.is_true(&document.row));
    selected.map(|document| document.key.to_string()).collect()
}

fn query(text: &str) {
    let quoted = serde_json::to_string(text).expect("text");
    let toml = format!(
        "name = 't'\n[tables.t]\nsource = {{ kind = 'http' }}\nformat = 'upsert-json'\nkey = ['id']\n\
         [index]\nquery = {quoted}\nkey = 'id'\ntext = {{ a = {{}} }}\n"
    );
    match parse(&toml, "fuzz.toml", Path::new("/flows")) {
        Ok(definition) => {
            let picture = definition.picture();
            assert!(!picture.is_empty());
        }
        Err(faults) => assert!(!faults.faults.is_empty()),
    }
}

fn template(text: &str) {
    let columns = ["a", "b", "c d"].map(str::to_owned);
    match Template::parse(text, &columns) {
        Ok(template) => {
            let again = Template::parse(&template.to_text(&columns), &columns);
            assert_eq!(again.as_ref(), Ok(&template), "{text}");
            for row in rows() {
                template.render(&row);
            }
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
}

/// Every kind of value beside every kind of edge.
fn rows() -> Vec<Row> {
    let columns = Columns::new(["a", "b", "c"]);
    let row = |a: Datum, b: Datum, c: Datum| Row::new(columns.clone(), vec![a, b, c]);
    let decimal = |text: &str| Datum::Decimal(text.into());
    vec![
        row(Datum::Int(i64::MIN), Datum::text("5"), Datum::Null),
        row(Datum::Int(i64::MAX), Datum::Int(-1), Datum::Bool(true)),
        row(
            Datum::Float(Float(f64::MAX)),
            Datum::Float(Float(f64::MIN_POSITIVE)),
            decimal("0.10"),
        ),
        row(
            Datum::Float(Float(f64::NAN)),
            Datum::Float(Float(f64::NEG_INFINITY)),
            Datum::text("nan"),
        ),
        row(
            decimal("18446744073709551616"),
            decimal("-0.0000000001"),
            Datum::Bool(false),
        ),
        row(
            Datum::text("É%_\\"),
            Datum::text(""),
            Datum::Bytes([0, 255].into()),
        ),
        row(
            Datum::Json("[1,{}]".into()),
            Datum::Vector(Vector::from(vec![1.0, 0.5])),
            Datum::Unavailable,
        ),
        row(Datum::text("2024-02-29"), Datum::text("1e400"), Datum::text("t")),
    ]
}
