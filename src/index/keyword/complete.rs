//! The beginning of a word -> the words of a text field that begin so.
//!
//! Terms may be stems, of which a person has typed more (`runnin`, whose term is `run`) or something else (`happy`,
//! `happi`). So terms near the typed letters are gathered here; how they are written, and whether that begins as typed,
//! is seen in documents that have them.

use std::collections::{HashMap, HashSet};

use roaring::RoaringBitmap;
use tantivy::schema::IndexRecordOption;

use super::dead::TermHash;
use super::postings::Occurrences;
use super::slot_bits::SlotBits;
use super::state::Part;
use super::{KeywordError, KeywordState};
use crate::index::Slot;

/// The most frequent terms that are counted in the documents that a suggestion is narrowed to. Each costs a walk over its
/// documents.
const COUNTED_MAX: usize = 1_000;

/// A stem has at least so many letters.
const STEM_CHARS_MIN: usize = 2;

/// A term that may complete what is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    pub term: String,
    /// Living documents that have it, of those it is narrowed to.
    pub documents: u64,
}

/// Terms of a text that may be of words which begin with `typed`, in lower case: the most frequent first, ties by term.
/// `within` has one bitmap of slots per shard.
///
/// # Errors
/// When a segment cannot be read.
pub fn complete(
    states: &[&KeywordState],
    text: usize,
    typed: &str,
    within: Option<&[RoaringBitmap]>,
) -> Result<Vec<Completion>, KeywordError> {
    let mut documents: HashMap<String, u64> = HashMap::new();
    for part in states.iter().flat_map(|state| &state.parts) {
        let Some(reader) = part.segment.texts.get(text) else {
            continue;
        };
        let mut add = |term: &str, in_segment: u32| {
            let dead = match part.dead() {
                0 => 0,
                _ => part.dead.get(TermHash::new(text, term)),
            };
            let living = u64::from(in_segment.saturating_sub(dead));
            if living > 0 {
                *documents.entry(term.to_owned()).or_default() += living;
            }
        };
        // All but the last letter: stemming may have changed that one.
        let shared = but_last(typed);
        let mut terms = reader.terms().range().ge(shared).into_stream()?;
        while terms.advance() {
            let Ok(term) = std::str::from_utf8(terms.key()) else {
                continue;
            };
            if !term.starts_with(shared) {
                break;
            }
            if term.starts_with(typed) || term.len() <= typed.len() {
                add(term, terms.value().doc_freq);
            }
        }
        for stem in stems(typed).filter(|stem| stem.len() < shared.len()) {
            if let Some(info) = reader.terms().get(stem)? {
                add(stem, info.doc_freq);
            }
        }
    }
    let mut found: Vec<Completion> = documents
        .into_iter()
        .map(|(term, documents)| Completion { term, documents })
        .collect();
    most_frequent_first(&mut found);
    if let Some(within) = within {
        found.truncate(COUNTED_MAX);
        let within: Vec<SlotBits> = within.iter().map(SlotBits::from).collect();
        for completion in &mut found {
            completion.documents = count(states, text, &completion.term, &within)?;
        }
        found.retain(|completion| completion.documents > 0);
        most_frequent_first(&mut found);
    }
    Ok(found)
}

fn most_frequent_first(found: &mut [Completion]) {
    found.sort_unstable_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.term.cmp(&b.term)));
}

fn but_last(typed: &str) -> &str {
    let end = typed.char_indices().next_back().map_or(0, |(last, _)| last);
    match typed[..end].chars().count() < STEM_CHARS_MIN {
        true => typed,
        false => &typed[..end],
    }
}

/// What the typed letters may be more than: their beginnings.
fn stems(typed: &str) -> impl Iterator<Item = &str> {
    typed
        .char_indices()
        .skip(STEM_CHARS_MIN)
        .map(|(end, _)| &typed[..end])
}

/// The living documents within that have a term.
fn count(
    states: &[&KeywordState],
    text: usize,
    term: &str,
    within: &[SlotBits],
) -> Result<u64, KeywordError> {
    let mut count = 0;
    for (state, within) in states.iter().zip(within) {
        for part in &state.parts {
            each_document(part, text, term, |doc| {
                if part.alive.contains(doc) && within.contains(part.segment.slot(doc).0) {
                    count += 1;
                }
            })?;
        }
    }
    Ok(count)
}

/// The first `limit` documents, as shard and slot, that have a term; of those `within`.
///
/// # Errors
/// When a segment cannot be read.
pub fn documents_with(
    states: &[&KeywordState],
    text: usize,
    term: &str,
    within: Option<&[RoaringBitmap]>,
    limit: usize,
) -> Result<Vec<(usize, Slot)>, KeywordError> {
    let mut found = Vec::new();
    for (shard, state) in states.iter().enumerate() {
        for part in &state.parts {
            let Some(reader) = part.segment.texts.get(text) else {
                continue;
            };
            let Some(info) = reader.terms().get(term)? else {
                continue;
            };
            let mut block = reader.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            while !block.docs().is_empty() {
                for doc in block.docs().iter().filter(|doc| part.alive.contains(**doc)) {
                    let slot = part.segment.slot(*doc);
                    let of_shard = within.map(|within| within.get(shard));
                    if of_shard.is_none_or(|slots| slots.is_some_and(|slots| slots.contains(slot.0))) {
                        found.push((shard, slot));
                    }
                    if found.len() >= limit {
                        return Ok(found);
                    }
                }
                block.advance();
            }
        }
    }
    Ok(found)
}

/// The words of a text as they are written there, in lower case, whose term is `term`; each once.
pub fn written(state: &KeywordState, text: usize, content: &str, term: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    if let Some(analysed) = state.schema.texts().get(text) {
        analysed.analysis.spans(content, &mut |range, _, token| {
            if token == term
                && let Some(part) = content.get(range)
            {
                found.insert(part.to_lowercase());
            }
        });
    }
    found
}

/// Whether a text's analyser leaves something of a word; it leaves nothing of a stop word.
pub fn is_searched(state: &KeywordState, text: usize, word: &str) -> bool {
    let mut is_searched = false;
    if let Some(analysed) = state.schema.texts().get(text) {
        analysed.analysis.query_words(word, &mut |_| is_searched = true);
    }
    is_searched
}

/// Where terms are parts of words: the first `limit` documents, as shard and slot, that may have a word which begins with
/// `typed`; of those `within`. `None`: terms are words.
///
/// # Errors
/// When a segment cannot be read.
pub fn documents_beginning(
    states: &[&KeywordState],
    text: usize,
    typed: &str,
    within: Option<&[RoaringBitmap]>,
    limit: usize,
) -> Result<Option<Vec<(usize, Slot)>>, KeywordError> {
    let analysed = states.first().and_then(|state| state.schema.texts().get(text));
    let Some((analysis, sizes)) = analysed.and_then(|text| Some((&text.analysis, text.analysis.parts()?)))
    else {
        return Ok(None);
    };
    let start: String = analysis
        .start(typed)
        .unwrap_or_default()
        .chars()
        .take(sizes.max)
        .collect();
    let terms = match start.chars().count() {
        0 => Vec::new(),
        length if length >= sizes.min => vec![start],
        // Shorter than any part: by the parts that begin so.
        _ => {
            let parts = complete(states, text, &start, within)?
                .into_iter()
                .map(|found| found.term);
            parts.filter(|part| part.starts_with(&start)).collect()
        }
    };
    let (mut found, mut known) = (Vec::new(), HashSet::new());
    for term in terms {
        let documents = documents_with(states, text, &term, within, limit)?;
        found.extend(documents.into_iter().filter(|document| known.insert(*document)));
        if found.len() >= limit {
            found.truncate(limit);
            break;
        }
    }
    Ok(Some(found))
}

/// The words of a text that begin with `typed` for its analyser, as they are written there, in lower case; each once.
pub fn words_beginning(state: &KeywordState, text: usize, content: &str, typed: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    if let Some(analysed) = state.schema.texts().get(text)
        && let Some(start) = analysed.analysis.start(typed)
    {
        analysed.analysis.whole_words(content, &mut |range, word| {
            if word.starts_with(&start)
                && let Some(part) = content.get(range)
            {
                found.insert(part.to_lowercase());
            }
        });
    }
    found
}

/// Calls `each` with the segment's documents, dead ones too, that have a term in a text.
fn each_document(
    part: &Part,
    text: usize,
    term: &str,
    mut each: impl FnMut(u32),
) -> Result<(), KeywordError> {
    let Some(reader) = part.segment.texts.get(text) else {
        return Ok(());
    };
    if let Some(info) = reader.terms().get(term)? {
        Occurrences::open(reader, &info)?.each(|doc, _| each(doc));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_of_a_word_is_looked_for_in_its_beginnings() {
        assert_eq!(but_last("happy"), "happ");
        assert_eq!(but_last("sho"), "sh");
        assert_eq!(but_last("sh"), "sh", "a single letter begins too many terms");
        assert_eq!(but_last("éé"), "éé");
        assert_eq!(but_last(""), "");
        assert_eq!(
            stems("runnin").collect::<Vec<_>>(),
            ["ru", "run", "runn", "runni"]
        );
    }
}
