//! The BERT family as an ONNX graph: from token ids to a vector a token, or to what a classifier makes of the first one.
//!
//! Models that come as `config.json` and `model.safetensors` have weights only; what is done with them is here, once,
//! and the runtime that runs ONNX files runs it too.

use serde::Deserialize;

use super::graph::{CONTRIB, Graph, Setting};
use super::weights::Weights;

/// Token ids, one row a text.
pub const IDS: &str = "input_ids";
/// Where each token stands; a row for all texts.
pub const POSITIONS: &str = "position_ids";
/// 1 for a token, 0 behind the end of a text.
pub const MASK: &str = "attention_mask";
/// 1 for a token of the second text of a pair.
pub const TYPES: &str = "token_type_ids";

/// What stands on the vectors of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing: a vector a token comes out.
    None,
    /// `*ForSequenceClassification`, of pairs: a number for each label comes out.
    Classifier,
}

/// `config.json`, as far as the graph depends on it.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub places: Places,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    hidden_size: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "epsilon")]
    layer_norm_eps: f32,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

/// `config.json`, as far as it concerns the places of tokens: also for models whose graph is their own.
#[derive(Debug, Default, Deserialize)]
pub struct Places {
    #[serde(default)]
    model_type: String,
    #[serde(default)]
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    pad_token_id: Option<u32>,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn epsilon() -> f32 {
    1e-12
}

impl Config {
    /// Why the graph below is not this model's.
    pub fn check(&self) -> Result<(), String> {
        let kind = self.places.model_type.as_str();
        if !["bert", "roberta", "xlm-roberta", "camembert"].contains(&kind) {
            return Err(format!(
                "`model_type` is `{kind}`; of `bert`, `roberta`, `xlm-roberta` and `camembert` the weights are enough, others need an ONNX file"
            ));
        }
        if let Some(other) = self
            .position_embedding_type
            .as_deref()
            .filter(|kind| *kind != "absolute")
        {
            return Err(format!(
                "`position_embedding_type` is {other}; `absolute` can be run"
            ));
        }
        if self.places.max_position_embeddings.is_none() {
            return Err("`max_position_embeddings` is missing".to_owned());
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err("`hidden_size` is no multiple of `num_attention_heads`".to_owned());
        }
        self.activation().map(|_| ())
    }

    fn activation(&self) -> Result<&'static str, String> {
        match self.hidden_act.as_str() {
            "gelu" => Ok("Gelu"),
            "relu" => Ok("Relu"),
            other => Err(format!("`hidden_act` is {other}; `gelu` and `relu` can be run")),
        }
    }
}

impl Places {
    /// What stands behind the end of a text.
    pub fn pad(&self) -> u32 {
        self.pad_token_id.unwrap_or(0)
    }

    /// The place of the first token: RoBERTa counts from behind its padding.
    pub fn first(&self) -> usize {
        match self.model_type.as_str() {
            "roberta" | "xlm-roberta" | "camembert" => self.pad() as usize + 1,
            _ => 0,
        }
    }

    /// The most tokens of a text that there are places for, special ones included.
    pub fn tokens_max(&self) -> usize {
        let places = self.max_position_embeddings.unwrap_or(usize::MAX);
        places.saturating_sub(self.first())
    }
}

/// The model's graph as the bytes of an ONNX file.
///
/// # Errors
/// A tensor is missing or has another shape than `config` says.
pub fn graph(config: &Config, head: Head, weights: &Weights<'_>) -> Result<Vec<u8>, String> {
    let mut bert = Bert {
        graph: Graph::default(),
        config,
        weights,
    };
    for input in [IDS, POSITIONS, MASK] {
        bert.graph.input(input);
    }
    let mut tokens = bert.embeddings(head)?;
    for layer in 0..config.num_hidden_layers {
        tokens = bert.layer(&tokens, &format!("encoder.layer.{layer}."))?;
    }
    let output = match head {
        Head::None => tokens,
        Head::Classifier => bert.classifier(&tokens)?,
    };
    bert.graph
        .finish(&output)
        .ok_or_else(|| "the model is too large".to_owned())
}

struct Bert<'a> {
    graph: Graph,
    config: &'a Config,
    weights: &'a Weights<'a>,
}

impl Bert<'_> {
    fn embeddings(&mut self, head: Head) -> Result<String, String> {
        let hidden = self.config.hidden_size;
        let words = self.table("embeddings.word_embeddings.weight", 0)?;
        // A place beyond the table is never asked for: texts are cut before.
        let places = self.config.places.max_position_embeddings.unwrap_or_default();
        let places = self.table("embeddings.position_embeddings.weight", places)?;
        let words = self.graph.apply("Gather", &[&words, IDS], &[]);
        let places = self.graph.apply("Gather", &[&places, POSITIONS], &[]);
        const KINDS: &str = "embeddings.token_type_embeddings.weight";
        let kinds = self.weights.rows(KINDS, hidden)?;
        let first = kinds.get(..hidden).ok_or("the table of token types is empty")?;
        let kind = match head {
            // RoBERTa tells the two texts of a pair apart by what stands between them.
            Head::Classifier if kinds.len() >= 2 * hidden => {
                self.graph.input(TYPES);
                let kinds = self.graph.weights(KINDS, &[kinds.len() / hidden, hidden], &kinds);
                self.graph.apply("Gather", &[&kinds, TYPES], &[])
            }
            // A text alone is all of the first kind.
            Head::None | Head::Classifier => self.graph.weights("token_type", &[hidden], first),
        };
        let sum = self.graph.apply("Add", &[&words, &places], &[]);
        let sum = self.graph.apply("Add", &[&sum, &kind], &[]);
        self.normalised(&sum, "embeddings.LayerNorm")
    }

    fn layer(&mut self, tokens: &str, name: &str) -> Result<String, String> {
        let [query, key, value] = ["query", "key", "value"]
            .map(|part| self.linear(tokens, &format!("{name}attention.self.{part}")));
        let heads = Setting::Integer(self.config.num_attention_heads as i64);
        // The default filter value, -10,000, is as good as none: its exponential is 0.
        let seen = self.graph.apply_of(
            CONTRIB,
            "MultiHeadAttention",
            &[&query?, &key?, &value?, "", MASK],
            &[("num_heads", heads)],
        );
        let seen = self.linear(&seen, &format!("{name}attention.output.dense"))?;
        let sum = self.graph.apply("Add", &[&seen, tokens], &[]);
        let tokens = self.normalised(&sum, &format!("{name}attention.output.LayerNorm"))?;

        let wide = self.linear(&tokens, &format!("{name}intermediate.dense"))?;
        let wide = self.graph.apply(self.config.activation()?, &[&wide], &[]);
        let narrow = self.linear(&wide, &format!("{name}output.dense"))?;
        let sum = self.graph.apply("Add", &[&narrow, &tokens], &[]);
        self.normalised(&sum, &format!("{name}output.LayerNorm"))
    }

    /// A number for each label, from the vector of the first token.
    fn classifier(&mut self, tokens: &str) -> Result<String, String> {
        let place = self.graph.integer("first_token", 0);
        let first = self
            .graph
            .apply("Gather", &[tokens, &place], &[("axis", Setting::Integer(1))]);
        let (dense, out) = match self.config.places.model_type.as_str() {
            "bert" => ("pooler.dense", "classifier"),
            _ => ("classifier.dense", "classifier.out_proj"),
        };
        let dense = self.linear(&first, dense)?;
        let dense = self.graph.apply("Tanh", &[&dense], &[]);
        self.linear(&dense, out)
    }

    /// A table of `rows` vectors, or of as many as there are for 0.
    fn table(&mut self, name: &str, rows: usize) -> Result<String, String> {
        let hidden = self.config.hidden_size;
        let values = self.weights.rows(name, hidden)?;
        let found = values.len() / hidden;
        if found < rows {
            return Err(format!("tensor {name} has {found} rows instead of {rows}"));
        }
        Ok(self.graph.weights(name, &[found, hidden], &values))
    }

    fn linear(&mut self, input: &str, name: &str) -> Result<String, String> {
        let bias = self.weights.vector(&format!("{name}.bias"))?;
        let (values, width) = self.weights.transposed(&format!("{name}.weight"), bias.len())?;
        let matrix = self
            .graph
            .weights(&format!("{name}.weight"), &[width, bias.len()], &values);
        let bias = self.graph.weights(&format!("{name}.bias"), &[bias.len()], &bias);
        let product = self.graph.apply("MatMul", &[input, &matrix], &[]);
        Ok(self.graph.apply("Add", &[&product, &bias], &[]))
    }

    fn normalised(&mut self, input: &str, name: &str) -> Result<String, String> {
        let [scale, shift] = ["weight", "bias"].map(|part| -> Result<String, String> {
            let name = format!("{name}.{part}");
            let values = self.weights.vector(&name)?;
            Ok(self.graph.weights(&name, &[values.len()], &values))
        });
        let settings = [
            ("axis", Setting::Integer(-1)),
            ("epsilon", Setting::Number(self.config.layer_norm_eps)),
        ];
        Ok(self
            .graph
            .apply("LayerNormalization", &[input, &scale?, &shift?], &settings))
    }
}
