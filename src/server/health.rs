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

use super::Server;
use crate::metrics::CONTENT_TYPE as OPENMETRICS;

/// Whether searches are answered, and how the sources are doing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    pub status: ReadyState,
    /// The name of the index; null where the dataflow keeps tables only.
    pub index: Option<String>,
    pub sources: Vec<SourceHealth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadyState {
    Starting,
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
        (status = 200, body = Readiness, description = "Recovered, and answering searches"),
        (status = 503, body = Readiness, description = "Starting"),
    )
)]
pub async fn readyz(State(server): State<Arc<Server>>) -> (StatusCode, Json<Readiness>) {
    let app = &server.app;
    let (code, status) = match app.ready.load(Ordering::Acquire) {
        true => (StatusCode::OK, ReadyState::Ready),
        false => (StatusCode::SERVICE_UNAVAILABLE, ReadyState::Starting),
    };
    let index = app.searcher.is_some().then(|| app.definition.name.clone());
    (
        code,
        Json(Readiness {
            status,
            index,
            sources: server.sources().collect(),
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
    for (table, pushes) in &server.app.pushes {
        metrics.set_push_log(table, pushes.log_bytes());
    }
    for source in server.sources() {
        let lag = source
            .lag
            .iter()
            .map(|(partition, messages)| (partition.as_str(), *messages));
        metrics.set_source(&source.table, source.trouble.is_none(), lag);
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
            }
        })
    }
}
