//! The documents by slot and by key.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keys::Keys;
use crate::change::{Key, Row, Version};

/// A document's number in its shard, from its insert until its delete; an update keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// What is searchable of one key. Documents of equal key and row are equal, wherever they come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    /// Its text is unique in the index; ties of scores are settled by that.
    pub key: Key,
    /// The columns of the index's plan.
    pub row: Row,
    /// The change that made it so, where that is known.
    pub origin: Option<Version>,
}

impl Document {
    /// One whose origin is not known.
    pub fn new(key: Key, row: Row) -> Document {
        let origin = None;
        Document { key, row, origin }
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Document) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Document {}
impl PartialOrd for Document {
    fn partial_cmp(&self, other: &Document) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Document {
    fn cmp(&self, other: &Document) -> Ordering {
        (&self.key, &self.row).cmp(&(&other.key, &other.row))
    }
}

/// The documents of a shard at one tick. A clone shares its structure, and costs the same for any size.
#[derive(Clone, Default)]
pub struct Documents {
    slots: imbl::Vector<Option<Arc<Document>>>,
    by_key: Keys,
}

impl Documents {
    /// So many free slots.
    pub(super) fn with_slots(slots: usize) -> Documents {
        Documents {
            slots: std::iter::repeat_n(None, slots).collect(),
            by_key: Keys::default(),
        }
    }

    pub fn get(&self, slot: Slot) -> Option<&Arc<Document>> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// The document with this key text, and its slot.
    pub fn by_key(&self, key: &str) -> Option<(Slot, &Arc<Document>)> {
        let is_it = |slot| self.get(slot).is_some_and(|document| document.key.text() == key);
        let slot = self.by_key.find(key, is_it)?;
        Some((slot, self.get(slot)?))
    }

    /// All documents, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Arc<Document>)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(n, entry)| Some((Slot(n as u32), entry.as_ref()?)))
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the highest slot ever in use.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Puts a document into a slot that is free, holds an older form of it, or is the next new one.
    pub(super) fn put(&mut self, slot: Slot, document: Arc<Document>) {
        let place = slot.0 as usize;
        if place == self.slots.len() {
            self.by_key.insert(&document.key.text(), slot);
            self.slots.push_back(Some(document));
            return;
        }
        if self.slots[place].is_none() {
            self.by_key.insert(&document.key.text(), slot);
        }
        self.slots[place] = Some(document);
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(document) = self.slots[slot.0 as usize].take() {
            self.by_key.remove(&document.key.text(), slot);
        }
    }
}
