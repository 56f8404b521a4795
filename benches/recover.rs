//! A checkpoint of 200,000 documents (384 dimensions) while changes and queries go on, and the restart after it.
//!
//! 1. 2,000 updates/s and 50 hybrid queries/s over HTTP, while the checkpoint of all documents is written and before:
//!    freshness in both legs, and how long queries take.
//! 2. After a clean stop: from the start of the process to the first right answer to a hybrid search over HTTP, beside
//!    the time in which a plain file of the same vectors is read into memory. All files are in the page cache.
//!
//! Data comes from a seed, vectors from the `hash` embedder. Run with `cargo bench --bench recover`; it takes some
//! minutes, most of which go to building graphs. `-- 50000` for another number of documents.

mod common;

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::watch::{Followed, Timed, ask, follow};
use common::{Pushing, Random, Served, Words, figure, median, quantile};
use millpond::change::Tick;
use millpond::embed::{Embedder, HashEmbedder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Without a number on the command line.
const DOCUMENTS: usize = 200_000;
const DIMENSIONS: usize = 384;
const WORDS_OF_A_TEXT: usize = 54;

const CHANGES_PER_SECOND: usize = 2_000;

/// Changes sent together: 100 sends a second. One change of every other send is followed.
const TOGETHER: usize = 20;
const FOLLOWED_SENDS: usize = 2;
const QUERIES_PER_SECOND: u64 = 50;

/// The checkpoint begins when about so much has been sent after the documents.
const CALM: Duration = Duration::from_secs(20);

/// After the first change, caches and allocators are not yet as they stay.
const WARM_UP: Duration = Duration::from_secs(2);

const RESTARTS: usize = 3;

fn main() {
    let documents = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(DOCUMENTS);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let last = under_load(&directory, documents);
    let dataflow = directory.path().join("bench.toml");
    std::fs::write(&dataflow, self::dataflow(u64::MAX >> 20)).expect("the dataflow file");
    let vectors = write_vectors(directory.path(), documents);

    let (mut starts, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        reads.push(read_vectors(&vectors));
        starts.push(restart(&dataflow, directory.path(), &last, documents));
    }
    let (start, read) = (median(&starts), median(&reads));
    figure(
        "recover",
        "restart: first right answer of a hybrid search",
        start,
        "s",
    );
    figure("recover", "the same vectors, read from a plain file", read, "s");
    figure(
        "recover",
        "restart, beyond reading the vectors",
        start - read,
        "s",
    );
}

/// `kibibytes` of messages make a checkpoint due.
fn dataflow(kibibytes: u64) -> String {
    format!(
        r#"
name = "bench"
[tables.products]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, name, description, category, price FROM products"
key = "id"
text = {{ name = {{ boost = 2.0 }}, description = {{}} }}
fields = {{ category = "keyword", price = "f64" }}
embed = "{{name}}\n{{description}}"
[embedder]
model = "hash"
dimensions = {DIMENSIONS}
[checkpoint]
interval = "24h"
bytes = "{kibibytes}KiB"
"#
    )
}

/// Makes the rows, the same in every run.
struct Rows {
    words: Words,
    random: Random,
}

impl Rows {
    fn new(seed: u64) -> Rows {
        Rows {
            words: Words::new(20_000),
            random: Random(seed),
        }
    }

    /// A row whose description begins with `word`, and the text that is embedded.
    fn row(&mut self, id: usize, word: &str) -> (String, String) {
        let name = self.words.text(&mut self.random, 6);
        let description = format!("{word} {}", self.words.text(&mut self.random, WORDS_OF_A_TEXT));
        let line = format!(
            r#"{{"id":{id},"name":"{name}","description":"{description}","category":"c{}","price":{}}}"#,
            id % 20,
            self.random.below(500)
        );
        (line, format!("{name}\n{description}"))
    }
}

/// Loads the documents, and measures before and during their checkpoint. Returns the last change that was followed.
fn under_load(directory: &tempfile::TempDir, documents: usize) -> Followed {
    // What comes before the checkpoint: the documents, and the changes of the calm time.
    let mut rows = Rows::new(3);
    let loaded_bytes: usize = (0..documents).map(|id| rows.row(id, "first").0.len()).sum();
    let changes = CALM.as_secs() as usize * CHANGES_PER_SECOND;
    let calm_bytes = loaded_bytes / documents * changes;
    let dataflow = dataflow(((loaded_bytes + calm_bytes) >> 10) as u64);
    let Served {
        node,
        runtime,
        address,
    } = common::serve(&dataflow, directory);
    let pushing = Pushing::new(address);

    let mut rows = Rows::new(3);
    let began = Instant::now();
    for first in (0..documents).step_by(1_000) {
        let lines: Vec<String> = (first..first + 1_000).map(|id| rows.row(id, "first").0).collect();
        pushing.push(&lines);
    }
    runtime.block_on(node.app().published.wait_for(|snapshot| {
        snapshot.documents() == documents
            && snapshot.vectors_pending() == 0
            && snapshot.vectors_unbuilt() == 0
    }));
    println!(
        "{documents} documents loaded, graphs built, after {:.0?}",
        began.elapsed()
    );

    let followed: Arc<Mutex<VecDeque<Followed>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let finder = {
        let (searcher, followed, stop) = (
            node.app().searcher.clone().expect("an index"),
            followed.clone(),
            stop.clone(),
        );
        std::thread::spawn(move || follow(&searcher, &followed, &stop))
    };
    let asker = {
        let (stop, words) = (stop.clone(), Words::new(20_000));
        std::thread::spawn(move || ask(address, &words, QUERIES_PER_SECOND, &stop))
    };
    let checkpointed = {
        let node = node.clone();
        runtime.spawn(async move {
            node.app().durable.wait_for(Tick(1)).await;
            Instant::now()
        })
    };

    let mut rows = Rows::new(7);
    let mut last = None;
    let (began, mut sent) = (Instant::now(), 0);
    while !checkpointed.is_finished() {
        let due = Duration::from_secs_f64(sent as f64 / CHANGES_PER_SECOND as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        assert!(began.elapsed() < 10 * CALM, "no checkpoint");
        let word = format!("unique{sent}word");
        // Followed rows are not changed again soon: they lie in the lower half.
        let id = rows.random.below(documents / 2);
        let (probe, text) = rows.row(id, &word);
        let mut lines = vec![probe];
        while lines.len() < TOGETHER {
            let other = documents / 2 + rows.random.below(documents / 2);
            lines.push(rows.row(other, "again").0);
        }
        let change = || Followed {
            key: id.to_string(),
            word: word.clone(),
            text: text.clone(),
            sent: Instant::now(),
        };
        last = Some(change());
        if (sent / TOGETHER).is_multiple_of(FOLLOWED_SENDS) {
            followed.lock().expect("not poisoned").push_back(change());
        }
        pushing.push(&lines);
        sent += TOGETHER;
    }
    let end = runtime.block_on(checkpointed).expect("the checkpoint");
    let deadline = Instant::now() + WARM_UP;
    while !followed.lock().expect("not poisoned").is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Pseudo-vectors have no neighbourhoods that a graph could follow: one that is in a graph before it was looked for
    // may stay unseen.
    let unseen = followed.lock().expect("not poisoned").len();
    println!(
        "{unseen} of {} followed changes not seen by both legs",
        sent / TOGETHER / FOLLOWED_SENDS
    );
    stop.store(true, Ordering::Relaxed);
    let fresh = finder.join().expect("the finder");
    let queries = asker.join().expect("the asker");
    let took = sample(&node.app().metrics.encode(), "millpond_checkpoint_seconds_sum");
    let start = end - Duration::from_secs_f64(took);
    figure("recover", "checkpoint of all documents, under load", took, "s");
    let calm = began + WARM_UP..start;
    compare("freshness, both legs", &fresh, &calm, &(start..end));
    compare("hybrid query over HTTP", &queries, &calm, &(start..end));
    node.stop().expect("the node stops");
    last.expect("changes were followed")
}

/// Prints p50 and p99 of what began in each of two times.
fn compare(
    name: &str,
    timed: &[Timed],
    before: &std::ops::Range<Instant>,
    during: &std::ops::Range<Instant>,
) {
    let mut p99 = Vec::new();
    for (when, range) in [("before the checkpoint", before), ("during it", during)] {
        let within = timed.iter().filter(|(began, _)| range.contains(began));
        let mut values: Vec<f64> = within.map(|(_, milliseconds)| *milliseconds).collect();
        println!("{name} {when}: {} measured", values.len());
        figure(
            "recover",
            &format!("{name} {when}, p50"),
            quantile(&mut values, 0.5),
            "ms",
        );
        p99.push(quantile(&mut values, 0.99));
        figure(
            "recover",
            &format!("{name} {when}, p99"),
            quantile(&mut values, 0.99),
            "ms",
        );
    }
    figure(
        "recover",
        &format!("{name}: p99 during, of p99 before"),
        p99[1] / p99[0],
        "times",
    );
}

/// A node in a process of its own; killed when it is let go of.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Seconds from the start of a process on a data directory to its first right answer.
fn restart(dataflow: &Path, data_dir: &Path, change: &Followed, documents: usize) -> f64 {
    let address = free_address();
    let began = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .arg("serve")
        .arg(dataflow)
        .args(["--listen", &address.to_string(), "--data-dir"])
        .arg(data_dir)
        .env("MILLPOND_LOG", "warn")
        .stdin(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut process = Process(child);
    let agent = ureq::Agent::new_with_defaults();
    let get = |path: &str| {
        let mut answer = agent.get(format!("http://{address}{path}")).call().ok()?;
        answer.body_mut().read_to_string().ok()
    };
    let query = serde_json::json!({"query": change.text, "limit": 1}).to_string();
    let url = format!("http://{address}/v1/indexes/bench/search");
    let found = loop {
        assert!(
            process.0.try_wait().is_ok_and(|ended| ended.is_none()),
            "the node runs"
        );
        if let Ok(mut answer) = agent.post(&url).send(&query) {
            break answer.body_mut().read_to_string().expect("a body");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let took = began.elapsed().as_secs_f64();
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["hits"][0]["key"], *change.key, "the right answer");
    assert!(
        found["hits"][0]["keyword"].is_object() && found["hits"][0]["vector"].is_object(),
        "{found}"
    );

    let stats = get("/v1/indexes/bench/stats").expect("stats");
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(
        (&stats["documents"], &stats["vectors"]),
        (&documents.into(), &documents.into()),
        "{stats}"
    );
    let number = |name: &str| stats[name].as_f64().expect("a count");
    figure(
        "recover",
        "restart: texts embedded",
        number("texts_embedded"),
        "texts",
    );
    let corrected = sample(
        &get("/metrics").expect("metrics"),
        "millpond_documents_corrected_total",
    );
    figure("recover", "restart: documents corrected", corrected, "documents");
    kill_process(Pid::from_child(&process.0), Signal::TERM).expect("a process");
    assert!(process.0.wait().expect("its end").success());
    took
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// The value of a metric without labels.
fn sample(metrics: &str, name: &str) -> f64 {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not in the metrics"))
}

/// As many vectors as documents, in a plain file.
fn write_vectors(directory: &Path, documents: usize) -> std::path::PathBuf {
    let (embedder, mut rows) = (HashEmbedder::new(DIMENSIONS), Rows::new(3));
    let mut bytes = Vec::with_capacity(documents * DIMENSIONS * 4);
    for id in 0..documents {
        let text = rows.row(id, "first").1;
        for vector in embedder.embed(&[&text]).expect("vectors") {
            bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    let path = directory.join("vectors.f32");
    std::fs::write(&path, bytes).expect("the plain file");
    path
}

/// Seconds to read them into memory, as numbers.
fn read_vectors(path: &Path) -> f64 {
    let began = Instant::now();
    let bytes = std::fs::read(path).expect("the plain file");
    let (values, _) = bytes.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    black_box(values);
    began.elapsed().as_secs_f64()
}
