//! A query and texts -> how well each answers it: a transformer that reads both at once.
//!
//! What it reads of a pair is in `tokens`, its graph in `bert`; the rest is batches. Models come in the layout of
//! transformers' `*ForSequenceClassification`, as weights or as an ONNX file.

use std::panic::catch_unwind;
use std::time::Instant;

use super::batches::batches;
use super::bert::{Head, Places};
use super::files::Files;
use super::runtime::{For, Output, Runtime};
use super::tokens::{Cutter, Tokens};
use super::transformer::runtime;
use crate::definition::LocalReranker;

/// Tokens of a pair that count where the file does not say: what most of these models have learned from.
const TOKENS_MAX: usize = 512;

/// A cross-encoder on this machine.
pub struct CrossEncoder {
    name: String,
    cutter: Cutter,
    runtime: Runtime,
    places: Places,
}

impl CrossEncoder {
    /// Opens the model, and proves that it runs by a first pair.
    ///
    /// # Errors
    /// Files are absent, damaged, or of a kind that cannot be run here; the reason names the file.
    pub fn open(settings: &LocalReranker) -> Result<CrossEncoder, String> {
        // As for embedders: the libraries behind it may panic at damaged files.
        let opened = catch_unwind(|| CrossEncoder::load(settings));
        opened.unwrap_or_else(|_| Err("its files make the library panic that reads them".to_owned()))
    }

    fn load(settings: &LocalReranker) -> Result<CrossEncoder, String> {
        let files = Files::find(&settings.path)?;
        let places: Places = files.json("config.json")?.unwrap_or_default();
        let tokens_max = settings.tokens_max.unwrap_or(TOKENS_MAX).min(places.tokens_max());
        let model = CrossEncoder {
            name: format!("{}/{tokens_max}", files.name()),
            cutter: Cutter::open(&files, tokens_max, places.pad())?,
            runtime: runtime(&files, Head::Classifier, 1)?,
            places,
        };
        model.scores("a first query", &["a first text"], None)?;
        Ok(model)
    }

    /// Names the model by what is in its files, wherever they lie.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One score for each text, in their order: more is better, and all are finite. Between two batches it gives up
    /// where nobody waits any more, which is from `until` on.
    ///
    /// # Errors
    /// The model cannot be run, gives what is no score, or time was over.
    pub fn scores(&self, query: &str, texts: &[&str], until: Option<Instant>) -> Result<Vec<f32>, String> {
        let pairs = self.cutter.pairs(query, texts)?;
        let lengths: Vec<usize> = pairs.iter().map(|pair| pair.ids.len()).collect();
        let (order, batches) = batches(&lengths);
        let mut scores = vec![f32::NAN; texts.len()];
        for batch in batches {
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err("it took too long".to_owned());
            }
            let batch = order.get(batch).unwrap_or_default();
            let rows: Vec<&Tokens> = batch.iter().filter_map(|&text| pairs.get(text)).collect();
            for (&text, score) in batch.iter().zip(self.run(&rows)?) {
                if let Some(place) = scores.get_mut(text) {
                    *place = score;
                }
            }
        }
        match scores.iter().all(|score| score.is_finite()) {
            true => Ok(scores),
            false => Err("it gives scores that are not finite".to_owned()),
        }
    }

    /// The scores of a batch: of one label, or of the last of several, which says "relevant".
    fn run(&self, pairs: &[&Tokens]) -> Result<Vec<f32>, String> {
        let tokens = pairs.iter().map(|pair| pair.ids.len()).max().unwrap_or_default();
        match self.runtime.run(pairs, tokens, &self.places, For::Query)? {
            Output::Texts { values, dimensions } => {
                let labels = values.chunks(dimensions.max(1));
                Ok(labels.filter_map(|labels| labels.last().copied()).collect())
            }
            Output::Tokens { .. } => {
                Err("it gives a vector a token, and no score: it is no cross-encoder".to_owned())
            }
        }
    }
}
