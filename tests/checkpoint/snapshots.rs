//! Snapshots: made while checkpoints go on, and restored elsewhere.

use std::sync::Arc;

use millpond::checkpoint::Store;
use millpond::checkpoint::snapshots::{self, SnapshotError};
use millpond::storage::{Disk, Memory, Storage};

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
            assert_eq!(
                restored(&crashed, "again"),
                model,
                "stopped at {stop}, seed {seed}"
            );
            assert_eq!(open(&crashed).unwrap().1.as_ref(), Some(&model));
        }
    }
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
