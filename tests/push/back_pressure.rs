//! Many times the sustainable rate over HTTP push: memory is bounded, who pushes waits, queries go on, nothing is lost.
//!
//! The bound: the queue (64 MiB at a node, less here), a tick of at most 32 MiB, one body a client, and what the kept
//! rows take. The log is on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millpond::change::{Offset, PartitionId, TableId};
use millpond::checkpoint::snapshots::Snapshots;
use millpond::dataflow::embedders::Threads;
use millpond::dataflow::lane::{Beside, Refused, Texts, backlog};
use millpond::dataflow::publish::Publisher;
use millpond::dataflow::worker::{Feeds, Pace, execute, run};
use millpond::dataflow::{Embed, Parts};
use millpond::decode::Message;
use millpond::definition::{self, Definition};
use millpond::embed::{EmbedError, Embedder};
use millpond::index::shard::ShardSettings;
use millpond::index::{Published, Snapshot};
use millpond::intake::{DeadLetters, Intake, QUEUE_BYTES_MAX};
use millpond::metrics::Metrics;
use millpond::query::{Mode, SearchRequest, Searcher};
use millpond::server::{App, serve};
use millpond::source::http::PushTable;
use millpond::storage::Disk;

use crate::binary::{PATIENCE, sample};
use crate::sources::eventually;

const DATAFLOW: &str = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text, turn FROM notes"
key = "id"
text = { text = {} }
fields = { turn = "i64" }
embed = "{text}"
"#;

/// Embeds inside the tick, and sleeps: so fast, and no faster, can rows come for ever.
struct Sleeping;

/// For each text.
const SLEEP: Duration = Duration::from_micros(500);

impl Embedder for Sleeping {
    fn model(&self) -> &str {
        "sleeping"
    }

    fn dimensions(&self) -> usize {
        2
    }

    fn is_fast(&self) -> bool {
        true
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        std::thread::sleep(SLEEP * texts.len() as u32);
        Ok(texts.iter().map(|text| vec![text.len() as f32, 1.0]).collect())
    }
}

/// A node as it serves, but with the embedder and the queue of the test.
struct Behind {
    app: Arc<App>,
    intake: Arc<Intake>,
    pace: Arc<Pace>,
    url: String,
    workers: std::thread::JoinHandle<Result<(), String>>,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Behind {
    fn start(queue_bytes: usize) -> Behind {
        let definition: Arc<Definition> =
            Arc::new(definition::parse(DATAFLOW, "notes", Path::new(".")).unwrap());
        let field = &definition.index.as_ref().unwrap().vectors[0];
        let embedder: Arc<dyn Embedder> = Arc::new(Sleeping);
        let texts = Texts::new(field, &*embedder).expect("notes are embedded");
        let published = Arc::new(Published::new(Snapshot::empty()));
        let metrics = Metrics::default();
        let pace = Arc::new(Pace::default());
        let waking = pace.clone();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || waking.wake());
        let (intake, batches) = Intake::with_queue(
            definition.clone(),
            DeadLetters::discard(),
            metrics.clone(),
            wake.clone(),
            queue_bytes,
        );
        let (requests, taking) = backlog();
        let (answers, answered) = crossbeam_channel::bounded(4);
        let threads = Threads {
            embedder: embedder.clone(),
            texts,
            requests: taking,
            batch: 64,
            answers,
            refused: Refused::default(),
            wake: wake.clone(),
        };
        threads.start(1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(Disk::new(folder.path()));
        let pushes = PushTable::open(storage, "notes", &*intake.receivers(TableId(0))).unwrap();
        let app = Arc::new(App {
            searcher: Some(Searcher::new(
                definition.clone(),
                published.clone(),
                vec![Some(embedder.clone())],
            )),
            published: published.clone(),
            pushes: BTreeMap::from([("notes".to_owned(), pushes)]).into(),
            sources: Vec::new(),
            metrics: metrics.clone(),
            ready: Arc::new(AtomicBool::new(false)),
            caught_up: AtomicBool::new(false),
            intake: intake.clone(),
            durable: Arc::default(),
            upgrades: Default::default(),
            snapshots: Snapshots::new(Arc::new(Disk::new(folder.path()))),
            before: Default::default(),
            definition: definition.clone(),
        });
        let feeds = Feeds {
            intake: intake.clone(),
            batches,
            answers: answered,
            ready: app.ready.clone(),
            metrics: metrics.clone(),
            orders: Arc::default(),
            cuts: None,
        };
        let publisher = Arc::new(Publisher::new(published, metrics));
        let paced = pace.clone();
        let workers = std::thread::spawn(move || {
            execute(1, move |worker| {
                let parts = Parts {
                    definition: definition.clone(),
                    embedding: vec![Some(Embed {
                        embedder: embedder.clone(),
                        beside: Beside::Threads(requests.clone()),
                        refused: Refused::default(),
                    })],
                    shard: ShardSettings {
                        repeatable: false,
                        wake: wake.clone(),
                        folder: None,
                    },
                    publisher: publisher.clone(),
                    resume: None,
                    watched: Vec::new(),
                };
                run(worker, parts, &paced, &feeds);
            })
        });
        eventually("the workers are ready", || app.ready.load(Ordering::Acquire));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(serve(listener, app.clone(), std::future::pending()));
        Behind {
            app,
            intake,
            pace,
            url,
            workers,
            _runtime: runtime,
            _folder: folder,
        }
    }

    fn metric(&self, name: &str) -> f64 {
        sample(&self.app.metrics.encode(), name)
    }

    /// Pushes turns of all keys of a client while `goes_on`; says how many turns were taken, and how many refused.
    fn push(&self, client: usize, goes_on: impl Fn(usize) -> bool) -> (usize, usize) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let url = format!("{}/v1/tables/notes/changes", self.url);
        let (mut turn, mut refused) = (0, 0);
        while goes_on(turn) {
            let lines: Vec<String> = (0..KEYS).map(|key| line(client * KEYS + key, turn)).collect();
            let body = lines.join("\n");
            loop {
                let answer = agent.post(&url).send(&body).unwrap();
                match answer.status().as_u16() {
                    202 => break,
                    429 => {
                        assert_eq!(answer.headers()["retry-after"], "1");
                        refused += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    status => panic!("{status}"),
                }
            }
            turn += 1;
        }
        (turn, refused)
    }

    fn stop(self) {
        self.pace.stop();
        self.workers.join().unwrap().unwrap();
    }
}

/// Keys of one client: a turn is one push of all of them.
const KEYS: usize = 100;
const CLIENTS: usize = 4;

/// Each turn changes the text, so each has to be embedded unless a later one comes first.
fn line(id: usize, turn: usize) -> String {
    format!(r#"{{"id":{id},"text":"note {id} in turn {turn}","turn":{turn}}}"#)
}

/// Pushes at the rate of the loopback for as long as `goes_on`, by turn and time.
fn overload(queue_bytes: usize, goes_on: impl Fn(usize, Duration) -> bool + Sync) {
    let node = Behind::start(queue_bytes);
    let searcher = node.app.searcher.clone().unwrap();
    let (began, is_over) = (Instant::now(), AtomicBool::new(false));
    let (taken, messages) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (node, goes_on) = (&node, &goes_on);
                scope.spawn(move || node.push(client, |turn| goes_on(turn, began.elapsed())))
            })
            .collect();
        // A source of the other kind: it waits for room instead of being refused.
        let receivers = node.intake.receivers(TableId(0));
        let is_over = &is_over;
        let reading = scope.spawn(move || {
            let mut partition = receivers.partition("read");
            let value = line(1_000_000, 0).into_bytes();
            let mut messages = 0;
            while !is_over.load(Ordering::Relaxed) {
                let batch: Vec<Message<'_>> = (messages..messages + 50)
                    .map(|offset| message(partition.id, offset, &value))
                    .collect();
                partition.receiver.receive(&batch).unwrap();
                messages += 50;
            }
            messages
        });
        let asking = scope.spawn(move || {
            let mut answered = 0;
            while !is_over.load(Ordering::Relaxed) {
                let request = SearchRequest {
                    query: Some("note".to_owned()),
                    mode: Mode::Keyword,
                    limit: 5,
                    ..SearchRequest::default()
                };
                searcher.search(&request).unwrap();
                answered += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            answered
        });
        while !clients.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let queued = node.metric("millpond_queue_intake_bytes");
            assert!(queued <= queue_bytes as f64, "{queued} bytes are queued");
            std::thread::sleep(Duration::from_millis(1));
        }
        let taken: Vec<(usize, usize)> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        let messages = reading.join().unwrap();
        assert!(asking.join().unwrap() > 10, "queries are answered meanwhile");
        (taken, messages)
    });
    let took = began.elapsed();

    let turns: usize = taken.iter().map(|(turns, _)| turns).sum();
    let refused: usize = taken.iter().map(|(_, refused)| refused).sum();
    let (lines, sustainable) = ((turns * KEYS) as f64, took.as_secs_f64() / SLEEP.as_secs_f64());
    println!(
        "{lines} lines in {took:.1?}, {refused} pushes refused; {sustainable} could be embedded one by one; the reader waited {} s",
        node.metric("millpond_intake_wait_seconds_total")
    );
    assert!(refused > 0, "the node was never behind");
    assert_eq!(node.metric("millpond_push_rejected_total"), refused as f64);
    assert!(node.metric("millpond_intake_wait_seconds_total") > 0.0);

    eventually("everything taken is read", || {
        let positions = node.app.published.snapshot().positions.clone();
        positions.get("notes/0") == Some(&((turns * KEYS) as u64 - 1))
            && positions.get("notes/read") == Some(&(messages - 1))
    });
    let snapshot = node.app.published.snapshot();
    assert_eq!(snapshot.documents(), CLIENTS * KEYS + 1);
    eventually("everything is embedded", || {
        node.app.published.snapshot().vectors_pending() == 0
    });
    let searcher = node.app.searcher.as_ref().unwrap();
    for (client, (turns, _)) in taken.iter().enumerate() {
        for key in client * KEYS..(client + 1) * KEYS {
            let answer = searcher.document(&key.to_string()).unwrap();
            let document = serde_json::to_value(answer.document).unwrap();
            assert_eq!(document["turn"], turns - 1, "the last row of {key}");
        }
    }
    node.stop();
}

fn message(partition: PartitionId, offset: u64, value: &[u8]) -> Message<'_> {
    Message {
        topic: "",
        partition,
        offset: Offset(offset),
        key: None,
        value: Some(value),
        headers: &[],
        timestamp_ms: None,
    }
}

#[test]
fn a_node_that_is_behind_makes_all_wait_and_loses_nothing() {
    overload(64 << 10, |turn, _| turn < 60);
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Alone in its process, since it measures that: `cargo test a_minute -- --ignored --nocapture`.
#[test]
#[ignore = "takes more than a minute, and measures the memory of its process"]
fn a_minute_at_ten_times_the_sustainable_rate_takes_no_more_memory() {
    let before = resident_bytes();
    overload(QUEUE_BYTES_MAX, |_, elapsed| elapsed < Duration::from_secs(60));
    let grown = resident_bytes().saturating_sub(before);
    println!("{} MiB more memory", grown >> 20);
    assert!(grown < 512 << 20, "{} MiB more memory", grown >> 20);
}
