//! What a search may cost: words, conditions, hits, time and effort.

use std::collections::HashSet;
use std::time::Duration;

use crate::definition::{Effort, Expression};
use crate::index::Deadline;
use crate::index::keyword::KeywordQuery;
use crate::query::filter;
use crate::query::filter::FilterRequest;
use crate::query::request::SearchRequest;
use crate::query::{QueryError, Searcher};

/// How deep a search may page: both legs rank this many hits for the deepest page.
pub(in crate::query) const HITS_MAX: usize = 10_000;

pub(in crate::query) fn filter(searcher: &Searcher, asked: &FilterRequest) -> Result<Expression, QueryError> {
    let filter = filter::plan(asked, &searcher.index.fields, searcher.clock)?;
    let (mut clauses, clauses_max) = (0, searcher.limits.clauses);
    filter.visit_columns(&mut |_| clauses += 1);
    if clauses > clauses_max {
        return Err(QueryError::new(
            "bad_filter",
            format!("`filter` names fields {clauses} times, more than {clauses_max}"),
            "a list of values names its field once: `id IN (1, 2, 3)`",
        ));
    }
    Ok(filter)
}

pub(super) fn limit(hits_max: usize, offset: usize, limit: usize) -> Result<usize, QueryError> {
    if offset.saturating_add(limit) > hits_max {
        return Err(QueryError::new(
            "bad_limit",
            format!("`offset` {offset} and `limit` {limit} add up to more than {hits_max}"),
            "narrow the search by a `filter` instead of paging that far",
        ));
    }
    Ok(limit)
}

pub(super) fn deadline(searcher: &Searcher, timeout_ms: Option<u64>) -> Result<Deadline, QueryError> {
    let longest = searcher.limits.timeout_max;
    let timeout = match timeout_ms.map(Duration::from_millis) {
        None => searcher.limits.timeout,
        Some(timeout) if !timeout.is_zero() && timeout <= longest => timeout,
        Some(timeout) => {
            return Err(QueryError::new(
                "bad_timeout",
                format!("`timeout_ms` is {}", timeout.as_millis()),
                format!("give 1 to {}, or leave it out", longest.as_millis()),
            ));
        }
    };
    Ok(searcher.deadline.within(timeout))
}

pub(super) fn effort(request: &SearchRequest) -> Result<Effort, QueryError> {
    match (request.ef, request.accuracy, request.exact) {
        (None, None, false) => Ok(Effort::Usual),
        (None, None, true) => Ok(Effort::Exact),
        (Some(width), None, false) if (1..=Effort::WIDTH_MAX).contains(&width) => Ok(Effort::Width(width)),
        (Some(width), None, false) => Err(QueryError::new(
            "bad_ef",
            format!("`ef` is {width}"),
            format!("give 1 to {}, or leave it out", Effort::WIDTH_MAX),
        )),
        (None, Some(share), false) if Effort::is_accuracy(share) => Ok(Effort::Accuracy(share)),
        (None, Some(share), false) => Err(QueryError::new(
            "bad_accuracy",
            format!("`accuracy` is {share}"),
            "give the share of the nearest to be found, such as 0.99, or `exact` for all of them",
        )),
        _ => Err(QueryError::new(
            "bad_effort",
            "more than one of `ef`, `accuracy` and `exact` says how hard to search",
            "give one of them, or none",
        )),
    }
}

/// Refuses a question of another query language that asks for more than is looked up. (Of what a person types, the rest is
/// left out: that is never a fault.)
pub(super) fn looked_up(query: &KeywordQuery) -> Result<(), QueryError> {
    let (mut words, mut phrases, mut prefixes) = (0, 0, 0);
    query.visit(&mut |part| match part {
        KeywordQuery::Words(part) => words += different_words(&part.text),
        KeywordQuery::Phrase(part) => match different_words(&part.text) {
            // A phrase of one word is that word.
            ..=1 => {}
            of_phrase => {
                phrases += 1;
                words = words.max(of_phrase);
            }
        },
        KeywordQuery::Prefix(_) => prefixes += 1,
        KeywordQuery::All
        | KeywordQuery::Matching(_)
        | KeywordQuery::Bool(_)
        | KeywordQuery::Boost(..)
        | KeywordQuery::OrNone(_) => {}
    });
    for (what, count, most) in [
        ("words", words, KeywordQuery::WORDS_MAX),
        ("phrases", phrases, KeywordQuery::PHRASES_MAX),
        ("prefixes", prefixes, KeywordQuery::PREFIXES_MAX),
    ] {
        if count > most {
            return Err(QueryError::new(
                "too_many_words",
                format!("the query has {count} {what}, and {most} are looked up at most"),
                "search for fewer, or narrow the search by a filter",
            ));
        }
    }
    Ok(())
}

fn different_words(text: &str) -> usize {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words: HashSet<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::keyword::{BoolQuery, PhraseQuery, PrefixQuery};

    /// What is said of so many of these, each in a place of its own.
    fn refused(count: usize, part: impl Fn(usize) -> KeywordQuery) -> Option<String> {
        let parts = |places: std::ops::Range<usize>| places.map(&part).collect();
        let inner = BoolQuery {
            must_not: parts(0..count / 2),
            ..BoolQuery::default()
        };
        let query = KeywordQuery::Bool(BoolQuery {
            must: vec![KeywordQuery::Boost(Box::new(KeywordQuery::Bool(inner)), 2.0)],
            should: parts(count / 2..count),
            ..BoolQuery::default()
        });
        looked_up(&query).err().map(|error| error.message)
    }

    #[test]
    fn what_is_beyond_what_is_looked_up_is_refused_by_its_name() {
        let phrase = |text: &str| {
            KeywordQuery::Phrase(PhraseQuery {
                text: text.to_owned(),
                fields: None,
                slop: 0,
            })
        };
        let prefix = |_| {
            KeywordQuery::Prefix(PrefixQuery {
                text: "sh".to_owned(),
                fields: None,
            })
        };
        let words = |place| KeywordQuery::words(format!("shoe Shoe {place}"));
        assert_eq!(refused(512, words), None);
        let expected = "the query has 1026 words, and 1024 are looked up at most";
        assert_eq!(refused(513, words).as_deref(), Some(expected));
        assert_eq!(refused(64, |_| phrase("red shoe")), None);
        let expected = "the query has 65 phrases, and 64 are looked up at most";
        assert_eq!(refused(65, |_| phrase("red shoe")).as_deref(), Some(expected));
        assert_eq!(refused(65, |_| phrase("shoe")), None);
        assert_eq!(refused(32, prefix), None);
        let expected = "the query has 33 prefixes, and 32 are looked up at most";
        assert_eq!(refused(33, prefix).as_deref(), Some(expected));
    }
}
