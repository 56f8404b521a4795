//! Snapshots that searches have asked to keep, for pages that neither repeat nor miss a document while changes arrive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::answer::{Leg, SearchAnswer};
use super::request::SearchRequest;
use super::rerank::Reranked;
use super::{ErrorKind, QueryError, Searcher, plan, run};
use crate::change::Tick;
use crate::index::Snapshot;

/// The longest that a snapshot is kept after it was used last.
const KEEP_MAX: Duration = Duration::from_secs(600);

/// Snapshots kept at once, for all callers. Each holds what has been replaced since.
const PINS_MAX: usize = 64;

/// The snapshots that are kept.
///
/// A caller alone may have all places. Where they do not suffice, the caller with the most gives one up, so nobody can push out
/// those of others by asking for more.
#[derive(Default)]
pub(super) struct Pins(Mutex<Vec<Pin>>);

/// A snapshot that is kept for a caller.
struct Pin {
    sharer: Arc<str>,
    snapshot: Arc<Snapshot>,
    until: Instant,
}

impl Pins {
    /// Keeps a snapshot for a caller and so long from now, if it is not kept for longer already.
    pub fn keep(&self, sharer: &Arc<str>, snapshot: &Arc<Snapshot>, now: Instant, keep: Duration) {
        let mut pins = self.live(now);
        let until = now + keep.min(KEEP_MAX);
        let is_it = |pin: &&mut Pin| pin.sharer == *sharer && pin.snapshot.tick == snapshot.tick;
        match pins.iter_mut().find(is_it) {
            Some(pin) => pin.until = pin.until.max(until),
            None => pins.push(Pin {
                sharer: sharer.clone(),
                snapshot: snapshot.clone(),
                until,
            }),
        }
        if pins.len() > PINS_MAX {
            give_one_up(&mut pins);
        }
    }

    /// The snapshot of a tick, while it is kept for anybody: who asks sees of it what is theirs.
    pub fn get(&self, tick: Tick, now: Instant) -> Option<Arc<Snapshot>> {
        let pins = self.live(now);
        let pin = pins.iter().find(|pin| pin.snapshot.tick == tick)?;
        Some(pin.snapshot.clone())
    }

    fn live(&self, now: Instant) -> MutexGuard<'_, Vec<Pin>> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| pin.until > now);
        pins
    }
}

/// Drops the one that ends first, of a caller that has the most.
fn give_one_up(pins: &mut Vec<Pin>) {
    let mut held: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for pin in pins.iter() {
        *held.entry(pin.sharer.clone()).or_default() += 1;
    }
    let most = held.values().copied().max();
    let has_most = |pin: &Pin| held.get(&pin.sharer).copied() == most;
    let ends_first = pins
        .iter()
        .enumerate()
        .filter(|(_, pin)| has_most(pin))
        .min_by_key(|(_, pin)| pin.until)
        .map(|(place, _)| place);
    if let Some(place) = ends_first {
        pins.swap_remove(place);
    }
}

/// Where the next page of a search begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub tick: Tick,
    pub offset: usize,
    pub keep_ms: u64,
    /// Of the request, so that pages are all of one search.
    pub search: u64,
    /// Legs that did not answer the first page, and so none.
    pub failed: Vec<Leg>,
    /// Whether the first page was left as it was, though it was to be re-ranked: so are the others.
    pub unranked: bool,
}

impl Cursor {
    /// # Errors
    /// The text is not a cursor that this version has given.
    pub fn parse(text: &str) -> Result<Cursor, QueryError> {
        let json = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = json.and_then(|json| serde_json::from_slice(&json).ok());
        cursor.ok_or_else(|| {
            QueryError::new(
                "bad_cursor",
                "`cursor` is none that this node has given",
                "send the `cursor` of the page before as it came, or leave it out for the first page",
            )
        })
    }

    pub fn to_text(&self) -> String {
        // Numbers and names of legs: it cannot fail.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What is the same for all pages of a search.
pub(super) fn fingerprint(request: &SearchRequest) -> u64 {
    let search = SearchRequest {
        cursor: None,
        keep_alive_ms: None,
        consistency: Default::default(),
        wait_ms: None,
        limit: 0,
        offset: 0,
        ..request.clone()
    };
    xxh3_64(&serde_json::to_vec(&search).unwrap_or_default())
}

/// The snapshot of a tick is not kept, or not any more.
pub(super) fn gone(code: &'static str, message: String) -> QueryError {
    QueryError {
        kind: ErrorKind::Gone,
        ..QueryError::new(
            code,
            message,
            format!(
                "begin again with the first page; `keep_alive_ms` says how long a snapshot is kept after each page, at most {}. \
                 The node keeps {PINS_MAX}: where more are asked for, who has the most loses the one that would end first",
                KEEP_MAX.as_millis()
            ),
        )
    }
}

impl Searcher {
    /// The answer of a search by pages; `None` where it is none.
    pub(super) fn page(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &SearchRequest,
        cursor: Option<Cursor>,
        now: Instant,
    ) -> Result<Option<SearchAnswer>, QueryError> {
        let first = || {
            Some(Cursor {
                tick: snapshot.tick,
                offset: request.offset,
                keep_ms: request.keep_alive_ms?,
                search: fingerprint(request),
                failed: Vec::new(),
                unranked: false,
            })
        };
        let is_first = cursor.is_none();
        let Some(mut cursor) = cursor.or_else(first) else {
            return Ok(None);
        };
        if cursor.search != fingerprint(request) {
            return Err(QueryError::new(
                "other_search",
                "`cursor` is of another search",
                "send the request of the first page again, with `cursor` and no `offset`; only `limit` may differ",
            ));
        }
        let mut search = plan::plan(self, snapshot, request)?;
        (search.offset, search.by_pages) = (cursor.offset, true);
        if cursor.unranked {
            search.rerank = None;
        }
        let mut answer = run::run(snapshot, &search)?;
        if cursor.unranked {
            answer.reranked = Some(Reranked::skipped("the first page was not re-ranked"));
        }
        let unranked = answer
            .reranked
            .as_ref()
            .is_some_and(|reranked| reranked.skipped.is_some());
        if !is_first && unranked && !cursor.unranked {
            return Err(QueryError::unavailable(
                "rerank_failed",
                "this page could not be re-ranked, and the first one was: hits would repeat or be missed",
            ));
        }
        cursor.unranked = unranked;
        if answer.timed_out {
            return Err(QueryError::unavailable(
                "page_timed_out",
                "time was over before the page was whole: the next one would repeat or miss hits",
            ));
        }
        let failed: Vec<Leg> = answer.failed.iter().map(|failed| failed.leg).collect();
        if !is_first && failed != cursor.failed {
            return Err(QueryError::unavailable(
                "leg_failed",
                "the legs that answer this page are not those that answered the first",
            ));
        }
        let keep = Duration::from_millis(cursor.keep_ms);
        self.pins.keep(&self.sharer, snapshot, now, keep);
        cursor.failed = failed;
        cursor.offset += answer.hits.len();
        if answer.hits.len() == search.limit && cursor.offset < plan::HITS_MAX {
            answer.cursor = Some(cursor.to_text());
        }
        Ok(Some(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(tick: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            tick: Tick(tick),
            ..Snapshot::empty()
        })
    }

    #[test]
    fn a_snapshot_is_kept_for_as_long_as_it_is_used_and_no_more_than_so_many() {
        let (pins, now) = (Pins::default(), Instant::now());
        let (second, me) = (Duration::from_secs(1), Arc::from("me"));
        pins.keep(&me, &snapshot(1), now, second * 10);
        pins.keep(&me, &snapshot(1), now, second);
        assert!(
            pins.get(Tick(1), now + second * 9).is_some(),
            "the longer time holds"
        );
        pins.keep(&me, &snapshot(1), now + second * 9, second * 10);
        assert!(pins.get(Tick(1), now + second * 18).is_some());
        assert!(pins.get(Tick(1), now + second * 19).is_none());
        for tick in 1..=PINS_MAX as u64 + 1 {
            pins.keep(&me, &snapshot(tick), now, second * tick as u32);
        }
        assert!(pins.get(Tick(1), now).is_none() && pins.get(Tick(2), now).is_some());
        pins.keep(&me, &snapshot(1_000), now, second * 100_000);
        assert!(pins.get(Tick(1_000), now + KEEP_MAX).is_none());
    }

    #[test]
    fn who_asks_for_many_snapshots_pushes_out_none_of_others() {
        let (pins, now) = (Pins::default(), Instant::now());
        let second = Duration::from_secs(1);
        // Those of the modest end before all others, and stay.
        for (caller, ticks) in [("modest", 1..=3), ("other", 11..=20)] {
            for tick in ticks {
                pins.keep(&caller.into(), &snapshot(tick), now, second);
            }
        }
        let greedy: Arc<str> = "greedy".into();
        for tick in 100..400 {
            pins.keep(&greedy, &snapshot(tick), now, second * 60);
        }
        let kept =
            |ticks: std::ops::Range<u64>| ticks.filter(|tick| pins.get(Tick(*tick), now).is_some()).count();
        assert_eq!((kept(1..4), kept(11..21)), (3, 10));
        assert_eq!(kept(100..400), PINS_MAX - 13, "what others leave is theirs");
        // One more takes its place from who has the most, also in the end of its time.
        pins.keep(&"late".into(), &snapshot(1_000), now, second);
        assert_eq!((kept(1_000..1_001), kept(1..4), kept(11..21)), (1, 3, 10));
        assert_eq!(kept(100..400), PINS_MAX - 14);
        // The same snapshot for two callers is kept until both have done with it.
        pins.keep(&"modest".into(), &snapshot(1_000), now, second * 5);
        assert!(pins.get(Tick(1_000), now + second * 4).is_some());
    }

    #[test]
    fn a_cursor_is_read_as_it_was_given_and_nothing_else_is() {
        let cursor = Cursor {
            tick: Tick(17),
            offset: 20,
            keep_ms: 60_000,
            search: u64::MAX,
            failed: vec![Leg::Vector],
            unranked: true,
        };
        assert_eq!(Cursor::parse(&cursor.to_text()), Ok(cursor));
        for text in ["", "e30", "not base64!", "bnVsbA"] {
            assert_eq!(
                Cursor::parse(text).map_err(|error| error.code),
                Err("bad_cursor"),
                "{text}"
            );
        }
    }
}
