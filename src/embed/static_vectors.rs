//! Models with a vector for each token, where a text is the mean of its tokens: the layout of model2vec.

use std::path::Path;

use model2vec_rs::model::StaticModel;

use super::hash::pseudo_vector;
use super::{EmbedError, Embedder};

/// A static model.
///
/// The first 512 tokens of a text count. A text without a token that the model knows (an empty one, or symbols
/// only) has no meaning to it and gets a pseudo-vector: it is near to itself, and to nothing else.
pub(super) struct StaticVectors {
    name: String,
    model: StaticModel,
}

impl StaticVectors {
    /// A model from the bytes of its files.
    ///
    /// # Errors
    /// The files are damaged.
    pub fn from_bytes(
        name: &str,
        tokenizer: &[u8],
        weights: &[u8],
        config: &[u8],
    ) -> Result<StaticVectors, EmbedError> {
        let model = StaticModel::from_bytes(tokenizer, weights, config, None);
        StaticVectors::new(name, model.map_err(|error| format!("{error:#}")))
    }

    /// A model from the folder that it lies in.
    ///
    /// # Errors
    /// Files are absent or damaged.
    pub fn open(name: &str, folder: &Path) -> Result<StaticVectors, EmbedError> {
        let model = StaticModel::from_pretrained(folder, None, None, None);
        StaticVectors::new(
            name,
            model.map_err(|error| format!("{}: {error:#}", folder.display())),
        )
    }

    fn new(name: &str, model: Result<StaticModel, String>) -> Result<StaticVectors, EmbedError> {
        match model {
            Ok(model) => Ok(StaticVectors {
                name: name.to_owned(),
                model,
            }),
            Err(reason) => Err(EmbedError {
                model: name.to_owned(),
                reason,
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

impl Embedder for StaticVectors {
    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.model.dim()
    }

    fn is_fast(&self) -> bool {
        true
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| self.embed_text(text)).collect())
    }
}
