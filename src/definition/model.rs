//! The models that `[embedder]` can name.

use std::path::PathBuf;
use std::time::Duration;

/// What makes vectors of texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// The model in the binary.
    Default,
    /// Deterministic pseudo-vectors, for tests: the same text has the same vector, nothing else is close.
    Hash { dimensions: usize },
    /// A model on this machine, run in this process.
    Local(LocalModel),
    /// A service that is asked over HTTP.
    Service(ServiceModel),
}

/// `{ path = ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalModel {
    /// A folder in the layout of sentence-transformers or model2vec, or an ONNX file in or below one.
    pub path: PathBuf,
    /// Where absent, what the model's own files say.
    pub query_prefix: Option<String>,
    pub document_prefix: Option<String>,
    /// Tokens of a text that count, where the model's own files say nothing or too much.
    pub tokens_max: Option<usize>,
}

/// `{ url = ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceModel {
    /// Of the endpoint itself.
    pub url: String,
    pub api: Api,
    /// The model, as the service calls it.
    pub name: String,
    pub dimensions: usize,
    pub query_prefix: Option<String>,
    pub document_prefix: Option<String>,
    /// The environment variable that has the key; never the key.
    pub key_variable: Option<String>,
    /// From the first byte sent to the last received.
    pub timeout: Duration,
    /// Of the texts of one request together, estimated.
    pub batch_tokens: usize,
}

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `POST /v1/embeddings` of OpenAI, and of all who speak like it.
    OpenAi,
    /// `POST /embed` of Hugging Face's text-embeddings-inference.
    Tei,
    /// `POST /api/embed`.
    Ollama,
}

impl Api {
    /// By the names of a dataflow file.
    pub const ALL: [(&str, Api); 3] = [
        ("openai", Api::OpenAi),
        ("tei", Api::Tei),
        ("ollama", Api::Ollama),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Api::OpenAi => "openai",
            Api::Tei => "tei",
            Api::Ollama => "ollama",
        }
    }
}
