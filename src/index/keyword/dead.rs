//! In how many dead documents of a segment each term occurs, so that statistics count the living alone.
//!
//! Inverted lists only know how many documents they hold. A document that dies is analysed once more, and
//! its terms are counted here: in sorted runs that states share, where a tick adds a small run and small
//! runs become larger ones.

use std::cmp::Ordering;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A run is merged into the one before it, unless that one is so many times larger: there are few runs to
/// look into, and a count is copied a few times in its life.
const GROWTH: usize = 4;

/// A term of a text, by its hash: 64 bits tell the terms of one segment apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct TermHash(u64);

impl TermHash {
    pub fn new(text: usize, term: impl AsRef<[u8]>) -> TermHash {
        TermHash(xxh3_64_with_seed(term.as_ref(), text as u64))
    }
}

/// Dead documents by term.
#[derive(Clone, Default)]
pub(super) struct DeadTerms(Vec<Arc<[Count]>>);

/// A term, and in how many documents it occurs.
pub(super) type Count = (TermHash, u32);

impl DeadTerms {
    /// Counts dead documents, each of which has named each of its terms once.
    pub fn add(&mut self, mut terms: Vec<TermHash>) {
        terms.sort_unstable();
        let run = terms
            .chunk_by(|left, right| left == right)
            .map(|equal| (equal[0], equal.len() as u32));
        self.push(run.collect());
    }

    /// Adds up counts, in any order.
    pub fn add_counts(&mut self, mut counts: Vec<Count>) {
        counts.sort_unstable();
        let run = counts
            .chunk_by(|left, right| left.0 == right.0)
            .map(|equal| (equal[0].0, equal.iter().map(|(_, count)| count).sum()));
        self.push(run.collect());
    }

    fn push(&mut self, mut run: Arc<[Count]>) {
        while let Some(before) = self
            .0
            .pop_if(|before| before.len() < run.len().saturating_mul(GROWTH))
        {
            run = merge(&before, &run).into();
        }
        self.0.push(run);
    }

    pub fn get(&self, term: TermHash) -> u32 {
        let counts = self.0.iter().filter_map(|run| {
            let at = run.binary_search_by_key(&term, |(known, _)| *known).ok()?;
            Some(run[at].1)
        });
        counts.sum()
    }
}

/// Adds up two sorted runs.
fn merge(mut left: &[Count], mut right: &[Count]) -> Vec<Count> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right) {
        let count = match first.0.cmp(&second.0) {
            Ordering::Less => *first,
            Ordering::Equal => (first.0, first.1 + second.1),
            Ordering::Greater => *second,
        };
        if first.0 <= second.0 {
            left = left_rest;
        }
        if second.0 <= first.0 {
            right = right_rest;
        }
        merged.push(count);
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn counts_add_up_whatever_runs_they_lie_in() {
        let mut dead = DeadTerms::default();
        let mut expected = BTreeMap::new();
        for document in 0..500u64 {
            let terms: Vec<_> = (0..7).map(|i| TermHash((document * 31 + i * 17) % 211)).collect();
            terms
                .iter()
                .for_each(|term| *expected.entry(*term).or_insert(0) += 1);
            if document % 2 == 0 {
                dead.add(terms);
            } else {
                dead.add_counts(terms.into_iter().map(|term| (term, 1)).collect());
            }
        }
        assert!(dead.0.len() < 6, "{} runs", dead.0.len());
        assert!(
            (0..220)
                .all(|term| dead.get(TermHash(term)) == expected.get(&TermHash(term)).copied().unwrap_or(0))
        );
    }
}
