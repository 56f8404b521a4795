//! How the scores of both legs become one, and which scores count.

use super::cost::HITS_MAX;
use crate::definition::{Fusion, LegAmounts};
use crate::query::QueryError;
use crate::query::request::{FusionRequest, LegWeights, SearchRequest};

/// The greatest `k` and weight of a fusion, as in a dataflow file: scores stay far inside an `f32`.
const AMOUNT_MAX: f32 = 1e6;

pub(super) fn fusion(request: &FusionRequest) -> Result<Fusion, QueryError> {
    let bad = |message: String, hint: &str| QueryError::new("bad_fusion", message, hint);
    let share = |weight: f32| match (0.0..=1.0).contains(&weight) {
        true => Ok(weight),
        false => Err(bad(
            format!("`fusion.weight` is {weight}"),
            "give 0 (keyword leg only) to 1 (vector leg only)",
        )),
    };
    let is_amount = |number: f32| (0.0..=AMOUNT_MAX).contains(&number);
    let amounts = |LegWeights { keyword, vector }: LegWeights| match is_amount(keyword)
        && is_amount(vector)
        && keyword + vector > 0.0
    {
        true => Ok(LegAmounts { keyword, vector }),
        false => Err(bad(
            format!("`fusion.weights` are {keyword} for `keyword` and {vector} for `vector`"),
            "give 0 to 1000000, and more than 0 for one of them",
        )),
    };
    match *request {
        FusionRequest::Relative { weight } => Ok(Fusion::Relative {
            weight: share(weight)?,
        }),
        FusionRequest::Distribution { weight } => Ok(Fusion::Distribution {
            weight: share(weight)?,
        }),
        FusionRequest::Linear { weights } => Ok(Fusion::Linear(amounts(weights)?)),
        FusionRequest::Rrf { k, .. } if !is_amount(k) => Err(bad(
            format!("`fusion.k` is {k}"),
            "give 0 to 1000000; 60 is usual",
        )),
        FusionRequest::Rrf {
            window: Some(window), ..
        } if !(1..=HITS_MAX).contains(&window) => Err(bad(
            format!("`fusion.window` is {window}"),
            "give 1 to 10000, or leave it out",
        )),
        FusionRequest::Rrf { k, weights, window } => Ok(Fusion::Rrf {
            k,
            weights: amounts(weights)?,
            window,
        }),
    }
}

pub(super) fn min_score(request: &SearchRequest) -> Result<Option<f32>, QueryError> {
    match request.min_score {
        Some(score) if score.is_nan() => Err(QueryError::new(
            "bad_min_score",
            "`min_score` is not a number",
            "give a score as hits have it",
        )),
        Some(_) if request.sort.is_some() => Err(QueryError::new(
            "bad_min_score",
            "`min_score` and `sort` do not go together: sorted hits need no score",
            "leave one of them out",
        )),
        score => Ok(score),
    }
}
