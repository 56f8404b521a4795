//! The body of `_search` -> a search of the node, and how its answer is written. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::aggregations::{self, Aggregation};
use super::clause::Clauses;
use super::highlight;
use super::hybrid::Question;
use super::keys::{Keys, one_or_several, texts};
use super::names;
use super::refusal::{Read, Refusal};
use crate::change::{Datum, DatumRef, Float};
use crate::definition::{FieldKind, Index, moment};
use crate::query::{
    SearchRequest, SortHow, SortKeyRequest, SortMissing, SortOptions, SortOrder, SortRequest, TotalBound,
    TotalRequest,
};

/// As OpenSearch bounds `from` and `size` together.
const WINDOW_MAX: usize = 10_000;

/// How far hits are counted where nothing else is said.
const TOTAL_USUAL: u64 = 10_000;

/// A search, and what its answer shows.
#[derive(Debug)]
pub struct Search {
    pub request: SearchRequest,
    /// Hits that the answer leaves out: the best score is that of the first.
    pub from: usize,
    /// Whether hits have a `_source`.
    pub has_source: bool,
    /// What hits are sorted by; empty: the best first.
    pub sort: Vec<SortedBy>,
    pub aggregations: Vec<Aggregation>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SortedBy {
    Field(FieldKind),
    Score,
    /// Ties, which are settled by the key anyway.
    Key,
}

/// `timeout_max`: a longer time is taken for this one.
pub fn read(index: &Index, body: &Value, timeout_max: Duration) -> Read<Search> {
    let mut keys = Keys::new("search", body)?;
    let mut clauses = Clauses::new(index);
    let question = Question::read(&mut clauses, keys.take("query"), keys.take("search_pipeline"))?;
    let (from, size) = (
        keys.count("from")?.unwrap_or(0),
        keys.count("size")?.unwrap_or(10),
    );
    if from.saturating_add(size) > WINDOW_MAX {
        return Err(Refusal::illegal(format!(
            "Result window is too large, from + size must be less than or equal to: [{WINDOW_MAX}] but was [{}]",
            from.saturating_add(size)
        )));
    }
    let mut request = SearchRequest {
        limit: from + size,
        using: question.using,
        ef: question.ef,
        ..SearchRequest::default()
    };
    let mut asked = question.asked;

    let mut sort = Vec::new();
    if let Some(value) = keys.take("sort") {
        let (by, keys) = read_sort(index, value)?;
        request.sort = keys;
        sort = by;
    }
    if let Some(after) = keys.take("search_after") {
        if from > 0 {
            return Err(Refusal::illegal("[from] must be 0 with [search_after]"));
        }
        (asked.after, asked.after_key) = read_after(&sort, after)?;
    }
    let (has_source, columns) = match keys.take("_source") {
        None => (true, index.plan.columns.clone()),
        Some(value) => source(index, value)?,
    };
    request.fields = Some(columns);
    request.total = match keys.take("track_total_hits") {
        None => Some(TotalRequest::UpTo(TotalBound { up_to: TOTAL_USUAL })),
        Some(Value::Bool(false)) => None,
        Some(Value::Bool(true)) => Some(TotalRequest::Wanted(true)),
        Some(Value::Number(bound)) if bound.is_u64() => bound
            .as_u64()
            .map(|up_to| TotalRequest::UpTo(TotalBound { up_to })),
        Some(_) => return Err(keys.wrong("track_total_hits", "true, false or a number")),
    };
    if let Some(min_score) = keys.number("min_score")? {
        request.min_score = Some(min_score as f32);
    }
    request.timeout_ms = match keys.text("timeout")? {
        None | Some("-1") => None,
        Some(text) => Some(milliseconds(text)?.min(timeout_max.as_millis() as u64)),
    };
    request.explain = keys.flag("explain")?.unwrap_or(false);
    let (aggs, aggregations) = (keys.take("aggs"), keys.take("aggregations"));
    let aggregations = match (aggs, aggregations) {
        (Some(_), Some(_)) => {
            return Err(Refusal::parsing(
                "[aggs] and [aggregations] are the same: give one",
            ));
        }
        (None, None) => Vec::new(),
        (Some(aggs), None) | (None, Some(aggs)) => aggregations::read(index, aggs)?,
    };
    if !aggregations.is_empty() && request.min_score.is_some() {
        return Err(Refusal::illegal(
            "[min_score] together with [aggs] is not supported: those count all hits",
        ));
    }
    let facets = aggregations
        .iter()
        .map(|one| (one.name.clone(), one.facet.clone()));
    request.facets = facets.collect();
    if let Some(value) = keys.take("highlight") {
        let (highlight, words) = highlight::read(index, value, &clauses.marked)?;
        (request.highlight, asked.highlighted) = (highlight, words);
    }
    // What is so anyway.
    for key in ["track_scores", "version", "seq_no_primary_term", "profile"] {
        keys.only(key, &[false.into()])?;
    }
    keys.end()?;
    request.asked = Some(Box::new(asked));
    Ok(Search {
        request,
        from,
        has_source,
        sort,
        aggregations,
    })
}

/// What hits are sorted by, and the same for a search of the node.
fn read_sort(index: &Index, value: &Value) -> Read<(Vec<SortedBy>, Option<SortRequest>)> {
    let (mut by, mut requested) = (Vec::new(), Vec::new());
    for key in one_or_several(value) {
        if by.last() == Some(&SortedBy::Key) {
            return Err(Refusal::illegal(
                "[sort] by [_id] leaves nothing to sort behind it",
            ));
        }
        let (sorted_by, request) = sort_key(index, key)?;
        by.push(sorted_by);
        requested.extend(request);
    }
    match (by.is_empty(), requested.is_empty()) {
        (true, _) => Ok((by, None)),
        (false, true) => Err(Refusal::illegal(
            "[sort] by [_id] alone is not supported: sort by a field, and then by [_id]",
        )),
        (false, false) => Ok((by, Some(SortRequest::Several(requested)))),
    }
}

fn sort_key(index: &Index, key: &Value) -> Read<(SortedBy, Option<SortKeyRequest>)> {
    let written;
    let (name, options) = match key {
        Value::String(name) => match name.rsplit_once(':') {
            Some((name, order @ ("asc" | "desc"))) => {
                written = Value::from(order);
                (name, Some(&written))
            }
            _ => (&**name, None),
        },
        key => {
            let (name, options) = Keys::new("sort", key)?.one()?;
            (name, Some(options))
        }
    };
    let is_score = name == "_score";
    let usual = if is_score { SortOrder::Desc } else { SortOrder::Asc };
    let (mut order, mut missing, mut mode) = (usual, SortMissing::Last, None);
    let order_of = |text: &str| match text {
        "asc" => Ok(SortOrder::Asc),
        "desc" => Ok(SortOrder::Desc),
        other => Err(Refusal::illegal(format!("[sort] has the order [{other}]"))),
    };
    match options {
        None => {}
        Some(Value::String(text)) => order = order_of(text)?,
        Some(options) => {
            let mut keys = Keys::new("sort", options)?;
            if let Some(text) = keys.text("order")? {
                order = order_of(text)?;
            }
            missing = match keys.text("missing")? {
                None | Some("_last") => SortMissing::Last,
                Some("_first") => SortMissing::First,
                Some(_) => return Err(keys.wrong("missing", "`_first` or `_last`")),
            };
            mode = keys.text("mode")?;
            keys.end()?;
        }
    }
    // Of several values the least counts where those come first, the greatest where those do.
    match (mode, order) {
        (None, _) | (Some("min"), SortOrder::Asc) | (Some("max"), SortOrder::Desc) => {}
        (Some(mode), _) => {
            return Err(Refusal::illegal(format!(
                "[sort] does not support the mode [{mode}] here"
            )));
        }
    }
    if name == "_id" {
        return match order {
            SortOrder::Asc => Ok((SortedBy::Key, None)),
            SortOrder::Desc => Err(Refusal::illegal(
                "[sort] by [_id] is supported in the order [asc]",
            )),
        };
    }
    let (by, name) = match is_score {
        true => (SortedBy::Score, "_score"),
        false => {
            let field = names::field(index, name)?;
            (SortedBy::Field(field.kind), &*field.name)
        }
    };
    let how = SortHow::Full(SortOptions { order, missing });
    Ok((
        by,
        Some(SortKeyRequest::How(BTreeMap::from([(name.to_owned(), how)]))),
    ))
}

/// The values that the page begins behind, and the key behind which ties go on.
#[allow(clippy::type_complexity)]
fn read_after(sort: &[SortedBy], value: &Value) -> Read<(Option<Vec<Option<Datum>>>, Option<String>)> {
    let Value::Array(values) = value else {
        return Err(Refusal::parsing("[search_after] must be a list of values"));
    };
    if sort.is_empty() || values.len() != sort.len() {
        return Err(Refusal::illegal(format!(
            "[search_after] has {} values, and [sort] {} keys",
            values.len(),
            sort.len()
        )));
    }
    let (mut after, mut after_key) = (Vec::new(), None);
    for (by, value) in sort.iter().zip(values) {
        let wrong = || {
            Refusal::illegal(format!(
                "[search_after] has {value}, which is not as the key of [sort] is"
            ))
        };
        let datum = match (by, value) {
            (SortedBy::Key, Value::String(key)) => {
                after_key = Some(key.clone());
                continue;
            }
            (SortedBy::Field(_), Value::Null) => None,
            // A score is an f32: the digits of others that stand for it in JSON are left out.
            (SortedBy::Score, Value::Number(number)) => {
                let score = number.as_f64().ok_or_else(wrong)? as f32;
                Some(Datum::Float(Float(score.into())))
            }
            (SortedBy::Field(FieldKind::F64), Value::Number(number)) => {
                Some(Datum::Float(Float(number.as_f64().ok_or_else(wrong)?)))
            }
            (SortedBy::Field(FieldKind::I64), Value::Number(number)) => {
                Some(Datum::Int(number.as_i64().ok_or_else(wrong)?))
            }
            // Dates are shown in nanoseconds, and those far away as texts.
            (SortedBy::Field(FieldKind::Date), Value::Number(number)) => {
                Some(Datum::Int(number.as_i64().ok_or_else(wrong)?.div_euclid(1_000)))
            }
            (SortedBy::Field(FieldKind::Date), Value::String(text)) => {
                let micros = moment::of(DatumRef::Text(text));
                Some(Datum::Int(micros.ok_or_else(wrong)?))
            }
            (SortedBy::Field(FieldKind::Keyword), Value::String(text)) => Some(Datum::text(text)),
            (SortedBy::Field(FieldKind::Bool), Value::Bool(flag)) => Some(Datum::Bool(*flag)),
            _ => return Err(wrong()),
        };
        after.push(datum);
    }
    Ok((Some(after), after_key))
}

/// Whether hits have a `_source`, and the columns in it.
pub fn source(index: &Index, value: &Value) -> Read<(bool, Vec<String>)> {
    let all = &index.plan.columns;
    let (includes, excludes) = match value {
        Value::Bool(true) => return Ok((true, all.clone())),
        Value::Bool(false) => return Ok((false, Vec::new())),
        Value::Object(_) => {
            let mut keys = Keys::new("_source", value)?;
            let mut list = |names: [&str; 2]| -> Read<Vec<String>> {
                let values = names.iter().filter_map(|name| keys.take(name));
                let lists = values
                    .map(|value| texts("_source", value))
                    .collect::<Read<Vec<_>>>()?;
                Ok(lists.concat())
            };
            let lists = (list(["includes", "include"])?, list(["excludes", "exclude"])?);
            keys.end()?;
            lists
        }
        value => (texts("_source", value)?, Vec::new()),
    };
    for pattern in includes.iter().chain(&excludes) {
        let inside = |column: &&String| {
            pattern
                .strip_prefix(&***column)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some(column) = all.iter().find(inside) {
            return Err(Refusal::illegal(format!(
                "[_source] names [{pattern}], a part of the column [{column}]: columns are shown whole"
            )));
        }
    }
    let is_in =
        |patterns: &[String], column: &str| patterns.iter().any(|pattern| names::matches(pattern, column));
    let columns = all
        .iter()
        .filter(|column| (includes.is_empty() || is_in(&includes, column)) && !is_in(&excludes, column));
    Ok((true, columns.cloned().collect()))
}

/// A time as OpenSearch writes it: `500ms`, `10s`, `2m`, `1h`.
fn milliseconds(text: &str) -> Read<u64> {
    let units = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let read = units.iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor).filter(|time| *time > 0)
    });
    read.ok_or_else(|| {
        Refusal::illegal(format!(
            "[timeout] is [{text}]: a time such as 500ms or 10s is supported"
        ))
    })
}
