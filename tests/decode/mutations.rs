//! No input makes a decoder panic, and every message comes to something.

use millpond::change::{Offset, PartitionId};
use millpond::decode::{Decoded, Decoder, Message};
use millpond::definition::{Format, Metric, Table, VectorColumn};
use proptest::prelude::*;

use super::{columns, table};

/// Messages with something of everything, to be damaged.
const SEEDS: &[&str] = &[
    r#"{"database":"d","table":"t","type":"UPDATE","es":1,"mysqlType":{"id":"int","n":"decimal(9,2)","e":"enum('a','b')","s":"set('a')","b":"blob","f":"float"},"sqlType":{"id":4},"data":[{"id":"1","n":"-1.50e3","e":"1","s":"1","b":"\u00ff","f":"1e5","v":"[1,2]"}],"old":[{"id":"2"}],"_tidb":{"commitTs":9,"claimCheckLocation":"a/b"}}"#,
    r#"{"database":"d","table":"t","type":"TRUNCATE","isDdl":true,"_tidb":{"commitTs":18446744073709551615}}"#,
    r#"{"schema":{"type":"struct","fields":[{"type":"struct","fields":[{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"-7"},"field":"n"},{"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"id"}],"field":"after"}]},"payload":{"op":"u","before":{"id":1},"after":{"id":9223372036854775807,"n":"ATo=","v":"__debezium_unavailable_value"},"source":{"db":"d","table":"t","file":"b.9","pos":1,"row":99999999999,"lsn":-1,"snapshot":"true"}}}"#,
    r#"{"id":1,"v":"AACAPwAAAMA=","__deleted":"true","__op":"d","__lsn":18446744073709551616,"d":-9223372036854775808,"t":9223372036854775807,"n":1e-999999999999}"#,
    r#"{"database":"d","table":"t","type":"insert","ts":9223372036854775807,"xoffset":18446744073709551615,"position":"m.1:2","data":{"id":1,"v":[1,2]},"old":{"id":2}}"#,
    r#"{"id":1,"vector_b64":"AACAPwAAAMA=","meta":{"id":[{"a":"\\\""}],"v":null},"_op":"delete"}"#,
    r#"{"id":{"scale":99999999999,"value":"ATo="},"n":{"scale":-9223372036854775808,"value":"ATo="},"v":[1,2]}"#,
];
const KEYS: &[&str] = &[
    "",
    "null",
    r#"{"id":1}"#,
    r#"{"schema":{"fields":[]},"payload":{"id":1}}"#,
    "****",
    "[1]",
    "1e5",
    "\"x\"",
];
/// What damage is likely to matter.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-",
    ".",
    "e",
    "9999999999",
    "\u{0}",
    "é",
    "\\u",
    "\\ud800",
    "0",
    "\n",
    " ",
];

#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Drop(usize, usize),
    Insert(usize, &'static str),
    Byte(usize, u8),
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0..1_000usize;
    prop_oneof![
        place.clone().prop_map(Damage::Cut),
        (place.clone(), 1..40usize).prop_map(|(at, length)| Damage::Drop(at, length)),
        (place.clone(), proptest::sample::select(PIECES)).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (place, 1..200usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let place = |at: usize| at % (bytes.len() + 1);
    match *damage {
        Damage::Cut(at) => bytes.truncate(place(at)),
        Damage::Drop(at, length) => {
            let at = place(at);
            bytes.drain(at..bytes.len().min(at + length));
        }
        Damage::Insert(at, piece) => {
            let at = place(at);
            bytes.splice(at..at, piece.bytes());
        }
        Damage::Byte(at, byte) => {
            let at = place(at);
            if let Some(target) = bytes.get_mut(at) {
                *target = byte;
            }
        }
        Damage::Repeat(at, length) => {
            let at = place(at);
            let piece = bytes[at..bytes.len().min(at + length)].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

fn tables() -> impl Iterator<Item = Table> {
    let vector = VectorColumn {
        name: "v".to_owned(),
        dimensions: 2,
        metric: Metric::Cosine,
    };
    let types = columns(&[
        ("n", "decimal(9,2)"),
        ("d", "date"),
        ("t", "datetime(3)"),
        ("f", "bit(9)"),
        ("s", "set('a','b')"),
        ("b", "json"),
    ]);
    Format::ALL.into_iter().flat_map(move |format| {
        let plain = table(format, &["id"]);
        let typed = Table {
            columns: types.clone(),
            vector: Some(vector.clone()),
            ..table(format, &["id", "n"])
        };
        [plain, typed]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_messages_never_panic_and_always_come_to_something(
        seed in proptest::sample::select(SEEDS),
        key in proptest::option::of(proptest::sample::select(KEYS)),
        damages in proptest::collection::vec(damage(), 0..4),
    ) {
        let mut value = seed.as_bytes().to_vec();
        damages.iter().for_each(|damage| apply(&mut value, damage));
        let headers = [("__debezium.oldkey".to_owned(), value.clone())];
        for table in tables() {
            let message = Message {
                topic: "",
                partition: PartitionId(0),
                offset: Offset(0),
                key: key.map(str::as_bytes),
                value: Some(&value),
                headers: &headers,
                timestamp_ms: None,
            };
            let mut decoder = Decoder::new(&table);
            // The second time the caches are warm, and say the same.
            let [first, second] = [(); 2].map(|()| {
                let mut out = Decoded::default();
                decoder.decode(&message, &mut out);
                out
            });
            let came = first.changes.len() + first.refusals.len() + first.skipped as usize;
            prop_assert!(came > 0 || has_no_rows(&value), "{:?} came to nothing", table.format);
            prop_assert_eq!(first.changes.len(), second.changes.len());
            prop_assert_eq!(&first.refusals, &second.refusals);
            prop_assert_eq!(first.skipped, second.skipped);
        }
    }
}

/// A canal message may hold an empty list of rows.
fn has_no_rows(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    serde_json::from_str::<serde_json::Value>(&text)
        .is_ok_and(|value| value["data"].as_array().is_some_and(Vec::is_empty))
}
