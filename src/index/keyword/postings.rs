//! A word's documents in one segment, and what it adds to their scores: BM25F, in integers.
//!
//! A document's texts count as one: a word's occurrences in all of them, times each text's boost, are held
//! against the length of all of them. Judged queries are answered better so than by adding up each text's own
//! BM25, which rewards a word for standing in a short text that adds nothing.
//!
//! A score is a sum over words, and sums of floats depend on their order. What a word adds is rounded to an
//! integer first, so that a document has the same score, to the last bit, wherever it lies.

use std::sync::Arc;

use tantivy::TERMINATED;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;

use super::KeywordError;
use super::docs::Docs;
use super::window::{Cells, WINDOW, Window};

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

/// Documents of a segment, ascending, with how often each has what was looked for.
#[derive(Default)]
pub(super) struct List {
    pub docs: Vec<u32>,
    pub counts: Vec<f32>,
}

/// A walk over the documents of one segment that have a word in any of their texts.
pub(super) struct Postings<'a> {
    sources: Vec<Source<'a>>,
    scale: Scale<'a>,
    /// In units: no document gets more.
    weight: f32,
    /// Only these get any.
    guard: Option<Arc<Docs>>,
}

/// What a word's occurrences are worth.
#[derive(Clone, Copy)]
enum Scale<'a> {
    Lengths(Lengths<'a>),
    /// The weight, however many.
    Constant,
}

// Nearly all are texts, and a box would be one more step to each.
#[allow(clippy::large_enum_variant)]
enum Source<'a> {
    Text(TextPostings),
    List { list: &'a List, at: usize },
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
            sources: Vec::new(),
            scale: Scale::Lengths(lengths),
            weight: weight * UNIT,
            guard: None,
        }
    }

    /// The same score for all documents of a list.
    pub fn constant(weight: f32, list: &'a List) -> Postings<'a> {
        Postings {
            sources: vec![Source::List { list, at: 0 }],
            scale: Scale::Constant,
            weight: weight * UNIT,
            guard: None,
        }
    }

    /// Adds a text in which the word occurs. The order of texts is the same for all segments.
    pub fn push(
        &mut self,
        text: &InvertedIndexReader,
        term: &TermInfo,
        boost: f32,
    ) -> Result<(), KeywordError> {
        self.sources
            .push(Source::Text(TextPostings::open(text, term, boost)?));
        Ok(())
    }

    /// Adds documents that are known, with their counts.
    pub fn push_list(&mut self, list: &'a List) {
        self.sources.push(Source::List { list, at: 0 });
    }

    /// Contributes to these documents only.
    pub fn guard(&mut self, docs: &Arc<Docs>) {
        self.guard = Some(docs.clone());
    }

    /// Whether no document has anything of it.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The next document, or `TERMINATED`.
    pub fn doc(&self) -> u32 {
        self.sources.iter().map(Source::doc).min().unwrap_or(TERMINATED)
    }

    /// No document gets more than this.
    pub fn bound(&self) -> i64 {
        self.weight as i64
    }

    /// Adds the contributions to the documents of the window that begins at `base`, and moves past them. Those before
    /// have been dealt with.
    pub fn add_to(&mut self, base: u32, window: &mut Window) {
        self.seek(base);
        if let ([Source::Text(text)], Scale::Lengths(lengths), None) =
            (&mut *self.sources, self.scale, &self.guard)
        {
            let (boost, weight) = (text.boost, self.weight);
            text.each(base, |doc, frequency| {
                if let Some(sum) = window.sums.at(doc - base) {
                    *sum = sum.saturating_add(contribution(weight, lengths, doc, boost * frequency as f32));
                }
            });
            return;
        }
        for source in &mut self.sources {
            source.add_to(base, &mut window.counts);
        }
        window.counts.drain(|place, count| {
            if count != 0.0
                && let Some(sum) = window.sums.at(place)
            {
                *sum = sum.saturating_add(self.contribution(base + place, count));
            }
        });
    }

    /// How often a document has the word, each occurrence by what it counts. Asked for in ascending order.
    pub fn count(&mut self, doc: u32) -> f32 {
        self.sources
            .iter_mut()
            .fold(0.0, |count, source| count + source.count(doc))
    }

    /// The contribution to one document. Documents are asked for in ascending order.
    pub fn contribution_to(&mut self, doc: u32) -> i64 {
        let count = self.count(doc);
        if count == 0.0 {
            0
        } else {
            self.contribution(doc, count)
        }
    }

    /// Moves to `base`, or behind it.
    fn seek(&mut self, base: u32) {
        for source in &mut self.sources {
            if source.doc() < base {
                source.seek(base);
            }
        }
    }

    fn contribution(&self, doc: u32, count: f32) -> i64 {
        if self.guard.as_ref().is_some_and(|guard| !guard.contains(doc)) {
            return 0;
        }
        match self.scale {
            Scale::Lengths(lengths) => contribution(self.weight, lengths, doc, count),
            Scale::Constant => self.weight as i64,
        }
    }
}

fn contribution(weight: f32, lengths: Lengths, doc: u32, count: f32) -> i64 {
    let length = lengths.of_documents[doc as usize];
    let saturation = K1 * (1.0 - B + B * (length / lengths.average));
    (weight * (count / (count + saturation))) as i64
}

impl Source<'_> {
    fn doc(&self) -> u32 {
        match self {
            Source::Text(text) => text.doc(),
            Source::List { list, at } => list.docs.get(*at).copied().unwrap_or(TERMINATED),
        }
    }

    fn seek(&mut self, doc: u32) {
        match self {
            Source::Text(text) => text.seek(doc),
            Source::List { list, at } => {
                let rest = list.docs.get(*at..).unwrap_or_default();
                *at += rest.partition_point(|other| *other < doc);
            }
        }
    }

    /// Counts the documents of the window that begins at `base`, and moves past them.
    fn add_to(&mut self, base: u32, counts: &mut Cells<f32>) {
        match self {
            Source::Text(text) => {
                let boost = text.boost;
                text.each(base, |doc, frequency| {
                    if let Some(count) = counts.at(doc - base) {
                        *count += boost * frequency as f32;
                    }
                });
            }
            Source::List { list, at } => {
                let rest = list.docs.iter().zip(&list.counts).skip(*at);
                for (doc, more) in rest {
                    let Some(count) = counts.at(doc - base) else {
                        return;
                    };
                    *count += more;
                    *at += 1;
                }
            }
        }
    }

    fn count(&mut self, doc: u32) -> f32 {
        if self.doc() < doc {
            self.seek(doc);
        }
        if self.doc() != doc {
            return 0.0;
        }
        match self {
            Source::Text(text) => text.boost * text.block.freq(text.at) as f32,
            Source::List { list, at } => list.counts.get(*at).copied().unwrap_or(0.0),
        }
    }
}

/// The documents of a segment that have a term, in order, with its frequency.
pub(super) struct Occurrences(TextPostings);

impl Occurrences {
    pub fn open(text: &InvertedIndexReader, term: &TermInfo) -> Result<Occurrences, KeywordError> {
        Ok(Occurrences(TextPostings::open(text, term, 1.0)?))
    }

    /// How often a document has the term. Documents are asked for in ascending order.
    pub fn frequency(&mut self, doc: u32) -> u32 {
        if self.0.doc() < doc {
            self.0.seek(doc);
        }
        match self.0.doc() == doc {
            true => self.0.block.freq(self.0.at),
            false => 0,
        }
    }

    /// Calls `each` with every document that is left, and its frequency.
    pub fn each(mut self, mut each: impl FnMut(u32, u32)) {
        loop {
            let docs = self.0.block.docs();
            if docs.is_empty() {
                return;
            }
            for (doc, frequency) in docs.iter().zip(self.0.block.freqs()).skip(self.0.at) {
                each(*doc, *frequency);
            }
            self.0.block.advance();
            self.0.at = 0;
        }
    }
}

impl TextPostings {
    fn open(text: &InvertedIndexReader, term: &TermInfo, boost: f32) -> Result<TextPostings, KeywordError> {
        let block = text.read_block_postings_from_terminfo(term, IndexRecordOption::WithFreqs)?;
        Ok(TextPostings { block, at: 0, boost })
    }

    /// Moves on to a document, or to the next behind it.
    fn seek(&mut self, doc: u32) {
        self.at = self.block.seek(doc);
    }

    fn doc(&self) -> u32 {
        self.block.docs().get(self.at).copied().unwrap_or(TERMINATED)
    }

    /// Calls `each` with the documents of the window that begins at `base` and their frequencies, and moves past them.
    /// Those before have been dealt with.
    #[inline]
    fn each(&mut self, base: u32, mut each: impl FnMut(u32, u32)) {
        let end = base.saturating_add(WINDOW as u32);
        loop {
            let docs = self.block.docs();
            let to = match docs.last() {
                None => return,
                Some(last) if *last < end => docs.len(),
                Some(_) => docs.partition_point(|doc| *doc < end),
            };
            let postings = docs.iter().zip(self.block.freqs()).take(to).skip(self.at);
            postings.for_each(|(doc, frequency)| each(*doc, *frequency));
            if to < docs.len() {
                self.at = self.at.max(to);
                return;
            }
            self.block.advance();
            self.at = 0;
        }
    }
}
