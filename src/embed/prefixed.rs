//! Texts behind a prefix: models such as E5 and BGE are told by one whether a text is a query or a document.

use std::sync::Arc;

use super::{EmbedError, Embedder, Health};

struct Prefixed<E> {
    embedder: E,
    /// With the documents' prefix, which is part of what a vector was made from; the queries' prefix is not.
    model: String,
    query: String,
    document: String,
}

/// An embedder that puts the prefixes before texts.
pub(super) fn with_prefixes<E: Embedder + 'static>(
    embedder: E,
    query: String,
    document: String,
) -> Arc<dyn Embedder> {
    if query.is_empty() && document.is_empty() {
        return Arc::new(embedder);
    }
    let model = match &*document {
        "" => embedder.model().to_owned(),
        prefix => format!("{}+{prefix:?}", embedder.model()),
    };
    Arc::new(Prefixed {
        embedder,
        model,
        query,
        document,
    })
}

impl<E: Embedder> Embedder for Prefixed<E> {
    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> usize {
        self.embedder.dimensions()
    }

    fn is_fast(&self) -> bool {
        self.embedder.is_fast()
    }

    fn fusion_weight(&self) -> f32 {
        self.embedder.fusion_weight()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts: Vec<String> = texts
            .iter()
            .map(|text| format!("{}{text}", self.document))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.embedder.embed(&texts)
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        self.embedder.embed_query(&format!("{}{text}", self.query))
    }

    fn health(&self) -> Option<Health> {
        self.embedder.health()
    }
}
