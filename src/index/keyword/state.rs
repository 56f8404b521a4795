//! The read side: one shard's segments at one tick, with the statistics of its living documents.

use std::sync::Arc;

use super::KeywordSchema;
use super::dead::DeadTerms;
use super::docs::Docs;
use super::segment::Segment;

/// The read side: one shard's segments at one tick. Immutable.
pub struct KeywordState {
    pub(super) schema: KeywordSchema,
    pub(super) parts: Vec<Part>,
    /// Living documents.
    pub(super) documents: u64,
    /// Tokens of the living documents, by text.
    pub(super) tokens: Vec<u64>,
}

/// A segment, and which of its documents live.
#[derive(Clone)]
pub(super) struct Part {
    pub segment: Arc<Segment>,
    pub alive: Arc<Docs>,
    /// The size of `alive`.
    pub living: u32,
    pub dead: DeadTerms,
}

impl Part {
    pub fn new(segment: Segment) -> Part {
        let size = segment.size();
        Part {
            segment: Arc::new(segment),
            alive: Arc::new(Docs::all(size)),
            living: size,
            dead: DeadTerms::default(),
        }
    }

    pub fn dead(&self) -> u32 {
        self.segment.size() - self.living
    }
}
