//! How documents become texts, and texts become hashes.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::Request;
use crate::change::{Row, Span, TextHash};
use crate::definition::{Chunk, Template, VectorField, VectorSource};
use crate::embed::{Embedder, pieces};

/// How documents become texts and texts become hashes.
#[derive(Clone, Debug)]
pub struct Texts {
    template: Arc<Template>,
    chunk: Option<Chunk>,
    /// Separates the texts of fields and models.
    seed: u64,
}

impl Texts {
    /// The texts of a vector field, for its embedder; `None` where its vectors are ready-made.
    pub fn new(field: &VectorField, embedder: &dyn Embedder) -> Option<Texts> {
        let VectorSource::Embed { template, chunk, .. } = &field.source else {
            return None;
        };
        Some(Texts {
            template: Arc::new(template.clone()),
            chunk: *chunk,
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

    /// What the document is embedded by, if anything.
    pub fn render(&self, row: &Row) -> Option<String> {
        self.template.render(row)
    }

    /// The texts of requests. Those of one document follow each other, and it is rendered once for all of them.
    pub fn of(&self, requests: &[Request]) -> Vec<String> {
        let mut rendered: Option<(&Row, String)> = None;
        let mut texts = Vec::with_capacity(requests.len());
        for Request { row, span, .. } in requests {
            if rendered.as_ref().is_none_or(|(of, _)| *of != row) {
                rendered = Some((row, self.render(row).unwrap_or_default()));
            }
            let part = rendered.as_ref().and_then(|(_, text)| span.of(text));
            texts.push(part.unwrap_or_default().to_owned());
        }
        texts
    }

    /// The part of the document's text.
    pub fn part(&self, row: &Row, span: Span) -> Option<String> {
        let text = self.render(row)?;
        Some(span.of(&text)?.to_owned())
    }

    /// The parts of the document's text that are embedded by themselves, with their hashes: none where there is nothing to
    /// embed.
    pub fn parts(&self, row: &Row) -> Vec<(Span, TextHash)> {
        let Some(text) = self.render(row) else {
            return Vec::new();
        };
        let Some(chunk) = self.chunk else {
            return vec![(Span::WHOLE, self.hash(&text))];
        };
        let spans = pieces(&text, chunk).into_iter();
        spans
            .filter_map(|span| Some((span, self.hash(span.of(&text)?))))
            .collect()
    }

    fn hash(&self, text: &str) -> TextHash {
        TextHash::new(self.lane(), xxh3_128_with_seed(text.as_bytes(), self.seed))
    }
}
