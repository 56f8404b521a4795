//! Models and services that make vectors: alone, and in a running node.

mod local;
mod node;
pub mod reference;
mod service;
pub mod tiny;

use std::path::Path;
use std::sync::Arc;

use millpond::definition::{self, EmbedderSettings, VectorSource};
use millpond::embed::{EmbedError, Embedder};

/// A dataflow over pushed notes, with this `[embedder]`.
fn dataflow(embedder: &str) -> String {
    format!(
        r#"
name = "notes"
[tables.notes]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = {{ text = {{}} }}
embed = "{{text}}"
[embedder]
{embedder}
"#
    )
}

/// What a file in `/flows` says of its embedder.
fn settings(embedder: &str) -> EmbedderSettings {
    let definition = definition::parse(&dataflow(embedder), "x.toml", Path::new("/flows"));
    let mut index = definition
        .unwrap_or_else(|faults| panic!("{faults}"))
        .index
        .unwrap();
    let VectorSource::Embed { embedder, .. } = index.vectors.remove(0).source else {
        panic!("it embeds");
    };
    embedder
}

fn open(embedder: &str) -> Result<Arc<dyn Embedder>, EmbedError> {
    millpond::embed::open(&settings(embedder))
}

/// A local model by its path, with more of its settings.
fn open_path(path: &Path, more: &str) -> Result<Arc<dyn Embedder>, EmbedError> {
    open(&format!("model = {{ path = {path:?}{more} }}\nparallel = 2"))
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    assert_eq!(left.len(), right.len());
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        left.iter()
            .zip(right)
            .map(|(left, right)| f64::from(*left) * f64::from(*right))
            .sum()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt()
}
