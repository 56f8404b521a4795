//! For which documents of a segment a condition is true, and for which it is false; null for the others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::docs::Docs;
use crate::definition::Expression;

/// A condition's answer, in SQL's three values.
#[derive(Clone)]
pub(super) struct Verdict {
    pub yes: Docs,
    pub no: Docs,
}

impl Verdict {
    pub fn not(self) -> Verdict {
        Verdict {
            yes: self.no,
            no: self.yes,
        }
    }
}

/// Conditions that a segment keeps the answers to: at most this many times a quarter of a byte per document.
const CACHED_MAX: usize = 64;

/// Smaller segments answer as fast as the cache, and do not live long.
const CACHED_SIZE_MIN: u32 = 1_000;

/// The answers to a segment's latest conditions, over living and dead: so they hold as long as the segment.
#[derive(Default)]
pub(super) struct VerdictCache(Mutex<VecDeque<(Expression, Arc<Verdict>)>>);

impl VerdictCache {
    /// The kept answer, or what `answer` gives.
    pub fn get<E>(
        &self,
        condition: &Expression,
        size: u32,
        answer: impl FnOnce() -> Result<Verdict, E>,
    ) -> Result<Arc<Verdict>, E> {
        if size < CACHED_SIZE_MIN {
            return answer().map(Arc::new);
        }
        if let Some(known) = self.take(condition) {
            return Ok(known);
        }
        // Answered outside the lock: two readers may both do it, and none waits.
        let verdict = Arc::new(answer()?);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CACHED_MAX {
            entries.pop_front();
        }
        entries.push_back((condition.clone(), verdict.clone()));
        Ok(verdict)
    }

    /// The kept answer, which becomes the latest.
    fn take(&self, condition: &Expression) -> Option<Arc<Verdict>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().rposition(|(known, _)| known == condition)?;
        let entry = entries.remove(at)?;
        let verdict = entry.1.clone();
        entries.push_back(entry);
        Some(verdict)
    }
}
