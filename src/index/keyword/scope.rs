//! What a question is asked of: documents of all shards at one tick.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{KeywordSchema, KeywordState};
use crate::index::{Deadline, Document, Slot};

/// What a question is asked of: documents of all shards at one tick.
#[derive(Clone, Copy)]
pub struct Scope<'s, 'a> {
    /// By shard.
    pub states: &'s [&'s KeywordState],
    /// The document in a slot of a shard.
    pub document: &'s dyn Fn(usize, Slot) -> Option<&'a Arc<Document>>,
    /// By shard: the slots of documents that may be found. `None`: all.
    pub filters: Option<&'s [RoaringBitmap]>,
    /// By shard: the slots of the only documents there are, for this question; frequencies and lengths are theirs, as
    /// if no others were in the index. `None`: all.
    pub population: Option<&'s [RoaringBitmap]>,
    /// Words with typing errors are looked for only where fewer documents than this have the words as they are written;
    /// `None`: than are asked for.
    pub enough: Option<usize>,
    pub deadline: &'s Deadline,
}

impl<'s, 'a> Scope<'s, 'a> {
    /// All documents.
    pub fn new(
        states: &'s [&'s KeywordState],
        document: &'s dyn Fn(usize, Slot) -> Option<&'a Arc<Document>>,
    ) -> Scope<'s, 'a> {
        Scope {
            states,
            document,
            filters: None,
            population: None,
            enough: None,
            deadline: Deadline::NEVER,
        }
    }

    pub(super) fn schema(&self) -> Option<&'s KeywordSchema> {
        self.states.first().map(|state| &state.schema)
    }
}
