//! Full disks, failed syncs and writes, flipped bits: an error or an older checkpoint, and the next write works.

use std::collections::BTreeMap;

use millpond::checkpoint::OpenError;
use millpond::storage::{Fault, Memory, Storage};

use super::support::{Model, Random, open, parts};

/// Six cuts with one fault; whether a write failed.
fn six_cuts_with(fault: Fault) -> bool {
    let memory = Memory::new();
    let (mut store, _) = open(&memory).unwrap();
    memory.inject(fault);
    let mut random = Random::new(11);
    let mut models = vec![Model::default()];
    let (mut acknowledged, mut has_failed) = (0, false);
    for step in 1..=7 {
        let mut model = models.last().unwrap().clone();
        let cut = model.step(&mut random, 10);
        models.push(model);
        match store.write(cut) {
            Ok(checkpointed) => {
                assert_eq!(checkpointed, models[step].checkpointed());
                acknowledged = step;
            }
            Err(error) => {
                assert_eq!(error.tick, models[step].tick, "{fault:?}");
                has_failed = true;
                for seed in 0..5 {
                    let (_, found) = open(&memory.crash(seed)).unwrap();
                    let found = found.unwrap_or_default();
                    assert!(
                        models[acknowledged..].contains(&found),
                        "{fault:?}, step {step}, seed {seed}: {found:?}"
                    );
                }
                memory.heal();
            }
        }
    }
    assert_eq!(acknowledged, 7, "{fault:?}: the last write, long after the fault");
    let before = parts(&memory);
    let (_, found) = open(&memory.crash(3)).unwrap();
    assert_eq!(found.as_ref(), models.last(), "{fault:?}");
    open(&memory).unwrap();
    assert_eq!(
        before,
        parts(&memory),
        "{fault:?}: it left parts that nobody needs"
    );
    has_failed
}

#[test]
fn a_write_after_a_failed_one_has_the_changes_of_both() {
    let failures = |fault: &dyn Fn(u64) -> Fault| (0..18).filter(|nth| six_cuts_with(fault(*nth))).count();
    assert_eq!(failures(&|nth| Fault::FailedSync { nth }), 18);
    assert_eq!(failures(&|nth| Fault::FailedWrite { nth }), 18);
    let full = failures(&|nth| Fault::DiskFull {
        after_bytes: nth * nth * 20,
    });
    assert!(full > 12, "{full}");
    assert_eq!(failures(&|nth| Fault::ShortWrite { nth }), 0);
}

#[test]
fn a_disk_that_stays_full_does_not_fill_with_half_checkpoints() {
    let memory = Memory::new();
    let mut random = Random::new(5);
    let mut model = Model::default();
    let (mut store, _) = open(&memory).unwrap();
    store.write(model.step(&mut random, 20)).unwrap();
    let before = memory.paths();
    memory.inject(Fault::DiskFull { after_bytes: 300 });
    for _ in 0..5 {
        store.write(model.step(&mut random, 20)).unwrap_err();
        assert_eq!(memory.paths(), before);
    }
    memory.heal();
    store.write(model.step(&mut random, 1)).unwrap();
    assert_eq!(open(&memory).unwrap().1, Some(model));
}

#[test]
fn a_flipped_bit_in_any_file_is_an_error_or_an_older_checkpoint() {
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let written = Memory::new();
    let mut random = Random::new(23);
    let mut models = vec![Model::default()];
    let (mut store, _) = open(&written).unwrap();
    for changes in [60, 60, 10, 10, 10, 1, 0, 5] {
        let mut model = models.last().unwrap().clone();
        store.write(model.step(&mut random, changes)).unwrap();
        models.push(model);
    }
    written.sync_folder("").unwrap();
    written.sync_folder("parts").unwrap();
    let (newest, before) = (&models[models.len() - 1], &models[models.len() - 2]);
    let manifests = written
        .paths()
        .into_iter()
        .filter(|path| path.starts_with("manifest"));
    let oldest = written.read(&manifests.min().unwrap()).unwrap();
    let oldest = String::from_utf8_lossy(&oldest);
    for path in written.paths() {
        for _ in 0..30 {
            let memory = written.crash(0);
            let bit = random.next() >> 20;
            assert!(memory.flip_bit(&path, bit), "{path}");
            let outcome = match open(&memory) {
                Ok((mut store, found)) => {
                    let found = found.unwrap();
                    assert!(
                        memory.paths().contains(&path),
                        "what is damaged stays to be looked at"
                    );
                    let outcome = if found == *newest { "newest" } else { "before" };
                    assert!(found == *newest || found == *before, "{path}, bit {bit}");
                    let mut model = found;
                    // Nothing is merged, so no damaged part of an older checkpoint gets in the way.
                    let cut = model.step(&mut Random::new(9), 1);
                    store.write(cut).unwrap();
                    assert_eq!(
                        open(&memory).unwrap().1.as_ref(),
                        Some(&model),
                        "{path}, bit {bit}"
                    );
                    outcome
                }
                Err(OpenError::NothingWhole { newest }) => {
                    assert_eq!(newest.path, path, "bit {bit}");
                    let name = path.strip_prefix("parts/").unwrap();
                    assert!(
                        oldest.contains(name),
                        "{path}: the checkpoint before does without"
                    );
                    "refused"
                }
                Err(error) => panic!("{path}, bit {bit}: {error}"),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
}

#[test]
fn the_checkpoint_before_a_restart_is_kept_beside_the_first_one_after_it() {
    let memory = Memory::new();
    let mut random = Random::new(4);
    let mut model = Model::default();
    let (mut store, _) = open(&memory).unwrap();
    store.write(model.step(&mut random, 20)).unwrap();
    let before = model.clone();
    let (mut store, _) = open(&memory).unwrap();
    store.write(model.step(&mut random, 20)).unwrap();
    let paths = memory.paths().into_iter();
    let newest = paths.filter(|path| path.starts_with("manifest")).max().unwrap();
    assert!(memory.flip_bit(&newest, 999));
    assert_eq!(open(&memory).unwrap().1, Some(before));
}

#[test]
fn a_part_that_is_absent_or_cut_short_is_damaged() {
    let memory = Memory::new();
    let mut model = Model::default();
    let (mut store, _) = open(&memory).unwrap();
    store.write(model.step(&mut Random::new(2), 50)).unwrap();
    for path in parts(&memory) {
        let damaged = memory.crash(0);
        let bytes = damaged.read(&path).unwrap();
        damaged.remove(&path).unwrap();
        let error = open(&damaged).err().unwrap();
        assert!(error.to_string().contains(&path), "{error}");
        assert!(error.to_string().contains("millpond snapshot restore"), "{error}");
        damaged
            .create(&path)
            .unwrap()
            .write_all(&bytes[..bytes.len() - 1])
            .unwrap();
        let error = open(&damaged).err().unwrap();
        assert!(error.to_string().contains("bytes instead of"), "{error}");
    }
}
