//! The threads that embed beside the dataflow, so that a slow embedder never blocks a worker.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::embed_batch::embed_patiently;
use super::lane::{Answer, Refused, Request, Texts};
use crate::embed::Embedder;

/// What an embedder thread works with.
pub struct Threads {
    pub embedder: Arc<dyn Embedder>,
    pub texts: Texts,
    pub refused: Refused,
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
            let answers = embed_patiently(&*self.embedder, &self.texts, &self.refused, &batch);
            if self.answers.send(answers).is_err() {
                return;
            }
            (self.wake)();
        }
    }
}
