//! Slow work for searches, in bounded time and on a bounded number of threads.
//!
//! A search waits only so long. What it waited for goes on, and is there for the next one that asks; when too many
//! calls hang, further ones are refused at once, so that searches keep their threads.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::run::guard;
use crate::embed::Recent;
use crate::index::Deadline;

/// Calls at once. More than searches that run at once on most machines, so that they are used up only by calls that
/// nobody waits for any more.
pub(super) const CALLS_MAX: usize = 16;

/// What calls come to.
pub(super) type Numbers = Arc<[f32]>;

/// A call; its panic is its failure.
pub(super) type Work = Box<dyn FnOnce() -> Result<Numbers, String> + Send>;

/// Calls under way, and the answers of recent ones. Clones share both.
#[derive(Clone)]
pub(super) struct Calls(Arc<Shared>);

struct Shared {
    thread: &'static str,
    state: Mutex<State>,
    answered: Condvar,
}

struct State {
    recent: Recent<u128, Numbers>,
    /// By the hash of what was asked.
    calls: FxHashMap<u128, Call>,
}

/// What came of a call, for all who wait for it.
type Call = Arc<OnceLock<Result<Numbers, String>>>;

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub(super) enum NoAnswer {
    /// [`CALLS_MAX`] are under way.
    TooMany,
    /// Not within this time.
    Late(Duration),
    Failed(String),
}

impl Calls {
    /// On threads of this name; answers are kept up to so many bytes.
    pub fn new(thread: &'static str, recent_bytes_max: usize) -> Calls {
        Calls(Arc::new(Shared {
            thread,
            state: Mutex::new(State {
                recent: Recent::new(recent_bytes_max),
                calls: FxHashMap::default(),
            }),
            answered: Condvar::new(),
        }))
    }

    /// What the work comes to, or has come to when it was asked for by the same hash. The wait ends with the deadline;
    /// without a `timeout` the work is done on this thread.
    pub fn get(
        &self,
        hash: u128,
        timeout: Option<Duration>,
        deadline: &Deadline,
        work: impl FnOnce() -> Work,
    ) -> Result<Numbers, NoAnswer> {
        let shared = &self.0;
        let mut state = shared.state();
        if let Some(numbers) = state.recent.use_again(hash) {
            return Ok(numbers.clone());
        }
        let Some(timeout) = timeout else {
            drop(state);
            let numbers = guard(work()).map_err(NoAnswer::Failed)?;
            shared.state().remember(hash, &numbers);
            return Ok(numbers);
        };
        let is_full = state.calls.len() >= CALLS_MAX;
        let call = match state.calls.entry(hash) {
            Entry::Occupied(call) => call.get().clone(),
            Entry::Vacant(_) if is_full => return Err(NoAnswer::TooMany),
            Entry::Vacant(place) => {
                let call = self.start(hash, work()).map_err(NoAnswer::Failed)?;
                place.insert(call).clone()
            }
        };
        let timeout = deadline.left().map_or(timeout, |left| left.min(timeout));
        let is_open = |_: &mut State| call.get().is_none();
        drop(shared.answered.wait_timeout_while(state, timeout, is_open));
        match call.get() {
            Some(answer) => answer.clone().map_err(NoAnswer::Failed),
            None => {
                // Where it was the deadline that ended the wait, the answer says so.
                deadline.is_over();
                Err(NoAnswer::Late(timeout))
            }
        }
    }

    /// Has a thread do the work. It waits for the lock that the caller holds before it answers.
    fn start(&self, hash: u128, work: Work) -> Result<Call, String> {
        let call = Call::default();
        let (answering, shared) = (call.clone(), self.0.clone());
        let run = move || {
            let answer = guard(work);
            let mut state = shared.state();
            if let Ok(numbers) = &answer {
                state.remember(hash, numbers);
            }
            state.calls.remove(&hash);
            drop(answering.set(answer));
            drop(state);
            shared.answered.notify_all();
        };
        let thread = thread::Builder::new().name(self.0.thread.to_owned());
        thread
            .spawn(run)
            .map_err(|error| format!("no thread to run on: {error}"))?;
        Ok(call)
    }

    /// How many are under way.
    #[cfg(test)]
    pub fn under_way(&self) -> usize {
        self.0.state().calls.len()
    }
}

impl State {
    fn remember(&mut self, hash: u128, numbers: &Numbers) {
        self.recent.put(hash, numbers.clone(), size_of_val(&**numbers));
        self.recent.trim();
    }
}

impl Shared {
    /// The state is whole even after a panic elsewhere: each method leaves it so.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
