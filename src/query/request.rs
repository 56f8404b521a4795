//! What a search asks for, as JSON. Unknown keys are refused; `plan` checks the values.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::consistency::Consistency;
use super::diverse::MmrRequest;
use super::facets::FacetRequest;
use super::filter::FilterRequest;
use super::group::GroupRequest;
use super::highlight::HighlightRequest;
use super::rerank::RerankRequest;
use super::sort::{SortRequest, SortValue};
use super::whole::TotalRequest;

/// A search. Without `query` and `vector`, one that has a `filter`, `sort`, `facets`, `total`, `group_by` or `distinct` lists
/// what the filter lets through, in the order of the keys.
///
/// `total`, `facets` and `sort` are over the whole result: the documents with the words of `query`, together with those that
/// the vector leg has found. That one finds as many as the page needs, and at least 100.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"query": "red shoe", "filter": "price < 50", "limit": 3}))]
pub struct SearchRequest {
    /// What a person typed. Never fails: what is not valid syntax is taken as words; the first 64 KiB count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What the vector leg looks for; without it, the vector leg embeds `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "numbers")]
    #[schema(min_items = 1)]
    pub vector: Option<Vec<f32>>,
    /// The key of a document, in the place of `vector`: the vector leg looks for documents like it, and leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// The model that made `vector`: the search is refused if other vectors than this model's are searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The vector field that the vector leg searches, by its name in `[index.vectors]`; the first where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub using: Option<String>,
    pub mode: Mode,
    /// Whether a document has any (`or`) or all (`and`) of the words of `query`; `or` where left out. What has a sign
    /// in `query` must or must not be there in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// In the place of `operator`: how many of the words, as a number or a share such as `"75%"`, rounded down. Stop words do not
    /// count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_match: Option<MinimumMatchRequest>,
    /// Whether words are also found with typing errors; `auto` where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuzzy: Option<Fuzzy>,
    /// The text fields that are searched by words, each with an optional boost in the place of its own: `["name^2",
    /// "description"]`; all where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_fields: Option<Vec<String>>,
    /// A boolean SQL expression over the index's `fields`, such as `category = 'shoes' AND price < 50`, or the same as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterRequest>,
    /// How many hits to return. `offset + limit` is at most 10,000.
    #[schema(maximum = 10_000, default = 10)]
    pub limit: usize,
    /// How many of the best hits to skip.
    #[schema(maximum = 10_000, default = 0)]
    pub offset: usize,
    /// The columns of the hits' documents: all but ready-made vectors where left out, none where empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    /// How the legs' hits become one list; the index's own way where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion: Option<FusionRequest>,
    /// Hits with a lower score are left out; totals and facets count them all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f32>,
    /// Puts unlike documents among the best hits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mmr: Option<MmrRequest>,
    /// Puts the best hits into the order of the index's re-ranker, if that is done in time; `reranked` says what came of
    /// it. Goes with neither `sort` nor `mmr`, and groups are made afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankRequest>,
    /// Hits say how their scores came about.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub explain: bool,
    /// Width of the graph search, 1 to 10,000: wider finds more of the nearest vectors, and takes longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub ef: Option<usize>,
    /// In the place of `ef`: the share of the nearest vectors to be found, more than 0 and less than 1. How wide
    /// a search that takes is measured on the index's own vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
    pub accuracy: Option<f32>,
    /// How long the search may take, in milliseconds; then the answer is what was found until then, and `timed_out` says
    /// so. The node's own limit where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Which vectors the vector leg may find.
    #[serde(skip_serializing_if = "VectorsWanted::is_any")]
    pub vectors: VectorsWanted,
    /// How fresh the answer has to be; a search waits for that, and fails with 408 where it waits in vain.
    #[serde(skip_serializing_if = "Consistency::is_any")]
    pub consistency: Consistency,
    /// How many milliseconds it waits: 5,000 where left out, at most 60,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// Begins a search by pages: its snapshot is kept so many milliseconds after each page, at most 600,000, and the
    /// answer has a `cursor` where there is a further page. Pages go through the best 10,000 hits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive_ms: Option<u64>,
    /// The next page, by the `cursor` of the one before: the same request otherwise, but for `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Hits say what change their documents come from.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub origin: bool,
    /// In the place of `ef`: every vector that `filter` lets through is compared with the query.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// Whether to count the documents of the result: true, false, or only up to a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<TotalRequest>,
    /// What to count over the whole result, by names of your choosing: at most 32.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, FacetRequest>,
    /// The order of the hits in the place of the best first: fields and `_score`, ties by key. Hits have scores then only if
    /// `_score` is among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<SortRequest>,
    /// Begins behind a hit of a sorted result: what `sort` of the hit has, and then its `key`. Without the key, all documents with
    /// these values are left out. It goes through results of any length, and newer changes are seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub search_after: Option<Vec<SortValue>>,
    /// Hits by the value of a field: `groups` takes the place of `hits`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<GroupRequest>,
    /// A field of which each value is shown once, by its first hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<String>,
    /// Shows where the hits' texts have the words of `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highlight: Option<HighlightRequest>,
    /// What another query language says, in the place of `query`, `vector` and `like`.
    #[serde(skip)]
    #[schema(ignore)]
    pub asked: Option<Box<Asked>>,
}

impl Default for SearchRequest {
    fn default() -> SearchRequest {
        SearchRequest {
            query: None,
            vector: None,
            like: None,
            model: None,
            using: None,
            mode: Mode::default(),
            operator: None,
            minimum_match: None,
            fuzzy: None,
            text_fields: None,
            filter: None,
            limit: 10,
            offset: 0,
            fields: None,
            fusion: None,
            min_score: None,
            mmr: None,
            rerank: None,
            explain: false,
            ef: None,
            accuracy: None,
            timeout_ms: None,
            vectors: VectorsWanted::default(),
            consistency: Consistency::default(),
            wait_ms: None,
            keep_alive_ms: None,
            cursor: None,
            origin: false,
            exact: false,
            total: None,
            facets: BTreeMap::new(),
            sort: None,
            search_after: None,
            group_by: None,
            distinct: None,
            highlight: None,
            asked: None,
        }
    }
}

/// Which legs a search asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Both legs where the index has both and the request has something for both, else the one.
    #[default]
    Hybrid,
    Keyword,
    Vector,
}

impl Mode {
    /// The name in requests and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Hybrid => "hybrid",
            Mode::Keyword => "keyword",
            Mode::Vector => "vector",
        }
    }
}

/// How many of the words of a query a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// One at least.
    Or,
    And,
}

/// How many of the words of a query a document has at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MinimumMatchRequest {
    Words(usize),
    /// `"1%"` to `"100%"`.
    Share(String),
}

/// Whether words are also found with typing errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fuzzy {
    /// In queries of up to 32 words: one edit from five letters on, two from nine on. The first letter stands, and words with
    /// digits are meant as they are written. What is found so alone comes behind all else.
    Auto,
    Off,
}

/// Which vectors the vector leg may find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VectorsWanted {
    /// Stale ones too: until the vector of a changed text is there, the one before is searched.
    #[default]
    Any,
    Current,
}

impl VectorsWanted {
    fn is_any(&self) -> bool {
        *self == VectorsWanted::Any
    }
}

/// How the two legs' hits become one list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum FusionRequest {
    /// `weight` times the vector leg's min-max-normalised score plus `1 - weight` times the keyword score
    /// over its maximum. `weight` is 0 to 1.
    Relative { weight: f32 },
    /// The same, with scores normalised by their distribution over a leg's best 100: three standard deviations below the mean
    /// are 0, three above 1.
    Distribution { weight: f32 },
    /// The sum over the legs of `weight` times the score as it is.
    Linear {
        #[serde(default)]
        weights: LegWeights,
    },
    /// Reciprocal rank: the sum over the legs of `weight / (k + rank)`.
    Rrf {
        #[serde(default = "rrf_k")]
        k: f32,
        #[serde(default)]
        weights: LegWeights,
        /// How many of each leg's best hits count, 1 to 10,000; all that were found where left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<usize>,
    },
}

/// The constant of the paper that introduced reciprocal rank fusion, and of everyone since.
fn rrf_k() -> f32 {
    60.0
}

/// Numbers of 32 bits. One that is too large for them is infinite here: by its place it is refused, not by the JSON's line.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<f32>>, D::Error> {
    let numbers: Option<Vec<f64>> = Deserialize::deserialize(deserializer)?;
    Ok(numbers.map(|numbers| numbers.into_iter().map(|number| number as f32).collect()))
}

/// What each leg counts in `rrf` and `linear`; 1 where left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LegWeights {
    pub keyword: f32,
    pub vector: f32,
}

impl Default for LegWeights {
    fn default() -> LegWeights {
        LegWeights {
            keyword: 1.0,
            vector: 1.0,
        }
    }
}
