//! Re-ranking: models and services by themselves, and searches that ask for them.

mod definition;
mod local;
mod searches;
mod service;

use std::sync::Arc;

use millpond::definition::{RerankModel, RerankerSettings};
use millpond::rerank::{RerankError, Reranker, open};

use searches::definition;

/// What a file says of its re-ranker.
fn settings(section: &str) -> RerankerSettings {
    definition(section).reranker.unwrap()
}

/// The re-ranker by the line of a section that names it.
fn by(model: &str) -> Result<Arc<dyn Reranker>, RerankError> {
    let model: RerankModel = settings(&format!("{model}\ntext = \"{{text}}\"")).model;
    open(&model)
}
