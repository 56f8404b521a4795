//! A query and texts -> how well each answers it.
//!
//! The two legs compare a query with what was made of documents before anybody asked. A re-ranker reads both together,
//! which is better and far slower, so it is for the best hits alone. `query` says which, and how long it waits.

mod local;
mod service;
mod api;

use std::sync::Arc;
use std::time::Instant;

use crate::definition::RerankModel;
use crate::embed::{CrossEncoder, Health};

/// Compares a query with texts.
///
/// | after        | holds                                                                                   |
/// |--------------|-----------------------------------------------------------------------------------------|
/// | `Ok(scores)` | one score a text, in order, all finite; more is better                                  |
/// | `Err`        | no score is known; another call may succeed                                             |
///
/// The same query and text give the same score, up to rounding, beside whatever other texts. Several threads may call at
/// once. A call that gets an `until` does not go on long after it: nobody waits any more.
pub trait Reranker: Send + Sync {
    /// Names the model.
    fn model(&self) -> &str;

    fn scores(&self, query: &str, texts: &[&str], until: Option<Instant>) -> Result<Vec<f32>, RerankError>;

    /// A score as it is shown. The order is that of the scores themselves: what is shown of two may be the same.
    fn shown(&self, score: f32) -> f32 {
        score
    }

    /// How the service behind it is doing; `None` where there is none.
    fn health(&self) -> Option<Health> {
        None
    }
}

/// Why there is no re-ranker, or it gave no scores.
#[derive(Debug, Clone, thiserror::Error)]
#[error("re-rank with model {model}: {reason}")]
pub struct RerankError {
    pub model: String,
    pub reason: String,
}

/// The re-ranker that a definition names.
///
/// # Errors
/// A model's files are absent, damaged or of a kind that cannot be run, or the variable with a service's key is not
/// set. Whether a service answers is not asked: it may come up later.
pub fn open(model: &RerankModel) -> Result<Arc<dyn Reranker>, RerankError> {
    match model {
        RerankModel::Local(local) => match CrossEncoder::open(local) {
            Ok(model) => Ok(Arc::new(model)),
            Err(reason) => Err(RerankError {
                model: local.path.display().to_string(),
                reason,
            }),
        },
        RerankModel::Service(settings) => Ok(Arc::new(service::Service::new(settings)?)),
    }
}
