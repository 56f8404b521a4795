//! A re-ranking service over HTTP: `{ url = ..., api = ... }`.
//!
//! It stands behind the same gate as embedding services do: after failures in a row nobody waits for it for a while.

use std::time::{Duration, Instant};

use super::api;
use super::{RerankError, Reranker};
use crate::definition::RerankService;
use crate::embed::{Endpoint, Gated, Health, Question};

/// A request for which nobody says how long it may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A model behind a service.
pub struct Service {
    settings: RerankService,
    service: Gated,
}

impl Service {
    /// # Errors
    /// The environment variable with the key is not set, or holds what cannot stand in a header.
    pub fn new(settings: &RerankService) -> Result<Service, RerankError> {
        let endpoint = Endpoint {
            url: settings.url.clone(),
            key_variable: settings.key_variable.clone(),
        };
        // Somebody waits for every call, and how many there are at once is bounded by who makes them.
        let service = Gated::new(&endpoint, 1).map_err(|reason| RerankError {
            model: settings.name.clone(),
            reason,
        })?;
        Ok(Service {
            settings: settings.clone(),
            service,
        })
    }

    fn ask(&self, query: &str, texts: &[&str], timeout: Duration) -> Result<Vec<f32>, String> {
        let RerankService { api, name, .. } = &self.settings;
        let question = Question {
            body: &api::request(*api, name, query, texts),
            // A place and a score each.
            numbers: 2 * texts.len(),
            timeout,
            read: &|body| api::scores(*api, body, texts.len()),
        };
        let answer = self.service.ask(&question, Duration::ZERO, true);
        answer.map_err(|unanswered| unanswered.reason)
    }
}

impl Reranker for Service {
    fn model(&self) -> &str {
        &self.settings.name
    }

    fn health(&self) -> Option<Health> {
        Some(self.service.health())
    }

    fn scores(&self, query: &str, texts: &[&str], until: Option<Instant>) -> Result<Vec<f32>, RerankError> {
        let mut scores = Vec::with_capacity(texts.len());
        for batch in texts.chunks(api::texts_max(self.settings.api)) {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let answer = match left {
                Some(Duration::ZERO) => Err("it took too long".to_owned()),
                left => self.ask(query, batch, left.unwrap_or(TIMEOUT)),
            };
            scores.extend(answer.map_err(|reason| RerankError {
                model: self.settings.name.clone(),
                reason,
            })?);
        }
        Ok(scores)
    }
}
