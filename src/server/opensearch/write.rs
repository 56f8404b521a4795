//! `_bulk`, `_doc` and `_create`: writes, where the table of the index takes pushes.
//!
//! They become one push, so all of them are taken or none, in their order. Whether a document was there is told by the newest snapshot,
//! and by the actions before it in the same request.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::Shards;
use super::bulk::{Action, Kind, Line, TableKey, actions};
use super::parameters::Parameters;
use super::refusal::{Read, Refusal};
use super::{check_index, written};
use crate::definition::{ColumnType, FieldKind, Format, SourceSettings, Table};
use crate::server::auth::Identity;
use crate::server::changes::{not_taken, visible};
use crate::server::error::ApiError;
use crate::server::{App, Server};

/// What became of an action.
struct Outcome {
    kind: Kind,
    id: Option<String>,
    done: Read<Done>,
}

#[derive(Clone, Copy)]
struct Done {
    result: &'static str,
    status: u16,
    /// Place of its line in the push.
    line: u64,
    offset: u64,
}

pub async fn bulk(
    state: State<Arc<Server>>,
    identity: Identity,
    path: Option<Path<String>>,
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let server = state.0;
    let index = match path {
        Some(Path(index)) => index,
        None => server.app.definition.name.clone(),
    };
    let bytes_max = server.app.definition.server.limits.push_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    check_index(&server.app.definition.name, &index)?;
    let refresh = refresh(&mut parameters)?;
    parameters.only("wait_for_active_shards", "1")?;
    parameters.end()?;
    let started = std::time::Instant::now();
    let actions = actions(&index, &body)?;
    let outcomes = take(&server, &identity, &actions, refresh).await?;
    let items: Vec<Value> = outcomes
        .iter()
        .map(|outcome| json!({ outcome.kind.name(): outcome.item(&index) }))
        .collect();
    written(&json!({
        "took": started.elapsed().as_millis() as u64,
        "errors": outcomes.iter().any(|outcome| outcome.done.is_err()),
        "items": items,
    }))
}

/// `PUT` and `POST` of a document with its key.
pub async fn put(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((index, id)) = path.map_err(ApiError::from)?;
    one(
        &server,
        identity,
        (index, Some(id), Kind::Index),
        parameters,
        request,
    )
    .await
}

/// `POST` of a document without its key.
pub async fn add(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(index) = path.map_err(ApiError::from)?;
    one(&server, identity, (index, None, Kind::Index), parameters, request).await
}

/// A document that is not there yet.
pub async fn create(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((index, id)) = path.map_err(ApiError::from)?;
    one(
        &server,
        identity,
        (index, Some(id), Kind::Create),
        parameters,
        request,
    )
    .await
}

pub async fn delete(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((index, id)) = path.map_err(ApiError::from)?;
    one(
        &server,
        identity,
        (index, Some(id), Kind::Delete),
        parameters,
        request,
    )
    .await
}

async fn one(
    server: &Server,
    identity: Identity,
    (index, id, kind): (String, Option<String>, Kind),
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let is_delete = kind == Kind::Delete || request.method() == Method::DELETE;
    let body = server
        .bodies
        .read(request, server.app.definition.server.limits.push_bytes)
        .await?;
    check_index(&server.app.definition.name, &index)?;
    let refresh = refresh(&mut parameters)?;
    parameters.only("wait_for_active_shards", "1")?;
    let kind = match parameters.take("op_type").as_deref() {
        Some("create") if !is_delete => Kind::Create,
        None | Some("index") => kind,
        Some(other) => return Err(Refusal::illegal(format!("[op_type] does not support [{other}]"))),
    };
    parameters.end()?;
    let source = (!is_delete).then_some(&*body);
    let action = Action { kind, id, source };
    let mut outcomes = take(server, &identity, &[action], refresh).await?;
    let outcome = outcomes
        .pop()
        .ok_or_else(|| Refusal::new(500, "exception", "the action has no outcome"))?;
    let done = outcome.done.clone()?;
    let status = StatusCode::from_u16(done.status).unwrap_or(StatusCode::OK);
    let mut answer = outcome.item(&index);
    if let Value::Object(answer) = &mut answer {
        answer.remove("status");
    }
    Ok((status, written(&answer)?).into_response())
}

impl Outcome {
    /// As `_bulk` shows it.
    fn item(&self, index: &str) -> Value {
        match &self.done {
            // Versions are not counted: a write is not conditional on one.
            Ok(done) => json!({
                "_index": index,
                "_id": self.id,
                "_version": 1,
                "result": done.result,
                "_shards": Shards::one(),
                "_seq_no": done.offset,
                "_primary_term": 1,
                "status": done.status,
            }),
            Err(refusal) => json!({
                "_index": index,
                "_id": self.id,
                "status": refusal.status,
                "error": {"type": refusal.kind, "reason": refusal.reason},
            }),
        }
    }
}

/// Whether the answer waits until searches see what was written.
fn refresh(parameters: &mut Parameters) -> Read<bool> {
    match parameters.take("refresh").as_deref() {
        None | Some("false") => Ok(false),
        Some("" | "true" | "wait_for") => Ok(true),
        Some(other) => Err(Refusal::illegal(format!(
            "[refresh] is [{other}]: true, false or wait_for"
        ))),
    }
}

/// Takes actions, all in one push.
async fn take(
    server: &Server,
    identity: &Identity,
    actions: &[Action<'_>],
    refresh: bool,
) -> Read<Vec<Outcome>> {
    let app = &server.app;
    let table = written_to(app)?;
    let key = key_of(app, table);
    let pushes = server.push_table(&table.name)?;
    // As who asks sees it; what must not be written over, as it is.
    let (seen, whole) = (
        server.searcher(identity, &app.definition.name)?,
        server.whole_index(&app.definition.name)?,
    );
    let snapshot = seen.snapshot();

    let mut body = String::new();
    let mut lines = 0;
    // What the actions so far have left.
    let mut left: HashMap<String, bool> = HashMap::new();
    let mut outcomes = Vec::with_capacity(actions.len());
    for action in actions {
        let line = key.line(action, new_id);
        let id = line
            .as_ref()
            .map_or(action.id.clone(), |line| Some(line.id.clone()));
        let done = line.and_then(|Line { id, json }| {
            let was_left = left.get(&id).copied();
            let is_there = was_left.unwrap_or_else(|| whole.document_in(&snapshot, &id).is_some());
            if action.kind == Kind::Create && is_there {
                let reason = format!("[{id}]: version conflict, document already exists");
                return Err(Refusal::new(409, "version_conflict_engine_exception", reason));
            }
            let was_seen = was_left.unwrap_or_else(|| seen.document_in(&snapshot, &id).is_some());
            let (result, status) = match (action.kind, was_seen) {
                (Kind::Delete, true) => ("deleted", 200),
                (Kind::Delete, false) => ("not_found", 404),
                (_, true) => ("updated", 200),
                (_, false) => ("created", 201),
            };
            left.insert(id, action.kind != Kind::Delete);
            body.push_str(&json);
            body.push('\n');
            lines += 1;
            Ok(Done {
                result,
                status,
                line: lines - 1,
                offset: 0,
            })
        });
        outcomes.push(Outcome {
            kind: action.kind,
            id,
            done,
        });
    }
    if lines == 0 {
        return Ok(outcomes);
    }

    let pushed = server
        .pushes
        .run(move || pushes.push(body.as_bytes(), None))
        .await?
        .map_err(|error| not_taken(&table.name, error))?;
    let last = pushed.position.map_or(0, |position| position.0);
    let first = (last + 1).saturating_sub(lines);
    for outcome in &mut outcomes {
        let Ok(done) = &mut outcome.done else { continue };
        done.offset = first + done.line;
        if pushed.dead_letters > 0
            && let Some(reason) = refused(app, &table.name, done.offset)
        {
            outcome.done = Err(Refusal::new(400, "mapper_parsing_exception", reason));
        }
    }
    if refresh {
        visible(&app.published, &table.name, Some(last)).await?;
    }
    Ok(outcomes)
}

/// Why a line was not decoded, if it was not. It is kept as a dead letter.
fn refused(app: &App, table: &str, offset: u64) -> Option<String> {
    let letter = app.intake.dead_letters().get(&format!("{table}/0/{offset}"));
    letter.ok().flatten().map(|letter| letter.reason)
}

/// The table of the index, if it takes writes.
fn written_to(app: &App) -> Read<&Table> {
    let index = app.definition.index.as_ref();
    let table = index.and_then(|index| app.definition.tables.get(usize::from(index.plan.table().0)));
    let table = table.ok_or_else(|| Refusal::illegal("there is no index to write to"))?;
    match (&table.source, table.format) {
        (SourceSettings::Http, Format::UpsertJson) => Ok(table),
        (SourceSettings::Http, format) => Err(Refusal::illegal(format!(
            "the table [{}] takes pushes of the format {}, and writes need upsert-json",
            table.name,
            format.name()
        ))),
        _ => Err(Refusal::illegal(format!(
            "the table [{}] is read from its source and takes no writes",
            table.name
        ))),
    }
}

/// The key of a table, with what is known of its columns.
fn key_of(app: &App, table: &Table) -> TableKey {
    let is_text = |name: &String| match table.columns.get(name) {
        Some(ColumnType::Text) => Some(true),
        Some(_) => Some(false),
        None => {
            let mut fields = app.definition.index.iter().flat_map(|index| &index.fields);
            let field = fields.find(|field| field.name == *name)?;
            Some(field.kind == FieldKind::Keyword)
        }
    };
    TableKey {
        columns: table
            .key
            .iter()
            .map(|name| (name.clone(), is_text(name)))
            .collect(),
    }
}

/// A random UUID.
fn new_id() -> String {
    let mut bytes = [0u8; 16];
    // Without randomness there are no connections either.
    getrandom::fill(&mut bytes).unwrap_or_default();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.map(|byte| format!("{byte:02x}")).concat();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
