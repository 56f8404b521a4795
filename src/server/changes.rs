//! Pushed changes: taken at once or not at all, and answered at once, when they are searchable, or when they are
//! durable.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
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
use crate::source::http::{IdempotencyKey, PushError, PushTable};

/// How long a push waits to become visible or durable before it says how far it is.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Names a push, so that a retry of it is not taken twice.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

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
    /// The changes survive a crash.
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
    /// A tick at which both legs show the changes; only with `wait=visible`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tick: Option<u64>,
    /// What a search on any node says in `consistency` to be answered with these changes; only with `wait=visible`.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<BTreeMap<String, u64>>,
}

/// Takes changes to a table, as NDJSON in the table's format.
///
/// A retry with the `Idempotency-Key` of a push before, and its body, is not taken again: it gets the answer of the
/// first, also while that is under way and after a restart. Keys are kept for a day, and the newest 100,000.
#[utoipa::path(
    post,
    path = "/v1/tables/{table}/changes",
    tag = "tables",
    params(
        ("table" = String, Path, description = "A table whose source is of kind http"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters of ASCII"),
        PushParameters,
    ),
    request_body(content = String, content_type = "application/x-ndjson", description = "A message a line"),
    responses(
        (status = 200, body = PushAnswer, description = "What was waited for has happened"),
        (status = 202, body = PushAnswer, description = "Taken"),
        (status = 404, body = ErrorBody, description = "There is no such table"),
        (status = 409, body = ErrorBody, description = "The table takes no pushes"),
        (status = 413, body = ErrorBody, description = "The body has more than 64 MiB"),
        (status = 422, body = ErrorBody, description = "The Idempotency-Key came before with another body"),
        (status = 429, body = ErrorBody, description = "The node is behind and has taken nothing; see Retry-After"),
        (status = 500, body = ErrorBody, description = "Taken, and perhaps not durable: the log could not be synced"),
        (status = 503, body = ErrorBody, description = "The node starts, stops or cannot write its log, and has taken nothing"),
        (status = 504, body = ErrorBody, description = "Taken, and not visible or durable within 30 s"),
        (status = 507, body = ErrorBody, description = "The disk is full, and nothing was taken"),
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
    let key = idempotency_key(request.headers());
    // The body comes first: a client that is still sending might not see the answer.
    let bytes_max = server.app.definition.server.limits.push_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    let Path(name) = path?;
    let table = server.push_table(&name)?;
    let Query(PushParameters { wait }) = parameters?;
    let key = key?;

    let pushing = table.clone();
    let pushed = server
        .pushes
        .run(move || pushing.push(&body, key.as_ref()))
        .await?
        .map_err(|error| not_taken(&name, error))?;
    let mut answer = PushAnswer {
        accepted: pushed.accepted,
        dead_letters: pushed.dead_letters,
        position: pushed.position.map(|Offset(position)| position),
        tick: None,
        at_least: None,
    };
    let Some(wait) = wait else {
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    };
    let _waits = server.app.metrics.push_waits();
    match (wait, pushed.position) {
        (Wait::Visible, _) => {
            answer.tick = Some(visible(&server.app.published, &name, answer.position).await?);
            answer.at_least = answer
                .position
                .map(|position| BTreeMap::from([(format!("{name}/0"), position)]));
        }
        (Wait::Durable, Some(position)) => durable(&table, &name, position).await?,
        (Wait::Durable, None) => {}
    }
    Ok(Json(answer).into_response())
}

/// The key of a push, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let key = IdempotencyKey::new(key.as_bytes()).filter(|_| keys.next().is_none());
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(
            ApiError::bad_request("bad_idempotency_key", "the Idempotency-Key cannot be used")
                .hint("send one, of 1 to 255 visible characters of ASCII, such as a UUID"),
        ),
    }
}

/// Nothing of a push was taken.
pub(super) fn not_taken(table: &str, error: PushError) -> ApiError {
    match error {
        PushError::NotTaken(NotTaken::Full) => ApiError::behind(NotTaken::Full.to_string()),
        PushError::NotTaken(NotTaken::Closed) => {
            ApiError::unavailable("stopping", NotTaken::Closed.to_string())
        }
        PushError::Starting => ApiError::unavailable("starting", format!("table {table} is starting"))
            .hint("its log of pushes is being replayed: /readyz says how far it is"),
        PushError::OtherBody => ApiError::contradiction("key_reused", error.to_string())
            .hint("a retry has the same body; another push has another key"),
        PushError::Log(cause) => {
            tracing::error!(table, error = %cause, "a push could not be written to the log");
            let message = format!("the push cannot be written to the log of table {table}: {cause}");
            match cause.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ApiError::no_space("disk_full", message)
                    .hint("nothing of it was taken: make room in the data directory and send it again"),
                _ => ApiError::unavailable("log_failed", message)
                    .hint("nothing of it was taken: send it again when the disk is well"),
            }
        }
    }
}

/// Waits until a table's pushes up to `position` survive a crash.
async fn durable(table: &PushTable, name: &str, position: Offset) -> Result<(), ApiError> {
    let retry = "to be sure, send it again with an Idempotency-Key: with the same one it is not taken twice";
    let Offset(position_number) = position;
    match timeout(WAIT_MAX, table.durable(position)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ApiError::not_kept(
            "not_durable",
            format!("taken up to position {position_number} of {name}/0, and perhaps not durable: {error}"),
        )
        .hint(retry)),
        Err(_) => Err(ApiError::timeout(
            "not_durable_yet",
            format!(
                "taken up to position {position_number} of {name}/0, and not durable after {} s",
                WAIT_MAX.as_secs()
            ),
        )
        .hint(retry)),
    }
}

/// Waits until both legs show a table's pushes up to `position`, and names the tick at which they do.
pub(super) async fn visible(
    published: &Published,
    table: &str,
    position: Option<u64>,
) -> Result<u64, ApiError> {
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
    if let Ok(tick) = timeout(WAIT_MAX, wait).await {
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
            WAIT_MAX.as_secs(),
            snapshot.tick,
            snapshot.vectors_pending(),
        ),
    )
    .hint("the changes are on their way: do not send them again, watch positions in /stats"))
}

impl Server {
    pub(super) fn push_table(&self, name: &str) -> Result<Arc<PushTable>, ApiError> {
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
