//! Requests -> answers through the embedder, whatever that does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::lane::{Answer, Request, Texts};
use crate::change::Vector;
use crate::embed::{EmbedError, Embedder};

/// The first and the longest wait before a batch is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// One answer per request, in order; tries again for as long as the embedder asks to.
pub fn embed_patiently(embedder: &dyn Embedder, texts: &Texts, batch: &[Request]) -> Vec<Answer> {
    let mut wait = RETRY_FIRST;
    loop {
        match embed_batch(embedder, texts, batch) {
            Ok(answers) => return answers,
            Err(error) => {
                tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "embedding failed");
                std::thread::sleep(wait);
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

/// One answer per request, in order; a text that fails for good is answered with none.
///
/// # Errors
/// The embedder asks to try again later.
pub fn embed_batch(
    embedder: &dyn Embedder,
    texts: &Texts,
    batch: &[Request],
) -> Result<Vec<Answer>, EmbedError> {
    let rendered: Vec<String> = batch
        .iter()
        .map(|request| texts.render(&request.row).unwrap_or_default())
        .collect();
    let borrowed: Vec<&str> = rendered.iter().map(String::as_str).collect();
    match vectors(embedder, &borrowed) {
        Ok(vectors) => Ok(batch
            .iter()
            .zip(vectors)
            .map(|(request, vector)| Answer {
                hash: request.hash,
                vector: checked(embedder, vector),
            })
            .collect()),
        Err(error) if error.retry => Err(error),
        Err(error) if batch.len() <= 1 => {
            tracing::warn!(%error, "a text cannot be embedded");
            let failed = |request: &Request| Answer {
                hash: request.hash,
                vector: None,
            };
            Ok(batch.iter().map(failed).collect())
        }
        // One of them is at fault; the others need not share its fate.
        Err(_) => {
            let (left, right) = batch.split_at(batch.len() / 2);
            let mut answers = embed_batch(embedder, texts, left)?;
            answers.extend(embed_batch(embedder, texts, right)?);
            Ok(answers)
        }
    }
}

/// What the embedder gives. A text that makes it panic, or lose count, must not end the node or come again for ever.
fn vectors(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
    let broken = |reason: String| EmbedError {
        model: embedder.model().to_owned(),
        reason,
        retry: false,
    };
    let vectors = catch_unwind(AssertUnwindSafe(|| embedder.embed(texts)))
        .unwrap_or_else(|_| Err(broken("the embedder panicked".to_owned())))?;
    if vectors.len() != texts.len() {
        return Err(broken(format!(
            "{} vectors for {} texts",
            vectors.len(),
            texts.len()
        )));
    }
    Ok(vectors)
}

/// The vector, if the embedder has kept its contract.
fn checked(embedder: &dyn Embedder, vector: Vec<f32>) -> Option<Vector> {
    if vector.len() == embedder.dimensions() && vector.iter().all(|value| value.is_finite()) {
        return Some(Vector::from(vector));
    }
    tracing::warn!(
        model = embedder.model(),
        dimensions = vector.len(),
        expected = embedder.dimensions(),
        "a vector of wrong dimension or with numbers that are not finite is not used"
    );
    None
}
