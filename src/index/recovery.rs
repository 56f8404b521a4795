//! The first tick of a stored shard: its documents come again, and only what differs is changed.
//!
//! The legs are there already. A document that is as it was stored goes into its slot, and its vector beside its
//! row; neither leg does any work for it. What differs is an ordinary change, and is counted: there should be none.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::documents::{Document, Documents, Slot};
use super::keyword::KeywordError;
use super::leg::{DocumentVector, DocumentVectors, Leg};
use super::shard::{Changes, Shard, Update};
use super::slots::{ShownVector, SlotTable, StoredDocument, StoredVector, row_hash, vector_hash};
use super::snapshot::VectorStatus;
use crate::change::{Row, Tick};

/// The documents that a stored shard waits for.
pub struct Recovery {
    waiting: FxHashMap<Arc<str>, Expected>,
}

struct Expected {
    slot: Slot,
    row: u128,
    /// By vector field.
    vectors: Vec<ExpectedVector>,
    /// The row that was shown, where a newer one was held back.
    former: Option<Row>,
}

#[derive(Default)]
struct ExpectedVector {
    stored: StoredVector,
    /// Whether a graph has the row of what was shown.
    in_graph: bool,
}

impl Recovery {
    /// `graph_rows` are, by vector field, the rows of its graph, current or not. `None` if the table contradicts them or
    /// itself.
    pub fn new(
        table: SlotTable,
        graph_rows: impl Iterator<Item = impl Iterator<Item = (Slot, u64)>>,
    ) -> Option<Recovery> {
        let mut slots: Vec<Option<Expected>> = Vec::with_capacity(table.slots.len());
        let mut keys = Vec::with_capacity(table.slots.len());
        for (slot, stored) in (0..).map(Slot).zip(table.slots) {
            let Some(StoredDocument {
                key,
                row,
                vectors,
                former,
            }) = stored
            else {
                slots.push(None);
                continue;
            };
            let vectors = vectors.into_iter().map(|stored| ExpectedVector {
                stored,
                in_graph: false,
            });
            slots.push(Some(Expected {
                slot,
                row,
                vectors: vectors.collect(),
                former,
            }));
            keys.push((key, slot));
        }
        for (field, rows) in graph_rows.enumerate() {
            for (slot, stamp) in rows {
                let expected = slots.get_mut(slot.0 as usize).and_then(Option::as_mut);
                let vector = expected.and_then(|expected| expected.vectors.get_mut(field));
                if let Some(vector) = vector
                    && vector
                        .stored
                        .shown
                        .as_ref()
                        .is_some_and(|shown| shown.stamp == stamp)
                    && std::mem::replace(&mut vector.in_graph, true)
                {
                    return None;
                }
            }
        }
        let mut waiting = FxHashMap::default();
        for (key, slot) in keys {
            let expected = slots.get_mut(slot.0 as usize).and_then(Option::take)?;
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
            let Update::Put(document, vectors) = update else {
                // What does not come again is deleted in any case.
                continue;
            };
            let is_waiting = vectors.iter().any(|(_, vector)| vector.is_pending());
            let Some(mut expected) = waiting.remove(&*document.key.text()) else {
                // A row that is held back was not stored, as it was not shown.
                let was_held = self.held.is_some() && is_waiting;
                self.corrections += u64::from(!was_held);
                news.push(Update::Put(document, vectors));
                continue;
            };
            let slot = expected.slot;
            let former = expected.former.take();
            let was_held = former.is_some();
            if let (Some(former), Some(held), true) = (former, &mut self.held, is_waiting) {
                let key = document.key.clone();
                self.documents.put(slot, Arc::new(Document { key, row: former }));
                held.hold(tick, document, vectors);
                for (leg, expected) in self.legs.iter_mut().zip(expected.vectors) {
                    leg.recover_former(slot, expected);
                }
                continue;
            }
            let is_same_row = row_hash(&document.row) == expected.row;
            self.documents.put(slot, document.clone());
            if !is_same_row {
                forgotten.push(slot);
                changes.keyword.push((slot, None, Some(document)));
            }
            let are_same_vectors = self.recover_vectors(tick, slot, expected.vectors, vectors);
            self.corrections += u64::from(!(is_same_row && are_same_vectors || was_held));
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

    /// Puts a document's vectors back. Says whether it stands with all of them as it was stored, or has been waiting.
    fn recover_vectors(
        &mut self,
        tick: Tick,
        slot: Slot,
        mut expected: Vec<ExpectedVector>,
        vectors: DocumentVectors,
    ) -> bool {
        let mut are_same = true;
        for (field, vector) in vectors {
            let field = usize::from(field);
            let expected = expected.get_mut(field).map(std::mem::take).unwrap_or_default();
            if let Some(leg) = self.legs.get_mut(field) {
                are_same &= leg.recover(tick, slot, expected, vector);
            }
        }
        are_same
    }
}

impl Leg {
    /// Puts a document's vector back. Says whether the document stands with it as it was stored, or has been
    /// waiting for it.
    fn recover(&mut self, tick: Tick, slot: Slot, expected: ExpectedVector, vector: DocumentVector) -> bool {
        let ExpectedVector {
            stored: StoredVector { status, shown },
            in_graph,
        } = expected;
        let was_waiting = matches!(status, VectorStatus::Stale | VectorStatus::Pending);
        let is_same = match (&vector, status, shown) {
            (DocumentVector::Known(vector), VectorStatus::Current, Some(shown))
                if shown.hash == vector_hash(vector) =>
            {
                self.restore(slot, shown.stamp, vector.clone(), in_graph);
                self.set_status(slot, status);
                return true;
            }
            (DocumentVector::Pending, _, Some(shown)) if shown.values.is_some() => {
                self.restore_values(slot, shown, in_graph);
                true
            }
            // It did not fit the index, and still does not.
            (DocumentVector::Known(_), VectorStatus::Current, None) => true,
            (DocumentVector::Absent, VectorStatus::Absent, _)
            | (DocumentVector::Failed, VectorStatus::Failed, _) => true,
            _ => was_waiting,
        };
        // The rest is an update like any other.
        self.put(tick, slot, vector);
        is_same
    }

    /// Puts back what was shown of a document whose newer row is held back.
    fn recover_former(&mut self, slot: Slot, expected: ExpectedVector) {
        let StoredVector { status, shown } = expected.stored;
        if let Some(shown) = shown {
            self.restore_values(slot, shown, expected.in_graph);
        }
        self.set_status(slot, status);
    }

    fn restore_values(&mut self, slot: Slot, shown: ShownVector, in_graph: bool) {
        if let Some(values) = shown.values {
            self.restore(slot, shown.stamp, values.into(), in_graph);
        }
    }
}
