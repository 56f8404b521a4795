//! The documents by slot.

use std::sync::Arc;

use crate::change::Row;

/// A document's number in its shard, from its insert until its delete; an update keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// What is searchable of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The key's canonical text, unique in the index; ties of scores are settled by it.
    pub key: Arc<str>,
    /// The columns of the index's plan.
    pub row: Arc<Row>,
}

/// The documents of a shard at one tick. A clone shares its structure.
#[derive(Clone, Default)]
pub struct Documents {
    slots: imbl::Vector<Option<Arc<Document>>>,
    by_key: imbl::HashMap<Arc<str>, Slot>,
}

impl Documents {
    pub fn get(&self, slot: Slot) -> Option<&Arc<Document>> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// The document with this key text, and its slot.
    pub fn by_key(&self, key: &str) -> Option<(Slot, &Arc<Document>)> {
        let slot = *self.by_key.get(key)?;
        Some((slot, self.get(slot)?))
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// One more than the highest slot in use.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }
}
