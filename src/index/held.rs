//! Rows that are held back until their vectors are there: `freshness = "together"`.
//!
//! Until then the document is shown as it was before, row and vectors, or not at all if it is new. Deletes wait for
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::documents::Document;
use super::leg::{DocumentVector, DocumentVectors};
use super::shard::Update;
use super::snapshot::HeldKeys;
use super::waiting::Waiting;
use crate::change::{Span, Tick};

/// The rows of a shard that are held back.
#[derive(Default)]
pub(super) struct Held {
    rows: FxHashMap<Arc<str>, HeldRow>,
    since: Waiting<Arc<str>>,
    keys: imbl::OrdSet<Arc<str>>,
}

struct HeldRow {
    document: Arc<Document>,
    /// What is known of each vector now, by field and part of the text.
    known: BTreeMap<(u16, Span), DocumentVector>,
    /// Parts that what is shown may have, and the row has not.
    gone: Vec<(u16, Span)>,
}

impl HeldRow {
    fn is_whole(&self) -> bool {
        !self.known.values().any(DocumentVector::is_pending)
    }

    fn learn(&mut self, vectors: DocumentVectors) {
        for part in vectors.gone {
            // What came while the row was held was never shown.
            if self.known.remove(&part).is_none() {
                self.gone.push(part);
            }
        }
        for (field, span, vector) in vectors.known {
            // A text is cut, or it is not there at all.
            match span {
                Span::WHOLE => self.known.retain(|(of, _), _| *of != field),
                _ => drop(self.known.remove(&(field, Span::WHOLE))),
            }
            self.known.insert((field, span), vector);
        }
    }
}

impl Held {
    /// What of an update is to be shown now; `None`: it is held back.
    pub fn pass(&mut self, tick: Tick, update: Update) -> Option<Update> {
        match update {
            Update::Remove(key) => {
                self.release(&key.text());
                Some(Update::Remove(key))
            }
            Update::Put(document, vectors) => {
                let key = document.key.text().into_owned();
                let is_whole = !vectors.are_waited_for();
                if is_whole && !self.rows.contains_key(&*key) {
                    return Some(Update::Put(document, vectors));
                }
                self.hold(tick, document, vectors);
                if !self.rows.get(&*key).is_some_and(HeldRow::is_whole) {
                    return None;
                }
                let row = self.release(&key)?;
                let known = row.known.into_iter();
                let vectors = DocumentVectors {
                    known: known
                        .map(|((field, span), vector)| (field, span, vector))
                        .collect(),
                    gone: row.gone,
                };
                Some(Update::Put(row.document, vectors))
            }
        }
    }

    /// Holds a row back, with what has changed of its vectors since it was held first.
    pub fn hold(&mut self, tick: Tick, document: Arc<Document>, vectors: DocumentVectors) {
        let key: Arc<str> = document.key.text().into();
        let row = self.rows.entry(key.clone()).or_insert_with(|| HeldRow {
            document: document.clone(),
            known: BTreeMap::new(),
            gone: Vec::new(),
        });
        row.document = document;
        row.learn(vectors);
        self.keys.insert(key.clone());
        self.since.begin(key, tick);
    }

    fn release(&mut self, key: &str) -> Option<HeldRow> {
        let (key, row) = self.rows.remove_entry(key)?;
        self.since.end(&key);
        self.keys.remove(&key);
        if self.rows.is_empty() {
            // A load has made room for as many as there are.
            self.rows.shrink_to_fit();
        }
        Some(row)
    }

    /// What readers and checkpoints are to know of it.
    pub fn keys(&self) -> HeldKeys {
        HeldKeys {
            keys: self.keys.clone(),
            since: self.since.oldest(),
        }
    }
}
