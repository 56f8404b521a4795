//! BERT in float64, a text at a time and term by term: a second opinion.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;

pub struct Reference {
    weights: HashMap<String, Vec<f64>>,
    config: Value,
}

type Rows = Vec<Vec<f64>>;

impl Reference {
    pub fn open(folder: &Path) -> Reference {
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let weights = tensors.tensors().into_iter().map(|(name, tensor)| {
            let values = match tensor.dtype() {
                Dtype::F32 => tensor
                    .data()
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&value| f64::from(f32::from_le_bytes(value)))
                    .collect(),
                Dtype::F16 => tensor
                    .data()
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&value| half::f16::from_le_bytes(value).to_f64())
                    .collect(),
                _ => Vec::new(),
            };
            (name, values)
        });
        Reference {
            weights: weights
                .map(|(name, values)| {
                    let plain = name.strip_prefix("bert.").or(name.strip_prefix("roberta."));
                    (plain.unwrap_or(&name).to_owned(), values)
                })
                .collect(),
            config: serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap(),
        }
    }

    /// A vector for each token; `first` is the place of the first.
    pub fn tokens(&self, ids: &[u32], first: usize) -> Rows {
        self.tokens_of(ids, &vec![0; ids.len()], first)
    }

    /// What the classifier says of a pair: the number of the last label.
    pub fn score(&self, ids: &[u32], types: &[u32], first: usize) -> f64 {
        let token = vec![self.tokens_of(ids, types, first).remove(0)];
        let (dense, out) = match self.weights.contains_key("pooler.dense.weight") {
            true => ("pooler.dense", "classifier"),
            false => ("classifier.dense", "classifier.out_proj"),
        };
        let mut dense = self.linear(&token, dense);
        dense.iter_mut().flatten().for_each(|value| *value = value.tanh());
        *self.linear(&dense, out)[0].last().unwrap()
    }

    fn tokens_of(&self, ids: &[u32], types: &[u32], first: usize) -> Rows {
        let number = |name: &str| self.config[name].as_u64().unwrap() as usize;
        let (hidden, heads) = (number("hidden_size"), number("num_attention_heads"));
        let row = |name: &str, row: usize| &self.weights[name][row * hidden..][..hidden];
        let embedded = ids.iter().enumerate().map(|(place, &id)| {
            let word = row("embeddings.word_embeddings.weight", id as usize);
            let position = row("embeddings.position_embeddings.weight", first + place);
            let kind = row("embeddings.token_type_embeddings.weight", types[place] as usize);
            (0..hidden).map(|at| word[at] + position[at] + kind[at]).collect()
        });
        let mut x = self.normal(embedded.collect(), "embeddings.LayerNorm");
        for layer in 0..number("num_hidden_layers") {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            let [q, k, v] = ["query", "key", "value"]
                .map(|part| self.linear(&x, &name(&format!("attention.self.{part}"))));
            let width = hidden / heads;
            let seen = (0..ids.len()).map(|token| {
                let mut seen = vec![0.0; hidden];
                for head in 0..heads {
                    let part = head * width..(head + 1) * width;
                    let score = |other: &Vec<f64>| -> f64 {
                        let dot: f64 = part.clone().map(|at| q[token][at] * other[at]).sum();
                        (dot / (width as f64).sqrt()).exp()
                    };
                    let scores: Vec<f64> = k.iter().map(score).collect();
                    let sum: f64 = scores.iter().sum();
                    for at in part.clone() {
                        seen[at] = scores
                            .iter()
                            .zip(&v)
                            .map(|(score, value)| score / sum * value[at])
                            .sum();
                    }
                }
                seen
            });
            let seen = self.linear(&seen.collect::<Rows>(), &name("attention.output.dense"));
            x = self.normal(sum(&x, &seen), &name("attention.output.LayerNorm"));
            let mut wide = self.linear(&x, &name("intermediate.dense"));
            wide.iter_mut()
                .flatten()
                .for_each(|value| *value *= 0.5 * (1.0 + erf(*value / 2f64.sqrt())));
            x = self.normal(
                sum(&x, &self.linear(&wide, &name("output.dense"))),
                &name("output.LayerNorm"),
            );
        }
        x
    }

    /// The mean over tokens.
    pub fn mean(&self, ids: &[u32], first: usize) -> Vec<f32> {
        let tokens = self.tokens(ids, first);
        let mean = |at: usize| tokens.iter().map(|token| token[at]).sum::<f64>() / tokens.len() as f64;
        (0..tokens[0].len()).map(|at| mean(at) as f32).collect()
    }

    fn normal(&self, rows: Rows, name: &str) -> Rows {
        let (scale, shift) = (
            &self.weights[&format!("{name}.weight")],
            &self.weights[&format!("{name}.bias")],
        );
        let epsilon = self.config["layer_norm_eps"].as_f64().unwrap();
        let normal = |row: Vec<f64>| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let spread = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let scaled = |at: usize| (row[at] - mean) / (spread + epsilon).sqrt() * scale[at] + shift[at];
            (0..row.len()).map(scaled).collect()
        };
        rows.into_iter().map(normal).collect()
    }

    fn linear(&self, rows: &Rows, name: &str) -> Rows {
        let (weights, bias) = (
            &self.weights[&format!("{name}.weight")],
            &self.weights[&format!("{name}.bias")],
        );
        let out = |row: &Vec<f64>| {
            let weights = weights.chunks(row.len()).zip(bias);
            weights
                .map(|(weights, bias)| weights.iter().zip(row).map(|(a, b)| a * b).sum::<f64>() + bias)
                .collect()
        };
        rows.iter().map(out).collect()
    }
}

fn sum(left: &Rows, right: &Rows) -> Rows {
    let add = |(left, right): (&Vec<f64>, &Vec<f64>)| left.iter().zip(right).map(|(a, b)| a + b).collect();
    left.iter().zip(right).map(add).collect()
}

/// The error function by its series, which is exact enough below 6; above, it is 1.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
