//! Threads that stand by for a part of a search, so that its legs run at once where a core is free.
//!
//! A thread of its own would cost each search some 60 us, and one that waits still takes its time to wake up. So a part is
//! only offered: whoever searches takes it back if nobody has begun it, and no search is slower for having offered it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Sender, bounded};

/// More cores than this answer several searches instead.
const HELPERS_MAX: usize = 16;

/// A part of a search.
type Part = Box<dyn FnOnce() + Send>;

/// A part that somebody may do, until somebody does.
#[derive(Clone)]
struct Offer(Arc<Mutex<Option<Part>>>);

impl Offer {
    /// Does the part, unless another has taken it. Should it panic, whoever waits for its answer hears that there is none.
    fn take(&self) {
        let part = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(part) = part {
            drop(catch_unwind(AssertUnwindSafe(part)));
        }
    }
}

pub(super) struct Helpers {
    offers: Sender<Offer>,
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
        let (offers, offered) = bounded::<Offer>(HELPERS_MAX);
        for _ in 0..count {
            let offered = offered.clone();
            let help = move || offered.iter().for_each(|offer| offer.take());
            // Without it, searches do more themselves.
            drop(
                thread::Builder::new()
                    .name("search-helper".to_owned())
                    .spawn(help),
            );
        }
        Helpers {
            offers,
            count,
            searches: AtomicUsize::new(0),
        }
    }

    /// Does both: `there` on the thread of a helper, if one has begun it when `here` is done, else here as well.
    /// `None`: `there` has panicked.
    pub fn join<A, B: Send + 'static>(
        &self,
        here: impl FnOnce() -> A,
        there: impl FnOnce() -> B + Send + 'static,
    ) -> (A, Option<B>) {
        let (answer, answered) = bounded(1);
        let part: Part = Box::new(move || drop(answer.send(there())));
        let offer = Offer(Arc::new(Mutex::new(Some(part))));
        // Where every core has a search, one that is helped takes from the others.
        if self.searches.fetch_add(1, Ordering::Relaxed) < self.count {
            drop(self.offers.try_send(offer.clone()));
        }
        let here = here();
        offer.take();
        let there = answered.recv().ok();
        self.searches.fetch_sub(1, Ordering::Relaxed);
        (here, there)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn thread_id() -> ThreadId {
        thread::current().id()
    }

    /// Joins a part here that waits for the other to have begun, so that one thread alone could not do both.
    fn at_once<A>(helpers: &Helpers, here: impl FnOnce() -> A) -> A {
        let (begun, begins) = bounded(1);
        let (ended, ends) = bounded::<()>(1);
        let here = move || {
            assert!(
                begins.recv_timeout(LONG).is_ok(),
                "a helper begins the other part"
            );
            let done = here();
            drop(ended);
            done
        };
        let there = move || {
            let _ = begun.send(());
            let _ = ends.recv_timeout(LONG);
            thread_id()
        };
        let (done, theirs) = helpers.join(here, there);
        assert!(theirs.is_some_and(|theirs| theirs != thread_id()));
        done
    }

    #[test]
    fn a_helper_does_its_part_at_the_same_time() {
        let helpers = Helpers::new(1);
        for _ in 0..3 {
            at_once(&helpers, || ());
        }
    }

    #[test]
    fn a_part_that_no_helper_begins_is_done_by_who_searches() {
        let is_done_here = |helpers: &Helpers| {
            let (mine, theirs) = helpers.join(thread_id, thread_id);
            assert_eq!(Some(mine), theirs);
        };
        is_done_here(&Helpers::new(0));
        // The only helper has another search: nothing is offered, or the offer is taken back.
        for count in [1, 2] {
            let helpers = Helpers {
                count,
                ..Helpers::new(1)
            };
            at_once(&helpers, || is_done_here(&helpers));
            at_once(&helpers, || ());
        }
    }

    #[test]
    fn a_part_that_panics_has_no_answer_and_takes_no_helper_away() {
        for count in [0, 1] {
            let helpers = Helpers::new(count);
            let (mine, theirs) = helpers.join(|| 7, || -> u8 { panic!("on purpose") });
            assert_eq!((mine, theirs), (7, None));
            if count > 0 {
                at_once(&helpers, || ());
            }
        }
    }
}
