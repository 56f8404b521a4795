//! The thread that writes cuts, at low priority, while ticks go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::{Cut, Durable, Store, TableCut};
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
    /// Called after each attempt: the next cut may come.
    pub written: Box<dyn Fn() + Send>,
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
        let mut unwritten: Option<Cut> = None;
        while let Ok(cut) = self.cuts.recv() {
            let cut = match unwritten.take() {
                Some(earlier) => together(earlier, cut),
                None => cut,
            };
            unwritten = self.write(cut);
            (self.written)();
        }
    }

    /// Writes a cut, and gives it back where that failed: the next one takes it along.
    fn write(&mut self, cut: Cut) -> Option<Cut> {
        let began = Instant::now();
        let written = (self.sync_others)()
            .map_err(|error| error.to_string())
            .and_then(|()| self.store.write(&cut).map_err(|error| error.to_string()));
        match written {
            Ok(checkpointed) => {
                self.metrics.checkpoint(Some(began.elapsed()));
                tracing::debug!(tick = cut.tick.0, took = ?began.elapsed(), "checkpoint");
                self.durable.advance(checkpointed);
                None
            }
            Err(error) => {
                self.metrics.checkpoint(None);
                tracing::error!(
                    error,
                    "no checkpoint: what changes meanwhile is searchable, and would be read again after a restart"
                );
                Some(cut)
            }
        }
    }
}

/// Two cuts, one after the other, as one.
fn together(mut earlier: Cut, later: Cut) -> Cut {
    earlier.texts.extend(later.texts);
    let tables = earlier.tables.into_iter().zip(later.tables);
    Cut {
        texts: earlier.texts,
        tables: tables.map(|(earlier, later)| newest(earlier, later)).collect(),
        ..later
    }
}

fn newest(earlier: TableCut, later: TableCut) -> TableCut {
    let mut keys: HashMap<_, _> = earlier.keys.into_iter().collect();
    keys.extend(later.keys);
    TableCut {
        truncated: later.truncated,
        keys: keys.into_iter().collect(),
    }
}
