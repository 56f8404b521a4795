//! A hit: its document, how each leg saw it, and where it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::document::write_columns;
use crate::change::Span;
use crate::index::snapshot::{ShardState, VectorStatus};
use crate::index::{Document, Snapshot};
use crate::query::consistency::Sources;
use crate::query::explain::Explanation;
use crate::query::fuse::Fused;
use crate::query::rerank::HitRerank;

/// A document that was found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Hit {
    #[schema(value_type = String)]
    pub key: Arc<str>,
    /// The fused score where both legs answered, else the score of the one that did.
    pub score: f32,
    /// Absent where the keyword leg did not find the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<LegHit>,
    /// Absent where the vector leg did not find the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<LegHit>,
    /// Absent where the hit was not re-ranked. Its place is by this then, and `score` is that from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<HitRerank>,
    /// How the document stands with the vector that was searched; absent where it has none to wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_state: Option<VectorState>,
    /// The part of the document's text that is nearest to the query, where texts are embedded in pieces and the vector is
    /// that of the present text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
    /// How the score came about, where the search asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
    /// What change the document comes from, where the search asks for it and the node knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<HitOrigin>,
    /// What the hit is sorted by, where `sort` was given; null where a value is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<serde_json::Value>,
    /// Where `highlight` was given: the parts of each text that have words of the query. Texts without one are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub highlight: BTreeMap<String, Vec<String>>,
    /// The columns asked for by `fields`, in the order of the index's query.
    #[schema(value_type = Object)]
    pub document: Box<RawValue>,
}

impl Hit {
    /// `columns` are places in the rows of the index, in ascending order.
    pub(in crate::query) fn new(fused: &Fused, vector_state: Option<VectorState>, columns: &[usize]) -> Hit {
        Hit {
            vector_state,
            rerank: None,
            piece: None,
            origin: None,
            explain: None,
            sort: Vec::new(),
            highlight: BTreeMap::new(),
            key: fused.document.key.text().into(),
            score: fused.score,
            keyword: fused.keyword,
            vector: fused.vector,
            document: write_columns(&fused.document.row, columns),
        }
    }
}

/// The change that made a document what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HitOrigin {
    pub table: String,
    pub partition: String,
    pub offset: u64,
    /// The place in the source's own order, where messages tell it: TiCDC: `[commitTs, 0, 0]`. Binlog: number of the file,
    /// position, row. PostgreSQL: `[LSN, 0, 0]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<[u64; 3]>)]
    pub version: Option<(u64, u64, u32)>,
    /// What made the vector that was searched, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl HitOrigin {
    pub(in crate::query) fn new(
        document: &Document,
        sources: &dyn Sources,
        model: Option<&str>,
    ) -> Option<HitOrigin> {
        let version = document.origin?;
        let place = sources.partition(version.partition)?;
        let (table, partition) = place.split_once('/')?;
        Some(HitOrigin {
            table: table.to_owned(),
            partition: partition.to_owned(),
            offset: version.offset.0,
            version: version.source.map(|source| source.order),
            model: model.map(str::to_owned),
        })
    }
}

/// How a document stands with its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VectorState {
    /// The vector is that of the text.
    Current,
    /// The first vector is being computed.
    Pending,
    /// The vector is that of the text before, until that of this one is computed.
    Stale,
    /// The embedder refuses the text: the document is found by its words alone.
    Failed,
}

impl VectorState {
    /// Of the document with this key, for the vector field of this number.
    pub(in crate::query) fn of(snapshot: &Snapshot, field: usize, key: &str) -> Option<VectorState> {
        let found = |shard: &Arc<ShardState>| {
            let (slot, _) = shard.documents.by_key(key)?;
            Some(shard.legs.get(field)?.status(slot))
        };
        match snapshot.shards.iter().find_map(found)? {
            VectorStatus::Absent => None,
            VectorStatus::Current => Some(VectorState::Current),
            VectorStatus::Pending => Some(VectorState::Pending),
            VectorStatus::Stale => Some(VectorState::Stale),
            VectorStatus::Failed => Some(VectorState::Failed),
        }
    }
}

/// A part of a document's text that is embedded by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Piece {
    pub text: String,
    /// Where it begins in what `embed` makes of the document, and where it ends, in characters.
    pub start: usize,
    pub end: usize,
}

impl Piece {
    pub(in crate::query) fn of(text: &str, span: Span) -> Option<Piece> {
        let piece = span.of(text)?;
        let before = match span {
            Span::WHOLE => "",
            Span { start, .. } => text.get(..start as usize)?,
        };
        let start = before.chars().count();
        Some(Piece {
            text: piece.to_owned(),
            start,
            end: start + piece.chars().count(),
        })
    }
}

/// How one leg saw a hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LegHit {
    /// 1 is the best.
    pub rank: usize,
    /// Keyword: BM25. Vector: cosine, dot product, or minus the squared L2 distance.
    pub score: f32,
}
