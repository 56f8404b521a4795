//! The keyword leg and the filters: tantivy's segments without its `IndexWriter`.
//!
//! Only this folder names tantivy.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Document, Slot};
use crate::definition::{Expression, Index};

/// What failed in the keyword leg; never caused by what a query or a document says.
#[derive(Debug, thiserror::Error)]
#[error("keyword index: {0}")]
pub struct KeywordError(pub String);

/// Which fields and analysers an index has. Cheap to clone.
#[derive(Clone)]
pub struct KeywordSchema {}

impl KeywordSchema {
    pub fn new(index: &Index) -> KeywordSchema {
        let _ = index;
        todo!()
    }
}

/// The write side of one shard; lives on its worker.
pub struct KeywordWriter {}

/// Whether rebuilding and merging run beside the ticks or inside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// On a thread of low priority.
    Background,
    /// Inside `apply`, for replays.
    Inline,
}

impl KeywordWriter {
    /// `wake` is called, from another thread, when a compaction has finished and waits for the next `apply`.
    pub fn new(
        schema: KeywordSchema,
        compaction: Compaction,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> KeywordWriter {
        let _ = (schema, compaction, wake);
        todo!()
    }

    /// Takes in finished compactions, marks what `changes` replace, and adds one segment of the new documents.
    ///
    /// A change is (slot, document that is there, document that shall be there). A slot occurs once.
    pub fn apply(
        &mut self,
        changes: &[(Slot, Option<Arc<Document>>, Option<Arc<Document>>)],
    ) -> Result<(), KeywordError> {
        let _ = changes;
        todo!()
    }

    /// Whether finished compactions wait for an `apply`, even an empty one.
    pub fn has_finished_work(&self) -> bool {
        todo!()
    }

    /// The state after the last `apply`, for a snapshot.
    pub fn state(&self) -> Arc<KeywordState> {
        todo!()
    }
}

/// The read side: one shard's segments at one tick. Immutable.
pub struct KeywordState {}

/// A hit of the keyword leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeywordHit {
    /// Place in the list of states searched.
    pub shard: usize,
    pub slot: Slot,
    pub score: f32,
}

/// The best `limit` documents for the words of `query` over all shards, best first, ties by key.
///
/// Scores are BM25 with the statistics of the live documents of all shards: they do not depend on segments,
/// shards or merges. `filters` has one bitmap of slots per shard. `key` gives a document's key text.
pub fn search(
    states: &[&KeywordState],
    query: &str,
    filters: Option<&[RoaringBitmap]>,
    limit: usize,
    key: &dyn Fn(usize, Slot) -> Option<Arc<str>>,
) -> Result<Vec<KeywordHit>, KeywordError> {
    let _ = (states, query, filters, limit, key);
    todo!()
}

impl KeywordState {
    /// The slots of the live documents for which `filter` is true. Its columns are fields of the index: checked before.
    ///
    /// `document` gives the row, for parts of a filter that no field column can answer alone.
    pub fn filter(
        &self,
        filter: &Expression,
        document: &dyn Fn(Slot) -> Option<Arc<Document>>,
    ) -> Result<RoaringBitmap, KeywordError> {
        let _ = (filter, document);
        todo!()
    }
}
