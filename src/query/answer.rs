//! What a search answers, as JSON: hits with their documents, and the cut of the stream they belong to.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::consistency::Sources;
use super::explain::Explanation;
use super::facets::FacetAnswer;
use super::fuse::Fused;
use super::rerank::{HitRerank, Reranked};
use super::whole::Total;
use crate::change::{Row, Span, Tick, write_json_object};
use crate::embed::Health;
use crate::index::snapshot::{ShardState, VectorStatus};
use crate::index::{Document, Slot, Snapshot};

/// The hits of a search, best first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SearchAnswer {
    /// Empty where there are `groups`.
    pub hits: Vec<Hit>,
    /// Where `group_by` was given: those of the best hits first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
    /// Where `total` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Total>,
    /// Where `facets` were given, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, FacetAnswer>,
    pub as_of: AsOf,
    /// Milliseconds that the search took; absent in a replay, whose output must not depend on time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Asks for the next page, where there is one and the search goes by pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether time was over before everything was looked at: there may be better hits. Absent where it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// Where `rerank` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<Reranked>,
    /// The legs that were asked and could not answer; absent where none failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedLeg>,
}

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
    pub(super) fn new(document: &Document, sources: &dyn Sources, model: Option<&str>) -> Option<HitOrigin> {
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
    pub(super) fn of(snapshot: &Snapshot, field: usize, key: &str) -> Option<VectorState> {
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

impl Hit {
    /// `columns` are places in the rows of the index, in ascending order.
    pub(super) fn new(fused: &Fused, vector_state: Option<VectorState>, columns: &[usize]) -> Hit {
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

/// The hits that have one value of the field that they are grouped by.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Null for hits without a value.
    pub value: serde_json::Value,
    pub hits: Vec<Hit>,
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
    pub(super) fn of(text: &str, span: Span) -> Option<Piece> {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    Keyword,
    Vector,
}

impl Leg {
    pub(super) fn name(self) -> &'static str {
        match self {
            Leg::Keyword => "keyword",
            Leg::Vector => "vector",
        }
    }
}

/// A leg that was asked and could not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedLeg {
    pub leg: Leg,
    pub reason: String,
}

/// The cut of the stream that an answer was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsOf {
    #[schema(value_type = u64)]
    pub tick: Tick,
    /// The last position read of each partition, as `table/partition`.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub positions: Arc<BTreeMap<String, u64>>,
    /// How many milliseconds the answer is behind what the sources are known to hold: 0 where all that has been read,
    /// else the age of the newest commit shown of the partition that is farthest behind. Absent where that is not known, and in
    /// a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staleness_ms: Option<u64>,
    /// The oldest row that was read and is not shown yet, since its vector is not there; absent where there is none, and
    /// always unless `freshness = "together"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<OldestHeld>,
}

/// The oldest row that was read and is not shown yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OldestHeld {
    /// When it came.
    #[schema(value_type = u64)]
    pub tick: Tick,
    /// Everything up to these positions, as `table/partition`, is shown. Without any: of what was held back when the
    /// node started, no position is known.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub shown_through: Arc<BTreeMap<String, u64>>,
}

impl AsOf {
    pub(super) fn new(snapshot: &Snapshot) -> AsOf {
        AsOf {
            tick: snapshot.tick,
            positions: snapshot.positions.clone(),
            staleness_ms: None,
            held_back: snapshot.held_back.as_ref().map(|held| OldestHeld {
                tick: held.since,
                shown_through: held.positions.clone(),
            }),
        }
    }
}

/// One document, by its key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentAnswer {
    #[schema(value_type = String)]
    pub key: Arc<str>,
    /// Every column of the index's query, in its order, ready-made vectors too.
    #[schema(value_type = Object)]
    pub document: Box<RawValue>,
    pub as_of: AsOf,
}

impl DocumentAnswer {
    pub(super) fn new(document: &Document, snapshot: &Snapshot) -> DocumentAnswer {
        let columns: Vec<usize> = (0..document.row.columns().names().len()).collect();
        DocumentAnswer {
            key: document.key.text().into(),
            document: write_columns(&document.row, &columns),
            as_of: AsOf::new(snapshot),
        }
    }
}

/// What an index holds and what was done for it, all at one tick. Counts begin with the start of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Visible documents.
    pub documents: usize,
    /// Searchable vectors.
    pub vectors: usize,
    /// Documents whose current vector is not searchable yet.
    pub vectors_pending: usize,
    /// Those of them that are shown with the vector of a text before.
    pub vectors_stale: usize,
    /// Those of them that the vector leg does not show at all yet, held back or not.
    pub vectors_missing: usize,
    /// Documents without a vector, since the embedder refuses their text.
    pub vectors_failed: usize,
    /// Rows that are shown as they were before, or not yet, until their vectors are there: with
    /// `freshness = "together"`.
    pub rows_held: usize,
    /// Searchable vectors that are not in a graph yet and due to be.
    pub vectors_unbuilt: usize,
    #[schema(value_type = u64)]
    pub tick: Tick,
    /// The last position read of each partition, as `table/partition`.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub positions: Arc<BTreeMap<String, u64>>,
    pub messages: u64,
    /// Row changes decoded, upserts and deletes, before collapse.
    pub changes: u64,
    /// Row changes that led to no write: overtaken, repeated, or without effect.
    pub collapsed: u64,
    /// Documents, new or changed, that came with a text to embed. Each is among `texts_saved`, or its text was asked of
    /// the embedder: that was embedded, has failed, was withdrawn, or waits.
    pub texts_needed: u64,
    pub texts_embedded: u64,
    /// Documents whose text needed no embedding: shared with another row, unchanged, or known.
    pub texts_saved: u64,
    /// Those of them whose text another document has.
    pub texts_saved_shared: u64,
    /// Those of them that had the text before they changed.
    pub texts_saved_unchanged: u64,
    /// Those of them whose text was in use before, and its vector still known.
    pub texts_saved_cached: u64,
    /// Texts that no document had any more when their turn came.
    pub texts_withdrawn: u64,
    /// Texts that the embedder refuses for good.
    pub texts_failed: u64,
    /// Spent in the embedder, by all its threads together.
    pub embedding_seconds: f64,
    /// What the saved texts would have taken, had they been like those embedded.
    pub embedding_seconds_saved: f64,
    /// Of the texts embedded: estimated as a quarter of their bytes, as is usual for English.
    pub embedding_tokens: u64,
    /// What the saved texts would have cost, had they been like those embedded; absent without
    /// `price_per_million_tokens`, in whose currency it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_money_saved: Option<f64>,
    pub dead_letters: u64,
    /// How the services behind embedders are doing at this moment, by vector field; absent where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub embedders: BTreeMap<String, EmbedderHealth>,
}

impl Stats {
    pub(super) fn new(snapshot: &Snapshot, price_per_million_tokens: Option<f64>) -> Stats {
        let (counters, texts) = (snapshot.counters, snapshot.texts);
        let money_saved = |price: f64| price * texts.for_saved(texts.tokens) / 1e6;
        Stats {
            documents: snapshot.documents(),
            vectors: snapshot.vectors(),
            vectors_pending: snapshot.vectors_pending(),
            vectors_stale: snapshot.vectors_stale(),
            vectors_missing: snapshot
                .vectors_pending()
                .saturating_sub(snapshot.vectors_stale()),
            vectors_failed: snapshot.vectors_failed(),
            rows_held: snapshot.rows_held(),
            vectors_unbuilt: snapshot.vectors_unbuilt(),
            tick: snapshot.tick,
            positions: snapshot.positions.clone(),
            messages: counters.messages,
            changes: counters.changes,
            collapsed: counters.collapsed,
            texts_needed: texts.needed,
            texts_embedded: counters.texts_embedded,
            texts_saved: counters.texts_saved,
            texts_saved_shared: texts.saved_shared,
            texts_saved_unchanged: texts.saved_unchanged,
            texts_saved_cached: texts.saved_cached,
            texts_withdrawn: texts.withdrawn,
            texts_failed: texts.failed,
            embedding_seconds: texts.micros as f64 / 1e6,
            embedding_seconds_saved: texts.for_saved(texts.micros) / 1e6,
            embedding_tokens: texts.tokens,
            embedding_money_saved: price_per_million_tokens.map(money_saved),
            dead_letters: counters.dead_letters,
            embedders: BTreeMap::new(),
        }
    }
}

/// What an index holds for a caller who does not see all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OwnStats {
    /// Documents that the caller sees.
    pub documents: usize,
    /// Those of them that the vector leg finds; each once for each vector field.
    pub vectors: usize,
    /// Those of them whose current vector is not searchable yet.
    pub vectors_pending: usize,
    /// Those of them that are shown with the vector of a text before.
    pub vectors_stale: usize,
    /// Those of them without a vector, since the embedder refuses their text.
    pub vectors_failed: usize,
    #[schema(value_type = u64)]
    pub tick: Tick,
    /// The last position read of each partition, as `table/partition`: what answers are as of.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub positions: Arc<BTreeMap<String, u64>>,
}

impl OwnStats {
    /// Of the documents in these slots, by shard.
    pub(super) fn new(snapshot: &Snapshot, slots: &[RoaringBitmap]) -> OwnStats {
        let mut own = OwnStats {
            documents: slots.iter().map(|slots| slots.len() as usize).sum(),
            vectors: 0,
            vectors_pending: 0,
            vectors_stale: 0,
            vectors_failed: 0,
            tick: snapshot.tick,
            positions: snapshot.positions.clone(),
        };
        for (shard, slots) in snapshot.shards.iter().zip(slots) {
            let legs = shard.legs.iter().enumerate();
            for (_, leg) in legs.filter(|(number, _)| snapshot.sets.answers(*number)) {
                for slot in slots {
                    let status = leg.status(Slot(slot));
                    let (is_stale, is_current) =
                        (status == VectorStatus::Stale, status == VectorStatus::Current);
                    own.vectors += usize::from(is_current || is_stale);
                    own.vectors_stale += usize::from(is_stale);
                    own.vectors_pending += usize::from(is_stale || status == VectorStatus::Pending);
                    own.vectors_failed += usize::from(status == VectorStatus::Failed);
                }
            }
        }
        own
    }
}

impl From<OwnStats> for Stats {
    fn from(own: OwnStats) -> Stats {
        Stats {
            documents: own.documents,
            vectors: own.vectors,
            vectors_pending: own.vectors_pending,
            vectors_stale: own.vectors_stale,
            vectors_missing: own.vectors_pending - own.vectors_stale,
            vectors_failed: own.vectors_failed,
            tick: own.tick,
            positions: own.positions,
            ..Stats::default()
        }
    }
}

/// How the service behind an embedder is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbedderHealth {
    /// `closed`: it is asked. `open`: it failed again and again, and is left alone. `half-open`: one request finds out
    /// whether it is back.
    pub breaker: String,
    /// Requests that it may be asked at once now; fewer after it has answered 429.
    pub requests_max: usize,
    /// Why the last request failed; absent since one has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Health> for EmbedderHealth {
    fn from(health: Health) -> EmbedderHealth {
        EmbedderHealth {
            breaker: health.breaker.name().to_owned(),
            requests_max: health.requests_max,
            reason: health.reason,
        }
    }
}

/// Columns of a row as a JSON object. Written by hand, so that they keep their order and decimals their digits.
fn write_columns(row: &Row, columns: &[usize]) -> Box<RawValue> {
    let names = row.columns().names();
    let fields = columns
        .iter()
        .filter_map(|&column| Some((&**names.get(column)?, row.value(column)?)));
    let mut json = Vec::new();
    write_json_object(fields, &mut json);
    let raw = String::from_utf8(json)
        .ok()
        .and_then(|json| RawValue::from_string(json).ok());
    debug_assert!(raw.is_some(), "a row is written as valid JSON: {row:?}");
    raw.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::fuse::Fused;
    use super::*;
    use crate::change::{Columns, Datum, Key, Vector};

    fn document() -> Document {
        let row = Row::new(
            Columns::new(["name", "id", "price", "embedding"]),
            vec![
                Datum::text("red \"shoe\""),
                Datum::Int(28),
                Datum::Decimal("19.90".into()),
                Datum::Vector(Vector::from([0.5, -1.0])),
            ],
        );
        Document::new(Key::new([Datum::Int(28)]), row)
    }

    fn as_of() -> AsOf {
        let positions = BTreeMap::from([("products/1".to_owned(), 7), ("products/0".to_owned(), 120)]);
        AsOf {
            tick: Tick(9),
            positions: positions.into(),
            staleness_ms: None,
            held_back: None,
        }
    }

    fn check(answer: &SearchAnswer, expected: Expect) {
        let json = serde_json::to_string(answer).unwrap();
        expected.assert_eq(&json);
        let read: SearchAnswer = serde_json::from_str(&json).unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            json,
            "a client reads back what was written"
        );
    }

    #[test]
    fn a_hit_names_its_legs_and_the_columns_asked_for() {
        let document = document();
        let leg = |rank, score| Some(LegHit { rank, score });
        let fused = Fused {
            document: &document,
            score: 0.92,
            keyword: leg(1, 7.5),
            vector: leg(12, 0.31),
            span: Span::WHOLE,
        };
        let keyword_only = Fused {
            document: &document,
            score: 7.5,
            keyword: leg(1, 7.5),
            vector: None,
            span: Span::WHOLE,
        };
        let answer = SearchAnswer {
            hits: vec![
                Hit::new(&fused, None, &[0, 1, 2]),
                Hit::new(&keyword_only, Some(VectorState::Failed), &[]),
            ],
            groups: None,
            total: None,
            facets: BTreeMap::new(),
            as_of: as_of(),
            took_ms: Some(0.412),
            cursor: None,
            timed_out: false,
            reranked: None,
            failed: vec![],
        };
        check(
            &answer,
            expect![[
                r#"{"hits":[{"key":"28","score":0.92,"keyword":{"rank":1,"score":7.5},"vector":{"rank":12,"score":0.31},"document":{"name":"red \"shoe\"","id":28,"price":"19.90"}},{"key":"28","score":7.5,"keyword":{"rank":1,"score":7.5},"vector_state":"failed","document":{}}],"as_of":{"tick":9,"positions":{"products/0":120,"products/1":7}},"took_ms":0.412}"#
            ]],
        );
    }

    #[test]
    fn an_answer_names_the_leg_that_failed_and_may_leave_out_its_time() {
        let failed = vec![FailedLeg {
            leg: Leg::Vector,
            reason: "embed with model m: refused".to_owned(),
        }];
        let answer = SearchAnswer {
            hits: vec![],
            groups: None,
            total: None,
            facets: BTreeMap::new(),
            as_of: as_of(),
            took_ms: None,
            cursor: None,
            timed_out: false,
            reranked: None,
            failed,
        };
        check(
            &answer,
            expect![[
                r#"{"hits":[],"as_of":{"tick":9,"positions":{"products/0":120,"products/1":7}},"failed":[{"leg":"vector","reason":"embed with model m: refused"}]}"#
            ]],
        );
    }

    #[test]
    fn all_columns_of_a_row_are_written_in_their_order() {
        let expected = r#"{"name":"red \"shoe\"","id":28,"price":"19.90","embedding":[0.5,-1.0]}"#;
        assert_eq!(write_columns(&document().row, &[0, 1, 2, 3]).get(), expected);
    }
}
