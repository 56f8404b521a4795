//! Freshness: from sending a change until a keyword search for its unique word *and* a vector search show it.
//!
//! 2,000 changes/s for 15 s (70 % updates, 20 % inserts, 10 % deletes) onto 50,000 loaded rows, over HTTP pushes and
//! over Kafka (librdkafka's mock cluster, 8 partitions), while a client asks 20 hybrid queries/s over HTTP. Every
//! twentieth change is followed until both legs show it. Data comes from a seed. Run with
//! `cargo bench --bench freshness`; `-- http` or `-- kafka` for one part.

mod common;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::watch::{Followed, ask, follow, milliseconds};
use common::{Pushing, Random, Served, Words, figure, processor_time, quantile};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const LOADED: usize = 50_000;
const CHANGES_PER_SECOND: usize = 2_000;
const SECONDS: usize = 15;

/// Changes sent together: 100 sends a second.
const TOGETHER: usize = 20;
const QUERIES_PER_SECOND: u64 = 20;
const PARTITIONS: i32 = 8;
const TOPIC: &str = "products";

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if runs("http") {
        run("HTTP push", &dataflow(r#"{ kind = "http" }"#), |address| {
            Box::new(Pushing::new(address))
        });
    }
    if runs("kafka") {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic(TOPIC, PARTITIONS, 1).expect("a topic");
        let brokers = cluster.bootstrap_servers();
        let source = format!(
            r#"{{ kind = "kafka", brokers = "{brokers}", topic = "{TOPIC}", options = {{ "fetch.wait.max.ms" = "1", "socket.nagle.disable" = "true" }} }}"#
        );
        run("Kafka", &dataflow(&source), |_| {
            Box::new(Producing::new(&brokers))
        });
    }
}

fn dataflow(source: &str) -> String {
    format!(
        r#"
name = "bench"
[tables.products]
source = {source}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, name, description, category, price FROM products"
key = "id"
text = {{ name = {{ boost = 2.0 }}, description = {{}} }}
fields = {{ category = "keyword", price = "f64" }}
embed = "{{name}}\n{{description}}"
"#
    )
}

/// How changes reach the node: (key, JSON) each.
trait Sender {
    fn send(&mut self, changes: &[(usize, String)]);
}

impl Sender for Pushing {
    fn send(&mut self, changes: &[(usize, String)]) {
        let lines: Vec<&str> = changes.iter().map(|(_, line)| line.as_str()).collect();
        self.push(&lines);
    }
}

struct Producing(ThreadedProducer<DefaultProducerContext>);

impl Producing {
    fn new(brokers: &str) -> Producing {
        let mut config = rdkafka::ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "0")
            .set("socket.nagle.disable", "true");
        Producing(config.create().expect("a producer"))
    }
}

impl Sender for Producing {
    fn send(&mut self, changes: &[(usize, String)]) {
        for (key, line) in changes {
            let key = key.to_string();
            let mut record = BaseRecord::to(TOPIC).key(&key).payload(line);
            while let Err((_, back)) = self.0.send(record) {
                record = back;
                self.0
                    .flush(Duration::from_millis(10))
                    .expect("the mock broker takes records");
            }
        }
    }
}

fn run(name: &str, dataflow: &str, sender: impl FnOnce(SocketAddr) -> Box<dyn Sender>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Served {
        node,
        runtime,
        address,
    } = common::serve(dataflow, &directory);
    let mut sender = sender(address);
    let searcher = node.app().searcher.clone().expect("an index");

    let words = Words::new(20_000);
    let mut random = Random(3);
    let row = |id: usize, text: &str, random: &mut Random| {
        (
            id,
            format!(
                r#"{{"id":{id},"name":"{}","description":"{text}","category":"c{}","price":{}}}"#,
                words.text(random, 6),
                id % 20,
                random.below(500)
            ),
        )
    };
    let loaded: Vec<(usize, String)> = (0..LOADED)
        .map(|id| {
            let text = words.text(&mut random, 54);
            row(id, &text, &mut random)
        })
        .collect();
    for chunk in loaded.chunks(500) {
        sender.send(chunk);
    }
    let published = node.app().published.clone();
    runtime.block_on(published.wait_for(|snapshot| {
        snapshot.documents() == LOADED && snapshot.vectors_pending() == 0 && snapshot.vectors_unbuilt() == 0
    }));

    let followed: Arc<Mutex<VecDeque<Followed>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let finder = {
        let (followed, stop) = (followed.clone(), stop.clone());
        std::thread::spawn(move || follow(&searcher, &followed, &stop))
    };
    let asker = {
        let (stop, words) = (stop.clone(), Words::new(20_000));
        std::thread::spawn(move || ask(address, &words, QUERIES_PER_SECOND, &stop))
    };
    let (began, processor) = (Instant::now(), processor_time());
    let mut next_id = LOADED;
    for number in 0..CHANGES_PER_SECOND * SECONDS / TOGETHER {
        let due = Duration::from_secs_f64((number * TOGETHER) as f64 / CHANGES_PER_SECOND as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let word = format!("unique{number}word");
        let text = format!("{word} {}", words.text(&mut random, 53));
        let probe = row(random.below(LOADED / 2), &text, &mut random);
        let name = probe.1.split('"').nth(5).expect("the name").to_owned();
        let key = probe.0.to_string();
        let mut changes = vec![probe];
        while changes.len() < TOGETHER {
            // Followed rows are not changed again soon: they lie in the lower half.
            let other = LOADED / 2 + random.below(LOADED / 2);
            changes.push(match random.below(10) {
                0 => (other, format!(r#"{{"id":{other},"_op":"delete"}}"#)),
                1..3 => {
                    next_id += 1;
                    let text = words.text(&mut random, 54);
                    row(next_id, &text, &mut random)
                }
                _ => {
                    let text = words.text(&mut random, 54);
                    row(other, &text, &mut random)
                }
            });
        }
        let sent = Instant::now();
        followed.lock().expect("not poisoned").push_back(Followed {
            key,
            word,
            text: format!("{name}\n{text}"),
            sent,
        });
        sender.send(&changes);
    }
    let sending = began.elapsed();
    let cores = (processor_time() - processor).as_secs_f64() / sending.as_secs_f64();
    while !followed.lock().expect("not poisoned").is_empty()
        && began.elapsed() < sending + Duration::from_secs(30)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    let backlog = began.elapsed() - sending;
    let unseen = followed.lock().expect("not poisoned").len();
    stop.store(true, Ordering::Relaxed);
    let (mut fresh, mut queries) = (
        milliseconds(&finder.join().expect("the finder")),
        milliseconds(&asker.join().expect("the asker")),
    );
    println!(
        "{name}: {CHANGES_PER_SECOND} changes/s for {SECONDS} s onto {LOADED} rows; {} followed, {unseen} never seen",
        fresh.len()
    );
    figure(
        "freshness",
        &format!("{name}: both legs, p50"),
        quantile(&mut fresh, 0.5),
        "ms",
    );
    figure(
        "freshness",
        &format!("{name}: both legs, p99"),
        quantile(&mut fresh, 0.99),
        "ms",
    );
    figure(
        "freshness",
        &format!("{name}: backlog after the last change"),
        backlog.as_secs_f64() * 1e3,
        "ms",
    );
    figure(
        "freshness",
        &format!("{name}: hybrid query meanwhile over HTTP, p50"),
        quantile(&mut queries, 0.5),
        "ms",
    );
    figure(
        "freshness",
        &format!("{name}: hybrid query meanwhile over HTTP, p99"),
        quantile(&mut queries, 0.99),
        "ms",
    );
    figure(
        "freshness",
        &format!("{name}: processor, with load and searches"),
        cores,
        "cores",
    );
    node.stop().expect("the node stops");
}
