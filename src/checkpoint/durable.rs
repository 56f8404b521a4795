//! How far everything is durable, and who waits for more.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::change::Tick;

/// The newest checkpoint: what it covers survives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpointed {
    pub tick: Tick,
    /// The last position of each partition, as `table/partition`.
    pub positions: Arc<BTreeMap<String, u64>>,
}

/// The newest checkpoint of a node, shared by all who act on it.
#[derive(Default)]
pub struct Durable {
    newest: watch::Sender<Checkpointed>,
    ask: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Durable {
    pub fn newest(&self) -> Checkpointed {
        self.newest.borrow().clone()
    }

    pub fn advance(&self, checkpointed: Checkpointed) {
        self.newest.send_replace(checkpointed);
    }

    /// How a checkpoint is asked for. The first call counts.
    pub fn asked_by(&self, ask: impl Fn() + Send + Sync + 'static) {
        let _ = self.ask.set(Box::new(ask));
    }

    /// The first checkpoint that covers `tick`, and does not wait until it would be due.
    pub async fn make(&self, tick: Tick) -> Checkpointed {
        if self.newest().tick < tick
            && let Some(ask) = self.ask.get()
        {
            ask();
        }
        self.wait_for(tick).await
    }

    /// The first checkpoint, from now on, that covers `tick`.
    pub async fn wait_for(&self, tick: Tick) -> Checkpointed {
        let mut newest = self.newest.subscribe();
        // The sender lives in `self`, so the channel is open.
        match newest.wait_for(|checkpointed| checkpointed.tick >= tick).await {
            Ok(checkpointed) => checkpointed.clone(),
            Err(_) => self.newest(),
        }
    }
}
