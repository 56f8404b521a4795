//! `_bulk`, `_doc` and `_create`: writes, where the table of the index takes pushes.
//!
//! They become one push, so all of them are taken or none, in their order.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::Shards;
use super::bulk::{Action, Kind, actions};
use super::parameters::Parameters;
use super::path::Named;
use super::refusal::{Read, Refusal};
use super::writer::{Outcome, Writer, written_to};
use super::written;
use crate::server::Server;
use crate::server::changes::visible;

pub async fn bulk(
    State(server): State<Arc<Server>>,
    named: Named,
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes_max = server.app.definition.server.limits.push_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    let name = server.app.definition.name.clone();
    named.check(&name)?;
    let refresh = refresh(&mut parameters)?;
    parameters.end()?;
    let started = Instant::now();
    let outcomes = take(&server, refresh, move |writer| {
        writer.push(&actions(&writer.app.definition.name, &body)?)
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

/// A document, with or without its key.
pub async fn index(
    State(server): State<Arc<Server>>,
    named: Named,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    one(&server, named, Kind::Index, parameters, request).await
}

/// A document that is not there yet.
pub async fn create(
    State(server): State<Arc<Server>>,
    named: Named,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    one(&server, named, Kind::Create, parameters, request).await
}

pub async fn delete(
    State(server): State<Arc<Server>>,
    named: Named,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    one(&server, named, Kind::Delete, parameters, request).await
}

async fn one(
    server: &Server,
    named: Named,
    kind: Kind,
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes_max = server.app.definition.server.limits.push_bytes;
    let body = server.bodies.read(request, bytes_max).await?;
    let index = &server.app.definition.name;
    named.check(index)?;
    let refresh = refresh(&mut parameters)?;
    let kind = match parameters.take("op_type").as_deref() {
        Some("create") if kind != Kind::Delete => Kind::Create,
        None | Some("index") => kind,
        Some(other) => return Err(Refusal::illegal(format!("[op_type] does not support [{other}]"))),
    };
    parameters.end()?;
    let id = named.id;
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
    let mut answer = outcome.item(index);
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
    parameters.only("wait_for_active_shards", "1")?;
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
        pushes: server.push_table(&table)?,
        // What a write meets is there, whoever may see it.
        index: server.whole_index(&app.definition.name)?,
        in_flight: server.in_flight.clone(),
        app,
    };
    let (outcomes, last) = server.pushes.run(move || push(&writer)).await??;
    if refresh && last.is_some() {
        visible(&server.app.published, &table, last).await?;
    }
    Ok(outcomes)
}
