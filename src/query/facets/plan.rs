//! A request's facets -> what can be counted.

use std::collections::BTreeMap;

use super::request::{CalendarInterval, FacetRequest, HistogramRequest, RangeRequest, TermsRequest};
use crate::definition::{FieldKind, Index};
use crate::query::QueryError;
use crate::query::plan::field_named;

/// Each facet reads a column for all documents of the result.
const FACETS_MAX: usize = 32;

/// Values shown of one facet: those of all facets are sorted and written in memory.
const SIZE_MAX: usize = 10_000;

/// Every value is held against every range.
const RANGES_MAX: usize = 100;

/// A facet of a field that can be counted so.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::query) struct Facet {
    pub name: String,
    /// Place in the index's fields.
    pub field: usize,
    pub count: Count,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::query) enum Count {
    Terms(TermsRequest),
    /// Of a number, like what follows.
    Ranges(Vec<RangeRequest>),
    Histogram(HistogramRequest),
    /// Of whole numbers.
    Dates(CalendarInterval),
    Stats,
}

/// # Errors
///
/// | code            | what is wrong                                                    |
/// |-----------------|------------------------------------------------------------------|
/// | `unknown_field` | a facet is of what is not in the index's `fields`                |
/// | `bad_facet`     | none or several kinds, a number out of range, a field not fit    |
pub(in crate::query) fn plan(
    index: &Index,
    requests: &BTreeMap<String, FacetRequest>,
) -> Result<Vec<Facet>, QueryError> {
    if requests.len() > FACETS_MAX {
        return Err(bad(
            format!("`facets` has {} of them", requests.len()),
            format!("ask for at most {FACETS_MAX} in one search"),
        ));
    }
    requests
        .iter()
        .map(|(name, request)| facet(index, name, request))
        .collect()
}

fn facet(index: &Index, name: &str, request: &FacetRequest) -> Result<Facet, QueryError> {
    let field_name = request.field.as_deref().unwrap_or(name);
    let (field, kind) = field_named(index, "facets", field_name)?;
    let count = match (
        &request.terms,
        &request.ranges,
        &request.histogram,
        &request.date_histogram,
        &request.stats,
    ) {
        (Some(terms), None, None, None, None) => Count::Terms(terms.clone()),
        (None, Some(ranges), None, None, None) => Count::Ranges(ranges.clone()),
        (None, None, Some(histogram), None, None) => Count::Histogram(histogram.clone()),
        (None, None, None, Some(dates), None) => Count::Dates(dates.interval),
        (None, None, None, None, Some(_)) => Count::Stats,
        _ => {
            return Err(bad(
                format!("the facet `{name}` does not say one way to count"),
                r#"give one of `terms`, `ranges`, `histogram`, `date_histogram` and `stats`, such as {"terms": {"size": 10}}"#,
            ));
        }
    };
    let is_number = match kind {
        FieldKind::I64 | FieldKind::F64 => true,
        FieldKind::Keyword | FieldKind::Bool | FieldKind::Date | FieldKind::Geo { .. } => false,
    };
    match &count {
        Count::Terms(terms) if !(1..=SIZE_MAX).contains(&terms.size) => Err(bad(
            format!("`size` of the facet `{name}` is {}", terms.size),
            format!("give 1 to {SIZE_MAX}"),
        )),
        Count::Ranges(_) | Count::Histogram(_) | Count::Stats if !is_number => Err(bad(
            format!("the facet `{name}` is of the field `{field_name}`, which holds no numbers"),
            "count its values with `terms`",
        )),
        Count::Dates(_) if kind != FieldKind::I64 => Err(bad(
            format!("the facet `{name}` is of the field `{field_name}`, which holds no times"),
            "`date_histogram` is for whole numbers: milliseconds since 1970",
        )),
        Count::Ranges(ranges) if !(1..=RANGES_MAX).contains(&ranges.len()) => Err(bad(
            format!("the facet `{name}` has {} ranges", ranges.len()),
            format!("give 1 to {RANGES_MAX}"),
        )),
        Count::Histogram(HistogramRequest { interval, offset })
            if !(interval.is_finite() && *interval > 0.0 && offset.is_finite()) =>
        {
            Err(bad(
                format!("`interval` of the facet `{name}` is {interval}"),
                "give a number that is more than 0",
            ))
        }
        _ => Ok(Facet {
            name: name.to_owned(),
            field,
            count,
        }),
    }
}

pub(super) fn bad(message: impl Into<String>, hint: impl Into<String>) -> QueryError {
    QueryError::new("bad_facet", message, hint)
}
