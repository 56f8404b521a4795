//! Searches: request -> plan -> both legs on one snapshot -> fused -> hydrated.

mod fuse;
mod request;
mod run;

use std::sync::Arc;

pub use request::{AsOf, DocumentAnswer, Hit, LegHit, Mode, SearchAnswer, SearchRequest, Stats};

use crate::definition::Definition;
use crate::embed::Embedder;
use crate::index::{Published, Snapshot};

/// Answers searches over what is published. Cheap to clone; never blocks the dataflow.
#[derive(Clone)]
pub struct Searcher {
    definition: Arc<Definition>,
    published: Arc<Published>,
    /// For the text of queries; `None` for indexes of ready-made or no vectors.
    embedder: Option<Arc<dyn Embedder>>,
}

/// What is wrong with a query, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// A word for programs, such as `unknown_field`.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
    /// Whether the node, not the query, is at fault.
    pub internal: bool,
}

impl Searcher {
    /// The definition has an index.
    pub fn new(
        definition: Arc<Definition>,
        published: Arc<Published>,
        embedder: Option<Arc<dyn Embedder>>,
    ) -> Searcher {
        Searcher {
            definition,
            published,
            embedder,
        }
    }

    /// Searches the newest snapshot.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, QueryError> {
        self.search_in(&self.published.snapshot(), request)
    }

    /// Searches one snapshot.
    pub fn search_in(
        &self,
        snapshot: &Snapshot,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, QueryError> {
        let _ = (snapshot, request);
        todo!()
    }

    /// The document with this key text, all columns of the query.
    pub fn document(&self, key: &str) -> Option<DocumentAnswer> {
        let _ = key;
        todo!()
    }

    pub fn stats(&self) -> Stats {
        todo!()
    }
}
