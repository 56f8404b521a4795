//! What the node is, and what its index holds: `/`, `_cat/indices`, `_cluster/health`, `_mapping`, and whether there is an index.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::parameters::Parameters;
use super::path::Named;
use super::refusal::Refusal;
use super::written;
use crate::definition::{FieldKind, Index, VectorSource};
use crate::server::auth::Identity;
use crate::server::{Server, console};

/// The OpenSearch whose answers ours are like. Clients read the distribution and the number.
const VERSION: &str = "3.0.0";

/// The console for people; for clients of OpenSearch, what they ask first.
pub async fn root(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let header = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let is_client = header(ACCEPT).starts_with("application/json")
        || header(CONTENT_TYPE).starts_with("application/json")
        || header(USER_AGENT).starts_with("opensearch");
    if !is_client {
        return console::page().await.into_response();
    }
    let about = json!({
        "name": server.app.definition.name,
        "cluster_name": "millpond",
        "cluster_uuid": server.app.definition.name,
        "version": {
            "distribution": "opensearch",
            "number": VERSION,
            "build_type": "millpond",
            "build_hash": env!("CARGO_PKG_VERSION"),
            "build_snapshot": false,
            "minimum_wire_compatibility_version": VERSION,
            "minimum_index_compatibility_version": VERSION,
        },
        "tagline": "The OpenSearch Project: https://opensearch.org/",
    });
    written(&about).into_response()
}

pub async fn health(
    State(server): State<Arc<Server>>,
    identity: Identity,
    mut parameters: Parameters,
) -> Result<Response, Refusal> {
    // An index that answers is as well as it will be.
    server.searcher(&identity, &server.app.definition.name)?;
    for name in [
        "timeout",
        "wait_for_status",
        "wait_for_nodes",
        "wait_for_active_shards",
        "level",
        "local",
    ] {
        parameters.take(name);
    }
    parameters.end()?;
    written(&json!({
        "cluster_name": "millpond",
        "status": "green",
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "discovered_master": true,
        "discovered_cluster_manager": true,
        "active_primary_shards": 1,
        "active_shards": 1,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    }))
}

/// Of all indexes, or of the one that the path names.
pub async fn indices(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
    mut parameters: Parameters,
) -> Result<Response, Refusal> {
    named.check(&server.app.definition.name)?;
    let name = server.app.definition.name.clone();
    let format = parameters.take("format");
    let has_head = parameters.flag("v")?;
    parameters.end()?;
    let row = match server.app.definition.index.is_some() {
        false => None,
        true => {
            let searcher = server.searcher(&identity, &name)?;
            let documents = server.look(&identity, move || searcher.stats().documents).await?;
            Some([
                ("health", "green".to_owned()),
                ("status", "open".to_owned()),
                ("index", name.clone()),
                ("uuid", name),
                ("pri", "1".to_owned()),
                ("rep", "0".to_owned()),
                ("docs.count", documents.to_string()),
                ("docs.deleted", "0".to_owned()),
            ])
        }
    };
    match format.as_deref() {
        Some("json") => {
            let object = |row: &[(&str, String)]| -> Map<String, Value> {
                row.iter()
                    .map(|(key, value)| ((*key).to_owned(), value.as_str().into()))
                    .collect()
            };
            let rows: Vec<_> = row.iter().map(|row| object(row)).collect();
            written(&rows)
        }
        None | Some("text") => {
            let mut text = String::new();
            if let Some(row) = &row {
                if has_head {
                    text.push_str(&row.each_ref().map(|(key, _)| *key).join(" "));
                    text.push('\n');
                }
                text.push_str(&row.each_ref().map(|(_, value)| value.as_str()).join(" "));
                text.push('\n');
            }
            Ok(([(CONTENT_TYPE, "text/plain; charset=UTF-8")], text).into_response())
        }
        Some(other) => Err(Refusal::illegal(format!(
            "[format] does not support [{other}]: there are text, json"
        ))),
    }
}

pub async fn exists(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
) -> Result<StatusCode, Refusal> {
    server.searcher(&identity, &named.index_or(&server.app.definition.name))?;
    Ok(StatusCode::OK)
}

pub async fn mapping(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let name = named.index_or(&server.app.definition.name);
    let searcher = server.searcher(&identity, &name)?;
    parameters.end()?;
    let dimensions = |field: &str| searcher.dimensions(field);
    written(&json!({ name: {"mappings": {"properties": properties(searcher.index(), dimensions)}} }))
}

/// What can be asked of each name. Columns that are only shown are left out of the index there too.
fn properties(index: &Index, dimensions: impl Fn(&str) -> Option<usize>) -> Map<String, Value> {
    let mut properties = Map::new();
    for name in &index.plan.columns {
        properties.insert(name.clone(), json!({"type": "object", "enabled": false}));
    }
    for field in &index.fields {
        let kind = match field.kind {
            FieldKind::Keyword => "keyword",
            FieldKind::I64 => "long",
            FieldKind::F64 => "double",
            FieldKind::Bool => "boolean",
            // They are exact to the microsecond.
            FieldKind::Date => "date_nanos",
            FieldKind::Geo { .. } => "geo_point",
        };
        properties.insert(field.name.clone(), json!({"type": kind}));
    }
    for text in &index.text {
        let is_keyword = index
            .fields
            .iter()
            .any(|field| field.name == text.name && field.kind == FieldKind::Keyword);
        let property = match is_keyword {
            true => json!({"type": "text", "fields": {"keyword": {"type": "keyword"}}}),
            false => json!({"type": "text"}),
        };
        properties.insert(text.name.clone(), property);
    }
    for field in &index.vectors {
        let column = match &field.source {
            VectorSource::Column(column) => index.plan.columns.get(column.column),
            VectorSource::Embed { .. } => None,
        };
        let name = column.unwrap_or(&field.name);
        properties.insert(
            name.clone(),
            json!({"type": "knn_vector", "dimension": dimensions(&field.name)}),
        );
    }
    properties
}
