//! `upsert-json`: keys in the message or the row, deletes.

use expect_test::expect;
use millpond::definition::{Format, Table};

use super::check;
use crate::decode::{Record, columns, table};

fn upsert() -> Table {
    table(Format::UpsertJson, &["id"])
}

#[test]
fn rows_and_their_ends() {
    check(
        &upsert(),
        &[
            Record::value(r#"{"id":1,"v":"x","n":5.10,"o":{"a": [1]},"big":123456789012345678901234567890}"#),
            Record::value(r#"{"id":1,"_op":"delete"}"#),
            Record::value(r#"{"id":1,"_op":"d","v":"x"}"#),
            Record::value(r#"{"id":1,"_op":"upsert","v":"y"}"#),
            Record::tombstone(r#"{"id": 1}"#),
            Record::keyed("1", "null"),
            Record::default(),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1, v: "x", n: 5.1f, o: json {"a":[1]}, big: 123456789012345678901234567890d}
            delete 1 @1
            delete 1 @2
            upsert 1 @3 {id: 1, v: "y"}
            delete 1 @4
            delete 1 @5
            skipped 1
        "#]],
    );
}

#[test]
fn the_message_key_completes_the_row() {
    check(
        &upsert(),
        &[
            Record::keyed(r#"{"id":1}"#, r#"{"v":"x"}"#),
            Record::keyed("2", r#"{"v":"x"}"#),
            Record::keyed("plain text", r#"{"v":"x"}"#),
            Record::tombstone("plain text"),
            Record::keyed("\"3\"", r#"{"v":"x"}"#),
        ],
        expect![[r#"
            upsert 1 @0 {v: "x", id: 1}
            upsert 2 @1 {v: "x", id: 2}
            upsert "plain text" @2 {v: "x", id: "plain text"}
            delete "plain text" @3
            upsert "3" @4 {v: "x", id: "3"}
        "#]],
    );
}

#[test]
fn a_key_that_is_the_same_text_in_row_and_message_key_is_one_key() {
    check(
        &upsert(),
        &[
            Record::keyed("1", r#"{"id":"1"}"#),
            Record::tombstone("1"),
            // Here the message key is something else, and the row's own key counts.
            Record::keyed("customer-7", r#"{"id":12}"#),
        ],
        expect![[r#"
            upsert 1 @0 {id: "1"}
            delete 1 @1
            upsert 12 @2 {id: 12}
        "#]],
    );
    let types = columns(&[("id", "bigint")]);
    check(
        &Table {
            columns: types,
            ..upsert()
        },
        &[
            Record::value(r#"{"id":"1"}"#),
            Record::value(r#"{"id":1.0}"#),
            Record::tombstone("\"1\""),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1}
            upsert 1 @1 {id: 1}
            delete 1 @2
        "#]],
    );
}

#[test]
fn composite_keys_may_hold_null_but_not_only_null() {
    check(
        &table(Format::UpsertJson, &["a", "b"]),
        &[
            Record::value(r#"{"a":1,"b":null}"#),
            Record::value(r#"{"a":null,"b":null}"#),
            Record::tombstone(r#"{"a":1,"b":null}"#),
            Record::tombstone("1"),
        ],
        expect![[r#"
            upsert 1/null @0 {a: 1, b: null}
            delete 1/null @2
            refused @1: key column `a`, `b` is null: expected a value
            refused @3: tombstone: message key: key column `a` is missing
        "#]],
    );
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    check(
        &upsert(),
        &[
            Record::value(r#"{"v":1}"#),
            Record::value("5"),
            Record::value("{\"id\":1"),
            Record::value(r#"{"id":null}"#),
        ],
        expect![[r#"
            refused @0: key column `id` is missing
            refused @1: value: invalid type: integer `5`, expected an object at line 1 column 1: expected a row as a JSON object
            refused @2: value: EOF while parsing an object at line 1 column 7: expected a row as a JSON object
            refused @3: key column `id` is null: expected a value
        "#]],
    );
}

#[test]
fn select_goes_by_the_topic() {
    let row = || Record::value(r#"{"id":1}"#);
    check(
        &Table {
            select: vec!["students".to_owned()],
            ..upsert()
        },
        &[
            row().topic("students"),
            row().topic("old.students"),
            row().topic("astudents"),
            row(),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1}
            upsert 1 @3 {id: 1}
            skipped 2
        "#]],
    );
}
