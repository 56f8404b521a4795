//! The first tick of a stored shard: its documents come again, and only what differs is changed.
//!
//! The legs are there already. A document that is as it was stored goes into its slot, and its vector beside its
//! row; neither leg does any work for it. What differs is an ordinary change, and is counted: there should be none.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::documents::{Documents, Slot};
use super::keyword::KeywordError;
use super::shard::{Changes, DocumentVector, Shard, Update};
use super::slots::{SlotTable, StoredDocument, StoredVector, row_hash, vector_hash};
use super::snapshot::VectorStatus;
use super::vector::SharedVector;
use crate::change::Tick;

/// The documents that a stored shard waits for.
pub struct Recovery {
    waiting: FxHashMap<Arc<str>, Expected>,
}

struct Expected {
    slot: Slot,
    row: u128,
    status: VectorStatus,
    shown: Option<Shown>,
}

/// The vector that the vector leg showed.
struct Shown {
    vector: StoredVector,
    /// Whether a graph has its row.
    in_graph: bool,
}

impl Recovery {
    /// `graph_rows` are the rows of all graphs, current or not. `None` if the table contradicts them or itself.
    pub fn new(table: SlotTable, graph_rows: impl Iterator<Item = (Slot, u64)>) -> Option<Recovery> {
        let mut slots = table.slots;
        let mut in_graph = vec![false; slots.len()];
        for (slot, stamp) in graph_rows {
            let slot = slot.0 as usize;
            let stored = slots
                .get(slot)
                .and_then(|stored| stored.as_ref()?.vector.as_ref());
            if stored.is_some_and(|vector| vector.stamp == stamp)
                && std::mem::replace(&mut in_graph[slot], true)
            {
                return None;
            }
        }
        let mut waiting = FxHashMap::default();
        for (n, (stored, in_graph)) in slots.iter_mut().zip(in_graph).enumerate() {
            let Some(StoredDocument {
                key,
                row,
                status,
                vector,
            }) = stored.take()
            else {
                continue;
            };
            let expected = Expected {
                slot: Slot(n as u32),
                row,
                status,
                shown: vector.map(|vector| Shown { vector, in_graph }),
            };
            if waiting.insert(key, expected).is_some() {
                return None;
            }
        }
        Some(Recovery { waiting })
    }
}

impl Shard {
    /// Puts a stored shard's slots in place, free as yet.
    pub(super) fn begin_recovery(&mut self, slots: usize, recovery: Recovery) {
        let mut is_free = vec![true; slots];
        for expected in recovery.waiting.values() {
            is_free[expected.slot.0 as usize] = false;
        }
        let free = (0..).map(Slot).zip(is_free).filter(|(_, is_free)| *is_free);
        // The last one is given out first.
        self.free = free.map(|(slot, _)| slot).collect();
        self.free.reverse();
        self.documents = Documents::with_slots(slots);
        self.vectors = vec![None; slots];
        self.recovery = Some(recovery);
    }

    /// Takes back the documents that were stored, and returns the updates that are changes.
    pub(super) fn recover(
        &mut self,
        tick: Tick,
        Recovery { mut waiting }: Recovery,
        updates: Vec<Update>,
        changes: &mut Changes,
    ) -> Result<Vec<Update>, KeywordError> {
        let mut news = Vec::new();
        let mut forgotten = Vec::new();
        for update in updates {
            let Update::Put(document, vector) = update else {
                // What does not come again is deleted in any case.
                continue;
            };
            let Some(expected) = waiting.remove(&*document.key.text()) else {
                self.corrections += 1;
                news.push(Update::Put(document, vector));
                continue;
            };
            let slot = expected.slot;
            let is_same_row = row_hash(&document.row) == expected.row;
            self.documents.put(slot, document.clone());
            if !is_same_row {
                forgotten.push(slot);
                changes.keyword.push((slot, None, Some(document)));
            }
            let is_same_vector = self.recover_vector(tick, expected, vector, changes);
            self.corrections += u64::from(!(is_same_row && is_same_vector));
        }
        for gone in waiting.into_values() {
            self.corrections += 1;
            forgotten.push(gone.slot);
            changes.freed.push(gone.slot);
        }
        if !forgotten.is_empty() {
            self.keyword.forget(&forgotten)?;
        }
        Ok(news)
    }

    /// Puts a document's vector back. Says whether the document stands with it as it was stored, or has been
    /// waiting for it.
    fn recover_vector(
        &mut self,
        tick: Tick,
        expected: Expected,
        vector: DocumentVector,
        changes: &mut Changes,
    ) -> bool {
        let Expected {
            slot, status, shown, ..
        } = expected;
        let was_waiting = matches!(status, VectorStatus::Stale | VectorStatus::Pending);
        let is_same = match (&vector, status, shown) {
            (DocumentVector::Known(vector), VectorStatus::Current, Some(shown))
                if shown.vector.hash == vector_hash(vector.read(&mut Vec::new())) =>
            {
                self.restore(slot, &shown, vector.clone());
                self.set_status(slot, status);
                return true;
            }
            (DocumentVector::Pending, VectorStatus::Stale, Some(mut shown)) => {
                if let Some(values) = shown.vector.values.take() {
                    self.restore(slot, &shown, values.into());
                }
                true
            }
            // It did not fit the index, and still does not.
            (DocumentVector::Known(_), VectorStatus::Current, None) => true,
            (DocumentVector::Absent, VectorStatus::Absent, _)
            | (DocumentVector::Failed, VectorStatus::Failed, _) => true,
            _ => was_waiting,
        };
        // The rest is an update like any other.
        self.put_vector(tick, slot, vector, changes);
        is_same
    }

    fn restore(&mut self, slot: Slot, shown: &Shown, vector: SharedVector) {
        if let Some(writer) = &mut self.vector {
            writer.restore(slot, shown.vector.stamp, &vector, shown.in_graph);
            self.vectors[slot.0 as usize] = Some(vector);
        }
    }
}
