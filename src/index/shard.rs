//! The write side of one shard: a tick's documents go into both legs, and one state comes out.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::documents::{Document, Documents, Slot};
use super::keyword::{Compaction, KeywordError, KeywordSchema, KeywordWriter};
use super::recovery::Recovery;
use super::snapshot::{ShardState, VectorStatus};
use super::vector::{GraphSettings, SharedVector, VectorSettings, VectorWriter};
use crate::change::{Key, Tick};
use crate::definition::{Index, Originals};

/// What a tick does to one key. A key's text occurs once in a tick.
#[derive(Clone, Debug)]
pub enum Update {
    Put(Arc<Document>, DocumentVector),
    Remove(Key),
}

/// What is known of a document's vector.
#[derive(Clone, Debug)]
pub enum DocumentVector {
    /// There is nothing to embed.
    Absent,
    /// It is being computed: until then the vector leg keeps the one before.
    Pending,
    /// It will never be there.
    Failed,
    Known(SharedVector),
}

/// One shard; lives on its worker.
pub struct Shard {
    pub(super) documents: Documents,
    /// Slots of deleted documents. They are given out again from the next tick on.
    pub(super) free: Vec<Slot>,
    pub(super) keyword: KeywordWriter,
    pub(super) vector: Option<VectorWriter>,
    /// What the vector leg shows, by slot.
    pub(super) vectors: Vec<Option<SharedVector>>,
    pub(super) statuses: imbl::Vector<VectorStatus>,
    pub(super) pending: Pending,
    /// From the opening of a stored shard until its first tick.
    pub(super) recovery: Option<Recovery>,
    pub(super) corrections: u64,
}

/// How a shard works: as a node does, or repeatably.
#[derive(Clone)]
pub struct ShardSettings {
    /// Compaction inside the ticks and exact vector search: the same input gives the same answers, bit by bit.
    pub repeatable: bool,
    /// Called from another thread when finished background work waits for a tick.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Where files without a name may lie; `None`: where the system has its temporary ones.
    pub folder: Option<PathBuf>,
}

impl ShardSettings {
    pub(super) fn compaction(&self) -> Compaction {
        if self.repeatable {
            Compaction::Inline
        } else {
            Compaction::Background
        }
    }

    pub(super) fn vectors(&self, index: &Index, dimensions: usize) -> VectorSettings {
        let tuning = &index.tuning;
        VectorSettings {
            graphs: !self.repeatable,
            graph: GraphSettings {
                links: tuning.links,
                width: tuning.build_width,
            },
            builder: tuning.builder,
            effort: tuning.effort,
            quantization: tuning.quantization,
            on_disk: match tuning.originals {
                Originals::Memory => None,
                Originals::Disk => Some(self.folder.clone().unwrap_or_else(std::env::temp_dir)),
            },
            reduce: tuning.reduce,
            ..VectorSettings::new(dimensions, index.metric)
        }
    }
}

impl Shard {
    /// `dimensions` is that of the index's vectors, or `None` for an index without them.
    pub fn new(index: &Index, dimensions: Option<usize>, settings: &ShardSettings) -> Shard {
        let keyword = KeywordWriter::new(
            KeywordSchema::new(index),
            settings.compaction(),
            settings.wake.clone(),
        );
        let vector =
            dimensions.map(|it| VectorWriter::new(settings.vectors(index, it), settings.wake.clone()));
        Shard::with_legs(keyword, vector)
    }

    /// A shard without documents.
    pub(super) fn with_legs(keyword: KeywordWriter, vector: Option<VectorWriter>) -> Shard {
        Shard {
            documents: Documents::default(),
            free: Vec::new(),
            keyword,
            vector,
            vectors: Vec::new(),
            statuses: imbl::Vector::new(),
            pending: Pending::default(),
            recovery: None,
            corrections: 0,
        }
    }

    /// Applies a tick's updates, in their order, to the documents and both legs.
    ///
    /// The first tick of a stored shard has all its documents: what is stored and does not come again is deleted.
    ///
    /// # Errors
    /// The keyword leg failed; nothing that documents or queries hold can cause it.
    pub fn apply(&mut self, tick: Tick, updates: Vec<Update>) -> Result<(), KeywordError> {
        let mut changes = Changes::default();
        let updates = match self.recovery.take() {
            Some(recovery) => self.recover(tick, recovery, updates, &mut changes)?,
            None => updates,
        };
        for update in updates {
            match update {
                Update::Put(document, vector) => self.put(tick, document, vector, &mut changes),
                Update::Remove(key) => self.remove(&key, &mut changes),
            }
        }
        self.keyword.apply(&changes.keyword)?;
        if let Some(writer) = &mut self.vector {
            writer.apply(&changes.vector);
        }
        self.free.append(&mut changes.freed);
        Ok(())
    }

    /// Whether background work has finished and waits for a tick, even one without updates.
    pub fn has_finished_work(&self) -> bool {
        self.keyword.has_finished_work()
            || self
                .vector
                .as_ref()
                .is_some_and(|vector| vector.has_finished_work())
    }

    /// Whether a stored shard still waits for its documents. Until then it shows none, and must not be stored.
    pub fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Documents that were not stored as they came again in the first tick.
    pub fn corrections(&self) -> u64 {
        self.corrections
    }

    /// What readers shall see after the last `apply`.
    pub fn state(&self) -> Arc<ShardState> {
        Arc::new(ShardState {
            documents: self.documents.clone(),
            keyword: self.keyword.state(),
            vector: self.vector.as_ref().map(|vector| vector.state()),
            vectors_pending: self.pending.since.len(),
            pending_since: self.pending.oldest(),
            statuses: self.statuses.clone(),
        })
    }

    fn put(&mut self, tick: Tick, document: Arc<Document>, vector: DocumentVector, changes: &mut Changes) {
        let existing = self
            .documents
            .by_key(&document.key.text())
            .map(|(slot, document)| (slot, document.clone()));
        let (slot, old) = match existing {
            Some((slot, old)) => (slot, Some(old)),
            None => (self.new_slot(), None),
        };
        let row_changed = old.as_ref().is_none_or(|old| old.row != document.row);
        if row_changed {
            changes.keyword.push((slot, old, Some(document.clone())));
            self.documents.put(slot, document);
        }
        self.put_vector(tick, slot, vector, changes);
    }

    pub(super) fn put_vector(
        &mut self,
        tick: Tick,
        slot: Slot,
        vector: DocumentVector,
        changes: &mut Changes,
    ) {
        let shown = &mut self.vectors[slot.0 as usize];
        let (wanted, status) = match vector {
            DocumentVector::Pending => {
                self.pending.begin(slot, tick);
                let status = match shown {
                    Some(_) => VectorStatus::Stale,
                    None => VectorStatus::Pending,
                };
                return self.set_status(slot, status);
            }
            DocumentVector::Known(vector) => (Some(vector), VectorStatus::Current),
            DocumentVector::Absent => (None, VectorStatus::Absent),
            DocumentVector::Failed => (None, VectorStatus::Failed),
        };
        self.pending.end(slot);
        // The same vector again leaves the graph alone.
        if *shown != wanted {
            *shown = wanted.clone();
            changes.vector.push((slot, wanted));
        }
        self.set_status(slot, status);
    }

    /// Documents without vectors take up nothing.
    pub(super) fn set_status(&mut self, slot: Slot, status: VectorStatus) {
        let place = slot.0 as usize;
        if self.statuses.get(place).copied().unwrap_or_default() == status {
            return;
        }
        while self.statuses.len() <= place {
            self.statuses.push_back(VectorStatus::Absent);
        }
        self.statuses.set(place, status);
    }

    fn remove(&mut self, key: &Key, changes: &mut Changes) {
        let Some((slot, old)) = self
            .documents
            .by_key(&key.text())
            .map(|(slot, document)| (slot, document.clone()))
        else {
            return;
        };
        self.documents.remove(slot);
        changes.keyword.push((slot, Some(old), None));
        if self.vectors[slot.0 as usize].take().is_some() {
            changes.vector.push((slot, None));
        }
        self.pending.end(slot);
        self.set_status(slot, VectorStatus::Absent);
        changes.freed.push(slot);
    }

    fn new_slot(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            self.vectors.push(None);
            Slot(self.vectors.len() as u32 - 1)
        })
    }
}

/// What one tick asks of the legs. A slot occurs once in each list.
#[derive(Default)]
pub(super) struct Changes {
    pub keyword: Vec<(Slot, Option<Arc<Document>>, Option<Arc<Document>>)>,
    pub vector: Vec<(Slot, Option<SharedVector>)>,
    pub freed: Vec<Slot>,
}

/// Which documents wait for a vector, and since when.
#[derive(Default)]
pub(super) struct Pending {
    since: HashMap<Slot, Tick>,
    ticks: BTreeMap<Tick, usize>,
}

impl Pending {
    /// A document that waits already goes on waiting since then: who waits for the older tick sees a newer text.
    pub fn begin(&mut self, slot: Slot, tick: Tick) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.since.entry(slot) {
            entry.insert(tick);
            *self.ticks.entry(tick).or_default() += 1;
        }
    }

    fn end(&mut self, slot: Slot) {
        let Some(tick) = self.since.remove(&slot) else {
            return;
        };
        if self.since.is_empty() {
            // A load has made room for as many as there are.
            self.since.shrink_to_fit();
        }
        if let Some(waiting) = self.ticks.get_mut(&tick) {
            *waiting -= 1;
            if *waiting == 0 {
                self.ticks.remove(&tick);
            }
        }
    }

    fn oldest(&self) -> Option<Tick> {
        self.ticks.first_key_value().map(|(tick, _)| *tick)
    }
}
