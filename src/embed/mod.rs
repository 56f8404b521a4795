//! Text -> vector.

mod builtin;
mod hash;
mod recent;

mod pieces;
use std::sync::Arc;

pub use builtin::BuiltIn;
pub use hash::HashEmbedder;
pub use pieces::{pieces, tokens};
pub use recent::Recent;

use crate::definition::{EmbedderSettings, Index, Model, VectorSource};

/// Turns texts into vectors.
///
/// | after                    | holds                                                                     |
/// |--------------------------|---------------------------------------------------------------------------|
/// | `Ok(vectors)`            | one vector per text, in order, each of `dimensions()` finite numbers      |
/// | `Err` with `retry` set   | nothing was embedded; the same call may succeed later                     |
/// | `Err` without `retry`    | these texts will never be embedded                                        |
///
/// The same text gives the same vector, at any time and in any batch. Several threads may call at once.
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

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
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
            VectorSource::Column { dimensions, .. } => *dimensions,
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
pub fn open(settings: &EmbedderSettings) -> Result<Arc<dyn Embedder>, EmbedError> {
    match settings.model {
        Model::Default => Ok(Arc::new(BuiltIn::load()?)),
        Model::Hash { dimensions } => Ok(Arc::new(HashEmbedder::new(dimensions))),
    }
}
