//! The latest row of each key of a table: what collapse keeps, without the dataflow around it.
//!
//! Changes of a tick are folded in the order of their versions; a key's row is replaced only by a newer version,
//! whatever the order, duplication or batching of delivery. A tombstone keeps its version, so an older row that
//! is delivered again does not come back.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::change::{Change, Datum, Key, Operation, Row, Tick, Version};

/// How long a deleted key's version is remembered, in milliseconds: deliveries older than this can bring a row back.
const TOMBSTONE_MS: u64 = 24 * 3600 * 1000;

/// How long a deleted row is kept for an upsert that moved from its key and needs its values, in milliseconds.
const MOVED_ROW_MS: u64 = 10 * 60 * 1000;

/// Rounds in which a moved row waits for the row that it moved from, which may itself be on the move.
pub const MOVE_ROUNDS_MAX: u32 = 8;

/// What a table's stream asks of its state.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Rows can hold unavailable values: a tick's history counts, and a deleted row is needed by the one that moved.
    pub unavailable_values: bool,
    /// Tombstones are dropped by the clock; never in a replay, whose ticks are counts.
    pub forget_tombstones: bool,
}

/// The changes of one tick, by key, each key's in the order of their versions.
#[derive(Default)]
pub struct Arrived {
    keys: FxHashMap<Key, Vec<Change>>,
    truncates: Vec<Version>,
}

/// What a tick's changes lead to.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Retract(Key, Arc<Row>),
    Insert(Key, Arc<Row>),
    /// To be given to the owner of its key, or once more to the owner of the key it moved from.
    Forward(Change),
}

/// The rows and tombstones of one worker's share of a table.
pub struct Latest {
    keep: Keep,
    rows: FxHashMap<Key, Kept>,
    /// The newest truncate: keys that are not in `rows` were empty at this version.
    truncated: Option<Version>,
    moved_rows: VecDeque<(Tick, Key)>,
    tombstones: VecDeque<(Tick, Key)>,
}

struct Kept {
    version: Version,
    state: State,
}

enum State {
    Row(Arc<Row>),
    /// `before` is the row that was deleted, as long as one that moved may ask for it.
    Deleted { since: Tick, before: Option<Arc<Row>> },
}

impl Arrived {
    pub fn add(&mut self, change: Change, keep: &Keep) {
        if change.operation == Operation::Truncate {
            self.truncates.push(change.version);
            return;
        }
        // A moved row that lacks values goes to its old key, which has them.
        let key = change.moved_from.as_ref().unwrap_or(&change.key);
        if let Some(steps) = self.keys.get_mut(key) {
            match steps.last_mut() {
                Some(last) if !keep.unavailable_values => {
                    if change.version.replaces(&last.version) {
                        *last = change;
                    }
                }
                _ => insert(steps, change),
            }
        } else {
            self.keys.insert(key.clone(), vec![change]);
        }
    }
}

/// Inserts a change, which arrived after all of `steps`, in the order of versions.
fn insert(steps: &mut Vec<Change>, change: Change) {
    let mut place = steps.len();
    while place > 0 && !change.version.replaces(&steps[place - 1].version) {
        place -= 1;
    }
    steps.insert(place, change);
}

impl Latest {
    pub fn new(keep: Keep) -> Latest {
        Latest {
            keep,
            rows: FxHashMap::default(),
            truncated: None,
            moved_rows: VecDeque::new(),
            tombstones: VecDeque::new(),
        }
    }

    /// Applies a tick's changes and says for how many keys the row is another one now.
    ///
    /// `round` counts how often the tick's forwarded changes have come by.
    pub fn settle(&mut self, tick: Tick, round: u32, mut arrived: Arrived, effect: &mut impl FnMut(Effect)) -> u64 {
        let mut writes = 0;
        self.forget(tick);
        for version in std::mem::take(&mut arrived.truncates) {
            self.truncate(version, &mut arrived);
        }
        for (key, steps) in arrived.keys {
            let mut kept = self.rows.remove(&key);
            let old = kept.as_ref().and_then(Kept::row).cloned();
            for step in steps {
                if step.moved_from.as_ref() == Some(&key) {
                    effect(Effect::Forward(complete(step, kept.as_ref(), round)));
                } else {
                    self.fold(tick, &mut kept, step);
                }
            }
            let new = kept.as_ref().and_then(Kept::row).cloned();
            if old != new {
                writes += 1;
                if let Some(row) = old {
                    effect(Effect::Retract(key.clone(), row));
                }
                if let Some(row) = new {
                    effect(Effect::Insert(key.clone(), row));
                }
            }
            // The table-wide tombstone stands for all keys that it emptied.
            let kept = kept.filter(|kept| kept.row().is_some() || Some(kept.version) != self.truncated);
            if let Some(kept) = kept {
                if let State::Deleted { since, before } = &kept.state
                    && *since == tick
                    && self.keep.forget_tombstones
                {
                    let queue = if before.is_some() { &mut self.moved_rows } else { &mut self.tombstones };
                    queue.push_back((tick, key.clone()));
                }
                self.rows.insert(key, kept);
            }
        }
        writes
    }

    /// Rows and tombstones kept.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn fold(&self, tick: Tick, kept: &mut Option<Kept>, change: Change) {
        let known = kept.as_ref().map(|kept| kept.version).or(self.truncated);
        if known.is_some_and(|known| !change.version.replaces(&known)) {
            // Overtaken, but it may be the row that a tombstone of the same tick has deleted.
            if let (Some(Kept { state: State::Deleted { before: before @ None, .. }, .. }), Operation::Upsert(row)) =
                (kept, change.operation)
                && self.keep.unavailable_values
            {
                *before = Some(row);
            }
            return;
        }
        let state = match change.operation {
            Operation::Upsert(row) => State::Row(fill(row, kept.as_ref().and_then(Kept::row_or_before))),
            Operation::Delete | Operation::Truncate => {
                let before = kept.as_ref().and_then(Kept::row_or_before).cloned();
                State::Deleted { since: tick, before: before.filter(|_| self.keep.unavailable_values) }
            }
        };
        *kept = Some(Kept { version: change.version, state });
    }

    /// Every key of the table gets a delete of this version, in its place among the tick's changes.
    fn truncate(&mut self, version: Version, arrived: &mut Arrived) {
        for key in self.rows.keys() {
            if !arrived.keys.contains_key(key) {
                arrived.keys.insert(key.clone(), Vec::new());
            }
        }
        for (key, steps) in &mut arrived.keys {
            let delete =
                Change { key: key.clone(), operation: Operation::Delete, version, moved_from: None, committed_ms: None };
            insert(steps, delete);
        }
        if self.truncated.is_none_or(|truncated| version.replaces(&truncated)) {
            self.truncated = Some(version);
        }
    }

    /// Drops what is remembered of deleted keys for longer than its time.
    fn forget(&mut self, tick: Tick) {
        let is_over = |entry: Option<&(Tick, Key)>, after_ms: u64| {
            entry.is_some_and(|(since, _)| since.0.saturating_add(after_ms) < tick.0)
        };
        while is_over(self.moved_rows.front(), MOVED_ROW_MS) {
            let Some((since, key)) = self.moved_rows.pop_front() else { break };
            if let Some(Kept { state: State::Deleted { since: at, before }, .. }) = self.rows.get_mut(&key)
                && *at == since
            {
                *before = None;
                self.tombstones.push_back((since, key));
            }
        }
        while is_over(self.tombstones.front(), TOMBSTONE_MS) {
            let Some((since, key)) = self.tombstones.pop_front() else { break };
            if matches!(self.rows.get(&key), Some(Kept { state: State::Deleted { since: at, .. }, .. }) if *at == since) {
                self.rows.remove(&key);
            }
        }
    }
}

impl Kept {
    fn row(&self) -> Option<&Arc<Row>> {
        match &self.state {
            State::Row(row) => Some(row),
            State::Deleted { .. } => None,
        }
    }

    fn row_or_before(&self) -> Option<&Arc<Row>> {
        match &self.state {
            State::Row(row) => Some(row),
            State::Deleted { before, .. } => before.as_ref(),
        }
    }
}

/// A moved change with the values of the row under its old key, or unchanged if that may still come.
fn complete(mut change: Change, kept: Option<&Kept>, round: u32) -> Change {
    let base = kept.and_then(Kept::row_or_before);
    if let Operation::Upsert(row) = change.operation {
        if base.is_none() && round < MOVE_ROUNDS_MAX {
            change.operation = Operation::Upsert(row);
        } else {
            change.operation = Operation::Upsert(fill(row, base));
            change.moved_from = None;
        }
    }
    change
}

/// The row with its unavailable values taken from `base`; null where that has none.
fn fill(row: Arc<Row>, base: Option<&Arc<Row>>) -> Arc<Row> {
    if !row.values.contains(&Datum::Unavailable) {
        return row;
    }
    let values = row.iter().map(|(name, value)| match value {
        Datum::Unavailable => base.and_then(|base| base.get(name)).cloned().unwrap_or(Datum::Null),
        known => known.clone(),
    });
    Arc::new(Row::new(row.columns.clone(), values.collect::<Box<[Datum]>>()))
}
