//! An embedding service over HTTP: `{ url = ..., api = ... }`.
//!
//! Texts go in batches, bounded by count and by estimated tokens. `api` has the formats, `gate` when and by how many
//! at once the service is asked, `client` what an answer means. A call waits some seconds where that helps; a service
//! that is down is an error at once, to be tried again, and nothing is lost.

mod api;
mod client;
mod gate;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::client::{Answer, Client};
use self::gate::{Entry, Gate, Outcome};
use super::{EmbedError, Embedder, Health};
use crate::definition::ServiceModel;

/// How long a call for documents waits for its turn, and after failures, all in all. The texts it holds cannot be
/// withdrawn meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A model behind a service.
pub struct Service {
    settings: ServiceModel,
    client: Client,
    batch: usize,
    gate: Mutex<Gate>,
    /// Somebody has left the gate.
    left: Condvar,
}

impl Service {
    /// # Errors
    /// The environment variable with the key is not set, or holds what cannot stand in a header.
    pub fn new(settings: &ServiceModel, batch: usize, parallel: usize) -> Result<Service, EmbedError> {
        let client = Client::new(settings).map_err(|reason| EmbedError {
            model: settings.name.clone(),
            reason,
            retry: false,
        })?;
        Ok(Service {
            settings: settings.clone(),
            client,
            batch: batch.max(1),
            gate: Mutex::new(Gate::new(parallel)),
            left: Condvar::new(),
        })
    }

    /// Asks for the vectors of a batch, again and again while `patience` lasts.
    fn ask(&self, texts: &[&str], patience: Duration, urgent: bool) -> Result<Vec<Vec<f32>>, EmbedError> {
        let deadline = Instant::now() + patience;
        loop {
            let pass = self.enter(deadline, urgent)?;
            let reason = match self.client.ask(texts) {
                Answer::Vectors(vectors) => {
                    pass.leave(Outcome::Answered);
                    return Ok(vectors);
                }
                Answer::Refused(reason) => {
                    pass.leave(Outcome::Answered);
                    return Err(self.error(reason, false));
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
                return Err(self.error(reason, true));
            }
        }
    }

    /// Waits until the service may be asked.
    fn enter(&self, deadline: Instant, urgent: bool) -> Result<Pass<'_>, EmbedError> {
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
                return Err(self.error(format!("it is not asked for a while: {reason}"), true));
            }
            let waited = self.left.wait_timeout(gate, wait);
            gate = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, reason: String, retry: bool) -> EmbedError {
        EmbedError {
            model: self.settings.name.clone(),
            reason,
            retry,
        }
    }
}

/// Leave to ask the service, once.
struct Pass<'a> {
    service: &'a Service,
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

impl Embedder for Service {
    fn model(&self) -> &str {
        &self.settings.name
    }

    fn dimensions(&self) -> usize {
        self.settings.dimensions
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in batches(texts, self.batch, self.settings.batch_tokens) {
            vectors.extend(self.ask(batch, WAIT_MAX, false)?);
        }
        Ok(vectors)
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let mut vectors = self.ask(&[text], Duration::ZERO, true)?;
        vectors
            .pop()
            .ok_or_else(|| self.error("no vector".to_owned(), true))
    }

    fn health(&self) -> Option<Health> {
        Some(self.gate().health())
    }
}

/// Slices of at most so many texts and, but for a text that is longer alone, so many tokens.
fn batches<'a, 't>(
    texts: &'a [&'t str],
    texts_max: usize,
    tokens_max: usize,
) -> impl Iterator<Item = &'a [&'t str]> {
    let mut rest = texts;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fits = rest.iter().take(texts_max).take_while(|text| {
            tokens += tokens_of(text);
            tokens <= tokens_max
        });
        let count = fits.count().max(1).min(rest.len());
        let (batch, after) = rest.split_at_checked(count)?;
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Rather too many: a token has four bytes of English, and fewer of most other languages.
fn tokens_of(text: &str) -> usize {
    text.len() / 3 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_texts_and_by_tokens() {
        let long = "x".repeat(90);
        let texts = ["a", "b", "c", &long, "d", "e", &long, &long];
        let sizes = |texts_max, tokens_max| -> Vec<usize> {
            let batches: Vec<&[&str]> = batches(&texts, texts_max, tokens_max).collect();
            assert_eq!(batches.concat(), texts);
            batches.iter().map(|batch| batch.len()).collect()
        };
        assert_eq!(sizes(100, 1000), [8]);
        assert_eq!(sizes(3, 1000), [3, 3, 2]);
        assert_eq!(sizes(100, 34), [4, 3, 1]);
        assert_eq!(sizes(100, 1), [1; 8]);
        assert_eq!(batches(&[], 3, 3).count(), 0);
    }
}
