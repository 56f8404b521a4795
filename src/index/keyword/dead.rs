//! In how many dead documents of a segment each term occurs, so that statistics count the living alone.
//!
//! Inverted lists only know how many documents they hold. A document that dies is analysed once more, and
//! its terms are counted here. The map is shared between states: a tick copies only what it changes.

use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use rustc_hash::FxBuildHasher;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A term of a text, by its hash: 64 bits tell the terms of one segment apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct TermHash(u64);

impl TermHash {
    pub fn new(text: usize, term: &str) -> TermHash {
        TermHash(xxh3_64_with_seed(term.as_bytes(), text as u64))
    }
}

/// Dead documents by term.
#[derive(Clone, Default)]
pub(super) struct DeadTerms(GenericHashMap<TermHash, u32, FxBuildHasher, DefaultSharedPtr>);

impl DeadTerms {
    /// Counts one more dead document, which has these terms, each named once.
    pub fn add(&mut self, terms: &[TermHash]) {
        for term in terms {
            *self.0.entry(*term).or_insert(0) += 1;
        }
    }

    pub fn get(&self, term: TermHash) -> u32 {
        self.0.get(&term).copied().unwrap_or(0)
    }
}
