use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};

use super::{Fault, Memory};
use crate::storage::{Disk, Storage};

/// All that 300 crashes leave of a file; `None` where it is absent.
fn outcomes(memory: &Memory, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..300)
        .map(|seed| memory.crash(seed).read(path).ok().map(|bytes| bytes.to_vec()))
        .collect()
}

fn put(storage: &dyn Storage, path: &str, bytes: &[u8]) {
    let mut file = storage.create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync().unwrap();
}

#[test]
fn synced_bytes_under_a_synced_name_survive_every_crash() {
    let memory = Memory::new();
    put(&memory, "a/b", b"kept");
    memory.sync_folder("a").unwrap();
    assert_eq!(outcomes(&memory, "a/b"), [Some(b"kept".to_vec())].into());
}

#[test]
fn unsynced_bytes_are_cut_lost_whole_or_garbage() {
    let memory = Memory::new();
    let mut file = memory.create("a").unwrap();
    memory.sync_folder("").unwrap();
    file.write_all(b"syn").unwrap();
    file.sync().unwrap();
    file.write_all(b"cut").unwrap();
    let found = outcomes(&memory, "a");
    for expected in ["syn", "sync", "syncu", "syncut"] {
        assert!(found.contains(&Some(expected.as_bytes().to_vec())), "{expected}");
    }
    for bytes in &found {
        let bytes = bytes.as_deref().unwrap();
        assert!(bytes.starts_with(b"syn") && bytes.len() <= 6, "{bytes:?}");
    }
    assert!(
        found
            .iter()
            .flatten()
            .any(|bytes| bytes.len() == 6 && bytes != b"syncut")
    );
}

#[test]
fn a_name_that_is_not_synced_is_the_old_one_or_the_new_one() {
    let memory = Memory::new();
    put(&memory, "a", b"old");
    memory.sync_folder("").unwrap();
    put(&memory, "b", b"new");
    memory.rename("b", "a").unwrap();
    let both: BTreeSet<_> = [Some(b"old".to_vec()), Some(b"new".to_vec())].into();
    assert_eq!(outcomes(&memory, "a"), both);

    memory.remove("a").unwrap();
    let maybe: BTreeSet<_> = [Some(b"old".to_vec()), None].into();
    assert_eq!(outcomes(&memory, "a"), maybe);
}

#[test]
fn everything_fails_from_the_operation_on_where_it_stops() {
    let memory = Memory::new();
    put(&memory, "a", b"x");
    assert_eq!(memory.operations(), 3, "create, write, sync");
    memory.stop_at(4);
    memory.sync_folder("").unwrap();
    memory.remove("a").unwrap_err();
    memory.read("a").unwrap_err();
    memory.list("").unwrap_err();
    assert_eq!(outcomes(&memory, "a"), [Some(b"x".to_vec())].into());
}

#[test]
fn a_full_disk_takes_what_fits() {
    let memory = Memory::new();
    memory.inject(Fault::DiskFull { after_bytes: 5 });
    let mut file = memory.create("a").unwrap();
    let error = file.write_all(b"1234567").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(&*memory.read("a").unwrap(), b"12345");
    memory.heal();
    file.write_all(b"67").unwrap();
    assert_eq!(&*memory.read("a").unwrap(), b"1234567");
}

#[test]
fn after_a_failed_sync_no_other_makes_the_bytes_durable() {
    let memory = Memory::new();
    let mut file = memory.create("a").unwrap();
    memory.sync_folder("").unwrap();
    file.write_all(b"x").unwrap();
    memory.inject(Fault::FailedSync { nth: 0 });
    file.sync().unwrap_err();
    file.sync().unwrap();
    assert!(outcomes(&memory, "a").contains(&Some(Vec::new())));
}

#[test]
fn short_and_failed_writes_take_half() {
    let memory = Memory::new();
    let mut file = memory.create("a").unwrap();
    memory.inject(Fault::ShortWrite { nth: 1 });
    assert_eq!(file.write(b"ab").unwrap(), 2);
    assert_eq!(file.write(b"cdef").unwrap(), 2);
    memory.inject(Fault::FailedWrite { nth: 0 });
    file.write(b"efgh").unwrap_err();
    assert_eq!(&*memory.read("a").unwrap(), b"abcdef");
}

#[test]
fn disk_and_memory_agree_on_names() {
    fn names(storage: &dyn Storage) -> String {
        put(storage, "a/b/one", b"1");
        put(storage, "a/two", b"2");
        put(storage, "three", b"3");
        storage.link("a/two", "c/two").unwrap();
        // A new file of the same name leaves the other name of the old one alone.
        put(storage, "a/two", b"2b");
        storage.rename("three", "a/three").unwrap();
        let again = storage.link("a/two", "c/two").unwrap_err().kind();
        let absent = storage.remove("three").unwrap_err().kind();
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {again} {absent}",
            storage.list("").unwrap(),
            storage.list("a").unwrap(),
            storage.folders("").unwrap(),
            storage.folders("a").unwrap(),
            storage.list("none").unwrap(),
            storage.read("c/two").unwrap(),
        )
    }
    let folder = tempfile::tempdir().unwrap();
    let expected = r#"[] ["three", "two"] ["a", "c"] ["b"] [] b"2" entity already exists entity not found"#;
    assert_eq!(names(&Memory::new()), expected);
    assert_eq!(names(&Disk::new(folder.path())), expected);
}
