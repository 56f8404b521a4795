//! What a person is typing -> how it may go on, from the values of living documents.
//!
//! In a text the last word is completed, and the words before it narrow the documents; a keyword field's values are completed
//! as a whole.

mod words;
mod whole_words;
mod values;

use std::time::Instant;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::AsOf;
use super::plan::{among, filter};
use super::run::{filter_failed, guarded, intersection};
use super::whole::read_failed;
use super::{FilterRequest, QueryError, Searcher};
use crate::definition::{Expression, FieldKind, Index};

/// What is typed into a search box is shorter.
const PREFIX_BYTES_MAX: usize = 1_000;

const LIMIT_MAX: usize = 100;

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
            Source::Text(text) => words::suggest(&snapshot, text, &request.prefix, within, request.limit),
            Source::Field(field) => values::suggest(
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

fn best(mut suggestions: Vec<Suggestion>, limit: usize) -> Vec<Suggestion> {
    suggestions.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    suggestions.truncate(limit);
    suggestions
}
