//! A cross-encoder on this machine: `{ path = "DIR" }`.

use std::time::Instant;

use super::{RerankError, Reranker};
use crate::embed::CrossEncoder;

impl Reranker for CrossEncoder {
    fn model(&self) -> &str {
        self.name()
    }

    fn scores(&self, query: &str, texts: &[&str], until: Option<Instant>) -> Result<Vec<f32>, RerankError> {
        let scores = CrossEncoder::scores(self, query, texts, until);
        scores.map_err(|reason| RerankError {
            model: self.name().to_owned(),
            reason,
        })
    }

    /// From 0 to 1, as these models have learned it.
    fn shown(&self, score: f32) -> f32 {
        1.0 / (1.0 + (-score).exp())
    }
}
