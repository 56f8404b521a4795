//! Puts a tick's parts together and publishes them with one write.
//!
//! Workers hand in what belongs to a tick while it runs: positions read, counts, shard states. When every worker
//! has let go of the tick, [`Publisher::publish`] composes all of it, up to that tick, into one snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::lane;
use super::trail::Trail;
use super::upgrade::Order;
use crate::change::{Offset, Tick};
use crate::index::snapshot::{Counters, HeldBack, ShardState, TextCounters};
use crate::index::{Phase, Progress, Published, SecondSet, Sets, Snapshot};
use crate::metrics::{Leg, Metrics, Texts};

/// Batches whose vectors are awaited to measure their freshness; of more than these the oldest go unmeasured.
const AWAITED_MAX: usize = 10_000;

/// Collects what belongs to each tick; shared by the workers of a node.
pub struct Publisher {
    published: Arc<Published>,
    metrics: Metrics,
    ledger: Mutex<Ledger>,
}

/// What one worker did within one tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub messages: u64,
    pub changes: u64,
    /// Keys whose row is another one than before.
    pub writes: u64,
    pub texts: TextCounters,
    pub dead_letters: u64,
}

/// How far a partition was read into a tick.
#[derive(Clone)]
pub struct Reading {
    /// `table/partition`.
    pub partition: Arc<str>,
    pub last: Offset,
    /// When the source committed the oldest of the changes, in milliseconds since 1970, where messages say.
    pub committed_ms: Option<i64>,
    /// The same of the newest.
    pub newest_ms: Option<i64>,
    pub arrived: Instant,
}

/// How a lane stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneState {
    /// Texts that wait for the embedder.
    pub waiting: usize,
    /// Texts that it has answered.
    pub known: usize,
    /// Since the start.
    pub embedded: u64,
    pub tokens: u64,
}

/// What a cut takes of the tick published last.
pub struct Newest {
    pub positions: BTreeMap<String, u64>,
    pub shards: Vec<Arc<ShardState>>,
    pub sets: Sets,
    /// Lanes whose texts nobody needs any more, since this was asked last.
    pub forgotten: Vec<u32>,
}

#[derive(Default)]
struct Ledger {
    /// Not yet published.
    ticks: BTreeMap<Tick, Entry>,
    total: Counters,
    texts: TextCounters,
    positions: Arc<BTreeMap<String, u64>>,
    commits: Arc<BTreeMap<String, u64>>,
    shards: BTreeMap<usize, Arc<ShardState>>,
    /// By worker and leg.
    lanes: BTreeMap<(usize, u16), LaneState>,
    sets: Sets,
    /// Documents that have not gone into the second set yet, by worker.
    unfed: BTreeMap<usize, usize>,
    /// The tick at which all had.
    fed_at: Option<Tick>,
    /// When the second set was begun, or this node.
    second_since: Option<Instant>,
    forgotten: Vec<u32>,
    /// Readings that the keyword leg, and the vector leg, may not show yet.
    awaited: [VecDeque<(Tick, Reading)>; 2],
    trail: Trail,
}

#[derive(Default)]
struct Entry {
    counts: Counts,
    readings: Vec<Reading>,
    shards: Vec<(usize, Arc<ShardState>)>,
}

impl Publisher {
    pub fn new(published: Arc<Published>, metrics: Metrics) -> Publisher {
        Publisher {
            published,
            metrics,
            ledger: Mutex::default(),
        }
    }

    /// Goes on from stored positions.
    pub fn restore(&self, positions: BTreeMap<String, u64>) {
        self.ledger().positions = Arc::new(positions);
    }

    /// Leaves a tick out of the counts: what recovery brings back has been counted by the run before. What it asks of
    /// the embedder is for this one to do.
    pub fn uncount(&self, tick: Tick) {
        self.count(tick, |counts| {
            *counts = Counts {
                texts: TextCounters {
                    needed: counts.texts.needed - counts.texts.saved(),
                    saved_shared: 0,
                    saved_unchanged: 0,
                    saved_cached: 0,
                    ..counts.texts
                },
                ..Counts::default()
            };
        });
    }

    /// Says which sets of vectors there are, and of which lanes nobody needs the texts any more.
    pub fn begin_sets(&self, sets: Sets, forgotten: Vec<u32>) {
        let mut ledger = self.ledger();
        ledger.sets = sets;
        ledger.forgotten = forgotten;
    }

    /// The second set as it was published last.
    pub fn second(&self) -> Option<SecondSet> {
        self.ledger().sets.second.clone()
    }

    /// Does the publisher's part of an order, before its tick is published.
    pub fn obey(&self, order: &Order) {
        let mut ledger = self.ledger();
        let ledger = &mut *ledger;
        match order {
            Order::Begin(beginning) => {
                ledger.fed_at = None;
                ledger.second_since = None;
                ledger.sets.second = Some(SecondSet {
                    field: beginning.number,
                    set: beginning.set.clone(),
                    phase: Phase::Building,
                    progress: Progress::default(),
                });
            }
            Order::Switch => ledger.sets.switch(),
            Order::Drop => {
                if let Some(second) = ledger.sets.second.take() {
                    ledger.lanes.retain(|(_, leg), _| *leg != second.set.leg);
                    ledger.unfed.clear();
                    let field = ledger.sets.fields.get(usize::from(second.field));
                    let lane = field.map(|field| lane::Texts::lane_of(&field.name, &second.set.model));
                    ledger.forgotten.extend(lane);
                }
            }
        }
    }

    /// Notes how many documents of a worker have not gone into the second set yet.
    pub fn note_unfed(&self, worker: usize, documents: usize) {
        self.ledger().unfed.insert(worker, documents);
    }

    /// What belongs to the tick published last, before anything of a later one.
    pub fn newest(&self) -> Newest {
        let mut ledger = self.ledger();
        Newest {
            positions: (*ledger.positions).clone(),
            shards: ledger.shards.values().cloned().collect(),
            sets: ledger.sets.clone(),
            forgotten: std::mem::take(&mut ledger.forgotten),
        }
    }

    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Adds to the counts of a tick.
    pub fn count(&self, tick: Tick, add: impl FnOnce(&mut Counts)) {
        add(&mut self.ledger().ticks.entry(tick).or_default().counts);
    }

    /// Notes that a tick covers a partition up to a position.
    pub fn read(&self, tick: Tick, reading: Reading) {
        self.ledger()
            .ticks
            .entry(tick)
            .or_default()
            .readings
            .push(reading);
    }

    /// Hands in a shard's state as of a tick, before the worker lets go of it.
    pub fn register(&self, tick: Tick, shard: usize, state: Arc<ShardState>) {
        self.ledger()
            .ticks
            .entry(tick)
            .or_default()
            .shards
            .push((shard, state));
    }

    /// Notes how many documents came back otherwise than they were stored.
    pub fn corrected(&self, documents: u64) {
        self.metrics.documents_corrected(documents);
        if documents > 0 {
            tracing::warn!(
                documents,
                "stored documents did not fit their rows, and were made anew"
            );
        }
    }

    /// Notes how a lane, by worker and leg, stands.
    pub fn note_lane(&self, lane: (usize, u16), state: LaneState) {
        self.ledger().lanes.insert(lane, state);
    }

    /// Publishes everything up to `tick`, which all workers have let go of.
    pub fn publish(&self, tick: Tick) {
        let mut ledger = self.ledger();
        let later = ledger.ticks.split_off(&Tick(tick.0 + 1));
        let mut readings = Vec::new();
        for (at, mut entry) in std::mem::replace(&mut ledger.ticks, later) {
            // Two workers that took batches of one partition may have noted them in either order.
            entry.readings.sort_by_key(|reading| reading.last);
            add(&mut ledger.total, &entry.counts);
            ledger.shards.extend(entry.shards);
            self.metrics.collapsed(entry.counts.collapsed());
            ledger.texts += entry.counts.texts;
            self.metrics.texts(&entry.counts.texts.into());
            for reading in entry.readings {
                Arc::make_mut(&mut ledger.positions).insert(reading.partition.to_string(), reading.last.0);
                note_commit(Arc::make_mut(&mut ledger.commits), &reading);
                readings.push((at, reading));
            }
        }
        let mut snapshot = Snapshot {
            tick,
            positions: ledger.positions.clone(),
            commits: ledger.commits.clone(),
            counters: ledger.total,
            texts: ledger.texts,
            sets: Arc::default(),
            held_back: None,
            shards: ledger.shards.values().cloned().collect(),
        };
        ledger.look_at_second(&snapshot);
        snapshot.sets = Arc::new(ledger.sets.clone());
        let held_since = snapshot.held_since();
        let shown = ledger.trail.step(tick, snapshot.positions.clone(), held_since);
        snapshot.held_back = held_since.map(|since| HeldBack {
            since,
            positions: shown,
        });
        let waiting = [
            (Leg::Keyword, held_since),
            (Leg::Vector, snapshot.pending_since()),
        ];
        let texts = ledger.lanes.values().map(|lane| lane.waiting).sum();
        self.metrics.set_embed_texts(texts);
        self.metrics.set_documents(snapshot.documents());
        self.metrics.set_vectors(
            snapshot.vectors(),
            snapshot.vectors_pending(),
            snapshot.vectors_unbuilt(),
        );
        self.published.publish(snapshot);
        self.measure(&mut ledger, readings, waiting);
    }

    /// Notes how old what has just become searchable is: once per batch of changes and leg, by its oldest.
    /// `waiting` is since when something waits to be shown, by leg.
    fn measure(
        &self,
        ledger: &mut Ledger,
        readings: Vec<(Tick, Reading)>,
        waiting: [(Leg, Option<Tick>); 2],
    ) {
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_millis() as i64);
        let note = |leg: Leg, reading: &Reading| {
            let here = reading.arrived.elapsed();
            let committed = reading
                .committed_ms
                .map(|committed_ms| now_ms.saturating_sub(committed_ms) as f64 / 1000.0);
            self.metrics.fresh(leg, committed.unwrap_or(here.as_secs_f64()));
            self.metrics.searchable(leg, here);
        };
        for ((leg, since), awaited) in waiting.into_iter().zip(&mut ledger.awaited) {
            awaited.extend(readings.iter().cloned());
            let complete = |tick: Tick| since.is_none_or(|since| since > tick);
            while let Some((_, reading)) = awaited.pop_front_if(|(tick, _)| complete(*tick)) {
                note(leg, &reading);
            }
            let excess = awaited.len().saturating_sub(AWAITED_MAX);
            awaited.drain(..excess);
        }
    }

    /// The ledger is whole even after a panic elsewhere: each method leaves it so.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Notes how far the second set is. It is complete when it lacks no vector that was awaited when the last document
    /// had gone in; or no more of them than the set that answers, which changes may keep from ever having all. A set
    /// whose model has refused more documents than the other one never is by itself.
    fn look_at_second(&mut self, snapshot: &Snapshot) {
        let Some(second) = &mut self.sets.second else {
            return;
        };
        let of_second = self.lanes.iter().filter(|((_, leg), _)| *leg == second.set.leg);
        let mut progress = Progress {
            documents_left: self.unfed.values().sum(),
            millis: self
                .second_since
                .get_or_insert_with(Instant::now)
                .elapsed()
                .as_millis() as u64,
            ..Progress::default()
        };
        for (_, lane) in of_second {
            progress.texts_done += lane.known;
            progress.texts_waiting += lane.waiting;
            progress.texts_embedded += lane.embedded;
            progress.tokens += lane.tokens;
        }
        second.progress = progress;
        if second.phase != Phase::Building || progress.documents_left > 0 {
            return;
        }
        let fed_at = *self.fed_at.get_or_insert(snapshot.tick);
        let answering = self.sets.answering.get(usize::from(second.field));
        let pending = |leg: u16| -> usize { snapshot.leg(leg.into()).map(|leg| leg.pending).sum() };
        let since = snapshot
            .leg(second.set.leg.into())
            .filter_map(|leg| leg.pending_since);
        let failed = |leg: u16| -> usize { snapshot.leg(leg.into()).map(|leg| leg.failed).sum() };
        let of_answering =
            |count: &dyn Fn(u16) -> usize| answering.map_or(0, |answering| count(answering.leg));
        second.progress.is_through = since.min().is_none_or(|since| since > fed_at)
            || pending(second.set.leg) <= of_answering(&pending);
        if second.progress.is_through && failed(second.set.leg) <= of_answering(&failed) {
            second.phase = Phase::Complete;
        }
    }
}

/// Notes the time of the newest commit that a reading has brought, or of its arrival where its messages name none.
fn note_commit(commits: &mut BTreeMap<String, u64>, reading: &Reading) {
    let arrived = || {
        SystemTime::now()
            .checked_sub(reading.arrived.elapsed())?
            .duration_since(UNIX_EPOCH)
            .ok()
    };
    let named = reading.newest_ms.and_then(|ms| u64::try_from(ms).ok());
    let newest = named.or_else(|| Some(arrived()?.as_millis() as u64)).unwrap_or(0);
    match commits.get_mut(&*reading.partition) {
        Some(before) => *before = newest.max(*before),
        None => drop(commits.insert(reading.partition.to_string(), newest)),
    }
}

/// Adds what one tick did. A truncate is one change and many writes, which take nothing from other ticks.
fn add(total: &mut Counters, tick: &Counts) {
    total.messages += tick.messages;
    total.changes += tick.changes;
    total.collapsed += tick.collapsed();
    total.texts_embedded += tick.texts.embedded;
    total.texts_saved += tick.texts.saved();
    total.dead_letters += tick.dead_letters;
}

impl From<TextCounters> for Texts {
    fn from(texts: TextCounters) -> Texts {
        Texts {
            needed: texts.needed,
            embedded: texts.embedded,
            saved_shared: texts.saved_shared,
            saved_unchanged: texts.saved_unchanged,
            saved_cached: texts.saved_cached,
            withdrawn: texts.withdrawn,
            tokens: texts.tokens,
            time: Duration::from_micros(texts.micros),
        }
    }
}

impl Counts {
    fn collapsed(&self) -> u64 {
        self.changes.saturating_sub(self.writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher() -> Publisher {
        let published = Arc::new(Published::new(Snapshot::empty()));
        Publisher::new(published, Metrics::default())
    }

    fn reading(last: u64, committed_ms: Option<i64>) -> Reading {
        Reading {
            partition: "things/0".into(),
            last: Offset(last),
            committed_ms,
            newest_ms: committed_ms,
            arrived: Instant::now(),
        }
    }

    #[test]
    fn a_tick_covers_the_last_of_what_several_workers_read_in_any_order() {
        let publisher = publisher();
        publisher.read(Tick(1), reading(20, None));
        publisher.read(Tick(1), reading(10, None));
        publisher.publish(Tick(1));
        assert_eq!(publisher.published().snapshot().positions["things/0"], 20);
    }

    #[test]
    fn a_source_may_claim_any_time_of_commit() {
        let publisher = publisher();
        publisher.read(Tick(1), reading(1, Some(i64::MIN)));
        publisher.read(Tick(1), reading(2, Some(i64::MAX)));
        publisher.publish(Tick(1));
        assert_eq!(publisher.published().snapshot().tick, Tick(1));
    }
}
