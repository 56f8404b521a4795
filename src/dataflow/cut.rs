//! Cuts: what a checkpoint takes of all workers at one tick.
//!
//! Worker 0 opens a cut when one is due, between two ticks. Each worker hands in its share before the next tick
//! begins, worker 0 puts them together and gives the whole to the thread that writes it. Ticks do not wait for that
//! thread; while it writes, no other cut is opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::lane::TextChanges;
use super::publish::{Newest, Publisher};
use crate::change::{PartitionId, Tick};
use crate::checkpoint::{Cut, TableCut};
use crate::definition::CheckpointSettings;
use crate::index::snapshot::ShardState;

/// What one worker adds to a cut.
pub struct Share {
    pub tables: Vec<TableCut>,
    pub texts: TextChanges,
}

/// What workers and the thread that writes cuts share.
#[derive(Clone)]
pub struct Cuts {
    state: Arc<State>,
    shares: (Sender<Share>, Receiver<Share>),
    /// At most one: while it is written, none is due.
    whole: Sender<Cut>,
    /// The tick that is on disk already.
    stored: Tick,
    /// There is no cut before both legs show everything up to there.
    complete_through: Tick,
}

#[derive(Default)]
struct State {
    /// The tick whose shares are asked for, or were asked for last.
    open: AtomicU64,
    /// From the opening of a cut until it is written.
    busy: AtomicBool,
    /// Bytes of messages taken since the last cut.
    bytes: AtomicU64,
    /// Somebody waits for a cut.
    asked: AtomicBool,
}

impl Cuts {
    /// Cuts that go to `whole`, which holds one. `stored` is the tick that is on disk already.
    pub fn new(whole: Sender<Cut>, stored: Tick) -> Cuts {
        Cuts {
            state: Arc::default(),
            shares: crossbeam_channel::unbounded(),
            whole,
            stored,
            complete_through: Tick(0),
        }
    }

    /// The same, with no cut before both legs show everything up to `tick`, not even a last one: what was stored before
    /// stays in force until something as complete can take its place.
    pub fn complete_through(self, tick: Tick) -> Cuts {
        Cuts {
            complete_through: tick,
            ..self
        }
    }

    /// Makes a cut due, as soon as the last one is written. It holds no end of the channel.
    pub fn ask(&self) -> impl Fn() + Send + Sync + use<> {
        let state = self.state.clone();
        move || state.asked.store(true, Ordering::Release)
    }

    /// To be called when the last cut has been written, or will be written with the next one.
    ///
    /// It holds no end of the channel: the thread that writes ends when the workers do.
    pub fn when_written(&self) -> impl Fn() + Send + use<> {
        let state = self.state.clone();
        move || state.busy.store(false, Ordering::Release)
    }

    pub fn took(&self, bytes: usize) {
        self.state.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The tick whose shares are asked for.
    pub fn open(&self) -> Tick {
        Tick(self.state.open.load(Ordering::Acquire))
    }

    pub fn hand_in(&self, share: Share) {
        // Worker 0 takes it, and ends last.
        let _ = self.shares.0.send(share);
    }
}

/// Worker 0's part.
pub struct Cutter {
    cuts: Cuts,
    due: CheckpointSettings,
    workers: usize,
    partitions: Box<dyn Fn() -> BTreeMap<String, PartitionId>>,
    /// Shares of the open cut; `None` between cuts.
    collected: Option<Vec<Share>>,
    last: Tick,
    since: Instant,
}

impl Cutter {
    pub fn new(
        cuts: Cuts,
        due: CheckpointSettings,
        workers: usize,
        partitions: impl Fn() -> BTreeMap<String, PartitionId> + 'static,
    ) -> Cutter {
        Cutter {
            last: cuts.stored,
            cuts,
            due,
            workers,
            partitions: Box::new(partitions),
            collected: None,
            since: Instant::now(),
        }
    }

    /// Goes on with cuts at `tick`, which is published; whether the next tick may begin.
    ///
    /// `at_last`: whatever has changed is cut now.
    pub fn step(&mut self, tick: Tick, publisher: &Publisher, at_last: bool) -> bool {
        if self.collected.is_none() {
            let nothing = tick == self.last || self.is_held(publisher);
            if nothing || !self.is_due(at_last) {
                return nothing || !at_last;
            }
            self.cuts.state.asked.store(false, Ordering::Relaxed);
            self.cuts.state.busy.store(true, Ordering::Release);
            self.cuts.state.bytes.store(0, Ordering::Relaxed);
            self.cuts.state.open.store(tick.0, Ordering::Release);
            self.since = Instant::now();
            self.collected = Some(Vec::new());
        }
        let Some(shares) = &mut self.collected else {
            return true;
        };
        shares.extend(self.cuts.shares.1.try_iter());
        if shares.len() < self.workers {
            return false;
        }
        let shares = self.collected.take().unwrap_or_default();
        self.last = tick;
        let Newest {
            positions,
            shards,
            sets,
            forgotten,
        } = publisher.newest();
        let legs = sets.stored_legs();
        let stored = |shard: Arc<ShardState>| match legs.is_empty() {
            true => shard,
            false => Arc::new(shard.with_legs(&legs)),
        };
        let mut cut = Cut {
            tick,
            positions,
            forgotten,
            partitions: (self.partitions)(),
            tables: Vec::new(),
            texts: BTreeMap::new(),
            shards: shards.into_iter().map(stored).collect(),
            sets,
        };
        shares.into_iter().for_each(|share| add(&mut cut, share));
        // The thread that writes is there until this end is dropped.
        let _ = self.cuts.whole.send(cut);
        true
    }

    fn is_held(&self, publisher: &Publisher) -> bool {
        let snapshot = publisher.published().snapshot();
        !snapshot.is_complete_through(self.cuts.complete_through)
    }

    fn is_due(&self, at_last: bool) -> bool {
        if self.cuts.state.busy.load(Ordering::Acquire) {
            return false;
        }
        let bytes = self.cuts.state.bytes.load(Ordering::Relaxed);
        let asked = self.cuts.state.asked.load(Ordering::Acquire);
        at_last || asked || self.since.elapsed() >= self.due.interval || bytes >= self.due.bytes
    }
}

/// Adds a worker's share: each key and text is one worker's alone.
fn add(cut: &mut Cut, share: Share) {
    cut.texts.extend(share.texts);
    if cut.tables.is_empty() {
        cut.tables = share.tables;
        return;
    }
    for (table, more) in cut.tables.iter_mut().zip(share.tables) {
        table.keys.extend(more.keys);
        // All workers were given the same truncates.
        table.truncated = table.truncated.or(more.truncated);
    }
}
