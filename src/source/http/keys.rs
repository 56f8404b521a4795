//! What pushes with an idempotency key were answered, for their retries.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::frame::Frame;

/// Keys that are kept. At 255 bytes each they take some 40 MB.
const KEYS_MAX: usize = 100_000;

/// How long a key is kept: a retry may come the next day.
const KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// The first push with a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    key: Arc<str>,
    /// A hash of the body: the same key with another one is no retry.
    body: u128,
    taken_ms: u64,
    pub last: u64,
    pub lines: u32,
    pub dead_letters: u32,
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    New,
    Retry(&'a First),
    OtherBody,
}

/// The keys of a table's pushes: young ones, and a bounded number.
#[derive(Default)]
pub struct Keys {
    by_key: HashMap<Arc<str>, First>,
    /// Oldest first. A key that came again after its time is in here twice.
    order: VecDeque<(u64, Arc<str>)>,
}

impl Keys {
    pub fn find(&self, key: &str, body: &[u8], now_ms: u64) -> Found<'_> {
        match self.by_key.get(key) {
            Some(first) if is_old(first.taken_ms, now_ms) => Found::New,
            Some(first) if first.body == xxh3_128(body) => Found::Retry(first),
            Some(_) => Found::OtherBody,
            None => Found::New,
        }
    }

    /// Keeps the answer to a push that has a key.
    pub fn keep(&mut self, frame: &Frame<'_>) {
        if !frame.key.is_empty() {
            self.insert(First {
                key: frame.key.into(),
                body: xxh3_128(frame.body),
                taken_ms: frame.taken_ms,
                last: frame.end().saturating_sub(1),
                lines: frame.lines,
                dead_letters: frame.dead_letters,
            });
        }
    }

    fn insert(&mut self, first: First) {
        // A key that was carried over may stand in a segment that is still there.
        if self.by_key.get(&first.key) == Some(&first) {
            return;
        }
        let now_ms = first.taken_ms;
        self.order.push_back((now_ms, first.key.clone()));
        self.by_key.insert(first.key.clone(), first);
        while let Some((taken_ms, key)) = self.order.front()
            && (self.order.len() > KEYS_MAX || is_old(*taken_ms, now_ms))
        {
            if self
                .by_key
                .get(key)
                .is_some_and(|first| first.taken_ms == *taken_ms)
            {
                self.by_key.remove(key);
            }
            self.order.pop_front();
        }
    }

    /// All of them as bytes with a checksum, or `None` where there are none.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let firsts: Vec<&First> = self
            .order
            .iter()
            .filter_map(|(taken_ms, key)| self.by_key.get(key).filter(|first| first.taken_ms == *taken_ms))
            .collect();
        if firsts.is_empty() {
            return None;
        }
        let mut bytes = postcard::to_stdvec(&firsts).ok()?;
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        Some(bytes)
    }

    /// What [`Keys::to_bytes`] wrote; `None` where it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Keys> {
        let (firsts, checksum) = bytes.split_last_chunk()?;
        if xxh3_64(firsts) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let firsts: Vec<First> = postcard::from_bytes(firsts).ok()?;
        let mut keys = Keys::default();
        firsts.into_iter().for_each(|first| keys.insert(first));
        Some(keys)
    }
}

fn is_old(taken_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(taken_ms) > KEPT_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u64, key: &str, taken_ms: u64) -> Frame<'_> {
        Frame {
            first,
            lines: 2,
            dead_letters: 1,
            taken_ms,
            key,
            body: b"body",
        }
    }

    #[test]
    fn a_key_is_known_for_a_day_and_for_its_body_alone() {
        let mut keys = Keys::default();
        keys.keep(&frame(5, "a", 1_000));
        keys.keep(&frame(9, "", 1_000));
        let Found::Retry(first) = keys.find("a", b"body", 1_000 + KEPT_MS) else {
            panic!("it is a retry");
        };
        assert_eq!((first.last, first.lines, first.dead_letters), (6, 2, 1));
        assert_eq!(keys.find("a", b"other", 1_000), Found::OtherBody);
        assert_eq!(keys.find("b", b"body", 1_000), Found::New);
        assert_eq!(keys.find("", b"body", 1_000), Found::New);
        assert_eq!(keys.find("a", b"other", 1_001 + KEPT_MS), Found::New);

        keys.keep(&frame(20, "a", 1_001 + KEPT_MS));
        assert!(matches!(keys.find("a", b"body", 1_001 + KEPT_MS), Found::Retry(first) if first.last == 21));
        assert_eq!((keys.by_key.len(), keys.order.len()), (1, 1));
    }

    #[test]
    fn the_oldest_keys_go_when_there_are_too_many() {
        let mut keys = Keys::default();
        let names: Vec<String> = (0..=KEYS_MAX).map(|number| number.to_string()).collect();
        for (number, name) in (0..).zip(&names) {
            keys.keep(&frame(number, name, number));
        }
        assert_eq!(keys.by_key.len(), KEYS_MAX);
        assert_eq!(keys.find("0", b"body", 0), Found::New);
        assert!(matches!(keys.find("1", b"body", 0), Found::Retry(_)));
    }

    #[test]
    fn keys_survive_as_bytes_and_damage_is_seen() {
        assert_eq!(Keys::default().to_bytes(), None);
        let mut keys = Keys::default();
        keys.keep(&frame(5, "a", 1));
        keys.keep(&frame(7, "b", 2));
        let bytes = keys.to_bytes().unwrap();
        let again = Keys::from_bytes(&bytes).unwrap();
        assert_eq!((again.by_key, again.order), (keys.by_key, keys.order));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert!(Keys::from_bytes(&damaged).is_none(), "byte {place}");
            assert!(Keys::from_bytes(&bytes[..place]).is_none(), "{place} bytes");
        }
    }
}
