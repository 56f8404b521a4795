//! How fresh an answer has to be, by the clocks of the sources, and how fresh it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::pages::{self, Cursor};
use super::{ErrorKind, QueryError, SearchRequest, Searcher, plan};
use crate::change::{PartitionId, Tick};
use crate::index::Snapshot;

/// How long a search waits for a snapshot that is fresh enough, in milliseconds: unless it says so, and at most.
const WAIT_MS: u64 = 5_000;
const WAIT_MS_MAX: u64 = 60_000;

/// Which of the numbers under `at_least` is no position.
const COMMIT_TS: &str = "commit_ts";

/// Timestamps of TiDB have milliseconds above these bits; anything so large is one.
const TSO_SHIFT: u32 = 18;
const TSO_MIN: u64 = 1 << 50;

/// What the snapshot of an answer has to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// The newest snapshot, whatever it shows.
    #[default]
    Any,
    /// Everything up to positions, as `{"table/partition": offset}`; with `commit_ts`, what its source committed up to
    /// then, in milliseconds since 1970 or as a timestamp of TiDB. A partition that has been read to its end counts as
    /// read up to now: what a source has committed and not sent yet is not known.
    AtLeast(BTreeMap<String, u64>),
    /// Nothing that has waited longer for being read, in milliseconds: `staleness_ms` of the answer is at most this.
    MaxStalenessMs(u64),
    /// The snapshot of this tick, which a search with `keep_alive_ms` has kept.
    Pinned(u64),
}

impl Consistency {
    pub(super) fn is_any(&self) -> bool {
        *self == Consistency::Any
    }

    /// What a snapshot lacks of this; `None` where it is fresh enough.
    pub(super) fn lacks(&self, snapshot: &Snapshot, freshness: &Freshness<'_>) -> Option<String> {
        match self {
            Consistency::Any | Consistency::Pinned(_) => None,
            Consistency::AtLeast(wanted) => wanted.iter().find_map(|(name, wanted)| match &**name {
                COMMIT_TS => freshness.lacks_commit(snapshot, milliseconds(*wanted)),
                partition => lacks_position(snapshot, partition, *wanted),
            }),
            Consistency::MaxStalenessMs(max) => match freshness.staleness(snapshot) {
                Some(staleness) if staleness <= *max => None,
                Some(staleness) => Some(format!("it may be {staleness} ms behind its sources")),
                None => Some("how far it is behind its sources is not known yet".to_owned()),
            },
        }
    }

    /// The names under `at_least` that are positions.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &str> {
        let wanted = match self {
            Consistency::AtLeast(wanted) => Some(wanted),
            _ => None,
        };
        let names = wanted.into_iter().flatten().map(|(name, _)| name.as_str());
        names.filter(|name| *name != COMMIT_TS)
    }
}

fn milliseconds(commit_ts: u64) -> u64 {
    match commit_ts {
        TSO_MIN.. => commit_ts >> TSO_SHIFT,
        milliseconds => milliseconds,
    }
}

/// Rows that are held back for their vectors have been read, and are not shown.
fn lacks_position(snapshot: &Snapshot, partition: &str, wanted: u64) -> Option<String> {
    let shown = match &snapshot.held_back {
        Some(held) => &held.positions,
        None => &snapshot.positions,
    };
    match shown.get(partition) {
        Some(position) if *position >= wanted => None,
        Some(position) => Some(format!("{partition} is shown up to {position}, not {wanted}")),
        None => Some(format!("nothing of {partition} is shown yet")),
    }
}

/// What searches may know of the sources behind their snapshots.
pub trait Sources: Send + Sync {
    /// The partitions that have been read from since the start, as `table/partition`.
    fn partitions(&self) -> Vec<String>;

    /// Whether all that the source of a partition is known to hold is read up to what a snapshot shows of it.
    fn is_shown(&self, partition: &str, shown: Option<u64>) -> bool;

    /// Whether every source has said by now what it holds.
    fn are_known(&self) -> bool;

    /// The partition of this number, as `table/partition`.
    fn partition(&self, id: PartitionId) -> Option<String>;
}

/// What is known at one moment.
pub(super) struct Freshness<'a> {
    sources: Option<&'a dyn Sources>,
    now_ms: u64,
}

impl<'a> Freshness<'a> {
    pub fn now(sources: Option<&'a dyn Sources>) -> Freshness<'a> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = now.map_or(0, |now| now.as_millis() as u64);
        Freshness { sources, now_ms }
    }

    /// How many milliseconds a snapshot is behind what sources are known to hold, by the newest commit that it shows of
    /// the partition that is farthest behind; `None` where that is not known.
    pub fn staleness(&self, snapshot: &Snapshot) -> Option<u64> {
        let sources = self.sources.filter(|sources| sources.are_known())?;
        let mut partitions = sources.partitions();
        partitions.extend(snapshot.positions.keys().cloned());
        let is_unread =
            |partition: &String| !sources.is_shown(partition, snapshot.positions.get(partition).copied());
        let unread = partitions.iter().filter(|partition| is_unread(partition));
        let behind = unread.map(|partition| {
            let newest = snapshot.commits.get(partition)?;
            Some(self.now_ms.saturating_sub(*newest))
        });
        let behind: Vec<u64> = behind.collect::<Option<_>>()?;
        let held = snapshot.held_back.as_ref();
        let held = held.map(|held| self.now_ms.saturating_sub(held.since.0));
        Some(behind.into_iter().chain(held).max().unwrap_or(0))
    }

    fn lacks_commit(&self, snapshot: &Snapshot, wanted_ms: u64) -> Option<String> {
        let Some(sources) = self.sources.filter(|sources| sources.are_known()) else {
            return Some("what its sources hold is not known yet".to_owned());
        };
        if let Some(held) = snapshot
            .held_back
            .as_ref()
            .filter(|held| held.since.0 <= wanted_ms)
        {
            return Some(format!(
                "rows since tick {} are held back for their vectors",
                held.since
            ));
        }
        let mut partitions = sources.partitions();
        partitions.extend(snapshot.positions.keys().cloned());
        partitions.iter().find_map(|partition| {
            let shown = match sources.is_shown(partition, snapshot.positions.get(partition).copied()) {
                true => self.now_ms,
                false => snapshot.commits.get(partition).copied().unwrap_or(0),
            };
            (shown < wanted_ms)
                .then(|| format!("{partition} shows what was committed up to {shown}, not {wanted_ms}"))
        })
    }
}

/// How often it is looked whether sources have been read to their end, while a search waits for that.
const POLL: Duration = Duration::from_millis(20);

impl Searcher {
    /// Says what is known of the sources: answers tell their staleness from then on, and hits their origin. Once.
    pub fn set_sources(&self, sources: Arc<dyn Sources>) {
        let _ = self.sources.set(sources);
    }

    fn freshness(&self) -> Freshness<'_> {
        Freshness::now(self.sources.get().map(|sources| &**sources))
    }

    /// Waits until a search can be answered as freshly as it asks to be: [`Searcher::search`] finds it so then, unless
    /// a source falls behind in between.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotYet`]: how far the index is, when the request's `wait_ms` is over.
    pub async fn fresh(&self, request: &SearchRequest) -> Result<(), QueryError> {
        let wait = request.wait_ms.unwrap_or(WAIT_MS);
        let until = Instant::now() + Duration::from_millis(wait.min(WAIT_MS_MAX));
        loop {
            let snapshot = self.published.snapshot();
            let lacks = self.fresh_enough(&snapshot, request);
            if lacks.is_ok() || Instant::now() >= until {
                return lacks;
            }
            // Sources come to their end without a tick, too.
            let next = self.published.wait_for(|newest| newest.tick != snapshot.tick);
            let _ = tokio::time::timeout(POLL, next).await;
        }
    }

    fn fresh_enough(&self, snapshot: &Snapshot, request: &SearchRequest) -> Result<(), QueryError> {
        match request.consistency.lacks(snapshot, &self.freshness()) {
            None => Ok(()),
            Some(lacks) => Err(QueryError {
                kind: ErrorKind::NotYet,
                ..QueryError::new(
                    "not_fresh_yet",
                    format!("the index is at tick {}: {lacks}", snapshot.tick),
                    "ask again, wait longer with `wait_ms`, or for less; /stats and /readyz say how far the node is",
                )
            }),
        }
    }

    /// The snapshot that a request is answered from.
    pub(super) fn snapshot_for(
        &self,
        request: &SearchRequest,
        cursor: Option<&Cursor>,
        now: Instant,
    ) -> Result<Arc<Snapshot>, QueryError> {
        if let Some(Cursor { tick, .. }) = cursor {
            let expired = || {
                pages::gone(
                    "cursor_expired",
                    format!("the snapshot of tick {tick} is not kept any more"),
                )
            };
            return self.pins.get(*tick, now).ok_or_else(expired);
        }
        let newest = self.published.snapshot();
        if let Consistency::Pinned(tick) = request.consistency
            && tick != newest.tick.0
        {
            let gone = || pages::gone("not_pinned", format!("the snapshot of tick {tick} is not kept"));
            return self.pins.get(Tick(tick), now).ok_or_else(gone);
        }
        plan::of_tables(self, request)?;
        self.fresh_enough(&newest, request)?;
        Ok(newest)
    }

    /// How far a snapshot is behind; one that is not the newest, at least by what has been published since.
    pub(super) fn staleness(&self, snapshot: &Snapshot) -> Option<u64> {
        let newest = self.published.snapshot();
        let staleness = self.freshness().staleness(snapshot)?;
        let replaced = newest.tick.0.saturating_sub(snapshot.tick.0);
        Some(staleness.max(replaced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::snapshot::HeldBack;

    struct Known(&'static [&'static str]);

    impl Sources for Known {
        fn partitions(&self) -> Vec<String> {
            Vec::new()
        }

        fn is_shown(&self, partition: &str, _: Option<u64>) -> bool {
            self.0.contains(&partition)
        }

        fn are_known(&self) -> bool {
            true
        }

        fn partition(&self, _: PartitionId) -> Option<String> {
            None
        }
    }

    fn map(entries: &[(&str, u64)]) -> Arc<BTreeMap<String, u64>> {
        Arc::new(
            entries
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
        )
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            positions: map(&[("a/0", 10), ("a/1", 20)]),
            commits: map(&[("a/0", 5_000), ("a/1", 7_000)]),
            ..Snapshot::empty()
        }
    }

    fn at(now_ms: u64, read: &Known) -> Freshness<'_> {
        let sources = Some(read as &dyn Sources);
        Freshness { sources, now_ms }
    }

    fn at_least(entries: &[(&str, u64)]) -> Consistency {
        Consistency::AtLeast(map(entries).as_ref().clone())
    }

    #[test]
    fn positions_are_shown_or_not_and_rows_held_back_are_not() {
        let (fresh, known) = (snapshot(), Known(&[]));
        let lacks = |wanted: &[(&str, u64)], snapshot: &Snapshot| {
            at_least(wanted).lacks(snapshot, &at(9_000, &known)).is_some()
        };
        assert!(!lacks(&[("a/0", 10), ("a/1", 19)], &fresh));
        assert!(lacks(&[("a/0", 10), ("a/1", 21)], &fresh));
        assert!(lacks(&[("b/0", 0)], &fresh));
        let mut held = snapshot();
        held.held_back = Some(HeldBack {
            since: Tick(1),
            positions: map(&[("a/0", 9)]),
        });
        assert!(lacks(&[("a/0", 10)], &held));
        assert!(!lacks(&[("a/0", 9)], &held));
    }

    #[test]
    fn a_partition_that_is_read_to_its_end_is_fresh_and_another_is_as_fresh_as_its_newest_commit() {
        let fresh = snapshot();
        for (read, staleness) in [
            (Known(&["a/0", "a/1"]), 0),
            (Known(&["a/0"]), 2_000),
            (Known(&[]), 4_000),
        ] {
            let freshness = at(9_000, &read);
            assert_eq!(freshness.staleness(&fresh), Some(staleness));
            let bounded = |max| Consistency::MaxStalenessMs(max).lacks(&fresh, &freshness);
            assert_eq!(bounded(staleness), None);
            assert_eq!(staleness > 0, staleness > 0 && bounded(staleness - 1).is_some());
        }
        let read = Known(&["a/0"]);
        let lacks = |commit_ts| at_least(&[("commit_ts", commit_ts)]).lacks(&fresh, &at(9_000, &read));
        assert_eq!(lacks(7_000), None);
        assert!(lacks(7_001).is_some_and(|lacks| lacks.starts_with("a/1 ")));
        let unknown = Freshness {
            sources: None,
            now_ms: 9_000,
        };
        assert_eq!(unknown.staleness(&fresh), None);
    }

    #[test]
    fn timestamps_of_tidb_are_told_by_their_size() {
        assert_eq!(milliseconds(1_795_000_000_000), 1_795_000_000_000);
        assert_eq!(milliseconds(1_795_000_000_000 << 18 | 7), 1_795_000_000_000);
    }
}
