//! Whether the node lives, whether it is ready, and its metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rebuilding, Server};
use crate::definition::SourceSettings;
use crate::metrics::CONTENT_TYPE as OPENMETRICS;
use crate::source::Lost;

/// Whether searches are answered, and how the sources are doing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    pub status: ReadyState,
    /// Messages known to be waiting at the sources; only while the node catches up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// How far the new index is; only while it is made and the one before answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuilding: Option<Rebuilding>,
    /// The name of the index; null where the dataflow keeps tables only.
    pub index: Option<String>,
    pub sources: Vec<SourceHealth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ReadyState {
    /// What is stored is being brought back.
    #[serde(rename = "recovering")]
    Recovering,
    /// Searches are answered by the index before, as of its last checkpoint, until the new one is complete.
    #[serde(rename = "rebuilding")]
    Rebuilding,
    /// Searches are answered, from older rows than the sources have.
    #[serde(rename = "catching up")]
    CatchingUp,
    #[serde(rename = "ready")]
    Ready,
}

/// How one table's source is doing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceHealth {
    pub table: String,
    /// Why the source gives nothing at the moment; null where it is well.
    pub trouble: Option<String>,
    /// Whether the input has been read to its end.
    pub finished: bool,
    /// Messages known to be waiting at the source, by partition.
    pub lag: BTreeMap<String, u64>,
    /// The newest range of messages in each partition that were removed at the source before they were read.
    pub lost: BTreeMap<String, LostRange>,
    /// How many messages all such ranges have had since the start, at most.
    pub lost_messages: u64,
}

/// A range of positions, both ends included.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct LostRange {
    pub first: u64,
    pub last: u64,
}

/// Answers as long as the node lives.
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, description = "The node lives")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether searches are answered, and how each source is doing.
///
/// A source that is down or behind does not make the node unready: it is named in the body.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "node",
    responses(
        (status = 200, body = Readiness, description = "Answering searches"),
        (status = 503, body = Readiness, description = "Recovering"),
    )
)]
pub async fn readyz(State(server): State<Arc<Server>>) -> (StatusCode, Json<Readiness>) {
    let app = &server.app;
    let sources: Vec<SourceHealth> = server.sources().collect();
    // What a source in trouble has waiting is not on its way.
    let well = sources.iter().filter(|source| source.trouble.is_none());
    let waiting: u64 = well.flat_map(|source| source.lag.values()).sum();
    let ready = app.ready.load(Ordering::Acquire);
    // A broker has been asked once; until then nobody knows what waits there.
    let unknown = |source: &SourceHealth| {
        let table = app.definition.table(&source.table);
        table.is_some_and(|(_, table)| matches!(table.source, SourceSettings::Kafka(_)))
            && source.lag.is_empty()
            && source.trouble.is_none()
    };
    if ready && waiting == 0 && !sources.iter().any(unknown) {
        app.caught_up.store(true, Ordering::Release);
    }
    let rebuilding = app.rebuilding();
    let caught_up = app.caught_up.load(Ordering::Acquire);
    let (code, status, lag) = match (rebuilding, ready, caught_up) {
        (Some(_), ..) => (StatusCode::OK, ReadyState::Rebuilding, None),
        (None, false, _) => (StatusCode::SERVICE_UNAVAILABLE, ReadyState::Recovering, None),
        (None, true, false) => (StatusCode::OK, ReadyState::CatchingUp, Some(waiting)),
        (None, true, true) => (StatusCode::OK, ReadyState::Ready, None),
    };
    let index = app.searcher.is_some().then(|| app.definition.name.clone());
    (
        code,
        Json(Readiness {
            status,
            lag,
            rebuilding,
            index,
            sources,
        }),
    )
}

/// All metrics, as OpenMetrics text for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "node",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let metrics = &server.app.metrics;
    // What a snapshot or a status holds is read when somebody asks: it belongs to one tick then.
    let snapshot = server.app.published.snapshot();
    metrics.set_documents(snapshot.documents());
    metrics.set_vectors(
        snapshot.vectors(),
        snapshot.vectors_pending(),
        snapshot.vectors_unbuilt(),
    );
    for (table, pushes) in server.app.pushes.get().into_iter().flatten() {
        metrics.set_push_log(table, pushes.log_bytes());
    }
    for source in server.sources() {
        let lag = source
            .lag
            .iter()
            .map(|(partition, messages)| (partition.as_str(), *messages));
        metrics.set_source(&source.table, source.trouble.is_none(), source.lost_messages, lag);
    }
    ([(CONTENT_TYPE, OPENMETRICS)], metrics.encode()).into_response()
}

impl Server {
    fn sources(&self) -> impl Iterator<Item = SourceHealth> {
        self.app.sources.iter().map(|(table, status)| {
            let state = status.state();
            SourceHealth {
                table: table.clone(),
                trouble: state.trouble,
                finished: state.finished,
                lag: state.lag,
                lost: state
                    .lost
                    .into_iter()
                    .map(|(partition, Lost { first, last })| (partition, LostRange { first, last }))
                    .collect(),
                lost_messages: state.lost_messages,
            }
        })
    }
}
