//! Ingestion: canal-json bytes -> published snapshot, both legs.
//!
//! - `storm`: 1,000,000 updates over 1,000 keys; what the node must read, not what it must index.
//! - `distinct`: 100,000 new rows of about 60 words, embedded by the built-in model.
//! - the limit beside them: decoding the same bytes alone, on one core.
//!
//! Data comes from a seed. Run with `cargo bench --bench ingest`; `-- storm` or `-- distinct` for one part.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Random, Words, figure, median, resident_bytes, start};
use millpond::change::{Offset, PartitionId};
use millpond::decode::{Decoded, Decoder, Message};
use millpond::node::Node;
use millpond::source::NotTaken;
use millpond::source::http::PushError;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STORM_CHANGES: usize = 1_000_000;
const STORM_KEYS: usize = 1_000;
const ROWS: usize = 100_000;
const RUNS: usize = 3;

/// After this the allocator has given back what was freed.
const ALLOCATOR_DECAY: Duration = Duration::from_secs(15);

/// Bytes in one push: about what a Kafka fetch gives.
const PUSH_BYTES: usize = 1 << 20;

const DATAFLOW: &str = r#"
name = "bench"
[tables.products]
source = { kind = "http" }
format = "canal-json"
key = ["id"]
[index]
query = "SELECT id, name, description, category, price, stock FROM products WHERE status = 'published'"
key = "id"
text = { name = { boost = 2.0 }, description = {} }
fields = { category = "keyword", price = "f64", stock = "i64" }
embed = "{name}\n{description}"
"#;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if runs("storm") {
        storm();
    }
    if runs("distinct") {
        distinct();
    }
}

fn storm() {
    let words = Words::new(20_000);
    let mut random = Random(1);
    let texts: Vec<(String, String)> = (0..STORM_KEYS)
        .map(|_| (words.text(&mut random, 6), words.text(&mut random, 54)))
        .collect();
    let pushes = pushes((0..STORM_CHANGES).map(|number| {
        let id = random.below(STORM_KEYS);
        let (name, description) = &texts[id];
        message(id, name, description, number)
    }));
    let rates: Vec<f64> = (0..RUNS)
        .map(|_| STORM_CHANGES as f64 / ingest(&pushes).0.as_secs_f64())
        .collect();
    figure(
        "ingest",
        "storm: changes/s to published, 1,000 keys",
        median(&rates),
        "changes/s",
    );
    figure(
        "ingest",
        "limit: decoding alone, one core",
        decoding_alone(&pushes),
        "messages/s",
    );
}

fn distinct() {
    let words = Words::new(20_000);
    let mut random = Random(2);
    let mut text_bytes = 0;
    let pushes = pushes((0..ROWS).map(|number| {
        let (name, description) = (words.text(&mut random, 6), words.text(&mut random, 54));
        text_bytes += name.len() + description.len();
        message(number, &name, &description, number)
    }));
    let before = resident_bytes();
    let mut beyond = 0.0;
    let rates: Vec<f64> = (0..RUNS)
        .map(|run| {
            let (took, node) = ingest(&pushes);
            if run == 0 {
                wait_until_built(&node);
                std::thread::sleep(ALLOCATOR_DECAY);
                let raw = (text_bytes + ROWS * 256 * 4) as f64;
                beyond = (resident_bytes() - before - raw) / ROWS as f64;
            }
            let _ = node.stop();
            ROWS as f64 / took.as_secs_f64()
        })
        .collect();
    figure(
        "ingest",
        "distinct: rows/s to searchable in both legs",
        median(&rates),
        "rows/s",
    );
    figure(
        "ingest",
        "resident bytes per document beyond text and f32 vector",
        beyond,
        "bytes",
    );
}

/// One TiCDC message of about 700 bytes.
fn message(id: usize, name: &str, description: &str, number: usize) -> String {
    format!(
        r#"{{"id":0,"database":"shop","table":"products","pkNames":["id"],"isDdl":false,"type":"UPDATE","es":{es},"ts":{es},"sql":"","sqlType":{{"id":-5,"name":12,"description":-1,"category":12,"price":3,"stock":4,"status":12}},"mysqlType":{{"id":"bigint","name":"varchar","description":"text","category":"varchar","price":"decimal","stock":"int","status":"varchar"}},"old":null,"data":[{{"id":"{id}","name":"{name}","description":"{description}","category":"c{category}","price":"{price}.90","stock":"{stock}","status":"published"}}],"_tidb":{{"commitTs":{ts}}}}}"#,
        es = 1_700_000_000_000 + number as u64,
        ts = 400_000_000_000_000_000 + number as u64,
        category = id % 20,
        price = number % 500,
        stock = number % 1000,
    )
}

fn pushes(messages: impl Iterator<Item = String>) -> Vec<Vec<u8>> {
    let mut pushes = vec![Vec::new()];
    for message in messages {
        if pushes
            .last()
            .is_none_or(|push| push.len() + message.len() > PUSH_BYTES)
        {
            pushes.push(Vec::with_capacity(PUSH_BYTES));
        }
        let push = pushes.last_mut().expect("there is one");
        push.extend_from_slice(message.as_bytes());
        push.push(b'\n');
    }
    pushes
}

/// Pushes everything into a new node and waits until both legs show it.
fn ingest(pushes: &[Vec<u8>]) -> (Duration, Arc<Node>) {
    let (node, _directory) = start(DATAFLOW);
    let app = node.app().clone();
    let table = app.push_table("products").expect("it takes pushes");
    let began = Instant::now();
    let mut last = None;
    for push in pushes {
        last = loop {
            match table.push(push, None) {
                Ok(pushed) => break pushed.position,
                Err(PushError::NotTaken(NotTaken::Full)) => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        };
    }
    let last = last.expect("something was pushed").0;
    wait_for(&node, |snapshot| {
        snapshot.positions.get("products/0").is_some_and(|at| *at >= last) && snapshot.vectors_pending() == 0
    });
    (began.elapsed(), Arc::new(node))
}

fn wait_until_built(node: &Node) {
    wait_for(node, |snapshot| snapshot.vectors_unbuilt() == 0);
}

fn wait_for(node: &Node, condition: impl Fn(&millpond::index::Snapshot) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(node.app().published.wait_for(condition));
}

fn decoding_alone(pushes: &[Vec<u8>]) -> f64 {
    let definition = common::define(DATAFLOW);
    let mut decoder = Decoder::new(&definition.tables[0]);
    let began = Instant::now();
    let mut messages = 0;
    for push in pushes {
        let mut decoded = Decoded::default();
        for line in push.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let message = Message {
                topic: "",
                partition: PartitionId(0),
                offset: Offset(messages),
                key: None,
                value: Some(line),
                headers: &[],
                timestamp_ms: None,
            };
            decoder.decode(&message, &mut decoded);
            messages += 1;
        }
        assert_eq!(decoded.refusals, []);
    }
    messages as f64 / began.elapsed().as_secs_f64()
}
