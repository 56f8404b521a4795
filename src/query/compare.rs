//! Two sets of vectors of one field, compared by the queries that people ask.
//!
//! For each query, both models search the same snapshot exactly. `overlap_at_10` is the share of the ten nearest that
//! both find; `kendall_tau` is the rank correlation (tau-b) of all documents that one of them has among its ten, each
//! scored by both: 1 is the same order, -1 the opposite.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::AsOf;
use super::run::embed;
use super::{SearchedField, Searcher};
use crate::definition::{Effort, Metric};
use crate::index::{Deadline, Slot, Snapshot};

const DEPTH: usize = 10;

/// What two models make of the same queries.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// The vector field.
    pub using: String,
    /// The model that answers.
    pub answering: String,
    /// The model of the other set.
    pub second: String,
    /// The mean over the queries that both could answer; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_at_10: Option<f64>,
    /// The mean over the queries that have one; absent where none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kendall_tau: Option<f64>,
    pub queries: Vec<ComparedQuery>,
    pub as_of: AsOf,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComparedQuery {
    pub query: String,
    /// The share of the ten nearest that both models find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_at_10: Option<f64>,
    /// Absent where the orders cannot be compared: with fewer than two documents, or with one score for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kendall_tau: Option<f64>,
    /// Why a model could not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Why there is nothing to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    #[error("the index has no second set of vectors")]
    NoSecond,
    #[error("there are no queries to compare by")]
    NoQueries,
}

type Place = (usize, Slot);

impl Searcher {
    /// Compares the set that answers with the second one, by these queries, or where there are none by recent ones.
    ///
    /// # Errors
    /// There is no second set, or there are no queries.
    pub fn compare(&self, queries: &[String]) -> Result<Comparison, CompareError> {
        let snapshot = self.published.snapshot();
        let second = snapshot.sets.second.as_ref().ok_or(CompareError::NoSecond)?;
        let numbers = [
            snapshot.sets.leg(usize::from(second.field)),
            usize::from(second.set.leg),
        ];
        let legs = self.legs.load();
        let [Some(answering), Some(other)] = numbers.map(|number| legs.get(number)) else {
            return Err(CompareError::NoSecond);
        };
        let fields: [&SearchedField; 2] = [answering, other];
        let recent;
        let texts: Vec<&str> = match queries {
            [] => {
                recent = self.recent.list();
                recent.iter().map(|query| &**query).collect()
            }
            queries => queries.iter().map(String::as_str).collect(),
        };
        if texts.is_empty() {
            return Err(CompareError::NoQueries);
        }
        let compared: Vec<ComparedQuery> = texts
            .into_iter()
            .map(|text| compare(&snapshot, numbers, fields, text))
            .collect();
        let model = |leg: usize| {
            let sets = snapshot.sets.answering.iter().chain([&second.set]);
            let set = sets.clone().find(|set| usize::from(set.leg) == leg);
            set.map_or_else(String::new, |set| set.model.to_string())
        };
        Ok(Comparison {
            using: answering.name.clone(),
            answering: model(numbers[0]),
            second: model(numbers[1]),
            overlap_at_10: mean(compared.iter().filter_map(|query| query.overlap_at_10)),
            kendall_tau: mean(compared.iter().filter_map(|query| query.kendall_tau)),
            queries: compared,
            as_of: AsOf::new(&snapshot),
        })
    }
}

fn compare(
    snapshot: &Snapshot,
    numbers: [usize; 2],
    fields: [&SearchedField; 2],
    text: &str,
) -> ComparedQuery {
    let mut compared = ComparedQuery {
        query: text.to_owned(),
        overlap_at_10: None,
        kendall_tau: None,
        failed: None,
    };
    let vectors = match fields.map(|field| embed(field, text, &Deadline::never())) {
        [Ok(one), Ok(other)] => [one, other],
        [Err(reason), _] | [_, Err(reason)] => {
            compared.failed = Some(reason);
            return compared;
        }
    };
    let found = [0, 1].map(|side| nearest(snapshot, numbers[side], fields[side], &vectors[side]));
    let longest = found[0].len().max(found[1].len());
    let both = found[0].intersection(&found[1]).count();
    if longest > 0 {
        compared.overlap_at_10 = Some(both as f64 / longest as f64);
    }
    let score = |side: usize, (shard, slot): Place| {
        let leg = snapshot.shards.get(shard)?.legs.get(numbers[side])?;
        leg.score_of(slot, &vectors[side])
    };
    let union = found[0].union(&found[1]);
    // A document that has no vector in one of the sets yet has no place in its order.
    let scores = union.filter_map(|&place| Some((score(0, place)?, score(1, place)?)));
    compared.kendall_tau = kendall_tau(&scores.collect::<Vec<_>>());
    compared
}

/// The places of the nearest documents.
fn nearest(snapshot: &Snapshot, number: usize, field: &SearchedField, vector: &[f32]) -> BTreeSet<Place> {
    if field.metric == Metric::Cosine && vector.iter().all(|&number| number == 0.0) {
        return BTreeSet::new();
    }
    let mut hits = Vec::new();
    for (place, shard) in snapshot.shards.iter().enumerate() {
        if let Some(leg) = shard.legs.get(number) {
            let found = leg.search(vector, DEPTH, Effort::Exact, None, &Deadline::never());
            hits.extend(found.into_iter().map(|hit| (hit.score, (place, hit.slot))));
        }
    }
    hits.sort_by(|(a, place), (b, other)| b.total_cmp(a).then(place.cmp(other)));
    hits.truncate(DEPTH);
    hits.into_iter().map(|(_, place)| place).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Kendall's tau-b of pairs of scores.
fn kendall_tau(scores: &[(f32, f32)]) -> Option<f64> {
    let (mut balance, mut of_first, mut of_second) = (0_i64, 0_i64, 0_i64);
    for (place, (a, b)) in scores.iter().enumerate() {
        for (other_a, other_b) in scores.iter().skip(place + 1) {
            let (first, second) = (a.total_cmp(other_a) as i64, b.total_cmp(other_b) as i64);
            balance += first * second;
            of_first += first.abs();
            of_second += second.abs();
        }
    }
    let pairs = (of_first as f64) * (of_second as f64);
    (pairs > 0.0).then(|| balance as f64 / pairs.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tau_is_one_for_the_same_order_minus_one_for_the_opposite_and_counts_ties() {
        let tau = |scores: &[(f32, f32)]| kendall_tau(scores);
        assert_eq!(tau(&[(1.0, 0.1), (2.0, 0.2), (3.0, 0.3)]), Some(1.0));
        assert_eq!(tau(&[(1.0, 0.3), (2.0, 0.2), (3.0, 0.1)]), Some(-1.0));
        // One of three pairs is the other way round.
        let one_swapped = tau(&[(1.0, 0.1), (2.0, 0.3), (3.0, 0.2)]).unwrap();
        assert!((one_swapped - 1.0 / 3.0).abs() < 1e-12);
        // Two pairs agree, one is a tie on one side: 2 / sqrt(3 * 2).
        let tied = tau(&[(1.0, 0.1), (2.0, 0.2), (3.0, 0.2)]).unwrap();
        assert!((tied - 2.0 / 6.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(tau(&[(1.0, 0.1)]), None);
        assert_eq!(tau(&[(1.0, 0.1), (1.0, 0.2)]), None);
    }
}
