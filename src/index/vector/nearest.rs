//! The best few of many scored things.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Something with a score. The better one is greater; of two with one score, that with the smaller id.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    pub score: f32,
    pub id: u32,
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.id.cmp(&self.id))
    }
}
impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Scored {}

/// Keeps the best `limit` of what is pushed; `limit` is at least 1.
pub struct Nearest {
    limit: usize,
    worst_first: BinaryHeap<Reverse<Scored>>,
}

impl Nearest {
    pub fn new(limit: usize) -> Nearest {
        Nearest {
            limit: limit.max(1),
            worst_first: BinaryHeap::new(),
        }
    }

    /// The worst that is kept, once as many are kept as may be.
    pub fn worst(&self) -> Option<Scored> {
        let is_full = self.worst_first.len() == self.limit;
        self.worst_first.peek().filter(|_| is_full).map(|worst| worst.0)
    }

    /// Whether this would be kept.
    pub fn takes(&self, scored: Scored) -> bool {
        self.worst().is_none_or(|worst| scored > worst)
    }

    pub fn push(&mut self, scored: Scored) {
        if self.worst_first.len() < self.limit {
            self.worst_first.push(Reverse(scored));
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && scored > worst.0
        {
            *worst = Reverse(scored);
        }
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = Scored> {
        self.worst_first.iter().map(|kept| kept.0)
    }

    /// Best first.
    pub fn into_sorted(self) -> Vec<Scored> {
        self.worst_first
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(scored)| scored)
            .collect()
    }
}
