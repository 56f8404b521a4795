//! `_search`, `_count` and `_msearch`.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Found, Shards};
use super::body;
use super::parameters::Parameters;
use super::path::Named;
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

/// A search of an index, or of the one that there is.
pub async fn search(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes_max = server.app.definition.server.limits.search_bytes;
    let answer = move |app: &App, searcher: &Searcher, body: &[u8]| {
        let mut object = object(body)?;
        parameters.into_search(&mut object)?;
        written(&one(app, searcher, None, &Value::Object(object))?)
    };
    answered(&server, &identity, named, request, bytes_max, answer).await
}

/// How many documents are an answer to a query.
pub async fn count(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes_max = server.app.definition.server.limits.search_bytes;
    let answer = move |app: &App, searcher: &Searcher, body: &[u8]| {
        let mut object = object(body)?;
        parameters.into_search(&mut object)?;
        written(&json!({"count": counted(app, searcher, object)?, "_shards": Shards::one()}))
    };
    answered(&server, &identity, named, request, bytes_max, answer).await
}

/// Several searches of one snapshot: lines of a header and a body each.
pub async fn searches(
    State(server): State<Arc<Server>>,
    identity: Identity,
    named: Named,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refusal> {
    let payer = identity.clone();
    let answer = move |app: &App, searcher: &Searcher, body: &[u8]| {
        parameters.end()?;
        written(&several(app, searcher, &payer, body)?)
    };
    answered(&server, &identity, named, request, SEARCHES_BYTES_MAX, answer).await
}

/// Reads a body, and runs in the place of one search what makes an answer of it.
async fn answered(
    server: &Server,
    identity: &Identity,
    named: Named,
    request: Request,
    bytes_max: usize,
    answer: impl FnOnce(&App, &Searcher, &[u8]) -> Read<Response> + Send + 'static,
) -> Result<Response, Refusal> {
    let body = server.bodies.read(request, bytes_max).await?;
    let deadline = Deadline::begin();
    // When the client goes away, this is dropped and the search stops.
    let _waiting = deadline.waiting();
    let app = server.app.clone();
    let index = named.index_or(&app.definition.name);
    let searcher = server.searcher(identity, &index)?.until(&deadline);
    let answer = server
        .searches
        .run(move || answer(&app, &searcher, &body))
        .await?;
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

fn counted(app: &App, searcher: &Searcher, mut search: Map<String, Value>) -> Read<u64> {
    if let Some(key) = search.keys().find(|key| *key != "query") {
        return Err(Refusal::parsing(format!("[count] does not support [{key}]")));
    }
    search.insert("size".to_owned(), 0.into());
    search.insert("track_total_hits".to_owned(), true.into());
    let timeout_max = app.definition.server.limits.timeout_max;
    let search = body::read(searcher.index(), &Value::Object(search), timeout_max)?;
    let answer = run(app, &search.request, || searcher.search(&search.request))?;
    if let Some(failed) = answer.failed.first() {
        return Err(Refusal::new(
            503,
            "search_phase_execution_exception",
            failed.reason.clone(),
        ));
    }
    match answer.timed_out {
        true => Err(Refusal::new(
            504,
            "timeout_exception",
            "time was over before all was counted",
        )),
        false => Ok(answer.total.map_or(0, |total| total.value)),
    }
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

fn several(app: &App, searcher: &Searcher, payer: &Identity, body: &[u8]) -> Read<Several> {
    let started = Instant::now();
    let lines: Vec<&[u8]> = lines(body).collect();
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
    payer.pays_for(pairs.len());
    let snapshot = searcher.snapshot();
    let responses = pairs.map(|pair| {
        let [first, second] = [pair.first(), pair.last()].map(|line| line.copied().unwrap_or_default());
        let found = header(&app.definition.name, first).and_then(|()| {
            let body = Value::Object(object(second)?);
            one(app, &searcher.again(), Some(&snapshot), &body)
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
    Ok(Several {
        took: started.elapsed().as_millis() as u64,
        responses,
    })
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
