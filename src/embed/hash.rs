//! Pseudo-vectors for tests: the same text has the same vector, nothing else is close.

use xxhash_rust::xxh3::xxh3_64;

use super::{EmbedError, Embedder};

/// Deterministic unit vectors from a hash of the text.
pub struct HashEmbedder {
    model: String,
    dimensions: usize,
}

impl HashEmbedder {
    pub fn new(dimensions: usize) -> HashEmbedder {
        HashEmbedder {
            model: format!("hash-{dimensions}@1"),
            dimensions,
        }
    }
}

impl Embedder for HashEmbedder {
    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn is_fast(&self) -> bool {
        true
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts
            .iter()
            .map(|text| pseudo_vector(text, self.dimensions))
            .collect())
    }
}

/// The unit vector that the text's hash gives.
pub fn pseudo_vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = xxh3_64(text.as_bytes());
    let mut vector: Vec<f32> = (0..dimensions)
        .map(|_| between_minus_one_and_one(splitmix(&mut state)))
        .collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

/// The next number of the splitmix64 sequence.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Odd multiples of 2^-24: never zero, so every vector has a direction.
fn between_minus_one_and_one(bits: u64) -> f32 {
    ((bits >> 40) as f32 - 8_388_607.5) / 8_388_608.0
}
