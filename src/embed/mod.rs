//! Text -> vector.

mod builtin;
mod static_vectors;
mod hash;
mod recent;
mod local;
mod service;
mod prefixed;
mod pieces;

use std::sync::Arc;

pub use builtin::BuiltIn;
pub use hash::HashEmbedder;
pub use local::{CrossEncoder, as_onnx};
pub use pieces::{pieces, tokens};
pub use recent::Recent;
pub use service::Service;
pub(crate) use service::{Endpoint, Gated, Question, Wrong};

use crate::definition::{EmbedderSettings, Index, Model, VectorSource};

/// Turns texts into vectors.
///
/// | after                    | holds                                                                     |
/// |--------------------------|---------------------------------------------------------------------------|
/// | `Ok(vectors)`            | one vector per text, in order, each of `dimensions()` finite numbers      |
/// | `Err` with `retry` set   | nothing was embedded; the same call may succeed later                     |
/// | `Err` without `retry`    | one of these texts at least will never be embedded, the only one if alone |
///
/// The same text gives the same vector, up to rounding, at any time and in any batch. Several threads may call at
/// once. A call may wait for its own work and some seconds for a service, never for one that is down.
pub trait Embedder: Send + Sync {
    /// Names the model and its version: vectors of different names are never compared.
    fn model(&self) -> &str;

    fn dimensions(&self) -> usize;

    /// Whether some hundred texts take a millisecond or so: then they are embedded inside the tick.
    fn is_fast(&self) -> bool {
        false
    }

    /// The weight of the vector leg in the default fusion, measured for the model.
    fn fusion_weight(&self) -> f32 {
        0.35
    }

    /// The vectors of documents.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;

    /// The vector of a query, for models that tell queries from documents. Somebody waits for it: a call takes one
    /// try, and no place behind documents.
    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let mut vectors = self.embed(&[text])?;
        match (vectors.pop(), vectors.is_empty()) {
            (Some(vector), true) => Ok(vector),
            _ => Err(EmbedError {
                model: self.model().to_owned(),
                reason: "not one vector for one text".to_owned(),
                retry: false,
            }),
        }
    }

    /// How the service behind it is doing; `None` where there is none.
    fn health(&self) -> Option<Health> {
        None
    }
}

/// How an embedding service is doing, as its node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub breaker: Breaker,
    /// Requests that it may be asked at once now; fewer than `parallel` after it has answered 429.
    pub requests_max: usize,
    /// Why the last request failed that did, until one succeeds.
    pub reason: Option<String>,
}

/// A circuit breaker: whether a service that failed again and again is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It is asked.
    Closed,
    /// It is left alone for a while.
    Open,
    /// One request finds out whether it is back.
    HalfOpen,
}

impl Breaker {
    /// The name in metrics and answers.
    pub fn name(self) -> &'static str {
        match self {
            Breaker::Closed => "closed",
            Breaker::Open => "open",
            Breaker::HalfOpen => "half-open",
        }
    }
}

/// The embedder of each vector field of an index, in their order; `None` where vectors are ready-made.
pub type FieldEmbedders = Vec<Option<Arc<dyn Embedder>>>;

/// The names and dimensions of the embedders of vector fields.
pub fn models(embedders: &[Option<Arc<dyn Embedder>>]) -> Vec<Option<(&str, usize)>> {
    let embedders = embedders.iter().map(Option::as_deref);
    embedders
        .map(|embedder| Some((embedder?.model(), embedder?.dimensions())))
        .collect()
}

/// The dimensions of each vector field of an index.
///
/// # Panics
/// A field that embeds texts has no embedder.
pub fn dimensions(index: &Index, embedders: &[Option<Arc<dyn Embedder>>]) -> Vec<usize> {
    let embedder = |field: usize| embedders.get(field).and_then(Option::as_ref);
    let dimensions = index
        .vectors
        .iter()
        .enumerate()
        .map(|(number, field)| match &field.source {
            VectorSource::Column(ready_made) => ready_made.dimensions,
            VectorSource::Embed { .. } => embedder(number)
                .expect("a field that embeds has an embedder")
                .dimensions(),
        });
    dimensions.collect()
}

/// Why texts were not embedded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("embed with model {model}: {reason}")]
pub struct EmbedError {
    pub model: String,
    pub reason: String,
    /// Whether the same call may succeed later.
    pub retry: bool,
}

/// The embedder that a definition names.
///
/// # Errors
/// A model's files are absent, damaged or of a kind that cannot be run, or the variable with a service's key is not
/// set. Whether a service answers is not asked: it may come up later.
pub fn open(settings: &EmbedderSettings) -> Result<Arc<dyn Embedder>, EmbedError> {
    match &settings.model {
        Model::Default => Ok(Arc::new(BuiltIn::load()?)),
        Model::Hash { dimensions } => Ok(Arc::new(HashEmbedder::new(*dimensions))),
        Model::Local(model) => local::open(model, settings.parallel),
        Model::Service(model) => Ok(prefixed::with_prefixes(
            Service::new(model, settings.batch, settings.parallel)?,
            model.query_prefix.clone().unwrap_or_default(),
            model.document_prefix.clone().unwrap_or_default(),
        )),
    }
}
