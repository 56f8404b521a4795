//! Snapshots: made while checkpoints go on, and restored elsewhere.

use std::io;
use std::sync::{Arc, Mutex};

use millpond::checkpoint::Store;
use millpond::checkpoint::snapshots::{self, SnapshotError};
use millpond::storage::{Disk, File, Memory, Storage};

use super::support::{Model, Random, open, shape};

#[test]
fn a_snapshot_outlives_the_checkpoints_after_it_and_is_restored_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    let mut random = Random::new(4);
    let mut model = Model::default();
    let (mut store, _) = Store::open(Arc::new(disk.clone()), shape(), None).unwrap();
    assert!(matches!(
        snapshots::create(&disk, "early"),
        Err(SnapshotError::NoCheckpoint)
    ));
    for _ in 0..5 {
        store.write(model.step(&mut random, 30)).unwrap();
    }
    let made = snapshots::create(&disk, "monday").unwrap();
    assert_eq!(made.tick, model.tick);
    let then = model.clone();
    for _ in 0..30 {
        store.write(model.step(&mut random, 30)).unwrap();
    }
    assert!(matches!(
        snapshots::create(&disk, "monday"),
        Err(SnapshotError::Exists { .. })
    ));
    snapshots::create(&disk, "tuesday.2").unwrap();
    let listed = snapshots::list(&disk).unwrap();
    let names: Vec<&str> = listed.iter().map(|snapshot| snapshot.name.as_str()).collect();
    assert_eq!(names, ["monday", "tuesday.2"]);
    assert_eq!(listed[0], made);

    let elsewhere = tempfile::tempdir().unwrap();
    let from = Disk::new(&folder.path().join("snapshots/monday"));
    let to = Disk::new(elsewhere.path());
    let restored = snapshots::restore(&from, &to).unwrap();
    assert_eq!((restored.tick, restored.bytes), (made.tick, made.bytes));
    assert!(matches!(
        snapshots::restore(&from, &to),
        Err(SnapshotError::NotEmpty)
    ));
    drop(folder);
    let (_, recovered) = Store::open(Arc::new(to), shape(), None).unwrap();
    assert_eq!(recovered.map(Model::of), Some(then));
}

#[test]
fn names_that_could_leave_the_folder_are_refused() {
    let memory = Memory::new();
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "../a",
        ".hidden",
        "a b",
        "ü",
        &"a".repeat(101),
    ] {
        let refused = snapshots::create(&memory, name);
        assert!(matches!(refused, Err(SnapshotError::OddName { .. })), "{name:?}");
    }
}

#[test]
fn a_crash_leaves_a_whole_snapshot_or_none_and_its_name_is_free() {
    let memory = Memory::new();
    let mut model = Model::default();
    let (mut store, _) = open(&memory).unwrap();
    store.write(model.step(&mut Random::new(6), 40)).unwrap();
    let mut letters = memory.append("dead-letters.ndjson").unwrap();
    letters.write_all(b"a letter\n").unwrap();
    letters.sync().unwrap();
    memory.sync_folder("").unwrap();
    let start = memory.operations();
    snapshots::create(&memory, "whole").unwrap();
    let operations = memory.operations() - start;
    for stop in 0..operations {
        let memory = memory.crash(0);
        let stopped_at = memory.operations() + stop;
        memory.stop_at(stopped_at);
        snapshots::create(&memory, "again").unwrap_err();
        for seed in 0..5 {
            let crashed = memory.crash(seed);
            let names = snapshots::list(&crashed).unwrap();
            let is_there = names.iter().any(|snapshot| snapshot.name == "again");
            if !is_there {
                snapshots::create(&crashed, "again").unwrap();
            }
            let copy = crashed.read("snapshots/again/dead-letters.ndjson").unwrap();
            assert_eq!(copy, "a letter\n");
            assert_eq!(
                restored(&crashed, "again"),
                model,
                "stopped at {stop}, seed {seed}"
            );
            assert_eq!(open(&crashed).unwrap().1.as_ref(), Some(&model));
        }
    }
}

/// A node writes another checkpoint, and a replayed letter goes, while the first copy of the letters is made.
struct Meddled {
    memory: Memory,
    meddle: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Storage for Meddled {
    fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        if let Some(meddle) = self.meddle.lock().unwrap().take() {
            meddle();
        }
        self.memory.copy(from, to)
    }
    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        self.memory.create(path)
    }
    fn append(&self, path: &str) -> io::Result<Box<dyn File>> {
        self.memory.append(path)
    }
    fn read(&self, path: &str) -> io::Result<bytes::Bytes> {
        self.memory.read(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }
    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.link(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.memory.remove(path)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.memory.list(folder)
    }
    fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.memory.folders(folder)
    }
    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.memory.sync_folder(folder)
    }
}

#[test]
fn a_snapshot_lacks_no_letter_whose_changes_it_lacks() {
    let memory = Memory::new();
    let (mut random, mut model) = (Random::new(8), Model::default());
    let (mut store, _) = open(&memory).unwrap();
    store.write(model.step(&mut random, 40)).unwrap();
    let letters = |memory: &Memory, text: &str| {
        let mut file = memory.append("dead-letters.ndjson").unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    letters(&memory, "a letter\n");
    let cut = model.step(&mut random, 40);
    let (then, meddling) = (model.clone(), memory.clone());
    let meddle = move || {
        store.write(cut).unwrap();
        letters(&meddling, "the letter is in that checkpoint and goes\n");
    };
    let meddled = Meddled {
        memory: memory.clone(),
        meddle: Mutex::new(Some(Box::new(meddle))),
    };
    let made = snapshots::create(&meddled, "made").unwrap();
    assert_eq!((made.tick, &made.positions), (then.tick, &then.positions));
    let copy = memory.read("snapshots/made/dead-letters.ndjson").unwrap();
    assert_eq!(copy, "a letter\nthe letter is in that checkpoint and goes\n");
    assert_eq!(restored(&memory, "made"), then);
}

/// What a node finds that starts from a snapshot's copy.
fn restored(memory: &Memory, name: &str) -> Model {
    let (from, to) = (Memory::new(), Memory::new());
    let prefix = format!("snapshots/{name}/");
    for path in memory.paths() {
        if let Some(rest) = path.strip_prefix(&prefix) {
            let bytes = memory.read(&path).unwrap();
            from.create(rest).unwrap().write_all(&bytes).unwrap();
        }
    }
    snapshots::restore(&from, &to).unwrap();
    open(&to).unwrap().1.unwrap()
}
