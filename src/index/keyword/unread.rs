//! What statistics must forget of documents whose rows are not at hand: it is read from the inverted lists.
//!
//! A walk over all lists of a segment, so it is for recovery alone. In a tick a document dies with its row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tantivy::schema::IndexRecordOption;

use super::KeywordError;
use super::dead::{Count, TermHash};
use super::docs::Docs;
use super::segment::Segment;

/// The terms and tokens of some documents of a segment.
pub(super) struct Unread {
    /// In how many of the documents each term occurs.
    pub terms: Vec<Count>,
    /// How many tokens the documents have, by text.
    pub tokens: Vec<u64>,
}

impl Unread {
    /// # Errors
    /// The lists cannot be read.
    pub fn of(segment: &Segment, docs: &Docs) -> Result<Unread, KeywordError> {
        // As where a segment is opened: tantivy panics on some lists that are not its own.
        catch_unwind(AssertUnwindSafe(|| Unread::walk(segment, docs)))
            .unwrap_or_else(|_| Err(KeywordError("a segment's lists cannot be read".into())))
    }

    fn walk(segment: &Segment, docs: &Docs) -> Result<Unread, KeywordError> {
        let mut unread = Unread {
            terms: Vec::new(),
            tokens: vec![0; segment.texts.len()],
        };
        for (text, (lists, tokens)) in segment.texts.iter().zip(&mut unread.tokens).enumerate() {
            let mut terms = lists.terms().stream()?;
            while let Some((term, info)) = terms.next() {
                let mut list = lists.read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
                let mut documents = 0;
                while !list.docs().is_empty() {
                    for (doc, frequency) in list.docs().iter().zip(list.freqs()) {
                        if docs.contains(*doc) {
                            documents += 1;
                            *tokens += u64::from(*frequency);
                        }
                    }
                    list.advance();
                }
                if documents > 0 {
                    unread.terms.push((TermHash::new(text, term), documents));
                }
            }
        }
        Ok(unread)
    }
}
