//! Several searches in one request, on one snapshot.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::auth::Identity;
use super::error::{ApiError, ErrorBody};
use super::search::{json, not_a_search, run};
use super::{App, Server};
use crate::index::Deadline;
use crate::query::{SearchAnswer, SearchRequest, Searcher};

/// They run one after the other in the place of one search: more would keep others waiting.
const SEARCHES_MAX: usize = 32;

/// Room for a vector of 4,096 dimensions in each.
const SEARCHES_BYTES_MAX: usize = 8 << 20;

/// Searches that are to be answered from one snapshot.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchesRequest {
    /// 1 to 32.
    // Each is read by itself, so that one which cannot be read leaves the others.
    #[schema(value_type = Vec<SearchRequest>, min_items = 1, max_items = 32)]
    searches: Vec<Box<RawValue>>,
}

/// The answers in the order of the searches.
#[derive(Serialize, ToSchema)]
pub struct SearchesAnswer {
    answers: Vec<OneAnswer>,
}

/// A search's answer, or what is wrong with it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum OneAnswer {
    Found(Box<SearchAnswer>),
    Failed(ErrorBody),
}

/// Runs several searches of an index on one snapshot.
///
/// An error of one is its own answer, and leaves the others as they are.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/msearch",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    request_body = SearchesRequest,
    responses(
        (status = 200, body = SearchesAnswer),
        (status = 400, body = ErrorBody, description = "The body is not a list of searches, or of too many"),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 413, body = ErrorBody, description = "The body has more than 8 MiB"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn msearch(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = server.bodies.read(request, SEARCHES_BYTES_MAX).await?;
    let deadline = Deadline::begin();
    let _waiting = deadline.waiting();
    let searcher = server.searcher(&identity, &path?)?.until(&deadline);
    let app = server.app.clone();
    let answered = server
        .searches
        .run(move || answer(&identity, &searcher, &body, &app))
        .await
        .and_then(|answer| answer);
    if answered.is_err() {
        server.app.metrics.query_failed();
    }
    answered
}

fn answer(identity: &Identity, searcher: &Searcher, body: &[u8], app: &App) -> Result<Response, ApiError> {
    const EXAMPLE: &str =
        r#"such as {"searches": [{"query": "red shoe"}, {"query": "blue shoe", "limit": 3}]}"#;
    let SearchesRequest { searches } =
        serde_json::from_slice(body).map_err(|error| not_a_search(error).hint(EXAMPLE))?;
    if !(1..=SEARCHES_MAX).contains(&searches.len()) {
        let message = format!("`searches` has {} of them", searches.len());
        let hint = format!("give 1 to {SEARCHES_MAX} in one request");
        return Err(ApiError::bad_request("bad_searches", message).hint(hint));
    }
    identity.pays_for(searches.len());
    let snapshot = searcher.snapshot();
    let one = |search: &RawValue| -> Result<SearchAnswer, ApiError> {
        let request: SearchRequest = serde_json::from_str(search.get()).map_err(not_a_search)?;
        Ok(run(app, &request, || {
            searcher.again().search_at(&snapshot, &request)
        })?)
    };
    let answers = searches.iter().map(|search| match one(search) {
        Ok(answer) => OneAnswer::Found(Box::new(answer)),
        Err(error) => {
            app.metrics.query_failed();
            OneAnswer::Failed(error.into_body())
        }
    });
    let answers = answers.collect();
    json(&SearchesAnswer { answers })
}
