//! What was used last, bounded by bytes.

use std::collections::BTreeMap;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// What an entry takes besides its value.
const ENTRY_BYTES: usize = 96;

/// Values by key; what was put in longest ago is dropped first.
pub struct Recent<K, V> {
    values: FxHashMap<K, Entry<V>>,
    order: BTreeMap<u64, K>,
    next: u64,
    bytes: usize,
    bytes_max: usize,
}

struct Entry<V> {
    place: u64,
    bytes: usize,
    value: V,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    pub fn new(bytes_max: usize) -> Recent<K, V> {
        Recent {
            values: FxHashMap::default(),
            order: BTreeMap::new(),
            next: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Puts a value in, which may go beyond the bound until the next [`Recent::trim`].
    pub fn put(&mut self, key: K, value: V, bytes: usize) {
        self.take(key);
        let entry = Entry {
            place: self.next,
            bytes: bytes + ENTRY_BYTES,
            value,
        };
        self.next += 1;
        self.bytes += entry.bytes;
        self.order.insert(entry.place, key);
        self.values.insert(key, entry);
    }

    pub fn take(&mut self, key: K) -> Option<V> {
        let entry = self.values.remove(&key)?;
        self.order.remove(&entry.place);
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    /// The value, which counts as put in now.
    pub fn use_again(&mut self, key: K) -> Option<&V> {
        let entry = self.values.get_mut(&key)?;
        self.order.remove(&entry.place);
        entry.place = self.next;
        self.next += 1;
        self.order.insert(entry.place, key);
        Some(&entry.value)
    }

    /// Drops what is beyond the bound, and says what that was.
    pub fn trim(&mut self) -> Vec<K> {
        let mut dropped = Vec::new();
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            if let Some(entry) = self.values.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
            dropped.push(oldest);
        }
        if self.values.is_empty() {
            // A start puts in as many as are stored.
            self.values.shrink_to_fit();
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for so many values of 4 bytes.
    fn room_for(values: usize) -> Recent<u8, &'static str> {
        Recent::new(values * (ENTRY_BYTES + 4))
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = room_for(2);
        for (key, value) in [(1, "some"), (2, "more"), (3, "last")] {
            recent.put(key, value, 4);
        }
        assert_eq!(recent.use_again(1), Some(&"some"));
        assert_eq!(recent.trim(), [2]);
        assert_eq!(
            (recent.take(2), recent.take(3), recent.take(1)),
            (None, Some("last"), Some("some"))
        );
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn a_value_put_in_twice_counts_once() {
        let mut recent = room_for(2);
        recent.put(1, "some", 4);
        recent.put(1, "more", 4);
        recent.put(2, "last", 4);
        assert!(recent.trim().is_empty());
        assert_eq!(recent.take(1), Some("more"));
    }
}
