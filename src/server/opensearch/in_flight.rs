//! What was written and is not seen by searches yet: whether there is a document is known before they see it.

use std::collections::{HashMap, VecDeque};

/// Writes that are known; of more the oldest are forgotten, as if searches saw them.
const WRITES_MAX: usize = 1 << 18;

/// The documents that writes have left, by their keys.
#[derive(Default)]
pub struct InFlight {
    left: HashMap<String, Left>,
    /// In the order of their offsets.
    writes: VecDeque<(u64, String)>,
}

struct Left {
    is_there: bool,
    offset: u64,
}

impl InFlight {
    /// Forgets what searches see, which is all up to this offset.
    pub fn forget(&mut self, shown: Option<u64>) {
        let is_shown = |offset: u64| shown.is_some_and(|shown| offset <= shown);
        while let Some((offset, _)) = self.writes.front()
            && (is_shown(*offset) || self.writes.len() > WRITES_MAX)
            && let Some((offset, id)) = self.writes.pop_front()
        {
            // A later write of the same document is not seen yet.
            if self.left.get(&id).is_some_and(|left| left.offset == offset) {
                self.left.remove(&id);
            }
        }
    }

    /// Whether there is a document, where a write that searches do not see says so.
    pub fn is_there(&self, id: &str) -> Option<bool> {
        self.left.get(id).map(|left| left.is_there)
    }

    /// Notes what the writes of a push have left, which ends at this offset.
    pub fn note(&mut self, left: HashMap<String, bool>, offset: u64) {
        for (id, is_there) in left {
            self.writes.push_back((offset, id.clone()));
            self.left.insert(id, Left { is_there, offset });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(id: &str, is_there: bool) -> HashMap<String, bool> {
        HashMap::from([(id.to_owned(), is_there)])
    }

    #[test]
    fn a_write_is_known_until_searches_see_it_and_the_last_one_counts() {
        let mut writes = InFlight::default();
        writes.note(wrote("7", true), 3);
        writes.note(wrote("8", true), 4);
        writes.note(wrote("7", false), 5);
        assert_eq!((writes.is_there("7"), writes.is_there("9")), (Some(false), None));
        writes.forget(None);
        writes.forget(Some(4));
        assert_eq!((writes.is_there("7"), writes.is_there("8")), (Some(false), None));
        writes.forget(Some(5));
        assert_eq!(writes.is_there("7"), None);
        assert!(writes.left.is_empty() && writes.writes.is_empty());
    }

    #[test]
    fn no_more_writes_are_known_than_so_many() {
        let mut writes = InFlight::default();
        for offset in 0..2 * WRITES_MAX as u64 {
            writes.note(wrote(&offset.to_string(), true), offset);
            writes.forget(None);
        }
        assert!(writes.left.len() <= WRITES_MAX && writes.writes.len() <= WRITES_MAX);
        assert_eq!(writes.is_there("0"), None);
    }
}
