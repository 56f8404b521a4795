//! Pseudo-vectors for tests: the same text has the same vector, nothing else is close.

use super::{EmbedError, Embedder};

/// Deterministic unit vectors from a hash of the text.
pub struct HashEmbedder {}

impl HashEmbedder {
    pub fn new(dimensions: usize) -> HashEmbedder {
        let _ = dimensions;
        todo!()
    }
}

impl Embedder for HashEmbedder {
    fn model(&self) -> &str {
        todo!()
    }
    fn dimensions(&self) -> usize {
        todo!()
    }
    fn embed(&self, _texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        todo!()
    }
}
