//! `_doc` (GET and HEAD) and `_mget`: documents by their keys, as the newest snapshot has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::body;
use super::keys::{Keys, texts};
use super::parameters::Parameters;
use super::path::Named;
use super::refusal::{Read, Refusal};
use super::{check_index, search, written};
use crate::definition::Index;
use crate::index::Snapshot;
use crate::query::Searcher;
use crate::server::Server;
use crate::server::auth::Identity;

/// Documents of one `_mget`.
const DOCUMENTS_MAX: usize = 10_000;

/// A document, or that there is none.
#[derive(Serialize)]
struct Got {
    _index: Arc<str>,
    _id: String,
    // Versions are not counted: a write is not conditional on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    _version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _seq_no: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _primary_term: Option<u64>,
    found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    _source: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct GotSeveral {
    docs: Vec<Got>,
}

pub async fn get(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let id = named.id.clone().unwrap_or_default();
    let (index, source) = of_newest(named, &server, parameters)?;
    let searcher = server.searcher(&identity, &index)?;
    let answer = move || {
        let snapshot = searcher.snapshot();
        let got = document(&searcher, &snapshot, &index, id, source.as_ref())?;
        let status = if got.found {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        Ok((status, written(&got)?).into_response())
    };
    server.look(&identity, answer).await?
}

pub async fn get_several(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes_max = server.app.definition.server.limits.search_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    let (index, usual) = of_newest(named, &server, parameters)?;
    let searcher = server.searcher(&identity, &index)?;
    let payer = identity.clone();
    let answer = move || {
        let wanted = wanted(&index, &Value::Object(search::object(&body)?))?;
        payer.pays_for(wanted.len());
        let snapshot = searcher.snapshot();
        let docs = wanted.into_iter().map(|(id, source)| {
            let source = source.as_ref().or(usual.as_ref());
            document(&searcher, &snapshot, &index, id, source)
        });
        written(&GotSeveral {
            docs: docs.collect::<Read<_>>()?,
        })
    };
    server.look(&identity, answer).await?
}

/// The index that is read, and what of its documents is wanted.
fn of_newest(named: Named, server: &Server, mut parameters: Parameters) -> Read<(Arc<str>, Option<Value>)> {
    let source = parameters.source();
    parameters.only("realtime", "true")?;
    parameters.only("refresh", "false")?;
    parameters.end()?;
    Ok((named.index_or(&server.app.definition.name).into(), source))
}

/// The keys that a body names, each with what of the document is wanted.
fn wanted(index: &str, body: &Value) -> Read<Vec<(String, Option<Value>)>> {
    let mut keys = Keys::new("mget", body)?;
    let (docs, ids) = (keys.take("docs"), keys.take("ids"));
    keys.end()?;
    let wanted = match (docs, ids) {
        (Some(Value::Array(docs)), None) => {
            let one = |doc| -> Read<(String, Option<Value>)> {
                let mut keys = Keys::new("docs", doc)?;
                if let Some(named) = keys.text("_index")? {
                    check_index(index, named)?;
                }
                let id = keys.take("_id").and_then(id_text);
                let source = keys.take("_source").cloned();
                keys.end()?;
                Ok((
                    id.ok_or_else(|| Refusal::illegal("one of [docs] has no [_id]"))?,
                    source,
                ))
            };
            docs.iter().map(one).collect::<Read<Vec<_>>>()?
        }
        (None, Some(ids)) => texts("ids", ids)?.into_iter().map(|id| (id, None)).collect(),
        _ => return Err(Refusal::parsing("[mget] takes [docs] or [ids]")),
    };
    match wanted.len() > DOCUMENTS_MAX {
        true => Err(Refusal::illegal(format!(
            "[mget] takes {DOCUMENTS_MAX} documents at most"
        ))),
        false => Ok(wanted),
    }
}

/// An `_id`, which clients also write as a number.
pub fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn document(
    searcher: &Searcher,
    snapshot: &Snapshot,
    index: &Arc<str>,
    id: String,
    source: Option<&Value>,
) -> Read<Got> {
    let found = searcher.document_in(snapshot, &id);
    let is_found = found.is_some();
    let source = match (found, source) {
        (None, _) => None,
        (Some(answer), None) => Some(answer.document),
        (Some(answer), Some(source)) => columns(searcher.index(), &answer.document, source)?,
    };
    Ok(Got {
        _index: index.clone(),
        _id: id,
        _version: is_found.then_some(1),
        _seq_no: is_found.then_some(snapshot.tick.0),
        _primary_term: is_found.then_some(1),
        found: is_found,
        _source: source,
    })
}

/// Some columns of a document.
fn columns(index: &Index, document: &RawValue, source: &Value) -> Read<Option<Box<RawValue>>> {
    let (has_source, columns) = body::source(index, source)?;
    if !has_source {
        return Ok(None);
    }
    let failed = |error: serde_json::Error| Refusal::new(500, "exception", error.to_string());
    let mut values: BTreeMap<&str, &RawValue> = serde_json::from_str(document.get()).map_err(failed)?;
    values.retain(|name, _| columns.iter().any(|column| column == name));
    serde_json::value::to_raw_value(&values).map(Some).map_err(failed)
}
