//! The text of a query -> its vector, in bounded time, on a bounded number of threads.
//!
//! A search waits for a slow embedder only so long. What it waited for goes on, and is there for the next one that
//! asks; when too many calls hang, further ones are refused at once, so that searches keep their threads.

use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::run::PANICKED;
use crate::embed::{Embedder, Health, Recent};
use crate::index::Deadline;

/// For vectors of recent queries: some ten thousand of 384 dimensions.
const RECENT_BYTES_MAX: usize = 16 << 20;

/// Calls of the embedder at once for queries. More than searches that run at once on most machines, so that they are
/// used up only by calls that nobody waits for any more.
const CALLS_MAX: usize = 16;

type QueryVector = Arc<[f32]>;

/// Embeds queries. Clones share their vectors and calls.
#[derive(Clone)]
pub(super) struct QueryEmbedder(Arc<Shared>);

struct Shared {
    embedder: Arc<dyn Embedder>,
    /// `None`: a search waits for as long as it takes.
    timeout: Option<Duration>,
    state: Mutex<State>,
    answered: Condvar,
}

struct State {
    recent: Recent<u128, QueryVector>,
    /// By the hash of the text.
    calls: FxHashMap<u128, Call>,
}

/// What came of a call, for all who wait for it.
type Call = Arc<OnceLock<Result<QueryVector, String>>>;

impl QueryEmbedder {
    /// A search waits so long.
    pub fn new(embedder: Arc<dyn Embedder>, timeout: Duration) -> QueryEmbedder {
        QueryEmbedder::with(embedder, Some(timeout))
    }

    /// The same, but never out of time.
    pub fn patient(&self) -> QueryEmbedder {
        QueryEmbedder::with(self.0.embedder.clone(), None)
    }

    fn with(embedder: Arc<dyn Embedder>, timeout: Option<Duration>) -> QueryEmbedder {
        QueryEmbedder(Arc::new(Shared {
            embedder,
            timeout,
            state: Mutex::new(State {
                recent: Recent::new(RECENT_BYTES_MAX),
                calls: FxHashMap::default(),
            }),
            answered: Condvar::new(),
        }))
    }

    /// How the service behind the embedder is doing, where there is one.
    pub fn health(&self) -> Option<Health> {
        self.0.embedder.health()
    }

    /// The vector of a query's text, or why there is none. The wait for a slow embedder ends with the deadline.
    pub fn embed(&self, text: &str, deadline: &Deadline) -> Result<QueryVector, String> {
        let shared = &self.0;
        let hash = xxh3_128(text.as_bytes());
        let mut state = shared.state();
        if let Some(vector) = state.recent.use_again(hash) {
            return Ok(vector.clone());
        }
        let Some(timeout) = shared.timeout.filter(|_| !shared.embedder.is_fast()) else {
            drop(state);
            let vector = shared.call(text)?;
            shared.state().remember(hash, &vector);
            return Ok(vector);
        };
        let busy = state.calls.len() >= CALLS_MAX;
        let call = match state.calls.entry(hash) {
            Entry::Occupied(call) => call.get().clone(),
            Entry::Vacant(_) if busy => {
                return Err(format!(
                    "model {} has not answered the last {CALLS_MAX} queries yet",
                    shared.embedder.model()
                ));
            }
            Entry::Vacant(place) => place.insert(self.start(hash, text)?).clone(),
        };
        let timeout = deadline.left().map_or(timeout, |left| left.min(timeout));
        let is_open = |_: &mut State| call.get().is_none();
        drop(shared.answered.wait_timeout_while(state, timeout, is_open));
        call.get().cloned().unwrap_or_else(|| {
            // Where it was the deadline that ended the wait, the answer says so.
            deadline.is_over();
            Err(format!(
                "model {} has not answered within {} ms",
                shared.embedder.model(),
                timeout.as_millis()
            ))
        })
    }

    /// Has a thread embed the text. It waits for the lock that the caller holds before it answers.
    fn start(&self, hash: u128, text: &str) -> Result<Call, String> {
        let call = Call::default();
        let (answering, shared, text) = (call.clone(), self.0.clone(), text.to_owned());
        let run = move || {
            let answer = shared.call(&text);
            let mut state = shared.state();
            if let Ok(vector) = &answer {
                state.remember(hash, vector);
            }
            state.calls.remove(&hash);
            drop(answering.set(answer));
            drop(state);
            shared.answered.notify_all();
        };
        let thread = thread::Builder::new().name("embed-query".to_owned());
        thread
            .spawn(run)
            .map_err(|error| format!("no thread to run on: {error}"))?;
        Ok(call)
    }
}

impl State {
    fn remember(&mut self, hash: u128, vector: &QueryVector) {
        self.recent.put(hash, vector.clone(), size_of_val(&**vector));
        self.recent.trim();
    }
}

impl Shared {
    /// The embedder may be a user's own, and its mistake must not reach the index.
    fn call(&self, text: &str) -> Result<QueryVector, String> {
        let embedder = &*self.embedder;
        let embedded = catch_unwind(AssertUnwindSafe(|| embedder.embed_query(text)));
        let vector = embedded.map_err(|_| PANICKED.to_owned())?;
        let is_usable = |vector: &Vec<f32>| {
            vector.len() == embedder.dimensions() && vector.iter().all(|number| number.is_finite())
        };
        let vector = vector.map_err(|error| error.to_string())?;
        match is_usable(&vector) {
            true => Ok(vector.into()),
            false => Err(format!(
                "model {} did not give one vector of the index's dimensions",
                embedder.model()
            )),
        }
    }

    /// The state is whole even after a panic elsewhere: each method leaves it so.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::embed::EmbedError;

    /// A service that answers when it is let, and counts how often it was asked.
    #[derive(Default)]
    struct Gated {
        open: Mutex<bool>,
        opened: Condvar,
        calls: AtomicUsize,
    }

    impl Gated {
        fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    impl Embedder for Gated {
        fn model(&self) -> &str {
            "gated"
        }

        fn dimensions(&self) -> usize {
            2
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let open = self.open.lock().unwrap();
            drop(self.opened.wait_while(open, |open| !*open).unwrap());
            Ok(texts.iter().map(|text| vec![text.len() as f32, 1.0]).collect())
        }
    }

    fn embedder(service: &Arc<Gated>, timeout: Duration) -> QueryEmbedder {
        QueryEmbedder::new(service.clone(), timeout)
    }

    #[test]
    fn a_hanging_service_costs_a_search_its_time_out_and_holds_a_bounded_number_of_threads() {
        let service = Arc::<Gated>::default();
        let queries = embedder(&service, Duration::from_millis(1));
        for number in 0..CALLS_MAX {
            let error = queries
                .embed(&format!("query {number}"), &Deadline::never())
                .unwrap_err();
            assert!(error.contains("gated has not answered within 1 ms"), "{error}");
        }
        // Further ones are refused, but those under way are still waited for.
        let error = queries.embed("one more", &Deadline::never()).unwrap_err();
        assert!(error.contains("the last 16 queries"), "{error}");
        assert!(
            queries
                .embed("query 3", &Deadline::never())
                .unwrap_err()
                .contains("within")
        );

        service.open();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !queries.0.state().calls.is_empty() {
            assert!(Instant::now() < deadline, "calls come to their end");
            thread::yield_now();
        }
        assert_eq!(service.calls.load(Ordering::SeqCst), CALLS_MAX);
        // What nobody waited for is there now.
        assert_eq!(*queries.embed("query 3", &Deadline::never()).unwrap(), [7.0, 1.0]);
        assert_eq!(service.calls.load(Ordering::SeqCst), CALLS_MAX);
    }

    #[test]
    fn searches_for_the_same_words_share_one_call() {
        let service = Arc::<Gated>::default();
        let queries = embedder(&service, Duration::from_secs(60));
        let searches: Vec<_> = (0..8)
            .map(|_| {
                let queries = queries.clone();
                thread::spawn(move || queries.embed("red shoe", &Deadline::never()))
            })
            .collect();
        service.open();
        for search in searches {
            assert_eq!(*search.join().unwrap().unwrap(), [8.0, 1.0]);
        }
        assert_eq!(service.calls.load(Ordering::SeqCst), 1);
        assert!(
            queries.embed("blue shoe", &Deadline::never()).is_ok(),
            "a call that has ended leaves its place"
        );
        assert_eq!(service.calls.load(Ordering::SeqCst), 2);
    }
}
