//! What a search may cost: conditions, hits, time and effort.

use std::time::Duration;

use crate::definition::{Effort, Expression};
use crate::index::Deadline;
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
