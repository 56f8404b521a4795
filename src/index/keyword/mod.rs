//! The keyword leg and the filters: tantivy's segments without its `IndexWriter`.
//!
//! A tick's new documents become one small segment in memory, what they replace is marked dead, and
//! compaction folds small segments into larger ones beside the ticks. A [`KeywordState`] is all of that at
//! one tick, immutable; [`search`] and [`KeywordState::filter`] read it.
//!
//! tantivy keeps and merges the segments. Statistics, scores and the best hits are worked out here, because
//! answers must not depend on how documents happen to lie in segments and shards, and tantivy's do.
//! Only this folder names tantivy.

mod query;
mod scope;
mod schema;
mod grams;
mod analysis;
mod synonyms;
mod values;
mod docs;
mod segment;
mod files;
mod dead;
mod unread;
mod writer;
mod plan;
mod compact;
mod state;
mod stored;
mod compile;
mod words;
mod typos;
mod statistics;
mod question;
mod window;
mod postings;
mod phrase;
mod evaluate;
mod best;
mod search;
mod explain;
mod filter;
mod leaf;
mod range;
mod ranges;
mod places;
mod columns;
mod verdict;
mod slot_bits;
mod matching;
mod marks;
mod complete;
mod values_of;

pub use complete::{
    Completion, complete, documents_beginning, documents_with, is_searched, words_beginning, written,
};
pub use explain::{ExplainedPart, ExplainedTerm, KeywordExplained, PartKind, explain};
pub use marks::{Mark, Marker};
pub use matching::matching;
pub use query::{
    BoolQuery, KeywordQuery, MinimumMatch, PhraseQuery, PrefixQuery, TextFields, Typos, WordsQuery,
};
pub use schema::KeywordSchema;
pub use scope::Scope;
pub use search::{KeywordHit, search};
pub use state::KeywordState;
pub use stored::StoredKeyword;
pub(super) use stored::{AliveWords, store};
pub use values_of::{FieldValues, PlaceValues, Selection, TextValues, Values};
pub use writer::{Compaction, KeywordChange, KeywordWriter};

/// What failed in the keyword leg; never caused by what a query or a document says.
#[derive(Debug, thiserror::Error)]
#[error("keyword index: {0}")]
pub struct KeywordError(pub String);

impl From<tantivy::TantivyError> for KeywordError {
    fn from(error: tantivy::TantivyError) -> KeywordError {
        KeywordError(error.to_string())
    }
}

impl From<std::io::Error> for KeywordError {
    fn from(error: std::io::Error) -> KeywordError {
        KeywordError(error.to_string())
    }
}
