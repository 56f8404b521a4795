//! The thread that writes cuts, at low priority, while ticks go on.

use std::error::Error;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::{Checkpointed, Cut, Durable, Store};
use crate::metrics::Metrics;

/// Behind ticks and queries, before the building of graphs: a checkpoint is to end.
const NICENESS: i32 = 10;

/// What the thread works with.
pub struct Writer {
    pub store: Store,
    pub cuts: Receiver<Cut>,
    pub durable: Arc<Durable>,
    /// Syncs what the manifest relies on and the store does not write: the dead letters.
    pub sync_others: Box<dyn Fn() -> std::io::Result<()> + Send>,
    /// Called after each attempt, with the oldest checkpoint that recovery may fall back to: the next cut may come.
    pub written: Box<dyn Fn(Option<&Checkpointed>) + Send>,
    pub metrics: Metrics,
}

impl Writer {
    /// Starts the thread. It ends when the cuts do, with the last one written.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || self.run())
    }

    fn run(mut self) {
        crate::priority::lower(NICENESS);
        while let Ok(cut) = self.cuts.recv() {
            self.write(cut);
            (self.written)(self.store.oldest());
        }
    }

    /// Writes a cut. Where that fails, the store writes its changes with the next one.
    fn write(&mut self, cut: Cut) {
        let began = Instant::now();
        let tick = cut.tick.0;
        let written = match (self.sync_others)() {
            Ok(()) => self.store.write(cut).map_err(|error| chain(&error)),
            Err(error) => {
                self.store.postpone(cut);
                Err(chain(&error))
            }
        };
        match written {
            Ok(checkpointed) => {
                self.metrics.checkpoint(Some(began.elapsed()));
                tracing::debug!(tick, took = ?began.elapsed(), "checkpoint");
                self.durable.advance(checkpointed);
            }
            Err(error) => {
                self.metrics.checkpoint(None);
                tracing::error!(
                    error,
                    "no checkpoint: what changes meanwhile is searchable, and would be read again after a restart"
                );
            }
        }
    }
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
