//! The texts of recent queries, for comparing models by what people ask.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Different queries that are kept.
const QUERIES_MAX: usize = 200;

/// Longer ones are not kept: few people type them.
const QUERY_BYTES_MAX: usize = 1 << 10;

/// The last different queries, in memory only.
#[derive(Default)]
pub(super) struct RecentQueries(Mutex<VecDeque<Arc<str>>>);

impl RecentQueries {
    /// Keeps a query, unless it is there or somebody else is keeping one: no search waits for another here.
    pub fn note(&self, query: &str) {
        if query.len() > QUERY_BYTES_MAX || query.trim().is_empty() {
            return;
        }
        let Ok(mut queries) = self.0.try_lock() else {
            return;
        };
        if queries.iter().any(|known| **known == *query) {
            return;
        }
        if queries.len() == QUERIES_MAX {
            queries.pop_front();
        }
        queries.push_back(query.into());
    }

    /// The newest first.
    pub fn list(&self) -> Vec<Arc<str>> {
        let queries = match self.0.lock() {
            Ok(queries) => queries,
            Err(poisoned) => poisoned.into_inner(),
        };
        queries.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_different_queries_are_kept() {
        let recent = RecentQueries::default();
        for number in 0..QUERIES_MAX + 3 {
            recent.note(&format!("query {number}"));
            recent.note("query 3");
        }
        recent.note(" ");
        recent.note(&"long".repeat(QUERY_BYTES_MAX));
        let kept = recent.list();
        assert_eq!(kept.len(), QUERIES_MAX);
        assert_eq!(&*kept[0], &format!("query {}", QUERIES_MAX + 2));
        assert_eq!(kept.iter().filter(|query| &***query == "query 3").count(), 1);
    }
}
