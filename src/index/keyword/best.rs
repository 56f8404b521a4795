//! The best hits so far: by score, and among equals by key.
//!
//! Few scores are equal, so a document is looked up only where its key decides.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::KeywordHit;
use crate::change::Key;
use crate::index::{Document, Slot};

/// Keeps the best `limit` of what is offered.
pub(super) struct Best<'f, 'a> {
    limit: usize,
    /// The worst is on top.
    heap: BinaryHeap<Ranked<'f, 'a>>,
    document: Lookup<'f, 'a>,
}

/// The document in a slot of a shard.
type Lookup<'f, 'a> = &'f dyn Fn(usize, Slot) -> Option<&'a Document>;

struct Ranked<'f, 'a> {
    hit: KeywordHit,
    document: Lookup<'f, 'a>,
}

impl<'f, 'a> Best<'f, 'a> {
    pub fn new(limit: usize, document: Lookup<'f, 'a>) -> Best<'f, 'a> {
        Best {
            limit,
            heap: BinaryHeap::new(),
            document,
        }
    }

    /// The lowest score that can still be among the best. Equal scores can: their keys decide.
    pub fn floor(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.limit => worst.hit.score,
            _ => 0.0,
        }
    }

    pub fn offer(&mut self, hit: KeywordHit) {
        let document = self.document;
        let ranked = Ranked { hit, document };
        if self.heap.len() < self.limit {
            self.heap.push(ranked);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && ranked < *worst
        {
            *worst = ranked;
        }
    }

    pub fn into_hits(self) -> Vec<KeywordHit> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|ranked| ranked.hit)
            .collect()
    }
}

impl<'a> Ranked<'_, 'a> {
    fn key(&self) -> Option<&'a Key> {
        (self.document)(self.hit.shard, self.hit.slot).map(|document| &document.key)
    }
}

/// The better hit is the smaller one.
impl Ord for Ranked<'_, '_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = other.hit.score.total_cmp(&self.hit.score);
        by_score.then_with(|| match (self.key(), other.key()) {
            (Some(mine), Some(theirs)) => mine.cmp_text(theirs),
            (mine, theirs) => mine.is_none().cmp(&theirs.is_none()),
        })
    }
}
impl PartialOrd for Ranked<'_, '_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Ranked<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Ranked<'_, '_> {}
