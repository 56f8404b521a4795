//! The threads that embed beside the dataflow, so that a slow embedder never blocks a worker.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::embed_batch::{Patience, Work};
use super::lane::{Answer, Refused, Taking, Texts};
use crate::embed::{EmbedError, Embedder};

/// A text that fails so often right after another has been embedded is at fault itself, whatever the embedder says. An
/// embedder that fails half of the time loses one suspect in a thousand so.
const FAULTS_MAX: u32 = 10;

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
    /// An embedder that fails is asked for one text at a time until it answers: it is cheap to ask. A text that makes
    /// its batch fail is alone when it comes again, and refused when it has failed often while the embedder was well.
    fn run(&self) {
        let mut patience = Patience::default();
        let mut texts_max = self.batch;
        while let Some(mut batch) = self.requests.take(texts_max) {
            let suspect = match &batch[..] {
                [request] if self.requests.failures(request.hash) > 1 => Some(request.hash),
                _ => None,
            };
            if suspect.is_some()
                && let Err(error) = self.work.probe()
            {
                self.requests.give_back(batch);
                self.rest(&mut patience, &error);
                continue;
            }
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
                    let faults = suspect.map_or(0, |hash| self.requests.count_fault(hash));
                    if faults >= FAULTS_MAX {
                        let refused = failed.iter().map(|request| self.work.refuse(request, &error));
                        if self.answers.send(refused.collect()).is_err() {
                            return;
                        }
                        (self.wake)();
                        continue;
                    }
                    texts_max = 1;
                    self.requests.give_back(failed);
                    self.rest(&mut patience, &error);
                }
            }
        }
    }

    fn rest(&self, patience: &mut Patience, error: &EmbedError) {
        let wait = patience.next();
        tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "embedding failed");
        self.requests.rest(wait);
    }
}
