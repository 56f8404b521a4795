//! The words of a query -> the best documents of all shards.
//!
//! Each segment is scored in windows of documents. Words whose weights together cannot lift a document
//! among the best are not walked through, but looked up for the documents that other words have found.
//! tantivy's own pruning is not used: its bounds hold for the statistics of one segment.

use std::collections::{BTreeMap, HashSet};

use roaring::RoaringBitmap;
use tantivy::TERMINATED;
use tantivy::postings::TermInfo;

use super::best::Best;
use super::dead::TermHash;
use super::postings::{self, Lengths, Postings};
use super::state::Part;
use super::{KeywordError, KeywordSchema, KeywordState};
use crate::index::{Deadline, Document, Slot};

/// Different words of a query that are searched in each text; more would let one query hold a core for long.
const WORDS_MAX: usize = 1_024;

/// Documents scored together. Their sums fit into the first-level cache.
const WINDOW: usize = 2_048;

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
/// shards or merges. `filters` has one bitmap of slots per shard. `document` gives the document in a slot of a shard.
///
/// # Errors
///
/// When a segment cannot be read; no query is wrong.
pub fn search<'a>(
    states: &[&KeywordState],
    query: &str,
    filters: Option<&[RoaringBitmap]>,
    limit: usize,
    document: &dyn Fn(usize, Slot) -> Option<&'a Document>,
) -> Result<Vec<KeywordHit>, KeywordError> {
    search_until(states, query, filters, limit, document, &Deadline::never())
}

/// The same, but when the deadline is over, what was found until then is the answer.
pub fn search_until<'a>(
    states: &[&KeywordState],
    query: &str,
    filters: Option<&[RoaringBitmap]>,
    limit: usize,
    document: &dyn Fn(usize, Slot) -> Option<&'a Document>,
    deadline: &Deadline,
) -> Result<Vec<KeywordHit>, KeywordError> {
    let Some(schema) = states.first().map(|state| &state.schema).filter(|_| limit > 0) else {
        return Ok(Vec::new());
    };
    let words = words(schema, query);
    let mut found = find(states, &words, deadline)?;
    let statistics = Statistics::new(states, &words, &found);

    // From the largest segment on: it raises the floor for the others.
    found.sort_by_key(|found| std::cmp::Reverse(found.part.living));
    let mut best = Best::new(limit, document);
    let mut window = Window {
        sums: vec![0; WINDOW],
        counts: vec![0.0; WINDOW],
    };
    for found in &found {
        let filter = match filters.map(|filters| filters.get(found.shard)) {
            Some(Some(filter)) => Some(filter),
            Some(None) => continue,
            None => None,
        };
        let postings = statistics.postings(schema, &words, found)?;
        score(found, postings, filter, deadline, &mut window, &mut best);
    }
    Ok(best.into_hits())
}

/// A word of the query: what to look for in each text.
struct Word {
    /// Text and term, by text.
    terms: Vec<(usize, String)>,
}

/// The query's different words, as each text's analyser sees them. Whatever is typed is words.
fn words(schema: &KeywordSchema, query: &str) -> Vec<Word> {
    // Analysers split alike, and then change or drop: a word's place in the query says what belongs together.
    let mut words: BTreeMap<usize, Word> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (i, text) in schema.texts().iter().enumerate() {
        text.tokens(query, &mut |place, token| {
            let room = words.len() < WORDS_MAX || words.contains_key(&place);
            if room && seen.insert((i, token.to_owned())) {
                words
                    .entry(place)
                    .or_insert_with(|| Word { terms: Vec::new() })
                    .terms
                    .push((i, token.to_owned()));
            }
        });
    }
    words.into_values().collect()
}

/// A segment, and what it has of the words.
struct Found<'a> {
    shard: usize,
    part: &'a Part,
    /// In the order of the words.
    terms: Vec<FoundTerm>,
}

struct FoundTerm {
    word: usize,
    /// Place among the word's terms.
    term: usize,
    info: TermInfo,
}

fn find<'a>(
    states: &[&'a KeywordState],
    words: &[Word],
    deadline: &Deadline,
) -> Result<Vec<Found<'a>>, KeywordError> {
    let mut all = Vec::new();
    for (shard, state) in states.iter().enumerate() {
        for part in &state.parts {
            if deadline.is_over() {
                return Ok(all);
            }
            let mut found = Vec::new();
            for (i, word) in words.iter().enumerate() {
                for (j, (text, term)) in word.terms.iter().enumerate() {
                    if let Some(info) = part.segment.texts[*text].terms().get(term)? {
                        found.push(FoundTerm {
                            word: i,
                            term: j,
                            info,
                        });
                    }
                }
            }
            if !found.is_empty() {
                all.push(Found {
                    shard,
                    part,
                    terms: found,
                });
            }
        }
    }
    Ok(all)
}

/// What the living documents of all shards say of the words.
struct Statistics {
    /// By word.
    weights: Vec<f32>,
    average_length: f32,
}

impl Statistics {
    fn new(states: &[&KeywordState], words: &[Word], found: &[Found]) -> Statistics {
        let documents = states.iter().map(|state| state.documents).sum();
        let mut frequencies: Vec<Vec<u64>> = words.iter().map(|word| vec![0; word.terms.len()]).collect();
        for found in found {
            for FoundTerm { word, term, info } in &found.terms {
                let dead = match found.part.dead() {
                    0 => 0,
                    _ => {
                        let (text, term) = &words[*word].terms[*term];
                        found.part.dead.get(TermHash::new(*text, term))
                    }
                };
                frequencies[*word][*term] += u64::from(info.doc_freq.saturating_sub(dead));
            }
        }
        // How many documents have a word in any text is not known; it is at least this, and rarely much more.
        let frequencies = frequencies
            .iter()
            .map(|texts| texts.iter().copied().max().unwrap_or(0));
        let weights = frequencies
            .map(|frequency| postings::weight(frequency, documents))
            .collect();
        let average_length = average_length(states, documents);
        Statistics {
            weights,
            average_length,
        }
    }

    fn postings<'a>(
        &self,
        schema: &KeywordSchema,
        words: &[Word],
        found: &Found<'a>,
    ) -> Result<Vec<Postings<'a>>, KeywordError> {
        let segment = &found.part.segment;
        let lengths = Lengths {
            of_documents: &segment.lengths,
            average: self.average_length,
        };
        let of_one_word = found.terms.chunk_by(|left, right| left.word == right.word);
        let postings = of_one_word.map(|terms| {
            let mut postings = Postings::new(self.weights[terms[0].word], lengths);
            for FoundTerm { word, term, info } in terms {
                let text = words[*word].terms[*term].0;
                postings.push(&segment.texts[text], info, schema.texts()[text].boost)?;
            }
            Ok(postings)
        });
        postings.collect()
    }
}

fn average_length(states: &[&KeywordState], documents: u64) -> f32 {
    let texts = states.first().map_or(&[][..], |state| state.schema.texts());
    let tokens = texts.iter().enumerate().map(|(i, text)| {
        let tokens: u64 = states.iter().map(|state| state.tokens[i]).sum();
        f64::from(text.boost) * tokens as f64
    });
    let average = (tokens.sum::<f64>() / documents.max(1) as f64) as f32;
    if average > 0.0 { average } else { 1.0 }
}

/// Documents scored together: zeros, between any two.
struct Window {
    sums: Vec<i64>,
    counts: Vec<f32>,
}

/// Offers a segment's documents.
fn score(
    found: &Found,
    mut postings: Vec<Postings>,
    filter: Option<&RoaringBitmap>,
    deadline: &Deadline,
    window: &mut Window,
    best: &mut Best,
) {
    postings.sort_by_key(|postings| std::cmp::Reverse(postings.bound()));
    // What the words from each one on can add together.
    let mut rest = vec![0i64; postings.len() + 1];
    for (i, postings) in postings.iter().enumerate().rev() {
        rest[i] = rest[i + 1].saturating_add(postings.bound());
    }
    loop {
        let mut floor = postings::sum_at_least(best.floor());
        let walked = rest
            .iter()
            .take_while(|rest| **rest >= floor)
            .count()
            .min(postings.len());
        let (walking, looked_up) = postings.split_at_mut(walked);
        let base = walking.iter().map(Postings::doc).min().unwrap_or(TERMINATED);
        if base == TERMINATED || deadline.is_over() {
            return;
        }
        walking
            .iter_mut()
            .for_each(|postings| postings.add_to(base, &mut window.sums, &mut window.counts));
        for (doc, sum) in (base..).zip(window.sums.iter_mut()) {
            let mut sum = std::mem::take(sum);
            if sum == 0 || sum.saturating_add(rest[walked]) < floor || !found.part.alive.contains(doc) {
                continue;
            }
            let slot = found.part.segment.slot(doc);
            if filter.is_some_and(|filter| !filter.contains(slot.0)) {
                continue;
            }
            looked_up
                .iter_mut()
                .for_each(|postings| sum = sum.saturating_add(postings.contribution_to(doc)));
            if sum >= floor {
                best.offer(KeywordHit {
                    shard: found.shard,
                    slot,
                    score: postings::score(sum),
                });
                floor = postings::sum_at_least(best.floor());
            }
        }
    }
}
