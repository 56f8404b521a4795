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
    known: BTreeMap<(u16, Span), DocumentVector>,
    /// Parts of the text that is shown.
    gone: Vec<(u16, Span)>,
}

impl HeldRow {
    fn is_whole(&self) -> bool {
        !self.known.values().any(DocumentVector::is_pending)
    }

    /// Takes in a newer row, of which all vectors come, or what has become known of this one's.
    fn update(&mut self, document: Arc<Document>, vectors: DocumentVectors) {
        if document.row != self.document.row {
            self.known.clear();
        }
        self.document = document;
        let known = vectors.known.into_iter();
        self.known
            .extend(known.map(|(field, span, vector)| ((field, span), vector)));
    }

    fn into_update(self) -> Update {
        let known = self.known.into_iter();
        let vectors = DocumentVectors {
            known: known
                .map(|((field, span), vector)| (field, span, vector))
                .collect(),
            gone: self.gone,
        };
        Update::Put(self.document, vectors)
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
                if !vectors.are_pending() && !self.rows.contains_key(&*key) {
                    return Some(Update::Put(document, vectors));
                }
                self.hold(tick, document, vectors);
                if self.rows.get(&*key).is_some_and(HeldRow::is_whole) {
                    return self.release(&key).map(HeldRow::into_update);
                }
                None
            }
        }
    }

    /// Holds a row back, or takes in what is new of one that is.
    pub fn hold(&mut self, tick: Tick, document: Arc<Document>, mut vectors: DocumentVectors) {
        let key: Arc<str> = document.key.text().into();
        // What goes later is of texts that were never shown.
        let gone = std::mem::take(&mut vectors.gone);
        let row = self.rows.entry(key.clone()).or_insert_with(|| HeldRow {
            document: document.clone(),
            known: BTreeMap::new(),
            gone,
        });
        row.update(document, vectors);
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
