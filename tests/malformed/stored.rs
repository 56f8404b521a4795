//! Stored bytes that nobody has stored, under checksums that are right: what is read of them, and goes on.
//!
//! An input chooses a file of a small data directory, and whether it is changed as it lies there or unpacked; then come
//! changes of its bytes. The directory opens with a state that holds together, or not at all; an index that opens
//! answers, and is stored again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use millpond::change::TableId;
use millpond::change::{
    Columns, Datum, Float, Key, Offset, PartitionId, Row, TextHash, Tick, Vector, Version,
};
use millpond::checkpoint::{Cut, Recovered, Shape, Store, StoredKey, StoredState, TableCut, TextVector};
use millpond::definition::{Definition, Index};
use millpond::index::keyword::{Scope, search};
use millpond::index::shard::{ShardSettings, Update};
use millpond::index::stored::{self, StoredShard};
use millpond::index::vector::Effort;
use millpond::index::{Document, Shard};
use millpond::index::{DocumentVector, DocumentVectors};
use millpond::intake::{DeadLetters, Intake};
use millpond::metrics::Metrics;
use millpond::query::language::{Options, parse};
use millpond::storage::{Memory, PartReader, PartWriter, Storage};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::dataflows::definition;

const DIMENSIONS: usize = 2;

/// Documents of a directory with a graph, and of one without.
const MANY: usize = 4_096;
const FEW: usize = 12;

const DATAFLOW: &str = r#"
name = "t"
tables.t = { source = { kind = "http" }, format = "upsert-json", key = ["id"] }
embedder = { model = "hash", dimensions = 2 }
[index]
query = "SELECT id, name, n FROM t"
key = "id"
text = { name = {} }
fields = { n = "i64" }
embed = "{name}"
"#;

static FEW_STORED: LazyLock<Directory> = LazyLock::new(|| Directory::new(FEW));
static MANY_STORED: LazyLock<Directory> = LazyLock::new(|| Directory::new(MANY));

pub fn run(data: &[u8]) {
    let [choice, how, changes @ ..] = data else {
        return;
    };
    let directory = match choice & 0x80 {
        0 => &*FEW_STORED,
        _ => &*MANY_STORED,
    };
    let files: Vec<&String> = directory.files.keys().collect();
    let path = files[usize::from(choice & 0x7F) % files.len()];
    // Of the many, only the graphs are of interest.
    if directory.documents == MANY && !path.contains("graph") {
        return;
    }
    directory.check(&directory.with(path, how & 1 == 1, changes));
}

/// The number of files of the small directory, and of the large one.
pub fn files() -> [usize; 2] {
    [FEW_STORED.files.len(), MANY_STORED.files.len()]
}

/// A data directory with two checkpoints.
struct Directory {
    definition: Arc<Definition>,
    documents: usize,
    files: BTreeMap<String, Vec<u8>>,
}

impl Directory {
    fn new(documents: usize) -> Directory {
        let mut directory = Directory {
            definition: definition(DATAFLOW),
            documents,
            files: BTreeMap::new(),
        };
        let memory = Memory::new();
        let (mut store, _) = directory.open(&memory).expect("an empty directory opens");
        let mut shard = Shard::new(directory.index(), &[DIMENSIONS], &settings(documents != MANY));
        shard
            .apply(Tick(1), updates(0..documents))
            .expect("it is a shard");
        settle(&mut shard);
        store
            .write(cut(1, 0..documents, &shard))
            .expect("memory takes it");
        // Some go, some are new, and some are as they were.
        let gone = (0..documents / 4).map(|n| Update::Remove(key(n)));
        shard
            .apply(
                Tick(2),
                gone.chain(updates(documents - 2..documents + 3)).collect(),
            )
            .expect("it is a shard");
        settle(&mut shard);
        let mut second = cut(2, documents - 2..documents + 3, &shard);
        second.tables[0]
            .keys
            .extend((0..documents / 4).map(|n| (key(n), None)));
        store.write(second).expect("memory takes it");
        let files = memory.paths().into_iter();
        directory.files = files
            .map(|path| (path.clone(), memory.read(&path).expect("it is there").to_vec()))
            .collect();
        directory
    }

    fn index(&self) -> &Index {
        self.definition.index.as_ref().expect("the dataflow has an index")
    }

    fn open(&self, memory: &Memory) -> Result<(Store, Option<Recovered>), String> {
        let shape = Shape::of(&self.definition, &[Some(("hash", DIMENSIONS))], 1);
        Store::open(Arc::new(memory.clone()), shape, None).map_err(|error| error.to_string())
    }

    /// The directory with one file changed, and what names it changed with it.
    fn with(&self, path: &str, unpacked: bool, changes: &[u8]) -> Memory {
        let mut files = self.files.clone();
        let was = files[path].clone();
        let now = match path.starts_with("manifest") {
            true => sealed(changed(body(&was).to_vec(), changes)),
            false if unpacked => repacked(path, &was, changes),
            false => changed(was.clone(), changes),
        };
        if let Some(name) = path.strip_prefix("parts/") {
            let part = |bytes: &[u8]| {
                format!(
                    r#"{{"name":"{name}","bytes":{},"checksum":{}}}"#,
                    bytes.len(),
                    xxh3_64(bytes)
                )
            };
            let (before, after) = (part(&was), part(&now));
            for manifest in files.iter_mut().filter(|(path, _)| path.starts_with("manifest")) {
                let text = std::str::from_utf8(body(manifest.1))
                    .expect("it is JSON")
                    .replace(&before, &after);
                *manifest.1 = sealed(text.into_bytes());
            }
        }
        files.insert(path.to_owned(), now);
        let memory = Memory::new();
        for (path, bytes) in files {
            memory
                .create(&path)
                .and_then(|mut file| file.write_all(&bytes))
                .expect("memory takes it");
        }
        memory
    }

    fn check(&self, memory: &Memory) {
        let (mut store, recovered) = match self.open(memory) {
            Ok(opened) => opened,
            Err(error) => return assert!(!error.trim().is_empty()),
        };
        let mut recovered = recovered.expect("it has checkpoints");
        let keys = &recovered.tables["t"].keys;
        assert!(keys.is_sorted_by(|(a, _), (b, _)| a < b), "a key stands twice");
        // What goes on from here counts on.
        let intake = Intake::new(
            self.definition.clone(),
            DeadLetters::discard(),
            Metrics::default(),
            Arc::new(|| {}),
        )
        .0;
        intake.restore(
            std::mem::take(&mut recovered.partitions),
            recovered.positions.clone(),
        );
        intake.receivers(TableId(0)).partition("another");
        let next = recovered.tick.0 + 1;

        let mut shard = None;
        if let [stored] = &recovered.shards[..] {
            shard = self.answering(memory, stored);
        }
        let shard = shard.unwrap_or_else(|| Shard::new(self.index(), &[DIMENSIONS], &settings(true)));
        // It may fail where it merges what is foreign; what it writes can be read.
        if store.write(cut(next, 0..3, &shard)).is_ok() {
            let (_, recovered) = self
                .open(memory)
                .unwrap_or_else(|error| panic!("it was just written: {error}"));
            assert_eq!(recovered.map(|recovered| recovered.tick), Some(Tick(next)));
        }
    }

    /// The stored shard, if it opens, after its documents came again and it was asked.
    fn answering(&self, memory: &Memory, stored: &StoredShard) -> Option<Shard> {
        let open = |stored: &StoredShard| {
            let parts = PartReader::new(memory);
            stored::open(self.index(), &[DIMENSIONS], &settings(true), stored, &parts)
        };
        let mut shard = match open(stored) {
            Ok(shard) => shard,
            Err(damaged) => {
                assert!(!damaged.to_string().trim().is_empty());
                return None;
            }
        };
        let there = self.documents / 4..self.documents + 3;
        shard
            .apply(Tick(9), updates(there.clone()))
            .expect("it is a shard");
        shard.apply(Tick(10), updates(0..3)).expect("it is a shard");
        let state = shard.state();
        assert_eq!(state.documents.len(), there.len() + 3);
        let of_slot = |_, slot| state.documents.get(slot);
        for words in ["word", "word1 word2", "\"word word1\""] {
            // A leg that panics, as tantivy may over lists that are not its own, is one that says it failed.
            let (states, query) = ([&*state.keyword], parse(words, &[], &Options::default()).query);
            let run = || search(&Scope::new(&states, &of_slot), &query, 20);
            let hits = catch_unwind(AssertUnwindSafe(run));
            for hit in hits.unwrap_or(Ok(Vec::new())).expect("it answers") {
                assert!(hit.score.is_finite(), "{}", hit.score);
            }
        }
        let vectors = &state.legs[0].vectors;
        for query in [[1.0, 0.0], [-0.5, 0.5]] {
            let hits = vectors.search(&query, 10, Effort::Usual, None);
            assert!(hits.iter().all(|hit| hit.score.is_finite()), "{hits:?}");
        }
        let writer = PartWriter::new(memory, 1 << 40);
        let again = stored::store(&state, stored, &writer).expect("memory takes it");
        open(&again).unwrap_or_else(|error| panic!("it was just stored: {error}"));
        Some(shard)
    }
}

/// How a shard works that a test steps by hand.
fn settings(repeatable: bool) -> ShardSettings {
    ShardSettings {
        repeatable,
        wake: Arc::new(|| ()),
        folder: None,
    }
}

/// Until all that is due is in graphs.
fn settle(shard: &mut Shard) {
    while shard.state().legs[0].vectors.unbuilt() >= MANY {
        std::thread::yield_now();
        if shard.has_finished_work() {
            shard.apply(Tick(1), Vec::new()).expect("it is a shard");
        }
    }
}

fn key(n: usize) -> Key {
    Key::new([Datum::text(&n.to_string())])
}

fn row(n: usize) -> Row {
    let columns = Columns::new(["id", "name", "n"]);
    let name = Datum::text(&format!("word word{}", n % 7));
    Row::new(columns, [Datum::text(&n.to_string()), name, Datum::Int(n as i64)])
}

/// A row with a value of each kind.
fn odd_row(n: usize) -> Row {
    let columns = Columns::new(["id", "a", "b", "c", "d", "e", "f"]);
    let values = [
        Datum::Int(n as i64),
        Datum::Bytes([0, 255].into()),
        Datum::Float(Float(-0.5)),
        Datum::Decimal("1.50".into()),
        Datum::Vector(Vector::from(vec![1.0, 0.5])),
        Datum::Json("[1]".into()),
        Datum::Bool(true),
    ];
    Row::new(columns, values)
}

fn vector(n: usize) -> Vector {
    let angle = n as f32 * 0.7;
    Vector::from(vec![angle.cos(), angle.sin()])
}

fn updates(keys: std::ops::Range<usize>) -> Vec<Update> {
    keys.map(|n| {
        let document = Document {
            key: key(n),
            row: row(n),
        };
        Update::Put(
            Arc::new(document),
            DocumentVectors::whole([(0, DocumentVector::Known((*vector(n)).into()))]),
        )
    })
    .collect()
}

fn cut(tick: u64, keys: std::ops::Range<usize>, shard: &Shard) -> Cut {
    let version = Version {
        source: None,
        partition: PartitionId(0),
        offset: Offset(tick),
    };
    let stored = |state| Some(StoredKey { version, state });
    let mut rows: Vec<_> = keys
        .clone()
        .map(|n| (key(n), stored(StoredState::Row(row(n)))))
        .collect();
    rows.push((
        Key::new([Datum::Int(1), Datum::Null]),
        stored(StoredState::Row(odd_row(1))),
    ));
    rows.push((
        Key::new([Datum::Int(2)]),
        stored(StoredState::Deleted {
            before: Some(odd_row(2)),
        }),
    ));
    let texts = keys
        .take(20)
        .map(|n| (TextHash(n as u128), Some(TextVector::Known(vector(n)))));
    let texts = texts.chain([(TextHash(1 << 90), Some(TextVector::Failed))]);
    Cut {
        tick: Tick(tick),
        positions: BTreeMap::from([("t/0".to_owned(), tick)]),
        partitions: BTreeMap::from([("t/0".to_owned(), PartitionId(0))]),
        tables: vec![TableCut {
            truncated: None,
            keys: rows,
        }],
        texts: texts.collect(),
        shards: vec![shard.state()],
        sets: Default::default(),
        forgotten: Vec::new(),
    }
}

/// A manifest's JSON.
fn body(manifest: &[u8]) -> &[u8] {
    let end = manifest
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("it has a first line");
    &manifest[end + 1..]
}

/// A manifest of this JSON.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let mut hash = Xxh3::new();
    hash.update(&2_u32.to_le_bytes());
    hash.update(&body);
    let mut manifest = format!("millpond checkpoint 2 {:016x}\n", hash.digest()).into_bytes();
    manifest.append(&mut body);
    manifest
}

/// The part with what is compressed in it changed: a block of rows, or the slots. Other parts are not compressed.
fn repacked(path: &str, was: &[u8], changes: &[u8]) -> Vec<u8> {
    if path.starts_with("parts/slots") {
        let plain = changed(zstd::decode_all(was).expect("it is compressed"), changes);
        return zstd::encode_all(&plain[..], 1).expect("memory takes it");
    }
    if !path.starts_with("parts/rows") {
        return changed(was.to_vec(), changes);
    }
    let plain = changed(zstd::decode_all(&was[8..]).expect("it is one block"), changes);
    let compressed = zstd::bulk::compress(&plain, 1).expect("memory takes it");
    let lengths = [compressed.len(), plain.len()].map(|length| (length as u32).to_le_bytes());
    [lengths.concat(), compressed].concat()
}

/// Six bytes a change: what is done, where (three bytes, from the start or, with the highest bit, from the end), and with
/// what.
fn changed(mut bytes: Vec<u8>, changes: &[u8]) -> Vec<u8> {
    for &[what, high, middle, low, a, b] in changes.as_chunks().0 {
        let distance = u32::from_be_bytes([0, high & 0x7F, middle, low]) as usize;
        let mut at = distance % (bytes.len() + 1);
        if high & 0x80 != 0 {
            at = bytes.len() - at;
        }
        let until = |length: usize| bytes.len().min(at + length);
        match what % 10 {
            0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= a),
            1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = a),
            2 => drop(bytes.splice(at..at, [a])),
            3 => drop(bytes.drain(at..until(1 + usize::from(b)))),
            4 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = a),
            5 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = a),
            6 => bytes.truncate(at),
            7 => drop(bytes.splice(
                at..until(usize::from(a % 20)),
                WORDS[usize::from(b) % WORDS.len()].bytes(),
            )),
            8 => {
                let piece = bytes[at..until(usize::from(a))].to_vec();
                let to = usize::from(b).min(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes[at..]
                .iter_mut()
                .take(2)
                .zip([a, b])
                .for_each(|(byte, other)| *byte = other),
        }
    }
    bytes
}

/// What is likely to matter in a manifest.
const WORDS: [&str; 14] = [
    "18446744073709551615",
    "9223372036854775807",
    "4294967295",
    "0",
    "-1",
    "1e99",
    "null",
    "\"\"",
    "[]",
    "{}",
    "../",
    "/",
    "\"t/1\":1,",
    "true",
];

#[test]
fn a_damaged_part_of_the_newest_checkpoint_costs_that_checkpoint_and_no_more() {
    let directory = &*FEW_STORED;
    let mut manifests = directory
        .files
        .iter()
        .filter(|(path, _)| path.starts_with("manifest"))
        .map(|(_, bytes)| String::from_utf8_lossy(bytes));
    let (older, newest) = (manifests.next().unwrap(), manifests.next().unwrap());
    let mut kinds = Vec::new();
    for path in directory.files.keys() {
        let name = path.strip_prefix("parts/").unwrap_or("none");
        if !newest.contains(name) || older.contains(name) {
            continue;
        }
        let memory = directory.with(path, false, &[]);
        assert!(memory.flip_bit(path, 99));
        let (_, recovered) = directory
            .open(&memory)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(recovered.map(|recovered| recovered.tick), Some(Tick(1)), "{path}");
        kinds.extend(name.split('-').next());
    }
    assert!(
        kinds.contains(&"segment") && kinds.contains(&"slots"),
        "{kinds:?}"
    );
}
