//! Work handed out among a few threads.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Items that a thread takes at once.
const CHUNK: usize = 16;

/// Does `work` on every item, each with what `memory` gave its thread; in no order.
///
/// Threads are as low in priority as the one that asks. One that cannot be started is done without.
pub fn for_each<T: Send, M>(
    items: Vec<T>,
    threads: usize,
    memory: impl Fn() -> M + Sync,
    work: impl Fn(&mut M, T) + Sync,
) {
    let threads = threads.min(items.len().div_ceil(CHUNK));
    let items = Mutex::new(items.into_iter());
    let run = || {
        let mut memory = memory();
        loop {
            let chunk: Vec<T> = {
                // A thread that panicked left the iterator whole; the panic itself reaches who asks.
                let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
                items.by_ref().take(CHUNK).collect()
            };
            if chunk.is_empty() {
                return;
            }
            chunk.into_iter().for_each(|item| work(&mut memory, item));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            let helper = thread::Builder::new().name("vector-graphs".into());
            // Without it, the others do its share.
            drop(helper.spawn_scoped(scope, run));
        }
        run();
    });
}
