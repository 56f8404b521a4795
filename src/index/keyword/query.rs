//! What the keyword leg can be asked: a tree that every query language is translated into.

use crate::definition::Expression;

/// A question about documents. No tree is wrong; what is left of nothing after analysis asks for nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum KeywordQuery {
    /// Every document, with a score of 1.
    All,
    Words(WordsQuery),
    Phrase(PhraseQuery),
    Prefix(PrefixQuery),
    /// Documents for which a condition on fields of the index is true, with a score of 1.
    Matching(Box<Expression>),
    Bool(BoolQuery),
    /// The scores times a number, which is finite and not negative.
    Boost(Box<KeywordQuery>, f32),
    /// The same question, but what is left of nothing after analysis finds no document, rather than asking for nothing.
    OrNone(Box<KeywordQuery>),
}

/// Text columns, by their place among the index's texts, with what their words count; `None`: all, with their own boosts.
pub type TextFields = Option<Vec<(usize, f32)>>;

/// Any or all of the words of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct WordsQuery {
    pub text: String,
    pub fields: TextFields,
    pub minimum: MinimumMatch,
    pub typos: Typos,
}

/// How many of the different words a document has at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinimumMatch {
    #[default]
    Any,
    All,
    /// All, where there are fewer.
    Words(usize),
    /// Rounded down, but one at least.
    Percent(u8),
}

/// Whether words are also found by terms that are a typing error away.
///
/// One edit (a letter more, less, another, or two exchanged) from five letters on, two from nine on; the first letter
/// stands, and a word with a digit is meant as it is written. A document that has only such variants comes behind all
/// that have the words themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Typos {
    /// In texts of up to 32 words.
    #[default]
    Auto,
    Off,
}

/// Words one behind the other in one text.
#[derive(Clone, Debug, PartialEq)]
pub struct PhraseQuery {
    pub text: String,
    pub fields: TextFields,
    /// By how many places the words may be off altogether.
    pub slop: u32,
}

/// The start of a word.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixQuery {
    pub text: String,
    pub fields: TextFields,
}

/// Questions together. Each that is not excluded adds its score, for the documents that are an answer to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoolQuery {
    pub must: Vec<KeywordQuery>,
    pub should: Vec<KeywordQuery>,
    pub must_not: Vec<KeywordQuery>,
    /// How many of `should` a document answers at least; `None`: one where `must` is empty, else none.
    pub minimum_should_match: Option<usize>,
}

impl KeywordQuery {
    /// Different words that are looked up; with more, one question could hold a core for long. What is beyond this and the
    /// following is left out.
    pub const WORDS_MAX: usize = 1_024;
    /// The same for phrases, which are looked for in rows.
    pub const PHRASES_MAX: usize = 64;
    /// The same for the starts of words, each of which walks through many lists.
    pub const PREFIXES_MAX: usize = 32;

    /// Calls `each` with the question and everything in it.
    pub fn visit(&self, each: &mut dyn FnMut(&KeywordQuery)) {
        each(self);
        match self {
            KeywordQuery::Bool(parts) => {
                let parts = [&parts.must, &parts.should, &parts.must_not];
                parts.into_iter().flatten().for_each(|part| part.visit(each));
            }
            KeywordQuery::Boost(inner, _) | KeywordQuery::OrNone(inner) => inner.visit(each),
            KeywordQuery::All
            | KeywordQuery::Words(_)
            | KeywordQuery::Phrase(_)
            | KeywordQuery::Prefix(_)
            | KeywordQuery::Matching(_) => {}
        }
    }

    /// Any of the words, in all texts, with typing errors.
    pub fn words(text: impl Into<String>) -> KeywordQuery {
        KeywordQuery::Words(WordsQuery {
            text: text.into(),
            fields: None,
            minimum: MinimumMatch::Any,
            typos: Typos::Auto,
        })
    }
}
