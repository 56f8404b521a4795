//! Requests -> answers through the embedder, whatever that does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::lane::{Answer, Refused, Request, Texts};
use crate::change::Vector;
use crate::embed::{EmbedError, Embedder, tokens};

/// The first and the longest wait before an embedder that fails is tried again. An embedder that is back is in use
/// again after the longest one, and asked so seldom while it is not, it is not held up.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A text that no embedder fails for.
const PROBE: &str = "a";

/// What it takes to turn texts into vectors: shared by all who do it for a lane.
pub struct Work {
    pub embedder: Arc<dyn Embedder>,
    pub texts: Texts,
    pub refused: Refused,
    pub meter: Arc<Meter>,
}

/// What embedding has cost since it was asked last.
#[derive(Default)]
pub struct Meter {
    micros: AtomicU64,
    tokens: AtomicU64,
}

impl Meter {
    fn add(&self, took: Duration, tokens: u64) {
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    /// Microseconds spent in the embedder by all threads together, and tokens of the texts embedded.
    pub fn read(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (read(&self.micros), read(&self.tokens))
    }
}

/// How long to wait before an embedder is tried again.
#[derive(Default)]
pub struct Patience {
    failures: u32,
}

impl Patience {
    /// The wait after one more failure.
    pub fn next(&mut self) -> Duration {
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        wait.min(RETRY_MAX)
    }
}

impl Work {
    /// The same as [`Work::embed`], but tries again for as long as the embedder asks to. `answers` is empty.
    pub fn embed_patiently(&self, batch: &[Request], answers: &mut Vec<Answer>) {
        let mut patience = Patience::default();
        while let Err(error) = self.embed(batch.get(answers.len()..).unwrap_or_default(), answers) {
            let wait = patience.next();
            tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "embedding failed");
            std::thread::sleep(wait);
        }
    }

    /// Adds an answer per request, in order; a text that fails for good is answered with none, after `refused` was told.
    ///
    /// # Errors
    /// The embedder asks to try again later what has no answer yet: the requests after those that were answered.
    pub fn embed(&self, batch: &[Request], answers: &mut Vec<Answer>) -> Result<(), EmbedError> {
        let texts = self.texts.of(batch);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        match self.vectors(&texts) {
            Ok(vectors) => {
                answers.extend(batch.iter().zip(vectors).map(|(request, vector)| {
                    Answer {
                        hash: request.hash,
                        vector: checked(&*self.embedder, vector)
                            .map_err(|reason| self.refused.tell(request, &reason))
                            .ok(),
                    }
                }));
                Ok(())
            }
            Err(error) if error.retry => Err(error),
            // One of them is at fault; the others need not share its fate.
            Err(error) => match batch {
                [] => Ok(()),
                [request] => {
                    answers.push(self.refuse(request, &error));
                    Ok(())
                }
                _ => {
                    let (left, right) = batch.split_at(batch.len() / 2);
                    self.embed(left, answers)?;
                    self.embed(right, answers)
                }
            },
        }
    }

    /// The answer of a text that fails for good, after `refused` was told.
    pub fn refuse(&self, request: &Request, error: &EmbedError) -> Answer {
        self.refused.tell(request, &error.to_string());
        let (hash, vector) = (request.hash, None);
        Answer { hash, vector }
    }

    /// Whether the embedder embeds at all at the moment.
    ///
    /// # Errors
    /// Why it does not.
    pub fn probe(&self) -> Result<(), EmbedError> {
        self.vectors(&[PROBE]).map(drop)
    }

    /// What the embedder gives. A text that makes it panic, or lose count, must not end the node or come again for ever.
    fn vectors(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let embedder = &*self.embedder;
        let broken = |reason: String| EmbedError {
            model: embedder.model().to_owned(),
            reason,
            retry: false,
        };
        let began = Instant::now();
        let embedded = catch_unwind(AssertUnwindSafe(|| embedder.embed(texts)));
        let is_done = matches!(embedded, Ok(Ok(_)));
        let tokens = if is_done {
            texts.iter().map(|text| tokens(text) as u64).sum()
        } else {
            0
        };
        self.meter.add(began.elapsed(), tokens);
        let vectors = embedded.unwrap_or_else(|_| Err(broken("the embedder panicked".to_owned())))?;
        if vectors.len() != texts.len() {
            return Err(broken(format!(
                "{} vectors for {} texts",
                vectors.len(),
                texts.len()
            )));
        }
        Ok(vectors)
    }
}

/// The vector, if the embedder has kept its contract, or how it has not.
fn checked(embedder: &dyn Embedder, vector: Vec<f32>) -> Result<Vector, String> {
    let model = embedder.model();
    if vector.len() != embedder.dimensions() {
        return Err(format!(
            "model {model} gave a vector of {} dimensions instead of {}",
            vector.len(),
            embedder.dimensions()
        ));
    }
    if !vector.iter().all(|value| value.is_finite()) {
        return Err(format!(
            "model {model} gave a vector with numbers that are not finite"
        ));
    }
    Ok(Vector::from(vector))
}
