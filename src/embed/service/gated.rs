//! A service behind its gate: asked when it may be, again while there is time, and told apart where it fails.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::client::{Answer, Client, Endpoint, Question};
use super::gate::{Entry, Gate, Outcome};
use crate::embed::Health;

/// A service, and when it may be asked.
pub struct Gated {
    client: Client,
    gate: Mutex<Gate>,
    /// Somebody has left the gate.
    left: Condvar,
}

/// Why a service gave no answer.
#[derive(Debug)]
pub struct Unanswered {
    pub reason: String,
    /// Whether it may answer the same question later.
    pub retry: bool,
}

impl Gated {
    /// It is asked by so many at once, besides those for whom somebody waits.
    ///
    /// # Errors
    /// The environment variable with the key is not set, or holds what cannot stand in a header.
    pub fn new(endpoint: &Endpoint, parallel: usize) -> Result<Gated, String> {
        Ok(Gated {
            client: Client::new(endpoint)?,
            gate: Mutex::new(Gate::new(parallel)),
            left: Condvar::new(),
        })
    }

    pub fn health(&self) -> Health {
        self.gate().health()
    }

    /// Asks, again and again while `patience` lasts. `urgent`: somebody waits, and needs no place.
    pub fn ask<T>(
        &self,
        question: &Question<'_, T>,
        patience: Duration,
        urgent: bool,
    ) -> Result<T, Unanswered> {
        let deadline = Instant::now() + patience;
        loop {
            let pass = self.enter(deadline, urgent)?;
            let reason = match self.client.ask(question) {
                Answer::Read(answer) => {
                    pass.leave(Outcome::Answered);
                    return Ok(answer);
                }
                Answer::Refused(reason) => {
                    pass.leave(Outcome::Answered);
                    return Err(Unanswered { reason, retry: false });
                }
                Answer::Busy { retry_after } => {
                    pass.leave(Outcome::Busy { retry_after });
                    "it has too much to do (429)".to_owned()
                }
                Answer::Failed(reason) => {
                    pass.leave(Outcome::Failed {
                        reason: reason.clone(),
                    });
                    reason
                }
            };
            if Instant::now() >= deadline {
                return Err(Unanswered { reason, retry: true });
            }
        }
    }

    /// Waits until the service may be asked.
    fn enter(&self, deadline: Instant, urgent: bool) -> Result<Pass<'_>, Unanswered> {
        let mut gate = self.gate();
        loop {
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            let wait = match gate.enter(now, urgent) {
                Entry::Go => {
                    return Ok(Pass {
                        service: self,
                        begun: now,
                        left: false,
                    });
                }
                Entry::Full => left,
                Entry::Wait(wait) => wait,
                Entry::Closed => Duration::MAX,
            };
            if wait > left || left.is_zero() {
                let reason = gate.health().reason;
                let reason = reason.unwrap_or_else(|| "all its places are taken".to_owned());
                return Err(Unanswered {
                    reason: format!("it is not asked for a while: {reason}"),
                    retry: true,
                });
            }
            let waited = self.left.wait_timeout(gate, wait);
            gate = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to ask the service, once.
struct Pass<'a> {
    service: &'a Gated,
    begun: Instant,
    left: bool,
}

impl Pass<'_> {
    fn leave(mut self, outcome: Outcome) {
        self.left = true;
        let chance = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
        self.service
            .gate()
            .leave(Instant::now(), self.begun, chance, outcome);
        self.service.left.notify_all();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.service.gate().abandon();
            self.service.left.notify_all();
        }
    }
}
