//! The best hits in another order: each is good, and unlike those before it.
//!
//! Maximal marginal relevance (Carbonell and Goldstein, 1998), with the vectors of the field that is searched.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fuse::Fused;
use super::{QueryError, SearchRequest};
use crate::change::Vector;
use crate::index::Snapshot;

/// Comparing hits costs the square of their number.
const WINDOW_MAX: usize = 1_000;

/// Trades relevance for diversity among the best hits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MmrRequest {
    /// What relevance counts, 0 to 1; the rest is how unlike a hit is to those before it.
    pub lambda: f32,
    /// How many of the best hits are put in order, 2 to 1,000; the others stay behind them.
    pub window: usize,
}

impl Default for MmrRequest {
    fn default() -> MmrRequest {
        MmrRequest {
            lambda: 0.5,
            window: 50,
        }
    }
}

/// # Errors
///
/// `bad_mmr`: a number is out of range, hits are sorted by fields, or the index has no vectors.
pub(super) fn plan(request: &SearchRequest, has_vectors: bool) -> Result<Option<MmrRequest>, QueryError> {
    let Some(mmr) = request.mmr else {
        return Ok(None);
    };
    let bad = |message: String, hint: &str| Err(QueryError::new("bad_mmr", message, hint));
    if !(0.0..=1.0).contains(&mmr.lambda) {
        return bad(
            format!("`mmr.lambda` is {}", mmr.lambda),
            "give 0 (unlike) to 1 (relevant)",
        );
    }
    if !(2..=WINDOW_MAX).contains(&mmr.window) {
        return bad(format!("`mmr.window` is {}", mmr.window), "give 2 to 1000");
    }
    if request.sort.is_some() {
        return bad(
            "`mmr` and `sort` both say the order of hits".to_owned(),
            "give one of them",
        );
    }
    match has_vectors {
        true => Ok(Some(mmr)),
        false => bad(
            "`mmr` compares vectors, and the index has none".to_owned(),
            "leave it out, or give the index `embed` or `vector`",
        ),
    }
}

/// Puts the best hits in order. Their scores stay; a hit without a vector is like no other.
pub(super) fn diversify(hits: &mut [Fused<'_>], mmr: MmrRequest, snapshot: &Snapshot, leg: usize) {
    let window = mmr.window.min(hits.len());
    let Some(hits) = hits.get_mut(..window) else {
        return;
    };
    let units: Vec<Option<Vec<f32>>> = hits.iter().map(|hit| unit(snapshot, leg, hit)).collect();
    let relevance = relevance(hits);
    // How like each is to the nearest of those that are placed.
    let mut likeness = vec![0.0_f32; window];
    let mut left: Vec<usize> = (0..window).collect();
    let mut order = Vec::with_capacity(window);
    while !left.is_empty() {
        let gain = |&place: &usize| mmr.lambda * relevance[place] - (1.0 - mmr.lambda) * likeness[place];
        // Among equals the one that was before: `left` keeps their order.
        let mut best = 0;
        for (at, place) in left.iter().enumerate().skip(1) {
            if gain(place) > gain(&left[best]) {
                best = at;
            }
        }
        let placed = left.remove(best);
        for &place in &left {
            if let (Some(one), Some(other)) = (&units[placed], &units[place]) {
                let like = one.iter().zip(other).map(|(a, b)| a * b).sum();
                likeness[place] = likeness[place].max(like);
            }
        }
        order.push(hits[placed]);
    }
    hits.copy_from_slice(&order);
}

/// The scores, from 0 for the worst to 1 for the best.
fn relevance(hits: &[Fused<'_>]) -> Vec<f32> {
    let (high, low) = match (hits.first(), hits.last()) {
        (Some(best), Some(worst)) => (best.score, worst.score),
        _ => return Vec::new(),
    };
    let share = |hit: &Fused<'_>| match high > low {
        true => (hit.score - low) / (high - low),
        false => 1.0,
    };
    hits.iter().map(share).collect()
}

/// The vector of a hit's document, or of the piece that was found, of length one.
fn unit(snapshot: &Snapshot, leg: usize, hit: &Fused<'_>) -> Option<Vec<f32>> {
    let key = hit.document.key.text();
    let vector: Vector = snapshot.shards.iter().find_map(|shard| {
        let (slot, _) = shard.documents.by_key(&key)?;
        shard.legs.get(leg)?.vector_of(slot, hit.span)
    })?;
    let mut room = Vec::new();
    let vector = vector.read(&mut room);
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    (length > 0.0).then(|| vector.iter().map(|number| number / length).collect())
}
