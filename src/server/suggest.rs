//! Completions of what is being typed.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::Server;
use super::auth::Identity;
use super::error::{ApiError, ErrorBody};
use super::search::{json, not_a_search};
use crate::index::Deadline;
use crate::query::{SuggestAnswer, SuggestRequest};

/// A prefix and a filter.
const SUGGEST_BYTES_MAX: usize = 128 << 10;

/// Completes what is being typed, from the words or values of living documents.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/suggest",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    request_body = SuggestRequest,
    responses(
        (status = 200, body = SuggestAnswer),
        (status = 400, body = ErrorBody, description = "The body is not JSON, or asks for what cannot be"),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 413, body = ErrorBody, description = "The body has more than 128 KiB"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn suggest(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = server.bodies.read(request, SUGGEST_BYTES_MAX).await?;
    let deadline = Deadline::begin();
    let _waiting = deadline.waiting();
    let searcher = server.searcher(&identity, &path?)?.until(&deadline);
    let answer = move || {
        let request: SuggestRequest = serde_json::from_slice(&body)
            .map_err(|error| not_a_search(error).hint(r#"such as {"prefix": "red sh", "limit": 5}"#))?;
        json(&searcher.suggest(&request)?)
    };
    server.look(&identity, answer).await?
}
