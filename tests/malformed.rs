//! Input that is not what it should be: damaged messages, files, expressions and bodies.
//!
//! Each target takes any bytes and says what must hold for them. Here they are fed with damaged examples; `fuzz/` feeds
//! the same functions with what a coverage-guided fuzzer finds.

mod changes;
mod dataflows;
mod decode;
mod definition;
mod http_body;
mod large;
mod sql;
mod stored;

use proptest::prelude::*;
use proptest::sample::select;

/// Messages with something of everything.
const MESSAGES: &[&str] = &[
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
    r#"{"id":1,"n":"2.50"}"#,
    r#"{"schema":{"fields":[]},"payload":{"id":1}}"#,
    "****",
    "[1]",
    "1e5",
    "\"x\"",
];

const FILES: &[&str] = &[
    include_str!("../dataflows/quickstart.toml"),
    include_str!("../dataflows/tidb-products.toml"),
    include_str!("../dataflows/embedding-firehose.toml"),
    r#"name = "products"
[tables.products]
source = { kind = "kafka", brokers = "a:1", topics = ["x"], start = { 0 = 1 }, options = { a.b = "c", "d.e" = 5 } }
format = "canal-json"
key = ["id"]
select = "a.b"
columns = { price = "decimal(10,2)" }
[index]
query = """
SELECT id, LOWER(name) AS name, price FROM products
WHERE price BETWEEN 1 AND 2 OR name LIKE 'a%'"""
key = "id"
text = { name = { boost = 2.0, analyzer = "simple" } }
fields = { price = "f64" }
embed = "{name} {{ {price}"
fusion = { method = "rrf", k = 60, weights = { keyword = 1, vector = 0.5 } }
[embedder]
model = "hash"
dimensions = 8
batch = 4
[checkpoint]
interval = "5s"
"#,
];

const SQL: &[&str] = &[
    "a > 1 AND b = 'red' OR NOT c",
    "a IN (1, NULL, -9223372036854775808) AND id BETWEEN 2 AND 1.5",
    "LOWER(b) LIKE 'r\\%%' ESCAPE '\\' OR b IS NOT NULL",
    "CASE a WHEN 1 THEN c ELSE CAST(b AS DECIMAL(10,2)) > 0 END",
    "COALESCE(a, id) % 2 = 0 AND -a / 3 <> 1e3 || ''",
    "SELECT id, UPPER(a) AS a FROM t WHERE a > '2024-01-01' AND \"c d\" <= 5;",
    "{a} and {{ {c d}",
];

const SEARCHES: &[&str] = &[
    r#"{"query":"red shoe"}"#,
    r#"{"query":"don't <b>C++</b>","vector":[1,0,0.5,-1],"mode":"hybrid","filter":"price < 50 AND brand = 'acme'","limit":10,"offset":1,"fields":["name"],"fusion":{"method":"relative","weight":0.3},"ef":50}"#,
    r#"{"vector":[1e-40,0,0,0],"mode":"vector","fusion":{"method":"rrf","k":0,"weights":{"keyword":1,"vector":0.5}}}"#,
    r#"{"query":"shoes","mode":"keyword","filter":"sold OR stock IS NULL","limit":0}"#,
];

/// What is likely to matter where it is inserted.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "'",
    ",",
    ":",
    "=",
    "\n",
    " ",
    "null",
    "true",
    "-",
    ".",
    "e",
    "0",
    "1e999",
    "1e-999",
    "9999999999",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "NaN",
    "\u{0}",
    "é",
    "\u{202e}",
    "\\u",
    "\\ud800",
    "\"id\":1,",
    "\"id\":null,",
    "\"id\":{},",
    "\"data\":[{}],",
    "\"_op\":\"d\",",
    "--",
    "/*",
    " AND ",
    " NOT ",
    " IN ()",
];

#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Drop(usize, usize),
    Insert(usize, &'static str),
    Byte(usize, u8),
    Repeat(usize, usize),
    Nest(usize, &'static str, usize),
    Splice(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0..2_000usize;
    let openings = select(&["[", "{\"a\":", "(", "9", "NOT ", "{", "-", "\\"][..]);
    prop_oneof![
        place.clone().prop_map(Damage::Cut),
        (place.clone(), 1..40usize).prop_map(|(at, length)| Damage::Drop(at, length)),
        (place.clone(), select(PIECES)).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (place.clone(), 1..200usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
        (place.clone(), openings, 1..2_000usize)
            .prop_map(|(at, piece, depth)| Damage::Nest(at, piece, depth)),
        (place.clone(), place).prop_map(|(at, from)| Damage::Splice(at, from)),
    ]
}

/// Damages the bytes; `other` is what a piece may be spliced in from.
fn apply(bytes: &mut Vec<u8>, damage: &Damage, other: &[u8]) {
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
        Damage::Nest(at, piece, depth) => {
            let at = place(at);
            bytes.splice(at..at, piece.repeat(depth).bytes());
        }
        Damage::Splice(at, from) => {
            let at = place(at);
            bytes.splice(at.., other[from % (other.len() + 1)..].iter().copied());
        }
    }
}

/// Any bytes, shown as text.
#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// A damaged one of these.
fn damaged(examples: &[&'static str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let examples = select(examples.to_vec());
    let damages = proptest::collection::vec(damage(), 0..4);
    (examples.clone(), damages, examples).prop_map(|(text, damages, other)| {
        let mut bytes = text.as_bytes().to_vec();
        let mut apply = |damage| apply(&mut bytes, damage, other.as_bytes());
        damages.iter().for_each(&mut apply);
        bytes
    })
}

/// An input of a target: the byte that chooses, then the rest.
fn chosen(rest: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Input> {
    (any::<u8>(), rest).prop_map(|(choice, rest)| Input([vec![choice], rest].concat()))
}

/// Up to three messages of one partition, with their keys and headers.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let key = || proptest::option::of(damaged(KEYS));
    let message = (damaged(MESSAGES), key(), key()).prop_map(|(value, key, header)| {
        let parts = [Some(value), key, header].map(Option::unwrap_or_default);
        parts.join(&dataflows::SEPARATOR[1])
    });
    proptest::collection::vec(message, 1..4).prop_map(|messages| messages.join(&dataflows::SEPARATOR[0]))
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(count)
    }
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn damaged_messages_come_to_sound_changes_or_refusals(input in chosen(messages())) {
        decode::run(&input.0);
    }

    #[test]
    fn damaged_expressions_are_refused_or_select_what_they_say(input in chosen(damaged(SQL))) {
        sql::run(&input.0);
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn damaged_dataflow_files_have_faults_or_hold_together(input in damaged(FILES).prop_map(Input)) {
        definition::run(&input.0);
    }

    #[test]
    fn damaged_searches_are_refused_or_answered(choice in 0..6u8, body in damaged(SEARCHES)) {
        http_body::run(&[&[choice][..], &body].concat());
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn damaged_pushes_are_taken_line_by_line(choice in 6..21u8, body in damaged(MESSAGES)) {
        http_body::run(&[&[choice][..], &body].concat());
    }
}

/// Changes of stored files: of each as it lies there, and unpacked.
fn stored_changes() -> impl Strategy<Value = Vec<u8>> {
    let change =
        (0..10u8, any::<u16>(), any::<[u8; 2]>(), any::<bool>()).prop_map(|(what, place, with, far)| {
            // Heads and ends matter most.
            let [high, low] = place.to_be_bytes();
            let side = if high & 1 == 0 { 0 } else { 0x80 };
            [what, side, if far { high } else { 0 }, low, with[0], with[1]]
        });
    proptest::collection::vec(change, 1..4).prop_map(|changes| changes.concat())
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn foreign_bytes_in_a_stored_file_are_refused_or_read(
        file in any::<u8>(), unpacked in any::<bool>(), changes in stored_changes(),
    ) {
        let file = file % stored::files()[0] as u8;
        stored::run(&[&[file, u8::from(unpacked)][..], &changes].concat());
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn foreign_bytes_in_a_stored_graph_are_refused_or_read(file in any::<u8>(), changes in stored_changes()) {
        let file = 0x80 + file % stored::files()[1] as u8;
        stored::run(&[&[file, 0][..], &changes].concat());
    }
}

/// Inputs that showed a fault, with the byte that chooses.
#[test]
fn what_was_found_once_is_right_now() {
    sql::run(b"\x00`true` or `false`");
    sql::run(b"\x001. ");
    sql::run(b"\x00with = 3 = 0");
    decode::run(b"\x03{\"op\":\"u\",\"after\":{\"id\":1,\"v\":\"__debezium_unavailable_value\"}}\xff{\"id\":1}\xff{\"id\":1.0}");
    stored::run(b"\x05\x10\x04\x00\xff\x80\xf7\x10\xff\x44");
    let search =
        br#"{"query":"shoe","fusion":{"method":"rrf","k":0,"weights":{"keyword":3e38,"vector":3e38}}}"#;
    http_body::run(&[&b"\x00"[..], search].concat());
}
