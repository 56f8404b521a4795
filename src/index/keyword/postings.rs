//! A word's documents in one segment, and what it adds to their scores: BM25F, in integers.
//!
//! A document's texts count as one: a word's occurrences in all of them, times each text's boost, are held
//! against the length of all of them. Judged queries are answered better so than by adding up each text's own
//! BM25, which rewards a word for standing in a short text that adds nothing.
//!
//! A score is a sum over words, and sums of floats depend on their order. What a word adds is rounded to an
//! integer first, so that a document has the same score, to the last bit, wherever it lies.

use tantivy::TERMINATED;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;

use super::KeywordError;

const K1: f32 = 1.2;
const B: f32 = 0.75;

/// What a score of 1 is in integers. Leaves room for sums up to 2^31, and more digits than `f32` has.
const UNIT: f32 = (1u64 << 32) as f32;

/// A sum of contributions as a score. Monotone: a larger sum never has a smaller score.
pub(super) fn score(sum: i64) -> f32 {
    (sum as f64 / f64::from(UNIT)) as f32
}

/// A sum that is no larger than any with this score.
pub(super) fn sum_at_least(score: f32) -> i64 {
    (f64::from(score.next_down()) * f64::from(UNIT)) as i64
}

/// The weight of a word that occurs in `frequency` of `documents`.
pub(super) fn weight(frequency: u64, documents: u64) -> f32 {
    // Dead terms are counted by hashes; should two ever collide, the weight is off by a little, and no more.
    let absent = documents.saturating_sub(frequency) as f32;
    (1.0 + K1) * (1.0 + (absent + 0.5) / (frequency as f32 + 0.5)).ln()
}

/// The documents' lengths in a segment, set against the average of all documents.
#[derive(Clone, Copy)]
pub(super) struct Lengths<'a> {
    pub of_documents: &'a [f32],
    /// Positive.
    pub average: f32,
}

/// A walk over the documents of one segment that have a word in any of their texts.
pub(super) struct Postings<'a> {
    texts: Vec<TextPostings>,
    lengths: Lengths<'a>,
    /// In units: no document gets more.
    weight: f32,
}

struct TextPostings {
    block: BlockSegmentPostings,
    /// Place in the block.
    at: usize,
    boost: f32,
}

impl<'a> Postings<'a> {
    pub fn new(weight: f32, lengths: Lengths<'a>) -> Postings<'a> {
        Postings {
            texts: Vec::new(),
            lengths,
            weight: weight * UNIT,
        }
    }

    /// Adds a text in which the word occurs. The order of texts is the same for all segments.
    pub fn push(
        &mut self,
        text: &InvertedIndexReader,
        term: &TermInfo,
        boost: f32,
    ) -> Result<(), KeywordError> {
        let block = text.read_block_postings_from_terminfo(term, IndexRecordOption::WithFreqs)?;
        self.texts.push(TextPostings { block, at: 0, boost });
        Ok(())
    }

    /// The next document, or `TERMINATED`.
    pub fn doc(&self) -> u32 {
        self.texts
            .iter()
            .map(TextPostings::doc)
            .min()
            .unwrap_or(TERMINATED)
    }

    /// No document gets more than this.
    pub fn bound(&self) -> i64 {
        self.weight as i64
    }

    /// Adds the contributions to documents from `base` on to `sums`, and moves past them.
    ///
    /// `counts` are as many zeros, and are so again afterwards.
    pub fn add_to(&mut self, base: u32, sums: &mut [i64], counts: &mut [f32]) {
        if let [text] = &mut *self.texts {
            let boost = text.boost;
            let (lengths, weight) = (self.lengths, self.weight);
            text.each(base, sums, |sum, doc, frequency| {
                *sum = sum.saturating_add(contribution(weight, lengths, doc, boost * frequency as f32));
            });
            return;
        }
        for text in &mut self.texts {
            let boost = text.boost;
            text.each(base, counts, |count, _, frequency| {
                *count += boost * frequency as f32
            });
        }
        for (doc, (sum, count)) in (base..).zip(sums.iter_mut().zip(counts)) {
            if *count != 0.0 {
                let count = std::mem::take(count);
                *sum = sum.saturating_add(contribution(self.weight, self.lengths, doc, count));
            }
        }
    }

    /// The contribution to one document. Documents are asked for in ascending order.
    pub fn contribution_to(&mut self, doc: u32) -> i64 {
        let count = self
            .texts
            .iter_mut()
            .fold(0.0, |count, text| count + text.boost * text.frequency(doc) as f32);
        if count == 0.0 {
            0
        } else {
            contribution(self.weight, self.lengths, doc, count)
        }
    }
}

fn contribution(weight: f32, lengths: Lengths, doc: u32, count: f32) -> i64 {
    let length = lengths.of_documents[doc as usize];
    let saturation = K1 * (1.0 - B + B * (length / lengths.average));
    (weight * (count / (count + saturation))) as i64
}

impl TextPostings {
    fn doc(&self) -> u32 {
        self.block.docs().get(self.at).copied().unwrap_or(TERMINATED)
    }

    /// Calls `each` for the documents from `base` on that have a place in `window`, and moves past them.
    fn each<T>(&mut self, base: u32, window: &mut [T], mut each: impl FnMut(&mut T, u32, u32)) {
        loop {
            let docs = self.block.docs();
            for (doc, frequency) in docs.iter().zip(self.block.freqs()).skip(self.at) {
                let Some(place) = window.get_mut((doc - base) as usize) else {
                    return;
                };
                each(place, *doc, *frequency);
                self.at += 1;
            }
            if docs.is_empty() {
                return;
            }
            self.block.advance();
            self.at = 0;
        }
    }

    fn frequency(&mut self, doc: u32) -> u32 {
        if self.doc() < doc {
            self.at = self.block.seek(doc);
        }
        if self.doc() == doc {
            self.block.freq(self.at)
        } else {
            0
        }
    }
}
