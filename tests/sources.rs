//! Files and pushes, as the node's side sees them: every message once, in order, at its position.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use millpond::change::{Offset, PartitionId};
use millpond::decode::Message;
use millpond::definition::{FileSettings, Format, Framing, SourceSettings, Table};
use millpond::source::file::Reader;
use millpond::source::http::{PushError, PushTable, Pushed};
use millpond::source::{
    self, Closed, NotTaken, OwnedMessage, Partition, Receiver, Receivers, Room, SourceError, Status, Stop,
    Taken,
};
use millpond::storage::Memory;

/// Stands in for the node: keeps what it is given.
#[derive(Clone, Default)]
pub struct Recorder(Arc<(Mutex<Recorded>, Condvar)>);

#[derive(Default)]
pub struct Recorded {
    /// What came, in the order of arrival over all partitions.
    pub all: Vec<(String, OwnedMessage)>,
    /// Messages of each call.
    pub calls: Vec<usize>,
    /// Partitions in the order in which they were asked for; the place is the id.
    names: Vec<String>,
    resume: BTreeMap<String, u64>,
    blocked: bool,
    pub answer: Option<Result<Taken, NotTaken>>,
}

impl Recorder {
    /// A node that has taken these positions before.
    pub fn resumed(positions: &BTreeMap<String, u64>) -> Recorder {
        let recorder = Recorder::default();
        recorder.lock().resume = positions.clone();
        recorder
    }

    pub fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.0.lock().unwrap()
    }

    /// While blocked, messages are kept and the call does not return: a full dataflow.
    pub fn block(&self, blocked: bool) {
        self.lock().blocked = blocked;
        self.0.1.notify_all();
    }

    /// The values of one partition, in their order.
    pub fn values(&self, partition: &str) -> Vec<String> {
        self.messages(partition).iter().map(value).collect()
    }

    pub fn messages(&self, partition: &str) -> Vec<OwnedMessage> {
        self.lock()
            .all
            .iter()
            .filter(|(name, _)| name == partition)
            .map(|(_, message)| message.clone())
            .collect()
    }

    pub fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// The last offset of each partition.
    pub fn positions(&self) -> BTreeMap<String, u64> {
        self.lock()
            .all
            .iter()
            .map(|(name, message)| (name.clone(), message.offset))
            .collect()
    }
}

impl Receivers for Recorder {
    fn partition(&self, name: &str) -> Partition {
        let mut state = self.lock();
        assert!(
            !state.names.iter().any(|known| known == name),
            "partition {name} is asked for once"
        );
        state.names.push(name.to_owned());
        Partition {
            id: PartitionId(state.names.len() as u32 - 1),
            resume_after: state.resume.get(name).copied().map(Offset),
            receiver: Box::new(Recording(self.clone(), name.to_owned())),
        }
    }
}

struct Recording(Recorder, String);

impl Recording {
    fn keep(&self, messages: &[Message<'_>]) {
        let mut state = self.0.lock();
        state.calls.push(messages.len());
        for message in messages {
            assert_eq!(
                state.names[message.partition.0 as usize], self.1,
                "a message names its partition"
            );
            let owned = OwnedMessage {
                topic: message.topic.to_owned(),
                partition: self
                    .1
                    .rsplit(':')
                    .next()
                    .and_then(|number| number.parse().ok())
                    .unwrap_or(-1),
                offset: message.offset.0,
                key: message.key.map(<[u8]>::to_vec),
                value: message.value.map(<[u8]>::to_vec),
                headers: message.headers.to_vec(),
                timestamp_ms: message.timestamp_ms,
            };
            state.all.push((self.1.clone(), owned));
        }
    }
}

impl Receiver for Recording {
    fn receive(&mut self, messages: &[Message<'_>]) -> Result<(), Closed> {
        self.keep(messages);
        let state = self
            .0
            .0
            .1
            .wait_while(self.0.lock(), |state| state.blocked)
            .unwrap();
        match state.answer {
            Some(Err(NotTaken::Closed)) => Err(Closed),
            _ => Ok(()),
        }
    }

    fn reserve<'a>(&'a mut self, messages: &[Message<'a>]) -> Result<Box<dyn Room + 'a>, NotTaken> {
        let taken = self.0.lock().answer.unwrap_or(Ok(Taken::default()))?;
        Ok(Box::new(Reserved {
            recording: self,
            messages: messages.to_vec(),
            taken,
        }))
    }
}

struct Reserved<'a> {
    recording: &'a Recording,
    messages: Vec<Message<'a>>,
    taken: Taken,
}

impl Room for Reserved<'_> {
    fn taken(&self) -> Taken {
        self.taken
    }

    fn take(self: Box<Self>) {
        self.recording.keep(&self.messages);
    }
}

/// A table that takes pushes, with a log that nothing survives.
fn pushes(recorder: &Recorder) -> Arc<PushTable> {
    PushTable::open(Arc::new(Memory::new()), "t", recorder).unwrap()
}

/// Waits until a condition holds; a test that waits for what never comes says for what.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn table(source: SourceSettings) -> Table {
    Table {
        name: "t".into(),
        source,
        format: Format::UpsertJson,
        key: vec!["id".into()],
        select: vec![],
        columns: BTreeMap::new(),
        claim_check: None,
        vectors: Vec::new(),
        needs: Vec::new(),
    }
}

fn value(message: &OwnedMessage) -> String {
    String::from_utf8(message.value.clone().unwrap()).unwrap()
}

fn file(path: &Path) -> FileSettings {
    FileSettings {
        path: path.to_owned(),
        framing: Framing::Values,
        follow: false,
        rate: None,
    }
}

struct Source {
    running: source::Running,
    status: Status,
    stop: Stop,
}

fn follow(path: &Path, recorder: &Recorder) -> Source {
    let settings = FileSettings {
        follow: true,
        ..file(path)
    };
    start(settings, recorder).unwrap()
}

fn start(settings: FileSettings, recorder: &Recorder) -> Result<Source, SourceError> {
    let (status, stop) = (Status::default(), Stop::new());
    let table = table(SourceSettings::File(settings));
    let running = source::start(&table, Arc::new(recorder.clone()), status.clone(), stop.clone())?;
    Ok(Source {
        running,
        status,
        stop,
    })
}

impl Source {
    fn end(self) {
        self.stop.stop();
        self.running.join();
    }
}

/// Reads a file to its end; returns what came and how the source ended.
fn read(settings: FileSettings) -> (Recorder, Status) {
    let recorder = Recorder::default();
    let source = start(settings, &recorder).unwrap();
    source.running.join();
    (recorder, source.status)
}

fn written(dir: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn append(path: &Path, text: &str) {
    OpenOptions::new()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn values_come_in_order_at_their_line_numbers_blank_lines_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (recorder, status) = read(file(&written(&dir, "a.ndjson", "a\n\n  \r\nb\r\nc")));
    let found: Vec<(u64, String)> = recorder
        .messages("0")
        .iter()
        .map(|m| (m.offset, value(m)))
        .collect();
    assert_eq!(found, [(0, "a".into()), (3, "b".into()), (4, "c".into())]);
    assert!(status.state().finished);
    assert_eq!(status.state().trouble, None);
}

#[test]
fn many_lines_come_in_bounded_batches_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let small: String = (0..5_000).map(|n| format!("{n}\n")).collect();
    let (recorder, _) = read(file(&written(&dir, "small", small)));
    assert_eq!(
        recorder.values("0"),
        (0..5_000).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    assert!(recorder.lock().calls.iter().all(|messages| *messages <= 512));

    let line = "x".repeat(300 << 10);
    let (recorder, _) = read(file(&written(&dir, "large", format!("{line}\n").repeat(20))));
    assert_eq!(recorder.values("0"), vec![line; 20]);
    assert!(
        recorder.lock().calls.iter().all(|messages| *messages <= 4),
        "a megabyte, and what exceeds it"
    );
}

#[test]
fn compressed_files_are_known_by_their_bytes_whatever_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let members = [gzip("a\nb"), gzip("b\nc\n")].concat();
    let frames = [
        zstd::encode_all("a\nb".as_bytes(), 1).unwrap(),
        zstd::encode_all("b\nc\n".as_bytes(), 1).unwrap(),
    ];
    for (name, bytes) in [
        ("a.gz", members.clone()),
        ("a", members),
        ("b.zst", frames.concat()),
        ("b", frames.concat()),
    ] {
        let (recorder, status) = read(file(&written(&dir, name, bytes)));
        assert_eq!(recorder.values("0"), ["a", "bb", "c"], "{name}");
        assert!(status.state().finished);
    }
}

#[test]
fn a_damaged_compressed_file_gives_what_is_whole_and_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..50_000)
        .map(|n: u32| format!("{}\n", n.wrapping_mul(2_654_435_761)))
        .collect();
    let mut bytes = gzip(&text);
    bytes.truncate(bytes.len() / 2);
    let (recorder, status) = read(file(&written(&dir, "a.gz", bytes)));
    let state = status.state();
    assert!(!state.finished);
    let trouble = state.trouble.unwrap();
    assert!(
        trouble.contains("cannot read line") && trouble.contains("a.gz"),
        "{trouble}"
    );
    let whole = recorder.values("0").len();
    assert!(whole > 1_000, "{whole} lines");
    assert!(
        trouble.contains(&format!("line {} ", whole + 1)),
        "{trouble} after {whole} lines"
    );
}

#[test]
fn records_have_the_partitions_and_positions_that_they_name() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"topic":"a","partition":0,"offset":5,"key":"k","value":"v","headers":[["h","x"]],"timestamp":9}"#,
        r#"{"topic":"b","partition":2,"offset":1,"key":"k","value":null}"#,
        r#"{"topic":"a","partition":0,"offset":6,"val"#,
        r#"{"topic":"a","partition":0,"offset":9,"value":"w"}"#,
    ];
    let path = written(&dir, "records", lines.join("\n"));
    let settings = FileSettings {
        framing: Framing::Records,
        ..file(&path)
    };
    let (recorder, _) = read(settings.clone());
    let order: Vec<(String, u64)> = recorder
        .lock()
        .all
        .iter()
        .map(|(name, message)| (name.clone(), message.offset))
        .collect();
    let place = |name: &str, offset| (name.to_owned(), offset);
    assert_eq!(
        order,
        [
            place("a:0", 5),
            place("b:2", 1),
            place("lines", 2),
            place("a:0", 9)
        ]
    );
    let first = &recorder.messages("a:0")[0];
    assert_eq!(first.topic, "a");
    assert_eq!(first.headers, [("h".to_owned(), b"x".to_vec())]);
    assert_eq!(
        (first.key.as_deref(), first.timestamp_ms),
        (Some(&b"k"[..]), Some(9))
    );
    assert_eq!(recorder.messages("b:2")[0].value, None);
    assert_eq!(recorder.values("lines"), [lines[2]]);

    let again = Recorder::resumed(&BTreeMap::from([("a:0".into(), 5), ("lines".into(), 2)]));
    start(settings, &again).unwrap().running.join();
    assert_eq!(
        again.positions(),
        BTreeMap::from([("a:0".into(), 9), ("b:2".into(), 1)])
    );
    assert_eq!(again.count(), 2);
}

#[test]
fn a_reader_tells_records_from_values_by_the_first_line_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let all = |path: &Path| {
        let mut reader = Reader::open(path, None).unwrap();
        std::iter::from_fn(|| reader.next().unwrap())
            .map(|m| (m.partition_name(), m.offset))
            .collect::<Vec<_>>()
    };
    let record = "\n{\"topic\":\"a\",\"partition\":1,\"offset\":7,\"key\":null,\"value\":\"v\"}\n";
    assert_eq!(
        all(&written(&dir, "records", record.repeat(2))),
        vec![("a:1".to_owned(), 7); 2]
    );
    let values = "\n{\"id\":1}\n{\"id\":2}";
    assert_eq!(
        all(&written(&dir, "values", values)),
        [("0".to_owned(), 1), ("0".to_owned(), 2)]
    );
    assert_eq!(all(&written(&dir, "empty", "")), []);
}

#[test]
fn the_captures_are_read_as_the_records_they_are() {
    let Some(path) = crate::shared::public_data("changes/mariadb-live/plain/messages.jsonl") else {
        return;
    };
    let text = fs::read_to_string(&path).unwrap();
    let mut reader = Reader::open(&path, None).unwrap();
    for line in text.lines() {
        let expected: serde_json::Value = serde_json::from_str(line).unwrap();
        let message = reader.next().unwrap().unwrap();
        assert_eq!(message.topic, expected["topic"].as_str().unwrap());
        assert_eq!(message.offset, expected["offset"].as_u64().unwrap());
        assert_eq!(
            message.key.as_deref(),
            expected["key"].as_str().map(str::as_bytes)
        );
        assert_eq!(
            message.value.as_deref(),
            expected["value"].as_str().map(str::as_bytes)
        );
        assert_eq!(
            message.headers.len(),
            expected["headers"].as_array().map_or(0, Vec::len)
        );
    }
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn a_line_over_64_mib_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(
        &dir,
        "long",
        [b"a\n".to_vec(), vec![b'x'; (64 << 20) + 1], b"\nb\n".to_vec()].concat(),
    );
    let mut reader = Reader::open(&path, Some(Framing::Values)).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().offset, 0);
    let error = reader.next().unwrap_err().to_string();
    assert!(
        error.starts_with("line 2 of ") && error.contains("64 MiB"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_opened_is_an_error_with_the_full_path() {
    let dir = tempfile::tempdir().unwrap();
    let message = |settings| start(settings, &Recorder::default()).err().unwrap().to_string();
    for follow in [false, true] {
        let missing = message(FileSettings {
            follow,
            ..file(Path::new("no/such.ndjson"))
        });
        let full = std::env::current_dir().unwrap().join("no/such.ndjson");
        assert!(
            missing.contains(full.to_str().unwrap()) && missing.contains("there is no such file"),
            "{missing}"
        );
    }
    let directory = message(file(dir.path()));
    assert!(directory.contains("it is a directory"), "{directory}");
    let compressed = written(&dir, "a.gz", gzip("a\n"));
    let compressed = message(FileSettings {
        follow: true,
        ..file(&compressed)
    });
    assert!(
        compressed.contains("cannot follow") && compressed.contains("follow = false"),
        "{compressed}"
    );
}

#[test]
fn reading_goes_on_after_the_position_that_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "a", "a\nb\n\nc\nd\n");
    let recorder = Recorder::resumed(&BTreeMap::from([("0".into(), 1)]));
    start(file(&path), &recorder).unwrap().running.join();
    assert_eq!(recorder.values("0"), ["c", "d"]);
}

#[test]
fn a_followed_file_gives_what_is_appended_and_holds_a_line_until_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "a", "a\nb");
    let recorder = Recorder::default();
    let source = follow(&path, &recorder);
    eventually("the first line", || recorder.count() >= 1);
    append(&path, "b");
    append(&path, "b\nc\nd");
    eventually("the appended lines", || recorder.count() >= 3);
    assert_eq!(recorder.values("0"), ["a", "bbb", "c"]);
    append(&path, "\n");
    eventually("the last line", || recorder.count() >= 4);
    assert_eq!(recorder.positions()["0"], 3);
    assert!(!source.status.state().finished);
    source.end();
}

#[test]
fn a_followed_file_that_is_replaced_goes_on_in_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "a", "a\nb\n");
    let recorder = Recorder::default();
    let source = follow(&path, &recorder);
    eventually("the first lines", || recorder.count() == 2);

    let old = dir.path().join("a.1");
    fs::rename(&path, &old).unwrap();
    eventually("the loss is told", || {
        source
            .status
            .state()
            .trouble
            .is_some_and(|text| text.contains("is gone"))
    });
    append(&old, "late\nhalf");
    let next = written(&dir, "next", "");
    fs::rename(next, &path).unwrap();
    eventually("the change is told", || {
        source
            .status
            .state()
            .trouble
            .is_some_and(|text| text.contains("replaced"))
    });
    append(&path, "c\n");
    eventually("the new file's line", || recorder.count() >= 5);
    assert_eq!(recorder.values("0"), ["a", "b", "late", "half", "c"]);
    assert_eq!(recorder.positions()["0"], 4, "line numbers go on");
    assert_eq!(source.status.state().trouble, None);
    source.end();
}

#[test]
fn a_followed_file_that_is_cut_goes_on_at_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "a", "a\nb\nc\n");
    let recorder = Recorder::default();
    let source = follow(&path, &recorder);
    eventually("the first lines", || recorder.count() == 3);
    fs::write(&path, "d\n").unwrap();
    eventually("the new line", || recorder.count() == 4);
    append(&path, "e\n");
    eventually("the line after it", || recorder.count() == 5);
    assert_eq!(recorder.values("0"), ["a", "b", "c", "d", "e"]);
    source.end();
}

#[test]
fn a_rate_is_kept_smoothly() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "a", "x\n".repeat(300));
    let started = Instant::now();
    let (recorder, _) = read(FileSettings {
        rate: Some(1_000.0),
        ..file(&path)
    });
    let elapsed = started.elapsed();
    assert_eq!(recorder.count(), 300);
    assert!(elapsed >= Duration::from_millis(290), "{elapsed:?}");
    assert!(
        recorder.lock().calls.iter().all(|messages| *messages <= 50),
        "no bursts"
    );
}

#[test]
fn a_rate_does_not_slow_down_what_was_taken_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "a", "x\n".repeat(100_000));
    let recorder = Recorder::resumed(&BTreeMap::from([("0".into(), 99_998)]));
    let source = start(
        FileSettings {
            rate: Some(10.0),
            ..file(&path)
        },
        &recorder,
    )
    .unwrap();
    eventually("the end", || source.status.state().finished);
    assert_eq!(recorder.count(), 1);
    source.end();
}

#[test]
fn stopping_ends_a_source_that_waits_and_a_closed_receiver_ends_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "a", "x\n".repeat(10_000));
    let recorder = Recorder::default();
    let slow = FileSettings {
        rate: Some(0.001),
        ..file(&path)
    };
    start(slow, &recorder).unwrap().end();
    assert_eq!(recorder.count(), 0);

    let closed = Recorder::default();
    closed.lock().answer = Some(Err(NotTaken::Closed));
    let source = start(file(&path), &closed).unwrap();
    source.running.join();
    assert_eq!(closed.lock().calls.len(), 1);
    assert!(!source.status.state().finished);
}

#[test]
fn a_push_takes_its_lines_at_positions_that_go_on() {
    let recorder = Recorder::default();
    let push = pushes(&recorder);
    let taken = |body: &[u8]| push.push(body, None).unwrap();
    assert_eq!(
        taken(b"\n \n"),
        Pushed {
            accepted: 0,
            dead_letters: 0,
            position: None
        }
    );
    let pushed = taken(b"a\n\nb\r\n");
    assert_eq!(
        pushed,
        Pushed {
            accepted: 2,
            dead_letters: 0,
            position: Some(Offset(1))
        }
    );
    recorder.lock().answer = Some(Ok(Taken {
        changes: 1,
        dead_letters: 1,
    }));
    let pushed = taken(b"c\nbroken");
    assert_eq!(
        pushed,
        Pushed {
            accepted: 1,
            dead_letters: 1,
            position: Some(Offset(3))
        }
    );
    assert_eq!(taken(b"").position, Some(Offset(3)));
    let found: Vec<(u64, String)> = recorder
        .messages("0")
        .iter()
        .map(|m| (m.offset, value(m)))
        .collect();
    let expected = ["a", "b", "c", "broken"].into_iter().map(str::to_owned);
    assert_eq!(found, (0..).zip(expected).collect::<Vec<_>>());
    assert_eq!(recorder.lock().calls, [2, 2]);
}

#[test]
fn a_push_that_is_not_taken_has_no_position() {
    let recorder = Recorder::resumed(&BTreeMap::from([("0".into(), 41)]));
    let push = pushes(&recorder);
    recorder.lock().answer = Some(Err(NotTaken::Full));
    let refused = push.push(b"a\nb\n", None);
    assert!(
        matches!(refused, Err(PushError::NotTaken(NotTaken::Full))),
        "{refused:?}"
    );
    assert_eq!(recorder.count(), 0);
    recorder.lock().answer = None;
    assert_eq!(push.push(b"a\n", None).unwrap().position, Some(Offset(42)));
}

#[test]
fn pushes_at_the_same_time_share_no_position() {
    let recorder = Recorder::default();
    let push = pushes(&recorder);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert!(push.push(b"a\nb\nc\n", None).is_ok())));
        }
    });
    let offsets: Vec<u64> = recorder
        .messages("0")
        .iter()
        .map(|message| message.offset)
        .collect();
    assert_eq!(offsets, (0..600).collect::<Vec<_>>());
}
