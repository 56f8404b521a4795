//! Threads that stand by for a part of a search, so that its legs run at once.
//!
//! A thread of its own would cost each search some 60 us. And where every core has a search already, a second thread only
//! takes from the others: there whoever searches does both parts itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// More cores than this answer several searches instead.
const HELPERS_MAX: usize = 16;

/// A part of a search.
type Part = Box<dyn FnOnce() + Send>;

pub(super) struct Helpers {
    /// Holds nothing: what is sent is in the hands of a thread that has waited for it.
    parts: Sender<Part>,
    count: usize,
    /// Searches that have two parts at this moment.
    searches: AtomicUsize,
}

impl Helpers {
    /// Those of the process: one for each core but the one that searches itself. They wait for as long as it lives.
    pub fn of_process() -> &'static Helpers {
        static HELPERS: LazyLock<Helpers> = LazyLock::new(|| {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            Helpers::new((cores - 1).min(HELPERS_MAX))
        });
        &HELPERS
    }

    fn new(count: usize) -> Helpers {
        let (parts, waiting) = bounded::<Part>(0);
        for _ in 0..count {
            let waiting: Receiver<Part> = waiting.clone();
            let help = move || {
                for part in waiting {
                    // Who asks hears of it: the answer never comes.
                    drop(catch_unwind(AssertUnwindSafe(part)));
                }
            };
            // Without it, searches do more themselves.
            drop(
                thread::Builder::new()
                    .name("search-helper".to_owned())
                    .spawn(help),
            );
        }
        Helpers {
            parts,
            count,
            searches: AtomicUsize::new(0),
        }
    }

    /// Does both: `there` on the thread of a helper, if one waits, else here as well. `None`: `there` has panicked.
    pub fn join<A, B: Send + 'static>(
        &self,
        here: impl FnOnce() -> A,
        there: impl FnOnce() -> B + Send + 'static,
    ) -> (A, Option<B>) {
        let (answer, answered) = bounded(1);
        let part: Part = Box::new(move || drop(answer.send(there())));
        let others = self.searches.fetch_add(1, Ordering::Relaxed);
        let refused = match others < self.count {
            true => match self.parts.try_send(part) {
                Ok(()) => None,
                Err(TrySendError::Full(part) | TrySendError::Disconnected(part)) => Some(part),
            },
            false => Some(part),
        };
        let here = here();
        if let Some(part) = refused {
            drop(catch_unwind(AssertUnwindSafe(part)));
        }
        let there = answered.recv().ok();
        self.searches.fetch_sub(1, Ordering::Relaxed);
        (here, there)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;
    use std::time::{Duration, Instant};

    use super::*;

    fn thread_id() -> ThreadId {
        thread::current().id()
    }

    /// Until the helper waits, which is when it is given a part.
    fn helped(helpers: &Helpers) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while helpers.join(|| (), thread_id).1 == Some(thread_id()) {
            assert!(Instant::now() < deadline, "a helper comes to wait");
            thread::yield_now();
        }
    }

    #[test]
    fn a_helper_that_waits_does_its_part_at_the_same_time() {
        let helpers = Helpers::new(1);
        for _ in 0..3 {
            helped(&helpers);
        }
    }

    #[test]
    fn without_a_helper_that_is_free_both_parts_are_done_here() {
        let (mine, theirs) = Helpers::new(0).join(thread_id, thread_id);
        assert_eq!(Some(mine), theirs);

        let helpers = Helpers::new(1);
        helped(&helpers);
        let (inner, _) = helpers.join(|| helpers.join(thread_id, thread_id), || ());
        assert_eq!(Some(inner.0), inner.1, "another search has the helper");
        helped(&helpers);
    }

    #[test]
    fn a_part_that_panics_has_no_answer_and_takes_no_helper_away() {
        let helpers = Helpers::new(1);
        for _ in 0..2 {
            helped(&helpers);
            let (mine, theirs) = helpers.join(|| 7, || -> u8 { panic!("on purpose") });
            assert_eq!((mine, theirs), (7, None));
        }
    }
}
