//! Searches: request -> plan -> both legs on one snapshot -> fused -> re-ranked -> hydrated.
//!
//! A search reads one [`Snapshot`] and nothing else of the node: no dataflow, and a clock only where its filter asks for
//! `now()`, and while a slow embedder or re-ranker makes it wait.

mod request;
mod asked;
mod caller;
pub mod language;
mod answer;
mod filter;
mod plan;
mod results;
mod run;
mod whole;
mod facets;
mod sort;
mod group;
mod highlight;
mod snippet;
mod suggest;
mod value;
mod helpers;
mod calls;
mod embedding;
mod rerank;
mod fuse;
mod compare;
mod consistency;
mod pages;
mod diverse;
mod explain;
mod like;
mod recent;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

pub use crate::index::keyword::{ExplainedPart, ExplainedTerm, KeywordExplained, PartKind};
pub use answer::{
    AsOf, DocumentAnswer, FailedLeg, Group, Hit, HitOrigin, Leg, LegHit, OldestHeld, OwnStats, Piece,
    SearchAnswer, ServiceHealth, Stats, VectorState,
};
pub use asked::{Asked, AskedNearest};
pub use caller::{Caller, Spent, Tenants};
pub use compare::{CompareError, ComparedQuery, Comparison};
pub use consistency::{Consistency, Sources};
pub use diverse::MmrRequest;
pub use explain::{Explanation, FusionExplained, RerankExplained, ShareExplained, VectorExplained};
pub use facets::{
    Bucket, CalendarInterval, DateBucket, DateHistogramRequest, FacetAnswer, FacetRequest, HistogramRequest,
    RangeBound, RangeCount, RangeRequest, StatsRequest, TermCount, TermsOrder, TermsRequest,
};
pub use filter::FilterRequest;
pub use group::GroupRequest;
pub use highlight::{Encode, HighlightRequest};
pub use request::{
    FusionRequest, Fuzzy, LegWeights, MinimumMatchRequest, Mode, Operator, SearchRequest, VectorsWanted,
};
pub use rerank::{HitRerank, RerankOptions, RerankRequest, Reranked};
pub use sort::{
    DistanceRequest, SortHow, SortKeyRequest, SortMissing, SortOptions, SortOrder, SortRequest, SortValue,
};
pub use suggest::{SuggestAnswer, SuggestRequest, Suggestion};
pub use whole::{Relation, Total, TotalBound, TotalRequest};

use arc_swap::ArcSwap;
use embedding::QueryEmbedder;
use pages::{Cursor, Pins};
use recent::RecentQueries;
use rerank::IndexReranker;

use crate::definition::server::Limits;
use crate::definition::{
    Definition, Index, LaneSettings, Metric, RerankerSettings, Template, VectorField, VectorSource,
};
use crate::embed::{self, Embedder, FieldEmbedders};
use crate::index::{Deadline, Document, Published, Slot, Snapshot};
use crate::rerank::Reranker;
use caller::Sight;
use fuse::Fused;

/// Answers searches over what is published, for one [`Caller`]. Cheap to clone; never blocks the dataflow.
#[derive(Clone)]
pub struct Searcher {
    index: Arc<Index>,
    /// The names of the tables.
    tables: Arc<[String]>,
    published: Arc<Published>,
    /// By leg: the vector fields in the order of the index, and then the sets of vectors that upgrades have made.
    legs: Arc<ArcSwap<Vec<Arc<SearchedField>>>>,
    reranker: Option<IndexReranker>,
    recent: Arc<RecentQueries>,
    pins: Arc<Pins>,
    /// Where there is a node around.
    sources: Arc<OnceLock<Arc<dyn Sources>>>,
    clock: Clock,
    limits: Limits,
    /// Whose share of the kept snapshots its pages come from.
    sharer: Arc<str>,
    sight: Sight,
    spent: Spent,
    deadline: Deadline,
}

/// What `now()` is in filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// The node's clock.
    Node,
    /// There is none: the same replay gives the same answer at any time.
    Replay,
}

/// A leg of a vector field as searches see it.
#[derive(Clone)]
struct SearchedField {
    name: String,
    dimensions: usize,
    metric: Metric,
    /// What made the vectors, where that is known.
    model: Option<String>,
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
    pub kind: ErrorKind,
}

/// Where a query went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What it asks for cannot be.
    Request,
    /// Who asks may not.
    Forbidden,
    /// The snapshot that it asks for is not kept any more.
    Gone,
    /// Nothing is as fresh as it asks for.
    NotYet,
    /// The node cannot answer it.
    Unavailable,
}

impl QueryError {
    fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> QueryError {
        QueryError {
            code,
            message: message.into(),
            hint: Some(hint.into()),
            kind: ErrorKind::Request,
        }
    }

    fn unavailable(code: &'static str, message: impl Into<String>) -> QueryError {
        QueryError {
            code,
            message: message.into(),
            hint: None,
            kind: ErrorKind::Unavailable,
        }
    }
}

impl Searcher {
    /// Answers for nobody in particular: [`Searcher::seen_by`] says who asks. The definition has an index, and its vector
    /// fields that embed have embedders.
    pub fn new(
        definition: Arc<Definition>,
        published: Arc<Published>,
        embedders: FieldEmbedders,
    ) -> Searcher {
        let index = definition
            .index
            .clone()
            .expect("a definition that is searched has an index");
        let sight = match index.tenant {
            None => Sight::All,
            Some(_) => Sight::Nothing,
        };
        Searcher {
            legs: Arc::new(ArcSwap::from_pointee(searched(&index, embedders))),
            index: Arc::new(index),
            tables: definition.tables.iter().map(|table| table.name.clone()).collect(),
            published,
            reranker: None,
            recent: Arc::default(),
            pins: Arc::default(),
            sources: Arc::default(),
            clock: Clock::Node,
            limits: definition.server.limits,
            sharer: Arc::default(),
            sight,
            spent: Spent::default(),
            deadline: Deadline::never(),
        }
    }

    /// The same, with what re-ranks the best hits of searches that ask for it.
    pub fn with_reranker(self, reranker: Arc<dyn Reranker>, settings: RerankerSettings) -> Searcher {
        Searcher {
            reranker: Some(IndexReranker::new(reranker, settings)),
            ..self
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

    /// The same for a replay: a search waits for the vector of its query for as long as that takes, and knows no `now()`.
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
            reranker: self.reranker.as_ref().map(IndexReranker::patient),
            clock: Clock::Replay,
            ..self
        }
    }

    /// The same, whose searches stop with what they have when the deadline is over.
    pub fn until(&self, deadline: &Deadline) -> Searcher {
        Searcher {
            deadline: deadline.clone(),
            ..self.clone()
        }
    }

    /// The same for another search of the same request, whose time begins now.
    pub fn again(&self) -> Searcher {
        self.until(&self.deadline.again())
    }

    /// Searches the newest snapshot, or the one that the request has pinned, and says how long that took.
    ///
    /// Blocks for the time of the search; with a slow embedder, for the time it takes to embed the query, up to the
    /// embedder's `query_timeout`.
    ///
    /// # Errors
    ///
    /// What is wrong with the request; that the snapshot it asks for is not fresh enough ([`ErrorKind::NotYet`]: nothing
    /// is waited for, see [`Searcher::fresh`]) or not kept any more; or that no leg could answer it. One leg that cannot
    /// answer is no error: [`SearchAnswer::failed`] names it.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, QueryError> {
        let start = Instant::now();
        let cursor = request.cursor.as_deref().map(Cursor::parse).transpose()?;
        let snapshot = self.snapshot_for(request, cursor.as_ref(), start)?;
        self.timed(start, request, &snapshot, |searcher| {
            match searcher.page(&snapshot, request, cursor, start)? {
                Some(answer) => Ok(answer),
                None => searcher.search_in(&snapshot, request),
            }
        })
    }

    /// The newest snapshot, for several searches of one cut.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.snapshot()
    }

    /// Searches one snapshot, and says how long that took. `consistency`, `keep_alive_ms` and `cursor` have no say.
    ///
    /// # Errors
    ///
    /// As [`Searcher::search`].
    pub fn search_at(
        &self,
        snapshot: &Snapshot,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, QueryError> {
        let start = Instant::now();
        self.timed(start, request, snapshot, |searcher| {
            searcher.search_in(snapshot, request)
        })
    }

    /// Adds to an answer what depends on the time.
    fn timed(
        &self,
        start: Instant,
        request: &SearchRequest,
        snapshot: &Snapshot,
        search: impl FnOnce(&Searcher) -> Result<SearchAnswer, QueryError>,
    ) -> Result<SearchAnswer, QueryError> {
        // Without a server, a time begins where it is asked for.
        let answer = match request.timeout_ms.is_some() && self.deadline.is_never() {
            true => search(&self.until(&Deadline::begin())),
            false => search(self),
        };
        self.spent.add(start.elapsed());
        let mut answer = answer?;
        if let (Some(query), None) = (&request.query, &request.vector)
            && request.mode != Mode::Keyword
        {
            self.recent.note(query);
        }
        answer.as_of.staleness_ms = self.staleness(snapshot);
        answer.took_ms = Some(milliseconds(start));
        Ok(answer)
    }

    /// Searches one snapshot. The answer depends on nothing else but `now()` in a filter, so it says no time.
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

    /// The document with this key text, all columns of the query; of one that the caller does not see, nothing.
    pub fn document(&self, key: &str) -> Option<DocumentAnswer> {
        self.document_in(&self.published.snapshot(), key)
    }

    /// The same in one snapshot.
    pub fn document_in(&self, snapshot: &Snapshot, key: &str) -> Option<DocumentAnswer> {
        let (.., document) = self.find(snapshot, key)?;
        Some(DocumentAnswer::new(document, snapshot))
    }

    /// What is searched: its texts, fields and vectors.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How long the vectors of a vector field are.
    pub fn dimensions(&self, field: &str) -> Option<usize> {
        let legs = self.legs.load();
        legs.iter()
            .find(|leg| leg.name == field)
            .map(|leg| leg.dimensions)
    }

    /// The document with this key text and its place, if it is there for the caller.
    fn find<'s>(&self, snapshot: &'s Snapshot, key: &str) -> Option<(usize, Slot, &'s Arc<Document>)> {
        let (shard, slot, document) = snapshot.find(key)?;
        self.sight
            .admits(&document.row)
            .then_some((shard, slot, document))
    }

    /// What the newest snapshot holds of the documents that the caller sees; `None` where those are all.
    pub fn own_stats(&self) -> Option<OwnStats> {
        let snapshot = self.published.snapshot();
        let slots = self.sight.slots(&snapshot)?;
        Some(OwnStats::new(&snapshot, &slots))
    }

    /// What the newest snapshot holds, and what was done up to it. What was done is known of all documents together
    /// only: a caller who does not see all of them sees zeros.
    pub fn stats(&self) -> Stats {
        if let Some(own) = self.own_stats() {
            return own.into();
        }
        let prices = self.index.vectors.iter();
        let price = prices
            .filter_map(|field| settings(field).price_per_million_tokens)
            .next();
        Stats {
            embedders: self.embedders(),
            reranker: self.reranker.as_ref().and_then(IndexReranker::health),
            ..Stats::new(&self.published.snapshot(), price)
        }
    }

    /// How the services behind embedders are doing, by vector field.
    pub fn embedders(&self) -> BTreeMap<String, ServiceHealth> {
        let health = |field: &Arc<SearchedField>| {
            let health = field.queries.as_ref()?.health()?;
            Some((field.name.clone(), health.into()))
        };
        self.legs.load().iter().filter_map(health).collect()
    }
}

/// Since `start`, to the microsecond.
fn milliseconds(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 1e6).round() / 1e3
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
            model: match (&embedder, &field.source) {
                (Some(embedder), _) => Some(embedder.model().to_owned()),
                (None, VectorSource::Column(ready_made)) => {
                    ready_made.model.as_ref().map(|model| model.name.clone())
                }
                (None, VectorSource::Embed { .. }) => None,
            },
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
        VectorSource::Column(_) => LaneSettings::default(),
    }
}
