//! Text -> tokens -> a vector a token -> a vector.

use std::path::Path;

use tokenizers::{Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use super::batches::batches;
use super::bert::{self, Places};
use super::files::{Files, Parts, Pooling};
use super::runtime::{For, Output, Runtime};
use super::weights::Weights;
use crate::embed::{EmbedError, Embedder};

/// Bytes of a text for each token that counts. What lies behind is not looked at: words are shorter, and a text of
/// megabytes would be cut into tokens for nothing.
const TOKEN_BYTES_MAX: usize = 64;

/// A transformer of sentences.
pub struct Transformer {
    name: String,
    tokenizer: Tokenizer,
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
            tokenizer: tokenizer(files, parts.tokens_max)?,
            runtime: runtime(files, threads)?,
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
        let tokens: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| self.tokens(text))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let (order, batches) = batches(&lengths);
        let mut vectors = vec![Vec::new(); texts.len()];
        for batch in batches {
            let batch = order.get(batch).unwrap_or_default();
            let rows: Vec<&[u32]> = batch
                .iter()
                .filter_map(|&text| tokens.get(text))
                .map(Vec::as_slice)
                .collect();
            for (&text, vector) in batch.iter().zip(self.run(&rows, whose).map_err(failed)?) {
                if let Some(place) = vectors.get_mut(text) {
                    *place = vector;
                }
            }
        }
        Ok(vectors)
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, String> {
        let end = text.floor_char_boundary(self.parts.tokens_max.saturating_mul(TOKEN_BYTES_MAX));
        let text = text.get(..end).unwrap_or_default();
        let encoding = self.tokenizer.encode_fast(text, true);
        let ids = encoding
            .map_err(|error| format!("the text has no tokens: {error}"))?
            .get_ids()
            .to_vec();
        if ids.is_empty() {
            // Without special tokens an empty text has none; one that pads is as good as any.
            return Ok(vec![self.places.pad()]);
        }
        Ok(ids)
    }

    /// The vectors of a batch.
    fn run(&self, texts: &[&[u32]], whose: For) -> Result<Vec<Vec<f32>>, String> {
        let tokens = texts.iter().map(|text| text.len()).max().unwrap_or_default();
        let output = self.runtime.run(texts, tokens, &self.places, whose)?;
        let pooled: Vec<Vec<f32>> = match output {
            Output::Texts { values, dimensions } => {
                values.chunks(dimensions.max(1)).map(<[f32]>::to_vec).collect()
            }
            Output::Tokens { values, dimensions } => {
                let dimensions = dimensions.max(1);
                let rows = values.chunks(dimensions * tokens.max(1)).zip(texts);
                rows.map(|(row, text)| pool(self.parts.pooling, row, dimensions, text.len()))
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
fn runtime(files: &Files, threads: usize) -> Result<Runtime, String> {
    let absent = || "there is neither model.safetensors nor model.onnx nor onnx/model.onnx".to_owned();
    let why_not = match files.weights() {
        None => absent(),
        Some(path) => {
            let config: bert::Config = files.json("config.json")?.ok_or("there is no config.json")?;
            match config.check() {
                Ok(()) => return runtime_of_weights(&config, &path, threads),
                Err(reason) => format!("config.json: {reason}"),
            }
        }
    };
    match files.onnx() {
        Some(onnx) => Runtime::open(onnx, threads),
        None => Err(why_not),
    }
}

fn runtime_of_weights(config: &bert::Config, path: &Path, threads: usize) -> Result<Runtime, String> {
    let graph = graph_of_weights(config, path)?;
    Runtime::load(graph, threads).map_err(|reason| format!("{}: {reason}", path.display()))
}

/// The bytes of an ONNX file.
pub fn graph_of_weights(config: &bert::Config, path: &Path) -> Result<Vec<u8>, String> {
    let named = |reason: String| format!("{}: {reason}", path.display());
    let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    let weights = Weights::read(&bytes).map_err(named)?;
    bert::graph(config, &weights).map_err(named)
}

/// The model's tokenizer, which cuts at so many tokens and pads nothing.
fn tokenizer(files: &Files, tokens_max: usize) -> Result<Tokenizer, String> {
    let named = |error: tokenizers::Error| format!("tokenizer.json: {error}");
    let mut tokenizer = Tokenizer::from_bytes(files.bytes("tokenizer.json")?).map_err(named)?;
    let truncation = TruncationParams {
        max_length: tokens_max,
        strategy: TruncationStrategy::LongestFirst,
        direction: TruncationDirection::Right,
        stride: 0,
    };
    tokenizer
        .with_padding(None)
        .with_truncation(Some(truncation))
        .map_err(named)?;
    Ok(tokenizer)
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
