//! An answer of the node -> the shape that clients of OpenSearch read. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::aggregations;
use super::body::{Search, SortedBy};
use super::refusal::{Read, Refusal};
use crate::change::DatumRef;
use crate::definition::{FieldKind, moment};
use crate::query::{self, Relation, SearchAnswer, Total};

/// The answer of `_search`.
#[derive(Serialize)]
pub struct Found {
    took: u64,
    timed_out: bool,
    _shards: Shards,
    hits: Hits,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregations: Option<Value>,
    /// In `_msearch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Serialize)]
pub struct Shards {
    total: u32,
    successful: u32,
    skipped: u32,
    failed: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Value>,
}

#[derive(Serialize)]
struct Hits {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Total>,
    max_score: Option<f32>,
    hits: Vec<Hit>,
}

#[derive(Serialize)]
struct Hit {
    _index: Arc<str>,
    _id: Arc<str>,
    _score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _source: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    highlight: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sort: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _explanation: Option<Value>,
}

impl Found {
    /// The same as one of several.
    pub fn with_status(self, status: u16) -> Found {
        Found {
            status: Some(status),
            ..self
        }
    }
}

impl Shards {
    /// The index is one shard to whoever asks.
    pub fn one() -> Shards {
        Shards {
            total: 1,
            successful: 1,
            skipped: 0,
            failed: 0,
            failures: Vec::new(),
        }
    }
}

/// The answer of a search.
///
/// # Errors
/// A leg could not answer: a part of the result would be missing.
pub fn found(index: &Arc<str>, search: &Search, answer: SearchAnswer) -> Read<Found> {
    if let Some(failed) = answer.failed.first() {
        return Err(Refusal::new(
            503,
            "search_phase_execution_exception",
            failed.reason.clone(),
        ));
    }
    let is_by_fields = search.sort.iter().any(|by| *by != SortedBy::Score);
    let has_scores = !is_by_fields || search.sort.contains(&SortedBy::Score);
    let best = answer.hits.first().map(|hit| hit.score);
    let hits = answer.hits.into_iter().skip(search.from);
    let hits = hits.map(|hit| Hit {
        sort: sort_values(&search.sort, &hit),
        _index: index.clone(),
        _score: has_scores.then_some(hit.score),
        _explanation: search.request.explain.then(|| explained(&hit)),
        _source: search.has_source.then_some(hit.document),
        highlight: hit.highlight,
        _id: hit.key,
    });
    Ok(Found {
        took: answer.took_ms.unwrap_or_default().round() as u64,
        timed_out: answer.timed_out,
        _shards: Shards::one(),
        hits: Hits {
            total: answer.total.map(|total| match answer.timed_out {
                // There may be more behind what was looked at.
                true => Total {
                    relation: Relation::Gte,
                    ..total
                },
                false => total,
            }),
            max_score: best.filter(|_| !is_by_fields),
            hits: hits.collect(),
        },
        aggregations: match search.aggregations.is_empty() {
            true => None,
            false => Some(aggregations::write(&search.aggregations, answer.facets)?),
        },
        status: None,
    })
}

fn sort_values(sort: &[SortedBy], hit: &query::Hit) -> Vec<Value> {
    let mut values = hit.sort.iter();
    let value = |by: &SortedBy| match by {
        SortedBy::Key => json!(hit.key),
        // Sorted by the score alone, hits are as they are anyway.
        SortedBy::Score => values
            .next()
            .cloned()
            .unwrap_or_else(|| json!(f64::from(hit.score))),
        SortedBy::Field(FieldKind::Date) => {
            let text = values.next().and_then(Value::as_str);
            text.map_or(Value::Null, date)
        }
        SortedBy::Field(_) => values.next().cloned().unwrap_or(Value::Null),
    };
    sort.iter().map(value).collect()
}

/// A date in nanoseconds; before 1677 and after 2262 those are no `long`, and it stays as it is written.
fn date(text: &str) -> Value {
    let micros = moment::of(DatumRef::Text(text));
    match micros.and_then(|micros| micros.checked_mul(1_000)) {
        Some(nanos) => nanos.into(),
        None => text.into(),
    }
}

fn explained(hit: &query::Hit) -> Value {
    let leg = |what: &str, leg: Option<query::LegHit>| {
        leg.map(|leg| {
            let description = format!("{what} leg: rank {}", leg.rank);
            json!({"value": leg.score, "description": description, "details": []})
        })
    };
    let legs = [leg("keyword", hit.keyword), leg("vector", hit.vector)];
    let fusion = hit
        .explain
        .as_ref()
        .and_then(|explanation| explanation.fusion.as_ref());
    let description = match fusion {
        None => "score of the leg".to_owned(),
        Some(fusion) => format!(
            "{}: keyword adds {}, vector adds {}",
            fusion.method, fusion.keyword.adds, fusion.vector.adds
        ),
    };
    json!({
        "value": hit.score,
        "description": description,
        "details": legs.into_iter().flatten().collect::<Vec<_>>(),
    })
}
