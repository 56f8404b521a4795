//! Text -> tokens -> a vector a token -> a vector.

use std::path::Path;

use super::batches::batches;
use super::bert::{self, Head, Places};
use super::files::{Files, Parts, Pooling};
use super::runtime::{For, Output, Runtime};
use super::tokens::{Cutter, Tokens};
use super::weights::Weights;
use crate::embed::{EmbedError, Embedder};

/// A transformer of sentences.
pub struct Transformer {
    name: String,
    cutter: Cutter,
    runtime: Runtime,
    parts: Parts,
    dimensions: usize,
    places: Places,
}

impl Transformer {
    /// # Errors
    /// A file is absent, damaged, or of a kind that cannot be run.
    pub fn load(
        files: &Files,
        mut parts: Parts,
        tokens_max: Option<usize>,
        threads: usize,
    ) -> Result<Transformer, String> {
        let places: Places = files.json("config.json")?.unwrap_or_default();
        let longest = tokens_max.unwrap_or(parts.tokens_max);
        parts.tokens_max = longest.min(places.tokens_max());
        let mut transformer = Transformer {
            name: format!("{}/{parts:?}", files.name()),
            cutter: Cutter::open(files, parts.tokens_max, places.pad())?,
            runtime: runtime(files, Head::None, threads)?,
            parts,
            dimensions: 0,
            places,
        };
        let first = transformer
            .vectors(&["a first text"], For::Query)
            .map_err(|error| error.reason)?;
        transformer.dimensions = first.first().map_or(0, Vec::len);
        match transformer.dimensions {
            2..=4096 => Ok(transformer),
            other => Err(format!(
                "its vectors have {other} dimensions; 2 to 4096 can be indexed"
            )),
        }
    }

    fn vectors(&self, texts: &[&str], whose: For) -> Result<Vec<Vec<f32>>, EmbedError> {
        let failed = |reason: String| EmbedError {
            model: self.name.clone(),
            reason,
            retry: false,
        };
        let tokens: Vec<Tokens> = texts
            .iter()
            .map(|text| self.cutter.text(text))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.ids.len()).collect();
        let (order, batches) = batches(&lengths);
        let mut vectors = vec![Vec::new(); texts.len()];
        for batch in batches {
            let batch = order.get(batch).unwrap_or_default();
            let rows: Vec<&Tokens> = batch.iter().filter_map(|&text| tokens.get(text)).collect();
            for (&text, vector) in batch.iter().zip(self.run(&rows, whose).map_err(failed)?) {
                if let Some(place) = vectors.get_mut(text) {
                    *place = vector;
                }
            }
        }
        Ok(vectors)
    }

    /// The vectors of a batch.
    fn run(&self, texts: &[&Tokens], whose: For) -> Result<Vec<Vec<f32>>, String> {
        let tokens = texts.iter().map(|text| text.ids.len()).max().unwrap_or_default();
        let output = self.runtime.run(texts, tokens, &self.places, whose)?;
        let pooled: Vec<Vec<f32>> = match output {
            Output::Texts { values, dimensions } => {
                values.chunks(dimensions.max(1)).map(<[f32]>::to_vec).collect()
            }
            Output::Tokens { values, dimensions } => {
                let dimensions = dimensions.max(1);
                let rows = values.chunks(dimensions * tokens.max(1)).zip(texts);
                rows.map(|(row, text)| pool(self.parts.pooling, row, dimensions, text.ids.len()))
                    .collect()
            }
        };
        Ok(match self.parts.normalised {
            true => pooled.into_iter().map(normalised).collect(),
            false => pooled,
        })
    }
}

/// One vector of the first `tokens` ones of a row.
fn pool(pooling: Pooling, row: &[f32], dimensions: usize, tokens: usize) -> Vec<f32> {
    let mut tokens = row.chunks(dimensions).take(tokens);
    let mut vector = tokens.next().unwrap_or_default().to_vec();
    if pooling == Pooling::Mean {
        let mut count = 1.0;
        for token in tokens {
            vector
                .iter_mut()
                .zip(token)
                .for_each(|(sum, value)| *sum += value);
            count += 1.0;
        }
        vector.iter_mut().for_each(|sum| *sum /= count);
    }
    vector
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// The graph of the weights, or where none can be written for them, that of the ONNX file.
pub fn runtime(files: &Files, head: Head, threads: usize) -> Result<Runtime, String> {
    let absent = || "there is neither model.safetensors nor model.onnx nor onnx/model.onnx".to_owned();
    let why_not = match files.weights() {
        None => absent(),
        Some(path) => {
            let config: bert::Config = files.json("config.json")?.ok_or("there is no config.json")?;
            match config.check() {
                Ok(()) => return runtime_of_weights(&config, head, &path, threads),
                Err(reason) => format!("config.json: {reason}"),
            }
        }
    };
    match files.onnx() {
        Some(onnx) => Runtime::open(onnx, threads),
        None => Err(why_not),
    }
}

fn runtime_of_weights(
    config: &bert::Config,
    head: Head,
    path: &Path,
    threads: usize,
) -> Result<Runtime, String> {
    let graph = graph_of_weights(config, head, path)?;
    Runtime::load(graph, threads).map_err(|reason| format!("{}: {reason}", path.display()))
}

/// The bytes of an ONNX file.
pub fn graph_of_weights(config: &bert::Config, head: Head, path: &Path) -> Result<Vec<u8>, String> {
    let named = |reason: String| format!("{}: {reason}", path.display());
    let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    let weights = Weights::read(&bytes).map_err(named)?;
    bert::graph(config, head, &weights).map_err(named)
}

impl Embedder for Transformer {
    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.vectors(texts, For::Documents)
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let mut vectors = self.vectors(&[text], For::Query)?;
        Ok(vectors.pop().unwrap_or_default())
    }
}
