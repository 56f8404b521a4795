//! The documents of a result -> the answers of its facets.

use std::collections::BTreeMap;

use super::answer::FacetAnswer;
use super::plan::{Count, Facet};
use super::{calendar, numbers, terms};
use crate::index::keyword::Selection;
use crate::query::QueryError;
use crate::query::whole::read_failed;

/// Counts all facets over the selections, which together are the result.
pub(in crate::query) fn tally(
    selections: &[Selection<'_>],
    facets: &[Facet],
) -> Result<BTreeMap<String, FacetAnswer>, QueryError> {
    let answers = facets.iter().map(|facet| {
        let answer = match &facet.count {
            Count::Terms(request) => terms::count(selections, facet.field, request).map_err(read_failed)?,
            Count::Ranges(ranges) => numbers::ranges(selections, facet.field, ranges),
            Count::Histogram(request) => numbers::histogram(selections, facet, request)?,
            Count::Dates(interval) => calendar::histogram(selections, facet, *interval)?,
            Count::Stats => numbers::stats(selections, facet.field),
            Count::DateStats => numbers::date_stats(selections, facet.field),
        };
        Ok((facet.name.clone(), answer))
    });
    answers.collect()
}
