//! Both sets of vectors are compared by queries.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::no_second;
use crate::query::{CompareError, Comparison};
use crate::server::Server;
use crate::server::body::from_json;
use crate::server::error::{ApiError, ErrorBody};

/// Queries of one comparison: each is two exact searches.
const QUERIES_MAX: usize = 1_000;

/// Queries to compare by. The body may be left out: then recent queries count.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewComparison {
    /// At most 1,000.
    queries: Vec<String>,
}

/// Compares both sets of vectors by queries: those given, or recent ones.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/upgrade/compare",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    request_body = NewComparison,
    responses(
        (status = 200, body = Comparison),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 409, body = ErrorBody, description = "There is no second set, or no query to compare by"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn compare(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Comparison>, ApiError> {
    let Path(index) = path?;
    server.upgrades(&index)?;
    let body = server.json_body(request).await?;
    let NewComparison { queries } = match &*body {
        [] => NewComparison::default(),
        body => from_json(
            body,
            r#"such as {"queries": ["red shoe"]}, or nothing for recent queries"#,
        )?,
    };
    if queries.len() > QUERIES_MAX {
        let message = format!("there are {} queries, more than {QUERIES_MAX}", queries.len());
        return Err(ApiError::bad_request("too_many_queries", message));
    }
    let searcher = server.whole_index(&index)?;
    let compared = server.searches.run(move || searcher.compare(&queries)).await?;
    compared.map(Json).map_err(|error| match error {
        CompareError::NoSecond => no_second(),
        CompareError::NoQueries => {
            ApiError::conflict("no_queries", error.to_string()).hint("give some as `queries`")
        }
    })
}
