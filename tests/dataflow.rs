//! Collapse against a plain map, at every tick: duplicates, reordering, storms, moved keys, several workers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millpond::change::{
    Change, Columns, Datum, Key, Offset, Operation, PartitionId, Row, SourceOrder, TableId, Tick, Version,
};
use millpond::dataflow::collapse::collapse;
use millpond::dataflow::embedders::Threads;
use millpond::dataflow::lane::{Beside, Refused, Texts, backlog};
use millpond::dataflow::latest::{Keep, Latest};
use millpond::dataflow::publish::Publisher;
use millpond::dataflow::worker::{Feeds, Pace, execute, run};
use millpond::dataflow::{Embed, Parts};
use millpond::definition::{self, Definition};
use millpond::embed::{EmbedError, Embedder};
use millpond::index::shard::ShardSettings;
use millpond::index::{Published, Snapshot};
use millpond::intake::{DeadLetters, Intake};
use millpond::metrics::Metrics;
use millpond::replay::Replay;
use millpond::source::http::PushTable;
use millpond::storage::Memory;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::{InputHandle, ProbeHandle};

use crate::shared::Random;

type Table = BTreeMap<Key, Row>;

/// Feeds each tick's changes to the workers in turn; returns the rows after each tick.
fn collapse_ticks(workers: usize, unavailable_values: bool, ticks: Vec<Vec<Change>>) -> Vec<Table> {
    let config = if workers == 1 {
        timely::Config::thread()
    } else {
        timely::Config::process(workers)
    };
    let rows: Arc<Mutex<Table>> = Arc::default();
    let after: Arc<Mutex<Vec<Table>>> = Arc::default();
    let (shown, states) = (rows.clone(), after.clone());
    let barrier = Arc::new(std::sync::Barrier::new(workers));
    timely::execute(config, move |worker| {
        let published = Arc::new(Published::new(Snapshot::empty()));
        let publisher = Arc::new(Publisher::new(published, Metrics::default()));
        let keep = Keep {
            unavailable_values,
            forget_tombstones: false,
        };
        let mut input = InputHandle::new();
        let probe = ProbeHandle::new();
        let shown = shown.clone();
        let differences: Arc<Mutex<Vec<(Key, Row, isize)>>> = Arc::default();
        let collected = differences.clone();
        worker.dataflow::<Tick, _, _>(|scope| {
            collapse(scope.input_from(&mut input), Latest::shared(keep), publisher)
                .inspect(move |((key, row), _, diff)| {
                    collected.lock().unwrap().push((key.clone(), row.clone(), *diff));
                })
                .probe_with(&probe);
        });
        for (number, changes) in ticks.iter().enumerate() {
            let tick = Tick(number as u64 + 1);
            input.advance_to(tick);
            for (place, change) in changes.iter().enumerate() {
                if place % workers == worker.index() {
                    input.send(change.clone());
                }
            }
            input.advance_to(Tick(tick.0 + 1));
            input.flush();
            while probe.less_than(&Tick(tick.0 + 1)) {
                worker.step_or_park(Some(std::time::Duration::from_millis(1)));
            }
            let mut differences = std::mem::take(&mut *differences.lock().unwrap());
            differences.sort_by_key(|(_, _, diff)| *diff);
            let mut rows = shown.lock().unwrap();
            for (key, row, diff) in differences {
                match diff {
                    -1 => assert_eq!(
                        rows.remove(&key),
                        Some(row),
                        "a retraction names the row that is there"
                    ),
                    1 => assert_eq!(rows.insert(key, row), None, "a key has one row"),
                    other => panic!("a difference of {other}"),
                }
            }
            drop(rows);
            if barrier.wait().is_leader() {
                let rows = shown.lock().unwrap().clone();
                states.lock().unwrap().push(rows);
            }
            barrier.wait();
        }
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|worker| worker.unwrap());
    Arc::try_unwrap(after).unwrap().into_inner().unwrap()
}

fn key(id: usize) -> Key {
    Key::new(vec![Datum::Int(id as i64)])
}

fn row(id: usize, price: usize, body: Datum) -> Row {
    let columns = Columns::new(["id", "price", "body"]);
    Row::new(
        columns,
        vec![Datum::Int(id as i64), Datum::Int(price as i64), body],
    )
}

fn version(lsn: u64, partition: u32, offset: u64) -> Version {
    Version {
        source: Some(SourceOrder {
            origin: 7,
            order: (lsn, 0, 0),
        }),
        partition: PartitionId(partition),
        offset: Offset(offset),
    }
}

fn change(key: Key, operation: Operation, version: Version) -> Change {
    Change {
        key,
        operation,
        version,
        moved_from: None,
        committed_ms: None,
    }
}

/// Upserts, deletes and truncates of a small key space with growing versions, then shuffled and in part repeated.
fn shuffled_stream(random: &mut Random) -> Vec<Vec<Change>> {
    let mut changes = Vec::new();
    for lsn in 1..=400 {
        let id = random.below(12);
        let operation = match random.below(100) {
            0..70 => Operation::Upsert(row(id, lsn as usize, Datum::text("text"))),
            70..99 => Operation::Delete,
            _ => Operation::Truncate,
        };
        let key = if operation == Operation::Truncate {
            Key::new(vec![])
        } else {
            key(id)
        };
        changes.push(change(key, operation, version(lsn, random.below(3) as u32, lsn)));
        if random.percent(20) {
            let repeated = changes[random.below(changes.len())].clone();
            changes.push(repeated);
        }
    }
    for place in (1..changes.len()).rev() {
        changes.swap(place, random.below(place + 1));
    }
    let mut ticks = Vec::new();
    while !changes.is_empty() {
        let size = (1 + random.below(30)).min(changes.len());
        ticks.push(changes.drain(..size).collect());
    }
    ticks
}

/// Greatest version wins, by the plainest means: sort everything delivered so far and apply it in order.
fn greatest_versions(delivered: &[Change]) -> Table {
    let mut sorted: Vec<&Change> = delivered.iter().collect();
    sorted.sort_by_key(|change| change.version.source.unwrap().order);
    let mut table = Table::new();
    for change in sorted {
        match &change.operation {
            Operation::Upsert(row) => drop(table.insert(change.key.clone(), row.clone())),
            Operation::Delete => drop(table.remove(&change.key)),
            Operation::Truncate => table.clear(),
        }
    }
    table
}

#[test]
fn the_greatest_version_wins_whatever_the_order_and_the_workers() {
    for seed in Random::seeds(12) {
        for workers in [1, 3] {
            let ticks = shuffled_stream(&mut Random::new(seed));
            let states = collapse_ticks(workers, false, ticks.clone());
            let mut delivered = Vec::new();
            for (number, changes) in ticks.into_iter().enumerate() {
                delivered.extend(changes);
                assert_eq!(
                    states[number],
                    greatest_versions(&delivered),
                    "seed {seed}, {workers} workers, tick {}",
                    number + 1
                );
            }
        }
    }
}

/// A database with one partition of changes: its truth after each, and the change as the stream has it.
fn database(random: &mut Random) -> Vec<(Change, Table)> {
    let mut truth: BTreeMap<usize, (usize, String)> = BTreeMap::new();
    let mut log = Vec::new();
    let mut lsn = 0;
    let push = |change: Change, truth: &BTreeMap<usize, (usize, String)>, log: &mut Vec<(Change, Table)>| {
        let table = truth
            .iter()
            .map(|(id, (price, body))| (key(*id), row(*id, *price, Datum::text(body))))
            .collect();
        log.push((change, table));
    };
    while log.len() < 250 {
        lsn += 1;
        let id = random.below(8);
        let offset = log.len() as u64;
        match (truth.get(&id).cloned(), random.below(10)) {
            (None, _) => {
                truth.insert(id, (lsn, format!("body {lsn}")));
                let operation = Operation::Upsert(row(id, lsn, Datum::text(&format!("body {lsn}"))));
                push(
                    change(key(id), operation, version(lsn as u64, 0, offset)),
                    &truth,
                    &mut log,
                );
            }
            (Some((_, body)), 0..5) => {
                // Unchanged out-of-line values are not sent.
                truth.insert(id, (lsn, body));
                let operation = Operation::Upsert(row(id, lsn, Datum::Unavailable));
                push(
                    change(key(id), operation, version(lsn as u64, 0, offset)),
                    &truth,
                    &mut log,
                );
            }
            (Some(_), 5..7) => {
                truth.remove(&id);
                push(
                    change(key(id), Operation::Delete, version(lsn as u64, 0, offset)),
                    &truth,
                    &mut log,
                );
            }
            (Some((_, body)), _) => {
                let Some(free) = (0..8).find(|other| !truth.contains_key(other)) else {
                    continue;
                };
                truth.remove(&id);
                push(
                    change(key(id), Operation::Delete, version(lsn as u64, 0, offset)),
                    &truth,
                    &mut log,
                );
                truth.insert(free, (lsn, body));
                let operation = Operation::Upsert(row(free, lsn, Datum::Unavailable));
                let mut moved = change(key(free), operation, version(lsn as u64, 0, offset + 1));
                moved.moved_from = Some(key(id));
                push(moved, &truth, &mut log);
            }
        }
    }
    log
}

fn described(change: &Change) -> String {
    let from = change
        .moved_from
        .as_ref()
        .map_or(String::new(), |from| format!(" from {from}"));
    let lsn = change.version.source.unwrap().order.0;
    match &change.operation {
        Operation::Upsert(row) => format!(
            "  {lsn}: {} := {:?}{from}\n",
            change.key,
            row.values().collect::<Vec<_>>()
        ),
        other => format!("  {lsn}: {} {other:?}\n", change.key),
    }
}

#[test]
fn unavailable_values_follow_their_row_also_over_moves_and_redelivery() {
    for seed in Random::seeds(60) {
        for workers in [1, 3] {
            let random = &mut Random::new(seed);
            let log = database(random);
            // Read on, now and then going back to what has been delivered already, as after a crash.
            let mut ticks = Vec::new();
            let (mut next, mut furthest, mut expected) = (0, 0, Vec::new());
            while next < log.len() {
                if random.percent(15) {
                    next -= random.below(next.min(40) + 1);
                }
                let end = (next + 1 + random.below(15)).min(log.len());
                ticks.push(
                    log[next..end]
                        .iter()
                        .map(|(change, _)| change.clone())
                        .collect::<Vec<_>>(),
                );
                next = end;
                furthest = furthest.max(end);
                expected.push(log[furthest - 1].1.clone());
            }
            let delivered = ticks.clone();
            let states = collapse_ticks(workers, true, ticks);
            for (number, (state, expected)) in states.iter().zip(&expected).enumerate() {
                assert_eq!(
                    state,
                    expected,
                    "seed {seed}, {workers} workers, tick {}, which brought\n{}",
                    number + 1,
                    delivered[number].iter().map(described).collect::<String>()
                );
            }
        }
    }
}

#[test]
fn keys_that_are_swapped_in_one_tick_keep_their_values() {
    // a -> spare, b -> a, spare -> b, none of them with its body.
    let (a, b, spare) = (1, 2, 9);
    let insert = |id: usize, lsn| {
        let body = Datum::text(&format!("body of {id}"));
        change(key(id), Operation::Upsert(row(id, 1, body)), version(lsn, 0, lsn))
    };
    let mut lsn = 2;
    let mut swap = Vec::new();
    for (from, to) in [(a, spare), (b, a), (spare, b)] {
        lsn += 1;
        swap.push(change(key(from), Operation::Delete, version(lsn, 0, 2 * lsn)));
        let mut moved = change(
            key(to),
            Operation::Upsert(row(to, 2, Datum::Unavailable)),
            version(lsn, 0, 2 * lsn + 1),
        );
        moved.moved_from = Some(key(from));
        swap.push(moved);
    }
    for workers in [1, 3] {
        let states = collapse_ticks(
            workers,
            true,
            vec![vec![insert(a, 1), insert(b, 2)], swap.clone()],
        );
        let expected = Table::from([
            (key(a), row(a, 2, Datum::text("body of 2"))),
            (key(b), row(b, 2, Datum::text("body of 1"))),
        ]);
        assert_eq!(states[1], expected, "{workers} workers");
    }
}

/// An index of notes whose texts go through an embedder of the test.
fn notes() -> Arc<Definition> {
    let toml = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = { text = {} }
embed = "{text}"
"#;
    Arc::new(definition::parse(toml, "notes", Path::new(".")).unwrap_or_else(|faults| panic!("{faults}")))
}

/// Does what a test says, after counting the call.
struct Scripted {
    calls: AtomicUsize,
    embed: fn(usize, &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>,
}

impl Scripted {
    fn new(embed: fn(usize, &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>) -> Arc<Scripted> {
        Arc::new(Scripted {
            calls: AtomicUsize::new(0),
            embed,
        })
    }
}

impl Embedder for Scripted {
    fn model(&self) -> &str {
        "scripted"
    }

    fn dimensions(&self) -> usize {
        2
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        (self.embed)(self.calls.fetch_add(1, Ordering::Relaxed), texts)
    }
}

fn ones(texts: &[&str]) -> Vec<Vec<f32>> {
    texts.iter().map(|_| vec![1.0, 1.0]).collect()
}

fn note(id: usize) -> String {
    format!(r#"{{"id":{id},"text":"note {id}"}}"#)
}

#[test]
fn a_replay_waits_for_an_embedder_that_asks_to_try_again() {
    let embedder = Scripted::new(|call, texts| match call {
        0 | 1 => Err(EmbedError {
            model: "scripted".into(),
            reason: "busy".into(),
            retry: true,
        }),
        _ => Ok(ones(texts)),
    });
    let mut replay = Replay::new(notes(), vec![Some(embedder)], DeadLetters::discard());
    replay.feed_values(TableId(0), 0, &[note(1).as_bytes(), note(2).as_bytes()]);
    replay.tick();
    let snapshot = replay.snapshot();
    assert_eq!((snapshot.vectors(), snapshot.vectors_pending()), (2, 0));
}

#[test]
fn an_embedder_that_breaks_its_contract_costs_only_its_vectors() {
    let embedder = Scripted::new(|_, texts| match texts {
        _ if texts.contains(&"note 1") => panic!("a text that the model cannot take"),
        _ if texts.contains(&"note 2") => Ok(Vec::new()),
        _ => {
            let vector = |text: &&str| match *text {
                "note 3" => vec![f32::NAN; 2],
                "note 4" => vec![1.0; 7],
                _ => vec![1.0, 1.0],
            };
            Ok(texts.iter().map(vector).collect())
        }
    });
    let mut replay = Replay::new(notes(), vec![Some(embedder)], DeadLetters::discard());
    let lines: Vec<String> = (0..9).map(note).collect();
    let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    replay.feed_values(TableId(0), 0, &lines);
    replay.tick();
    let snapshot = replay.snapshot();
    assert_eq!(snapshot.documents(), 9);
    assert_eq!(snapshot.vectors_pending(), 0);
    assert_eq!(snapshot.vectors(), 5, "the others have theirs");
}

/// Workers as a node has them, but with an embedder of the test.
pub struct Workers {
    pub published: Arc<Published>,
    pub intake: Arc<Intake>,
    pace: Arc<Pace>,
    push: Arc<PushTable>,
    thread: std::thread::JoinHandle<Result<(), String>>,
}

impl Workers {
    fn start(count: usize, embedder: Arc<dyn Embedder>, answers_max: usize, batch: usize) -> Workers {
        Workers::of(notes(), count, embedder, answers_max, batch)
    }

    pub fn of(
        definition: Arc<Definition>,
        count: usize,
        embedder: Arc<dyn Embedder>,
        answers_max: usize,
        batch: usize,
    ) -> Workers {
        let field = &definition.index.as_ref().unwrap().vectors[0];
        let texts = Texts::new(field, &*embedder).expect("notes are embedded");
        let published = Arc::new(Published::new(Snapshot::empty()));
        let metrics = Metrics::default();
        let publisher = Arc::new(Publisher::new(published.clone(), metrics.clone()));
        let pace = Arc::new(Pace::default());
        let waking = pace.clone();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || waking.wake());
        let (intake, batches) = Intake::new(
            definition.clone(),
            DeadLetters::discard(),
            metrics.clone(),
            wake.clone(),
        );
        let (requests, taking) = backlog();
        let (answers, answered) = crossbeam_channel::bounded(answers_max);
        let threads = Threads {
            embedder: embedder.clone(),
            texts,
            refused: Refused::default(),
            requests: taking,
            batch,
            answers,
            wake: wake.clone(),
        };
        threads.start(1).unwrap();
        let storage = Arc::new(Memory::new());
        let push = PushTable::open(storage, "notes", &*intake.receivers(TableId(0))).unwrap();
        let feeds = Feeds {
            intake: intake.clone(),
            batches,
            answers: answered,
            ready: Arc::default(),
            metrics,
            orders: Arc::default(),
            cuts: None,
        };
        let paced = pace.clone();
        let thread = std::thread::spawn(move || {
            execute(count, move |worker| {
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
        Workers {
            published,
            intake,
            pace,
            push,
            thread,
        }
    }

    /// The first snapshot that satisfies a condition, within 20 s.
    pub fn wait_for(&self, condition: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let snapshot = self.published.snapshot();
            if condition(&snapshot) {
                return snapshot;
            }
            assert!(
                Instant::now() < deadline,
                "tick {}: {} documents, {} vectors, {} pending, {} unbuilt",
                snapshot.tick,
                snapshot.documents(),
                snapshot.vectors(),
                snapshot.vectors_pending(),
                snapshot.vectors_unbuilt()
            );
            std::thread::yield_now();
        }
    }

    pub fn stop(self) {
        self.pace.stop();
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn every_worker_gets_its_texts_embedded_though_they_share_a_short_queue() {
    let embedder = Scripted::new(|_, texts| Ok(ones(texts)));
    let workers = Workers::start(3, embedder, 1, 1);
    let lines: Vec<String> = (0..120).map(note).collect();
    workers.push.push(lines.join("\n").as_bytes(), None).unwrap();
    let snapshot =
        workers.wait_for(|snapshot| snapshot.documents() == 120 && snapshot.vectors_pending() == 0);
    assert_eq!(snapshot.vectors(), 120);
    workers.stop();
}

#[test]
fn graphs_of_all_workers_enter_though_nothing_else_happens() {
    let embedder = Scripted::new(|call, texts| {
        let vector = |place: usize| vec![(call * 1000 + place) as f32, 1.0];
        Ok((0..texts.len()).map(vector).collect())
    });
    let workers = Workers::start(2, embedder, 8, 1000);
    // Of 4,096 vectors a graph is due; both workers have more.
    let lines: Vec<String> = (0..10_000).map(note).collect();
    workers.push.push(lines.join("\n").as_bytes(), None).unwrap();
    workers.wait_for(|snapshot| {
        snapshot.documents() == 10_000 && snapshot.vectors() == 10_000 && snapshot.vectors_unbuilt() == 0
    });
    workers.stop();
}

/// Our own mistakes, in the second worker.
struct Broken;

impl Embedder for Broken {
    fn model(&self) -> &str {
        "broken"
    }

    fn dimensions(&self) -> usize {
        assert_ne!(
            std::thread::current().name(),
            Some("timely:work-1"),
            "broken on purpose"
        );
        2
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(ones(texts))
    }
}

#[test]
fn all_workers_end_when_one_panics() {
    let workers = Workers::start(3, Arc::new(Broken), 8, 8);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !workers.thread.is_finished() {
        assert!(Instant::now() < deadline, "the others go on without it");
        std::thread::yield_now();
    }
    let error = workers.thread.join().unwrap().unwrap_err();
    assert!(error.contains("broken on purpose"), "{error}");
}
