//! The best hits so far: by score, and among equals by key.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::KeywordHit;
use crate::index::{Document, Slot};

/// Keeps the best `limit` of what is offered.
pub(super) struct Best<'f, 'a> {
    limit: usize,
    /// The worst is on top.
    heap: BinaryHeap<Ranked<'a>>,
    document: &'f dyn Fn(usize, Slot) -> Option<&'a Document>,
}

struct Ranked<'a> {
    hit: KeywordHit,
    document: &'a Document,
}

impl<'f, 'a> Best<'f, 'a> {
    pub fn new(limit: usize, document: &'f dyn Fn(usize, Slot) -> Option<&'a Document>) -> Best<'f, 'a> {
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
        if hit.score < self.floor() {
            return;
        }
        let Some(document) = (self.document)(hit.shard, hit.slot) else {
            return;
        };
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

/// The better hit is the smaller one.
impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .hit
            .score
            .total_cmp(&self.hit.score)
            .then_with(|| self.document.key.cmp_text(&other.document.key))
    }
}
impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Ranked<'_> {}
