//! The threads that embed beside the dataflow, so that a slow embedder never blocks a worker.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::embed_batch::{Patience, Work};
use super::lane::{Answer, Refused, Taking, Texts};
use crate::embed::Embedder;

/// What an embedder thread works with.
pub struct Threads {
    pub embedder: Arc<dyn Embedder>,
    pub texts: Texts,
    pub refused: Refused,
    pub requests: Taking,
    /// Texts given to the embedder at once.
    pub batch: usize,
    pub answers: Sender<Vec<Answer>>,
    /// Called when answers wait for a tick.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Threads {
    /// Starts `count` threads; they end when the lanes are gone or nobody takes answers any more.
    pub fn start(self, count: usize) -> std::io::Result<()> {
        let work = Work {
            embedder: self.embedder,
            texts: self.texts,
            refused: self.refused,
            meter: self.requests.meter(),
        };
        let thread = Arc::new(Thread {
            work,
            requests: self.requests,
            batch: self.batch,
            answers: self.answers,
            wake: self.wake,
        });
        for number in 0..count.max(1) {
            let thread = thread.clone();
            std::thread::Builder::new()
                .name(format!("embed-{number}"))
                .spawn(move || thread.run())?;
        }
        Ok(())
    }
}

struct Thread {
    work: Work,
    requests: Taking,
    batch: usize,
    answers: Sender<Vec<Answer>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Thread {
    /// An embedder that fails is asked for one text at a time until it answers: it is cheap to ask, and a text that
    /// makes its batch fail is alone in the end.
    fn run(&self) {
        let mut patience = Patience::default();
        let mut texts_max = self.batch;
        while let Some(mut batch) = self.requests.take(texts_max) {
            let mut answers = Vec::with_capacity(batch.len());
            let embedded = self.work.embed(&batch, &mut answers);
            let failed = batch.split_off(answers.len());
            if !answers.is_empty() {
                self.requests.succeeded();
                if self.answers.send(answers).is_err() {
                    return;
                }
                (self.wake)();
            }
            match embedded {
                Ok(()) => {
                    patience = Patience::default();
                    texts_max = self.batch;
                }
                Err(error) => {
                    let wait = patience.next();
                    tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "embedding failed");
                    texts_max = 1;
                    self.requests.give_back(failed);
                    self.requests.rest(wait);
                }
            }
        }
    }
}
