//! Syncs a log on a thread of its own: one sync serves all who wait for it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::watch;

use super::Kept;
use super::log::Log;
use crate::change::Offset;

/// The sync that a push waited for failed, and so did writing again what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log could not be synced")]
pub struct NotSynced;

/// Asks for syncs, and waits for what they reach.
pub struct Syncer {
    /// Holds one: who asks while a sync runs is served by the next, together with all others.
    asked: Option<Sender<()>>,
    reached: Arc<watch::Sender<Reached>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Reached {
    /// What is before survives a crash.
    durable: u64,
    failures: u64,
}

impl Syncer {
    /// Ends when it is dropped, after a last sync.
    pub fn start(kept: Arc<Kept>, table: &str) -> io::Result<Syncer> {
        let (asked, asks) = crossbeam_channel::bounded(1);
        let reached = Arc::new(watch::Sender::new(Reached {
            durable: kept.lock().0.durable(),
            failures: 0,
        }));
        let telling = reached.clone();
        let name = format!("sync {table}");
        let run = move || run(&kept, &asks, &telling);
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Syncer {
            asked: Some(asked),
            reached,
            thread: Some(thread),
        })
    }

    /// Asks for a sync, and waits for none.
    pub fn wake(&self) {
        if let Some(asked) = &self.asked {
            // Full: the sync that was asked for has not begun, and will serve this one too.
            let _ = asked.try_send(());
        }
    }

    /// Syncs on this thread what is not durable.
    pub fn sync(&self, kept: &Kept) {
        sync(kept, &self.reached);
    }

    /// Waits until a position is durable.
    pub async fn durable(&self, position: Offset) -> Result<(), NotSynced> {
        let mut reached = self.reached.subscribe();
        let failures = reached.borrow_and_update().failures;
        self.wake();
        let is_over = |reached: &Reached| reached.durable > position.0 || reached.failures > failures;
        match reached.wait_for(is_over).await {
            Ok(reached) if reached.durable > position.0 => Ok(()),
            // The sender lives in `self`, so the channel is open.
            _ => Err(NotSynced),
        }
    }

    /// Tells those who wait how far a log is durable.
    pub fn tell(&self, log: &Log) {
        tell(&self.reached, log);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            super::super::join(thread);
        }
    }
}

fn run(kept: &Kept, asks: &Receiver<()>, reached: &watch::Sender<Reached>) {
    while asks.recv().is_ok() {
        sync(kept, reached);
    }
    sync(kept, reached);
}

fn sync(kept: &Kept, reached: &watch::Sender<Reached>) {
    let pending = {
        let (log, _) = &*kept.lock();
        // A segment that ended was synced where it ended.
        tell(reached, log);
        log.pending()
    };
    let Some(pending) = pending else {
        return;
    };
    // Without the lock: others append meanwhile.
    let synced = pending.sync();
    let (log, _) = &mut *kept.lock();
    match synced {
        Ok(()) => log.synced(&pending),
        Err(error) => {
            tracing::error!(%error, "the push log could not be synced");
            // At once, while the system still has what it could not write.
            if let Err(error) = log.close() {
                tracing::error!(%error, "and what is in doubt could not be written again");
                reached.send_modify(|reached| reached.failures += 1);
            }
        }
    }
    tell(reached, log);
}

/// Called with the log's lock held, so that it never goes back.
fn tell(reached: &watch::Sender<Reached>, log: &Log) {
    reached.send_if_modified(|reached| {
        let is_news = reached.durable != log.durable();
        reached.durable = log.durable();
        is_news
    });
}
