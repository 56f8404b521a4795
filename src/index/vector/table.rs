//! Which vector each slot has now: the truth of the leg.
//!
//! Every row of codes carries the stamp that its vector was given here, and stands for the slot as long as the
//! stamps agree.

use super::{SharedVector, Slot};

/// Vectors by slot. A clone shares its structure.
#[derive(Clone, Default)]
pub struct Table {
    entries: imbl::Vector<Option<Entry>>,
    len: usize,
}

#[derive(Clone)]
pub struct Entry {
    /// Grows with every vector taken in; never used twice.
    pub stamp: u64,
    pub vector: SharedVector,
}

impl Table {
    /// Slots that have a vector.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot.0 as usize)?.as_ref()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        let slots = (0..).map(Slot);
        slots
            .zip(self.entries.iter())
            .filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    /// Puts an entry in place, or none, and returns the stamp of what was there.
    pub fn set(&mut self, slot: Slot, entry: Option<Entry>) -> Option<u64> {
        let place = slot.0 as usize;
        if entry.is_none() && self.get(slot).is_none() {
            return None;
        }
        while self.entries.len() <= place {
            self.entries.push_back(None);
        }
        self.len += usize::from(entry.is_some());
        let before = self.entries.set(place, entry)?;
        self.len -= 1;
        Some(before.stamp)
    }
}
