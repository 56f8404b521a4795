//! Which part of which document's text each vector belongs to, where texts are embedded in pieces.
//!
//! A piece has a *place*: what a slot is to a vector of a whole document. It keeps the place for as long as the document has
//! a piece of that vector, wherever that stands in the text, so an edited document leaves most of the graph alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::documents::Slot;
use super::leg::DocumentVector;
use super::snapshot::VectorStatus;
use super::vector::SharedVector;
use crate::change::Span;

/// A piece as searches see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub document: Slot,
    pub span: Span,
}

/// The pieces that are shown. A clone shares its structure.
#[derive(Clone, Default)]
pub struct Pieces {
    /// By place.
    at: imbl::Vector<Option<Piece>>,
    /// The places of each document, by slot.
    of: imbl::Vector<Option<Arc<[Slot]>>>,
}

impl Pieces {
    pub fn at(&self, place: Slot) -> Option<Piece> {
        self.at.get(place.0 as usize).copied().flatten()
    }

    /// The places of a document's pieces, in the order of its text.
    pub fn of(&self, document: Slot) -> &[Slot] {
        let places = self.of.get(document.0 as usize).and_then(Option::as_ref);
        places.map_or(&[], |places| places)
    }

    /// One more than the highest place ever in use.
    pub fn places(&self) -> usize {
        self.at.len()
    }

    /// Puts the pieces of a document in the place of those it had.
    fn put(&mut self, document: Slot, pieces: &[(Slot, Span)]) {
        for place in self.of(document).to_vec() {
            self.at.set(place.0 as usize, None);
        }
        for (place, span) in pieces {
            let at = place.0 as usize;
            while self.at.len() <= at {
                self.at.push_back(None);
            }
            let span = *span;
            self.at.set(at, Some(Piece { document, span }));
        }
        let at = document.0 as usize;
        while self.of.len() <= at {
            self.of.push_back(None);
        }
        let places = pieces.iter().map(|(place, _)| *place);
        self.of.set(at, (!pieces.is_empty()).then(|| places.collect()));
    }
}

/// The write side: what is known of each document's pieces, and which places are free.
#[derive(Default)]
pub(super) struct PiecesWriter {
    shown: Pieces,
    known: FxHashMap<Slot, BTreeMap<Span, DocumentVector>>,
    free: Vec<Slot>,
    /// Free from the next tick on: a place changes once in a tick.
    freed: Vec<Slot>,
    places: u32,
}

/// What a document's pieces come to.
pub(super) struct Settled {
    pub status: VectorStatus,
    /// What the places of the document are to have that have something else.
    pub changes: Vec<(Slot, Option<SharedVector>)>,
}

impl PiecesWriter {
    pub fn shown(&self) -> &Pieces {
        &self.shown
    }

    /// Begins with places that stored pieces have; all others below `places` are free.
    pub fn reserve(&mut self, places: u32, taken: impl Iterator<Item = Slot>) {
        let mut is_free = vec![true; places as usize];
        for place in taken {
            if let Some(is_free) = is_free.get_mut(place.0 as usize) {
                *is_free = false;
            }
        }
        let free = (0..).map(Slot).zip(is_free).filter(|(_, is_free)| *is_free);
        self.free = free.map(|(place, _)| place).collect();
        // The last one is given out first.
        self.free.reverse();
        self.places = places;
        // A stored graph may have dead rows of every one of them.
        self.shown.at = std::iter::repeat_n(None, places as usize).collect();
    }

    /// Puts back the pieces that were shown of a document.
    pub fn restore(&mut self, document: Slot, pieces: &[(Slot, Span)]) {
        self.shown.put(document, pieces);
    }

    /// A place that was reserved and that nothing comes back for.
    pub fn release(&mut self, place: Slot) {
        self.freed.push(place);
    }

    /// Takes in what has become known of a document's pieces, and says what is to be shown; `None` while some are being
    /// computed, and what is shown stays. A piece that failed is left out, as long as there are others.
    ///
    /// `at` tells which vector a place has.
    pub fn settle<'a>(
        &mut self,
        document: Slot,
        gone: impl Iterator<Item = Span>,
        known: impl Iterator<Item = (Span, DocumentVector)>,
        at: impl Fn(Slot) -> Option<&'a SharedVector>,
    ) -> Option<Settled> {
        let pieces = self.known.entry(document).or_default();
        gone.for_each(|span| drop(pieces.remove(&span)));
        for (span, vector) in known {
            // A text is cut, or it is not there at all.
            match span {
                Span::WHOLE => pieces.clear(),
                _ => drop(pieces.remove(&Span::WHOLE)),
            }
            pieces.insert(span, vector);
        }
        let mut wanted = Vec::with_capacity(pieces.len());
        let mut failed = false;
        for (span, vector) in pieces.iter() {
            match vector {
                DocumentVector::Pending => return None,
                DocumentVector::Known(vector) => wanted.push((*span, vector.clone())),
                DocumentVector::Failed => failed = true,
                DocumentVector::Absent => {}
            }
        }
        let mut before: BTreeMap<&SharedVector, Vec<Slot>> = BTreeMap::new();
        let mut empty = Vec::new();
        for &place in self.shown.of(document) {
            match at(place) {
                Some(vector) => before.entry(vector).or_default().push(place),
                None => empty.push(place),
            }
        }
        let mut changes = Vec::new();
        let mut placed = Vec::with_capacity(wanted.len());
        for (span, vector) in wanted {
            let same = before.get_mut(&vector).and_then(Vec::pop);
            let place = match same {
                Some(place) => place,
                None => {
                    let place = self.free.pop().unwrap_or_else(|| {
                        self.places += 1;
                        Slot(self.places - 1)
                    });
                    changes.push((place, Some(vector)));
                    place
                }
            };
            placed.push((place, span));
        }
        for place in before.into_values().flatten().chain(empty) {
            changes.push((place, None));
            self.freed.push(place);
        }
        self.shown.put(document, &placed);
        let status = match (placed.is_empty(), failed) {
            (false, _) => VectorStatus::Current,
            (true, true) => VectorStatus::Failed,
            (true, false) => VectorStatus::Absent,
        };
        Some(Settled { status, changes })
    }

    /// The document at this slot is another one, whose pieces all come.
    pub fn forget(&mut self, document: Slot) {
        self.known.remove(&document);
    }

    /// The document is gone: the places that are to be empty.
    pub fn remove(&mut self, document: Slot) -> Vec<Slot> {
        self.known.remove(&document);
        let places = self.shown.of(document).to_vec();
        if !places.is_empty() {
            self.shown.put(document, &[]);
        }
        self.freed.extend(&places);
        places
    }

    /// The tick is over: what it has freed can be used again.
    pub fn end_tick(&mut self) {
        self.free.append(&mut self.freed);
    }
}
