//! The latest row of each key of a table: what collapse keeps, without the dataflow around it.
//!
//! Changes of a tick are folded in the order of their versions; a key's row is replaced only by a newer version,
//! whatever the order, duplication or batching of delivery. A tombstone keeps its version, so an older row that
//! is delivered again does not come back.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::change::{Change, Datum, DatumRef, Key, Operation, Row, Tick, Version};
use crate::checkpoint::{StoredKey, StoredState, TableCut};

/// How long a deleted key's version is remembered, in milliseconds: deliveries older than this can bring a row back.
const TOMBSTONE_MS: u64 = 24 * 3600 * 1000;

/// How long a deleted row is kept for an upsert that moved from its key and needs its values, in milliseconds.
const MOVED_ROW_MS: u64 = 10 * 60 * 1000;

/// Rounds in which a row without all its values waits for the row that has them, which may itself be on the move:
/// the longest chain of moves within one tick.
const MOVE_ROUNDS_MAX: u32 = 64;

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
    Retract(Key, Row),
    Insert(Key, Row),
    /// To be given to the owner of its key, or once more to the owner of the key it moved from.
    Forward(Change),
}

/// The rows and tombstones of one worker's share of a table.
pub struct Latest {
    keep: Keep,
    /// Boxed, so that the room that a table keeps for its growth is for pointers.
    rows: FxHashMap<Key, Box<Kept>>,
    /// The newest truncate: keys that are not in `rows` were empty at this version.
    truncated: Option<Version>,
    moved_rows: VecDeque<(Tick, Key)>,
    tombstones: VecDeque<(Tick, Key)>,
    /// What the keys of the current tick held before it, and the changes that its rounds have brought so far.
    history: (Tick, FxHashMap<Key, History>),
    /// Keys that have changed since the last cut; `None` where nobody asks.
    changed: Option<FxHashSet<Key>>,
}

/// A table's state, shared by its operator and who takes cuts of it between ticks.
pub type SharedLatest = Rc<RefCell<Latest>>;

struct History {
    before: Option<Kept>,
    steps: Vec<Change>,
}

#[derive(Clone)]
struct Kept {
    version: Version,
    state: State,
}

#[derive(Clone)]
enum State {
    Row(Row),
    /// Boxed, so that a row takes no more room than it needs.
    Deleted(Box<Deleted>),
}

#[derive(Clone)]
struct Deleted {
    since: Tick,
    /// The row that was deleted, as long as one that moved may ask for it.
    before: Option<Row>,
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
            history: Default::default(),
            changed: None,
        }
    }

    pub fn shared(keep: Keep) -> SharedLatest {
        Rc::new(RefCell::new(Latest::new(keep)))
    }

    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// Notes what changes from now on for [`Latest::cut`], and goes on from a stored truncate.
    pub fn note_changes(&mut self, truncated: Option<Version>) {
        self.truncated = truncated;
        self.changed = Some(FxHashSet::default());
    }

    /// What has changed since the cut before, as it is now. Called between ticks.
    pub fn cut(&mut self) -> TableCut {
        let changed = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        let stored = |key: Key| {
            let kept = self.rows.get(&key).map(|kept| kept.stored());
            (key, kept)
        };
        TableCut {
            truncated: self.truncated,
            keys: changed.into_iter().map(stored).collect(),
        }
    }

    /// Applies a tick's changes and says for how many keys the row is another one now.
    ///
    /// `round` counts how often the tick's forwarded changes have come by.
    pub fn settle(
        &mut self,
        tick: Tick,
        round: u32,
        mut arrived: Arrived,
        effect: &mut impl FnMut(Effect),
    ) -> u64 {
        let mut writes = 0;
        self.forget(tick);
        for version in std::mem::take(&mut arrived.truncates) {
            self.truncate(version, &mut arrived);
        }
        for (key, steps) in arrived.keys {
            let old = self.rows.get(&key).and_then(|kept| kept.row()).cloned();
            let mut kept = if self.keep.unavailable_values {
                self.refold(tick, round, &key, steps, effect)
            } else {
                let kept = self.rows.remove(&key).map(|kept| *kept);
                steps
                    .into_iter()
                    .fold(kept, |kept, step| self.fold(tick, kept, step))
            };
            let new = kept.as_ref().and_then(Kept::row).cloned();
            if old == new {
                // The same row again: what stands further on is the one that is kept, so its texts are held once.
                if let (Some(kept), Some(row)) = (&mut kept, old) {
                    kept.state = State::Row(row);
                }
            } else {
                writes += 1;
                if let Some(row) = old {
                    effect(Effect::Retract(key.clone(), row));
                }
                if let Some(row) = new {
                    effect(Effect::Insert(key.clone(), row));
                }
            }
            self.store(tick, key, kept);
        }
        writes
    }

    /// The version of what is kept of a key.
    pub fn version(&self, key: &Key) -> Option<Version> {
        self.rows.get(key).map(|kept| kept.version)
    }

    /// Rows and tombstones kept.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Folds all that the tick's rounds have brought for a key, from what the key held before the tick.
    ///
    /// Rows that move arrive a round later than what follows them, so the whole tick is folded again in order.
    fn refold(
        &mut self,
        tick: Tick,
        round: u32,
        key: &Key,
        arrived: Vec<Change>,
        effect: &mut impl FnMut(Effect),
    ) -> Option<Kept> {
        if self.history.0 != tick {
            self.history = (tick, FxHashMap::default());
        }
        let mut history = self.history.1.remove(key).unwrap_or_else(|| {
            let before = self.rows.get(key).map(|kept| (**kept).clone());
            History {
                before,
                steps: Vec::new(),
            }
        });
        for step in arrived {
            insert(&mut history.steps, step);
        }
        let mut kept = history.before.clone();
        for step in std::mem::take(&mut history.steps) {
            // Waits a round for the row that has its values; if none comes they are null.
            let waits = round < MOVE_ROUNDS_MAX;
            if asks_old_key(&step) {
                match kept.as_ref().and_then(Kept::row_or_before) {
                    None if waits => effect(Effect::Forward(step)),
                    base => effect(Effect::Forward(complete(step, base))),
                }
            } else if waits && is_early(&step, kept.as_ref()) {
                effect(Effect::Forward(step));
            } else {
                kept = self.fold(tick, kept, step.clone());
                history.steps.push(step);
            }
        }
        self.history.1.insert(key.clone(), history);
        kept
    }

    /// What is kept of a key after one more change.
    fn fold(&self, tick: Tick, kept: Option<Kept>, change: Change) -> Option<Kept> {
        let known = kept.as_ref().map(|kept| kept.version).or(self.truncated);
        // What an incomplete row lacked was there when it first came; now something newer may stand in its place.
        let is_repeated = |known: Version| is_incomplete(&change) && change.version.is_same_change(&known);
        if known.is_some_and(|known| is_repeated(known) || !change.version.replaces(&known)) {
            return kept;
        }
        let state = match change.operation {
            Operation::Upsert(row) => State::Row(fill(row, kept.as_ref().and_then(Kept::row))),
            Operation::Delete | Operation::Truncate => {
                let before = match kept {
                    Some(Kept {
                        state: State::Row(row),
                        ..
                    }) => Some(row),
                    // The same delete again. Another one deletes a row that has not come by yet.
                    Some(Kept {
                        version,
                        state: State::Deleted(deleted),
                    }) => deleted.before.filter(|_| change.version.is_same_change(&version)),
                    None => None,
                };
                State::Deleted(Box::new(Deleted {
                    since: tick,
                    before: before.filter(|_| self.keep.unavailable_values),
                }))
            }
        };
        Some(Kept {
            version: change.version,
            state,
        })
    }

    fn store(&mut self, tick: Tick, key: Key, kept: Option<Kept>) {
        self.note(&key);
        // The table-wide tombstone stands for all keys that it emptied.
        let kept = kept.filter(|kept| kept.row().is_some() || Some(kept.version) != self.truncated);
        let Some(kept) = kept else {
            self.rows.remove(&key);
            return;
        };
        if let State::Deleted(deleted) = &kept.state
            && deleted.since == tick
            && self.keep.forget_tombstones
        {
            let queue = if deleted.before.is_some() {
                &mut self.moved_rows
            } else {
                &mut self.tombstones
            };
            queue.push_back((tick, key.clone()));
        }
        self.rows.insert(key, Box::new(kept));
    }

    fn note(&mut self, key: &Key) {
        if let Some(changed) = &mut self.changed
            && !changed.contains(key)
        {
            changed.insert(key.clone());
        }
    }

    /// Every key of the table gets a delete of this version, in its place among the tick's changes.
    fn truncate(&mut self, version: Version, arrived: &mut Arrived) {
        for key in self.rows.keys() {
            if !arrived.keys.contains_key(key) {
                arrived.keys.insert(key.clone(), Vec::new());
            }
        }
        for (key, steps) in &mut arrived.keys {
            let delete = Change {
                key: key.clone(),
                operation: Operation::Delete,
                version,
                moved_from: None,
                committed_ms: None,
            };
            insert(steps, delete);
        }
        if self
            .truncated
            .is_none_or(|truncated| version.replaces(&truncated))
        {
            self.truncated = Some(version);
        }
    }

    /// Drops what is remembered of deleted keys for longer than its time.
    fn forget(&mut self, tick: Tick) {
        let is_over = |entry: Option<&(Tick, Key)>, after_ms: u64| {
            entry.is_some_and(|(since, _)| since.0.saturating_add(after_ms) < tick.0)
        };
        while is_over(self.moved_rows.front(), MOVED_ROW_MS) {
            let Some((since, key)) = self.moved_rows.pop_front() else {
                break;
            };
            if let Some(deleted) = self.rows.get_mut(&key).and_then(|kept| kept.deleted())
                && deleted.since == since
            {
                deleted.before = None;
                self.note(&key);
                self.tombstones.push_back((since, key));
            }
        }
        while is_over(self.tombstones.front(), TOMBSTONE_MS) {
            let Some((since, key)) = self.tombstones.pop_front() else {
                break;
            };
            let deleted = self.rows.get_mut(&key).and_then(|kept| kept.deleted());
            if deleted.is_some_and(|deleted| deleted.since == since) {
                self.rows.remove(&key);
                self.note(&key);
            }
        }
    }
}

impl Kept {
    fn stored(&self) -> StoredKey {
        let state = match &self.state {
            State::Row(row) => StoredState::Row(row.clone()),
            State::Deleted(deleted) => StoredState::Deleted {
                before: deleted.before.clone(),
            },
        };
        StoredKey {
            version: self.version,
            state,
        }
    }

    fn row(&self) -> Option<&Row> {
        match &self.state {
            State::Row(row) => Some(row),
            State::Deleted(_) => None,
        }
    }

    fn deleted(&mut self) -> Option<&mut Deleted> {
        match &mut self.state {
            State::Row(_) => None,
            State::Deleted(deleted) => Some(deleted),
        }
    }

    fn row_or_before(&self) -> Option<&Row> {
        match &self.state {
            State::Row(row) => Some(row),
            State::Deleted(deleted) => deleted.before.as_ref(),
        }
    }
}

/// The changes that lead to what was stored of a key.
pub fn restoring(key: Key, stored: StoredKey) -> impl Iterator<Item = Change> {
    let StoredKey { version, state } = stored;
    let (row, deleted) = match state {
        StoredState::Row(row) => (Some(row), false),
        StoredState::Deleted { before } => (before, true),
    };
    let operations = row.map(Operation::Upsert).into_iter();
    let operations = operations.chain(deleted.then_some(Operation::Delete));
    operations.map(move |operation| Change {
        key: key.clone(),
        operation,
        version,
        moved_from: None,
        committed_ms: None,
    })
}

/// Whether a moved row still lacks the values that its old key has. A completed one has moved from its own key.
fn asks_old_key(change: &Change) -> bool {
    change
        .moved_from
        .as_ref()
        .is_some_and(|old_key| *old_key != change.key)
}

/// Whether the source left values out of the row, even if they have been filled in since.
fn is_incomplete(change: &Change) -> bool {
    match &change.operation {
        Operation::Upsert(row) => change.moved_from.is_some() || row.has_unavailable(),
        Operation::Delete | Operation::Truncate => false,
    }
}

/// Whether a change is an update without all its values, of a row that is not there: one that is still on its way
/// from another key.
fn is_early(change: &Change, kept: Option<&Kept>) -> bool {
    matches!(&change.operation, Operation::Upsert(row) if change.moved_from.is_none() && row.has_unavailable())
        && kept.is_none_or(|kept| kept.row().is_none() && change.version.replaces(&kept.version))
}

/// A moved change with the values of the row under its old key.
fn complete(change: Change, base: Option<&Row>) -> Change {
    let operation = match change.operation {
        Operation::Upsert(row) => Operation::Upsert(fill(row, base)),
        other => other,
    };
    Change {
        operation,
        moved_from: Some(change.key.clone()),
        ..change
    }
}

/// The row with its unavailable values taken from `base`; null where that has none.
fn fill(row: Row, base: Option<&Row>) -> Row {
    if !row.has_unavailable() {
        return row;
    }
    row.map(|(name, value)| match value {
        DatumRef::Unavailable => base
            .and_then(|base| base.get(name))
            .map_or(Datum::Null, DatumRef::to_datum),
        known => known.to_datum(),
    })
}
