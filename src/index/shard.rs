//! The write side of one shard: a tick's documents go into both legs, and one state comes out.

use std::path::PathBuf;
use std::sync::Arc;

use super::documents::{Document, Documents, Slot};
use super::held::Held;
use super::keyword::{Compaction, KeywordError, KeywordSchema, KeywordWriter};
use super::leg::{DocumentVectors, Leg};
use super::recovery::Recovery;
use super::snapshot::ShardState;
use super::vector::{GraphSettings, VectorSettings, VectorWriter};
use crate::change::{Key, Tick};
use crate::definition::{Freshness, Index, Originals, VectorField};

/// What a tick does to one key. A key's text occurs once in a tick.
#[derive(Clone, Debug)]
pub enum Update {
    /// The document as it is now, and what has changed of its vectors; of a new one, all there is to know of them.
    Put(Arc<Document>, DocumentVectors),
    Remove(Key),
}

/// One shard; lives on its worker.
pub struct Shard {
    pub(super) documents: Documents,
    /// Slots of deleted documents. They are given out again from the next tick on.
    pub(super) free: Vec<Slot>,
    pub(super) keyword: KeywordWriter,
    /// By vector field.
    pub(super) legs: Vec<Leg>,
    /// From the opening of a stored shard until its first tick.
    pub(super) recovery: Option<Recovery>,
    /// Where rows are shown only with their vectors.
    pub(super) held: Option<Held>,
    pub(super) corrections: u64,
    /// What ticks have done to documents; `None` where nobody asks.
    noted: Option<Vec<DocumentChange>>,
}

/// What a tick has done to a slot: the document that was there, and the one that is.
pub type DocumentChange = (Slot, Option<Arc<Document>>, Option<Arc<Document>>);

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

    pub(super) fn vectors(&self, field: &VectorField, dimensions: usize) -> VectorSettings {
        let tuning = &field.tuning;
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
                Some(Originals::Memory) => None,
                Some(Originals::Disk) => Some(self.folder.clone().unwrap_or_else(std::env::temp_dir)),
                None => self
                    .folder
                    .clone()
                    .filter(|_| tuning.scores_rows() && !self.repeatable),
            },
            reduce: tuning.reduce,
            ..VectorSettings::new(dimensions, field.metric)
        }
    }
}

impl Shard {
    /// `dimensions` are those of the index's vector fields.
    pub fn new(index: &Index, dimensions: &[usize], settings: &ShardSettings) -> Shard {
        let keyword = KeywordWriter::new(
            KeywordSchema::new(index),
            settings.compaction(),
            settings.wake.clone(),
        );
        let leg = |(field, dimensions): (&VectorField, &usize)| {
            let settings = (settings.vectors(field, *dimensions), settings.wake.clone());
            Leg::new(field, VectorWriter::new(settings.0, settings.1))
        };
        let legs = index.vectors.iter().zip(dimensions).map(leg).collect();
        Shard::with_legs(keyword, legs, index.freshness)
    }

    /// A shard without documents.
    pub(super) fn with_legs(keyword: KeywordWriter, legs: Vec<Leg>, freshness: Freshness) -> Shard {
        Shard {
            documents: Documents::default(),
            free: Vec::new(),
            keyword,
            legs,
            recovery: None,
            held: match freshness {
                Freshness::Split => None,
                Freshness::Together => Some(Held::default()),
            },
            corrections: 0,
            noted: None,
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
            let shown = match &mut self.held {
                Some(held) => held.pass(tick, update),
                None => Some(update),
            };
            let Some(update) = shown else {
                continue;
            };
            match update {
                Update::Put(document, vectors) => self.put(tick, document, vectors, &mut changes),
                Update::Remove(key) => self.remove(&key, &mut changes),
            }
        }
        self.keyword.apply(&changes.keyword)?;
        for leg in &mut self.legs {
            leg.apply();
        }
        self.free.append(&mut changes.freed);
        if let Some(noted) = &mut self.noted {
            noted.append(&mut changes.keyword);
        }
        Ok(())
    }

    /// Adds a leg behind the others; it has no vectors, and documents none to wait for.
    pub fn add_leg(&mut self, field: &VectorField, dimensions: usize, settings: &ShardSettings) {
        let vectors = settings.vectors(field, dimensions);
        let writer = VectorWriter::new(vectors, settings.wake.clone());
        self.legs.push(Leg::new(field, writer));
    }

    /// Lets go of the vectors of a leg, and takes no others.
    pub fn close_leg(&mut self, number: u16) {
        if let Some(leg) = self.legs.get_mut(usize::from(number)) {
            *leg = Leg::closed();
        }
    }

    /// From now on, or no longer, ticks note what they do to documents.
    pub fn note_changes(&mut self, wanted: bool) {
        self.noted = wanted.then(Vec::new);
    }

    /// What was noted since this was asked last.
    pub fn noted(&mut self) -> Vec<DocumentChange> {
        self.noted.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The documents as the last `apply` has left them.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Whether background work has finished and waits for a tick, even one without updates.
    pub fn has_finished_work(&self) -> bool {
        self.keyword.has_finished_work() || self.legs.iter().any(|leg| leg.writer.has_finished_work())
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
            legs: self.legs.iter().map(Leg::state).collect(),
            held: self.held.as_ref().map(Held::keys).unwrap_or_default(),
        })
    }

    fn put(&mut self, tick: Tick, document: Arc<Document>, vectors: DocumentVectors, changes: &mut Changes) {
        let existing = self
            .documents
            .by_key(&document.key.text())
            .map(|(slot, document)| (slot, document.clone()));
        let (slot, old) = match existing {
            Some((slot, old)) => (slot, Some(old)),
            None => (self.new_slot(), None),
        };
        // Keys of two types can have one text: the document is another one then, and none of its pieces are left.
        if old.as_ref().is_some_and(|old| old.key != document.key) {
            self.legs.iter_mut().for_each(|leg| leg.forget(slot));
        }
        let row_changed = old.as_ref().is_none_or(|old| old.row != document.row);
        if row_changed {
            changes.keyword.push((slot, old, Some(document.clone())));
            self.documents.put(slot, document);
        }
        self.put_vectors(tick, slot, &vectors);
    }

    pub(super) fn put_vectors(&mut self, tick: Tick, slot: Slot, vectors: &DocumentVectors) {
        for (field, leg) in (0..).zip(&mut self.legs) {
            leg.put(tick, slot, field, vectors);
        }
    }

    fn remove(&mut self, key: &Key, changes: &mut Changes) {
        let Some((slot, old)) = self
            .documents
            .by_key(&key.text())
            .map(|(slot, document)| (slot, document.clone()))
        else {
            return;
        };
        // Of two keys with one text, the other one is shown.
        if old.key != *key {
            return;
        }
        self.documents.remove(slot);
        changes.keyword.push((slot, Some(old), None));
        for leg in &mut self.legs {
            leg.remove(slot);
        }
        changes.freed.push(slot);
    }

    /// A free slot, or the next one: the document that it is for is put there at once.
    fn new_slot(&mut self) -> Slot {
        self.free
            .pop()
            .unwrap_or_else(|| Slot(self.documents.slots() as u32))
    }
}

/// What one tick does beside the vector legs. A slot occurs once.
#[derive(Default)]
pub(super) struct Changes {
    pub keyword: Vec<DocumentChange>,
    pub freed: Vec<Slot>,
}
