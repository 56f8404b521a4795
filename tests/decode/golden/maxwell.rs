//! `maxwell-json`: values, moved keys, bootstraps.

use expect_test::expect;
use millpond::definition::{Format, Table};

use super::check;
use crate::decode::{Record, columns, table};

fn maxwell() -> Table {
    table(Format::MaxwellJson, &["id"])
}

#[test]
fn values_have_the_types_of_json_unless_the_dataflow_file_says_more() {
    let insert = Record::value(
        r#"{"database":"d","table":"t","type":"insert","ts":1666937996,"xid":1171,"xoffset":3,"server_id":23,"position":"master.000006:800911",
        "data":{"id":1,"big":18446744073709551615,"price":3.140,"x":1.5,"tags":["a","b"],"status":"live","blobby":"AP8Q","attrs":{"k": [1, 2]},"made":"0000-00-00 00:00:00","ok":null}}"#,
    );
    check(
        &maxwell(),
        std::slice::from_ref(&insert),
        expect![[r#"
        upsert 1 @0 order 6 800911 3 at 1666937996000 {id: 1, big: 18446744073709551615d, price: 3.14f, x: 1.5f, tags: json ["a","b"], status: "live", blobby: "AP8Q", attrs: json {"k":[1,2]}, made: "0000-00-00 00:00:00", ok: null}
    "#]],
    );
    let types = columns(&[
        ("price", "decimal(8,3)"),
        ("tags", "set('a','b')"),
        ("blobby", "blob"),
        ("attrs", "json"),
    ]);
    check(
        &Table {
            columns: types,
            ..maxwell()
        },
        &[insert],
        expect![[r#"
        upsert 1 @0 order 6 800911 3 at 1666937996000 {id: 1, big: 18446744073709551615d, price: 3.140d, x: 1.5f, tags: "a,b", status: "live", blobby: x00ff10, attrs: json {"k":[1,2]}, made: "0000-00-00 00:00:00", ok: null}
    "#]],
    );
}

#[test]
fn updates_that_move_the_key_delete_the_old_one() {
    check(
        &maxwell(),
        &[
            Record::value(
                r#"{"database":"d","table":"t","type":"update","ts":1,"data":{"id":2,"v":"x"},"old":{"id":1}}"#,
            ),
            Record::value(
                r#"{"database":"d","table":"t","type":"update","ts":1,"data":{"id":2,"v":"y"},"old":{"v":"x"}}"#,
            ),
            Record::value(
                r#"{"database":"d","table":"t","type":"update","ts":1,"data":{"id":2,"v":"y"},"old":{}}"#,
            ),
            Record::value(r#"{"database":"d","table":"t","type":"delete","ts":1,"data":{"id":2,"v":"y"}}"#),
        ],
        expect![[r#"
            delete 1 @0 at 1000
            upsert 2 @0 at 1000 {id: 2, v: "x"}
            upsert 2 @1 at 1000 {id: 2, v: "y"}
            upsert 2 @2 at 1000 {id: 2, v: "y"}
            delete 2 @3 at 1000
        "#]],
    );
}

#[test]
fn the_last_row_of_a_transaction_is_its_greatest() {
    let update = |rest: &str| {
        Record::value(&format!(
            r#"{{"database":"d","table":"t","type":"update","ts":1,"position":"m.000006:5","data":{{"id":1}},{rest}}}"#
        ))
    };
    check(
        &maxwell(),
        &[
            update(r#""xoffset":0"#),
            update(r#""xoffset":1"#),
            update(r#""commit":true"#),
        ],
        expect![[r#"
            upsert 1 @0 order 6 5 0 at 1000 {id: 1}
            upsert 1 @1 order 6 5 1 at 1000 {id: 1}
            upsert 1 @2 order 6 5 4294967295 at 1000 {id: 1}
        "#]],
    );
}

#[test]
fn bootstraps_and_ddl_make_no_rows_but_a_drop_ends_them() {
    check(
        &Table {
            select: vec!["d.t".to_owned()],
            ..maxwell()
        },
        &[
            Record::value(r#"{"database":"d","table":"t","type":"bootstrap-start","ts":1,"data":{}}"#),
            Record::value(r#"{"database":"d","table":"t","type":"bootstrap-insert","ts":1,"data":{"id":1}}"#),
            Record::value(r#"{"database":"d","table":"t","type":"bootstrap-complete","ts":1,"data":{}}"#),
            Record::value(
                r#"{"database":"d","table":"t","type":"table-alter","ts":1477053126000,"old":{},"def":{}}"#,
            ),
            Record::value(
                r#"{"database":"d","table":"t","type":"table-drop","ts":1477053126000,"sql":"DROP TABLE t"}"#,
            ),
            Record::value(r#"{"database":"d","table":"other","type":"insert","ts":1,"data":{"id":1}}"#),
            Record::value(r#"{"database":"d","type":"database-create","ts":1}"#),
        ],
        expect![[r#"
            upsert 1 @1 at 1000 {id: 1}
            truncate  @4 at 1477053126000
            skipped 5
        "#]],
    );
}

#[test]
fn tombstones_name_their_key_with_a_prefix() {
    check(
        &maxwell(),
        &[
            Record::tombstone(r#"{"database":"d","table":"t","pk.id":1}"#),
            Record::tombstone(r#"{"database":"d","table":"t","_uuid":"x"}"#),
            Record::default(),
        ],
        expect![[r#"
            delete 1 @0
            refused @1: tombstone: message key: key column `id` is missing
            skipped 1
        "#]],
    );
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    check(
        &maxwell(),
        &[
            Record::value(r#"{"database":"d","table":"t","type":"insert"}"#),
            Record::value(r#"{"database":"d","table":"t","type":"insert","data":{"v":1}}"#),
            Record::value(r#"{"database":"d","table":"t"}"#),
            Record::value("[]"),
        ],
        expect![[r#"
            refused @0: `data` is missing: expected the row
            refused @1: key column `id` is missing
            refused @2: value: missing field `type` at line 1 column 28: expected a Maxwell object
            refused @3: value: invalid length 2, expected an object at line 1 column 2: expected a Maxwell object
        "#]],
    );
}
