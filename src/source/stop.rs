//! The flag that ends a source's threads, and sleep that it interrupts.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Asks threads to end. Clones share the flag.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Sets the flag for good and wakes all who wait.
    pub fn stop(&self) {
        *self.lock() = true;
        self.0.1.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        *self.lock()
    }

    /// Sleeps for `duration`, or less when the flag is set. Returns whether it is.
    pub fn wait(&self, duration: Duration) -> bool {
        let waited = self
            .0
            .1
            .wait_timeout_while(self.lock(), duration, |stopped| !*stopped);
        let (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *stopped
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn waiting_ends_when_another_thread_stops() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::from_millis(1)));
        let other = stop.clone();
        let started = Instant::now();
        let thread = std::thread::spawn(move || other.stop());
        assert!(stop.wait(Duration::from_secs(60)));
        assert!(started.elapsed() < Duration::from_secs(30));
        thread.join().unwrap();
    }
}
