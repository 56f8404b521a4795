//! Another model for an index that goes on answering: begin, look, compare, switch, go back, drop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Server;
use super::body::TakenBody;
use super::error::{ApiError, ErrorBody};
use crate::change::Tick;
use crate::definition::{VectorSource, parse_embedder};
use crate::index::{Phase, SecondSet, Snapshot};
use crate::query::{CompareError, Comparison};

/// Room for the queries of a comparison.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Queries of one comparison: each is two exact searches.
const QUERIES_MAX: usize = 1_000;

/// How long a request waits until what it asks for is published and durable.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What the node does for the routes here. Each takes effect at a tick soon after; the snapshot shows that it has.
pub trait Upgrades: Send + Sync {
    /// Begins a second set of vectors for a vector field, by an embedder of these settings.
    fn begin(&self, field: u16, settings: &str) -> Result<(), UpgradeError>;

    /// The second set answers from the next tick on, and the one that answers is the second.
    fn switch(&self) -> Result<(), UpgradeError>;

    fn drop_second(&self) -> Result<(), UpgradeError>;
}

/// Why there is no upgrade.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error("the index has a second set of vectors already")]
    Running,
    #[error("another change of models is under way")]
    Busy,
    #[error("the index has no such vectors")]
    NoVectors,
    #[error("the vectors are ready-made: no model makes them")]
    ReadyMade,
    #[error("rows of this index wait until their vectors are there, and those are of one model")]
    Together,
    #[error("{0}")]
    Settings(String),
    #[error("{0}")]
    Model(String),
    #[error("the dataflow file names no model on the host of {0}")]
    Host(String),
    #[error("the dataflow file does not name the variable {variable} for a model on the host of {url}")]
    Key { variable: String, url: String },
    #[error("the vectors are of model {0} already")]
    SameModel(String),
}

/// An upgrade to be begun. Either `model` or `embedder` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUpgrade {
    /// A model by its name, such as `default`.
    #[serde(default)]
    model: Option<String>,
    /// The lines that `[embedder]` would have in a dataflow file.
    #[serde(default)]
    embedder: Option<String>,
    /// The vector field, by its name in `[index.vectors]`; the first where left out.
    #[serde(default)]
    using: Option<String>,
}

/// Queries to compare by. The body may be left out: then recent queries count.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewComparison {
    /// At most 1,000.
    queries: Vec<String>,
}

/// How to switch. The body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewSwitch {
    /// Also to a set that lacks documents which the answering one has, since its model refused their texts.
    force: bool,
}

/// Which models answer, and how far the second set of vectors is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpgradeStatus {
    pub phase: UpgradePhase,
    /// The model that answers, by vector field; of those that embed texts.
    pub answering: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<SecondStatus>,
    #[schema(value_type = u64)]
    pub tick: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpgradePhase {
    /// There is no second set.
    None,
    /// Documents lack a vector in the second set.
    Building,
    /// Nothing is awaited any more, and its model has refused more documents than the one that answers.
    Refused,
    /// The second set can answer.
    Complete,
    /// The second set has answered before a switch, and can do so again.
    Switched,
}

/// A set of vectors that is kept up to date and does not answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecondStatus {
    /// Its vector field.
    pub using: String,
    pub model: String,
    /// Of the index.
    pub documents: usize,
    /// Documents that wait for a vector.
    pub documents_waiting: usize,
    /// Documents that will have no vector, since the model has refused their texts: dead letters say why.
    pub documents_failed: usize,
    pub texts_done: usize,
    /// Different texts, as far as is known: a document that was not looked at yet counts as one.
    pub texts_needed: usize,
    /// Since the node or the upgrade has begun.
    pub texts_per_second: f64,
    /// Until it is complete, if texts go on at this rate; absent where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// Of the texts embedded since then, as estimated; absent without `price_per_million_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Of the texts that are left, if they are like those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_left: Option<f64>,
}

/// Which models answer, and how far an upgrade is.
#[utoipa::path(
    get,
    path = "/v1/indexes/{index}/upgrade",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    responses(
        (status = 200, body = UpgradeStatus),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn status(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<UpgradeStatus>, ApiError> {
    server.upgrades(&path?)?;
    Ok(Json(server.status(&server.app.published.snapshot())))
}

/// Begins a second set of vectors, made by another model of the stored rows while changes go on to both.
///
/// Searches are answered by the vectors before until `switch`.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/upgrade",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    request_body = NewUpgrade,
    responses(
        (status = 202, body = UpgradeStatus, description = "It is begun, and goes on after a restart"),
        (status = 400, body = ErrorBody, description = "There are no such vectors, or the model cannot be opened"),
        (status = 403, body = ErrorBody, description = "The model is a service that the node was not told to trust"),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 415, body = ErrorBody, description = "The body is not said to be JSON"),
        (status = 409, body = ErrorBody, description = "There is a second set already, or the model is the same"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn begin(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<(StatusCode, Json<UpgradeStatus>), ApiError> {
    server.upgrades(&path?)?;
    let body = server.json_body(request).await?;
    let example = r#"such as {"model": "default"}, or {"embedder": "model = \"default\"\nparallel = 2"}"#;
    let NewUpgrade {
        model,
        embedder,
        using,
    } = read(&body, example)?;
    let settings = match (model, embedder) {
        (Some(model), None) => format!("model = {}", serde_json::Value::from(model)),
        (None, Some(embedder)) => embedder,
        _ => {
            let message = "an upgrade has either `model` or `embedder`";
            return Err(ApiError::bad_request("bad_request", message).hint(example));
        }
    };
    let field = server.field(using.as_deref())?;
    let status = server
        .change(
            move |upgrades, _| Ok(upgrades.begin(field, &settings)?),
            |snapshot| snapshot.sets.second.is_some(),
        )
        .await?;
    Ok((StatusCode::ACCEPTED, Json(status)))
}

/// Has the second set answer, at one tick. The set before stays, kept up to date, until it is dropped.
///
/// A set whose model has refused more documents than the other one's is switched to only with `force`.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/upgrade/switch",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    request_body = NewSwitch,
    responses(
        (status = 200, body = UpgradeStatus, description = "It answers, also after a crash"),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 409, body = ErrorBody, description = "There is no second set that is complete"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn switch(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<UpgradeStatus>, ApiError> {
    server.upgrades(&path?)?;
    let body = server.json_body(request).await?;
    let NewSwitch { force } = match &*body {
        [] => NewSwitch::default(),
        body => read(body, r#"such as {"force": true}, or nothing"#)?,
    };
    let status = server.change(
        move |upgrades, snapshot| match &snapshot.sets.second {
            Some(SecondSet {
                phase: Phase::Complete,
                ..
            }) => Ok(upgrades.switch()?),
            Some(SecondSet {
                phase: Phase::Former, ..
            }) => Err(
                ApiError::conflict("switched", "the index has been switched already")
                    .hint("`rollback` goes back, `drop` makes an end of it"),
            ),
            Some(second) if second.progress.is_through => match force {
                true => Ok(upgrades.switch()?),
                false => Err(refused(snapshot, second)),
            },
            Some(second) => Err(not_complete(second)),
            None => Err(no_second()),
        },
        |snapshot| phase(snapshot) == UpgradePhase::Switched,
    );
    Ok(Json(status.await?))
}

/// Has the set before the switch answer again, at one tick.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/upgrade/rollback",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    responses(
        (status = 200, body = UpgradeStatus, description = "It answers, also after a crash"),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 409, body = ErrorBody, description = "There was no switch, or its former set was dropped"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn rollback(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<UpgradeStatus>, ApiError> {
    server.upgrades(&path?)?;
    let status = server.change(
        |upgrades, snapshot| match phase(snapshot) {
            UpgradePhase::Switched => Ok(upgrades.switch()?),
            UpgradePhase::None => Err(no_second()),
            UpgradePhase::Building | UpgradePhase::Refused | UpgradePhase::Complete => {
                let message = "the index has not been switched: there is nothing to go back from";
                Err(ApiError::conflict("not_switched", message).hint("`drop` ends an upgrade"))
            }
        },
        |snapshot| phase(snapshot) == UpgradePhase::Complete,
    );
    Ok(Json(status.await?))
}

/// Drops the set that does not answer: an upgrade before its switch, or the former set after it.
#[utoipa::path(
    delete,
    path = "/v1/indexes/{index}/upgrade",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    responses(
        (status = 200, body = UpgradeStatus, description = "It is gone"),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 409, body = ErrorBody, description = "There is no second set"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn drop_second(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<UpgradeStatus>, ApiError> {
    server.upgrades(&path?)?;
    let status = server.change(
        |upgrades, snapshot| match snapshot.sets.second {
            Some(_) => Ok(upgrades.drop_second()?),
            None => Err(no_second()),
        },
        |snapshot| snapshot.sets.second.is_none(),
    );
    Ok(Json(status.await?))
}

/// Compares both sets of vectors by queries: those given, or recent ones.
#[utoipa::path(
    post,
    path = "/v1/indexes/{index}/upgrade/compare",
    tag = "indexes",
    params(("index" = String, Path, description = "The name of the dataflow")),
    request_body = NewComparison,
    responses(
        (status = 200, body = Comparison),
        (status = 404, body = ErrorBody, description = "There is no such index"),
        (status = 409, body = ErrorBody, description = "There is no second set, or no query to compare by"),
        (status = 503, body = ErrorBody, description = "The node is starting"),
    )
)]
pub async fn compare(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Comparison>, ApiError> {
    let Path(index) = path?;
    server.upgrades(&index)?;
    let body = server.json_body(request).await?;
    let NewComparison { queries } = match &*body {
        [] => NewComparison::default(),
        body => read(
            body,
            r#"such as {"queries": ["red shoe"]}, or nothing for recent queries"#,
        )?,
    };
    if queries.len() > QUERIES_MAX {
        let message = format!("there are {} queries, more than {QUERIES_MAX}", queries.len());
        return Err(ApiError::bad_request("too_many_queries", message));
    }
    let searcher = server.whole_index(&index)?;
    let compared = server.searches.run(move || searcher.compare(&queries)).await?;
    compared.map(Json).map_err(|error| match error {
        CompareError::NoSecond => no_second(),
        CompareError::NoQueries => {
            ApiError::conflict("no_queries", error.to_string()).hint("give some as `queries`")
        }
    })
}

impl Server {
    /// A body of JSON, or none. What a web page may send to another host unasked is not taken for it.
    pub(super) async fn json_body(&self, request: Request) -> Result<TakenBody, ApiError> {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
        let is_json = kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        let body = self.bodies.read(request, BODY_BYTES_MAX).await?;
        match is_json || body.is_empty() {
            true => Ok(body),
            false => Err(ApiError::unsupported_type("the body is not said to be JSON")
                .hint("send it with `Content-Type: application/json`")),
        }
    }

    /// What changes the models of an index, where it can be changed now.
    fn upgrades(&self, index: &str) -> Result<&dyn Upgrades, ApiError> {
        self.whole_index(index)?;
        if let Some(rebuilding) = self.app.rebuilding() {
            let (documents, of) = (rebuilding.documents, rebuilding.of);
            let message = format!("the index is being rebuilt: {documents} of {of} documents");
            return Err(ApiError::unavailable("rebuilding", message).hint("/readyz says how far it is"));
        }
        let is_ready = self.app.ready.load(Ordering::Acquire);
        let upgrades = self.app.upgrades.get().filter(|_| is_ready);
        upgrades.map(|upgrades| &**upgrades).ok_or_else(|| {
            ApiError::unavailable("recovering", "the node is recovering")
                .hint("/readyz says when it is ready")
        })
    }

    /// The number of a vector field.
    fn field(&self, using: Option<&str>) -> Result<u16, ApiError> {
        let index = self.app.definition.index.as_ref();
        let names: Vec<&str> = index
            .iter()
            .flat_map(|index| &index.vectors)
            .map(|field| field.name.as_str())
            .collect();
        let place = match using {
            None => (!names.is_empty()).then_some(0),
            Some(name) => names.iter().position(|other| *other == name),
        };
        place.map(|place| place as u16).ok_or_else(|| match using {
            Some(name) => ApiError::bad_request(
                "unknown_vector",
                format!("the index has no vectors named {name:?}"),
            )
            .hint(format!("`using` names one of: {}", names.join(", "))),
            None => ApiError::from(UpgradeError::NoVectors),
        })
    }

    /// Asks for a change, and waits until a snapshot shows it and a checkpoint has it. It goes on if the client goes away,
    /// so that the next one finds it done.
    async fn change(
        self: &Arc<Self>,
        ask: impl FnOnce(&dyn Upgrades, &Snapshot) -> Result<(), ApiError> + Send + 'static,
        is_done: impl Fn(&Snapshot) -> bool + Send + Sync + 'static,
    ) -> Result<UpgradeStatus, ApiError> {
        let server = self.clone();
        let change = async move {
            let _one_at_a_time = server.upgrading.lock().await;
            let asking = server.clone();
            // A model may take seconds to be opened.
            let asked = tokio::task::spawn_blocking(move || {
                let Some(upgrades) = asking.app.upgrades.get() else {
                    return Err(ApiError::unavailable("recovering", "the node is recovering"));
                };
                ask(&**upgrades, &asking.app.published.snapshot())
            });
            asked.await.map_err(failed)??;
            let done = async {
                let snapshot = server.app.published.wait_for(is_done).await;
                server.app.durable.make(snapshot.tick).await;
                snapshot
            };
            match timeout(WAIT_MAX, done).await {
                Ok(_) => Ok(server.status(&server.app.published.snapshot())),
                Err(_) => Err(ApiError::timeout(
                    "not_durable_yet",
                    format!("no checkpoint has it within {} s", WAIT_MAX.as_secs()),
                )
                .hint("GET .../upgrade shows what is in force; the log says why no checkpoint was written")),
            }
        };
        tokio::spawn(change).await.map_err(failed)?
    }

    fn status(&self, snapshot: &Snapshot) -> UpgradeStatus {
        let sets = &snapshot.sets;
        let answering = sets.fields.iter().zip(&sets.answering);
        let answering = answering
            .filter(|(_, set)| !set.model.is_empty())
            .map(|(field, set)| (field.name.clone(), set.model.to_string()));
        UpgradeStatus {
            phase: phase(snapshot),
            answering: answering.collect(),
            second: sets.second.as_ref().map(|second| self.second(snapshot, second)),
            tick: snapshot.tick,
        }
    }

    fn second(&self, snapshot: &Snapshot, second: &SecondSet) -> SecondStatus {
        let progress = second.progress;
        let pending: usize = snapshot.leg(second.set.leg.into()).map(|leg| leg.pending).sum();
        let left = progress.texts_waiting + progress.documents_left;
        let seconds = progress.millis as f64 / 1e3;
        let rate = match seconds > 0.0 {
            true => progress.texts_embedded as f64 / seconds,
            false => 0.0,
        };
        let price = self.price(second);
        let cost = price.map(|price| price * progress.tokens as f64 / 1e6);
        let embedded = progress.texts_embedded as f64;
        SecondStatus {
            using: snapshot
                .sets
                .fields
                .get(usize::from(second.field))
                .map_or_else(String::new, |field| field.name.clone()),
            model: second.set.model.to_string(),
            documents: snapshot.documents(),
            documents_waiting: pending + progress.documents_left,
            documents_failed: failed_documents(snapshot, second),
            texts_done: progress.texts_done,
            texts_needed: progress.texts_done + left,
            texts_per_second: rate,
            seconds_left: match left {
                0 => Some(0.0),
                left => (rate > 0.0).then(|| left as f64 / rate),
            },
            cost,
            cost_left: cost
                .filter(|_| embedded > 0.0)
                .map(|cost| cost * left as f64 / embedded),
        }
    }

    /// Of a million tokens of the second set's model.
    fn price(&self, second: &SecondSet) -> Option<f64> {
        let definition = &self.app.definition;
        let settings = match &second.set.settings {
            Some(settings) => parse_embedder(settings, &definition.folder).ok()?,
            None => {
                let index = definition.index.as_ref()?;
                match &index.vectors.get(usize::from(second.field))?.source {
                    VectorSource::Embed { embedder, .. } => embedder.clone(),
                    VectorSource::Column(_) => return None,
                }
            }
        };
        settings.lane.price_per_million_tokens
    }
}

fn phase(snapshot: &Snapshot) -> UpgradePhase {
    let second = snapshot.sets.second.as_ref();
    match second.map(|second| (second.phase, second.progress.is_through)) {
        None => UpgradePhase::None,
        Some((Phase::Building, false)) => UpgradePhase::Building,
        Some((Phase::Building, true)) => UpgradePhase::Refused,
        Some((Phase::Complete, _)) => UpgradePhase::Complete,
        Some((Phase::Former, _)) => UpgradePhase::Switched,
    }
}

fn read<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request("bad_request", format!("the body cannot be read: {error}")).hint(example)
    })
}

fn failed(error: tokio::task::JoinError) -> ApiError {
    tracing::error!(%error, "a change of models failed");
    ApiError::internal("the node failed to answer; its log says more")
}

fn no_second() -> ApiError {
    ApiError::conflict("no_upgrade", "the index has no second set of vectors")
        .hint("POST /v1/indexes/INDEX/upgrade, or `millpond model upgrade INDEX --model NAME`, begins one")
}

fn failed_documents(snapshot: &Snapshot, second: &SecondSet) -> usize {
    snapshot.leg(second.set.leg.into()).map(|leg| leg.failed).sum()
}

/// There is nothing to wait for, and the set lacks more than the one that answers.
fn refused(snapshot: &Snapshot, second: &SecondSet) -> ApiError {
    let message = format!(
        "{} has refused the texts of {} documents: they would not be found by their vectors",
        second.set.model,
        failed_documents(snapshot, second)
    );
    ApiError::conflict("documents_failed", message).hint(
        "dead letters say why; `drop` ends the upgrade; `force`, or `switch --force`, switches nevertheless",
    )
}

fn not_complete(second: &SecondSet) -> ApiError {
    let progress = second.progress;
    let (waiting, left) = (progress.texts_waiting, progress.documents_left);
    let message = format!(
        "the vectors of {} are not complete: {} texts are done, {waiting} wait, {left} documents were not looked at yet",
        second.set.model, progress.texts_done
    );
    ApiError::conflict("not_complete", message)
        .hint("GET /v1/indexes/INDEX/upgrade says how long it will take")
}

impl From<UpgradeError> for ApiError {
    fn from(error: UpgradeError) -> ApiError {
        let message = error.to_string();
        match error {
            UpgradeError::Running => ApiError::conflict("upgrade_running", message)
                .hint("`drop` ends an upgrade, or lets go of the vectors before a switch"),
            UpgradeError::Busy => ApiError::conflict("upgrade_busy", message).hint("try again in a second"),
            UpgradeError::NoVectors => ApiError::bad_request("no_vectors", message)
                .hint("an index has vectors by `embed` in the dataflow file"),
            UpgradeError::ReadyMade => ApiError::bad_request("ready_made", message)
                .hint("an upgrade is for vectors that the node embeds: `using` names them"),
            UpgradeError::Together => ApiError::conflict("together", message).hint(
                "start the node with `freshness = \"split\"` for the time of the upgrade, or with the new model and --rebuild",
            ),
            UpgradeError::Settings(_) => ApiError::bad_request("bad_embedder", message)
                .hint("`embedder` has the lines that [embedder] would have in a dataflow file"),
            UpgradeError::Host(_) | UpgradeError::Key { .. } => ApiError::forbidden("model_not_allowed", message).hint(
                "texts and keys go to services alone that the dataflow file names, or `millpond serve --model-hosts https://HOST=KEY_ENV`",
            ),
            UpgradeError::Model(_) => ApiError::bad_request("model_not_opened", message)
                .hint("nothing was begun: the vectors that answer are as they were"),
            UpgradeError::SameModel(_) => {
                ApiError::conflict("same_model", message).hint("name another model")
            }
        }
    }
}
