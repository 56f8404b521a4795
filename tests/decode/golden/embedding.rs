//! `embedding-json`: vectors, `meta`, deletes.

use expect_test::expect;
use millpond::definition::{Format, Metric, Table, VectorColumn};

use super::check;
use crate::decode::{Record, table};

fn embedding(key: &[&str]) -> Table {
    let vector = VectorColumn {
        name: "embedding".to_owned(),
        dimensions: 2,
        metric: Metric::Cosine,
        is_mixed: false,
    };
    Table {
        vectors: vec![vector],
        ..table(Format::EmbeddingJson, key)
    }
}

#[test]
fn vectors_come_as_base64_or_as_an_array_and_meta_becomes_columns() {
    check(
        &embedding(&["id"]),
        &[
            Record::value(
                r#"{"id":1,"vector_b64":"AACAPwAAAMA=","meta":{"title":"x","n":1.50,"tags":["a", "b"],"id":7,"embedding":"no"}}"#,
            ),
            Record::value(r#"{"id":"a","vector":[1,-2.0e0]}"#),
            Record::value(r#"{"id":2,"vector":null,"vector_b64":null,"meta":"text","model":"m"}"#),
            Record::keyed("9", r#"{"vector":[1,2]}"#),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1, meta: json {"title":"x","n":1.50,"tags":["a","b"],"id":7,"embedding":"no"}, embedding: vector [1.0, -2.0], title: "x", n: 1.5f, tags: json ["a","b"]}
            upsert "a" @1 {id: "a", embedding: vector [1.0, -2.0]}
            upsert 2 @2 {id: 2, meta: "text", model: "m", embedding: null}
            upsert 9 @3 {embedding: vector [1.0, 2.0], id: 9}
        "#]],
    );
}

#[test]
fn without_a_vector_column_nothing_is_checked() {
    check(
        &table(Format::EmbeddingJson, &["id"]),
        &[Record::value(r#"{"id":1,"vector":[0]}"#)],
        expect![[r#"
        upsert 1 @0 {id: 1, vector: json [0]}
    "#]],
    );
}

#[test]
fn keys_may_come_from_meta_or_have_another_name() {
    check(
        &embedding(&["tenant", "doc"]),
        &[Record::value(
            r#"{"vector":[1,2],"meta":{"tenant":"acme","doc":5}}"#,
        )],
        expect![[r#"
            upsert "acme"/5 @0 {meta: json {"tenant":"acme","doc":5}, embedding: vector [1.0, 2.0], tenant: "acme", doc: 5}
        "#]],
    );
    check(
        &embedding(&["doc"]),
        &[Record::value(r#"{"id":5,"vector":[1,2]}"#)],
        expect![[r#"
        upsert 5 @0 {id: 5, embedding: vector [1.0, 2.0], doc: 5}
    "#]],
    );
}

#[test]
fn deletes_need_no_vector() {
    check(
        &embedding(&["id"]),
        &[
            Record::tombstone("1"),
            Record::value(r#"{"id":1,"_op":"delete"}"#),
            Record::value(r#"{"id":1,"deleted":true}"#),
            Record::value(r#"{"id":1,"deleted":false,"vector":[1,2]}"#),
        ],
        expect![[r#"
            delete 1 @0
            delete 1 @1
            delete 1 @2
            upsert 1 @3 {id: 1, embedding: vector [1.0, 2.0]}
        "#]],
    );
}

#[test]
fn vectors_that_no_index_could_hold_are_refused() {
    check(
        &embedding(&["id"]),
        &[
            Record::value(r#"{"id":1,"vector":[1]}"#),
            Record::value(r#"{"id":1,"vector":[1,1e39]}"#),
            Record::value(r#"{"id":1,"vector":[0,0]}"#),
            Record::value(r#"{"id":1,"vector":[1,null]}"#),
            Record::value(r#"{"id":1,"vector":[1,[2]]}"#),
            Record::value(r#"{"id":1,"vector":5}"#),
            Record::value(r#"{"id":1,"vector_b64":"AACAPwAAwH8="}"#),
            Record::value(r#"{"id":1,"vector_b64":"AACAPwAAAM"}"#),
            Record::value(r#"{"id":1,"vector_b64":"-_-_"}"#),
            Record::value(r#"{"id":1,"vector_b64":"AACA"}"#),
            Record::value(r#"{"id":1,"vector":[1,2],"vector_b64":"AACAPwAAAMA="}"#),
            Record::value(r#"{"vector":[1,2]}"#),
        ],
        expect![[r#"
            refused @0: vector `embedding` has 1 components: expected 2
            refused @1: vector `embedding` component 1 is inf: expected a finite number
            refused @2: vector `embedding` is zero: under cosine a vector needs a direction
            refused @3: vector `embedding` has `null` as a component: expected a number
            refused @4: vector `embedding` has `[2]` as a component: expected a number
            refused @5: vector `embedding` is neither an array nor text: expected 2 numbers, or base64 of them
            refused @6: vector `embedding` component 1 is NaN: expected a finite number
            refused @7: vector `embedding` is not base64 of the standard alphabet with padding: Invalid padding
            refused @8: vector `embedding` is not base64 of the standard alphabet with padding: Invalid symbol 45, offset 0.
            refused @9: vector `embedding` has 3 bytes: expected 4 a component, little-endian f32
            refused @10: `vector` and `vector_b64` are both there: expected one of them
            refused @11: key column `id` is missing
        "#]],
    );
}
