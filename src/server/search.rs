//! Searches, single documents, and what an index holds.

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

use super::error::{ApiError, ErrorBody};
use super::key::key_texts;
use super::{Rebuilding, Server};
use crate::metrics::{Metrics, QueryMode};
use crate::query::{DocumentAnswer, Mode, SearchAnswer, SearchRequest, Searcher, Stats};

/// A query vector of 4,096 dimensions written with 17 digits each takes 100 KB; texts and filters are shorter.
const SEARCH_BYTES_MAX: usize = 2 << 20;

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
        (status = 413, body = ErrorBody, description = "The body has more than 2 MiB"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn search(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = server.bodies.read(request, SEARCH_BYTES_MAX).await?;
    let searcher = server.searcher(&path?)?;
    let metrics = server.app.metrics.clone();
    let answered = server
        .searches
        .run(move || answer(&searcher, &body, &metrics))
        .await
        .and_then(|answer| answer);
    if answered.is_err() {
        server.app.metrics.query_failed();
    }
    answered
}

fn answer(searcher: &Searcher, body: &[u8], metrics: &Metrics) -> Result<Response, ApiError> {
    let started = Instant::now();
    let request: SearchRequest = serde_json::from_slice(body).map_err(not_a_search)?;
    let response = json(&searcher.search(&request)?)?;
    metrics.query(mode(&request), started.elapsed());
    Ok(response)
}

/// How metrics count a search.
pub(super) fn mode(request: &SearchRequest) -> QueryMode {
    match request.mode {
        Mode::Keyword => QueryMode::Keyword,
        Mode::Vector => QueryMode::Vector,
        Mode::Hybrid => QueryMode::Hybrid,
    }
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
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path((index, key)) = path?;
    let searcher = server.searcher(&index)?;
    let mut texts = key_texts(&key, uri.path());
    if !server.has_composite_key() {
        texts.truncate(1);
    }
    let found = server
        .searches
        .run(move || texts.iter().find_map(|text| searcher.document(text)))
        .await?;
    let answer = found.ok_or_else(|| {
        ApiError::not_found(
            "unknown_document",
            format!("there is no document {key} in {index}"),
        )
        .hint("a document leaves the index when its row is deleted, or when the query does not select it")
    })?;
    json(&answer)
}

/// What an index holds, and whether another one is to take its place.
#[derive(Serialize, ToSchema)]
pub struct IndexStats {
    #[serde(flatten)]
    stats: Stats,
    /// Only while a new index is made and this one, the one before, answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilding: Option<Rebuilding>,
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
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let searcher = server.searcher(&path?)?;
    let stats = server.searches.run(move || searcher.stats()).await?;
    let rebuilding = server.app.rebuilding();
    json(&IndexStats { stats, rebuilding })
}

impl Server {
    /// The searcher of an index, once it has recovered: before, an answer would show a state that never was.
    pub(super) fn searcher(&self, index: &str) -> Result<Searcher, ApiError> {
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
            return Ok(before.searcher.clone());
        }
        if !self.app.ready.load(Ordering::Acquire) {
            return Err(ApiError::unavailable("recovering", "the node is recovering")
                .hint("/readyz says when it is ready"));
        }
        Ok(searcher.clone())
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
    let body = serde_json::to_vec(answer)
        .map_err(|error| ApiError::internal(format!("the answer cannot be written as JSON: {error}")))?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}
