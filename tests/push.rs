//! The log of pushes: what is acknowledged survives, retries are taken once, and a node that is behind takes nothing.

mod back_pressure;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use millpond::change::Offset;
use millpond::definition;
use millpond::node::{Node, ServeOptions};
use millpond::source::http::{IdempotencyKey, NotSynced, PushError, PushTable, Pushed};
use millpond::source::{NotTaken, Status};
use millpond::storage::{Fault, File, Memory, Storage};
use tokio::runtime::Runtime;

use crate::shared::Random;
use crate::sources::{Recorder, eventually};

const SEGMENT_BYTES: u64 = 400;

/// A table on a storage, and what it has handed on since.
struct Table {
    pushes: Arc<PushTable>,
    recorder: Recorder,
    runtime: Runtime,
}

impl Table {
    fn open(storage: &Memory, resume_after: Option<u64>) -> Table {
        let table = Table::opening(storage, resume_after);
        table.pushes.start(Status::default()).unwrap().join();
        table
    }

    /// Before its log is replayed.
    fn opening(storage: &Memory, resume_after: Option<u64>) -> Table {
        let resume = resume_after.map(|position| ("0".to_owned(), position));
        let recorder = Recorder::resumed(&resume.into_iter().collect());
        let storage = Arc::new(storage.clone());
        Table {
            pushes: PushTable::with_segments(storage, "t", &recorder, SEGMENT_BYTES).unwrap(),
            recorder,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        }
    }

    fn push(&self, body: &str) -> Result<Pushed, PushError> {
        self.pushes.push(body.as_bytes(), None)
    }

    fn push_once(&self, key: &str, body: &str) -> Result<Pushed, PushError> {
        let key = IdempotencyKey::new(key.as_bytes()).unwrap();
        self.pushes.push(body.as_bytes(), Some(&key))
    }

    fn durable(&self, position: u64) -> Result<(), NotSynced> {
        self.runtime.block_on(self.pushes.durable(Offset(position)))
    }

    /// Offset and text of what was handed on.
    fn handed_on(&self) -> Vec<(u64, String)> {
        let messages = self.recorder.messages("0");
        let line = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap()).unwrap();
        messages
            .into_iter()
            .map(|message| (message.offset, line(message.value)))
            .collect()
    }
}

fn at(position: u64) -> Option<Offset> {
    Some(Offset(position))
}

/// The segments of the table `t`.
fn segments(storage: &Memory) -> Vec<String> {
    let mut paths = storage.paths();
    paths.retain(|path| path.ends_with(".log"));
    paths
}

#[test]
fn a_start_replays_the_log_before_it_takes_pushes() {
    let storage = Memory::new();
    let table = Table::open(&storage, None);
    table.push("a\n\nb\n").unwrap();
    table.push_once("key", "c").unwrap();
    drop(table);

    let table = Table::opening(&storage, None);
    assert!(matches!(table.push("d"), Err(PushError::Starting)));
    assert_eq!(table.recorder.count(), 0);
    let status = Status::default();
    table.pushes.start(status.clone()).unwrap().join();
    assert_eq!(status.state().lag["0"], 0);
    let all = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(table.handed_on(), (0..).zip(all).collect::<Vec<_>>());
    assert_eq!(table.push("d").unwrap().position, at(3));
    drop(table);

    let table = Table::open(&storage, Some(1));
    assert_eq!(table.handed_on(), [(2, "c".into()), (3, "d".into())]);
    drop(table);
    let table = Table::opening(&storage, Some(3));
    assert_eq!(
        table.push("e").unwrap().position,
        at(4),
        "nothing is to be replayed"
    );
    drop(table);
    let table = Table::opening(&storage, Some(70));
    assert_eq!(
        table.push("f").unwrap().position,
        at(71),
        "positions are never given twice"
    );
    drop(table);
    let table = Table::open(&storage, Some(70));
    assert_eq!(
        (table.handed_on(), table.pushes.lost()),
        (vec![(71, "f".into())], 0)
    );
}

#[test]
fn a_replay_that_the_node_ends_takes_no_pushes() {
    let storage = Memory::new();
    Table::open(&storage, None).push("a").unwrap();
    let table = Table::opening(&storage, None);
    table.recorder.lock().answer = Some(Err(NotTaken::Closed));
    table.pushes.start(Status::default()).unwrap().join();
    assert!(matches!(table.push("b"), Err(PushError::Starting)));
}

#[test]
fn what_is_not_taken_is_not_in_the_log() {
    let storage = Memory::new();
    let table = Table::open(&storage, None);
    table.recorder.lock().answer = Some(Err(NotTaken::Full));
    let refused = table.push_once("key", "a");
    assert!(
        matches!(refused, Err(PushError::NotTaken(NotTaken::Full))),
        "{refused:?}"
    );
    assert_eq!(segments(&storage), [] as [&str; 0]);
    table.recorder.lock().answer = None;
    assert_eq!(
        table.push_once("key", "b").unwrap().position,
        at(0),
        "the key is not used up"
    );
}

#[test]
fn a_disk_that_fails_a_write_takes_nothing_and_the_next_push_has_the_offset() {
    for fault in [
        Fault::DiskFull { after_bytes: 0 },
        Fault::DiskFull { after_bytes: 30 },
        Fault::DiskFull { after_bytes: 46 },
        Fault::FailedWrite { nth: 0 },
        Fault::FailedWrite { nth: 1 },
    ] {
        for before in [0, 1, 3] {
            let storage = Memory::new();
            let table = Table::open(&storage, None);
            for _ in 0..before {
                table.push("before").unwrap();
            }
            storage.inject(fault);
            let refused = table.push_once("key", "a\nb");
            assert!(
                matches!(refused, Err(PushError::Log(_))),
                "{fault:?}: {refused:?}"
            );
            storage.heal();
            assert_eq!(table.push_once("key", "c").unwrap().position, at(before));
            assert_eq!(table.durable(before), Ok(()));
            let mut expected = vec!["before".to_owned(); before as usize];
            expected.push("c".into());
            let expected: Vec<_> = (0..).zip(expected).collect();
            assert_eq!(table.handed_on(), expected);
            drop(table);
            for seed in 0..4 {
                let again = Table::open(&storage.crash(seed), None);
                assert_eq!(
                    (again.handed_on(), again.pushes.lost()),
                    (expected.clone(), 0),
                    "{fault:?}"
                );
            }
        }
    }
}

#[test]
fn a_short_write_is_completed() {
    for nth in 0..2 {
        let storage = Memory::new();
        let table = Table::open(&storage, None);
        storage.inject(Fault::ShortWrite { nth });
        table.push("a long line").unwrap();
        drop(table);
        assert_eq!(
            Table::open(&storage, None).handed_on(),
            [(0, "a long line".into())]
        );
    }
}

#[test]
fn a_retry_gets_the_first_answer_and_is_taken_once_also_after_a_restart() {
    let storage = Memory::new();
    let mut table = Table::open(&storage, None);
    let first = table.push_once("one", "a\nb").unwrap();
    assert_eq!((first.accepted, first.position), (2, at(1)));
    table.push("c").unwrap();
    for restarts in 0..3 {
        assert_eq!(table.push_once("one", "a\nb").unwrap(), first, "{restarts}");
        let other = table.push_once("one", "a\nc");
        assert!(matches!(other, Err(PushError::OtherBody)), "{other:?}");
        assert_eq!(table.durable(1), Ok(()));
        assert_eq!(table.recorder.count(), 3);
        drop(table);
        table = Table::open(&storage.crash(restarts), None);
    }
}

#[test]
fn a_retry_while_the_first_is_under_way_is_taken_once() {
    let storage = Memory::new();
    let table = Table::open(&storage, None);
    let answers: Vec<Pushed> = std::thread::scope(|scope| {
        let pushing: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| table.push_once("one", "a\nb").unwrap()))
            .collect();
        pushing.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(table.recorder.count(), 2);
}

#[test]
fn a_checkpoint_cuts_whole_segments_and_keys_are_carried_over() {
    let storage = Memory::new();
    let table = Table::open(&storage, None);
    let body = "x".repeat(100);
    let answers: Vec<Pushed> = (0..40)
        .map(|number| table.push_once(&format!("key{number}"), &body).unwrap())
        .collect();
    let (before, bytes) = (segments(&storage), table.pushes.log_bytes());
    assert!(before.len() > 5, "{before:?}");
    table.pushes.checkpointed(Offset(0));
    assert_eq!(segments(&storage), before, "no segment ends there");
    table.pushes.checkpointed(Offset(20));
    let after = segments(&storage);
    assert!(
        before.ends_with(&after) && after.len() < before.len(),
        "{after:?}"
    );
    assert!(table.pushes.log_bytes() < bytes);
    drop(table);

    for (seed, resume) in (0..).zip([20, 20, 39]) {
        let table = Table::open(&storage.crash(seed), Some(resume));
        assert_eq!(table.pushes.lost(), 0);
        let offsets: Vec<u64> = table.handed_on().iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (resume + 1..40).collect::<Vec<_>>());
        for (number, answer) in answers.iter().enumerate() {
            let retry = table.push_once(&format!("key{number}"), &body).unwrap();
            assert_eq!(retry, *answer, "key{number}");
        }
    }

    // Who goes on before the cut has lost something, and is told.
    let table = Table::open(&storage, None);
    let first = table.handed_on()[0].0;
    assert!(first > 0 && first <= 21, "{first}");
    assert_eq!(table.pushes.lost(), first);
}

#[test]
fn a_cut_at_any_position_leaves_all_that_follows() {
    const LINES: u64 = 16;
    for position in 0..LINES {
        let storage = Memory::new();
        let table = Table::open(&storage, None);
        for _ in 0..LINES {
            table.push(&"x".repeat(100)).unwrap();
        }
        let before = segments(&storage).len();
        table.pushes.checkpointed(Offset(position));
        assert!(before > 4 && (position < LINES / 2 || segments(&storage).len() < before));
        drop(table);
        let table = Table::open(&storage.crash(position), Some(position));
        assert_eq!(table.pushes.lost(), 0, "cut at {position}");
        let offsets: Vec<u64> = table.handed_on().iter().map(|(offset, _)| *offset).collect();
        assert_eq!(
            offsets,
            (position + 1..LINES).collect::<Vec<_>>(),
            "cut at {position}"
        );
    }
}

#[test]
fn a_checkpoint_beyond_the_log_makes_nothing_durable_that_comes_later() {
    for seed in 0..8 {
        let storage = Memory::new();
        let table = Table::open(&storage, None);
        table.push("a").unwrap();
        table.pushes.checkpointed(Offset(70));
        table.push("b").unwrap();
        assert_eq!(table.durable(1), Ok(()));
        assert_eq!(
            Table::open(&storage.crash(seed), Some(0)).handed_on(),
            [(1, "b".into())]
        );
    }
}

#[test]
fn what_a_killed_process_never_synced_is_durable_when_the_next_one_says_so() {
    for seed in 0..8 {
        let storage = Memory::new();
        let killed = Table::open(&storage, None);
        killed.push("a").unwrap();
        // It syncs no more, not even at its end.
        std::mem::forget(killed);
        let table = Table::open(&storage, None);
        assert_eq!(table.durable(0), Ok(()));
        let after_a_power_cut = Table::open(&storage.crash(seed), None);
        assert_eq!(after_a_power_cut.handed_on(), [(0, "a".into())], "seed {seed}");
    }
}

#[test]
fn damage_costs_the_lines_it_hits_and_they_are_counted() {
    let storage = Memory::new();
    let table = Table::open(&storage, None);
    let all: Vec<String> = (0..40)
        .map(|number| format!("{number} {}", "x".repeat(60)))
        .collect();
    for pair in all.chunks(2) {
        table.push(&pair.join("\n")).unwrap();
    }
    drop(table);
    let all: Vec<(u64, String)> = (0..).zip(all).collect();
    let paths = segments(&storage);
    assert!(paths.len() > 4, "{paths:?}");
    for (place, path) in paths.iter().enumerate() {
        let length = storage.read(path).unwrap().len() as u64;
        for bit in (0..length * 8).step_by(77) {
            let damaged = storage.crash(0);
            assert!(damaged.flip_bit(path, bit));
            let table = Table::open(&damaged, None);
            let (found, lost) = (table.handed_on(), table.pushes.lost());
            // The last frame may as well have been torn by a crash.
            let is_tail = place + 1 == paths.len() && bit >= (length - 172) * 8;
            let (expected, next) = if is_tail { (0, 38) } else { (2, 40) };
            assert_eq!((found.len(), lost), (38, expected), "{path}, bit {bit}");
            assert!(found.iter().all(|line| all.contains(line)), "{path}, bit {bit}");
            assert_eq!(table.push("new").unwrap().position, at(next));
        }
    }

    // A whole segment that is gone.
    let first_of = |path: &str| path["push/t/".len()..path.len() - 4].parse::<u64>().unwrap();
    let gone = storage.crash(0);
    gone.remove(&paths[1]).unwrap();
    let lost = first_of(&paths[2]) - first_of(&paths[1]);
    assert_eq!(Table::open(&gone, None).pushes.lost(), lost);
    let behind = Table::open(&gone, Some(first_of(&paths[2]) - 1));
    assert_eq!(behind.pushes.lost(), 0, "a checkpoint has them");

    storage
        .create("push/t/keys")
        .unwrap()
        .write_all(b"damaged")
        .unwrap();
    assert_eq!(Table::open(&storage, None).handed_on(), all);
}

#[test]
fn what_a_failed_sync_was_for_is_written_again() {
    for (before, nth) in [0, 1, 6]
        .into_iter()
        .flat_map(|before| (0..5).map(move |nth| (before, nth)))
    {
        let storage = Memory::new();
        let table = Table::open(&storage, None);
        for _ in 0..before {
            table.push(&"x".repeat(90)).unwrap();
        }
        let first = table.push_once("one", "a").unwrap();
        let position = first.position.unwrap().0;
        table.push("b").unwrap();
        storage.inject(Fault::FailedSync { nth });
        assert_eq!(table.durable(position + 1), Ok(()));
        assert_eq!(table.push_once("one", "a").unwrap(), first);
        assert_eq!(table.push("c").unwrap().position, at(position + 2));
        assert_eq!(table.durable(position + 2), Ok(()));
        let expected = table.handed_on();
        for seed in 0..20 {
            let again = Table::open(&storage.crash(seed), None);
            let what = format!("{before} before, sync {nth}, seed {seed}");
            assert_eq!(
                (again.handed_on(), again.pushes.lost()),
                (expected.clone(), 0),
                "{what}"
            );
        }
    }
}

#[test]
fn a_log_that_cannot_be_synced_takes_nothing_until_it_can() {
    let storage = Memory::new();
    let table = Table::open(&storage, None);
    table.push("a").unwrap();
    for nth in 0..6 {
        storage.inject(Fault::FailedSync { nth });
    }
    assert_eq!(table.durable(0), Err(NotSynced));
    // The syncer and this push may both have tried to write it again.
    let mut refused = 0;
    while let Err(error) = table.push("b") {
        assert!(matches!(error, PushError::Log(_)), "{error:?}");
        refused += 1;
        assert!(refused < 10);
    }
    assert!(refused > 0);
    eventually("the last frame is durable", || table.durable(1).is_ok());
    for seed in 0..8 {
        let again = Table::open(&storage.crash(seed), None);
        assert_eq!(again.handed_on(), [(0, "a".into()), (1, "b".into())]);
    }
}

/// A storage whose syncs of files wait until they are let through, and are counted.
#[derive(Clone, Default)]
struct Gated(Memory, Arc<(Mutex<Gate>, Condvar)>);

#[derive(Default)]
struct Gate {
    begun: usize,
    allowed: usize,
}

struct GatedFile(Box<dyn File>, Arc<(Mutex<Gate>, Condvar)>);

impl io::Write for GatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl File for GatedFile {
    fn sync(&mut self) -> io::Result<()> {
        let (gate, opened) = &*self.1;
        let mut state = gate.lock().unwrap();
        state.begun += 1;
        let number = state.begun;
        let is_shut = |state: &mut Gate| state.allowed < number;
        drop(opened.wait_while(state, is_shut).unwrap());
        self.0.sync()
    }
}

impl Gated {
    fn begun(&self) -> usize {
        self.1.0.lock().unwrap().begun
    }

    fn allow(&self, syncs: usize) {
        self.1.0.lock().unwrap().allowed = syncs;
        self.1.1.notify_all();
    }
}

impl Storage for Gated {
    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(GatedFile(self.0.create(path)?, self.1.clone())))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(GatedFile(self.0.append(path)?, self.1.clone())))
    }

    fn read(&self, path: &str) -> io::Result<Bytes> {
        self.0.read(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.link(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.remove(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.folders(folder)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.0.sync_folder(folder)
    }
}

#[test]
fn one_sync_serves_all_who_wait_and_others_push_meanwhile() {
    let storage = Gated::default();
    let recorder = Recorder::default();
    let table = PushTable::open(Arc::new(storage.clone()), "t", &recorder).unwrap();
    let durable = || {
        let position = table.push(b"line", None).unwrap().position.unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(table.durable(position))
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(durable);
        eventually("the first sync has begun", || storage.begun() == 1);
        let others: Vec<_> = (0..16).map(|_| scope.spawn(durable)).collect();
        eventually("others are taken while it runs", || recorder.count() == 17);
        assert!(!first.is_finished() && others.iter().all(|other| !other.is_finished()));
        storage.allow(1);
        assert_eq!(first.join().unwrap(), Ok(()));
        eventually("the second sync has begun", || storage.begun() == 2);
        assert!(
            others.iter().all(|other| !other.is_finished()),
            "the first was too early for them"
        );
        storage.allow(usize::MAX);
        for other in others {
            assert_eq!(other.join().unwrap(), Ok(()));
        }
    });
    // Some may have asked again after the second had begun: those share a third.
    assert!((2..=3).contains(&storage.begun()), "{} syncs", storage.begun());
}

/// What a client knows of its pushes: by first offset, the lines, the key and the answer.
#[derive(Default)]
struct Known {
    lines: BTreeMap<u64, String>,
    keyed: Vec<(String, String, Pushed)>,
    /// Everything before was acknowledged.
    acknowledged: u64,
    checkpoint: Option<u64>,
}

/// Pushes at random until something fails or enough is done.
fn push_at_random(table: &Table, random: &mut Random, known: &mut Known, generation: usize) {
    for step in 0..30 {
        let lines: Vec<String> = (0..=random.below(3))
            .map(|line| format!("{generation}-{step}-{line} {}.", "x".repeat(random.below(60))))
            .collect();
        let body = lines.join("\n");
        let key = format!("{generation}-{step}");
        let is_keyed = random.percent(40);
        let pushed = match is_keyed {
            true => table.push_once(&key, &body),
            false => table.push(&body),
        };
        let Ok(pushed) = pushed else { return };
        let end = pushed.position.unwrap().0 + 1;
        known.lines.extend((end - lines.len() as u64..).zip(lines));
        if is_keyed {
            known.keyed.push((key, body, pushed));
        }
        if random.percent(30) {
            if table.durable(end - 1).is_err() {
                return;
            }
            known.acknowledged = end;
        }
        if random.percent(10) {
            table.pushes.checkpointed(Offset(end - 1));
            known.checkpoint = Some(end - 1);
        }
    }
}

#[test]
fn a_crash_at_any_moment_loses_nothing_that_was_acknowledged() {
    for seed in Random::seeds(250) {
        let mut random = Random::new(seed);
        let mut storage = Memory::new();
        let mut known = Known::default();
        for generation in 0..6 {
            let what = format!("seed {seed}, generation {generation}");
            let table = Table::open(&storage, known.checkpoint);
            let found = table.handed_on();
            let resumed = known.checkpoint.map_or(0, |position| position + 1);
            let end = resumed + found.len() as u64;
            assert!(
                end >= known.acknowledged,
                "{what}: {end} of {}",
                known.acknowledged
            );
            assert_eq!(table.pushes.lost(), 0, "{what}");
            let expected = known.lines.range(resumed..end);
            let expected: Vec<_> = expected.map(|(offset, line)| (*offset, line.clone())).collect();
            assert_eq!(found, expected, "{what}");
            // What was not acknowledged may be gone; its offsets are given again.
            known.lines.split_off(&end);
            known.keyed.retain(|(_, _, answer)| {
                let position = answer.position.unwrap().0;
                position < known.acknowledged || (resumed..end).contains(&position)
            });
            for (key, body, answer) in &known.keyed {
                assert_eq!(table.push_once(key, body).unwrap(), *answer, "{what}: {key}");
            }
            assert_eq!(
                table.recorder.count(),
                found.len(),
                "{what}: a retry is not taken"
            );
            storage.stop_at(storage.operations() + random.below(120) as u64);
            push_at_random(&table, &mut random, &mut known, generation);
            drop(table);
            storage = storage.crash(random.next());
        }
    }
}

#[test]
fn a_node_that_starts_again_shows_what_was_pushed() {
    let dataflow = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = { text = {} }
"#;
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: folder.path().to_owned(),
        workers: None,
        dead_letters: None,
        rebuild: false,
        model_hosts: Vec::new(),
    };
    let start = || {
        let definition = definition::parse(dataflow, "notes", Path::new(".")).unwrap();
        Node::start(definition, &options).unwrap()
    };
    for start_number in 1..=3_u64 {
        let node = start();
        let pushes = node.app().push_table("notes").unwrap().clone();
        let line = format!(r#"{{"id":{start_number},"text":"lamp"}}"#);
        let key = IdempotencyKey::new(b"first").unwrap();
        eventually("the log is replayed", || {
            pushes.push(br#"{"id":0,"text":"lamp"}"#, Some(&key)).is_ok()
        });
        let pushed = pushes.push(line.as_bytes(), None).unwrap();
        assert_eq!(pushed.position, at(start_number));
        eventually("all are shown", || {
            node.app().published.snapshot().documents() as u64 == start_number + 1
        });
        node.stop().unwrap();
    }
}
