//! How documents become texts, and texts become hashes.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::change::{Row, TextHash};
use crate::definition::{Template, VectorField, VectorSource};
use crate::embed::Embedder;

/// How documents become texts and texts become hashes.
#[derive(Clone, Debug)]
pub struct Texts {
    template: Arc<Template>,
    /// Separates the texts of fields and models.
    seed: u64,
}

impl Texts {
    /// The texts of a vector field, for its embedder; `None` where its vectors are ready-made.
    pub fn new(field: &VectorField, embedder: &dyn Embedder) -> Option<Texts> {
        let VectorSource::Embed { template, .. } = &field.source else {
            return None;
        };
        Some(Texts {
            template: Arc::new(template.clone()),
            seed: Texts::seed(&field.name, embedder.model()),
        })
    }

    fn seed(field: &str, model: &str) -> u64 {
        xxh3_64(format!("{field}\0{model}").as_bytes())
    }

    /// What all hashes of the texts of a field and model have in common.
    pub fn lane_of(field: &str, model: &str) -> u32 {
        Texts::seed(field, model) as u32
    }

    /// What all hashes of these texts have in common.
    pub fn lane(&self) -> u32 {
        self.seed as u32
    }

    pub fn render(&self, row: &Row) -> Option<String> {
        self.template.render(row)
    }

    /// The hash of the row's text, or `None` where there is nothing to embed.
    pub fn hash(&self, row: &Row) -> Option<TextHash> {
        let text = self.render(row)?;
        let hash = xxh3_128_with_seed(text.as_bytes(), self.seed);
        Some(TextHash::new(self.lane(), hash))
    }
}
