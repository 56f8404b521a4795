//! The index as tools for agents: the Model Context Protocol over HTTP, read-only.
//!
//! One POST carries one message, and its answer is JSON: no session is kept, no stream is opened, and each call stands
//! by itself as a search does. Written by hand, since that is a few hundred lines of JSON in and out; the official `rmcp`
//! brings sessions, streams and a router of its own, which a server without state has no use for.

mod message;
mod tools;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use serde_json::value::RawValue;

use super::auth::Identity;
use super::error::{ApiError, ErrorBody};
use super::search::json;
use super::{Server, pages};
use crate::definition::Definition;
use message::{Fault, Incoming, Outgoing, Request as Call};

/// The revisions that are spoken, oldest first. They differ in nothing that these tools use but [`BATCHES`].
const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// The one revision in which a client may send several messages at once. It is also meant where no header names one.
const BATCHES: &str = REVISIONS[0];

/// Messages sent at once: they are answered one after the other.
const BATCH_MAX: usize = 32;

const REVISION_HEADER: &str = "mcp-protocol-version";

/// Tools for agents: `search`, `get` and `stats`, by the Model Context Protocol.
///
/// Streamable HTTP of the revisions 2025-03-26, 2025-06-18 and 2025-11-25, without sessions and streams: every answer is
/// JSON. What is wrong with a search is the result of its tool, with `isError`.
#[utoipa::path(
    post,
    path = "/mcp",
    tag = "agents",
    params(("MCP-Protocol-Version" = Option<String>, Header, description = "The revision that `initialize` has answered")),
    request_body(
        content = message::Message,
        description = "A message of JSON-RPC 2.0; in revision 2025-03-26 also a list of 1 to 32"
    ),
    responses(
        (status = 200, body = message::Answer, description = "The answer to a request, or what is wrong with it"),
        (status = 202, description = "A notification or an answer, which nothing is said to"),
        (status = 400, body = message::Refusal, description = "Not a message of JSON-RPC, or an unknown revision"),
        (status = 403, body = ErrorBody, description = "No scope `search`, or a web page of another host asks"),
        (status = 408, body = ErrorBody, description = "The body did not arrive in time"),
        (status = 413, body = ErrorBody, description = "The body has more than 1 MiB"),
        (status = 415, body = ErrorBody, description = "The body is not said to be JSON, or is compressed"),
    )
)]
pub async fn post(
    State(server): State<Arc<Server>>,
    identity: Identity,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    // Where nobody is asked for a key the guard has checked this; here also where somebody is, as the protocol wants it.
    pages::trust(&server.app.definition.server.origins, &headers)?;
    let body = server.json_body(request).await?;
    let revision = headers.get(REVISION_HEADER).map_or(Some(BATCHES), |named| {
        REVISIONS.into_iter().find(|known| named == known)
    });
    let Some(revision) = revision else {
        let fault = Fault::request(format!(
            "the revision in {REVISION_HEADER} is not one of {}",
            REVISIONS.join(", ")
        ));
        return refused(fault);
    };
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    match is_batch {
        true if revision == BATCHES => answer_all(&server, &identity, &body).await,
        true => refused(Fault::request("this revision has one message in a request")),
        false => match Incoming::read(&body) {
            Ok(message) => match answer(&server, &identity, message).await {
                Some(answer) => json(&answer),
                None => Ok(StatusCode::ACCEPTED.into_response()),
            },
            Err(fault) => refused(fault),
        },
    }
}

async fn answer_all(server: &Arc<Server>, identity: &Identity, body: &[u8]) -> Result<Response, ApiError> {
    let messages: Vec<Box<RawValue>> = match serde_json::from_slice(body) {
        Ok(messages) => messages,
        Err(error) => return refused(Fault::unreadable(&error)),
    };
    if !(1..=BATCH_MAX).contains(&messages.len()) {
        return refused(Fault::request(format!("send 1 to {BATCH_MAX} messages at once")));
    }
    identity.pays_for(messages.len());
    let mut answers = Vec::new();
    for message in &messages {
        answers.extend(match Incoming::read(message.get().as_bytes()) {
            Ok(message) => answer(server, identity, message).await,
            Err(fault) => Some(Outgoing::refusal(fault)),
        });
    }
    match answers.is_empty() {
        true => Ok(StatusCode::ACCEPTED.into_response()),
        false => json(&answers),
    }
}

/// A message that cannot be told apart has no id to answer to.
fn refused(fault: Fault) -> Result<Response, ApiError> {
    let answer = json(&Outgoing::refusal(fault))?;
    Ok((StatusCode::BAD_REQUEST, answer).into_response())
}

/// The answer to a request; nothing to what needs none.
async fn answer(server: &Arc<Server>, identity: &Identity, message: Incoming) -> Option<Outgoing> {
    let Incoming::Request(Call { id, method, params }) = message else {
        return None;
    };
    let definition = &server.app.definition;
    let params = params.as_deref();
    let result = match method.as_str() {
        "initialize" => message::params(params).and_then(|hello| initialized(definition, hello)),
        "ping" => message::raw(&json!({})),
        "tools/list" => message::raw(&json!({ "tools": tools::list(definition) })),
        "tools/call" => match message::params(params) {
            Ok(call) => tools::call(server, identity, call).await,
            Err(fault) => Err(fault),
        },
        _ => Err(Fault::method(&method)),
    };
    Some(Outgoing::new(id, result))
}

/// What a client says first.
#[derive(serde::Deserialize)]
struct Hello {
    #[serde(rename = "protocolVersion")]
    revision: String,
}

/// The client's revision where it is spoken, else the newest that is.
fn initialized(definition: &Definition, hello: Hello) -> Result<Box<RawValue>, Fault> {
    let [.., newest] = REVISIONS;
    let revision = REVISIONS.into_iter().find(|known| *known == hello.revision);
    message::raw(&json!({
        "protocolVersion": revision.unwrap_or(newest),
        "capabilities": { "tools": {} },
        "serverInfo": { "name": "millpond", "title": "Millpond", "version": env!("CARGO_PKG_VERSION") },
        "instructions": tools::instructions(definition),
    }))
}
