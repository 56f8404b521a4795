//! The threads that embed beside the dataflow, so that a slow embedder never blocks a worker.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::lane::{Answer, Request, Texts, embed_batch};
use crate::embed::Embedder;

/// The first and the longest wait before a batch is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What an embedder thread works with.
pub struct Threads {
    pub embedder: Arc<dyn Embedder>,
    pub texts: Texts,
    pub requests: Receiver<Vec<Request>>,
    pub answers: Sender<Vec<Answer>>,
    /// Called when answers wait for a tick.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Threads {
    /// Starts `count` threads; they end when the lanes are gone or nobody takes answers any more.
    pub fn start(self, count: usize) -> std::io::Result<()> {
        let threads = Arc::new(self);
        for number in 0..count.max(1) {
            let threads = threads.clone();
            std::thread::Builder::new()
                .name(format!("embed-{number}"))
                .spawn(move || threads.run())?;
        }
        Ok(())
    }

    fn run(&self) {
        for batch in &self.requests {
            let mut wait = RETRY_FIRST;
            let answers = loop {
                match embed_batch(&*self.embedder, &self.texts, &batch) {
                    Ok(answers) => break answers,
                    Err(error) => {
                        tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "embedding failed");
                        std::thread::sleep(wait);
                        wait = (wait * 2).min(RETRY_MAX);
                    }
                }
            };
            if self.answers.send(answers).is_err() {
                return;
            }
            (self.wake)();
        }
    }
}
