//! `debezium-json`: shapes, types, tombstones, moved keys, versions.

use expect_test::expect;
use millpond::definition::{Format, Metric, Table, VectorColumn};

use super::check;
use crate::decode::{Record, columns, table};

fn debezium() -> Table {
    table(Format::DebeziumJson, &["id"])
}

fn select(name: &str) -> Table {
    Table {
        select: vec![name.to_owned()],
        ..debezium()
    }
}

/// An event with its schema: fields as Connect writes them, and a row.
fn enveloped(fields: &str, row: &str) -> Record {
    Record::value(&format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":[{fields}],"field":"before"}},
        {{"type":"struct","fields":[{fields}],"field":"after"}},{{"type":"string","field":"op"}}]}},
        "payload":{{"op":"c","before":null,"after":{row},"source":{{"db":"d","table":"t"}}}}}}"#
    ))
}

#[test]
fn the_envelope_types_its_columns() {
    let fields = r#"{"type":"int32","field":"id"},
        {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"price"},
        {"type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","field":"scale"},{"type":"bytes","field":"value"}],"field":"free"},
        {"type":"int32","name":"io.debezium.time.Date","field":"made"},
        {"type":"int64","name":"io.debezium.time.Timestamp","field":"ms"},
        {"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"us"},
        {"type":"int64","name":"io.debezium.time.NanoTimestamp","field":"ns"},
        {"type":"int32","name":"io.debezium.time.Time","field":"t_ms"},
        {"type":"int64","name":"io.debezium.time.MicroTime","field":"t_us"},
        {"type":"int64","name":"io.debezium.time.NanoTime","field":"t_ns"},
        {"type":"string","name":"io.debezium.time.ZonedTimestamp","field":"zoned"},
        {"type":"int32","name":"org.apache.kafka.connect.data.Date","field":"c_date"},
        {"type":"int32","name":"org.apache.kafka.connect.data.Time","field":"c_time"},
        {"type":"int64","name":"org.apache.kafka.connect.data.Timestamp","field":"c_ts"},
        {"type":"int32","name":"io.debezium.time.Year","field":"yr"},
        {"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"10"},"field":"flags"},
        {"type":"string","name":"io.debezium.data.Enum","field":"status"},
        {"type":"string","name":"io.debezium.data.EnumSet","field":"tags"},
        {"type":"string","name":"io.debezium.data.Json","field":"attrs"},
        {"type":"string","name":"io.debezium.data.Uuid","field":"u"},
        {"type":"int64","name":"io.debezium.time.MicroDuration","field":"iv"},
        {"type":"bytes","field":"raw"},{"type":"double","field":"x"},{"type":"boolean","field":"ok"},
        {"type":"array","items":{"type":"string"},"field":"list"},
        {"type":"struct","name":"io.debezium.data.geometry.Point","fields":[{"type":"double","field":"x"}],"field":"at"}"#;
    check(
        &debezium(),
        &[
            enveloped(
                fields,
                r#"{"id":1,"price":"ATo=","free":{"scale":9,"value":"XODppWAV/sWq36MorjmBFQ=="},"made":19782,
                "ms":1709251199123,"us":1709251199123456,"ns":1709251199123456789,"t_ms":45296789,"t_us":-3723004000,"t_ns":1,
                "zoned":"2024-03-01T00:00:00.5Z","c_date":0,"c_time":0,"c_ts":0,"yr":2024,"flags":"AQI=","status":"live","tags":"red,blue",
                "attrs":"{\"k\": [1, 2.5]}","u":"00112233-4455-6677-8899-aabbccddeeff","iv":37091106789000,"raw":"AP8Q","x":1,"ok":true,
                "list":["a", null],"at":{"x": 1.0}}"#,
            ),
            // PostgreSQL's infinities, and the same schema again.
            enveloped(
                fields,
                r#"{"id":2,"price":"/NY=","free":null,"made":-622191234,
                "ms":9223372036825200000,"us":9223372036825200000,"ns":9223372036854775807,"t_ms":-1,"t_us":9223372036825200000,"t_ns":86399999999999,
                "zoned":"-infinity","c_date":2932896,"c_time":86399999,"c_ts":-1,"yr":null,"flags":"","status":null,"tags":"",
                "attrs":"no json","u":null,"iv":null,"raw":"not base64!","x":"Infinity","ok":null,"list":[],"at":null}"#,
            ),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1, price: 3.14d, free: 123456789012345678901234567890.123456789d, made: "2024-02-29", ms: "2024-02-29T23:59:59.123", us: "2024-02-29T23:59:59.123456", ns: "2024-02-29T23:59:59.123456789", t_ms: "12:34:56.789", t_us: "-01:02:03.004", t_ns: "00:00:00.000000001", zoned: "2024-03-01T00:00:00.5Z", c_date: "1970-01-01", c_time: "00:00:00", c_ts: "1970-01-01T00:00:00", yr: 2024, flags: 513, status: "live", tags: "red,blue", attrs: json {"k":[1,2.5]}, u: "00112233-4455-6677-8899-aabbccddeeff", iv: 37091106789000, raw: x00ff10, x: 1.0f, ok: true, list: json ["a",null], at: json {"x":1.0}}
            upsert 2 @1 {id: 2, price: -8.10d, free: null, made: -622191234, ms: 9223372036825200000, us: 9223372036825200000, ns: "2262-04-11T23:47:16.854775807", t_ms: "-00:00:00.001", t_us: 9223372036825200000, t_ns: "23:59:59.999999999", zoned: "-infinity", c_date: "9999-12-31", c_time: "23:59:59.999", c_ts: "1969-12-31T23:59:59.999", yr: null, flags: 0, status: null, tags: "", attrs: "no json", u: null, iv: null, raw: "not base64!", x: "Infinity", ok: null, list: json [], at: null}
        "#]],
    );
}

#[test]
fn decimals_come_as_bytes_numbers_or_text_and_stay_exact() {
    let fields = |scale: u32| {
        format!(
            r#"{{"type":"int32","field":"id"}},{{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}"}},"field":"n"}}"#
        )
    };
    let two = fields(2);
    let none = fields(0);
    check(
        &debezium(),
        &[
            enveloped(&two, r#"{"id":1,"n":123456789012345678901234567890.12}"#),
            enveloped(&two, r#"{"id":2,"n":"123456789012345678901234567890.12"}"#),
            enveloped(&two, r#"{"id":3,"n":"0E-8"}"#),
            enveloped(&two, r#"{"id":4,"n":"1234"}"#),
            enveloped(&none, r#"{"id":5,"n":"1234"}"#),
            enveloped(&none, r#"{"id":6,"n":"AP//////////"}"#),
            enveloped(&none, r#"{"id":7,"n":true}"#),
            enveloped(&none, r#"{"id":8,"n":"?"}"#),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1, n: 123456789012345678901234567890.12d}
            upsert 2 @1 {id: 2, n: 123456789012345678901234567890.12d}
            upsert 3 @2 {id: 3, n: 0.00000000d}
            upsert 4 @3 {id: 4, n: -26588.24d}
            upsert 5 @4 {id: 5, n: 1234d}
            upsert 6 @5 {id: 6, n: 18446744073709551615d}
            upsert 7 @6 {id: 7, n: true}
            upsert 8 @7 {id: 8, n: "?"}
        "#]],
    );
}

#[test]
fn without_a_schema_the_dataflow_file_types_the_columns() {
    let row = Record::value(
        r#"{"op":"c","after":{"id":1,"price":"ATo=","big":-1,"made":19782,"created":-1,"at":-3723004000,"flags":"AQI=","seen":1709251199123456},"source":{"db":"d","table":"t"}}"#,
    );
    check(
        &debezium(),
        std::slice::from_ref(&row),
        expect![[r#"
        upsert 1 @0 {id: 1, price: "ATo=", big: -1, made: 19782, created: -1, at: -3723004000, flags: "AQI=", seen: 1709251199123456}
    "#]],
    );
    let types = columns(&[
        ("price", "decimal(10,2)"),
        ("big", "bigint unsigned"),
        ("made", "date"),
        ("created", "datetime(6)"),
        ("at", "time"),
        ("flags", "bit(10)"),
        ("seen", "timestamptz"),
    ]);
    check(
        &Table {
            columns: types,
            ..debezium()
        },
        &[row],
        expect![[r#"
        upsert 1 @0 {id: 1, price: 3.14d, big: 18446744073709551615d, made: "2024-02-29", created: "1969-12-31T23:59:59.999999", at: "-01:02:03.004", flags: 513, seen: "2024-02-29T23:59:59.123456Z"}
    "#]],
    );
}

#[test]
fn all_shapes_of_an_event_are_the_same_event() {
    let payload =
        r#"{"op":"c","before":null,"after":{"id":1,"v":"x"},"source":{"db":"d","table":"t","ts_ms":7}}"#;
    check(
        &debezium(),
        &[
            Record::value(payload),
            Record::value(&format!(r#"{{"schema":null,"payload":{payload}}}"#)),
            Record::value(&format!(r#"{{"payload":{payload}}}"#)),
            Record::value(&format!(
                r#"{{"schema":{{"type":"struct"}},"payload":{payload}}}"#
            )),
            Record::value(&format!(r#"{{"schema":"odd","payload":{payload}}}"#)),
            Record::value(r#"{"id":1,"v":"x"}"#),
        ],
        expect![[r#"
            upsert 1 @0 at 7 {id: 1, v: "x"}
            upsert 1 @1 at 7 {id: 1, v: "x"}
            upsert 1 @2 at 7 {id: 1, v: "x"}
            upsert 1 @3 at 7 {id: 1, v: "x"}
            upsert 1 @4 at 7 {id: 1, v: "x"}
            upsert 1 @5 {id: 1, v: "x"}
        "#]],
    );
}

#[test]
fn deletes_take_the_message_key_or_the_row_before() {
    let delete = r#"{"op":"d","before":{"id":1,"v":""},"source":{"db":"d","table":"t"}}"#;
    let keyless = r#"{"op":"d","before":null,"after":null,"source":{"db":"d","table":"t"}}"#;
    check(
        &debezium(),
        &[
            Record::keyed(r#"{"id":1}"#, delete),
            Record::keyed(
                r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]},"payload":{"id":1}}"#,
                keyless,
            ),
            Record::keyed("****", delete),
            Record::value(delete),
            Record::keyed("7", keyless),
            Record::value(keyless),
            Record::keyed(r#"{"other":1}"#, keyless),
        ],
        expect![[r#"
            delete 1 @0
            delete 1 @1
            delete 1 @2
            delete 1 @3
            delete 7 @4
            refused @5: delete: the row before is missing, and the message key is no object: expected the key columns
            refused @6: delete: message key: key column `id` is missing: expected the key columns
        "#]],
    );
}

#[test]
fn tombstones_delete_once_more_in_the_order_of_the_event_before() {
    let delete = r#"{"op":"d","before":{"id":1},"source":{"db":"d","table":"t","file":"mysql-bin.000003","pos":10,"row":2,"server_id":5}}"#;
    check(
        &debezium(),
        &[
            Record::keyed(r#"{"id":1}"#, delete),
            Record::tombstone(r#"{"id":1}"#),
            Record::keyed(r#"{"id":1}"#, "null"),
            Record::keyed(r#"{"id":1}"#, r#"{"schema":null,"payload":null}"#),
            Record::default(),
            Record::keyed("null", "null"),
            Record::keyed(r#"{"other":1}"#, delete),
            Record::tombstone(r#"{"other":1}"#),
            Record::value(r#"{"id":2}"#),
            Record::tombstone(r#"{"other":1}"#),
        ],
        expect![[r#"
            delete 1 @0 order 3 10 2
            delete 1 @1 order 3 10 2
            delete 1 @2 order 3 10 2
            delete 1 @3 order 3 10 2
            delete 1 @6 order 3 10 2
            upsert 2 @8 order 3 10 2 {id: 2}
            refused @9: tombstone: message key: key column `id` is missing
            skipped 3
        "#]],
    );
}

#[test]
fn a_tombstone_of_another_table_deletes_nothing_of_ours() {
    let delete = |table: &str| {
        Record::keyed(
            r#"{"id":1}"#,
            &format!(r#"{{"op":"d","before":{{"id":1}},"source":{{"db":"d","table":"{table}"}}}}"#),
        )
    };
    check(
        &select("d.t"),
        &[
            delete("other"),
            Record::tombstone(r#"{"id":1}"#),
            delete("t"),
            Record::tombstone(r#"{"id":1}"#),
            delete("t").topic("server.d.t"),
            Record::tombstone(r#"{"id":1}"#).topic("server.d.t"),
            Record::tombstone(r#"{"id":1}"#).topic("server.d.other"),
        ],
        expect![[r#"
            delete 1 @2
            delete 1 @3
            delete 1 @4
            delete 1 @5
            skipped 3
        "#]],
    );
}

#[test]
fn unavailable_values_are_left_to_the_row_before() {
    let update = |id: u32| {
        format!(
            r#"{{"op":"u","before":null,"after":{{"id":{id},"text":"__debezium_unavailable_value","list":["__debezium_unavailable_value"],
            "bytes":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==","said":"I said __debezium_unavailable_value"}},"source":{{"db":"d","table":"t"}}}}"#
        )
    };
    let types = columns(&[("bytes", "bytea"), ("list", "text[]")]);
    let vector = VectorColumn {
        name: "list".to_owned(),
        dimensions: 2,
        metric: Metric::Dot,
        is_mixed: false,
    };
    check(
        &Table {
            columns: types,
            vectors: vec![vector],
            ..debezium()
        },
        &[
            Record::keyed(r#"{"id":1}"#, &update(1)),
            Record::keyed(r#"{"id":10}"#, &update(10)).header("__debezium.oldkey", r#"{"id":1}"#),
            // A row that has all its values needs no other.
            Record::keyed(
                r#"{"id":2}"#,
                r#"{"op":"c","after":{"id":2},"source":{"db":"d","table":"t"}}"#,
            )
            .header("__debezium.oldkey", r#"{"id":1}"#),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1, text: unavailable, list: unavailable, bytes: unavailable, said: "I said __debezium_unavailable_value"}
            upsert 10 @1 from 1 {id: 10, text: unavailable, list: unavailable, bytes: unavailable, said: "I said __debezium_unavailable_value"}
            upsert 2 @2 {id: 2}
        "#]],
    );
}

#[test]
fn a_header_that_names_the_row_itself_moves_nothing() {
    let update =
        r#"{"op":"u","after":{"id":1,"v":"__debezium_unavailable_value"},"source":{"db":"d","table":"t"}}"#;
    check(
        &debezium(),
        &[Record::keyed(r#"{"id":1}"#, update).header("__debezium.oldkey", r#"{"id":1.0}"#)],
        expect![[r#"
            upsert 1 @0 {id: 1, v: unavailable}
        "#]],
    );
}

#[test]
fn a_key_that_moved_inside_an_event_is_deleted_first() {
    let update = |before: &str| {
        format!(
            r#"{{"op":"u","before":{before},"after":{{"id":2,"v":"__debezium_unavailable_value"}},"source":{{"db":"d","table":"t"}}}}"#
        )
    };
    check(
        &debezium(),
        &[
            Record::value(&update(r#"{"id":1,"v":"x"}"#)),
            Record::value(&update(r#"{"v":"x"}"#)),
            // The message key says that nothing moved: this `before` holds defaults.
            Record::keyed(r#"{"id":2}"#, &update(r#"{"id":0,"v":""}"#)),
        ],
        expect![[r#"
            delete 1 @0
            upsert 2 @0 from 1 {id: 2, v: unavailable}
            upsert 2 @1 {id: 2, v: unavailable}
            upsert 2 @2 {id: 2, v: unavailable}
        "#]],
    );
}

#[test]
fn messages_that_are_no_rows_are_skipped() {
    check(
        &debezium(),
        &[
            Record::keyed(
                r#"{"prefix":"audit"}"#,
                r#"{"op":"m","message":{"prefix":"audit","content":"eA=="},"source":{"table":""}}"#,
            ),
            Record::value(r#"{"ts_ms":1}"#).topic("__debezium-heartbeat.p"),
            Record::value(r#"{"ts_ms":1}"#),
            Record::value(
                r#"{"source":{"db":"d"},"databaseName":"d","ddl":"CREATE TABLE x","tableChanges":[]}"#,
            ),
            Record::value(
                r#"{"status":"BEGIN","id":"5:1","ts_ms":1,"event_count":null,"data_collections":null}"#,
            ),
            Record::value(
                r#"{"op":"c","after":{"id":"w","type":"snapshot-window-open","data":null},"source":{"db":"d","table":"signal"}}"#,
            ),
            Record::value(r#"{"op":"x","after":{"id":1},"source":{"db":"d","table":"t"}}"#),
        ],
        expect![[r#"
            skipped 7
        "#]],
    );
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    check(
        &debezium(),
        &[
            Record::value(r#"{"op":"c","source":{"db":"d","table":"t"}}"#),
            Record::value(r#"{"op":"u","after":{"v":1},"source":{"db":"d","table":"t"}}"#),
            Record::value(r#"{"v":1}"#),
            Record::value("{}"),
            Record::value("[1]"),
            Record::value(r#"{"payload":5}"#),
            Record::value("5"),
            Record::value(r#"{"id":"__debezium_unavailable_value"}"#),
        ],
        expect![[r#"
            refused @0: `after` is missing: expected the row
            refused @1: key column `id` is missing
            refused @2: key column `id` is missing
            refused @3: key column `id` is missing
            refused @4: value: invalid type: sequence, expected an object at line 1 column 0: expected a Debezium event or a row
            refused @5: value: invalid type: integer `5`, expected an object at line 1 column 1: expected a Debezium event or a row
            refused @6: value: invalid type: integer `5`, expected an object at line 1 column 1: expected a Debezium event or a row
            refused @7: key column `id` has no value of its own: expected text or a number
        "#]],
    );
}

#[test]
fn flattened_rows_keep_their_metadata_apart() {
    check(
        &select("inventory.customers"),
        &[
            Record::keyed(
                r#"{"id":1}"#,
                r#"{"id":1,"name":"Ann","__deleted":"false","__op":"u","__table":"customers","__source_ts_ms":7,"__lsn":99}"#,
            )
            .topic("p.inventory.customers"),
            Record::keyed(r#"{"id":1}"#, r#"{"id":1,"name":"","__deleted":"true","__op":"d","__source_ts_ms":8,"__lsn":100}"#)
                .topic("p.inventory.customers"),
            Record::tombstone(r#"{"id":1}"#).topic("p.inventory.customers"),
            Record::value(r#"{"id":2,"__deleted":true,"__source_file":"bin.000002","__source_pos":5}"#).topic("inventory.customers"),
            Record::value(r#"{"id":3,"__op":"d"}"#),
            Record::value(r#"{"id":4,"__op":"r","__file":"bin.000002","__pos":5,"__row":1}"#),
            Record::value(r#"{"id":1}"#).topic("p.inventory.orders"),
            Record::value(r#"{"id":1}"#).topic("pinventory.customers"),
        ],
        expect![[r#"
            upsert 1 @0 order 99 0 0 at 7 {id: 1, name: "Ann"}
            delete 1 @1 order 100 0 0 at 8
            delete 1 @2 order 100 0 0
            delete 2 @3 order 2 5 0
            delete 3 @4 order 2 5 0
            upsert 4 @5 order 2 5 1 of any {id: 4}
            skipped 2
        "#]],
    );
}

#[test]
fn versions_are_log_positions_and_snapshot_rows_compare_with_all() {
    let event = |op: &str, source: &str| {
        Record::value(&format!(
            r#"{{"op":"{op}","after":{{"id":1}},"source":{{"db":"d","table":"t",{source}}}}}"#
        ))
    };
    check(
        &debezium(),
        &[
            event(
                "r",
                r#""snapshot":"first","file":"bin.000001","pos":328,"row":0,"server_id":0"#,
            ),
            event(
                "c",
                r#""snapshot":"false","file":"bin.000002","pos":4,"row":7,"server_id":1,"ts_ms":5"#,
            ),
            event(
                "r",
                r#""snapshot":"incremental","file":"bin.000001","pos":1,"row":0,"server_id":0"#,
            ),
            event("u", r#""snapshot":false,"lsn":22416528"#),
            event("r", r#""snapshot":true,"lsn":22416529"#),
            event("c", r#""file":"","pos":0"#),
        ],
        expect![[r#"
            upsert 1 @0 order 1 328 0 of any {id: 1}
            upsert 1 @1 order 2 4 7 at 5 {id: 1}
            upsert 1 @2 order 2 4 7 {id: 1}
            upsert 1 @3 order 22416528 0 0 {id: 1}
            upsert 1 @4 order 22416529 0 0 of any {id: 1}
            upsert 1 @5 order 22416529 0 0 of any {id: 1}
        "#]],
    );
}

#[test]
fn a_truncate_empties_the_table_that_its_source_names() {
    let truncate = |table: &str| {
        Record::value(&format!(
            r#"{{"op":"t","before":null,"after":null,"source":{{"db":"p","schema":"shop","table":"{table}","lsn":5}}}}"#
        ))
    };
    check(
        &select("shop.t"),
        &[truncate("t"), truncate("other")],
        expect![[r#"
        truncate  @0 order 5 0 0
        skipped 1
    "#]],
    );
    check(
        &select("p.shop.t"),
        &[truncate("t"), truncate("other")],
        expect![[r#"
        truncate  @0 order 5 0 0
        skipped 1
    "#]],
    );
}

#[test]
fn equal_keys_are_equal_however_they_are_written() {
    let key = r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"id"}"#;
    check(
        &debezium(),
        &[
            enveloped(key, r#"{"id":"ATo="}"#),
            enveloped(key, r#"{"id":3.140}"#),
            enveloped(key, r#"{"id":"ASw="}"#),
            // The key without the schema that the rows have.
            Record::tombstone(r#"{"id":"ATo="}"#),
        ],
        expect![[r#"
            upsert 3.14d @0 {id: 3.14d}
            upsert 3.14d @1 {id: 3.140d}
            upsert 3 @2 {id: 3.00d}
            delete 3.14d @3
        "#]],
    );
    check(
        &debezium(),
        &[
            Record::value(r#"{"id":1}"#),
            Record::value(r#"{"id":1.0}"#),
            Record::tombstone(r#"{"id": 1}"#),
            Record::tombstone("1"),
        ],
        expect![[r#"
            upsert 1 @0 {id: 1}
            upsert 1 @1 {id: 1.0f}
            delete 1 @2
            delete 1 @3
        "#]],
    );
    let types = columns(&[("id", "bigint")]);
    check(
        &Table {
            columns: types,
            ..debezium()
        },
        &[
            Record::value(r#"{"id":"9007199254740993"}"#),
            Record::tombstone("\"9007199254740993\""),
            Record::tombstone(r#"{"id":9007199254740993}"#),
        ],
        expect![[r#"
            upsert 9007199254740993 @0 {id: 9007199254740993}
            delete 9007199254740993 @1
            delete 9007199254740993 @2
        "#]],
    );
}
