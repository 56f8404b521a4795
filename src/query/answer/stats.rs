//! What an index holds, for all and for a caller who sees a part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::Tick;
use crate::embed::Health;
use crate::index::snapshot::VectorStatus;
use crate::index::{Slot, Snapshot};

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
    pub embedders: BTreeMap<String, ServiceHealth>,
    /// How the service behind the re-ranker is doing at this moment; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranker: Option<ServiceHealth>,
}

impl Stats {
    pub(in crate::query) fn new(snapshot: &Snapshot, price_per_million_tokens: Option<f64>) -> Stats {
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
            reranker: None,
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
    pub(in crate::query) fn new(snapshot: &Snapshot, slots: &[RoaringBitmap]) -> OwnStats {
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

/// How a service that embeds or re-ranks is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceHealth {
    /// `closed`: it is asked. `open`: it failed again and again, and is left alone. `half-open`: one request finds out
    /// whether it is back.
    pub breaker: String,
    /// Requests that it may be asked at once now; fewer after it has answered 429.
    pub requests_max: usize,
    /// Why the last request failed; absent since one has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Health> for ServiceHealth {
    fn from(health: Health) -> ServiceHealth {
        ServiceHealth {
            breaker: health.breaker.name().to_owned(),
            requests_max: health.requests_max,
            reason: health.reason,
        }
    }
}
