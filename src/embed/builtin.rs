//! The model in the binary: a vector for each token, and a text is the mean of its tokens.

use model2vec_rs::model::StaticModel;

use super::hash::pseudo_vector;
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
    model: StaticModel,
}

impl BuiltIn {
    /// Unpacks the model, which takes some 30 ms: once is enough.
    ///
    /// # Errors
    /// The files in the binary are damaged.
    pub fn load() -> Result<BuiltIn, EmbedError> {
        match StaticModel::from_bytes(TOKENIZER, WEIGHTS, CONFIG, None) {
            Ok(model) => Ok(BuiltIn { model }),
            Err(error) => Err(EmbedError {
                model: NAME.into(),
                reason: format!("{error:#}"),
                retry: false,
            }),
        }
    }

    /// Text by text, on this thread: model2vec's batches go through rayon's pool, and a tick would wait for its
    /// other threads.
    fn embed_text(&self, text: &str) -> Vec<f32> {
        let vector = self.model.encode_single(text);
        if vector.iter().any(|&value| value != 0.0) {
            vector
        } else {
            pseudo_vector(text, self.model.dim())
        }
    }
}

impl Embedder for BuiltIn {
    fn model(&self) -> &str {
        NAME
    }

    fn dimensions(&self) -> usize {
        self.model.dim()
    }

    fn is_fast(&self) -> bool {
        true
    }

    fn fusion_weight(&self) -> f32 {
        0.2
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| self.embed_text(text)).collect())
    }
}
