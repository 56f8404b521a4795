//! The storage stops at every operation in turn: what is found is always exactly some published checkpoint.

use millpond::storage::Memory;

use super::support::{Model, Random, open, parts};

#[test]
fn what_is_written_comes_back() {
    for seed in 1..20 {
        let mut random = Random(seed);
        let memory = Memory::new();
        let mut model = Model::default();
        let (mut store, found) = open(&memory).unwrap();
        assert_eq!(found, None);
        for step in 0..40 {
            let changes = if step % 7 == 0 { 60 } else { 6 };
            let checkpointed = store.write(model.step(&mut random, changes)).unwrap();
            assert_eq!(checkpointed, model.checkpointed());
            if step % 5 == 0 {
                let (reopened, found) = open(&memory).unwrap();
                assert_eq!(found.as_ref(), Some(&model), "seed {seed}, step {step}");
                store = reopened;
            }
        }
        assert!(
            parts(&memory).len() < 60,
            "parts that nobody needs: {:?}",
            parts(&memory)
        );
    }
}

/// Writes cuts until the storage stops: all models so far, and how many of them were acknowledged.
fn run(memory: &Memory, seed: u64, cuts: usize) -> (Vec<Model>, usize) {
    let mut random = Random(seed);
    let mut models = vec![Model::default()];
    let Ok((mut store, _)) = open(memory) else {
        return (models, 0);
    };
    for written in 0..cuts {
        let mut model = models.last().unwrap().clone();
        let cut = model.step(&mut random, 8);
        models.push(model);
        if store.write(cut).is_err() {
            return (models, written);
        }
    }
    (models, cuts)
}

#[test]
fn a_crash_at_any_operation_leaves_a_published_checkpoint() {
    const CUTS: usize = 12;
    let whole = Memory::new();
    run(&whole, 7, CUTS);
    let mut renamed = 0;
    for stop in 0..=whole.operations() {
        let memory = Memory::new();
        memory.stop_at(stop);
        let (models, acknowledged) = run(&memory, 7, CUTS);
        for seed in 0..6 {
            let crashed = memory.crash(stop * 31 + seed);
            let place = format!("stopped at {stop}, seed {seed}, {acknowledged} acknowledged");
            let (mut store, found) = open(&crashed).unwrap_or_else(|error| panic!("{place}: {error}"));
            let found = found.unwrap_or_default();
            let newest = models.iter().position(|model| *model == found);
            let newest = newest.unwrap_or_else(|| panic!("{place}: no published state: {found:?}"));
            assert!(newest >= acknowledged, "{place}: lost, found {newest}");
            renamed += usize::from(newest > acknowledged);

            // It goes on from there, and leaves nothing behind for ever.
            let mut model = found;
            let mut random = Random(stop + 1);
            for _ in 0..3 {
                store.write(model.step(&mut random, 8)).unwrap();
            }
            let (_, found) = open(&crashed).unwrap();
            assert_eq!(found.as_ref(), Some(&model), "{place}");
            let manifests = crashed
                .paths()
                .iter()
                .filter(|path| path.starts_with("manifest-"))
                .count();
            assert_eq!(manifests, 2, "{place}: {:?}", crashed.paths());
        }
    }
    assert!(renamed > 0, "no crash came between a rename and its sync");
}

#[test]
fn a_crash_while_recovering_changes_nothing() {
    let memory = Memory::new();
    let (models, written) = run(&memory, 3, 9);
    // Garbage of a write that did not end, so that opening has something to remove.
    memory.stop_at(memory.operations() + 3);
    open(&memory)
        .unwrap()
        .0
        .write(models[written].clone().step(&mut Random(5), 9))
        .unwrap_err();
    memory.heal();
    let start = memory.crash(1);
    let whole = start.crash(1);
    open(&whole).unwrap();
    for stop in 0..=whole.operations() {
        let again = start.crash(stop);
        again.stop_at(stop);
        let _ = open(&again);
        let (_, found) = open(&again.crash(stop)).unwrap();
        assert_eq!(found.as_ref(), models.last(), "stopped at {stop}");
    }
}
