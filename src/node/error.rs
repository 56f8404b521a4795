//! Why a node did not start, or ended by itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::checkpoint::OpenError;
use crate::embed::EmbedError;
use crate::rerank::RerankError;
use crate::server::Refused;
use crate::source::SourceError;
use crate::storage::LockError;

/// Why a node did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("cannot listen on {address} (is another node running there? `--listen` names another address)")]
    Listen {
        address: SocketAddr,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot create the data directory {} (`--data-dir` names another)", path.display())]
    DataDirectory {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot write dead letters to {}", path.display())]
    DeadLetters {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Locked(#[from] LockError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Embedder(#[from] EmbedError),
    #[error(transparent)]
    Reranker(#[from] RerankError),
    #[error("the topic of dead letters")]
    DeadLetterTopic(#[source] SourceError),
    #[error("table `{table}`")]
    Source {
        table: String,
        #[source]
        cause: SourceError,
    },
    #[error("cannot open the push log of table `{table}`")]
    PushLog {
        table: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    #[error("cannot answer requests on {address}")]
    Serve {
        address: SocketAddr,
        #[source]
        cause: std::io::Error,
    },
    #[error("a worker failed, and the node cannot go on without it: {0}")]
    Worker(String),
}
