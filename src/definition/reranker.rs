//! The re-ranker that `[reranker]` names.

use std::path::PathBuf;
use std::time::Duration;

use super::Template;

/// What puts the best hits of a search into a better order.
#[derive(Clone, Debug, PartialEq)]
pub struct RerankerSettings {
    pub model: RerankModel,
    /// What of a document is compared with the query.
    pub text: Template,
    /// How many of the best hits are compared, unless a search says otherwise: 1 to [`RerankerSettings::WINDOW_MAX`].
    pub window: usize,
    /// How long a search waits for it, unless it says otherwise.
    pub timeout: Duration,
}

impl RerankerSettings {
    /// Each hit costs a run of the model: some hundred take seconds on most machines.
    pub const WINDOW_MAX: usize = 200;
}

/// What compares a query with texts.
#[derive(Clone, Debug, PartialEq)]
pub enum RerankModel {
    /// A cross-encoder on this machine, run in this process.
    Local(LocalReranker),
    /// A service that is asked over HTTP.
    Service(RerankService),
}

/// `{ path = ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalReranker {
    /// A folder in the layout of transformers, or an ONNX file in or below one.
    pub path: PathBuf,
    /// Tokens of query and text together that count, where the model's own files say nothing or too much.
    pub tokens_max: Option<usize>,
}

/// `{ url = ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct RerankService {
    /// Of the endpoint itself.
    pub url: String,
    pub api: RerankApi,
    /// The model, as the service calls it.
    pub name: String,
    /// The environment variable that has the key; never the key.
    pub key_variable: Option<String>,
}

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RerankApi {
    /// `POST /rerank` of Hugging Face's text-embeddings-inference.
    Tei,
    /// `POST /v2/rerank`.
    Cohere,
    /// `POST /v1/rerank`, and all who speak like it.
    Jina,
}

impl RerankApi {
    /// By the names of a dataflow file.
    pub const ALL: [(&str, RerankApi); 3] = [
        ("tei", RerankApi::Tei),
        ("cohere", RerankApi::Cohere),
        ("jina", RerankApi::Jina),
    ];

    pub fn name(self) -> &'static str {
        match self {
            RerankApi::Tei => "tei",
            RerankApi::Cohere => "cohere",
            RerankApi::Jina => "jina",
        }
    }
}
