//! How documents become texts, and texts become hashes.

use std::sync::Arc;

use crate::change::{Row, TextHash};
use crate::definition::Template;
use crate::embed::Embedder;

/// How documents become texts and texts become hashes.
#[derive(Clone, Debug)]
pub struct Texts {
    template: Arc<Template>,
    /// Separates the models' texts.
    seed: u64,
}

impl Texts {
    pub fn new(template: Template, embedder: &dyn Embedder) -> Texts {
        Texts {
            template: Arc::new(template),
            seed: xxhash_rust::xxh3::xxh3_64(embedder.model().as_bytes()),
        }
    }

    pub fn render(&self, row: &Row) -> Option<String> {
        self.template.render(row)
    }

    /// The hash of the row's text, or `None` where there is nothing to embed.
    pub fn hash(&self, row: &Row) -> Option<TextHash> {
        let text = self.render(row)?;
        Some(TextHash(xxhash_rust::xxh3::xxh3_128_with_seed(
            text.as_bytes(),
            self.seed,
        )))
    }
}
