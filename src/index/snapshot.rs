//! What readers see: both legs and the documents of all shards at one tick, swapped in with one write.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;

use arc_swap::ArcSwap;
use roaring::RoaringBitmap;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::documents::Documents;
use super::keyword::KeywordState;
use super::pieces::Pieces;
use super::sets::Sets;
use super::vector::{Effort, VectorHit, VectorState};
use super::{Deadline, Document, Slot};
use crate::change::{Span, Tick, Vector};

/// One cut of the stream, immutable. Everything an answer needs is read from one of these.
pub struct Snapshot {
    pub tick: Tick,
    /// The last position read of each partition, as `table/partition`.
    pub positions: Arc<BTreeMap<String, u64>>,
    /// Since this start: when the newest change that was read of a partition was committed at the source, in milliseconds
    /// since 1970; or when it came, where messages name no time.
    pub commits: Arc<BTreeMap<String, u64>>,
    pub counters: Counters,
    pub texts: TextCounters,
    /// Which vectors answer.
    pub sets: Arc<Sets>,
    /// Where rows wait for their vectors before they are shown.
    pub held_back: Option<HeldBack>,
    pub shards: Vec<Arc<ShardState>>,
}

/// What has been read and done up to a snapshot's tick since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub messages: u64,
    /// Row changes decoded, before collapse.
    pub changes: u64,
    /// Row changes that led to no write: overtaken, repeated, or without effect.
    pub collapsed: u64,
    pub texts_embedded: u64,
    /// Documents whose text needed no embedding: shared with another row, unchanged, or known.
    pub texts_saved: u64,
    pub dead_letters: u64,
}

/// How far behind a snapshot is that leaves rows out until their vectors are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// When the row came that has been held back longest.
    pub since: Tick,
    /// Everything read up to these positions is shown. None are known for rows that were held back before the start.
    pub positions: Arc<BTreeMap<String, u64>>,
}

/// What became of texts to embed since the start, and what it has cost.
///
/// `needed` is `saved` and what was asked of the embedder, which was embedded, has failed, was withdrawn or waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextCounters {
    /// Documents, new or changed, that came with a text.
    pub needed: u64,
    pub embedded: u64,
    /// Another document has the same text.
    pub saved_shared: u64,
    /// The document had this text before.
    pub saved_unchanged: u64,
    /// A document had this text once.
    pub saved_cached: u64,
    /// No document had the text any more when its turn came.
    pub withdrawn: u64,
    pub failed: u64,
    /// Spent in the embedder, by all threads together.
    pub micros: u64,
    /// Of the texts embedded, as estimated.
    pub tokens: u64,
}

impl TextCounters {
    /// Documents whose text needed no embedding.
    pub fn saved(&self) -> u64 {
        self.saved_shared + self.saved_unchanged + self.saved_cached
    }

    /// Estimates what a quantity that was spent on the embedded texts would have been for the saved ones.
    pub fn for_saved(&self, spent: u64) -> f64 {
        spent as f64 * self.saved() as f64 / self.embedded.max(1) as f64
    }
}

impl AddAssign for TextCounters {
    fn add_assign(&mut self, more: TextCounters) {
        self.needed += more.needed;
        self.embedded += more.embedded;
        self.saved_shared += more.saved_shared;
        self.saved_unchanged += more.saved_unchanged;
        self.saved_cached += more.saved_cached;
        self.withdrawn += more.withdrawn;
        self.failed += more.failed;
        self.micros += more.micros;
        self.tokens += more.tokens;
    }
}

/// One shard at one tick.
pub struct ShardState {
    pub documents: Documents,
    pub keyword: Arc<KeywordState>,
    /// By vector field, then those of upgrades.
    pub legs: Vec<LegState>,
    pub held: HeldKeys,
}

/// The documents of a shard that are shown as they were before, or not yet, until their vectors are there.
#[derive(Clone, Default)]
pub struct HeldKeys {
    pub(super) keys: imbl::OrdSet<Arc<str>>,
    /// The tick since which the longest-waiting of them waits, where the node itself computes it.
    pub since: Option<Tick>,
}

impl ShardState {
    /// The same with these of its legs, in this order.
    pub fn with_legs(&self, legs: &[u16]) -> ShardState {
        let leg = |number: &u16| self.legs.get(usize::from(*number)).cloned();
        ShardState {
            documents: self.documents.clone(),
            keyword: self.keyword.clone(),
            legs: legs.iter().filter_map(leg).collect(),
            held: self.held.clone(),
        }
    }
}

/// One set of vectors of a shard at one tick.
#[derive(Clone)]
pub struct LegState {
    pub vectors: Arc<VectorState>,
    /// Documents whose current vector is not searchable yet.
    pub pending: usize,
    /// The tick since which the longest-waiting of them waits, where the node itself computes it.
    pub pending_since: Option<Tick>,
    /// Documents that are shown with the vector of a text before.
    pub stale: imbl::OrdSet<Slot>,
    /// Documents whose text the embedder refuses.
    pub failed: usize,
    /// By slot; what is beyond the end is absent.
    pub(super) statuses: imbl::Vector<VectorStatus>,
    /// Where texts are embedded in pieces: which vector is of which piece.
    pub(super) pieces: Option<Pieces>,
}

/// A hit of a vector field: its document, and the part of its text that is nearest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LegHit {
    pub slot: Slot,
    pub span: Span,
    pub score: f32,
}

/// How a document stands with its vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VectorStatus {
    /// There is nothing to embed, or no such document.
    #[default]
    Absent,
    Current,
    /// The vector of a text before is shown; the one of the current text is being computed.
    Stale,
    /// The first vector is being computed.
    Pending,
    /// It could not be computed, and will not be.
    Failed,
}

impl LegState {
    /// How near a document is to a query, by its best piece.
    pub fn score_of(&self, slot: Slot, query: &[f32]) -> Option<f32> {
        let score = |place: &Slot| self.vectors.score_of(*place, query);
        match &self.pieces {
            None => score(&slot),
            Some(pieces) => pieces.of(slot).iter().filter_map(score).max_by(f32::total_cmp),
        }
    }

    /// The score of a hit in full precision; `None` where [`LegState::search`] gives no other.
    pub fn full_score(&self, slot: Slot, span: Span, query: &[f32]) -> Option<f32> {
        let place = match &self.pieces {
            _ if !self.vectors.rounds() => return None,
            None => slot,
            Some(pieces) => {
                let is_of_span = |place: &&Slot| pieces.at(**place).is_some_and(|piece| piece.span == span);
                *pieces.of(slot).iter().find(is_of_span)?
            }
        };
        self.vectors.score_of(place, query)
    }

    /// The vectors of a document: of its pieces, in the order of its text, or the one of all of it.
    pub fn vectors_of(&self, slot: Slot) -> Vec<Vector> {
        let places = match &self.pieces {
            None => std::slice::from_ref(&slot),
            Some(pieces) => pieces.of(slot),
        };
        let vectors = places.iter().filter_map(|place| self.vectors.get(*place));
        vectors.map(|(_, vector)| vector.clone()).collect()
    }

    /// The vector of a part of a document; of its first, where it has no such part.
    pub fn vector_of(&self, slot: Slot, span: Span) -> Option<Vector> {
        let Some(pieces) = &self.pieces else {
            return self.vectors.get(slot).map(|(_, vector)| vector.clone());
        };
        let places = pieces.of(slot);
        let is_of_span = |place: &&Slot| pieces.at(**place).is_some_and(|piece| piece.span == span);
        let place = places.iter().find(is_of_span).or(places.first())?;
        self.vectors.get(*place).map(|(_, vector)| vector.clone())
    }

    /// The documents nearest to a query, best first, each once: at most `limit`, and no fewer where there are so many and
    /// time is left.
    pub fn search(
        &self,
        query: &[f32],
        limit: usize,
        effort: Effort,
        allowed: Option<&RoaringBitmap>,
        deadline: &Deadline,
    ) -> Vec<LegHit> {
        let Some(pieces) = &self.pieces else {
            let hits = self
                .vectors
                .search_until(query, limit, effort, allowed, deadline)
                .into_iter();
            let whole = |VectorHit { slot, score }| LegHit {
                slot,
                span: Span::WHOLE,
                score,
            };
            return hits.map(whole).collect();
        };
        let allowed = allowed.map(|slots| {
            let places = slots.iter().flat_map(|slot| pieces.of(Slot(slot)));
            places.map(|place| place.0).collect::<RoaringBitmap>()
        });
        // How many pieces of one document are among the nearest is not known before.
        let mut asked = 2 * limit;
        loop {
            let found = self
                .vectors
                .search_until(query, asked, effort, allowed.as_ref(), deadline);
            let mut seen = FxHashSet::default();
            let documents = found.iter().filter_map(|hit| {
                let piece = pieces.at(hit.slot)?;
                seen.insert(piece.document).then_some(LegHit {
                    slot: piece.document,
                    span: piece.span,
                    score: hit.score,
                })
            });
            let documents: Vec<LegHit> = documents.take(limit).collect();
            if documents.len() == limit || found.len() < asked || deadline.is_over() {
                return documents;
            }
            asked *= 4;
        }
    }

    /// How the document in a slot stands with its vector.
    pub fn status(&self, slot: Slot) -> VectorStatus {
        self.statuses.get(slot.0 as usize).copied().unwrap_or_default()
    }
}

impl Snapshot {
    /// Before the first tick.
    pub fn empty() -> Snapshot {
        Snapshot {
            tick: Tick(0),
            positions: Arc::default(),
            commits: Arc::default(),
            counters: Counters::default(),
            texts: TextCounters::default(),
            sets: Arc::default(),
            held_back: None,
            shards: Vec::new(),
        }
    }

    /// The document with this key text.
    pub fn document(&self, key: &str) -> Option<&Arc<Document>> {
        self.shards
            .iter()
            .find_map(|shard| shard.documents.by_key(key))
            .map(|(_, document)| document)
    }

    /// The document with this key text, and where it is: its shard and its slot there.
    pub fn find(&self, key: &str) -> Option<(usize, Slot, &Arc<Document>)> {
        let mut shards = self.shards.iter().enumerate();
        shards.find_map(|(number, shard)| {
            let (slot, document) = shard.documents.by_key(key)?;
            Some((number, slot, document))
        })
    }

    /// The document in a slot of a shard.
    pub fn document_at(&self, shard: usize, slot: Slot) -> Option<&Arc<Document>> {
        self.shards.get(shard)?.documents.get(slot)
    }

    /// Whether a vector field shows a vector of the document with this key, be it a stale one.
    pub fn shows(&self, field: u16, key: &str) -> bool {
        let status = |shard: &Arc<ShardState>| {
            let (slot, _) = shard.documents.by_key(key)?;
            Some(shard.legs.get(usize::from(field))?.status(slot))
        };
        let status = self.shards.iter().find_map(status);
        matches!(status, Some(VectorStatus::Current | VectorStatus::Stale))
    }

    /// Visible documents.
    pub fn documents(&self) -> usize {
        self.shards.iter().map(|shard| shard.documents.len()).sum()
    }

    /// Searchable vectors.
    pub fn vectors(&self) -> usize {
        self.legs().map(|leg| leg.vectors.len()).sum()
    }

    /// Searchable vectors that are due for a graph and not in one yet.
    pub fn vectors_unbuilt(&self) -> usize {
        self.legs().map(|leg| leg.vectors.unbuilt()).sum()
    }

    /// Vectors of documents that are current and not searchable yet, and rows that are held back for theirs.
    pub fn vectors_pending(&self) -> usize {
        self.legs().map(|leg| leg.pending).sum::<usize>() + self.rows_held()
    }

    /// Rows that are not shown yet, because their vectors are not there.
    pub fn rows_held(&self) -> usize {
        self.shards.iter().map(|shard| shard.held.keys.len()).sum()
    }

    /// When the row came that has been held back longest.
    pub fn held_since(&self) -> Option<Tick> {
        self.shards.iter().filter_map(|shard| shard.held.since).min()
    }

    /// When the document came that has waited longest for a vector.
    pub fn pending_since(&self) -> Option<Tick> {
        let vectors = self.legs().filter_map(|leg| leg.pending_since);
        vectors.chain(self.held_since()).min()
    }

    /// Vectors that are shown and are those of texts before.
    pub fn vectors_stale(&self) -> usize {
        self.legs().map(|leg| leg.stale.len()).sum()
    }

    /// Vectors that will not be there, since the embedder refuses their texts.
    pub fn vectors_failed(&self) -> usize {
        self.legs().map(|leg| leg.failed).sum()
    }

    /// Those that answer, of all shards.
    fn legs(&self) -> impl Iterator<Item = &LegState> {
        let legs = self.shards.iter().flat_map(|shard| shard.legs.iter().enumerate());
        legs.filter(|(number, _)| self.sets.answers(*number))
            .map(|(_, leg)| leg)
    }

    /// One leg of all shards.
    pub fn leg(&self, number: usize) -> impl Iterator<Item = &LegState> {
        self.shards.iter().filter_map(move |shard| shard.legs.get(number))
    }

    /// Whether both legs show what was read up to `tick`.
    pub fn is_complete_through(&self, tick: Tick) -> bool {
        self.tick >= tick && self.pending_since().is_none_or(|since| since > tick)
    }
}

/// The newest snapshot, and who waits for the next one. Readers never lock and never wait for writers.
pub struct Published {
    current: ArcSwap<Snapshot>,
    ticks: watch::Sender<Tick>,
}

impl Published {
    pub fn new(first: Snapshot) -> Published {
        let ticks = watch::Sender::new(first.tick);
        Published {
            current: ArcSwap::from_pointee(first),
            ticks,
        }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes a snapshot the newest. Ticks of successive snapshots grow.
    pub fn publish(&self, snapshot: Snapshot) {
        let tick = snapshot.tick;
        self.current.store(Arc::new(snapshot));
        self.ticks.send_replace(tick);
    }

    /// The first snapshot, from now on, that satisfies `condition`.
    pub async fn wait_for(&self, condition: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut ticks = self.ticks.subscribe();
        loop {
            let snapshot = self.snapshot();
            if condition(&snapshot) {
                return snapshot;
            }
            // The sender lives in `self`, so the channel is open.
            let _ = ticks.changed().await;
        }
    }
}
