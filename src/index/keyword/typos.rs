//! Terms that a word with a typing error may have been meant as.
//!
//! What is chosen depends on living documents alone, so that it is the same for every layout.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tantivy::Term;
use tantivy::query::FuzzyTermQuery;

use super::compile::{Compiled, Tolerant};
use super::statistics::Corpus;
use super::{KeywordError, KeywordSchema};

/// Shorter words have too many neighbours.
const LETTERS_MIN: usize = 5;
/// From here on two edits.
const LONG_LETTERS_MIN: usize = 9;
/// A stem may be shorter than its word.
const TERM_LETTERS_MIN: usize = 4;

/// Terms that one word is taken for: the nearest, and of these the most frequent.
const VARIANTS_MAX: usize = 32;

/// What an occurrence of a term counts that is one edit away.
const EDIT_FACTOR: f32 = 0.5;

/// A term that a word is taken for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Variant {
    pub text: usize,
    pub term: String,
    distance: usize,
}

impl Variant {
    pub fn factor(&self) -> f32 {
        EDIT_FACTOR.powi(self.distance as i32)
    }
}

/// What is made of typing errors.
pub(super) enum Tolerance {
    Exact,
    /// Variants, by tolerant word, add to the scores of documents that are found anyway.
    Scores(Vec<Vec<Variant>>),
    /// Documents are found by variants, too.
    Finds(Vec<Vec<Variant>>),
}

impl Tolerance {
    pub fn of(&self, word: usize) -> &[Variant] {
        match self {
            Tolerance::Exact => &[],
            Tolerance::Scores(variants) | Tolerance::Finds(variants) => {
                variants.get(word).map_or(&[], |variants| &**variants)
            }
        }
    }

    pub fn finds(&self) -> bool {
        matches!(self, Tolerance::Finds(_))
    }
}

/// How many edits a word may be away; 0: it is meant as it is written.
#[derive(Clone, Copy)]
pub(super) struct Edits(pub u8);

pub(super) fn edits(typed: &str) -> Edits {
    let letters = typed.chars().count();
    Edits(match letters {
        _ if !typed.chars().all(char::is_alphabetic) => 0,
        LONG_LETTERS_MIN.. => 2,
        LETTERS_MIN.. => 1,
        _ => 0,
    })
}

impl Edits {
    /// Whether a term is long enough to be told from others.
    pub fn fits(self, term: &str) -> bool {
        term.chars().count() >= TERM_LETTERS_MIN
    }
}

/// The variants of the tolerant words that `is_wanted`, by word.
pub(super) fn variants(
    schema: &KeywordSchema,
    corpus: &Corpus,
    compiled: &Compiled,
    is_wanted: impl Fn(&Tolerant) -> bool,
) -> Result<Vec<Vec<Variant>>, KeywordError> {
    let words = compiled.tolerant.iter().map(|word| match is_wanted(word) {
        true => of_word(schema, corpus, compiled, word),
        false => Ok(Vec::new()),
    });
    words.collect()
}

fn of_word(
    schema: &KeywordSchema,
    corpus: &Corpus,
    compiled: &Compiled,
    word: &Tolerant,
) -> Result<Vec<Variant>, KeywordError> {
    let mut all = Vec::new();
    for one in &word.terms {
        let (text, term) = &compiled.terms[one.term];
        let field = schema.texts()[*text].field;
        let query = FuzzyTermQuery::new(Term::from_field_text(field, term), word.edits, true);
        let automaton = query.automaton()?;
        let Some(first) = term.chars().next() else {
            continue;
        };
        // The range of all that begins with this character: behind it comes the character's successor.
        let first = first.to_string().into_bytes();
        let behind = successor(&first);
        let mut frequencies: BTreeMap<String, u64> = BTreeMap::new();
        for found in &corpus.parts {
            let terms = found.part.segment.texts[*text].terms();
            let mut near = terms.search(&automaton).ge(&first);
            if let Some(behind) = &behind {
                near = near.lt(behind);
            }
            let mut near = near.into_stream()?;
            while let Some((known, info)) = near.next() {
                if let Ok(known) = std::str::from_utf8(known)
                    && known != term
                {
                    let living = found.frequency(*text, known, info)?;
                    *frequencies.entry(known.to_owned()).or_default() += living;
                }
            }
        }
        let living = frequencies.into_iter().filter(|(_, frequency)| *frequency > 0);
        all.extend(living.map(|(known, frequency)| {
            let distance = strsim::osa_distance(&known, term);
            (distance, Reverse(frequency), *text, known)
        }));
    }
    all.sort_unstable();
    all.truncate(VARIANTS_MAX);
    let variants = all
        .into_iter()
        .map(|(distance, _, text, term)| Variant { text, term, distance });
    Ok(variants.collect())
}

/// The least text behind all that begin so.
pub(super) fn successor(start: &[u8]) -> Option<Vec<u8>> {
    let mut behind = start.to_vec();
    while let Some(last) = behind.pop() {
        if let Some(next) = last.checked_add(1) {
            behind.push(next);
            return Some(behind);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_may_be_two_edits_away_and_short_ones_and_codes_none() {
        let of = |word: &str| edits(word).0;
        assert_eq!(["shoe", "shoes", "headphon", "headphone"].map(of), [0, 1, 1, 2]);
        assert_eq!(["x2000", "1234567890", "größe"].map(of), [0, 0, 1]);
    }

    #[test]
    fn the_successor_is_behind_all_that_begin_so() {
        assert_eq!(successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(successor(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff"), None);
    }
}
