//! Who waits, and since when.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::change::Tick;

/// Who waits, each since a tick.
pub(super) struct Waiting<K> {
    since: HashMap<K, Tick>,
    ticks: BTreeMap<Tick, usize>,
}

impl<K> Default for Waiting<K> {
    fn default() -> Waiting<K> {
        Waiting {
            since: HashMap::new(),
            ticks: BTreeMap::new(),
        }
    }
}

impl<K: Eq + Hash> Waiting<K> {
    /// Who waits already goes on waiting since then: who waits for the older tick sees what is newer.
    pub fn begin(&mut self, who: K, tick: Tick) {
        if let Entry::Vacant(entry) = self.since.entry(who) {
            entry.insert(tick);
            *self.ticks.entry(tick).or_default() += 1;
        }
    }

    pub fn end(&mut self, who: &K) {
        let Some(tick) = self.since.remove(who) else {
            return;
        };
        if self.since.is_empty() {
            // A load has made room for as many as there are.
            self.since.shrink_to_fit();
        }
        if let Some(waiting) = self.ticks.get_mut(&tick) {
            *waiting -= 1;
            if *waiting == 0 {
                self.ticks.remove(&tick);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.since.len()
    }

    /// Since when the longest-waiting one waits.
    pub fn oldest(&self) -> Option<Tick> {
        self.ticks.first_key_value().map(|(tick, _)| *tick)
    }
}
