//! How far everything is durable, and who waits for more.

use std::collections::BTreeMap;
use std::sync::Arc;

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
#[derive(Debug, Default)]
pub struct Durable(watch::Sender<Checkpointed>);

impl Durable {
    pub fn new(recovered: Checkpointed) -> Durable {
        Durable(watch::Sender::new(recovered))
    }

    pub fn newest(&self) -> Checkpointed {
        self.0.borrow().clone()
    }

    pub fn advance(&self, checkpointed: Checkpointed) {
        self.0.send_replace(checkpointed);
    }

    /// The first checkpoint, from now on, that covers `tick`.
    pub async fn wait_for(&self, tick: Tick) -> Checkpointed {
        let mut newest = self.0.subscribe();
        // The sender lives in `self`, so the channel is open.
        match newest.wait_for(|checkpointed| checkpointed.tick >= tick).await {
            Ok(checkpointed) => checkpointed.clone(),
            Err(_) => self.newest(),
        }
    }
}
