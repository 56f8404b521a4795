//! Searches: request -> plan -> both legs on one snapshot -> fused -> hydrated.
//!
//! A search reads one [`Snapshot`] and nothing else of the node: no dataflow, and a clock only while a slow embedder makes
//! it wait for the vector of its query.

mod request;
pub mod language;
mod answer;
mod plan;
mod run;
mod embedding;
mod fuse;
mod compare;
mod recent;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

pub use answer::{
    AsOf, DocumentAnswer, EmbedderHealth, FailedLeg, Hit, Leg, LegHit, OldestHeld, Piece, SearchAnswer,
    Stats, VectorState,
};
pub use compare::{CompareError, ComparedQuery, Comparison};
pub use request::{
    FusionRequest, Fuzzy, LegWeights, MinimumMatchRequest, Mode, Operator, SearchRequest, VectorsWanted,
};

use arc_swap::ArcSwap;
use embedding::QueryEmbedder;
use recent::RecentQueries;

use crate::definition::{Definition, Index, LaneSettings, Metric, Template, VectorField, VectorSource};
use crate::embed::{self, Embedder, FieldEmbedders};
use crate::index::{Published, Snapshot};
use fuse::Fused;

/// Answers searches over what is published. Cheap to clone; never blocks the dataflow.
#[derive(Clone)]
pub struct Searcher {
    index: Arc<Index>,
    published: Arc<Published>,
    /// By leg: the vector fields in the order of the index, and then the sets of vectors that upgrades have made.
    legs: Arc<ArcSwap<Vec<Arc<SearchedField>>>>,
    recent: Arc<RecentQueries>,
}

/// A leg of a vector field as searches see it.
#[derive(Clone)]
struct SearchedField {
    name: String,
    dimensions: usize,
    metric: Metric,
    /// For the text of queries; `None` where vectors are ready-made.
    queries: Option<QueryEmbedder>,
    /// What documents' texts are made by, where they are embedded in pieces.
    pieces_of: Option<Arc<Template>>,
}

impl SearchedField {
    /// The piece of its document's text by which the vector leg has found a hit.
    fn piece(&self, hit: &Fused<'_>) -> Option<Piece> {
        let template = self.pieces_of.as_ref()?;
        hit.vector?;
        Piece::of(&template.render(&hit.document.row)?, hit.span)
    }
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
    /// The definition has an index, and its vector fields that embed have embedders.
    pub fn new(
        definition: Arc<Definition>,
        published: Arc<Published>,
        embedders: FieldEmbedders,
    ) -> Searcher {
        let index = definition
            .index
            .clone()
            .expect("a definition that is searched has an index");
        Searcher {
            legs: Arc::new(ArcSwap::from_pointee(searched(&index, embedders))),
            index: Arc::new(index),
            published,
            recent: Arc::default(),
        }
    }

    /// Says which legs there are, by an index that has a vector field for each of them. Before the first search.
    pub fn set_legs(&self, index: &Index, embedders: FieldEmbedders) {
        self.legs.store(Arc::new(searched(index, embedders)));
    }

    /// Adds a leg behind the others, before a snapshot says that it answers.
    pub fn add_leg(&self, field: &VectorField, embedder: Arc<dyn Embedder>) {
        let leg = Arc::new(SearchedField::new(field, embedder.dimensions(), Some(embedder)));
        self.legs.rcu(|legs| {
            let mut legs = Vec::clone(legs);
            legs.push(leg.clone());
            legs
        });
    }

    /// How many legs there are.
    pub fn legs(&self) -> usize {
        self.legs.load().len()
    }

    /// The same, but a search waits for the vector of its query for as long as that takes.
    pub fn patient(self) -> Searcher {
        let patient = |field: &Arc<SearchedField>| {
            Arc::new(SearchedField {
                queries: field.queries.as_ref().map(QueryEmbedder::patient),
                ..SearchedField::clone(field)
            })
        };
        let legs = self.legs.load().iter().map(patient).collect();
        Searcher {
            legs: Arc::new(ArcSwap::from_pointee(legs)),
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
        if let (Some(query), None) = (&request.query, &request.vector)
            && request.mode != Mode::Keyword
        {
            self.recent.note(query);
        }
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
        let search = plan::plan(self, snapshot, request)?;
        run::run(snapshot, &search)
    }

    /// The document with this key text, all columns of the query.
    pub fn document(&self, key: &str) -> Option<DocumentAnswer> {
        let snapshot = self.published.snapshot();
        let document = snapshot.document(key)?;
        Some(DocumentAnswer::new(document, &snapshot))
    }

    /// What the newest snapshot holds, and what was done up to it.
    pub fn stats(&self) -> Stats {
        let prices = self.index.vectors.iter();
        let price = prices
            .filter_map(|field| settings(field).price_per_million_tokens)
            .next();
        Stats {
            embedders: self.embedders(),
            ..Stats::new(&self.published.snapshot(), price)
        }
    }

    /// How the services behind embedders are doing, by vector field.
    pub fn embedders(&self) -> BTreeMap<String, EmbedderHealth> {
        let health = |field: &Arc<SearchedField>| {
            let health = field.queries.as_ref()?.health()?;
            Some((field.name.clone(), health.into()))
        };
        self.legs.load().iter().filter_map(health).collect()
    }
}

/// The legs of an index's vector fields.
fn searched(index: &Index, embedders: FieldEmbedders) -> Vec<Arc<SearchedField>> {
    let dimensions = embed::dimensions(index, &embedders);
    let fields = index.vectors.iter().zip(dimensions).zip(embedders);
    let field = |((field, dimensions), embedder)| Arc::new(SearchedField::new(field, dimensions, embedder));
    fields.map(field).collect()
}

impl SearchedField {
    fn new(field: &VectorField, dimensions: usize, embedder: Option<Arc<dyn Embedder>>) -> SearchedField {
        SearchedField {
            name: field.name.clone(),
            dimensions,
            metric: field.metric,
            pieces_of: match &field.source {
                VectorSource::Embed {
                    template,
                    chunk: Some(_),
                    ..
                } => Some(Arc::new(template.clone())),
                _ => None,
            },
            queries: embedder.map(|embedder| QueryEmbedder::new(embedder, settings(field).query_timeout)),
        }
    }
}

/// What the field's embedder may take; the usual where it has none.
fn settings(field: &VectorField) -> LaneSettings {
    match &field.source {
        VectorSource::Embed { embedder, .. } => embedder.lane,
        VectorSource::Column { .. } => LaneSettings::default(),
    }
}
