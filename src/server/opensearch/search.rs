//! `_search`, `_count` and `_msearch`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Found, Shards};
use super::body;
use super::parameters::Parameters;
use super::refusal::{Read, Refusal};
use super::written;
use crate::index::{Deadline, Snapshot};
use crate::query::{Mode, Searcher};
use crate::server::auth::Identity;
use crate::server::search::run;
use crate::server::{App, Server};

/// They run one after the other in the place of one search.
const SEARCHES_MAX: usize = 100;

/// Room for a vector of 4,096 dimensions in many of them.
const SEARCHES_BYTES_MAX: usize = 8 << 20;

pub async fn search(
    state: State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(index) = path.map_err(crate::server::error::ApiError::from)?;
    search_in(state, identity, index, parameters, request).await
}

/// Of the one index that there is.
pub async fn search_all(
    state: State<Arc<Server>>,
    identity: Identity,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let index = state.app.definition.name.clone();
    search_in(state, identity, index, parameters, request).await
}

async fn search_in(
    State(server): State<Arc<Server>>,
    identity: Identity,
    index: String,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let body = server
        .bodies
        .read(request, server.app.definition.server.limits.search_bytes)
        .await?;
    let deadline = Deadline::begin();
    // When the client goes away, this is dropped and the search stops.
    let _waiting = deadline.waiting();
    let searcher = server.searcher(&identity, &index)?.until(&deadline);
    let app = server.app.clone();
    let answer = move || {
        let mut object = object(&body)?;
        parameters.into_search(&mut object)?;
        written(&one(&app, &searcher, None, &Value::Object(object))?)
    };
    counted(&server, server.searches.run(answer).await?)
}

/// Counts a search that failed.
fn counted(server: &Server, answer: Read<Response>) -> Result<Response, Refusal> {
    if answer.is_err() {
        server.app.metrics.query_failed();
    }
    answer
}

/// One search, in a snapshot or in the newest.
fn one(app: &App, searcher: &Searcher, snapshot: Option<&Snapshot>, body: &Value) -> Read<Found> {
    let limits = &app.definition.server.limits;
    let mut search = body::read(searcher.index(), body, limits.timeout_max)?;
    if let Some(asked) = &search.request.asked {
        // For the metrics.
        search.request.mode = match (&asked.words, &asked.nearest) {
            (_, None) => Mode::Keyword,
            (None, Some(_)) => Mode::Vector,
            (Some(_), Some(_)) => Mode::Hybrid,
        };
    }
    let answer = run(app, &search.request, || match snapshot {
        Some(snapshot) => searcher.search_at(snapshot, &search.request),
        None => searcher.search(&search.request),
    })?;
    answer::found(&app.definition.name.as_str().into(), &search, answer)
}

/// How many documents are an answer to a query.
pub async fn count(
    State(server): State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(index) = path.map_err(crate::server::error::ApiError::from)?;
    let body = server
        .bodies
        .read(request, server.app.definition.server.limits.search_bytes)
        .await?;
    let deadline = Deadline::begin();
    let _waiting = deadline.waiting();
    let searcher = server.searcher(&identity, &index)?.until(&deadline);
    let app = server.app.clone();
    let answer = move || {
        let mut search = object(&body)?;
        parameters.into_search(&mut search)?;
        if let Some(key) = search.keys().find(|key| *key != "query") {
            return Err(Refusal::parsing(format!("[count] does not support [{key}]")));
        }
        search.insert("size".to_owned(), 0.into());
        search.insert("track_total_hits".to_owned(), true.into());
        let search = body::read(
            searcher.index(),
            &Value::Object(search),
            app.definition.server.limits.timeout_max,
        )?;
        let answer = run(&app, &search.request, || searcher.search(&search.request))?;
        if let Some(failed) = answer.failed.first() {
            return Err(Refusal::new(
                503,
                "search_phase_execution_exception",
                failed.reason.clone(),
            ));
        }
        if answer.timed_out {
            return Err(Refusal::new(
                504,
                "timeout_exception",
                "time was over before all was counted",
            ));
        }
        let total = answer.total.map_or(0, |total| total.value);
        written(&json!({"count": total, "_shards": Shards::one()}))
    };
    counted(&server, server.searches.run(answer).await?)
}

#[derive(Serialize)]
struct Several {
    took: u64,
    responses: Vec<OneOfSeveral>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneOfSeveral {
    Found(Box<Found>),
    Refused(Value),
}

/// Several searches of one snapshot: lines of a header and a body each.
pub async fn searches(
    state: State<Arc<Server>>,
    identity: Identity,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(index) = path.map_err(crate::server::error::ApiError::from)?;
    searches_in(state, identity, Some(index), parameters, request).await
}

pub async fn searches_all(
    state: State<Arc<Server>>,
    identity: Identity,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    searches_in(state, identity, None, parameters, request).await
}

async fn searches_in(
    State(server): State<Arc<Server>>,
    identity: Identity,
    index: Option<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let body = server.bodies.read(request, SEARCHES_BYTES_MAX).await?;
    parameters.end()?;
    let deadline = Deadline::begin();
    let _waiting = deadline.waiting();
    let name = server.app.definition.name.clone();
    let searcher = server
        .searcher(&identity, index.as_deref().unwrap_or(&name))?
        .until(&deadline);
    let app = server.app.clone();
    let answer = move || {
        let started = std::time::Instant::now();
        let lines: Vec<&[u8]> = lines(&body).collect();
        let pairs = lines.chunks(2);
        if lines.len() % 2 == 1 || lines.is_empty() {
            return Err(Refusal::illegal(
                "[msearch] takes pairs of lines, a header and a body each",
            ));
        }
        if pairs.len() > SEARCHES_MAX {
            return Err(Refusal::illegal(format!(
                "[msearch] takes {SEARCHES_MAX} searches at most"
            )));
        }
        let snapshot = searcher.snapshot();
        let responses = pairs.map(|pair| {
            let found = header(&name, pair.first().copied().unwrap_or_default()).and_then(|()| {
                let body = object(pair.last().copied().unwrap_or_default())?;
                one(&app, &searcher, Some(&snapshot), &Value::Object(body))
            });
            match found {
                Ok(found) => OneOfSeveral::Found(Box::new(found.with_status(200))),
                Err(refusal) => {
                    app.metrics.query_failed();
                    OneOfSeveral::Refused(refusal.body())
                }
            }
        });
        let responses = responses.collect();
        written(&Several {
            took: started.elapsed().as_millis() as u64,
            responses,
        })
    };
    counted(&server, server.searches.run(answer).await?)
}

/// The first of two lines: which index, if it says one.
fn header(name: &str, line: &[u8]) -> Read<()> {
    let object = Value::Object(object(line)?);
    let mut keys = super::keys::Keys::new("header", &object)?;
    if let Some(index) = keys.take("index") {
        for index in super::keys::texts("index", index)? {
            super::check_index(name, &index)?;
        }
    }
    keys.only("search_type", &["query_then_fetch".into()])?;
    for key in [
        "preference",
        "ignore_unavailable",
        "allow_no_indices",
        "expand_wildcards",
        "request_cache",
    ] {
        keys.take(key);
    }
    keys.end()
}

/// The lines of a body, without what is blank at its end.
pub fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.trim_ascii_end()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// A body as an object; an empty one is one without keys.
pub fn object(body: &[u8]) -> Read<Map<String, Value>> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body)
        .map_err(|error| Refusal::parsing(format!("the body is no JSON object: {error}")))
}
