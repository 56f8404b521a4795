//! The model in the binary.

use super::static_vectors::StaticVectors;
use super::{EmbedError, Embedder};

/// Vectors of different names are never compared: another model, or another way to use it, is another name.
const NAME: &str = "static-256-int8@1";

const TOKENIZER: &[u8] = include_bytes!("../../data/models/static-256-int8/tokenizer.json");
const WEIGHTS: &[u8] = include_bytes!("../../data/models/static-256-int8/model.safetensors");
const CONFIG: &[u8] = include_bytes!("../../data/models/static-256-int8/config.json");

/// Static token vectors, 256 dimensions; English. `data/models/static-256-int8/README.md` is its card.
///
/// The first 512 tokens of a text count. Vectors have unit length; a text without a token that the model knows
/// (an empty one, or symbols only) has no meaning to it and gets a pseudo-vector: it is near to itself, and to
/// nothing else.
pub struct BuiltIn {
    vectors: StaticVectors,
}

impl BuiltIn {
    /// Unpacks the model, which takes some 30 ms: once is enough.
    ///
    /// # Errors
    /// The files in the binary are damaged.
    pub fn load() -> Result<BuiltIn, EmbedError> {
        StaticVectors::from_bytes(NAME, TOKENIZER, WEIGHTS, CONFIG).map(|vectors| BuiltIn { vectors })
    }
}

impl Embedder for BuiltIn {
    fn model(&self) -> &str {
        self.vectors.model()
    }

    fn dimensions(&self) -> usize {
        self.vectors.dimensions()
    }

    fn is_fast(&self) -> bool {
        true
    }

    fn fusion_weight(&self) -> f32 {
        0.2
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.vectors.embed(texts)
    }
}
