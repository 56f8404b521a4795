//! Ctrl-C and SIGTERM.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both, from the moment it is made: none that comes between two calls of [`Signals::next`] is lost.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Ends the process at the next signal: what is acknowledged is on disk at any moment.
    pub fn end_at_the_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("told twice: ending at once");
            std::process::exit(130);
        });
    }
}
