//! `canal-json`: rows, types, keys, DDL, claim checks.

use std::io;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use millpond::decode::{Decoded, Decoder};
use millpond::definition::{Format, Metric, Table, VectorColumn};

use super::{check, show};
use crate::decode::{Record, columns, table};

fn canal() -> Table {
    table(Format::CanalJson, &["id"])
}

#[test]
fn rows_of_a_message_keep_their_order() {
    let rows: Vec<_> = (0..100).rev().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    let message = format!(
        r#"{{"database":"d","table":"t","type":"INSERT","mysqlType":{{"id":"int"}},"data":[{}]}}"#,
        rows.join(",")
    );
    let decoded = crate::decode::decode(&canal(), &[Record::value(&message)]);
    let keys: Vec<_> = decoded
        .changes
        .iter()
        .map(|change| change.key.to_string())
        .collect();
    assert_eq!(
        keys,
        (0..100).rev().map(|id: i32| id.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn values_are_typed_by_their_sql_type() {
    check(
        &canal(),
        &[Record::value(
            r#"{"database":"d","table":"t","type":"INSERT","es":1000,"sqlType":{"blobby":2004,"code":1},
            "mysqlType":{"id":"bigint unsigned","price":"DECIMAL(8,3) unsigned","weight":"float","name":"varchar(9)",
            "status":"enum('draft','it''s live')","tags":"set('a','b','c')","flags":"bit(10)","blobby":"blob","attrs":"json",
            "made":"date","at":"time(3)","created":"datetime(6)","embedding":"vector(3)","small":"tinyint(1)"},
            "data":[{"id":"18446744073709551615","price":"3.140","weight":"9.9","name":"007","status":"2","tags":"5",
            "flags":"513","blobby":"\u0000ÿ\u0010","attrs":"{\"k\": [1, 2.50]}","made":"0000-00-00","at":"-838:59:59.000",
            "created":"2023-03-23 14:30:05.123456","embedding":"[1,2.5,3]","small":"1"},
            {"id":"2","price":null,"weight":"1e10","name":"","status":"0","tags":"0",
            "flags":"0","blobby":"","attrs":"{broken","made":null,"at":null,"created":null,"embedding":null,"small":"-1"}]}"#,
        )],
        expect![[r#"
            upsert 18446744073709551615d @0 at 1000 {id: 18446744073709551615d, price: 3.140d, weight: 9.9f, name: "007", status: "it's live", tags: "a,c", flags: 513, blobby: x00ff10, attrs: json {"k":[1,2.50]}, made: "0000-00-00", at: "-838:59:59.000", created: "2023-03-23 14:30:05.123456", embedding: "[1,2.5,3]", small: 1}
            upsert 2 @0 at 1000 {id: 2, price: null, weight: 10000000000.0f, name: "", status: "", tags: "", flags: 0, blobby: x, attrs: "{broken", made: null, at: null, created: null, embedding: null, small: -1}
        "#]],
    );
}

#[test]
fn without_labels_enum_and_set_are_numbers_and_a_dataflow_file_can_name_them() {
    let message = Record::value(
        r#"{"database":"d","table":"t","type":"INSERT","mysqlType":{"id":"int","status":"enum","tags":"set"},
        "data":[{"id":"1","status":"2","tags":"3"},{"id":"2","status":"9","tags":"8"}]}"#,
    );
    check(
        &canal(),
        std::slice::from_ref(&message),
        expect![[r#"
        upsert 1 @0 {id: 1, status: 2, tags: 3}
        upsert 2 @0 {id: 2, status: 9, tags: 8}
    "#]],
    );
    let types = columns(&[("status", "enum('draft','live')"), ("tags", "set('a','b')")]);
    check(
        &Table {
            columns: types,
            ..canal()
        },
        &[message],
        expect![[r#"
        upsert 1 @0 {id: 1, status: "live", tags: "a,b"}
        upsert 2 @0 {id: 2, status: 9, tags: 8}
    "#]],
    );
}

#[test]
fn without_mysql_type_the_jdbc_type_counts_and_without_both_text_stays_text() {
    check(
        &canal(),
        &[Record::value(
            r#"{"database":"d","table":"t","type":"INIT","mysqlType":null,
            "sqlType":{"id":-5,"big":3,"x":8,"made":93,"bytes":-3,"bit":-7},
            "data":[{"id":"1","big":"18446744073709551615","x":"1.5","made":"0000-00-00 00:00:00","bytes":"ÿ","bit":"1","free":"1","n":1.50,"o":{"a": 1}}]}"#,
        )],
        expect![[r#"
            upsert 1 @0 {id: 1, big: 18446744073709551615d, x: 1.5f, made: "0000-00-00 00:00:00", bytes: xff, bit: 1, free: "1", n: 1.5f, o: json {"a":1}}
        "#]],
    );
}

#[test]
fn numbers_in_json_are_as_good_as_text() {
    check(
        &canal(),
        &[Record::value(
            r#"{"database":"d","table":"t","type":"INSERT","mysqlType":{"id":"int","price":"decimal(10,2)"},
            "data":[{"id":111,"price":5.10},{"id":"111","price":"5.10"},{"id":"111.0","price":"5.1E0"}]}"#,
        )],
        expect![[r#"
            upsert 111 @0 {id: 111, price: 5.10d}
            upsert 111 @0 {id: 111, price: 5.10d}
            upsert 111 @0 {id: 111, price: 5.1d}
        "#]],
    );
}

#[test]
fn a_moved_key_is_deleted_before_its_row_comes_back() {
    check(
        &canal(),
        &[
            // The second row did not move: Canal shares the names in `old` between rows.
            Record::value(
                r#"{"database":"d","table":"t","type":"UPDATE","mysqlType":{"id":"int","v":"text"},
                "data":[{"id":"5","v":"a"},{"id":"7","v":"b"}],"old":[{"id":"1","v":null},{"id":"7","v":"c"}]}"#,
            ),
            Record::value(
                r#"{"database":"d","table":"t","type":"UPDATE","mysqlType":{"id":"int","v":"text"},
                "data":[{"id":"5","v":"x"}],"old":[{"v":"a"}]}"#,
            ),
        ],
        expect![[r#"
            delete 1 @0
            upsert 5 @0 {id: 5, v: "a"}
            upsert 7 @0 {id: 7, v: "b"}
            upsert 5 @1 {id: 5, v: "x"}
        "#]],
    );
}

#[test]
fn a_part_of_a_composite_key_can_move() {
    check(
        &table(Format::CanalJson, &["tenant", "id"]),
        &[Record::value(
            r#"{"database":"d","table":"t","type":"UPDATE","mysqlType":{"tenant":"varchar(9)","id":"int"},
            "data":[{"id":"5","tenant":"acme"}],"old":[{"id":"4"}]}"#,
        )],
        expect![[r#"
            delete "acme"/4 @0
            upsert "acme"/5 @0 {id: 5, tenant: "acme"}
        "#]],
    );
}

#[test]
fn a_delete_takes_only_the_key() {
    check(
        &canal(),
        &[Record::value(
            r#"{"database":"d","table":"t","type":"DELETE","mysqlType":{"id":"int"},"data":[{"id":"1"},{"id":"2","v":"x"}],
            "_tidb":{"commitTs":429918007904436226,"onlyHandleKey":true}}"#,
        )],
        expect![[r#"
            delete 1 @0 order 429918007904436226 0 0 at 1640007049196
            delete 2 @0 order 429918007904436226 0 0 at 1640007049196
        "#]],
    );
}

#[test]
fn ticdc_messages_carry_their_order_and_watermarks_are_skipped() {
    check(
        &canal(),
        &[
            Record::value(
                r#"{"database":"d","table":"t","type":"INSERT","es":1639633141221,"mysqlType":{"id":"int"},"data":[{"id":"2"}],"_tidb":{"commitTs":429918007904436226}}"#,
            ),
            Record::value(
                r#"{"id":0,"database":"","table":"","pkNames":null,"isDdl":false,"type":"TIDB_WATERMARK","es":1640007049196,"data":null,"_tidb":{"watermarkTs":429918007904436226}}"#,
            ),
            Record::value(
                r#"{"database":"d","table":"t","type":"INSERT","mysqlType":{"id":"int"},"data":[{"id":"3"}],"_tidb":{"commitTs":429918007904436227}}"#,
            ),
        ],
        expect![[r#"
            upsert 2 @0 order 429918007904436226 0 0 at 1639633141221 {id: 2}
            upsert 3 @2 order 429918007904436227 0 0 at 1640007049196 {id: 3}
            skipped 1
        "#]],
    );
}

#[test]
fn truncate_and_drop_empty_the_table_and_other_ddl_is_skipped() {
    let ddl = |kind: &str, table: &str| {
        Record::value(&format!(
            r#"{{"database":"d","table":"{table}","type":"{kind}","isDdl":true,"sql":"..","data":null,"es":5,"_tidb":{{"commitTs":9}}}}"#
        ))
    };
    let messages = [
        ddl("TRUNCATE", "t"),
        ddl("ERASE", "t"),
        ddl("ALTER", "t"),
        ddl("QUERY", ""),
        ddl("TRUNCATE", "other"),
        Record::tombstone("1"),
    ];
    check(
        &Table {
            select: vec!["d.t".to_owned()],
            ..canal()
        },
        &messages,
        expect![[r#"
        truncate  @0 order 9 0 0 at 5
        truncate  @1 order 9 0 0 at 5
        skipped 4
    "#]],
    );
    let both = vec!["d.t".to_owned(), "d.other".to_owned()];
    check(
        &Table {
            select: both,
            ..canal()
        },
        &messages[..1],
        expect![[r#"
        refused @0: TRUNCATE of `d.t`: other tables flow into this one, so its rows stay
    "#]],
    );
}

#[test]
fn one_bad_row_does_not_cost_the_others() {
    check(
        &canal(),
        &[
            Record::value(
                r#"{"database":"d","table":"t","type":"INSERT","mysqlType":{"id":"int"},
                "data":[{"id":"1"},{"v":"no key"},{"id":null},{"id":"4","id":"5"},{"id":"6","v":"\ud83d"},{"id":"7"}]}"#,
            ),
            Record::value(r#"{"database":"d","table":"t","type":"INSERT","data":null}"#),
            Record::value(r#"{"database":"d","table":"t","data":[]}"#),
            Record::value(r#"{"database":"d","table":"t","type":"INSERT","data":{"id":"1"}}"#),
            Record::value("{"),
            Record::value("junk"),
            Record::value(
                r#"{"database":"d","table":"t","type":"INSERT","data":[{"id":"1"}],"_tidb":{"commitTs":9,"onlyHandleKey":true}}"#,
            ),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1}
            upsert 7 @0 {id: 7}
            refused @0: key column `id` is missing
            refused @0: key column `id` is null: expected a value
            refused @0: column `id` stands twice in the row
            refused @0: column `v`: unexpected end of hex escape at line 1 column 8
            refused @1: `data` is null: expected an array of rows
            refused @2: value: missing field `type` at line 1 column 38: expected a canal-json object
            refused @3: value: invalid type: map, expected a sequence at line 1 column 51: expected a canal-json object
            refused @4: value: EOF while parsing an object at line 1 column 1: expected a canal-json object
            refused @5: value: expected value at line 1 column 1: expected a canal-json object
            refused @6: `_tidb.onlyHandleKey`: `data` has the key alone: expected the whole row
        "#]],
    );
}

#[test]
fn several_messages_in_one_value_are_all_decoded() {
    let insert = |id: u32| {
        format!(
            r#"{{"database":"d","table":"t","type":"INSERT","mysqlType":{{"id":"int"}},"data":[{{"id":"{id}"}}]}}"#
        )
    };
    let value = format!("{}\n{}\n{{\"type\":5}}\n{}\n", insert(1), insert(2), insert(3));
    check(
        &canal(),
        &[
            Record::value(&value),
            Record::value(&format!("{}\n{{", insert(4))),
        ],
        expect![[r#"
        upsert 1 @0 {id: 1}
        upsert 2 @0 {id: 2}
        upsert 3 @0 {id: 3}
        upsert 4 @1 {id: 4}
        refused @0: value: invalid type: integer `5`, expected text at line 1 column 9: expected a canal-json object
        refused @1: value: EOF while parsing an object at line 2 column 1: expected a canal-json object
    "#]],
    );
}

#[test]
fn claim_checks_are_read_from_where_the_table_says() {
    let event = |location: &str| {
        Record::value(&format!(
            r#"{{"database":"d","table":"t","type":"INSERT","data":[{{"id":"1"}}],"_tidb":{{"commitTs":9,"onlyHandleKey":true,"claimCheckLocation":"{location}"}}}}"#
        ))
    };
    let whole = r#"{"database":"d","table":"t","type":"INSERT","mysqlType":{"id":"int"},"data":[{"id":"1","v":"long"}],"_tidb":{"commitTs":9}}"#;
    let wrapped = format!(r#"{{"key":null,"value":"{}"}}"#, STANDARD.encode(whole));
    let again = event("s3://bucket/raw.json").value.unwrap();
    let read = move |name: &str| match name {
        "raw.json" => Ok(whole.as_bytes().to_vec()),
        "wrapped.json" => Ok(wrapped.clone().into_bytes()),
        "again.json" => Ok(again.clone().into_bytes()),
        "junk.json" => Ok(b"\xff".to_vec()),
        _ => Err(io::Error::other("no such file")),
    };
    let mut decoder = Decoder::with_claim_check(&canal(), Box::new(read));
    let mut out = Decoded::default();
    for location in [
        "s3://bucket/raw.json",
        "file:///tmp/wrapped.json",
        "again.json",
        "junk.json",
        "../gone.json",
        "a/..",
    ] {
        event(location).decode(&mut decoder, &mut out);
    }
    expect![[r#"
        upsert 1 @0 order 9 0 0 at 0 {id: 1, v: "long"}
        upsert 1 @0 order 9 0 0 at 0 {id: 1, v: "long"}
        refused @0: `_tidb.claimCheckLocation`: the file holds another claim check
        refused @0: claim-check file `junk.json`: invalid utf-8 sequence of 1 bytes from index 0
        refused @0: claim-check file `gone.json`: no such file
        refused @0: `_tidb.claimCheckLocation` is `a/..`: expected the path of a file
    "#]]
    .assert_eq(&show(&out));
}

#[test]
fn claim_checks_come_from_the_directory_of_the_table_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let whole =
        r#"{"database":"d","table":"t","type":"INSERT","mysqlType":{"id":"int"},"data":[{"id":"1"}]}"#;
    std::fs::write(folder.path().join("a.json"), whole).unwrap();
    let event = Record::value(
        r#"{"database":"d","table":"t","type":"INSERT","data":[],"_tidb":{"claimCheckLocation":"s3://b/a.json"}}"#,
    );
    let directory = |path: PathBuf| Table {
        claim_check: Some(path),
        ..canal()
    };
    check(
        &directory(folder.path().to_owned()),
        std::slice::from_ref(&event),
        expect![[r#"
        upsert 1 @0 {id: 1}
    "#]],
    );
    check(
        &canal(),
        &[event],
        expect![[r#"
        refused @0: claim-check file `a.json`: the table has no `claim_check` directory
    "#]],
    );
}

#[test]
fn the_vector_column_is_read_from_text_and_checked() {
    let vector = VectorColumn {
        name: "v".to_owned(),
        dimensions: 2,
        metric: Metric::Cosine,
        is_mixed: false,
    };
    let rows = [
        "[1,2.5]",
        "AACAPwAAAMA=",
        "[1]",
        "[1,nan]",
        "[0,0.0]",
        "AACAPwAAAMA",
        "AACAPw",
        "[1,x]",
        "[]",
    ];
    let rows: Vec<_> = (0..)
        .zip(rows)
        .map(|(id, text): (u32, _)| format!(r#"{{"id":"{id}","v":"{text}"}}"#))
        .collect();
    let message = format!(
        r#"{{"database":"d","table":"t","type":"INSERT","mysqlType":{{"id":"int","v":"vector(2)"}},"data":[{},{{"id":"9","v":null}},{{"id":"10"}}]}}"#,
        rows.join(",")
    );
    let dot = VectorColumn {
        metric: Metric::Dot,
        ..vector.clone()
    };
    check(
        &Table {
            vectors: vec![vector],
            ..canal()
        },
        &[Record::value(&message)],
        expect![[r#"
        upsert 0 @0 {id: 0, v: vector [1.0, 2.5]}
        upsert 1 @0 {id: 1, v: vector [1.0, -2.0]}
        upsert 9 @0 {id: 9, v: null}
        upsert 10 @0 {id: 10}
        refused @0: vector `v` has 1 components: expected 2
        refused @0: vector `v` component 1 is NaN: expected a finite number
        refused @0: vector `v` is zero: under cosine a vector needs a direction
        refused @0: vector `v` is not base64 of the standard alphabet with padding: Invalid padding
        refused @0: vector `v` is not base64 of the standard alphabet with padding: Invalid padding
        refused @0: vector `v` has `x` as a component: expected a number
        refused @0: vector `v` has 0 components: expected 2
    "#]],
    );
    let zero = r#"{"database":"d","table":"t","type":"INSERT","data":[{"id":"1","v":"[0,0]"}]}"#;
    check(
        &Table {
            vectors: vec![dot],
            ..canal()
        },
        &[Record::value(zero)],
        expect![[r#"
        upsert "1" @0 {id: "1", v: vector [0.0, 0.0]}
    "#]],
    );
}

#[test]
fn select_knows_tables_with_alike_names_apart() {
    let insert = |database: &str, table: &str| {
        Record::value(&format!(
            r#"{{"database":"{database}","table":"{table}","type":"INSERT","mysqlType":{{"id":"int"}},"data":[{{"id":"1"}}]}}"#
        ))
    };
    let messages = [
        insert("mydb", "product"),
        insert("mydb", "products"),
        insert("ymydb", "product"),
        insert("mydb", "roduct"),
        insert("my", "db.product"),
        insert("", "mydb.product"),
    ];
    check(
        &Table {
            select: vec!["mydb.product".to_owned()],
            ..canal()
        },
        &messages,
        expect![[r#"
        upsert 1 @0 {id: 1}
        skipped 5
    "#]],
    );
}
