//! What a change of the source table does: to rows that come, to rows that are kept, and to the index.

use std::path::Path;
use std::sync::Arc;

use millpond::change::{Offset, PartitionId, TableId};
use millpond::decode::{Cause, Decoded, Decoder, Message};
use millpond::definition::{self, Definition};
use millpond::intake::{DeadLetters, Intake};
use millpond::metrics::Metrics;
use millpond::query::{Mode, SearchRequest};
use millpond::replay::Replay;
use serde_json::{Value, json};

use crate::binary::sample;
use crate::shared::{message, public_data};

/// A table of products, `shop.products` at the source, with an index that needs three of its columns and the key.
fn products(format: &str) -> Arc<Definition> {
    let text = format!(
        r#"
name = "products"
[tables.products]
source = {{ kind = "http" }}
format = "{format}"
key = ["id"]
[index]
query = "SELECT id, name, price, stock FROM products WHERE status = 'live'"
key = "id"
text = {{ name = {{}} }}
fields = {{ price = "f64", stock = "i64" }}
"#
    );
    Arc::new(definition::parse(&text, "products", Path::new(".")).unwrap())
}

/// How a format says that a row was written, was deleted, that the table was emptied, and that it was dropped.
struct Wire {
    format: &'static str,
    upsert: fn(Value) -> Value,
    emptied: &'static [&'static str],
}

const WIRES: [Wire; 3] = [
    Wire {
        format: "canal-json",
        upsert: |row| {
            // All values are text.
            let text = |value: &Value| match value {
                Value::Null | Value::String(_) => value.clone(),
                other => Value::String(other.to_string()),
            };
            let row: serde_json::Map<String, Value> = row
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect();
            json!({"database": "shop", "table": "products", "type": "UPDATE", "isDdl": false, "data": [row]})
        },
        emptied: &[
            r#"{"database":"shop","table":"products","type":"TRUNCATE","isDdl":true,"sql":"TRUNCATE TABLE products","data":null}"#,
            r#"{"database":"shop","table":"products","type":"ERASE","isDdl":true,"sql":"DROP TABLE products","data":null}"#,
        ],
    },
    Wire {
        format: "debezium-json",
        upsert: |row| json!({"op": "u", "after": row, "source": {"db": "shop", "table": "products"}}),
        emptied: &[r#"{"op":"t","source":{"db":"shop","table":"products"}}"#],
    },
    Wire {
        format: "maxwell-json",
        upsert: |row| json!({"database": "shop", "table": "products", "type": "update", "data": row}),
        emptied: &[
            r#"{"database":"shop","table":"products","type":"table-drop","sql":"DROP TABLE products"}"#,
        ],
    },
];

fn product(id: u64, name: &str, price: Value) -> Value {
    json!({"id": id, "name": name, "price": price, "stock": 3, "status": "live"})
}

fn without(mut row: Value, column: &str) -> Value {
    row.as_object_mut().unwrap().remove(column).unwrap();
    row
}

/// A replay of one partition of `products`, message by message.
struct Fed {
    replay: Replay,
    next: u64,
}

impl Fed {
    fn new(format: &str) -> Fed {
        let replay = Replay::new(products(format), Vec::new(), DeadLetters::discard());
        Fed { replay, next: 0 }
    }

    fn feed(&mut self, message: impl ToString) {
        let message = message.to_string();
        self.replay
            .feed_values(TableId(0), self.next, &[message.as_bytes()]);
        self.next += 1;
        self.replay.tick();
    }

    /// The names of the documents, found by a word that all have.
    fn found(&self, filter: Option<&str>) -> Vec<String> {
        let request = SearchRequest {
            query: Some("product".into()),
            mode: Mode::Keyword,
            filter: filter.map(Into::into),
            ..SearchRequest::default()
        };
        let answer = self
            .replay
            .searcher()
            .unwrap()
            .search_in(&self.replay.snapshot(), &request)
            .unwrap();
        let name = |document: &str| {
            serde_json::from_str::<Value>(document).unwrap()["name"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let mut names: Vec<String> = answer.hits.iter().map(|hit| name(hit.document.get())).collect();
        names.sort();
        names
    }

    fn dead(&self) -> u64 {
        self.replay.snapshot().counters.dead_letters
    }
}

#[test]
fn rows_without_a_column_that_the_index_needs_are_dead_letters_and_the_row_before_stays() {
    for wire in &WIRES {
        for column in ["name", "price", "status"] {
            let mut fed = Fed::new(wire.format);
            fed.feed((wire.upsert)(product(1, "product one", json!(1.5))));
            fed.feed((wire.upsert)(without(
                product(1, "product changed", json!(2.5)),
                column,
            )));
            fed.feed((wire.upsert)(without(
                product(2, "product two", json!(2.5)),
                column,
            )));
            assert_eq!(fed.found(None), ["product one"], "{} {column}", wire.format);
            assert_eq!(fed.dead(), 2, "{} {column}", wire.format);
            // The column comes back, or the definition is corrected: nothing has stopped.
            fed.feed((wire.upsert)(product(1, "product again", json!(2.5))));
            assert_eq!(
                fed.found(Some("price > 2")),
                ["product again"],
                "{} {column}",
                wire.format
            );
            assert_eq!(fed.dead(), 2, "{} {column}", wire.format);
        }
    }
}

#[test]
fn rows_from_before_a_column_was_added_are_kept_and_the_column_appears_with_the_first_row_that_has_it() {
    for wire in &WIRES {
        let mut fed = Fed::new(wire.format);
        fed.feed((wire.upsert)(without(
            product(1, "product old", json!(1.5)),
            "stock",
        )));
        assert_eq!(
            fed.found(Some("stock IS NULL")),
            ["product old"],
            "{}",
            wire.format
        );
        fed.feed((wire.upsert)(product(2, "product new", json!(1.5))));
        assert_eq!(fed.found(Some("stock = 3")), ["product new"], "{}", wire.format);
        assert_eq!(
            fed.found(Some("stock IS NULL")),
            ["product old"],
            "{}: kept rows are not rewritten",
            wire.format
        );
        assert_eq!(fed.dead(), 0, "{}", wire.format);
    }
}

#[test]
fn columns_that_the_index_does_not_need_may_come_and_go() {
    for wire in &WIRES {
        let mut fed = Fed::new(wire.format);
        let mut with_more = product(1, "product one", json!(1.5));
        with_more["colour"] = json!("red");
        fed.feed((wire.upsert)(with_more));
        fed.feed((wire.upsert)(product(1, "product one again", json!(1.5))));
        assert_eq!(fed.found(None), ["product one again"], "{}", wire.format);
        assert_eq!(fed.dead(), 0);
    }
}

#[test]
fn a_value_that_its_filter_field_cannot_hold_makes_its_row_a_dead_letter() {
    for wire in &WIRES {
        let mut fed = Fed::new(wire.format);
        fed.feed((wire.upsert)(product(1, "product one", json!(1.5))));
        fed.feed((wire.upsert)(product(1, "product one", json!("EUR 2.50"))));
        assert_eq!(
            (fed.found(Some("price = 1.5")), fed.dead()),
            (vec!["product one".to_owned()], 1)
        );
        // Another type that means the same, and null, are no harm.
        fed.feed((wire.upsert)(product(1, "product one", json!("2.5"))));
        fed.feed((wire.upsert)(product(2, "product two", Value::Null)));
        assert_eq!(fed.found(Some("price = 2.5")), ["product one"], "{}", wire.format);
        assert_eq!(
            fed.found(Some("price IS NULL")),
            ["product two"],
            "{}",
            wire.format
        );
        assert_eq!(fed.dead(), 1, "{}", wire.format);
    }
}

#[test]
fn plain_rows_may_have_any_columns() {
    let mut fed = Fed::new("upsert-json");
    fed.feed(product(1, "product one", json!(1.5)));
    fed.feed(without(product(1, "product two", json!(1.5)), "price"));
    assert_eq!(
        (fed.found(Some("price IS NULL")), fed.dead()),
        (vec!["product two".to_owned()], 0)
    );
}

#[test]
fn a_row_that_moves_its_key_and_lacks_a_column_leaves_the_old_one_where_it_was() {
    let moves = [
        (
            "canal-json",
            json!({"database": "shop", "table": "products", "type": "UPDATE", "data": [{"id": "2", "name": "product moved", "stock": "3", "status": "live"}], "old": [{"id": "1"}]}),
        ),
        (
            "maxwell-json",
            json!({"database": "shop", "table": "products", "type": "update", "data": {"id": 2, "name": "product moved", "stock": 3, "status": "live"}, "old": {"id": 1}}),
        ),
        (
            "debezium-json",
            json!({"op": "u", "before": {"id": 1}, "after": {"id": 2, "name": "product moved", "stock": 3, "status": "live"}, "source": {"db": "shop", "table": "products"}}),
        ),
    ];
    for (format, moved) in moves {
        let wire = WIRES.iter().find(|wire| wire.format == format).unwrap();
        let mut fed = Fed::new(format);
        fed.feed((wire.upsert)(product(1, "product one", json!(1.5))));
        fed.feed(moved);
        assert_eq!(
            (fed.found(None), fed.dead()),
            (vec!["product one".to_owned()], 1),
            "{format}"
        );
    }
}

#[test]
fn a_table_that_is_emptied_or_dropped_is_empty_with_the_next_tick() {
    for wire in &WIRES {
        for emptied in wire.emptied {
            let mut fed = Fed::new(wire.format);
            for id in 0..50 {
                fed.feed((wire.upsert)(product(id, "product", json!(1.5))));
            }
            assert_eq!(fed.replay.snapshot().documents(), 50);
            fed.feed(emptied);
            assert_eq!(fed.replay.snapshot().documents(), 0, "{emptied}");
            assert_eq!(fed.replay.rows(TableId(0)).len(), 0, "{emptied}");
            fed.feed((wire.upsert)(product(1, "product again", json!(1.5))));
            assert_eq!(fed.found(None), ["product again"], "{emptied}");
        }
    }
}

/// Of the rows of a message with several, only those that lack the column, each by its number.
#[test]
fn rows_of_one_message_are_judged_one_by_one() {
    let definition = products("canal-json");
    let mut decoder = Decoder::new(&definition.tables[0]);
    let row = |id: &str, price: &str| json!({"id": id, "name": "n", "price": price, "stock": "1", "status": "live"});
    let message = json!({"database": "shop", "table": "products", "type": "INSERT",
        "data": [row("1", "1.5"), row("2", "cheap"), row("3", "2"), {"name": "no key"}, row("5", "dear")]});
    let decoded = decode(&mut decoder, &message.to_string());
    let refused: Vec<(u32, Cause)> = decoded
        .refusals
        .iter()
        .map(|refusal| (refusal.row, refusal.cause))
        .collect();
    assert_eq!(
        refused,
        [
            (1, Cause::SchemaChange),
            (3, Cause::Malformed),
            (4, Cause::SchemaChange)
        ]
    );
    assert_eq!(decoded.changes.len(), 2);
}

fn decode(decoder: &mut Decoder, value: &str) -> Decoded {
    let mut decoded = Decoded::default();
    decoder.decode(&message(7, value), &mut decoded);
    decoded
}

#[test]
fn a_change_is_counted_by_rows_and_what_kept_rows_had_is_known_after_a_restart() {
    let definition = products("maxwell-json");
    let wire = WIRES.iter().find(|wire| wire.format == "maxwell-json").unwrap();
    let metrics = Metrics::default();
    let (intake, batches) = Intake::new(
        definition.clone(),
        DeadLetters::discard(),
        metrics.clone(),
        Arc::new(|| {}),
    );
    let lacking = (wire.upsert)(without(product(1, "product", json!(1)), "price")).to_string();
    let count = || sample(&metrics.encode(), "millpond_schema_refused_total");

    let mut fresh = intake.receivers(TableId(0)).partition("0");
    fresh.receiver.receive(&[message(0, &lacking)]).unwrap();
    assert_eq!(
        (count(), batches.try_recv().unwrap().changes.len()),
        (0.0, 1),
        "not added yet"
    );

    intake.expect_columns(TableId(0), ["id", "name", "price"]);
    let mut resumed = intake.receivers(TableId(0)).partition("1");
    resumed
        .receiver
        .receive(&[message(0, &lacking), message(1, &lacking)])
        .unwrap();
    let batch = batches.try_recv().unwrap();
    assert_eq!(
        (count(), batch.changes.len(), batch.dead_letters),
        (2.0, 0, 2),
        "dropped"
    );
}

/// A live capture renames `name` to `full_name` and later drops another table.
#[test]
fn a_live_rename_stops_no_rows_but_those_that_lack_the_column() {
    let Some(path) = public_data("changes/mariadb-live/plain/messages.jsonl") else {
        return;
    };
    let text = r#"
name = "customers"
[tables.customers]
source = { kind = "http" }
format = "debezium-json"
key = ["id"]
select = "inventory.customers"
[tables.doomed]
source = { kind = "http" }
format = "debezium-json"
key = ["id"]
select = "inventory.doomed"
[index]
query = "SELECT id, name, tier FROM customers"
key = "id"
text = { name = {} }
fields = { tier = "keyword" }
"#;
    let definition = Arc::new(definition::parse(text, "customers", Path::new(".")).unwrap());
    let mut replay = Replay::new(definition, Vec::new(), DeadLetters::discard());
    let mut doomed = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let bytes = |name: &str| record[name].as_str().map(str::as_bytes);
        let message = Message {
            topic: record["topic"].as_str().unwrap(),
            partition: PartitionId(0),
            offset: Offset(record["offset"].as_u64().unwrap()),
            key: bytes("key"),
            value: bytes("value"),
            headers: &[],
            timestamp_ms: None,
        };
        for table in [TableId(0), TableId(1)] {
            replay.feed(table, "0", &[message]);
        }
        replay.tick();
        doomed = doomed.max(replay.rows(TableId(1)).len());
    }
    // Two updates come after the rename; the rows before them stay in the index as they were.
    assert_eq!(replay.snapshot().counters.dead_letters, 2);
    let name = |key: &str| {
        let snapshot = replay.snapshot();
        let document = snapshot.document(key).unwrap_or_else(|| panic!("{key} is gone"));
        format!(
            "{:?} {:?}",
            document.row.get("name").unwrap(),
            document.row.get("tier").unwrap()
        )
    };
    assert_eq!(
        name("20"),
        r#"Text("Bob moved") Null"#,
        "from before the column was added"
    );
    assert_eq!(name("30"), r#"Text("Post-alter") Text("pro")"#);
    assert_eq!(
        (doomed, replay.rows(TableId(1)).len()),
        (2, 0),
        "dropped by its DDL"
    );
}
