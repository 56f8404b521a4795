//! What storms, outages and a busy service cost, with an embedder of the bench's own that takes its time.
//!
//! - `storm`: 20,000 updates of the texts of 100 rows, at 20 ms a text. At most one text a row, those in flight, and those
//!   that the service could take while the storm was sent are embedded.
//! - `prices`: 20,000 updates that leave the texts alone.
//! - `saturated`: how long until a change is found by its words, at 500 changes/s of the texts of 5,000 rows, without
//!   embedder and with one that takes 200 ms a batch and is never done.
//! - `down`: the same changes for 60 s while the embedder fails; then how long until all vectors are there.
//!
//! Data comes from a seed. Run with `cargo bench --bench storm_embed`, or `-- storm` for one part.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Goal, Random, Words, figure, judged, quantile};
use millpond::embed::{EmbedError, Embedder, HashEmbedder};
use millpond::index::Snapshot;
use millpond::node::Node;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BENCH: &str = "storm_embed";
const UPDATES: usize = 20_000;
const STORM_ROWS: usize = 100;
const TEXT: Duration = Duration::from_millis(20);
const ROWS: usize = 5_000;
const CHANGES_PER_SECOND: u64 = 500;
const SATURATED: Duration = Duration::from_secs(20);
const BATCH: Duration = Duration::from_millis(200);
const OUTAGE: Duration = Duration::from_secs(60);

/// Sleeps as a service would take its time, and fails while it is down.
struct Service {
    model: HashEmbedder,
    a_text: Duration,
    a_call: Duration,
    down: AtomicBool,
    embedded: AtomicU64,
}

impl Service {
    fn new(a_text: Duration, a_call: Duration) -> Arc<Service> {
        Arc::new(Service {
            model: HashEmbedder::new(64),
            a_text,
            a_call,
            down: AtomicBool::new(false),
            embedded: AtomicU64::new(0),
        })
    }

    fn embedded(&self) -> u64 {
        self.embedded.load(Ordering::SeqCst)
    }
}

impl Embedder for Service {
    fn model(&self) -> &str {
        "service"
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(EmbedError {
                model: "service".to_owned(),
                reason: "it is down".to_owned(),
                retry: true,
            });
        }
        std::thread::sleep(self.a_call + self.a_text * texts.len() as u32);
        self.embedded.fetch_add(texts.len() as u64, Ordering::SeqCst);
        self.model.embed(texts)
    }
}

/// A node without its port, and who pushes to it.
struct Running {
    node: Node,
    position: u64,
    _data: tempfile::TempDir,
}

impl Running {
    /// `settings` are lines of `[embedder]`; without a service there are no vectors.
    fn start(service: Option<&Arc<Service>>, settings: &str) -> Running {
        let (embed, embedder) = match service {
            Some(_) => (
                "embed = \"{text}\"",
                format!("[embedder]\nmodel = \"hash\"\ndimensions = 64\n{settings}"),
            ),
            None => ("", String::new()),
        };
        let dataflow = format!(
            r#"
name = "bench"
[tables.products]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text, price FROM products"
key = "id"
text = {{ text = {{}} }}
fields = {{ price = "i64" }}
{embed}
{embedder}
"#
        );
        let data = tempfile::tempdir().expect("a temporary directory");
        let opened = service.cloned();
        let embedders = move |_: &millpond::definition::EmbedderSettings| {
            let service = opened.clone().expect("only indexes that embed ask for it");
            Ok(service as Arc<dyn Embedder>)
        };
        let definition = common::define(&dataflow);
        let node = Node::start_with(definition, &common::options(&data), Arc::new(embedders));
        let mut running = Running {
            node: node.expect("the node starts"),
            position: 0,
            _data: data,
        };
        while running.try_push("").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        running
    }

    fn try_push(&mut self, lines: &str) -> Option<()> {
        let table = self.node.app().push_table("products")?;
        let pushed = table.push(lines.as_bytes(), None).ok()?;
        self.position = pushed.position.map_or(self.position, |offset| offset.0);
        Some(())
    }

    fn push(&mut self, lines: &str) {
        while self.try_push(lines).is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.node.app().published.snapshot()
    }

    fn is_visible(&self) -> bool {
        self.snapshot().positions.get("products/0").copied() >= Some(self.position)
    }

    /// Waits for the state, and says how long that took.
    fn until(&self, is_it: impl Fn(&Snapshot) -> bool) -> Duration {
        let began = Instant::now();
        while !is_it(&self.snapshot()) {
            std::thread::sleep(Duration::from_micros(500));
        }
        began.elapsed()
    }

    fn complete(&self) -> Duration {
        let position = self.position;
        self.until(|snapshot| {
            snapshot.positions.get("products/0").copied() >= Some(position) && snapshot.vectors_pending() == 0
        })
    }

    /// Changes texts at a steady rate for so long; gives the milliseconds from when each was due to be sent until it was
    /// found by its words.
    fn change(&mut self, random: &mut Random, words: &Words, duration: Duration) -> Vec<f64> {
        let (pushed, watched) = std::sync::mpsc::channel::<(u64, Instant)>();
        let app = self.node.app().clone();
        let watcher = std::thread::spawn(move || {
            let visible = || app.published.snapshot().positions.get("products/0").copied();
            let until_found = |(position, due): (u64, Instant)| {
                while visible() < Some(position) {
                    std::thread::sleep(Duration::from_micros(100));
                }
                due.elapsed().as_secs_f64() * 1e3
            };
            watched.into_iter().map(until_found).collect::<Vec<f64>>()
        });
        let began = Instant::now();
        let mut sent = 0;
        while began.elapsed() < duration {
            let due = began + Duration::from_micros(sent * 1_000_000 / CHANGES_PER_SECOND);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.push(&row(random.below(ROWS), &words.text(random, 30), 0));
            pushed.send((self.position, due)).expect("the watcher lives");
            sent += 1;
        }
        drop(pushed);
        let fresh = watcher.join().expect("the watcher ends");
        figure(
            BENCH,
            "changes/s sent",
            sent as f64 / began.elapsed().as_secs_f64(),
            "changes/s",
        );
        fresh
    }

    fn load(&mut self, rows: usize) {
        for first in (0..rows).step_by(500) {
            let lines: Vec<String> = (first..rows.min(first + 500))
                .map(|id| row(id, &format!("row {id} as it was"), 0))
                .collect();
            self.push(&lines.join("\n"));
        }
    }
}

fn row(id: usize, text: &str, price: usize) -> String {
    format!(r#"{{"id":{id},"text":"{text}","price":{price}}}"#)
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with("--"))
        .collect();
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    let parts: [(&str, fn()); 4] = [
        ("storm", storm),
        ("prices", prices),
        ("saturated", saturated),
        ("down", down),
    ];
    for (name, part) in parts {
        if runs(name) {
            part();
        }
    }
}

fn storm() {
    let (batch, parallel) = (4, 2);
    let service = Service::new(TEXT, Duration::ZERO);
    let mut node = Running::start(Some(&service), &format!("batch = {batch}\nparallel = {parallel}"));
    node.load(STORM_ROWS);
    node.complete();
    let before = service.embedded();
    let mut random = Random(5);
    let began = Instant::now();
    for first in (0..UPDATES).step_by(20) {
        let lines: Vec<String> = (first..first + 20)
            .map(|number| row(random.below(STORM_ROWS), &format!("update {number}"), 0))
            .collect();
        node.push(&lines.join("\n"));
    }
    let sending = began.elapsed();
    let meanwhile = service.embedded() - before;
    let visible = node.until(|_| node.is_visible());
    let left = node.snapshot().vectors_pending();
    let complete = node.complete() + visible;
    let embedded = service.embedded() - before;
    let could = sending.as_secs_f64() / TEXT.as_secs_f64() * parallel as f64;
    let bound = STORM_ROWS as f64 + (batch * parallel) as f64 + could;
    let name = "storm: texts embedded for 20,000 updates of 100 rows";
    judged(BENCH, name, embedded as f64, "texts", Goal::AtMost(bound.floor()));
    figure(BENCH, "storm: sent in", sending.as_secs_f64(), "s");
    figure(
        BENCH,
        "storm: texts embedded while it was sent",
        meanwhile as f64,
        "texts",
    );
    figure(
        BENCH,
        "storm: texts left after the last update",
        left as f64,
        "texts",
    );
    // What is in flight when the last update comes is computed too.
    let work = (left + batch * parallel) as f64 * TEXT.as_secs_f64() / parallel as f64;
    let name = "storm: all is searchable after the last update";
    judged(BENCH, name, complete.as_secs_f64(), "s", Goal::AtMost(1.0 + work));
    node.node.stop().expect("the node stops");
}

fn prices() {
    let service = Service::new(TEXT, Duration::ZERO);
    let mut node = Running::start(Some(&service), "batch = 4\nparallel = 2");
    node.load(STORM_ROWS);
    node.complete();
    let before = service.embedded();
    let mut random = Random(6);
    for first in (0..UPDATES).step_by(20) {
        let lines: Vec<String> = (first..first + 20)
            .map(|number| {
                let id = random.below(STORM_ROWS);
                row(id, &format!("row {id} as it was"), number)
            })
            .collect();
        node.push(&lines.join("\n"));
    }
    node.complete();
    let name = "prices: texts embedded for 20,000 updates of prices";
    judged(
        BENCH,
        name,
        (service.embedded() - before) as f64,
        "texts",
        Goal::AtMost(0.0),
    );
    node.node.stop().expect("the node stops");
}

fn saturated() {
    let words = Words::new(20_000);
    let p99 = |service: Option<&Arc<Service>>, name: &str| {
        let mut node = Running::start(service, "batch = 16\nparallel = 2");
        node.load(ROWS);
        node.until(|snapshot| snapshot.documents() == ROWS);
        let mut fresh = node.change(&mut Random(7), &words, SATURATED);
        let waiting = node.snapshot().vectors_pending();
        figure(
            BENCH,
            &format!("saturated: texts waiting at the end, {name}"),
            waiting as f64,
            "texts",
        );
        figure(
            BENCH,
            &format!("saturated: keyword freshness p50, {name}"),
            quantile(&mut fresh, 0.5),
            "ms",
        );
        let p99 = quantile(&mut fresh, 0.99);
        figure(
            BENCH,
            &format!("saturated: keyword freshness p99, {name}"),
            p99,
            "ms",
        );
        node.node.stop().expect("the node stops");
        p99
    };
    // In turn, so that what else the machine does meets both.
    let service = Service::new(Duration::ZERO, BATCH);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        without.push(p99(None, "without embedder"));
        with.push(p99(Some(&service), "with"));
    }
    let ratio = quantile(&mut with, 0.5) / quantile(&mut without, 0.5);
    let name = "saturated: keyword freshness p99, with to without, medians of 3";
    judged(BENCH, name, ratio, "times", Goal::AtMost(1.5));
}

fn down() {
    let (batch, parallel) = (16, 4);
    let service = Service::new(Duration::from_millis(5), Duration::from_millis(10));
    let mut node = Running::start(Some(&service), &format!("batch = {batch}\nparallel = {parallel}"));
    node.load(ROWS);
    node.complete();
    service.down.store(true, Ordering::SeqCst);
    let words = Words::new(20_000);
    let mut fresh = node.change(&mut Random(8), &words, OUTAGE);
    figure(
        BENCH,
        "down: keyword freshness p99 throughout",
        quantile(&mut fresh, 0.99),
        "ms",
    );
    let left = node.snapshot().vectors_pending();
    figure(BENCH, "down: texts left at its return", left as f64, "texts");
    service.down.store(false, Ordering::SeqCst);
    let complete = node.complete();
    let work = left as f64 * (0.005 + 0.010 / batch as f64) / parallel as f64;
    let name = "down: all vectors are there after its return";
    judged(
        BENCH,
        name,
        complete.as_secs_f64(),
        "s",
        Goal::AtMost(10.0 + work),
    );
    let snapshot = node.snapshot();
    let lost = ROWS - snapshot.documents().min(ROWS) + ROWS - snapshot.vectors().min(ROWS);
    judged(
        BENCH,
        "down: rows and vectors lost",
        lost as f64,
        "",
        Goal::AtMost(0.0),
    );
    node.node.stop().expect("the node stops");
}
