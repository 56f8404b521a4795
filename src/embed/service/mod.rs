//! An embedding service over HTTP: `{ url = ..., api = ... }`.
//!
//! Texts go in batches, bounded by count and by estimated tokens. `api` has the formats, `gate` when and by how many
//! at once a service is asked, `client` what an answer means, `gated` puts both together for any service with a
//! model. A call waits some seconds where that helps; a service that is down is an error at once, to be tried again,
//! and nothing is lost.

mod api;
mod client;
mod gate;
mod gated;

use std::time::Duration;

pub use self::client::{Endpoint, Question, Wrong};
pub use self::gated::{Gated, Unanswered};
use super::{EmbedError, Embedder, Health};
use crate::definition::ServiceModel;

/// How long a call for documents waits for its turn, and after failures, all in all. The texts it holds cannot be
/// withdrawn meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A model behind a service.
pub struct Service {
    settings: ServiceModel,
    service: Gated,
    batch: usize,
}

impl Service {
    /// # Errors
    /// The environment variable with the key is not set, or holds what cannot stand in a header.
    pub fn new(settings: &ServiceModel, batch: usize, parallel: usize) -> Result<Service, EmbedError> {
        let endpoint = Endpoint {
            url: settings.url.clone(),
            key_variable: settings.key_variable.clone(),
        };
        let service = Gated::new(&endpoint, parallel).map_err(|reason| EmbedError {
            model: settings.name.clone(),
            reason,
            retry: false,
        })?;
        Ok(Service {
            settings: settings.clone(),
            service,
            batch: batch.max(1),
        })
    }

    /// Asks for the vectors of a batch.
    fn ask(&self, texts: &[&str], patience: Duration, urgent: bool) -> Result<Vec<Vec<f32>>, EmbedError> {
        let ServiceModel {
            api,
            name,
            dimensions,
            timeout,
            ..
        } = &self.settings;
        let question = Question {
            body: &api::request(*api, name, texts),
            numbers: texts.len() * dimensions,
            timeout: *timeout,
            read: &|body| api::vectors(*api, body, texts.len(), *dimensions),
        };
        let answer = self.service.ask(&question, patience, urgent);
        answer.map_err(|Unanswered { reason, retry }| self.error(reason, retry))
    }

    fn error(&self, reason: String, retry: bool) -> EmbedError {
        EmbedError {
            model: self.settings.name.clone(),
            reason,
            retry,
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
        Some(self.service.health())
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
