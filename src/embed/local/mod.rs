//! A model on this machine, run in this process: `{ path = "DIR" }`.
//!
//! Its own files say what it is: a static model, or a transformer with its pooling, normalisation and longest text.
//! A transformer comes as weights, for which `bert` writes the graph, or as an ONNX file; one runtime runs both.

mod files;
mod weights;
mod graph;
mod bert;
mod runtime;
mod tokens;
mod batches;
mod transformer;
mod cross_encoder;

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;

use self::bert::Head;
pub use self::cross_encoder::CrossEncoder;
use self::files::{Files, Kind};
use self::transformer::{Transformer, graph_of_weights};
use super::prefixed::with_prefixes;
use super::static_vectors::StaticVectors;
use super::{EmbedError, Embedder};
use crate::definition::LocalModel;

/// Opens the model, and proves that it runs by a first text.
///
/// # Errors
/// Files are absent, damaged, or of a kind that cannot be run here; the reason names the file.
pub fn open(settings: &LocalModel, threads: usize) -> Result<Arc<dyn Embedder>, EmbedError> {
    let failed = |reason: String| EmbedError {
        model: settings.path.display().to_string(),
        reason,
        retry: false,
    };
    // The libraries behind it take models as a developer hands them, and may panic at damaged ones.
    let opened = catch_unwind(|| load(settings, threads));
    opened
        .unwrap_or_else(|_| Err("its files make the library panic that reads them".to_owned()))
        .map_err(failed)
}

/// A model of the BERT family that has weights only, as an ONNX file of which other runtimes can make use: the graph
/// that runs here, from token ids to a vector a token.
///
/// # Errors
/// There are no weights in the folder, or those of another family.
pub fn as_onnx(folder: &Path) -> Result<Vec<u8>, EmbedError> {
    let graph = || {
        let files = Files::find(folder)?;
        let config: bert::Config = files.json("config.json")?.ok_or("there is no config.json")?;
        config.check()?;
        graph_of_weights(
            &config,
            Head::None,
            &files.weights().ok_or("there is no model.safetensors")?,
        )
    };
    graph().map_err(|reason| EmbedError {
        model: folder.display().to_string(),
        reason,
        retry: false,
    })
}

fn load(settings: &LocalModel, threads: usize) -> Result<Arc<dyn Embedder>, String> {
    let files = Files::find(&settings.path)?;
    let prompts = files.prompts()?;
    let query = settings.query_prefix.clone().unwrap_or(prompts.query);
    let document = settings.document_prefix.clone().unwrap_or(prompts.document);
    let embedder = match files.kind()? {
        Kind::Static => {
            let model = StaticVectors::open(&files.name(), files.folder()).map_err(|error| error.reason)?;
            with_prefixes(model, query, document)
        }
        Kind::Transformer(parts) => {
            let model = Transformer::load(&files, parts, settings.tokens_max, threads)?;
            with_prefixes(model, query, document)
        }
    };
    let first = embedder.embed(&["a first text"]).map_err(|error| error.reason)?;
    match first.first() {
        Some(vector) if vector.iter().all(|value| value.is_finite()) => Ok(embedder),
        _ => Err("it gives numbers that are not finite".to_owned()),
    }
}
