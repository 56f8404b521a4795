//! The write side of one shard: a tick's documents go into both legs, and one state comes out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::documents::{Document, Documents, Slot};
use super::keyword::{Compaction, KeywordError, KeywordSchema, KeywordWriter};
use super::snapshot::ShardState;
use super::vector::{SharedVector, VectorSettings, VectorWriter};
use crate::change::{Row, Tick};
use crate::definition::Index;

/// What a tick does to one key. A key occurs once in a tick.
#[derive(Clone, Debug)]
pub struct Update {
    pub key: Arc<str>,
    /// `None`: the document leaves.
    pub document: Option<(Row, DocumentVector)>,
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
    documents: Documents,
    /// Slots of deleted documents. They are given out again from the next tick on.
    free: Vec<Slot>,
    keyword: KeywordWriter,
    vector: Option<VectorWriter>,
    /// What the vector leg shows, by slot.
    vectors: Vec<Option<SharedVector>>,
    pending: Pending,
}

/// How a shard works: as a node does, or repeatably.
#[derive(Clone)]
pub struct ShardSettings {
    /// Compaction inside the ticks and exact vector search: the same input gives the same answers, bit by bit.
    pub repeatable: bool,
    /// Called from another thread when finished background work waits for a tick.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Shard {
    /// `dimensions` is that of the index's vectors, or `None` for an index without them.
    pub fn new(index: &Index, dimensions: Option<usize>, settings: &ShardSettings) -> Shard {
        let compaction = if settings.repeatable {
            Compaction::Inline
        } else {
            Compaction::Background
        };
        let vector = dimensions.map(|dimensions| {
            let vectors = VectorSettings {
                dimensions,
                metric: index.metric,
                graphs: !settings.repeatable,
            };
            VectorWriter::new(vectors, settings.wake.clone())
        });
        Shard {
            documents: Documents::default(),
            free: Vec::new(),
            keyword: KeywordWriter::new(KeywordSchema::new(index), compaction, settings.wake.clone()),
            vector,
            vectors: Vec::new(),
            pending: Pending::default(),
        }
    }

    /// Applies a tick's updates, in their order, to the documents and both legs.
    ///
    /// # Errors
    /// The keyword leg failed; nothing that documents or queries hold can cause it.
    pub fn apply(&mut self, tick: Tick, updates: Vec<Update>) -> Result<(), KeywordError> {
        let mut changes = Changes::default();
        for update in updates {
            match update.document {
                Some((row, vector)) => self.put(tick, update.key, row, vector, &mut changes),
                None => self.remove(&update.key, &mut changes),
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

    /// What readers shall see after the last `apply`.
    pub fn state(&self) -> Arc<ShardState> {
        Arc::new(ShardState {
            documents: self.documents.clone(),
            keyword: self.keyword.state(),
            vector: self.vector.as_ref().map(|vector| vector.state()),
            vectors_pending: self.pending.since.len(),
            pending_since: self.pending.oldest(),
        })
    }

    fn put(&mut self, tick: Tick, key: Arc<str>, row: Row, vector: DocumentVector, changes: &mut Changes) {
        let existing = self
            .documents
            .by_key(&key)
            .map(|(slot, document)| (slot, document.clone()));
        let (slot, old) = match existing {
            Some((slot, old)) => (slot, Some(old)),
            None => (self.new_slot(), None),
        };
        let row_changed = old.as_ref().is_none_or(|old| old.row != row);
        if row_changed {
            let document = Arc::new(Document { key, row });
            changes.keyword.push((slot, old, Some(document.clone())));
            self.documents.put(slot, document);
        }
        self.put_vector(tick, slot, vector, changes);
    }

    fn put_vector(&mut self, tick: Tick, slot: Slot, vector: DocumentVector, changes: &mut Changes) {
        let shown = &mut self.vectors[slot.0 as usize];
        let wanted = match vector {
            DocumentVector::Pending => {
                self.pending.begin(slot, tick);
                return;
            }
            DocumentVector::Known(vector) => Some(vector),
            DocumentVector::Absent | DocumentVector::Failed => None,
        };
        self.pending.end(slot);
        // The same vector again leaves the graph alone.
        if *shown != wanted {
            *shown = wanted.clone();
            changes.vector.push((slot, wanted));
        }
    }

    fn remove(&mut self, key: &str, changes: &mut Changes) {
        let Some((slot, old)) = self
            .documents
            .by_key(key)
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
struct Changes {
    keyword: Vec<(Slot, Option<Arc<Document>>, Option<Arc<Document>>)>,
    vector: Vec<(Slot, Option<SharedVector>)>,
    freed: Vec<Slot>,
}

/// Which documents wait for a vector, and since when.
#[derive(Default)]
struct Pending {
    since: HashMap<Slot, Tick>,
    ticks: BTreeMap<Tick, usize>,
}

impl Pending {
    /// A document that waits already goes on waiting since then: who waits for the older tick sees a newer text.
    fn begin(&mut self, slot: Slot, tick: Tick) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.since.entry(slot) {
            entry.insert(tick);
            *self.ticks.entry(tick).or_default() += 1;
        }
    }

    fn end(&mut self, slot: Slot) {
        let Some(tick) = self.since.remove(&slot) else {
            return;
        };
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
