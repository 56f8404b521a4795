//! Searches: request -> plan -> both legs on one snapshot -> fused -> hydrated.
//!
//! A search reads one [`Snapshot`] and nothing else of the node: no lock, no dataflow, no clock.

mod request;
mod answer;
mod plan;
mod run;
mod embedding;
mod fuse;

use std::sync::Arc;
use std::time::Instant;

pub use answer::{AsOf, DocumentAnswer, FailedLeg, Hit, Leg, LegHit, SearchAnswer, Stats, VectorState};
pub use request::{FusionRequest, LegWeights, Mode, SearchRequest};

use embedding::QueryEmbedder;

use crate::definition::{Definition, Index, VectorSource};
use crate::embed::Embedder;
use crate::index::{Published, Snapshot};

/// Answers searches over what is published. Cheap to clone; never blocks the dataflow.
#[derive(Clone)]
pub struct Searcher {
    index: Arc<Index>,
    /// Of the index's vectors; `None` where it has none.
    dimensions: Option<usize>,
    published: Arc<Published>,
    /// For the text of queries; `None` for indexes of ready-made or no vectors.
    queries: Option<QueryEmbedder>,
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

impl QueryError {
    fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> QueryError {
        QueryError {
            code,
            message: message.into(),
            hint: Some(hint.into()),
            internal: false,
        }
    }

    fn internal(code: &'static str, message: impl Into<String>) -> QueryError {
        QueryError {
            code,
            message: message.into(),
            hint: None,
            internal: true,
        }
    }
}

impl Searcher {
    /// The definition has an index, and an index that embeds has an embedder.
    pub fn new(
        definition: Arc<Definition>,
        published: Arc<Published>,
        embedder: Option<Arc<dyn Embedder>>,
    ) -> Searcher {
        let index = definition
            .index
            .clone()
            .expect("a definition that is searched has an index");
        let dimensions = match (&index.vectors, &embedder) {
            (VectorSource::Absent, _) => None,
            (VectorSource::Column { dimensions, .. }, _) => Some(*dimensions),
            (VectorSource::Embed { .. }, Some(embedder)) => Some(embedder.dimensions()),
            (VectorSource::Embed { .. }, None) => panic!("an index that embeds has an embedder"),
        };
        let timeout = match &index.vectors {
            VectorSource::Embed { embedder, .. } => Some(embedder.lane.query_timeout),
            VectorSource::Column { .. } | VectorSource::Absent => None,
        };
        Searcher {
            index: Arc::new(index),
            dimensions,
            published,
            queries: embedder.map(|embedder| QueryEmbedder::new(embedder, timeout)),
        }
    }

    /// The same, but a search waits for the vector of its query for as long as that takes.
    pub fn patient(self) -> Searcher {
        Searcher {
            queries: self.queries.map(|queries| queries.patient()),
            ..self
        }
    }

    /// Searches the newest snapshot, and says how long that took.
    ///
    /// Blocks for the time of the search; with a slow embedder, for the time it takes to embed the query, up to the
    /// embedder's `query_timeout`.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, or, with `internal` set, that no leg could answer it. One leg that
    /// cannot answer is no error: [`SearchAnswer::failed`] names it.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, QueryError> {
        let start = Instant::now();
        let answer = self.search_in(&self.published.snapshot(), request)?;
        let took_ms = (start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        Ok(SearchAnswer {
            took_ms: Some(took_ms),
            ..answer
        })
    }

    /// Searches one snapshot. The answer depends on nothing else, so it says no time.
    ///
    /// # Errors
    ///
    /// As [`Searcher::search`].
    pub fn search_in(
        &self,
        snapshot: &Snapshot,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, QueryError> {
        let search = plan::plan(self, request)?;
        run::run(self, snapshot, &search)
    }

    /// The document with this key text, all columns of the query.
    pub fn document(&self, key: &str) -> Option<DocumentAnswer> {
        let snapshot = self.published.snapshot();
        let document = snapshot.document(key)?;
        Some(DocumentAnswer::new(document, &snapshot))
    }

    /// What the newest snapshot holds, and what was done up to it.
    pub fn stats(&self) -> Stats {
        let price = match &self.index.vectors {
            VectorSource::Embed { embedder, .. } => embedder.lane.price_per_million_tokens,
            VectorSource::Column { .. } | VectorSource::Absent => None,
        };
        Stats::new(&self.published.snapshot(), price)
    }
}
