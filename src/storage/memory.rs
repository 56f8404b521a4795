//! Files in memory, which crash and fail where a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{File, Storage};

/// Files in memory. Clones share them.
///
/// A test runs until [`Memory::stop_at`] an operation, or with a [`Fault`], and goes on with what [`Memory::crash`] gives.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

/// What goes wrong from now on; each happens once, but for a disk that stays full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// So many bytes more fit, until [`Memory::heal`].
    DiskFull { after_bytes: u64 },
    /// The n-th sync from now fails (the first is 0), and what it was for is not durable by a later one either:
    /// so it is on Linux, where a failed sync drops the pages.
    FailedSync { nth: u64 },
    /// The n-th write from now takes half of its bytes, and says so.
    ShortWrite { nth: u64 },
    /// The n-th write from now takes half of its bytes, and fails.
    FailedWrite { nth: u64 },
}

#[derive(Default)]
struct State {
    files: Vec<Content>,
    /// What a name stands for now, and at its folder's last sync.
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    operations: u64,
    stop_at: Option<u64>,
    faults: Vec<Fault>,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
    /// A sync failed: none after it helps.
    is_lost: bool,
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    /// What would be found after a power cut now; `seed` chooses what became of everything that was not synced.
    pub fn crash(&self, seed: u64) -> Memory {
        let state = self.lock();
        let mut chance = Chance(seed);
        let files: Vec<Content> = state.files.iter().map(|file| file.crash(&mut chance)).collect();
        let paths: BTreeSet<&String> = state.names.keys().chain(state.durable.keys()).collect();
        let mut names = BTreeMap::new();
        for path in paths {
            let (old, new) = (state.durable.get(path), state.names.get(path));
            let found = if old == new || chance.below(2) == 0 {
                new
            } else {
                old
            };
            if let Some(file) = found {
                names.insert(path.clone(), *file);
            }
        }
        let after = State {
            files,
            durable: names.clone(),
            names,
            ..State::default()
        };
        Memory {
            state: Arc::new(Mutex::new(after)),
        }
    }

    /// Creates, writes, syncs, renames, links and removals so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Everything fails once there have been so many [`Memory::operations`], reads too.
    pub fn stop_at(&self, operations: u64) {
        self.lock().stop_at = Some(operations);
    }

    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Takes back all faults that have not happened, and the stop.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.stop_at = None;
    }

    /// Turns one bit of a file over, wherever `bit` falls in its length. False if the file is absent or empty.
    pub fn flip_bit(&self, path: &str, bit: u64) -> bool {
        let mut state = self.lock();
        let Some(file) = state.names.get(path).copied() else {
            return false;
        };
        let bytes = &mut state.files[file].bytes;
        if bytes.is_empty() {
            return false;
        }
        let place = (bit / 8) as usize % bytes.len();
        bytes[place] ^= 1 << (bit % 8);
        true
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match self.stop_at {
            Some(operations) if self.operations >= operations => {
                Err(io::Error::other("the storage has stopped"))
            }
            _ => Ok(()),
        }
    }

    /// Every change of what is stored begins with this.
    fn operate(&mut self) -> io::Result<()> {
        self.check()?;
        self.operations += 1;
        Ok(())
    }

    fn find(&self, path: &str) -> io::Result<usize> {
        let found = self.names.get(path).copied();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no {path}")))
    }

    fn new_file(&mut self, path: &str) -> usize {
        self.files.push(Content::default());
        let file = self.files.len() - 1;
        self.names.insert(path.to_owned(), file);
        file
    }

    fn write(&mut self, file: usize, bytes: &[u8]) -> io::Result<usize> {
        self.operate()?;
        let mut taken = bytes.len();
        let mut failed = None;
        self.faults.retain_mut(|fault| match fault {
            Fault::ShortWrite { nth: 0 } => {
                taken = taken.min(bytes.len().div_ceil(2));
                false
            }
            Fault::FailedWrite { nth: 0 } => {
                taken = taken.min(bytes.len() / 2);
                failed = Some(io::Error::other("the write failed"));
                false
            }
            Fault::ShortWrite { nth } | Fault::FailedWrite { nth } => {
                *nth -= 1;
                true
            }
            Fault::DiskFull { after_bytes } => {
                taken = taken.min(usize::try_from(*after_bytes).unwrap_or(usize::MAX));
                *after_bytes -= taken as u64;
                if taken == 0 && !bytes.is_empty() {
                    failed = Some(io::Error::from(io::ErrorKind::StorageFull));
                }
                true
            }
            Fault::FailedSync { .. } => true,
        });
        self.files[file].bytes.extend_from_slice(&bytes[..taken]);
        match failed {
            Some(error) => Err(error),
            None => Ok(taken),
        }
    }

    /// Whether this sync fails.
    fn sync_fails(&mut self) -> bool {
        let mut fails = false;
        self.faults.retain_mut(|fault| match fault {
            Fault::FailedSync { nth: 0 } => {
                fails = true;
                false
            }
            Fault::FailedSync { nth } => {
                *nth -= 1;
                true
            }
            _ => true,
        });
        fails
    }
}

impl Content {
    fn crash(&self, chance: &mut Chance) -> Content {
        let mut bytes = self.bytes[..self.synced].to_vec();
        let rest = &self.bytes[self.synced..];
        match chance.below(4) {
            0 => {}
            1 => bytes.extend_from_slice(&rest[..chance.below(rest.len() as u64 + 1) as usize]),
            2 => bytes.extend_from_slice(rest),
            _ => bytes.extend(rest.iter().map(|_| chance.below(256) as u8)),
        }
        Content {
            synced: bytes.len(),
            bytes,
            is_lost: false,
        }
    }
}

impl Storage for Memory {
    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        let mut state = self.lock();
        state.operate()?;
        let file = state.new_file(path);
        Ok(Box::new(Handle {
            memory: self.clone(),
            file,
        }))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn File>> {
        let mut state = self.lock();
        state.operate()?;
        let file = match state.names.get(path) {
            Some(file) => *file,
            None => state.new_file(path),
        };
        Ok(Box::new(Handle {
            memory: self.clone(),
            file,
        }))
    }

    fn read(&self, path: &str) -> io::Result<Bytes> {
        let state = self.lock();
        state.check()?;
        Ok(Bytes::copy_from_slice(&state.files[state.find(path)?].bytes))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let file = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let file = state.find(from)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        state.find(path)?;
        state.names.remove(path);
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.check()?;
        let below = state.names.keys().filter_map(|path| inside(path, folder));
        Ok(below
            .filter(|rest| !rest.contains('/'))
            .map(str::to_owned)
            .collect())
    }

    fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.check()?;
        let below = state.names.keys().filter_map(|path| inside(path, folder));
        let folders: BTreeSet<&str> = below.filter_map(|rest| Some(rest.split_once('/')?.0)).collect();
        Ok(folders.into_iter().map(str::to_owned).collect())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        if state.sync_fails() {
            return Err(io::Error::other("the sync failed"));
        }
        let is_inside = |path: &str| inside(path, folder).is_some_and(|rest| !rest.contains('/'));
        let state = &mut *state;
        state.durable.retain(|path, _| !is_inside(path));
        let names = state.names.iter().filter(|(path, _)| is_inside(path));
        state
            .durable
            .extend(names.map(|(path, file)| (path.clone(), *file)));
        Ok(())
    }
}

/// The path as seen from a folder above it.
fn inside<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    match folder {
        "" => Some(path),
        folder => path.strip_prefix(folder)?.strip_prefix('/'),
    }
}

struct Handle {
    memory: Memory,
    file: usize,
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.memory.lock().write(self.file, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl File for Handle {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.memory.lock();
        state.operate()?;
        let fails = state.sync_fails();
        let content = &mut state.files[self.file];
        if fails {
            content.is_lost = true;
            return Err(io::Error::other("the sync failed"));
        }
        if !content.is_lost {
            content.synced = content.bytes.len();
        }
        Ok(())
    }
}

/// Choices from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
