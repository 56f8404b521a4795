//! A request's facets -> what can be counted.

use std::collections::BTreeMap;

use serde_json::Number;

use super::request::{
    CalendarInterval, FacetRequest, HistogramRequest, RangeBound, RangeRequest, TermsRequest,
};
use crate::change::DatumRef;
use crate::definition::{FieldKind, Index, moment};
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
    /// Of a number or a date.
    Ranges(Vec<Range>),
    /// Of a number.
    Histogram(HistogramRequest),
    /// Of a date, or of milliseconds.
    Dates(CalendarInterval),
    /// Of a number.
    Stats,
    DateStats,
}

/// A range with its ends as the column has them: a date's are microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::query) struct Range {
    pub asked: RangeRequest,
    pub from: Option<Number>,
    /// Excluded.
    pub to: Option<Number>,
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
        (None, Some(asked), None, None, None) => Count::Ranges(ranges(name, kind, asked)?),
        (None, None, Some(histogram), None, None) => Count::Histogram(histogram.clone()),
        (None, None, None, Some(dates), None) => Count::Dates(dates.interval),
        (None, None, None, None, Some(_)) if kind == FieldKind::Date => Count::DateStats,
        (None, None, None, None, Some(_)) => Count::Stats,
        _ => {
            return Err(bad(
                format!("the facet `{name}` does not say one way to count"),
                r#"give one of `terms`, `ranges`, `histogram`, `date_histogram` and `stats`, such as {"terms": {"size": 10}}"#,
            ));
        }
    };
    let is_number = matches!(kind, FieldKind::I64 | FieldKind::F64);
    let is_ordered = is_number || kind == FieldKind::Date;
    match &count {
        _ if matches!(kind, FieldKind::Geo { .. }) => Err(bad(
            format!("the facet `{name}` is of the field `{field_name}`, which holds places"),
            "places are not counted: narrow the search by `geo_distance` or `geo_within` in `filter`, and read `total`",
        )),
        Count::Terms(terms) if !(1..=SIZE_MAX).contains(&terms.size) => Err(bad(
            format!("`size` of the facet `{name}` is {}", terms.size),
            format!("give 1 to {SIZE_MAX}"),
        )),
        Count::Histogram(_) if kind == FieldKind::Date => Err(bad(
            format!("the facet `{name}` is of the field `{field_name}`, which holds dates and no numbers"),
            "count them with `date_histogram`",
        )),
        Count::Histogram(_) | Count::Stats if !is_number => Err(no_numbers(name, field_name)),
        Count::Ranges(_) if !is_ordered => Err(no_numbers(name, field_name)),
        Count::Dates(_) if !matches!(kind, FieldKind::Date | FieldKind::I64) => Err(bad(
            format!("the facet `{name}` is of the field `{field_name}`, which holds no times"),
            "`date_histogram` is for dates, and for whole numbers that are milliseconds since 1970",
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

/// The ranges as a field of this kind has them. A kind that has no ranges is refused behind.
fn ranges(name: &str, kind: FieldKind, asked: &[RangeRequest]) -> Result<Vec<Range>, QueryError> {
    if !(1..=RANGES_MAX).contains(&asked.len()) {
        return Err(bad(
            format!("the facet `{name}` has {} ranges", asked.len()),
            format!("give 1 to {RANGES_MAX}"),
        ));
    }
    let end = |bound: &Option<RangeBound>| match bound {
        None => Ok(None),
        Some(bound) => bound_of(name, kind, bound).map(Some),
    };
    let range = |asked: &RangeRequest| {
        Ok(Range {
            from: end(&asked.from)?,
            to: end(&asked.to)?,
            asked: asked.clone(),
        })
    };
    asked.iter().map(range).collect()
}

fn bound_of(name: &str, kind: FieldKind, bound: &RangeBound) -> Result<Number, QueryError> {
    let moment = match (kind, bound) {
        (FieldKind::Date, RangeBound::Text(text)) => moment::of(DatumRef::Text(text)),
        (FieldKind::Date, RangeBound::Number(number)) => number
            .as_i64()
            .and_then(|milliseconds| moment::of(DatumRef::Int(milliseconds))),
        (_, RangeBound::Number(number)) => return Ok(number.clone()),
        (_, RangeBound::Text(text)) => {
            return Err(bad(
                format!("a range of the facet `{name}` ends at {text:?}, which is no number"),
                "text is for ranges of dates",
            ));
        }
    };
    moment.map(Number::from).ok_or_else(|| {
        let written = match bound {
            RangeBound::Number(number) => number.to_string(),
            RangeBound::Text(text) => format!("{text:?}"),
        };
        bad(
            format!("a range of the facet `{name}` ends at {written}, which is no date"),
            "give ISO 8601 such as \"2026-01-01T12:00:00Z\", or whole milliseconds since 1970; years are 0 to 9999",
        )
    })
}

fn no_numbers(name: &str, field: &str) -> QueryError {
    bad(
        format!("the facet `{name}` is of the field `{field}`, which holds no numbers"),
        "count its values with `terms`",
    )
}

pub(super) fn bad(message: impl Into<String>, hint: impl Into<String>) -> QueryError {
    QueryError::new("bad_facet", message, hint)
}
