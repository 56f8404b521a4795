//! Writes checkpoints: parts first, then the manifest that names them, then away with what no manifest needs.
//!
//! A crash before the manifest's rename leaves the checkpoint before and parts that nobody names; one after it, the new
//! checkpoint. The newest two are kept whole, the older one for the case that the newer is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::block::Entry;
use super::layers::Layers;
use super::manifest::{Found, Manifest, StoredTable};
use super::{Checkpointed, Cut, Shape, StoredSets, rows, texts};
use crate::change::Tick;
use crate::definition::KeptFile;
use crate::index::stored::{self, StoredShard};
use crate::storage::{PARTS, Part, PartReader, PartWriter, Storage};

/// The checkpoints of one data directory. One at a time: the caller locks the directory.
pub struct Store {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) shape: Shape,
    /// Kept with the next checkpoints.
    pub(super) file: Option<KeptFile>,
    pub(super) basis: Basis,
    /// The newest first, at most [`KEPT`].
    pub(super) kept: Vec<Kept>,
    /// Changes that belong to no durable checkpoint: their write failed.
    pub(super) unwritten: Option<Cut>,
    pub(super) next_manifest: u64,
    pub(super) next_part: u64,
}

/// Checkpoints that are kept whole.
pub(super) const KEPT: usize = 2;

/// What the next checkpoint adds to.
#[derive(Default)]
pub(super) struct Basis {
    pub tables: BTreeMap<String, StoredTable>,
    pub texts: Layers,
    pub shards: Vec<StoredShard>,
}

/// A checkpoint on disk.
pub(super) struct Kept {
    pub number: u64,
    pub checkpointed: Checkpointed,
    pub parts: BTreeSet<String>,
}

/// A checkpoint that was not written. The one before it stays, and the next one has the changes of both.
#[derive(Debug, thiserror::Error)]
#[error("write the checkpoint of tick {tick}")]
pub struct CheckpointError {
    pub tick: Tick,
    #[source]
    pub cause: io::Error,
}

impl Store {
    /// Keeps the dataflow file with the checkpoints from now on: what it has made can be read when it has changed.
    pub fn keep_file(&mut self, file: KeptFile) {
        self.file = Some(file);
    }

    /// Makes a cut durable. It may take seconds: it belongs on a thread of its own.
    ///
    /// # Errors
    /// The disk is full or faulty, or a part that was to be merged is damaged. The next call tries again with the changes
    /// of this cut and its own.
    pub fn write(&mut self, cut: Cut) -> Result<Checkpointed, CheckpointError> {
        let cut = self.with_unwritten(cut);
        match self.write_manifest(&cut) {
            Ok(kept) => {
                let checkpointed = kept.checkpointed.clone();
                self.kept.insert(0, kept);
                self.kept.truncate(KEPT);
                self.remove_unneeded();
                Ok(checkpointed)
            }
            Err(cause) => {
                let tick = cut.tick;
                self.unwritten = Some(cut);
                // Half a checkpoint takes the room that the next try needs.
                self.remove_unneeded();
                Err(CheckpointError { tick, cause })
            }
        }
    }

    /// Leaves a cut to the next one, which has the changes of both: what its positions rely on could be lost.
    pub fn postpone(&mut self, cut: Cut) {
        self.unwritten = Some(self.with_unwritten(cut));
    }

    fn with_unwritten(&mut self, cut: Cut) -> Cut {
        match self.unwritten.take() {
            Some(earlier) => earlier.followed_by(cut),
            None => cut.sorted(),
        }
    }

    /// The older one of the checkpoints that are kept: logs must be able to go on from there, in case the newer is damaged.
    pub fn oldest(&self) -> Option<&Checkpointed> {
        self.kept.last().map(|kept| &kept.checkpointed)
    }

    fn write_manifest(&mut self, cut: &Cut) -> io::Result<Kept> {
        let writer = PartWriter::new(&*self.storage, self.next_part);
        let written = self.write_parts(cut, &writer);
        // Also after an error: a part's name is never used again.
        self.next_part = writer.next();
        let basis = written?;
        self.storage.sync_folder(PARTS)?;
        let manifest = Manifest {
            tick: cut.tick,
            positions: cut.positions.clone(),
            partitions: cut.partitions.clone(),
            shape: self.shape.answered_by(&cut.sets),
            sets: StoredSets::of(&cut.sets),
            file: self.file.clone(),
            tables: basis.tables,
            texts: basis.texts,
            shards: basis.shards,
            next_part: self.next_part,
        };
        let number = self.next_manifest;
        self.next_manifest += 1;
        manifest.write(&*self.storage, number)?;
        let kept = Kept::of(number, &manifest);
        self.basis = Basis {
            tables: manifest.tables,
            texts: manifest.texts,
            shards: manifest.shards,
        };
        Ok(kept)
    }

    fn write_parts(&self, cut: &Cut, writer: &PartWriter<'_>) -> io::Result<Basis> {
        let reader = PartReader::new(&*self.storage);
        let mut tables = BTreeMap::new();
        for (table, changed) in self.shape.tables.iter().zip(&cut.tables) {
            let before = self.basis.tables.get(&table.name).cloned().unwrap_or_default();
            let stored = StoredTable {
                truncated: changed.truncated.or(before.truncated),
                rows: rows::write(&before.rows, &changed.keys, &reader, writer)?,
            };
            tables.insert(table.name.clone(), stored);
        }
        let none = StoredShard::default();
        let shards = cut.shards.iter().enumerate().map(|(place, shard)| {
            let before = self.basis.shards.get(place).unwrap_or(&none);
            stored::store(shard, before, writer)
        });
        Ok(Basis {
            shards: shards.collect::<io::Result<_>>()?,
            texts: texts::write(&self.basis.texts, &cut.texts, &cut.forgotten, &reader, writer)?,
            tables,
        })
    }

    /// Removes all files that no kept checkpoint needs. What remains after an error is removed the next time.
    pub(super) fn remove_unneeded(&self) {
        if let Err(error) = self.try_remove_unneeded() {
            tracing::warn!(%error, "files that no checkpoint needs are still there");
        }
    }

    fn try_remove_unneeded(&self) -> io::Result<()> {
        let found = Found::list(&*self.storage, "")?;
        let is_kept = |number: u64| self.kept.iter().any(|kept| kept.number == number);
        let manifests = found
            .manifests
            .iter()
            .filter(|(number, _)| !is_kept(*number))
            .map(|(_, name)| name);
        // Manifests go before the parts that they name.
        for name in manifests.chain(&found.aside) {
            self.storage.remove(name)?;
        }
        for name in self.storage.list(PARTS)? {
            if !self.kept.iter().any(|kept| kept.parts.contains(&name)) {
                self.storage.remove(&format!("{PARTS}/{name}"))?;
            }
        }
        Ok(())
    }
}

impl Kept {
    pub fn of(number: u64, manifest: &Manifest) -> Kept {
        Kept {
            number,
            checkpointed: Checkpointed {
                tick: manifest.tick,
                positions: Arc::new(manifest.positions.clone()),
            },
            parts: manifest.parts().map(|part: &Part| part.name.clone()).collect(),
        }
    }
}

impl Cut {
    fn sorted(mut self) -> Cut {
        self.tables.iter_mut().for_each(|table| sort(&mut table.keys));
        self
    }

    /// This cut's changes and those of a newer one, as of that one's tick.
    fn followed_by(self, mut newer: Cut) -> Cut {
        let mut texts = self.texts;
        texts.retain(|hash, _| !newer.forgotten.contains(&hash.lane()));
        texts.append(&mut newer.texts);
        newer.texts = texts;
        newer.forgotten.extend(self.forgotten);
        for (table, before) in newer.tables.iter_mut().zip(self.tables) {
            let mut keys = before.keys;
            keys.append(&mut table.keys);
            table.keys = keys;
            table.truncated = table.truncated.or(before.truncated);
        }
        newer.sorted()
    }
}

/// Sorts by key, and leaves of equal ones the last.
fn sort(entries: &mut Vec<Entry>) {
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            std::mem::swap(later, kept);
        }
        is_same
    });
}
