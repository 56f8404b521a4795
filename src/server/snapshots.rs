//! Snapshots of a running node: made and listed here, restored by a command.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Server;
use super::error::{ApiError, ErrorBody};
use crate::checkpoint::snapshots::{SnapshotError, SnapshotInfo, check_name, name_of_now};

/// Far more than a name takes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// How long a request waits for its checkpoint: that of a million documents takes some ten seconds, and another may be
/// under way.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A snapshot to be made. The body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewSnapshot {
    /// Letters, digits, `-`, `_` and `.`; without, the time, such as `2026-11-21T14-30-05Z`.
    name: Option<String>,
}

/// All snapshots, by name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotList {
    pub snapshots: Vec<SnapshotInfo>,
}

/// Keeps a consistent copy of everything that is searchable at the time of the request, by hard links.
///
/// It lies in `snapshots/NAME` of the data directory. `millpond snapshot restore` makes a data directory of it, here or on
/// another machine; a node that starts there goes on from the positions of the answer.
#[utoipa::path(
    post,
    path = "/v1/snapshots",
    tag = "snapshots",
    request_body = NewSnapshot,
    responses(
        (status = 201, body = SnapshotInfo),
        (status = 400, body = ErrorBody, description = "The body or the name cannot be read"),
        (status = 409, body = ErrorBody, description = "There is a snapshot of this name, or nothing to be kept yet"),
        (status = 503, body = ErrorBody, description = "The node is starting or rebuilding its index, or its disk fails"),
        (status = 504, body = ErrorBody, description = "There was no checkpoint within 60 s"),
        (status = 507, body = ErrorBody, description = "The disk is full"),
    )
)]
pub async fn create(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<(StatusCode, Json<SnapshotInfo>), ApiError> {
    let body = server.bodies.read(request, BODY_BYTES_MAX).await?;
    let NewSnapshot { name } = match &*body {
        [] => NewSnapshot::default(),
        body => serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request("bad_request", format!("the body cannot be read: {error}"))
                .hint(r#"such as {"name": "before-the-sale"}, or nothing"#)
        })?,
    };
    let name = name.unwrap_or_else(name_of_now);
    check_name(&name)?;
    server.checkpoint().await?;
    let snapshots = server.app.snapshots.clone();
    let made = server.snapshots.run(move || snapshots.create(&name)).await??;
    Ok((StatusCode::CREATED, Json(made)))
}

/// All snapshots of this node, by name.
#[utoipa::path(
    get,
    path = "/v1/snapshots",
    tag = "snapshots",
    responses((status = 200, body = SnapshotList))
)]
pub async fn list(State(server): State<Arc<Server>>) -> Result<Json<SnapshotList>, ApiError> {
    let snapshots = server.app.snapshots.clone();
    let listed = server.snapshots.run(move || snapshots.list()).await?;
    let snapshots = listed.map_err(SnapshotError::from)?;
    Ok(Json(SnapshotList { snapshots }))
}

/// Not here: a snapshot is restored by `millpond snapshot restore`, into an empty data directory.
#[utoipa::path(
    post,
    path = "/v1/snapshots/restore",
    tag = "snapshots",
    responses((status = 409, body = ErrorBody, description = "Always"))
)]
pub async fn restore() -> ApiError {
    ApiError::conflict("node_runs", "a running node cannot become another one").hint(
        "`millpond snapshot restore DATA_DIR/snapshots/NAME --data-dir NEW_DIR`, then start a node with --data-dir NEW_DIR",
    )
}

impl Server {
    /// Makes what is searchable now durable.
    async fn checkpoint(&self) -> Result<(), ApiError> {
        if let Some(rebuilding) = self.app.rebuilding() {
            let (documents, of) = (rebuilding.documents, rebuilding.of);
            let message = format!("the index is being rebuilt: {documents} of {of} documents");
            return Err(ApiError::unavailable("rebuilding", message)
                .hint("/readyz says how far it is; `millpond snapshot create` keeps the checkpoint before"));
        }
        if !self.app.ready.load(Ordering::Acquire) {
            return Err(ApiError::unavailable("recovering", "the node is recovering")
                .hint("/readyz says when it is ready"));
        }
        let tick = self.app.published.snapshot().tick;
        match timeout(WAIT_MAX, self.app.durable.make(tick)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ApiError::timeout(
                "no_checkpoint_yet",
                format!("there was no checkpoint of tick {tick} within {} s", WAIT_MAX.as_secs()),
            )
            .hint("the log says whether one could not be written; `millpond snapshot create` keeps the one before")),
        }
    }
}

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> ApiError {
        let message = match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        match error {
            SnapshotError::OddName { .. } => {
                ApiError::bad_request("bad_name", message).hint("without a name it gets the time for one")
            }
            SnapshotError::Exists { .. } => {
                ApiError::conflict("snapshot_exists", message).hint("GET /v1/snapshots lists what there is")
            }
            SnapshotError::NoCheckpoint => ApiError::conflict("nothing_to_keep", message)
                .hint("a node that has read nothing has nothing to keep"),
            SnapshotError::Storage(cause)
                if matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                ApiError::no_space("disk_full", message).hint("the name is free again")
            }
            SnapshotError::Storage(_) | SnapshotError::NotWhole { .. } | SnapshotError::NotEmpty => {
                ApiError::unavailable("snapshot_failed", message).hint("the name is free again")
            }
        }
    }
}
