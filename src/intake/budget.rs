//! A number of bytes that batches in flight share.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::source::NotTaken;

/// Bytes in use of a fixed number. One batch larger than all of it passes when nothing else is in flight.
pub struct Budget {
    max: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    used: usize,
    closed: bool,
}

/// No more is given out.
#[derive(Debug)]
pub struct BudgetClosed;

impl Budget {
    pub fn new(max: usize) -> Budget {
        Budget {
            max,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits until there is room.
    pub fn acquire(&self, bytes: usize) -> Result<(), BudgetClosed> {
        let mut state = self.state();
        loop {
            if state.closed {
                return Err(BudgetClosed);
            }
            if state.used == 0 || state.used + bytes <= self.max {
                state.used += bytes;
                return Ok(());
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn try_acquire(&self, bytes: usize) -> Result<(), NotTaken> {
        let mut state = self.state();
        if state.closed {
            return Err(NotTaken::Closed);
        }
        if state.used > 0 && state.used + bytes > self.max {
            return Err(NotTaken::Full);
        }
        state.used += bytes;
        Ok(())
    }

    pub fn release(&self, bytes: usize) {
        self.state().used -= bytes;
        self.freed.notify_all();
    }

    pub fn used(&self) -> usize {
        self.state().used
    }

    pub fn close(&self) {
        self.state().closed = true;
        self.freed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
