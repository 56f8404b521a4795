//! What a person is typing -> how it may go on, from the values of living documents.
//!
//! In a text the last word is completed, and the words before it narrow the documents; a keyword field's values are completed
//! as a whole.

mod whole_words;

use std::collections::HashMap;
use std::time::Instant;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::AsOf;
use super::plan::{among, filter};
use super::run::{filter_failed, guarded, intersection};
use super::whole::{read_failed, states};
use super::{FilterRequest, QueryError, Searcher};
use crate::definition::{Expression, FieldKind, Index};
use crate::index::Snapshot;
use crate::index::keyword::{
    Completion, KeywordError, KeywordQuery, MinimumMatch, Scope, Typos, Values, WordsQuery, complete,
    documents_with, is_searched, matching, written,
};

/// What is typed into a search box is shorter.
const PREFIX_BYTES_MAX: usize = 1_000;

const LIMIT_MAX: usize = 100;

/// The last words before the one that is completed. Each narrows the documents by a walk over its own.
const WORDS_BEFORE_MAX: usize = 16;

/// Documents in which is seen how a term is written: their texts are analysed.
const WRITTEN_IN_MAX: usize = 64;

/// Terms that begin as typed and of which that is seen, for each completion shown: a few are written otherwise.
const TERMS_TRIED: usize = 4;

/// The same for terms that do not begin so; most are of other words.
const STEMS_TRIED: usize = 16;

/// The beginning of what is to be completed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuggestRequest {
    /// What is typed so far, such as `red sh`; at most 1,000 bytes.
    pub prefix: String,
    /// How many completions are shown: 1 to 100.
    #[serde(default = "usual_limit")]
    pub limit: usize,
    /// Whose values complete it: one of the index's `text`, or of its `fields` that is a keyword. The first where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// As in a search: only documents that it lets through count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterRequest>,
}

fn usual_limit() -> usize {
    5
}

/// Completions, those of the most documents first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SuggestAnswer {
    pub suggestions: Vec<Suggestion>,
    pub as_of: AsOf,
    /// Milliseconds that it took.
    pub took_ms: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suggestion {
    /// All of what could have been typed.
    pub text: String,
    /// Documents that have it: the words before, and the last one in any of its forms; or the value. Of a text that is
    /// found by parts of words, those among the first 1,000 that may have it.
    pub count: u64,
}

/// Whose values complete.
#[derive(Clone, Copy)]
enum Source {
    /// Place in the index's `text`.
    Text(usize),
    /// Place in the index's `fields`.
    Field(usize),
}

impl Searcher {
    /// Completes what is typed, from the newest snapshot.
    ///
    /// # Errors
    ///
    /// | code            | what is wrong                                                        |
    /// |-----------------|----------------------------------------------------------------------|
    /// | `unknown_field` | `field` is neither a text nor a keyword field, or `filter` names none |
    /// | `no_text`       | the index has neither                                                |
    /// | `bad_prefix`    | `prefix` is too long                                                 |
    /// | `bad_limit`     | `limit` is out of range                                              |
    /// | `bad_filter`    | `filter` is not an expression, or too long                           |
    pub fn suggest(&self, request: &SuggestRequest) -> Result<SuggestAnswer, QueryError> {
        let start = Instant::now();
        let snapshot = self.published.snapshot();
        let source = source(&self.index, request.field.as_deref())?;
        if request.prefix.len() > PREFIX_BYTES_MAX {
            return Err(QueryError::new(
                "bad_prefix",
                format!("`prefix` has {} bytes", request.prefix.len()),
                format!("give the last {PREFIX_BYTES_MAX} at most"),
            ));
        }
        if !(1..=LIMIT_MAX).contains(&request.limit) {
            return Err(QueryError::new(
                "bad_limit",
                format!("`limit` is {}", request.limit),
                format!("give 1 to {LIMIT_MAX}"),
            ));
        }
        let wanted = request
            .filter
            .as_ref()
            .map(|asked| filter(self, asked))
            .transpose()?;
        let slots = |condition: Option<Expression>| {
            let condition = condition.as_ref();
            condition
                .map(|condition| guarded(&snapshot, condition).map_err(filter_failed))
                .transpose()
        };
        let within = intersection(slots(self.sight.population()?)?, slots(wanted)?);
        let suggestions = match source {
            Source::Text(text) => in_text(&snapshot, text, &request.prefix, within, request.limit),
            Source::Field(field) => of_values(
                &snapshot,
                field,
                &request.prefix,
                within.as_deref(),
                request.limit,
            ),
        };
        Ok(SuggestAnswer {
            suggestions: suggestions.map_err(read_failed)?,
            as_of: AsOf::new(&snapshot),
            took_ms: super::milliseconds(start),
        })
    }
}

fn source(index: &Index, name: Option<&str>) -> Result<Source, QueryError> {
    let is_wanted = |found: &str| name.is_none_or(|name| found == name);
    if let Some(text) = index.text.iter().position(|text| is_wanted(&text.name)) {
        return Ok(Source::Text(text));
    }
    let is_keyword = |kind: FieldKind| kind == FieldKind::Keyword;
    let mut fields = index.fields.iter();
    if let Some(field) = fields.position(|field| is_keyword(field.kind) && is_wanted(&field.name)) {
        return Ok(Source::Field(field));
    }
    let keywords = index.fields.iter().filter(|field| is_keyword(field.kind));
    let names = index.text.iter().map(|text| &text.name);
    let hint = among("give one of", names.chain(keywords.map(|field| &field.name)));
    Err(match name {
        None => QueryError::new(
            "no_text",
            "the index has neither texts nor keyword fields that could complete what is typed",
            hint,
        ),
        Some(name) => QueryError::new(
            "unknown_field",
            format!("`field` names `{name}`, which is neither a text nor a keyword field of the index"),
            hint,
        ),
    })
}

fn in_text(
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

/// The values of a keyword field that begin as typed, in lower or upper case.
fn of_values(
    snapshot: &Snapshot,
    field: usize,
    prefix: &str,
    within: Option<&[RoaringBitmap]>,
    limit: usize,
) -> Result<Vec<Suggestion>, KeywordError> {
    let typed = prefix.to_lowercase();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (number, state) in states(snapshot).into_iter().enumerate() {
        let slots = match within.map(|within| within.get(number)) {
            Some(None) => continue,
            Some(slots) => slots,
            None => None,
        };
        for selection in state.select(slots) {
            let Values::Text(values) = selection.values(field) else {
                continue;
            };
            let mut by_ordinal = vec![0u64; values.texts()];
            values.each(|_, ordinals| {
                for ordinal in ordinals {
                    if let Some(count) = by_ordinal.get_mut(*ordinal as usize) {
                        *count += 1;
                    }
                }
            });
            let ordinals: Vec<u64> = (0..)
                .zip(&by_ordinal)
                .filter_map(|(ordinal, count)| (*count > 0).then_some(ordinal))
                .collect();
            let mut found = by_ordinal.into_iter().filter(|count| *count > 0);
            values.look_up(&ordinals, |value| {
                let count = found.next().unwrap_or_default();
                if value.to_lowercase().starts_with(&typed) {
                    *counts.entry(value.to_owned()).or_default() += count;
                }
            })?;
        }
    }
    let suggestions = counts.into_iter().map(|(text, count)| Suggestion { text, count });
    let suggestions = suggestions.collect();
    Ok(best(suggestions, limit))
}

fn best(mut suggestions: Vec<Suggestion>, limit: usize) -> Vec<Suggestion> {
    suggestions.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    suggestions.truncate(limit);
    suggestions
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
