//! Where a text has the words of a query, as its field's analyser sees both.

use std::collections::HashMap;
use std::ops::Range;

use super::{KeywordSchema, KeywordState};

/// The words of a query, ready to be found in texts.
pub struct Marker<'a> {
    schema: &'a KeywordSchema,
    /// By text: each term, and the place of its word in the query.
    terms: Vec<HashMap<String, usize>>,
}

/// A word of the query where it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// In bytes; ends of characters.
    pub range: Range<usize>,
    /// The place of the word in the query, where it stands first.
    pub word: usize,
}

impl<'a> Marker<'a> {
    /// Of the words of a query without syntax, as each text's analyser sees them; `None` where there is nothing to search in.
    pub fn new(states: &[&'a KeywordState], query: &str) -> Option<Marker<'a>> {
        let schema = &states.first()?.schema;
        let mut terms = vec![HashMap::new(); schema.texts().len()];
        for (text, of_text) in schema.texts().iter().zip(&mut terms) {
            text.analysis.query_words(query, &mut |word| {
                let place = word.place;
                of_text.extend(word.terms.into_iter().map(|term| (term, place)));
            });
        }
        Some(Marker { schema, terms })
    }

    pub fn schema(&self) -> &'a KeywordSchema {
        self.schema
    }

    /// Whether the query has a word for a text.
    pub fn has_words_for(&self, text: usize) -> bool {
        self.terms.get(text).is_some_and(|terms| !terms.is_empty())
    }

    /// Where the words stand in `content`, ascending and apart from each other.
    pub fn marks(&self, text: usize, content: &str) -> Vec<Mark> {
        let (Some(analysed), Some(terms)) = (self.schema.texts().get(text), self.terms.get(text)) else {
            return Vec::new();
        };
        let mut marks: Vec<Mark> = Vec::new();
        analysed.analysis.spans(content, &mut |range, token| {
            if let Some(&word) = terms.get(token)
                && content.get(range.clone()).is_some_and(|part| !part.is_empty())
            {
                marks.push(Mark { range, word });
            }
        });
        marks.sort_by_key(|mark| (mark.range.start, mark.range.end));
        // Tokens of some analysers overlap.
        marks.dedup_by(|later, mark| {
            let overlaps = later.range.start < mark.range.end;
            if overlaps {
                mark.range.end = mark.range.end.max(later.range.end);
            }
            overlaps
        });
        marks
    }
}
