//! Work that computes: on blocking threads, a bounded number at once; its panics become errors.

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use super::error::ApiError;

/// A number of places for work. Who finds none waits; how many wait is bounded by the connections.
pub struct Lane(Arc<Semaphore>);

impl Lane {
    /// Twice the cores, since the two legs of a search are not always equally long; at least four.
    pub fn for_searches() -> Lane {
        let cores = available_parallelism().map_or(1, |cores| cores.get());
        Lane::new((2 * cores).max(4))
    }

    /// A push decodes, and waits for others to the same table: some wait while others work.
    pub fn for_pushes() -> Lane {
        Lane::new(8)
    }

    /// One at a time: two of one name would take each other's files.
    pub fn for_snapshots() -> Lane {
        Lane::new(1)
    }

    fn new(places: usize) -> Lane {
        Lane(Arc::new(Semaphore::new(places)))
    }

    /// Runs `work` when there is a place. Where the client goes away, it goes on to its end, or to that of its deadline.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = self
            .0
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|failure| {
            tracing::error!(%failure, "a request failed");
            ApiError::internal("the node failed to answer; its log says more")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_gives_its_place_back() {
        let lane = Lane::new(1);
        for _ in 0..3 {
            let failed = lane.run(|| panic!("the work is wrong")).await;
            let failed: Result<(), ApiError> = failed;
            assert_eq!(
                failed.unwrap_err().into_response().status(),
                StatusCode::INTERNAL_SERVER_ERROR
            );
        }
        assert_eq!(lane.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_works_at_once_than_there_are_places() {
        let lane = Arc::new(Lane::new(2));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (lane, now, most) = (lane.clone(), now.clone(), most.clone());
                tokio::spawn(async move {
                    let work = move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    };
                    lane.run(work).await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?} at once");
    }
}
