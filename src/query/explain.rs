//! How a hit's score came about.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fuse::{Fused, Share, Shares};
use super::{LegHit, SearchedField};
use crate::definition::Metric;
use crate::index::keyword::KeywordExplained;

/// How the score of a hit came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Where both legs answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion: Option<FusionExplained>,
    /// Where the keyword leg has found the document: by word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<KeywordExplained>,
    /// Where the vector leg has found the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorExplained>,
    /// Where the hit was re-ranked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankExplained>,
}

/// The score is the sum of what the legs add.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FusionExplained {
    pub method: String,
    pub keyword: ShareExplained,
    pub vector: ShareExplained,
}

/// What one leg adds to the score: `worth` times `weight`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShareExplained {
    /// The leg's score, normalised as the method does it; for `rrf`, one over `k` and rank.
    pub worth: f64,
    pub weight: f64,
    pub adds: f64,
}

/// What the vector leg compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VectorExplained {
    /// The vector field.
    pub field: String,
    /// What made the vectors, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the score is: `cosine`, `dot`, or `l2`, whose squared distance is taken negative.
    pub metric: String,
    pub score: f32,
}

/// What the re-ranker compares with the query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RerankExplained {
    pub model: String,
    /// What of the document it was given, of which it may read the beginning only.
    pub text: String,
    /// As the model gives it: hits are in the order of these.
    pub score: f32,
}

pub(super) fn explain(
    hit: &Fused<'_>,
    shares: Option<&Shares>,
    keyword: Option<KeywordExplained>,
    field: Option<&SearchedField>,
) -> Explanation {
    let vector = |(field, LegHit { score, .. }): (&SearchedField, LegHit)| VectorExplained {
        field: field.name.clone(),
        model: field.model.clone(),
        metric: match field.metric {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::L2 => "l2",
        }
        .to_owned(),
        score,
    };
    Explanation {
        fusion: shares.map(|shares| {
            let [keyword, vector] = shares.of(hit).map(ShareExplained::from);
            FusionExplained {
                method: shares.method.to_owned(),
                keyword,
                vector,
            }
        }),
        keyword,
        vector: field.zip(hit.vector).map(vector),
        rerank: None,
    }
}

impl From<Share> for ShareExplained {
    fn from(Share { worth, weight }: Share) -> ShareExplained {
        ShareExplained {
            worth,
            weight,
            adds: worth * weight,
        }
    }
}
