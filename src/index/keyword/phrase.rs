//! Words one behind the other.
//!
//! Places of words are not indexed: they would cost every document memory and time. Documents that have all the words are
//! analysed again, of those that still matter where the question asks for more than the phrase.

use std::collections::BTreeMap;

use super::KeywordError;
use super::compile::PhraseText;
use super::docs::Docs;
use super::evaluate::Evaluation;
use super::postings::{List, Occurrences};

/// The documents `within` that have the phrase in one of the texts, with how often, times the texts' boosts.
pub(super) fn find(
    evaluation: &Evaluation<'_, '_>,
    texts: &[PhraseText],
    slop: u32,
    within: &Docs,
) -> Result<List, KeywordError> {
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    for text in texts {
        let matcher = Matcher::new(evaluation, text, slop);
        for doc in candidates(evaluation, text, within)? {
            // Whoever asks gives up the segment.
            if evaluation.scope.deadline.is_over() {
                break;
            }
            let count = matcher.count(doc);
            if count > 0 {
                *counts.entry(doc).or_default() += text.boost * count as f32;
            }
        }
    }
    let (docs, counts) = counts.into_iter().unzip();
    Ok(List { docs, counts })
}

/// The documents `within` that have all the words.
fn candidates(
    evaluation: &Evaluation<'_, '_>,
    text: &PhraseText,
    within: &Docs,
) -> Result<Vec<u32>, KeywordError> {
    let lists = &evaluation.found.part.segment.texts[text.text];
    let infos = text
        .terms
        .iter()
        .map(|(_, term)| evaluation.prepared.parts[evaluation.part].terms[*term].as_ref());
    let Some(mut infos) = infos.collect::<Option<Vec<_>>>() else {
        return Ok(Vec::new());
    };
    infos.sort_by_key(|info| info.doc_freq);
    let mut docs = Vec::new();
    for (number, info) in infos.into_iter().enumerate() {
        let mut list = Occurrences::open(lists, info)?;
        match number {
            0 => list.each(|doc, _| docs.extend(Some(doc).filter(|doc| within.contains(*doc)))),
            _ => docs.retain(|doc| list.frequency(*doc) > 0),
        }
    }
    Ok(docs)
}

/// Looks for a phrase in documents' texts.
struct Matcher<'e, 'a> {
    evaluation: &'e Evaluation<'e, 'a>,
    text: &'e PhraseText,
    /// Words by their term, as places in the phrase.
    words: Vec<(&'e str, usize)>,
    slop: usize,
}

impl<'e, 'a> Matcher<'e, 'a> {
    fn new(evaluation: &'e Evaluation<'e, 'a>, text: &'e PhraseText, slop: u32) -> Matcher<'e, 'a> {
        let terms = &evaluation.prepared.compiled.terms;
        Matcher {
            evaluation,
            text,
            words: text
                .terms
                .iter()
                .map(|(place, term)| (terms[*term].1.as_str(), *place))
                .collect(),
            slop: slop as usize,
        }
    }

    /// How often a document's text has the phrase.
    fn count(&self, doc: u32) -> usize {
        let Evaluation { found, scope, .. } = self.evaluation;
        let column = scope
            .schema()
            .and_then(|schema| schema.texts().get(self.text.text));
        let document = (scope.document)(found.shard, found.part.segment.slot(doc));
        let (Some(column), Some(document)) = (column, document) else {
            return 0;
        };
        let Some(value) = column.value(&document.row) else {
            return 0;
        };
        let mut found = vec![Vec::new(); self.words.len()];
        column.analysis.tokens(&value, &mut |place, token| {
            for (found, (word, _)) in found.iter_mut().zip(&self.words) {
                if token == *word {
                    found.push(place);
                }
            }
        });
        let words: Vec<(usize, Vec<usize>)> = self.words.iter().map(|(_, place)| *place).zip(found).collect();
        count(&words, self.slop)
    }
}

/// How often words stand as far from each other as their places say, give or take `slop` places altogether.
fn count(words: &[(usize, Vec<usize>)], slop: usize) -> usize {
    let mut count = 0;
    each(words, slop, &mut |_| count += 1);
    count
}

/// Calls `found` each time that words stand so, with the place of each in the text.
///
/// Each word has its place in the phrase and, ascending, those in the text.
pub(super) fn each(words: &[(usize, Vec<usize>)], slop: usize, found: &mut dyn FnMut(&[usize])) {
    // Where the phrase would begin by each word; beyond the greatest place, so that it is never negative.
    let last = words.iter().map(|(place, _)| *place).max().unwrap_or(0);
    let mut starts: Vec<std::iter::Peekable<_>> = words
        .iter()
        .map(|(place, found)| found.iter().map(move |at| (at + last - place, *at)).peekable())
        .collect();
    loop {
        let mut heads: Vec<(usize, usize)> = Vec::with_capacity(starts.len());
        for start in &mut starts {
            match start.peek() {
                Some(head) => heads.push(*head),
                None => return,
            }
        }
        let (Some((first, _)), Some((least, _))) = (
            heads.iter().enumerate().min_by_key(|(_, head)| head.0),
            heads.iter().min_by_key(|head| head.0),
        ) else {
            return;
        };
        let greatest = heads.iter().map(|head| head.0).max().unwrap_or(*least);
        // The same word twice in the phrase is two words in the text.
        let places: Vec<usize> = heads.iter().map(|head| head.1).collect();
        let mut different = places.clone();
        different.sort_unstable();
        different.dedup();
        if greatest - least <= slop && different.len() == places.len() {
            found(&places);
        }
        if let Some(start) = starts.get_mut(first) {
            start.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurs(phrase: &str, text: &str, slop: usize) -> usize {
        let text: Vec<&str> = text.split(' ').collect();
        let words = phrase.split(' ').enumerate().map(|(place, word)| {
            let at = text.iter().enumerate().filter(|(_, other)| **other == word);
            (place, at.map(|(at, _)| at).collect())
        });
        count(&words.collect::<Vec<_>>(), slop)
    }

    #[test]
    fn words_are_found_one_behind_the_other_and_nowhere_else() {
        assert_eq!(occurs("red shoe", "a red shoe and a red shoe", 0), 2);
        assert_eq!(occurs("red shoe", "shoe red", 0), 0);
        assert_eq!(occurs("red shoe", "red tennis shoe", 0), 0);
        assert_eq!(occurs("to be to be", "to be to be to be", 0), 2);
        assert_eq!(occurs("a a", "a b a", 0), 0);
    }

    #[test]
    fn slop_is_the_number_of_places_that_words_are_off() {
        assert_eq!(occurs("red shoe", "red tennis shoe", 1), 1);
        assert_eq!(occurs("red shoe", "red old tennis shoe", 1), 0);
        assert_eq!(occurs("red shoe", "shoe red", 1), 0);
        assert_eq!(occurs("red shoe", "shoe red", 2), 1);
        assert_eq!(occurs("a a", "a", 5), 0);
    }
}
