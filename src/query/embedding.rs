//! The text of a query -> its vector, in bounded time: a search waits for a slow embedder only so long.

use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use super::calls::{CALLS_MAX, Calls, NoAnswer, Numbers};
use crate::embed::{Embedder, Health};
use crate::index::Deadline;

/// For vectors of recent queries: some ten thousand of 384 dimensions.
const RECENT_BYTES_MAX: usize = 16 << 20;

/// Embeds queries. Clones share their vectors and calls.
#[derive(Clone)]
pub(super) struct QueryEmbedder(Arc<Shared>);

struct Shared {
    embedder: Arc<dyn Embedder>,
    /// `None`: a search waits for as long as it takes.
    timeout: Option<Duration>,
    calls: Calls,
}

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
            calls: Calls::new("embed-query", RECENT_BYTES_MAX),
        }))
    }

    /// How the service behind the embedder is doing, where there is one.
    pub fn health(&self) -> Option<Health> {
        self.0.embedder.health()
    }

    /// The vector of a query's text, or why there is none. The wait for a slow embedder ends with the deadline.
    pub fn embed(&self, text: &str, deadline: &Deadline) -> Result<Numbers, String> {
        let Shared {
            embedder,
            timeout,
            calls,
        } = &*self.0;
        let timeout = timeout.filter(|_| !embedder.is_fast());
        let vector = calls.get(xxh3_128(text.as_bytes()), timeout, deadline, || {
            let (embedder, text) = (embedder.clone(), text.to_owned());
            Box::new(move || vector(&*embedder, &text))
        });
        vector.map_err(|why| match why {
            NoAnswer::TooMany => format!(
                "model {} has not answered the last {CALLS_MAX} queries yet",
                embedder.model()
            ),
            NoAnswer::Late(time) => format!(
                "model {} has not answered within {} ms",
                embedder.model(),
                time.as_millis()
            ),
            NoAnswer::Failed(reason) => reason,
        })
    }
}

/// The embedder may be a user's own, and its mistake must not reach the index.
fn vector(embedder: &dyn Embedder, text: &str) -> Result<Numbers, String> {
    let vector = embedder.embed_query(text).map_err(|error| error.to_string())?;
    match vector.len() == embedder.dimensions() && vector.iter().all(|number| number.is_finite()) {
        true => Ok(vector.into()),
        false => Err(format!(
            "model {} did not give one vector of the index's dimensions",
            embedder.model()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};
    use std::thread;
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
        while queries.0.calls.under_way() > 0 {
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
