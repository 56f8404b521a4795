//! Completion of the last word in a text, by the terms near it.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::{Suggestion, whole_words};
use crate::index::Snapshot;
use crate::index::keyword::{
    Completion, KeywordError, KeywordQuery, MinimumMatch, Scope, Typos, WordsQuery, complete, documents_with,
    is_searched, matching, written,
};
use crate::query::whole::states;

/// The last words before the one that is completed. Each narrows the documents by a walk over its own.
const WORDS_BEFORE_MAX: usize = 16;

/// Documents in which is seen how a term is written: their texts are analysed.
const WRITTEN_IN_MAX: usize = 64;

/// Terms that begin as typed and of which that is seen, for each completion shown: a few are written otherwise.
const TERMS_TRIED: usize = 4;

/// The same for terms that do not begin so; most are of other words.
const STEMS_TRIED: usize = 16;

/// What is typed, with its last word completed.
pub(super) fn suggest(
    snapshot: &Snapshot,
    text: usize,
    prefix: &str,
    within: Option<Vec<RoaringBitmap>>,
    limit: usize,
) -> Result<Vec<Suggestion>, KeywordError> {
    let states = states(snapshot);
    let (before, typed) = last_word(prefix);
    if typed.is_empty() {
        return Ok(Vec::new());
    }
    let within = narrowed(snapshot, text, before, within)?;
    let typed = typed.to_lowercase();
    if let Some(suggestions) =
        whole_words::suggest(snapshot, text, (before, &typed), within.as_deref(), limit)?
    {
        return Ok(suggestions);
    }
    let mut suggestions = Vec::new();
    let (mut tried, mut stems_tried) = (0, 0);
    for Completion { term, documents } in complete(&states, text, &typed, within.as_deref())? {
        let (tried, most) = match term.starts_with(&typed) {
            true => (&mut tried, limit * TERMS_TRIED),
            false => (&mut stems_tried, STEMS_TRIED),
        };
        if *tried == most {
            continue;
        }
        *tried += 1;
        let word = most_written(snapshot, text, &term, &typed, within.as_deref())?;
        suggestions.extend(word.map(|word| Suggestion {
            text: format!("{before}{word}"),
            count: documents,
        }));
        if suggestions.len() == limit {
            break;
        }
    }
    Ok(suggestions)
}

/// The last word of what is typed, and what is before it.
fn last_word(prefix: &str) -> (&str, &str) {
    let typed = prefix.trim_end_matches(|c: char| !c.is_alphanumeric());
    let word = typed
        .rsplit(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or(typed);
    (&typed[..typed.len() - word.len()], word)
}

/// The documents that have all words before the last one, each in any text. Words that the completed text is not searched
/// for, such as `the`, do not count.
fn narrowed(
    snapshot: &Snapshot,
    text: usize,
    before: &str,
    within: Option<Vec<RoaringBitmap>>,
) -> Result<Option<Vec<RoaringBitmap>>, KeywordError> {
    let states = states(snapshot);
    let document = |shard, slot| snapshot.document_at(shard, slot);
    let mut within = within;
    let words = before.split(|c: char| !c.is_alphanumeric());
    for word in words.rev().filter(|word| !word.is_empty()).take(WORDS_BEFORE_MAX) {
        if states.first().is_some_and(|state| is_searched(state, text, word)) {
            let scope = Scope {
                filters: within.as_deref(),
                ..Scope::new(&states, &document)
            };
            within = Some(matching(&scope, &as_typed(word))?);
        }
    }
    Ok(within)
}

/// A word as it stands: what is typed next narrows it soon enough.
fn as_typed(word: &str) -> KeywordQuery {
    KeywordQuery::Words(WordsQuery {
        text: word.to_owned(),
        fields: None,
        minimum: MinimumMatch::Any,
        typos: Typos::Off,
    })
}

/// How a term is most often written, among those ways that begin as typed.
fn most_written(
    snapshot: &Snapshot,
    text: usize,
    term: &str,
    typed: &str,
    within: Option<&[RoaringBitmap]>,
) -> Result<Option<String>, KeywordError> {
    let mut ways: HashMap<String, usize> = HashMap::new();
    for (shard, slot) in documents_with(&states(snapshot), text, term, within, WRITTEN_IN_MAX)? {
        let (Some(state), Some(document)) = (snapshot.shards.get(shard), snapshot.document_at(shard, slot))
        else {
            continue;
        };
        let schema = state.keyword.schema();
        if let Some(content) = schema.text_of_row(text, &document.row) {
            for word in written(&state.keyword, text, &content, term) {
                *ways.entry(word).or_default() += 1;
            }
        }
    }
    let ways = ways.into_iter().filter(|(word, _)| word.starts_with(typed));
    // Of equals the shortest, and of those the first in the alphabet.
    let most = ways.min_by(|(a, often), (b, other)| {
        let by_length = || a.chars().count().cmp(&b.chars().count());
        other.cmp(often).then_with(by_length).then_with(|| a.cmp(b))
    });
    Ok(most.map(|(word, _)| word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_what_is_being_typed() {
        assert_eq!(last_word("red sh"), ("red ", "sh"));
        assert_eq!(last_word("usb-c"), ("usb-", "c"));
        assert_eq!(
            last_word("red  "),
            ("", "red"),
            "a space behind a word completes nothing else"
        );
        assert_eq!(last_word("été"), ("", "été"));
        assert_eq!(last_word(" -- "), ("", ""));
        assert_eq!(last_word(""), ("", ""));
    }
}
