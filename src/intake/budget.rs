//! Numbers of bytes and of batches that what is in flight shares.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::source::NotTaken;

/// Bytes and batches in use of fixed numbers. One batch larger than all bytes passes when nothing else is in flight.
pub struct Budget {
    bytes_max: usize,
    batches_max: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: usize,
    batches: usize,
    closed: bool,
}

/// No more is given out.
#[derive(Debug)]
pub struct BudgetClosed;

impl Budget {
    pub fn new(bytes_max: usize, batches_max: usize) -> Budget {
        Budget {
            bytes_max,
            batches_max,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits until there is room for a batch.
    pub fn acquire(&self, bytes: usize) -> Result<(), BudgetClosed> {
        let mut state = self.state();
        loop {
            if state.closed {
                return Err(BudgetClosed);
            }
            if self.give(&mut state, bytes) {
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
        match self.give(&mut state, bytes) {
            true => Ok(()),
            false => Err(NotTaken::Full),
        }
    }

    fn give(&self, state: &mut State, bytes: usize) -> bool {
        let has_room = state.bytes == 0 || state.bytes + bytes <= self.bytes_max;
        if !has_room || state.batches >= self.batches_max {
            return false;
        }
        state.bytes += bytes;
        state.batches += 1;
        true
    }

    /// Gives back what one batch has used.
    pub fn release(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes -= bytes;
        state.batches -= 1;
        drop(state);
        self.freed.notify_all();
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.state().bytes
    }

    pub fn close(&self) {
        self.state().closed = true;
        self.freed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
