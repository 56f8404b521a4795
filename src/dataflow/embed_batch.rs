//! Requests -> answers through the embedder, whatever that does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::lane::{Answer, Refused, Request, Texts};
use crate::change::Vector;
use crate::embed::{EmbedError, Embedder};

/// The first and the longest wait before a batch is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// One answer per request, in order; tries again for as long as the embedder asks to.
pub fn embed_patiently(
    embedder: &dyn Embedder,
    texts: &Texts,
    refused: &Refused,
    batch: &[Request],
) -> Vec<Answer> {
    let mut wait = RETRY_FIRST;
    loop {
        match embed_batch(embedder, texts, refused, batch) {
            Ok(answers) => return answers,
            Err(error) => {
                tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "embedding failed");
                std::thread::sleep(wait);
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

/// One answer per request, in order; a text that fails for good is answered with none, after `refused` was told.
///
/// # Errors
/// The embedder asks to try again later.
pub fn embed_batch(
    embedder: &dyn Embedder,
    texts: &Texts,
    refused: &Refused,
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
                vector: checked(embedder, vector)
                    .map_err(|reason| refused.tell(request, &reason))
                    .ok(),
            })
            .collect()),
        Err(error) if error.retry => Err(error),
        Err(error) if batch.len() <= 1 => {
            let failed = |request: &Request| {
                refused.tell(request, &error.to_string());
                Answer {
                    hash: request.hash,
                    vector: None,
                }
            };
            Ok(batch.iter().map(failed).collect())
        }
        // One of them is at fault; the others need not share its fate.
        Err(_) => {
            let (left, right) = batch.split_at(batch.len() / 2);
            let mut answers = embed_batch(embedder, texts, refused, left)?;
            answers.extend(embed_batch(embedder, texts, refused, right)?);
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
