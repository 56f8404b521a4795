//! `_bulk`, `_doc` and `_create`: writes, where the table of the index takes pushes.
//!
//! They become one push, so all of them are taken or none, in their order. Whether a document was there is told by the newest snapshot,
//! and by the actions before it in the same request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::answer::Shards;
use super::bulk::{Action, Kind, Line, TableKey, actions};
use super::parameters::Parameters;
use super::refusal::{Read, Refusal};
use super::{check_index, written};
use crate::change::{Datum, Float};
use crate::definition::{ColumnType, FieldKind, Format, Need, SourceSettings, Table};
use crate::query::Searcher;
use crate::server::changes::{not_taken, visible};
use crate::server::error::ApiError;
use crate::server::{App, Server};
use crate::source::http::PushTable;

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
    State(server): State<Arc<Server>>,
    path: Option<Path<String>>,
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let name = server.app.definition.name.clone();
    let index = path.map_or_else(|| name.clone(), |Path(index)| index);
    let bytes_max = server.app.definition.server.limits.push_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    check_index(&name, &index)?;
    let refresh = refresh(&mut parameters)?;
    parameters.only("wait_for_active_shards", "1")?;
    parameters.end()?;
    let started = Instant::now();
    let outcomes = take(&server, refresh, move |writer| {
        writer.push(&actions(&index, &body)?)
    })
    .await?;
    let items = outcomes
        .iter()
        .map(|outcome| json!({ outcome.kind.name(): outcome.item(&name) }));
    written(&json!({
        "took": started.elapsed().as_millis() as u64,
        "errors": outcomes.iter().any(|outcome| outcome.done.is_err()),
        "items": items.collect::<Vec<_>>(),
    }))
}

/// `PUT` and `POST` of a document with its key.
pub async fn put(
    State(server): State<Arc<Server>>,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((index, id)) = path.map_err(ApiError::from)?;
    one(&server, (index, Some(id), Kind::Index), parameters, request).await
}

/// `POST` of a document without its key.
pub async fn add(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(index) = path.map_err(ApiError::from)?;
    one(&server, (index, None, Kind::Index), parameters, request).await
}

/// A document that is not there yet.
pub async fn create(
    State(server): State<Arc<Server>>,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((index, id)) = path.map_err(ApiError::from)?;
    one(&server, (index, Some(id), Kind::Create), parameters, request).await
}

pub async fn delete(
    State(server): State<Arc<Server>>,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((index, id)) = path.map_err(ApiError::from)?;
    one(&server, (index, Some(id), Kind::Delete), parameters, request).await
}

async fn one(
    server: &Server,
    (index, id, kind): (String, Option<String>, Kind),
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes_max = server.app.definition.server.limits.push_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    check_index(&server.app.definition.name, &index)?;
    let refresh = refresh(&mut parameters)?;
    parameters.only("wait_for_active_shards", "1")?;
    let kind = match parameters.take("op_type").as_deref() {
        Some("create") if kind != Kind::Delete => Kind::Create,
        None | Some("index") => kind,
        Some(other) => return Err(Refusal::illegal(format!("[op_type] does not support [{other}]"))),
    };
    parameters.end()?;
    let push = move |writer: &Writer| {
        let source = (kind != Kind::Delete).then_some(&*body);
        writer.push(&[Action { kind, id, source }])
    };
    let mut outcomes = take(server, refresh, push).await?;
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

/// Pushes on a thread that may block, and waits for what was pushed where the answer has to.
async fn take(
    server: &Server,
    refresh: bool,
    push: impl FnOnce(&Writer) -> Read<(Vec<Outcome>, Option<u64>)> + Send + 'static,
) -> Read<Vec<Outcome>> {
    let app = server.app.clone();
    let table = written_to(&app)?.name.clone();
    let writer = Writer {
        key: key_of(&app, written_to(&app)?),
        needs: written_to(&app)?.needs.clone(),
        pushes: server.push_table(&table)?,
        // What a write meets is there, whoever may see it.
        index: server.whole_index(&app.definition.name)?,
        table: table.clone(),
        app,
    };
    let (outcomes, last) = server.pushes.run(move || push(&writer)).await??;
    if refresh && last.is_some() {
        visible(&server.app.published, &table, last).await?;
    }
    Ok(outcomes)
}

/// What actions become a push with.
struct Writer {
    app: Arc<App>,
    table: String,
    key: TableKey,
    needs: Vec<Need>,
    pushes: Arc<PushTable>,
    index: Searcher,
}

impl Writer {
    /// Takes actions, all in one push, and names its last position, where there was anything to push.
    fn push(&self, actions: &[Action<'_>]) -> Read<(Vec<Outcome>, Option<u64>)> {
        let snapshot = self.index.snapshot();
        let (mut body, mut lines) = (String::new(), 0);
        // What the actions so far have left.
        let mut left: HashMap<String, bool> = HashMap::new();
        let mut outcomes = Vec::with_capacity(actions.len());
        for action in actions {
            let line = self.key.line(action, new_id);
            let id = line
                .as_ref()
                .map_or(action.id.clone(), |line| Some(line.id.clone()));
            let done = line.and_then(|Line { id, json }| {
                let unfit = Some(&json).filter(|_| action.kind != Kind::Delete);
                if let Some(reason) = unfit.and_then(|json| self.unfit(json)) {
                    return Err(Refusal::new(400, "mapper_parsing_exception", reason));
                }
                let known = left.get(&id).copied();
                let is_there = known.unwrap_or_else(|| self.index.document_in(&snapshot, &id).is_some());
                let (result, status) = match (action.kind, is_there) {
                    (Kind::Create, true) => {
                        let reason = format!("[{id}]: version conflict, document already exists");
                        return Err(Refusal::new(409, "version_conflict_engine_exception", reason));
                    }
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
            return Ok((outcomes, None));
        }
        let pushed = self.pushes.push(body.as_bytes(), None);
        let pushed = pushed.map_err(|error| not_taken(&self.table, error))?;
        let last = pushed.position.map_or(0, |position| position.0);
        let first = (last + 1).saturating_sub(lines);
        for outcome in &mut outcomes {
            let Ok(done) = &mut outcome.done else { continue };
            done.offset = first + done.line;
            if pushed.dead_letters > 0
                && let Some(reason) = self.refused(done.offset)
            {
                outcome.done = Err(Refusal::new(400, "mapper_parsing_exception", reason));
            }
        }
        Ok((outcomes, Some(last)))
    }

    /// Why a document cannot be, by a value that its field cannot hold.
    fn unfit(&self, json: &str) -> Option<String> {
        let row: Map<String, Value> = serde_json::from_str(json).ok()?;
        self.needs.iter().find_map(|need| {
            let kind = need.unfit(&datum(row.get(&need.column)?))?;
            Some(format!(
                "failed to parse field [{}] of type [{}]",
                need.column,
                kind.name()
            ))
        })
    }

    /// Why a line was not decoded, if it was not. It is kept as a dead letter.
    fn refused(&self, offset: u64) -> Option<String> {
        let id = format!("{}/0/{offset}", self.table);
        let letter = self.app.intake.dead_letters().get(&id);
        letter.ok().flatten().map(|letter| letter.reason)
    }
}

/// A value as the decoder of plain upserts reads it.
fn datum(value: &Value) -> Datum {
    match value {
        Value::Null => Datum::Null,
        Value::Bool(flag) => Datum::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Datum::Int(int),
            (None, float) => Datum::Float(Float(float.unwrap_or_default())),
        },
        Value::String(text) => Datum::text(text),
        nested => Datum::Json(nested.to_string().into()),
    }
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
fn new_id() -> Read<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::new(503, "exception", format!("no key can be made: {error}")))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.map(|byte| format!("{byte:02x}")).concat();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
