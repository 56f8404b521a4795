//! `aggs` -> facets, and what those have counted -> the shapes that clients of OpenSearch read. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use super::keys::Keys;
use super::names;
use super::refusal::{Read, Refusal};
use crate::definition::{FieldKind, Index};
use crate::query::{
    Bucket, CalendarInterval, DateBucket, DateHistogramRequest, FacetAnswer, FacetRequest, HistogramRequest,
    RangeBound, RangeCount, RangeRequest, StatsRequest, TermCount, TermsOrder, TermsRequest,
};

/// As a histogram of OpenSearch is bounded.
const BUCKETS_MAX: usize = 10_000;

/// An aggregation by its name, and how its answer is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    pub name: String,
    pub facet: FacetRequest,
    shown: Shown,
}

#[derive(Clone, Debug, PartialEq)]
enum Shown {
    Terms,
    /// The keys of the ranges, where they have names.
    Ranges(Vec<Option<String>>),
    /// Whether intervals without a document are shown: those between others.
    Histogram {
        interval: f64,
        with_empty: bool,
    },
    Dates,
    Stats,
    /// `min`, `max`, `avg`, `sum` or `value_count`.
    One(&'static str),
    Cardinality,
    Missing,
}

/// Reads `aggs`.
pub fn read(index: &Index, value: &Value) -> Read<Vec<Aggregation>> {
    Keys::new("aggs", value)?
        .rest()
        .map(|(name, body)| aggregation(index, name, body))
        .collect()
}

fn aggregation(index: &Index, name: &str, body: &Value) -> Read<Aggregation> {
    let mut keys = Keys::new(name, body)?;
    for inner in ["aggs", "aggregations"] {
        if keys.take(inner).is_some() {
            return Err(Refusal::illegal(format!(
                "[{inner}] inside the aggregation [{name}] is not supported"
            )));
        }
    }
    let (kind, options) = keys.one()?;
    let mut keys = Keys::new(kind, options)?;
    let field = keys
        .text("field")?
        .ok_or_else(|| Refusal::illegal(format!("the aggregation [{name}] has no [field]")))?;
    let field = names::field(index, field)?;
    let mut facet = FacetRequest {
        field: Some(field.name.clone()),
        ..FacetRequest::default()
    };
    let terms = |size| {
        Some(TermsRequest {
            size,
            order: TermsOrder::Count,
        })
    };
    let shown = match kind {
        "terms" => {
            let size = keys.count("size")?.unwrap_or(10);
            keys.only("min_doc_count", &[1.into()])?;
            let order = keys.take("order").map_or(Ok(TermsOrder::Count), order)?;
            facet.terms = Some(TermsRequest { size, order });
            Shown::Terms
        }
        "range" => {
            let Some(Value::Array(ranges)) = keys.take("ranges") else {
                return Err(Refusal::parsing(format!(
                    "[range] of [{name}] must have [ranges]"
                )));
            };
            keys.only("keyed", &[false.into()])?;
            let ranges = ranges.iter().map(range).collect::<Read<Vec<_>>>()?;
            let (ranges, labels) = ranges.into_iter().unzip();
            facet.ranges = Some(ranges);
            Shown::Ranges(labels)
        }
        "histogram" => {
            let interval = keys.number("interval")?.unwrap_or(0.0);
            let offset = keys.number("offset")?.unwrap_or(0.0);
            let with_empty = match keys.count("min_doc_count")? {
                None | Some(0) => true,
                Some(1) => false,
                Some(_) => return Err(keys.wrong("min_doc_count", "0 or 1")),
            };
            keys.only("keyed", &[false.into()])?;
            facet.histogram = Some(HistogramRequest { interval, offset });
            Shown::Histogram { interval, with_empty }
        }
        "date_histogram" => {
            let interval = match keys.text("calendar_interval")? {
                Some("minute" | "1m") => CalendarInterval::Minute,
                Some("hour" | "1h") => CalendarInterval::Hour,
                Some("day" | "1d") => CalendarInterval::Day,
                Some("week" | "1w") => CalendarInterval::Week,
                Some("month" | "1M") => CalendarInterval::Month,
                Some("quarter" | "1q") => CalendarInterval::Quarter,
                Some("year" | "1y") => CalendarInterval::Year,
                _ => {
                    return Err(Refusal::illegal(format!(
                        "[date_histogram] of [{name}] must have a [calendar_interval]: minute, hour, day, week, month, quarter or year"
                    )));
                }
            };
            // Months differ in length, so gaps are not filled.
            if keys.count("min_doc_count")? != Some(1) {
                return Err(Refusal::illegal(
                    "[date_histogram] is supported with a [min_doc_count] of 1: intervals without a document are not shown",
                ));
            }
            keys.only("keyed", &[false.into()])?;
            keys.only("time_zone", &["UTC".into(), "Z".into(), "+00:00".into()])?;
            facet.date_histogram = Some(DateHistogramRequest { interval });
            Shown::Dates
        }
        "stats" | "min" | "max" | "avg" | "sum" => {
            facet.stats = Some(StatsRequest {});
            match kind {
                "min" => Shown::One("min"),
                "max" => Shown::One("max"),
                "avg" => Shown::One("avg"),
                "sum" => Shown::One("sum"),
                _ => Shown::Stats,
            }
        }
        "value_count" if matches!(field.kind, FieldKind::I64 | FieldKind::F64) => {
            facet.stats = Some(StatsRequest {});
            Shown::One("value_count")
        }
        "cardinality" => {
            // Counted exactly, whatever the bound of an estimate.
            keys.count("precision_threshold")?;
            facet.terms = terms(1);
            Shown::Cardinality
        }
        "missing" => {
            facet.terms = terms(1);
            Shown::Missing
        }
        other => {
            return Err(Refusal::illegal(format!(
                "the aggregation [{name}] is of the type [{other}], which is not supported here"
            )));
        }
    };
    keys.end()?;
    Ok(Aggregation {
        name: name.to_owned(),
        facet,
        shown,
    })
}

fn order(value: &Value) -> Read<TermsOrder> {
    let (key, direction) = match value {
        Value::Array(list) if list.len() == 1 => Keys::new("order", &list[0])?.one()?,
        value => Keys::new("order", value)?.one()?,
    };
    match (key, direction.as_str()) {
        ("_count", Some("desc")) => Ok(TermsOrder::Count),
        ("_key" | "_term", Some("asc")) => Ok(TermsOrder::Value),
        _ => Err(Refusal::illegal(format!(
            "[order] of [terms] is {value}: {{\"_count\": \"desc\"}} and {{\"_key\": \"asc\"}} are supported"
        ))),
    }
}

fn range(value: &Value) -> Read<(RangeRequest, Option<String>)> {
    let mut keys = Keys::new("ranges", value)?;
    let mut end = |key: &str| match keys.take(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(RangeBound::Number(number.clone()))),
        Some(_) => Err(Refusal::parsing(format!("[{key}] of [ranges] must be a number"))),
    };
    let range = RangeRequest {
        from: end("from")?,
        to: end("to")?,
    };
    let label = keys.text("key")?.map(str::to_owned);
    keys.end()?;
    Ok((range, label))
}

/// The answers of all aggregations.
pub fn write(aggregations: &[Aggregation], mut answers: BTreeMap<String, FacetAnswer>) -> Read<Value> {
    let mut written = Map::new();
    for aggregation in aggregations {
        let Some(answer) = answers.remove(&aggregation.name) else {
            continue;
        };
        written.insert(aggregation.name.clone(), aggregation.write(answer)?);
    }
    Ok(Value::Object(written))
}

impl Aggregation {
    fn write(&self, answer: FacetAnswer) -> Read<Value> {
        Ok(match (&self.shown, answer) {
            (Shown::Cardinality, FacetAnswer::Terms { values, .. }) => json!({"value": values}),
            (Shown::Missing, FacetAnswer::Terms { missing, .. }) => json!({"doc_count": missing}),
            (_, FacetAnswer::Terms { terms, others, .. }) => json!({
                "doc_count_error_upper_bound": 0,
                "sum_other_doc_count": others,
                "buckets": terms.into_iter().map(term).collect::<Vec<_>>(),
            }),
            (Shown::Ranges(labels), FacetAnswer::Ranges { ranges, .. }) => {
                let mut ranges: Vec<_> = ranges.into_iter().zip(labels).collect();
                // As OpenSearch orders them: by where they begin, and then by where they end.
                let ends = |range: &RangeCount| {
                    (
                        end_of(&range.from).unwrap_or(f64::NEG_INFINITY),
                        end_of(&range.to).unwrap_or(f64::INFINITY),
                    )
                };
                ranges.sort_by(|(a, _), (b, _)| {
                    let (a, b) = (ends(a), ends(b));
                    a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
                });
                let buckets: Vec<Value> = ranges
                    .into_iter()
                    .map(|(range, label)| range_bucket(range, label))
                    .collect();
                json!({"buckets": buckets})
            }
            (Shown::Histogram { interval, with_empty }, FacetAnswer::Histogram { histogram, .. }) => {
                let buckets = match with_empty {
                    true => filled(&self.name, histogram, *interval)?,
                    false => histogram,
                };
                let bucket = |bucket: Bucket| json!({"key": bucket.from, "doc_count": bucket.count});
                json!({"buckets": buckets.into_iter().map(bucket).collect::<Vec<_>>()})
            }
            (_, FacetAnswer::DateHistogram { date_histogram, .. }) => {
                json!({"buckets": date_histogram.into_iter().map(date).collect::<Vec<_>>()})
            }
            (
                shown,
                FacetAnswer::Stats {
                    count,
                    min,
                    max,
                    sum,
                    mean,
                    ..
                },
            ) => match shown {
                Shown::One("min") => json!({"value": float(min)}),
                Shown::One("max") => json!({"value": float(max)}),
                Shown::One("avg") => json!({"value": mean}),
                Shown::One("sum") => json!({"value": float(Some(sum))}),
                Shown::One(_) => json!({"value": count}),
                _ => json!({
                    "count": count, "min": float(min), "max": float(max), "avg": mean, "sum": float(Some(sum)),
                }),
            },
            _ => {
                return Err(Refusal::new(
                    500,
                    "exception",
                    "an aggregation has an answer of another kind",
                ));
            }
        })
    }
}

fn term(TermCount { value, count }: TermCount) -> Value {
    match value {
        Value::Bool(flag) => {
            json!({"key": u8::from(flag), "key_as_string": flag.to_string(), "doc_count": count})
        }
        value => json!({"key": value, "doc_count": count}),
    }
}

/// What was asked for, which is always a number here.
fn end_of(bound: &Option<RangeBound>) -> Option<f64> {
    match bound {
        Some(RangeBound::Number(number)) => number.as_f64(),
        Some(RangeBound::Text(_)) | None => None,
    }
}

fn range_bucket(range: RangeCount, label: &Option<String>) -> Value {
    let (from, to) = (end_of(&range.from), end_of(&range.to));
    let end = |end: &Option<f64>| end.map_or_else(|| "*".to_owned(), |end| format!("{end:?}"));
    let mut bucket = json!({
        "key": label.clone().unwrap_or_else(|| format!("{}-{}", end(&from), end(&to))),
        "doc_count": range.count,
    });
    for (name, end) in [("from", from), ("to", to)] {
        if let Some(end) = end {
            bucket[name] = json!(end);
        }
    }
    bucket
}

fn date(DateBucket { from, count }: DateBucket) -> Value {
    match crate::definition::moment::of(&crate::change::Datum::text(&from)) {
        Some(micros) => json!({"key_as_string": from, "key": micros / 1_000, "doc_count": count}),
        None => json!({"key": from, "doc_count": count}),
    }
}

/// Metrics are floats there, also of whole numbers.
fn float(number: Option<Number>) -> Option<f64> {
    number.and_then(|number| number.as_f64())
}

/// The intervals between the first and the last, those without a document too.
fn filled(name: &str, buckets: Vec<Bucket>, interval: f64) -> Read<Vec<Bucket>> {
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return Ok(buckets);
    };
    let first = first.from;
    let steps = ((last.from - first) / interval).round();
    if steps >= BUCKETS_MAX as f64 {
        return Err(Refusal::new(
            400,
            "too_many_buckets_exception",
            format!(
                "the aggregation [{name}] has more than {BUCKETS_MAX} buckets: ask for a [min_doc_count] of 1"
            ),
        ));
    }
    let mut filled: Vec<Bucket> = (0..=steps as usize)
        .map(|step| Bucket {
            from: first + step as f64 * interval,
            count: 0,
        })
        .collect();
    for bucket in buckets {
        let place = ((bucket.from - first) / interval).round() as usize;
        if let Some(slot) = filled.get_mut(place) {
            *slot = bucket;
        }
    }
    Ok(filled)
}
