//! Completion in a text that is found by parts of words: its terms say which documents to look at, and these have the words.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::{Suggestion, best};
use crate::index::Snapshot;
use crate::index::keyword::{KeywordError, documents_beginning, words_beginning};
use crate::query::whole::states;

/// Documents whose words are looked at: their texts are analysed.
const LOOKED_AT_MAX: usize = 1_000;

/// Words that begin as typed, with those of the most documents first. `None`: the text is found by whole words.
pub(super) fn suggest(
    snapshot: &Snapshot,
    text: usize,
    (before, typed): (&str, &str),
    within: Option<&[RoaringBitmap]>,
    limit: usize,
) -> Result<Option<Vec<Suggestion>>, KeywordError> {
    let states = states(snapshot);
    let Some(documents) = documents_beginning(&states, text, typed, within, LOOKED_AT_MAX)? else {
        return Ok(None);
    };
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (shard, slot) in documents {
        let (Some(state), Some(document)) = (states.get(shard), snapshot.document_at(shard, slot)) else {
            continue;
        };
        if let Some(content) = state.schema().text_of_row(text, &document.row) {
            for word in words_beginning(state, text, &content, typed) {
                *counts.entry(word).or_default() += 1;
            }
        }
    }
    let suggestions = counts.into_iter().map(|(word, count)| Suggestion {
        text: format!("{before}{word}"),
        count,
    });
    Ok(Some(best(suggestions.collect(), limit)))
}
