//! Ingestion: canal-json bytes -> published snapshot, both legs.
//!
//! - `storm`: 1,000,000 updates over 1,000 keys; what the node must read, not what it must index.
//! - `distinct`: 100,000 new rows of about 60 words, embedded by the built-in model.
//! - the limit beside them: decoding the same bytes alone, on one core.
//!
//! Data comes from a seed. Run with `cargo bench --bench ingest`; `-- storm` or `-- distinct` for one part.

mod common;

use std::time::{Duration, Instant};

use common::{Random, Words, figure, median, resident_bytes, start};
use millpond::change::{Offset, PartitionId, TableId};
use millpond::decode::{Decoded, Decoder, Message};
use millpond::node::Node;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STORM_CHANGES: usize = 1_000_000;
const STORM_KEYS: usize = 1_000;
const ROWS: usize = 100_000;
const RUNS: usize = 3;

/// After this the allocator has given back what was freed.
const ALLOCATOR_DECAY: Duration = Duration::from_secs(15);

/// Bytes in one batch: about what a Kafka fetch gives.
const BATCH_BYTES: usize = 1 << 20;

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
    let batches = batches((0..STORM_CHANGES).map(|number| {
        let id = random.below(STORM_KEYS);
        let (name, description) = &texts[id];
        message(id, name, description, number)
    }));
    let rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (node, _directory) = start(DATAFLOW);
            STORM_CHANGES as f64 / ingest(&node, &batches).as_secs_f64()
        })
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
        decoding_alone(&batches),
        "messages/s",
    );
}

fn distinct() {
    let words = Words::new(20_000);
    let mut random = Random(2);
    let mut text_bytes = 0;
    let batches = batches((0..ROWS).map(|number| {
        let (name, description) = (words.text(&mut random, 6), words.text(&mut random, 54));
        text_bytes += name.len() + description.len();
        message(number, &name, &description, number)
    }));
    let (mut empty, mut beyond) = (0.0, 0.0);
    let rates: Vec<f64> = (0..RUNS)
        .map(|run| {
            let before = resident_bytes();
            let (node, _directory) = start(DATAFLOW);
            let started = resident_bytes();
            let took = ingest(&node, &batches);
            if run == 0 {
                wait_until_built(&node);
                std::thread::sleep(ALLOCATOR_DECAY);
                let raw = (text_bytes + ROWS * 256 * 4) as f64;
                empty = started - before;
                beyond = (resident_bytes() - started - raw) / ROWS as f64;
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
    figure(
        "ingest",
        "resident bytes of an empty node",
        empty / f64::from(1 << 20),
        "MiB",
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

fn batches(messages: impl Iterator<Item = String>) -> Vec<Vec<u8>> {
    let mut batches = vec![Vec::new()];
    for message in messages {
        if batches
            .last()
            .is_none_or(|batch| batch.len() + message.len() > BATCH_BYTES)
        {
            batches.push(Vec::with_capacity(BATCH_BYTES));
        }
        let batch = batches.last_mut().expect("there is one");
        batch.extend_from_slice(message.as_bytes());
        batch.push(b'\n');
    }
    batches
}

/// Gives everything to a node, as the thread of a broker's partition does, and waits until both legs show it.
///
/// Pushes over HTTP go through a log on disk besides, whose cost is in `benches/push.rs`.
fn ingest(node: &Node, batches: &[Vec<u8>]) -> Duration {
    let mut partition = node.app().intake.receivers(TableId(0)).partition("0");
    let began = Instant::now();
    let mut taken = 0;
    for batch in batches {
        let messages: Vec<Message<'_>> = lines(batch)
            .zip(taken..)
            .map(|(line, offset)| message_at(line, offset))
            .collect();
        taken += messages.len() as u64;
        let received = partition.receiver.receive(&messages);
        received.expect("the node takes messages");
    }
    wait_for(node, |snapshot| {
        snapshot
            .positions
            .get("products/0")
            .is_some_and(|last| *last + 1 >= taken)
            && snapshot.vectors_pending() == 0
    });
    began.elapsed()
}

fn lines(batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn message_at(line: &[u8], offset: u64) -> Message<'_> {
    Message {
        topic: "",
        partition: PartitionId(0),
        offset: Offset(offset),
        key: None,
        value: Some(line),
        headers: &[],
        timestamp_ms: None,
    }
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

fn decoding_alone(batches: &[Vec<u8>]) -> f64 {
    let definition = common::define(DATAFLOW);
    let mut decoder = Decoder::new(&definition.tables[0]);
    let began = Instant::now();
    let mut messages = 0;
    for batch in batches {
        let mut decoded = Decoded::default();
        for line in lines(batch) {
            decoder.decode(&message_at(line, messages), &mut decoded);
            messages += 1;
        }
        assert_eq!(decoded.refusals, []);
    }
    messages as f64 / began.elapsed().as_secs_f64()
}
