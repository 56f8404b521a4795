//! Searches, single documents, and what an index holds.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Identity;
use super::error::{ApiError, ErrorBody};
use super::key::key_texts;
use super::{App, Rebuilding, Server, slow};
use crate::index::Deadline;
use crate::metrics::QueryMode;
use crate::query::{
    DocumentAnswer, ErrorKind, Mode, OwnStats, QueryError, SearchAnswer, SearchRequest, Searcher, Stats,
};

/// Searches an index.
///
/// Both legs read one snapshot, which `as_of` names. The media type of the body is not looked at.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/search",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    request_body = SearchRequest,
    responses(
        (status = 200, body = SearchAnswer),
        (status = 400, body = ErrorBody, description = "The body is not JSON, or asks for what cannot be"),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 408, body = ErrorBody, description = "Nothing is as fresh as `consistency` asks for, after `wait_ms`"),
        (status = 410, body = ErrorBody, description = "The snapshot of `cursor` or `pinned` is not kept any more"),
        (status = 413, body = ErrorBody, description = "The body has more than 2 MiB"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn search(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes_max = server.app.definition.server.limits.search_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    Ok(as_json(search_bytes(&server, &identity, &path?, body).await?))
}

/// The answer to a search, as JSON.
pub(super) async fn search_bytes(
    server: &Server,
    identity: &Identity,
    index: &str,
    body: impl Deref<Target = [u8]> + Send + 'static,
) -> Result<Vec<u8>, ApiError> {
    // The wait for a place counts, and when the client goes away, this is dropped and the search stops.
    let deadline = Deadline::begin();
    let _waiting = deadline.waiting();
    let searcher = server.searcher(identity, index)?.until(&deadline);
    let answered = search_body(server, searcher, body).await;
    if answered.is_err() {
        server.app.metrics.query_failed();
    }
    answered
}

async fn search_body(
    server: &Server,
    searcher: Searcher,
    body: impl Deref<Target = [u8]> + Send + 'static,
) -> Result<Vec<u8>, ApiError> {
    let (searching, app) = (searcher.clone(), server.app.clone());
    let at_once = move || -> Result<Result<Vec<u8>, Box<SearchRequest>>, ApiError> {
        let request: SearchRequest = serde_json::from_slice(&body).map_err(not_a_search)?;
        match run(&app, &request, || searching.search(&request)) {
            Err(error) if error.kind == ErrorKind::NotYet => Ok(Err(Box::new(request))),
            answer => Ok(Ok(written(&answer?)?)),
        }
    };
    let request = match server.searches.run(at_once).await?? {
        Ok(answer) => return Ok(answer),
        Err(request) => request,
    };
    // It waits without a thread, and only where it has to.
    searcher.fresh(&request).await?;
    // What it has waited for that does not count.
    let searcher = searcher.again();
    let app = server.app.clone();
    let search = move || written(&run(&app, &request, || searcher.search(&request))?);
    server.searches.run(search).await?
}

/// Runs a search that was read, counts it, and notes it where it was slow.
pub(super) fn run(
    app: &App,
    request: &SearchRequest,
    search: impl FnOnce() -> Result<SearchAnswer, QueryError>,
) -> Result<SearchAnswer, QueryError> {
    let started = Instant::now();
    let answer = search()?;
    slow::note(
        app.definition.server.slow_query,
        &app.definition.name,
        request,
        &answer,
    );
    let mode = match request.mode {
        Mode::Keyword => QueryMode::Keyword,
        Mode::Vector => QueryMode::Vector,
        Mode::Hybrid => QueryMode::Hybrid,
    };
    app.metrics.query(mode, started.elapsed());
    if let Some(reranked) = &answer.reranked {
        app.metrics.reranked(reranked.took, reranked.skipped.is_some());
    }
    Ok(answer)
}

/// The message of serde_json ends with line and column.
pub(super) fn not_a_search(error: serde_json::Error) -> ApiError {
    let (code, what) = match error.is_data() {
        true => ("bad_request", "the search cannot be read"),
        false => ("not_json", "the body is not JSON"),
    };
    ApiError::bad_request(code, format!("{what}: {error}"))
        .hint(r#"such as {"query": "red shoe", "limit": 10}"#)
}

/// One document, by its key.
#[utoipa::path(
    get,
    path = "/v1/indexes/{index}/documents/{key}",
    tag = "indexes",
    params(
        ("index" = String, Path, description = "The name of the dataflow"),
        ("key" = String, Path, description = "As hits name it; the parts of a composite key are joined by `/`"),
    ),
    responses(
        (status = 200, body = DocumentAnswer),
        (status = 404, body = ErrorBody, description = "There is no such index or document"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn document(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path((index, key)) = path?;
    let mut texts = key_texts(&key, uri.path());
    if !server.has_composite_key() {
        texts.truncate(1);
    }
    json(&found(&server, &identity, &index, texts).await?)
}

/// The document of the first of these key texts that there is; there is one text at least.
pub(super) async fn found(
    server: &Server,
    identity: &Identity,
    index: &str,
    texts: Vec<String>,
) -> Result<DocumentAnswer, ApiError> {
    let searcher = server.searcher(identity, index)?;
    let key = texts.first().cloned().unwrap_or_default();
    let look = move || texts.iter().find_map(|text| searcher.document(text));
    let found = server.look(identity, look).await?;
    found.ok_or_else(|| {
        ApiError::not_found(
            "unknown_document",
            format!("there is no document {key} in {index}"),
        )
        .hint("a document leaves the index when its row is deleted, or when the query does not select it")
    })
}

/// What an index holds, as far as it is there for who asks.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum IndexStats {
    /// For who sees all documents.
    Whole {
        #[serde(flatten)]
        stats: Box<Stats>,
        /// Only while a new index is made and this one, the one before, answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        rebuilding: Option<Rebuilding>,
    },
    /// For a tenant, or who sees only what a filter lets through.
    Own(OwnStats),
}

/// What an index holds and what was done for it, all at one tick.
#[utoipa::path(
    get,
    path = "/v1/indexes/{index}/stats",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    responses(
        (status = 200, body = IndexStats),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn stats(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    json(&index_stats(&server, &identity, &path?).await?)
}

/// What an index holds for who asks.
pub(super) async fn index_stats(
    server: &Server,
    identity: &Identity,
    index: &str,
) -> Result<IndexStats, ApiError> {
    let searcher = server.searcher(identity, index)?;
    let app = server.app.clone();
    let run = move || match searcher.own_stats() {
        Some(own) => IndexStats::Own(own),
        None => IndexStats::Whole {
            stats: Box::new(searcher.stats()),
            rebuilding: app.rebuilding(),
        },
    };
    server.look(identity, run).await
}

impl Server {
    /// Does what reads documents without a search, at the expense of who asks. A search counts itself.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        identity: &Identity,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let spent = identity.caller.spent.clone();
        self.searches.run(move || spent.on(look)).await
    }

    /// The searcher of an index for who asks.
    pub(super) fn searcher(&self, identity: &Identity, index: &str) -> Result<Searcher, ApiError> {
        Ok(self.whole_index(index)?.seen_by(&identity.caller)?)
    }

    /// The searcher of an index, once it has recovered: before, an answer would show a state that never was. Only for routes that
    /// need the scope `admin`: what it finds may be anybody's.
    pub(super) fn whole_index(&self, index: &str) -> Result<Searcher, ApiError> {
        let name = &self.app.definition.name;
        let unknown = || ApiError::not_found("unknown_index", format!("there is no index {index}"));
        let Some(searcher) = &self.app.searcher else {
            return Err(unknown().hint(format!(
                "the dataflow {name} keeps tables only: it has no [index]"
            )));
        };
        if index != name {
            return Err(unknown().hint(format!("this node has the index {name}")));
        }
        if let Some(before) = self.app.before() {
            return Ok(before.searcher.seen_by_operator());
        }
        if !self.app.ready.load(Ordering::Acquire) {
            return Err(ApiError::unavailable("recovering", "the node is recovering")
                .hint("/readyz says when it is ready"));
        }
        Ok(searcher.seen_by_operator())
    }

    fn has_composite_key(&self) -> bool {
        self.app
            .definition
            .index
            .as_ref()
            .is_some_and(|index| index.key.len() > 1)
    }
}

pub(super) fn json<T: Serialize>(answer: &T) -> Result<Response, ApiError> {
    Ok(as_json(written(answer)?))
}

fn as_json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// An answer as JSON.
pub(super) fn written<T: Serialize>(answer: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(answer)
        .map_err(|error| ApiError::internal(format!("the answer cannot be written as JSON: {error}")))
}
