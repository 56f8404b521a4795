//! Pushed changes: taken at once or not at all, and answered at once or when they are searchable.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::error::{ApiError, ErrorBody};
use crate::change::Offset;
use crate::definition::SourceSettings;
use crate::index::Published;
use crate::source::NotTaken;
use crate::source::http::PushTable;

/// The largest push. It is decoded as one batch, and a larger one would delay the tick.
const PUSH_BYTES_MAX: usize = 64 << 20;

/// How long a push waits to become visible before it says how far it is.
const VISIBLE_WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PushParameters {
    /// What the answer waits for; without it, it waits for nothing.
    #[param(inline)]
    wait: Option<Wait>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Wait {
    /// Both legs show the changes.
    Visible,
    /// The changes survive a crash. Not in this version.
    Durable,
}

/// What became of a push.
#[derive(Debug, Serialize, ToSchema)]
pub struct PushAnswer {
    /// Lines taken and decoded.
    accepted: u64,
    /// Lines that could not be decoded, kept as dead letters.
    dead_letters: u64,
    /// Of the last line taken in the table's partition `0`; null where nothing was ever taken.
    position: Option<u64>,
    /// A tick at which both legs show the changes; only with `wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tick: Option<u64>,
}

/// Takes changes to a table, as NDJSON in the table's format.
#[utoipa::path(
    post,
    path = "/v1/tables/{table}/changes",
    tag = "tables",
    params(("table" = String, Path, description = "A table whose source is of kind http"), PushParameters),
    request_body(content = String, content_type = "application/x-ndjson", description = "A message a line"),
    responses(
        (status = 200, body = PushAnswer, description = "What was waited for has happened"),
        (status = 202, body = PushAnswer, description = "Taken"),
        (status = 404, body = ErrorBody, description = "There is no such table"),
        (status = 409, body = ErrorBody, description = "The table takes no pushes"),
        (status = 413, body = ErrorBody, description = "The body has more than 64 MiB"),
        (status = 429, body = ErrorBody, description = "The node is behind and has taken nothing; see Retry-After"),
        (status = 501, body = ErrorBody, description = "This version cannot wait for that"),
        (status = 503, body = ErrorBody, description = "The node is stopping and has taken nothing"),
        (status = 504, body = ErrorBody, description = "Taken, and not visible within 30 s"),
    )
)]
pub async fn push(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<PushParameters>, QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let answered = take(&server, path, parameters, request).await;
    if answered.as_ref().is_err_and(ApiError::is_behind) {
        server.app.metrics.push_rejected();
    }
    answered
}

async fn take(
    server: &Server,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<PushParameters>, QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    // The body comes first: a client that is still sending might not see the answer.
    let body = server.bodies.read(request, PUSH_BYTES_MAX).await?;
    let Path(name) = path?;
    let table = server.push_table(&name)?;
    let Query(PushParameters { wait }) = parameters?;
    if let Some(Wait::Durable) = wait {
        return Err(ApiError::not_implemented(
            "not_durable",
            "this version keeps nothing on disk to wait for",
        )
        .hint("wait=visible answers when both legs show the changes"));
    }

    let pushed =
        server
            .pushes
            .run(move || table.push(&body))
            .await?
            .map_err(|not_taken| match not_taken {
                NotTaken::Full => ApiError::behind(not_taken.to_string()),
                NotTaken::Closed => ApiError::unavailable("stopping", not_taken.to_string()),
            })?;
    let mut answer = PushAnswer {
        accepted: pushed.accepted,
        dead_letters: pushed.dead_letters,
        position: pushed.position.map(|Offset(position)| position),
        tick: None,
    };
    if wait.is_none() {
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    answer.tick = Some(visible(&server.app.published, &name, answer.position).await?);
    Ok(Json(answer).into_response())
}

/// Waits until both legs show a table's pushes up to `position`, and names the tick at which they do.
async fn visible(published: &Published, table: &str, position: Option<u64>) -> Result<u64, ApiError> {
    let partition = format!("{table}/0");
    let wait = async {
        let read = published
            .wait_for(|snapshot| snapshot.positions.get(&partition).copied() >= position)
            .await;
        published
            .wait_for(|snapshot| snapshot.is_complete_through(read.tick))
            .await
            .tick
    };
    if let Ok(tick) = timeout(VISIBLE_WAIT_MAX, wait).await {
        return Ok(tick.0);
    }
    let snapshot = published.snapshot();
    let read = snapshot
        .positions
        .get(&partition)
        .map_or("nothing".to_owned(), |read| format!("position {read}"));
    Err(ApiError::timeout(
        "not_visible_yet",
        format!(
            "taken up to position {} of {partition}, and not visible after {} s: tick {} has read {read}, \
             and {} vectors are pending",
            position.unwrap_or_default(),
            VISIBLE_WAIT_MAX.as_secs(),
            snapshot.tick,
            snapshot.vectors_pending(),
        ),
    )
    .hint("the changes are on their way: do not send them again, watch positions in /stats"))
}

impl Server {
    fn push_table(&self, name: &str) -> Result<Arc<PushTable>, ApiError> {
        if let Some(table) = self.app.push_table(name) {
            return Ok(table.clone());
        }
        let tables = self.app.definition.tables.iter();
        let pushed = tables.filter(|table| matches!(table.source, SourceSettings::Http));
        let names: Vec<&str> = pushed.map(|table| table.name.as_str()).collect();
        let hint = match names.is_empty() {
            true => {
                "no table of this dataflow takes pushes: give one source = { kind = \"http\" }".to_owned()
            }
            false => format!("tables that take pushes: {}", names.join(", ")),
        };
        let error = match self.app.definition.table(name).map(|(_, table)| &table.source) {
            None => ApiError::not_found("unknown_table", format!("there is no table {name}")),
            Some(SourceSettings::Http) => {
                ApiError::unavailable("starting", format!("table {name} is starting"))
            }
            Some(SourceSettings::File(_)) => not_pushed(name, "a file"),
            Some(SourceSettings::Kafka(_)) => not_pushed(name, "Kafka"),
        };
        Err(error.hint(hint))
    }
}

fn not_pushed(table: &str, source: &str) -> ApiError {
    ApiError::conflict(
        "not_pushed",
        format!("table {table} is read from {source} and takes no pushes"),
    )
}
