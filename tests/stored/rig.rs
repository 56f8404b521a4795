//! A shard, what the dataflow would deliver of its documents, and a folder to store it in.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use millpond::change::{Columns, Datum, Key, Row, Tick};
use millpond::definition::{self, Index, parse_filter};
use millpond::index::keyword::{KeywordQuery, Scope, search};
use millpond::index::shard::{ShardSettings, Update};
use millpond::index::snapshot::ShardState;
use millpond::index::stored::{self, StoredShard};
use millpond::index::vector::Effort;
use millpond::index::vector::SharedVector;
use millpond::index::{Document, Shard, Slot};
use millpond::index::{DocumentVector, DocumentVectors};
use millpond::storage::{Damaged, Disk, PartReader, PartWriter, Storage};

use crate::shared::Random;

pub const DIMENSIONS: usize = 8;

/// No graph of a test takes nearly as long, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(300);

const DATAFLOW: &str = r#"
name = "things"
[tables.things]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, note, price, hidden FROM things"
key = "id"
text = { title = { boost = 2.0 }, note = {} }
fields = { price = "i64" }
embed = "{title}"
[embedder]
model = "hash"
dimensions = 8
"#;

pub fn index() -> Index {
    let definition =
        definition::parse(DATAFLOW, "things", Path::new(".")).unwrap_or_else(|faults| panic!("{faults}"));
    definition.index.expect("the dataflow has an index")
}

pub fn row(id: &str, title: &str, note: &str, price: i64, hidden: i64) -> Row {
    let columns = Columns::new(["id", "title", "note", "price", "hidden"]);
    let values = [
        Datum::text(id),
        Datum::text(title),
        Datum::text(note),
        Datum::Int(price),
        Datum::Int(hidden),
    ];
    Row::new(columns, values)
}

pub fn vector(random: &mut Random) -> SharedVector {
    let values = (0..DIMENSIONS).map(|_| random.below(2_000) as f32 / 1_000.0 - 1.0);
    values.collect::<Vec<f32>>().into()
}

// ---- the folder

pub struct Folder {
    temp: tempfile::TempDir,
    pub disk: Disk,
    next: Cell<u64>,
}

impl Folder {
    pub fn new() -> Folder {
        let temp = tempfile::tempdir().unwrap();
        let disk = Disk::new(temp.path());
        let next = Cell::new(1);
        Folder { temp, disk, next }
    }

    pub fn store(&self, state: &ShardState, before: &StoredShard) -> StoredShard {
        let parts = PartWriter::new(&self.disk, self.next.get());
        let stored = stored::store(state, before, &parts).unwrap();
        self.next.set(parts.next());
        // It goes through the manifest.
        let manifest = serde_json::to_string(&stored).unwrap();
        let read: StoredShard = serde_json::from_str(&manifest).unwrap();
        assert_eq!(read, stored);
        read
    }

    /// The kinds of all parts there are, sorted.
    pub fn kinds(&self) -> Vec<String> {
        let names = self.disk.list("parts").unwrap();
        let kinds = names.iter().filter_map(|name| name.rsplit_once('-'));
        kinds.map(|(kind, _)| kind.to_owned()).collect()
    }

    pub fn path(&self, part: &str) -> std::path::PathBuf {
        self.temp.path().join("parts").join(part)
    }
}

/// How a node's shard works, for one that nobody wakes.
pub fn settings() -> ShardSettings {
    ShardSettings {
        repeatable: false,
        wake: Arc::new(|| ()),
        folder: None,
    }
}

pub fn open(folder: &Folder, stored: &StoredShard, settings: &ShardSettings) -> Result<Shard, Damaged> {
    stored::open(
        &index(),
        &[DIMENSIONS],
        settings,
        stored,
        &PartReader::new(&folder.disk),
    )
}

// ---- the shard

/// What is to be of a key: nothing, or a row and its vector.
pub type Change = (String, Option<(Row, DocumentVector)>);

pub struct Rig {
    pub shard: Shard,
    /// What the dataflow would deliver again.
    pub held: BTreeMap<String, (Row, DocumentVector)>,
    tick: u64,
    settings: ShardSettings,
    woken: Receiver<()>,
}

impl Rig {
    pub fn new() -> Rig {
        let (wake, woken) = channel();
        let settings = ShardSettings {
            folder: None,
            repeatable: false,
            wake: Arc::new(move || {
                // The test may be over.
                let _ = wake.send(());
            }),
        };
        Rig {
            shard: Shard::new(&index(), &[DIMENSIONS], &settings),
            held: BTreeMap::new(),
            tick: 0,
            settings,
            woken,
        }
    }

    /// The shard as it is stored, before its first tick.
    pub fn open(folder: &Folder, stored: &StoredShard) -> Rig {
        let rig = Rig::new();
        let shard = open(folder, stored, &rig.settings).unwrap();
        assert!(shard.is_recovering());
        Rig { shard, ..rig }
    }

    /// The shard as it is stored, with the documents that this one holds.
    pub fn reopen(&self, folder: &Folder, stored: &StoredShard) -> Rig {
        let mut rig = Rig::open(folder, stored);
        rig.tick = self.tick;
        let held = self.held.iter();
        rig.apply(held.map(|(key, document)| (key.clone(), Some(document.clone()))));
        assert!(!rig.shard.is_recovering());
        rig
    }

    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.tick += 1;
        let mut updates = Vec::new();
        for (key, document) in changes {
            match &document {
                Some(document) => self.held.insert(key.clone(), document.clone()),
                None => self.held.remove(&key),
            };
            let key = Key::new([Datum::text(&key)]);
            updates.push(match document {
                Some((row, vector)) => Update::Put(
                    Arc::new(Document { key, row }),
                    DocumentVectors::whole([(0, vector)]),
                ),
                None => Update::Remove(key),
            });
        }
        self.shard.apply(Tick(self.tick), updates).unwrap();
    }

    pub fn state(&self) -> Arc<ShardState> {
        self.shard.state()
    }

    /// Waits until all that is due is in graphs.
    pub fn settle(&mut self) {
        while self.state().legs[0].vectors.unbuilt() > 0 {
            self.woken
                .recv_timeout(DEADLINE)
                .expect("background work ends in time");
            if self.shard.has_finished_work() {
                self.apply([]);
            }
        }
    }

    pub fn answers(&self) -> Vec<String> {
        answers(&self.state())
    }
}

/// All that can be seen of a state, as text: documents, statuses, and what both legs answer, bit by bit.
pub fn answers(state: &ShardState) -> Vec<String> {
    let key = |slot: Slot| state.documents.get(slot).expect("a hit is there").key.clone();
    let mut lines: Vec<String> = state
        .documents
        .iter()
        .map(|(slot, document)| {
            format!(
                "{} {:?} {:?}",
                document.key,
                document.row,
                state.legs[0].status(slot)
            )
        })
        .collect();
    lines.sort();
    for words in ["tea", "tea pot", "w1 w2 w3", "note5", "w4 note7 tea", "nothing"] {
        let of_slot = |_, slot| state.documents.get(slot);
        let hits = search(
            &Scope::new(&[&state.keyword], &of_slot),
            &KeywordQuery::words(words),
            1_000,
        )
        .unwrap();
        let hits = hits
            .iter()
            .map(|hit| format!("{}:{:08x}", key(hit.slot), hit.score.to_bits()));
        lines.push(format!("{words}: {}", hits.collect::<Vec<_>>().join(" ")));
    }
    let filter = parse_filter("price BETWEEN 20 AND 60").unwrap();
    let document = |slot| state.documents.get(slot).cloned();
    let slots = state.keyword.filter(&filter, &document).unwrap();
    let mut keys: Vec<_> = slots.iter().map(|slot| key(Slot(slot))).collect();
    keys.sort();
    lines.push(format!("{filter:?}: {keys:?}"));
    let vectors = &state.legs[0].vectors;
    lines.push(format!("{} vectors", vectors.len()));
    let random = &mut Random::new(99);
    for _ in 0..10 {
        let hits = vectors.search(&vector(random), 20, Effort::Exact, None);
        let hits = hits
            .iter()
            .map(|hit| format!("{}:{:08x}", key(hit.slot), hit.score.to_bits()));
        lines.push(format!("near: {}", hits.collect::<Vec<_>>().join(" ")));
    }
    lines
}
