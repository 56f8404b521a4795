//! Small dataflows, as text that goes through the door that users' files take.

use std::path::Path;
use std::sync::Arc;

use millpond::change::TableId;
use millpond::definition::{self, Definition, Format};
use millpond::intake::DeadLetters;
use millpond::node::open_embedders;
use millpond::replay::Replay;

/// Separates messages, or a message's parts, in an input: bytes that no UTF-8 text holds, so that a mutation of the
/// text does not move them by accident.
pub const SEPARATOR: [u8; 2] = [0xFE, 0xFF];

pub fn definition(toml: &str) -> Arc<Definition> {
    let parsed = definition::parse(toml, "fuzz.toml", Path::new("/flows"));
    Arc::new(parsed.unwrap_or_else(|faults| panic!("{faults}")))
}

/// Each format three times: as plain as can be; with types, a composite key and vectors; and one table of many in a
/// topic, with the remaining types.
pub fn formats() -> Vec<Arc<Definition>> {
    Format::ALL.into_iter().flat_map(tables).collect()
}

fn tables(format: Format) -> [Arc<Definition>; 3] {
    let format = format.name();
    [
        format!(
            r#"
name = "t"
tables.t = {{ source = {{ kind = "http" }}, format = "{format}", key = ["id"] }}
index = {{ query = "SELECT id, name, price, n FROM t WHERE n > 0 OR name IS NOT NULL", key = "id", text = {{ name = {{}} }}, fields = {{ price = "f64", n = "i64" }} }}
"#
        ),
        format!(
            r#"
name = "t"
[tables.t]
source = {{ kind = "http" }}
format = "{format}"
key = ["id", "n"]
[tables.t.columns]
n = "decimal(9,2)"
d = "date"
t = "datetime(3)"
f = "bit(9)"
s = "set('a','b')"
b = "json"
[index]
query = "SELECT id, n, v, d, LOWER(s) AS s FROM t"
key = ["id", "n"]
vector = "v"
fields = {{ s = "keyword", d = "keyword" }}
[embedder]
model = "none"
dimensions = 2
"#
        ),
        format!(
            r#"
name = "t"
[tables.t]
source = {{ kind = "http" }}
format = "{format}"
key = ["id"]
select = ["d.t", "d.u"]
[tables.t.columns]
id = "bigint unsigned"
e = "enum('x','y''s')"
t = "timestamptz"
u = "time"
x = "varbinary(9)"
f = "double"
o = "bool"
"#
        ),
    ]
    .map(|toml| definition(&toml))
}

/// A dataflow with something in its index, stepped by hand: the same for every input.
pub fn filled(definition: Arc<Definition>, rows: &[&str]) -> Replay {
    let embedder = open_embedders(&definition).expect("the hash and no model need no files");
    let mut replay = Replay::new(definition, embedder, DeadLetters::discard());
    let rows: Vec<&[u8]> = rows.iter().map(|row| row.as_bytes()).collect();
    replay.feed_values(TableId(0), 0, &rows);
    replay.tick();
    replay
}
