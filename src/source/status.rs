//! How a source is doing, as others see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a source is doing, for `/readyz` and the log. Clones share the state.
#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<StatusState>>);

#[derive(Clone, Debug, Default)]
pub struct StatusState {
    /// Why the source gives nothing at the moment: the broker does not answer, the file is gone.
    pub trouble: Option<String>,
    /// Whether the input has been read to its end (a file that is not followed).
    pub finished: bool,
    /// Messages known to be waiting at the source, by partition name.
    pub lag: BTreeMap<String, u64>,
    /// The newest range that was lost in a partition, by its name.
    pub lost: BTreeMap<String, Lost>,
    /// How many positions all lost ranges have together, since the start.
    pub lost_messages: u64,
}

/// Messages that were removed at the source before they were read. Some of the positions may never have held one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub first: u64,
    pub last: u64,
}

impl Lost {
    /// How many positions there are from the first to the last.
    pub fn count(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

impl Status {
    /// A copy of the state at this moment.
    pub fn state(&self) -> StatusState {
        self.lock().clone()
    }

    /// What a question to the state at this moment is answered.
    pub fn look<T>(&self, question: impl FnOnce(&StatusState) -> T) -> T {
        question(&self.lock())
    }

    /// Says why nothing comes. Logged when it is news.
    pub fn set_trouble(&self, trouble: impl Into<String>) {
        let trouble = trouble.into();
        let mut state = self.lock();
        if state.trouble.as_ref() != Some(&trouble) {
            tracing::warn!("{trouble}");
            state.trouble = Some(trouble);
        }
    }

    pub fn clear_trouble(&self) {
        if let Some(trouble) = self.lock().trouble.take() {
            tracing::info!("over: {trouble}");
        }
    }

    /// How many messages wait at the source in a partition.
    pub fn set_lag(&self, partition: &str, messages: u64) {
        self.lock().lag.insert(partition.to_owned(), messages);
    }

    /// Says that messages of a partition are lost.
    pub fn lost(&self, partition: &str, lost: Lost) {
        let mut state = self.lock();
        state.lost_messages = state.lost_messages.saturating_add(lost.count());
        state.lost.insert(partition.to_owned(), lost);
    }

    /// Says that the input has been read to its end.
    pub fn finish(&self) {
        self.lock().finished = true;
    }

    /// No change can panic half way, so the state is whole even if a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, StatusState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
