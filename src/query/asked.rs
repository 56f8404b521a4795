//! What another query language than that of `query` asks of the legs. No JSON of a search has it: `server/opensearch` makes it.

use crate::change::Datum;
use crate::definition::{Fusion, Metric};
use crate::index::keyword::KeywordQuery;

/// What the legs are asked. Without words and without a vector, nothing is searched for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// What the keyword leg looks for, where it is asked.
    pub words: Option<KeywordQuery>,
    /// What the vector leg looks for, where it is asked.
    pub nearest: Option<AskedNearest>,
    /// How the legs' hits become one list; as the request says where left out.
    pub fusion: Option<Fusion>,
    /// The words that are highlighted.
    pub highlighted: Option<String>,
    /// Where the result is sorted: it begins behind these values, one for each key. `None`: a missing value.
    pub after: Option<Vec<Option<Datum>>>,
    /// Of the documents with just those values, the ones behind this key text belong to it too.
    pub after_key: Option<String>,
}

/// What the vector leg is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedNearest {
    pub vector: Vec<f32>,
    /// How many documents it finds, whatever the page.
    pub k: usize,
    /// What it may find; everything where left out.
    pub among: Option<KeywordQuery>,
}

/// The score of a vector as one of at least 0, as OpenSearch gives it: the order stays as it was.
pub(super) fn similarity(metric: Metric, score: f32) -> f32 {
    match metric {
        Metric::Cosine => ((1.0 + score) / 2.0).max(0.0),
        Metric::Dot if score >= 0.0 => 1.0 + score,
        Metric::Dot => 1.0 / (1.0 - score),
        // Ours is minus the squared distance.
        Metric::L2 => 1.0 / (1.0 - score),
    }
}
