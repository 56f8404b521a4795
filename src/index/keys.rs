//! Which slot a key has: a hash table whose clones share their structure.
//!
//! It grows by linear hashing, a bucket at a time, so that a tick copies what it changes and never the table. Keys
//! are not held here: the documents have them, and whoever asks compares.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::documents::Slot;

/// Entries of a bucket, on average. More cost a longer copy for each new key, fewer cost memory for the buckets.
const BUCKET_ENTRIES: usize = 24;

/// Slots by the hash of their keys.
#[derive(Clone, Default)]
pub(super) struct Keys {
    buckets: imbl::Vector<Arc<[Entry]>>,
    len: usize,
    hasher: RandomState,
}

/// A key's hash, and its slot.
#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    slot: Slot,
}

impl Keys {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The slot of the key, which is one for which `is_it` holds.
    pub fn find(&self, key: &str, is_it: impl Fn(Slot) -> bool) -> Option<Slot> {
        let hash = self.hash(key);
        let mut slots = self
            .buckets
            .get(place(hash, self.buckets.len()))?
            .iter()
            .filter(|entry| entry.hash == hash)
            .map(|entry| entry.slot);
        slots.find(|slot| is_it(*slot))
    }

    /// Adds a key that is not there.
    pub fn insert(&mut self, key: &str, slot: Slot) {
        if self.len >= self.buckets.len() * BUCKET_ENTRIES {
            self.split();
        }
        let hash = self.hash(key);
        if let Some(bucket) = self.buckets.get_mut(place(hash, self.buckets.len())) {
            let added = [Entry { hash, slot }];
            *bucket = bucket.iter().chain(&added).copied().collect();
            self.len += 1;
        }
    }

    /// Removes a key that has this slot.
    pub fn remove(&mut self, key: &str, slot: Slot) {
        let bucket = place(self.hash(key), self.buckets.len());
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            let before = bucket.len();
            *bucket = bucket
                .iter()
                .filter(|entry| entry.slot != slot)
                .copied()
                .collect();
            self.len -= before - bucket.len();
        }
    }

    /// Adds a bucket, and gives it what is its own of the one bucket that had it.
    fn split(&mut self) {
        let new = self.buckets.len();
        let mut moved: Arc<[Entry]> = Arc::default();
        let source = parent(new).and_then(|parent| self.buckets.get_mut(parent));
        if let Some(source) = source {
            let (stay, go): (Vec<Entry>, Vec<Entry>) =
                source.iter().partition(|entry| place(entry.hash, new + 1) != new);
            *source = stay.into();
            moved = go.into();
        }
        self.buckets.push_back(moved);
    }

    fn hash(&self, key: &str) -> u32 {
        self.hasher.hash_one(key) as u32
    }
}

/// The bucket of a hash among so many: by as many low bits as number them all, or one less where that one is not there.
fn place(hash: u32, buckets: usize) -> usize {
    let numbered = buckets.next_power_of_two();
    let place = hash as usize & (numbered - 1);
    if place < buckets {
        place
    } else {
        place - numbered / 2
    }
}

/// The bucket that has had what belongs into a new one.
fn parent(bucket: usize) -> Option<usize> {
    bucket
        .checked_ilog2()
        .map(|highest_bit| bucket - (1 << highest_bit))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn find(keys: &Keys, texts: &BTreeMap<u32, String>, key: &str) -> Option<u32> {
        keys.find(key, |slot| texts.get(&slot.0).is_some_and(|text| text == key))
            .map(|slot| slot.0)
    }

    #[test]
    fn a_key_is_found_from_its_insert_to_its_removal_while_the_table_grows() {
        let mut keys = Keys::default();
        let mut texts = BTreeMap::new();
        for slot in 0..5_000 {
            let key = format!("key {slot}");
            assert_eq!(find(&keys, &texts, &key), None);
            keys.insert(&key, Slot(slot));
            texts.insert(slot, key);
            if slot % 3 == 0 {
                let gone = texts.remove(&(slot / 3)).unwrap();
                keys.remove(&gone, Slot(slot / 3));
                assert_eq!(find(&keys, &texts, &gone), None);
            }
        }
        assert_eq!(keys.len(), texts.len());
        for (slot, key) in &texts {
            assert_eq!(find(&keys, &texts, key), Some(*slot), "{key}");
        }
    }

    #[test]
    fn a_clone_stays_as_it_was() {
        let texts: BTreeMap<u32, String> = (0..1_000).map(|slot| (slot, slot.to_string())).collect();
        let mut keys = Keys::default();
        texts
            .iter()
            .take(500)
            .for_each(|(slot, key)| keys.insert(key, Slot(*slot)));
        let clone = keys.clone();
        texts
            .iter()
            .skip(500)
            .for_each(|(slot, key)| keys.insert(key, Slot(*slot)));
        texts
            .iter()
            .take(250)
            .for_each(|(slot, key)| keys.remove(key, Slot(*slot)));
        for (slot, key) in &texts {
            assert_eq!(find(&clone, &texts, key), (*slot < 500).then_some(*slot));
            assert_eq!(find(&keys, &texts, key), (*slot >= 250).then_some(*slot));
        }
    }

    #[test]
    fn keys_of_one_hash_share_a_bucket_and_buckets_stay_short() {
        let mut keys = Keys::default();
        (0..100_000).for_each(|slot| keys.insert(&slot.to_string(), Slot(slot)));
        let longest = keys.buckets.iter().map(|bucket| bucket.len()).max();
        assert!(
            longest < Some(5 * BUCKET_ENTRIES),
            "{longest:?} entries in a bucket"
        );
    }
}
