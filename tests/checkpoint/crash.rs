//! The storage stops at every operation in turn: what is found is always exactly some published checkpoint.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use millpond::checkpoint::Store;
use millpond::storage::{File, Memory, Storage};

use super::support::{Model, Random, open, parts, shape};

#[test]
fn what_is_written_comes_back() {
    for seed in Random::seeds(20) {
        let mut random = Random::new(seed);
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
fn run(storage: impl Storage, seed: u64, cuts: usize) -> (Vec<Model>, usize) {
    let mut random = Random::new(seed);
    let mut models = vec![Model::default()];
    let Ok((mut store, _)) = Store::open(Arc::new(storage), shape(), None) else {
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

const CUTS: usize = 12;

/// Which of the models a crashed storage holds.
///
/// # Errors
/// None of them, or one from before the newest that was acknowledged.
fn found(crashed: &Memory, models: &[Model], acknowledged: usize) -> Result<usize, String> {
    let (_, found) = open(crashed).map_err(|error| error.to_string())?;
    let found = found.unwrap_or_default();
    match models.iter().position(|model| *model == found) {
        None => Err(format!("no published state: {found:?}")),
        Some(newest) if newest < acknowledged => Err(format!("{newest} instead of {acknowledged}")),
        Some(newest) => Ok(newest),
    }
}

#[test]
fn a_crash_at_any_operation_leaves_a_published_checkpoint() {
    let whole = Memory::new();
    run(whole.clone(), 7, CUTS);
    let mut unacknowledged = 0;
    for stop in 0..=whole.operations() {
        let memory = Memory::new();
        memory.stop_at(stop);
        let (models, acknowledged) = run(memory.clone(), 7, CUTS);
        for seed in 0..6 {
            let place = format!("stopped at {stop}, seed {seed}");
            let crashed = memory.crash(stop * 31 + seed);
            let newest =
                found(&crashed, &models, acknowledged).unwrap_or_else(|error| panic!("{place}: {error}"));
            unacknowledged += usize::from(newest > acknowledged);

            // It goes on from there, and leaves nothing behind for ever.
            let mut model = models[newest].clone();
            let mut random = Random::new(stop + 1);
            let (mut store, _) = open(&crashed).unwrap();
            for _ in 0..3 {
                store.write(model.step(&mut random, 8)).unwrap();
            }
            let before = crashed.paths();
            let (_, found) = open(&crashed).unwrap();
            assert_eq!(found.as_ref(), Some(&model), "{place}");
            assert_eq!(before, crashed.paths(), "{place}: files that nobody needs");
            let manifests = before.iter().filter(|path| path.starts_with("manifest-"));
            assert_eq!(manifests.count(), 2, "{place}: {before:?}");
        }
    }
    assert!(unacknowledged > 0, "no crash came between a rename and its sync");
}

/// Leaves out one kind of sync, and says that it was done.
struct Careless {
    memory: Memory,
    left_out: &'static str,
}

struct CarelessFile(Box<dyn File>);

impl Write for CarelessFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl File for CarelessFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Storage for Careless {
    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        let file = self.memory.create(path)?;
        match path.starts_with(self.left_out) {
            true => Ok(Box::new(CarelessFile(file))),
            false => Ok(file),
        }
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn File>> {
        self.memory.append(path)
    }

    fn read(&self, path: &str) -> io::Result<Bytes> {
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
        match self.left_out == format!("folder {folder}") {
            true => Ok(()),
            false => self.memory.sync_folder(folder),
        }
    }
}

#[test]
fn a_sync_that_is_left_out_is_seen() {
    for left_out in ["parts/", "manifest-", "folder parts", "folder "] {
        let mut seen = 0;
        for stop in 0..150 {
            let memory = Memory::new();
            memory.stop_at(stop);
            let careless = Careless {
                memory: memory.clone(),
                left_out,
            };
            let (models, acknowledged) = run(careless, 7, CUTS);
            let crashes = (0..6).map(|seed| memory.crash(stop * 31 + seed));
            seen += crashes
                .filter(|crashed| found(crashed, &models, acknowledged).is_err())
                .count();
        }
        assert!(seen > 10, "{left_out:?} is needed, and was missed {seen} times");
    }
}

#[test]
fn a_crash_while_recovering_changes_nothing() {
    let memory = Memory::new();
    let (models, written) = run(memory.clone(), 3, 9);
    // Parts of a write that did not end, so that opening has something to remove.
    let (mut store, _) = open(&memory).unwrap();
    memory.stop_at(memory.operations() + 3);
    store
        .write(models[written].clone().step(&mut Random::new(5), 9))
        .unwrap_err();
    let start = memory.crash(1);
    let whole = start.crash(1);
    let before = whole.operations();
    open(&whole).unwrap();
    assert!(whole.operations() > before, "there was something to remove");
    for stop in before..=whole.operations() {
        let again = start.crash(stop);
        again.stop_at(stop);
        let _ = open(&again);
        let (_, found) = open(&again.crash(stop)).unwrap();
        assert_eq!(found.as_ref(), models.last(), "stopped at {stop}");
    }
}
