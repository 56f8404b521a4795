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
use super::slots::{SlotTable, StoredDocument, StoredVector, row_hash, vector_hash};
use super::snapshot::VectorStatus;
use super::vector::SharedVector;
use crate::change::{Row, Span, Tick};

/// The documents that a stored shard waits for.
pub struct Recovery {
    waiting: FxHashMap<Arc<str>, Expected>,
    fields: Vec<Field>,
}

struct Expected {
    slot: Slot,
    row: u128,
    /// By vector field.
    vectors: Vec<StoredVector>,
    /// The row that was shown, where a newer one was held back.
    former: Option<Row>,
}

/// What is known of a vector field's places.
struct Field {
    places: u32,
    /// Whether a graph has the row of what is shown there.
    in_graph: Vec<bool>,
}

impl Field {
    /// `rows` are those of the field's graph, current or not. `None` if the table contradicts them or itself.
    fn new(table: &SlotTable, number: usize, rows: impl Iterator<Item = (Slot, u64)>) -> Option<Field> {
        let places = table.places(number);
        let mut stamps = vec![None; places];
        let vectors = table.iter();
        let vectors = vectors.filter_map(|(slot, document)| Some((slot, document.vectors.get(number)?)));
        for (place, shown) in vectors.flat_map(|(slot, vector)| vector.all(slot)) {
            if stamps.get_mut(place.0 as usize)?.replace(shown.stamp).is_some() {
                return None;
            }
        }
        let mut in_graph = vec![false; places];
        for (place, stamp) in rows {
            let place = place.0 as usize;
            if stamps.get(place).copied().flatten() == Some(stamp)
                && std::mem::replace(in_graph.get_mut(place)?, true)
            {
                return None;
            }
        }
        Some(Field {
            places: u32::try_from(places).ok()?,
            in_graph,
        })
    }

    fn is_in_graph(&self, place: Slot) -> bool {
        self.in_graph.get(place.0 as usize).copied().unwrap_or_default()
    }
}

impl Recovery {
    /// `graph_rows` are, by vector field, the rows of its graph, current or not. `None` if the table contradicts them or
    /// itself.
    pub fn new(
        table: SlotTable,
        graph_rows: impl Iterator<Item = impl Iterator<Item = (Slot, u64)>>,
    ) -> Option<Recovery> {
        let fields = graph_rows.enumerate();
        let fields = fields.map(|(number, rows)| Field::new(&table, number, rows));
        let fields = fields.collect::<Option<Vec<_>>>()?;
        let mut waiting = FxHashMap::default();
        for (slot, stored) in (0..).map(Slot).zip(table.slots) {
            let Some(StoredDocument {
                key,
                row,
                vectors,
                former,
            }) = stored
            else {
                continue;
            };
            let expected = Expected {
                slot,
                row,
                vectors,
                former,
            };
            if waiting.insert(key, expected).is_some() {
                return None;
            }
        }
        Some(Recovery { waiting, fields })
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
        for (number, (leg, field)) in self.legs.iter_mut().zip(&recovery.fields).enumerate() {
            let vectors = recovery
                .waiting
                .values()
                .filter_map(|expected| expected.vectors.get(number));
            let taken = vectors.flat_map(|vector| vector.pieces.iter().map(|piece| Slot(piece.place)));
            if let Some(pieces) = leg.pieces() {
                pieces.reserve(field.places, taken);
            }
        }
        self.recovery = Some(recovery);
    }

    /// Takes back the documents that were stored, and returns the updates that are changes.
    pub(super) fn recover(
        &mut self,
        tick: Tick,
        Recovery { mut waiting, fields }: Recovery,
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
            let is_waiting = vectors.are_pending();
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
                self.documents.put(slot, Arc::new(Document::new(key, former)));
                held.hold(tick, document, vectors);
                for ((leg, stored), field) in self.legs.iter_mut().zip(expected.vectors).zip(&fields) {
                    leg.recover_former(slot, stored, field);
                }
                continue;
            }
            let is_same_row = row_hash(&document.row) == expected.row;
            self.documents.put(slot, document.clone());
            if !is_same_row {
                forgotten.push(slot);
                changes.keyword.push((slot, None, Some(document)));
            }
            let are_same_vectors = self.recover_vectors(tick, slot, expected.vectors, &vectors, &fields);
            self.corrections += u64::from(!(is_same_row && are_same_vectors || was_held));
        }
        for gone in waiting.into_values() {
            self.corrections += 1;
            forgotten.push(gone.slot);
            changes.freed.push(gone.slot);
            for (leg, vector) in self.legs.iter_mut().zip(&gone.vectors) {
                vector
                    .pieces
                    .iter()
                    .for_each(|piece| leg.release(Slot(piece.place)));
            }
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
        expected: Vec<StoredVector>,
        vectors: &DocumentVectors,
        fields: &[Field],
    ) -> bool {
        let mut are_same = true;
        let mut expected = expected.into_iter();
        for (number, (leg, field)) in (0..).zip(self.legs.iter_mut().zip(fields)) {
            match expected.next() {
                Some(expected) => are_same &= leg.recover((tick, slot), expected, number, vectors, field),
                // A second set of vectors was not stored while it was being built.
                None => leg.put(tick, slot, number, vectors),
            }
        }
        are_same
    }
}

impl Leg {
    /// Puts a document's vectors back. Says whether the document stands with them as it was stored, or has been
    /// waiting for them.
    fn recover(
        &mut self,
        (tick, slot): (Tick, Slot),
        stored: StoredVector,
        number: u16,
        vectors: &DocumentVectors,
        field: &Field,
    ) -> bool {
        let status = stored.status;
        let was_waiting = matches!(status, VectorStatus::Stale | VectorStatus::Pending);
        let mut room = Vec::new();
        let of_field = vectors.known.iter().filter(|(of, ..)| *of == number);
        let by_hash = of_field.filter_map(|(.., vector)| match vector {
            DocumentVector::Known(vector) => Some((vector_hash(vector.read(&mut room)), vector)),
            _ => None,
        });
        let is_same = self.put_back(slot, stored, &by_hash.collect(), field);
        // What was put back is not put again.
        self.set_status(slot, status);
        self.put(tick, slot, number, vectors);
        was_waiting || is_same && self.status(slot) == status
    }

    /// Puts back what was shown of a document whose newer row is held back.
    fn recover_former(&mut self, slot: Slot, stored: StoredVector, field: &Field) {
        let status = stored.status;
        self.put_back(slot, stored, &FxHashMap::default(), field);
        self.set_status(slot, status);
    }

    /// Puts back what was shown, with the vectors known by their hashes, or else as they were stored. Says whether all of
    /// them are known.
    fn put_back(
        &mut self,
        slot: Slot,
        stored: StoredVector,
        by_hash: &FxHashMap<u128, &SharedVector>,
        field: &Field,
    ) -> bool {
        let whole = stored.shown.map(|vector| (slot, Span::WHOLE, vector));
        let pieces = stored.pieces.into_iter();
        let pieces = pieces.map(|piece| (Slot(piece.place), piece.span, piece.vector));
        let mut are_known = true;
        let mut restored = Vec::new();
        for (place, span, shown) in whole.into_iter().chain(pieces) {
            let known = by_hash.get(&shown.hash).map(|vector| SharedVector::clone(vector));
            are_known &= known.is_some();
            match known.or_else(|| shown.values.map(SharedVector::from)) {
                Some(vector) => {
                    self.restore(place, shown.stamp, vector, field.is_in_graph(place));
                    restored.push((place, span));
                }
                None => self.release(place),
            }
        }
        if let Some(pieces) = self.pieces() {
            pieces.restore(slot, &restored);
        }
        are_known
    }
}
