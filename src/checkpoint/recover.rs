//! Opens a data directory: the newest checkpoint that is whole, made to fit the definition.

use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use super::manifest::{Found, Manifest, ManifestError, has_next};
use super::shape::{Change, Shape};
use super::store::{Basis, KEPT, Kept, Store};
use super::{Before, Cut, Recovered, StoredKey, StoredSets, StoredState, TableCut, rows, texts};
use crate::change::{Key, Row};
use crate::index::stored::StoredShard;
use crate::storage::{Damaged, PARTS, PartReader, Storage};

/// The key of a table's row by the definition as it is now; `None` where the row has none.
pub type Rekey<'a> = &'a dyn Fn(&str, &Row) -> Option<Key>;

/// Why a data directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("read the data directory")]
    Storage(#[from] io::Error),
    #[error(
        "the data directory was made by another version of millpond ({path} has format {found}, this one reads {known}): use that version, or another --data-dir",
        known = super::manifest::FORMAT
    )]
    Newer { path: String, found: u32 },
    #[error(
        "the stored data does not fit the dataflow file: {reason}: go back to the file before, or build again from the stored rows with --rebuild"
    )]
    NeedsRebuild { reason: String },
    #[error(
        "no checkpoint is whole ({newest}): restore one with `millpond snapshot restore`, or move the data directory away to read the sources from their start"
    )]
    NothingWhole { newest: Damaged },
}

impl Store {
    /// Opens a data directory for a definition of this shape. `None` where there is no checkpoint yet.
    ///
    /// `rebuild` is given where the user asks for it: then a definition that needs a rebuild gets the stored rows, under the
    /// keys that it says, and the index before, to be served meanwhile.
    ///
    /// # Errors
    /// See [`OpenError`]: each says what can be done.
    pub fn open(
        storage: Arc<dyn Storage>,
        shape: Shape,
        rebuild: Option<Rekey<'_>>,
    ) -> Result<(Store, Option<Recovered>), OpenError> {
        Store::open_with(storage, &|_| shape.clone(), rebuild)
    }

    /// The same for a definition whose shape depends on the upgrades that were stored.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(
        storage: Arc<dyn Storage>,
        shape: &dyn Fn(&StoredSets) -> Shape,
        rebuild: Option<Rekey<'_>>,
    ) -> Result<(Store, Option<Recovered>), OpenError> {
        let found = Found::list(&*storage, "")?;
        let mut parts_seen = 0;
        for name in storage.list(PARTS)? {
            let number = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
            parts_seen = parts_seen.max(number.filter(|number| has_next(*number)).unwrap_or(0));
        }
        let mut store = Store {
            next_manifest: found.manifests.first().map_or(0, |(number, _)| *number) + 1,
            next_part: parts_seen + 1,
            storage,
            shape: shape(&StoredSets::default()),
            file: None,
            basis: Basis::default(),
            kept: Vec::new(),
            unwritten: None,
        };
        let mut recovered = None;
        let mut damage: Option<Damage> = None;
        for (number, path) in &found.manifests {
            let manifest = match Manifest::read(&*store.storage, path) {
                Ok(manifest) => manifest,
                Err(ManifestError::Newer { path, found }) => return Err(OpenError::Newer { path, found }),
                Err(ManifestError::Damaged(damaged)) => {
                    damage.get_or_insert(Damage {
                        damaged,
                        manifest: None,
                    });
                    continue;
                }
            };
            store.next_part = store.next_part.max(manifest.next_part);
            if recovered.is_some() {
                store.kept.push(Kept::of(*number, &manifest));
            } else {
                store.shape = shape(&manifest.sets);
                let change = manifest.shape.compare(&store.shape);
                if let (Change::Rebuild { reason }, None) = (&change, rebuild) {
                    let reason = reason.clone();
                    return Err(OpenError::NeedsRebuild { reason });
                }
                match store.recover(&manifest, change, rebuild) {
                    Ok(found) => {
                        store.kept.push(Kept::of(*number, &manifest));
                        recovered = Some(found);
                        if let Some(damage) = &damage {
                            damage.warn(&manifest);
                        }
                    }
                    Err(damaged) => {
                        let manifest = Some(manifest);
                        damage.get_or_insert(Damage { damaged, manifest });
                    }
                }
            }
            if store.kept.len() == KEPT {
                break;
            }
        }
        match (&recovered, damage) {
            (None, Some(Damage { damaged, .. })) => return Err(OpenError::NothingWhole { newest: damaged }),
            // What is damaged stays until the next checkpoint is written, for whoever wants to look at it.
            (Some(_), Some(_)) => {}
            (_, None) => store.remove_unneeded(),
        }
        Ok((store, recovered))
    }

    /// Reads all that a manifest names, and leaves in `basis` what fits the definition.
    fn recover(
        &mut self,
        manifest: &Manifest,
        change: Change,
        rekey: Option<Rekey<'_>>,
    ) -> Result<Recovered, Damaged> {
        let storage = self.storage.clone();
        let reader = PartReader::new(&*storage);
        let mut basis = Basis::default();
        let mut recovered = Recovered {
            tick: manifest.tick,
            positions: manifest.positions.clone(),
            partitions: manifest.partitions.clone(),
            tables: Default::default(),
            texts: Default::default(),
            shards: Vec::new(),
            sets: manifest.sets.clone(),
            change,
            before: None,
        };
        basis.tables = manifest.tables.clone();
        if !matches!(recovered.change, Change::Rebuild { .. }) {
            basis.texts = manifest.texts.clone();
        }
        if recovered.change == Change::Same && manifest.shards.len() == self.shape.shards {
            basis.shards = manifest.shards.clone();
            recovered.shards = manifest.shards.clone();
        }
        // Rows are decompressed, the rest is mapped and checked: about as much work, for two cores.
        (recovered.tables, recovered.texts) = thread::scope(|scope| {
            let texts = scope.spawn(|| {
                let mut shards = basis.shards.iter().flat_map(StoredShard::parts);
                shards.try_for_each(|part| reader.read(part).map(drop))?;
                texts::read(&basis.texts, &reader)
            });
            let tables = basis.tables.iter().map(|(name, stored)| {
                let mut table = rows::read(&stored.rows, &reader)?;
                table.truncated = stored.truncated;
                Ok((name.clone(), table))
            });
            let tables: Result<_, Damaged> = tables.collect();
            let texts = texts.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok((tables?, texts?))
        })?;
        self.basis = basis;
        self.unwritten = None;
        if let (Change::Rebuild { .. }, Some(rekey)) = (&recovered.change, rekey) {
            recovered.before = Before::read(manifest, &recovered.tables, &reader);
            self.rebuild(manifest, &mut recovered, rekey);
        }
        Ok(recovered)
    }

    /// Leaves out tables that are gone, and puts rows under their new keys.
    fn rebuild(&mut self, manifest: &Manifest, recovered: &mut Recovered, rekey: Rekey<'_>) {
        let mut changed: Vec<TableCut> = Vec::new();
        for table in &self.shape.tables {
            let before = manifest
                .shape
                .tables
                .iter()
                .find(|before| before.name == table.name);
            let mut cut = TableCut::default();
            if before.is_some_and(|before| before != table)
                && let Some(stored) = recovered.tables.get_mut(&table.name)
            {
                stored.keys = rekeyed(&table.name, std::mem::take(&mut stored.keys), rekey);
                cut.keys = stored.keys.clone();
                if let Some(stored) = self.basis.tables.get_mut(&table.name) {
                    stored.rows = Default::default();
                }
            }
            changed.push(cut);
        }
        let is_there = |name: &str| self.shape.tables.iter().any(|table| table.name == name);
        recovered.tables.retain(|name, _| is_there(name));
        // A table of that name, should it come again, begins anew.
        recovered
            .positions
            .retain(|partition, _| is_there(partition.split('/').next().unwrap_or_default()));
        self.unwritten = Some(Cut {
            tick: recovered.tick,
            positions: recovered.positions.clone(),
            partitions: recovered.partitions.clone(),
            tables: changed,
            texts: Default::default(),
            shards: Vec::new(),
            sets: Default::default(),
            forgotten: Vec::new(),
        });
    }
}

impl Before {
    /// What is stored of the index, or `None` where it cannot be served any more: the rows are what matters.
    fn read(
        manifest: &Manifest,
        tables: &BTreeMap<String, TableCut>,
        reader: &PartReader<'_>,
    ) -> Option<Before> {
        let Some(file) = manifest.file.clone() else {
            tracing::warn!(
                "the version that stored the index did not keep its dataflow file: until the rebuild is complete, what is \
                 rebuilt so far is served"
            );
            return None;
        };
        let mut parts = manifest.shards.iter().flat_map(StoredShard::parts);
        let whole = parts.try_for_each(|part| reader.read(part).map(drop));
        match whole.and_then(|()| texts::read(&manifest.texts, reader)) {
            Ok(texts) => Some(Before {
                tick: manifest.tick,
                positions: manifest.positions.clone(),
                file,
                sets: manifest.sets.clone(),
                shape: manifest.shape.clone(),
                tables: tables.clone(),
                texts,
                shards: manifest.shards.clone(),
            }),
            Err(damaged) => {
                tracing::warn!(
                    %damaged,
                    "the index before cannot be served: until the rebuild is complete, what is rebuilt so far is"
                );
                None
            }
        }
    }
}

/// Rows under the keys that their columns say now. What is known of deleted keys has no place there.
fn rekeyed(
    table: &str,
    keys: Vec<(Key, Option<StoredKey>)>,
    rekey: Rekey<'_>,
) -> Vec<(Key, Option<StoredKey>)> {
    let mut without_key = 0;
    let mut rows: Vec<(Key, Option<StoredKey>)> = Vec::with_capacity(keys.len());
    for (_, stored) in keys {
        if let Some(StoredKey {
            state: StoredState::Row(row),
            ..
        }) = &stored
        {
            match rekey(table, row) {
                Some(key) => rows.push((key, stored)),
                None => without_key += 1,
            }
        }
    }
    if without_key > 0 {
        tracing::warn!(table, rows = without_key, "rows without the new key are left out");
    }
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if let (true, Some(one), Some(other)) = (is_same, &later.1, &kept.1)
            && one.version.replaces(&other.version)
        {
            std::mem::swap(later, kept);
        }
        is_same
    });
    rows
}

/// Why the newest checkpoint was passed over.
struct Damage {
    damaged: Damaged,
    /// Absent where it could not be read.
    manifest: Option<Manifest>,
}

impl Damage {
    fn warn(&self, whole: &Manifest) {
        let cost = match &self.manifest {
            None => "the changes since then are read again from the sources".to_owned(),
            Some(lost) => {
                let seconds = lost.tick.0.saturating_sub(whole.tick.0) as f64 / 1000.0;
                let before = |partition| whole.positions.get(partition).map_or(0, |position| position + 1);
                let positions = lost.positions.iter();
                let positions: u64 = positions
                    .map(|(partition, position)| (position + 1).saturating_sub(before(partition)))
                    .sum();
                format!("{seconds} seconds, {positions} positions, are read again from the sources")
            }
        };
        tracing::warn!(
            damaged = %self.damaged,
            tick = whole.tick.0,
            "the newest checkpoint is damaged, going back to the one before: {cost}"
        );
    }
}
