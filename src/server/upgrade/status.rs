//! Which models answer, and how far the second set of vectors is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::Tick;
use crate::definition::{VectorSource, parse_embedder};
use crate::index::{Phase, SecondSet, Snapshot};
use crate::server::Server;
use crate::server::error::{ApiError, ErrorBody};

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
    Ok(Json(server.upgrade_status(&server.app.published.snapshot())))
}

impl Server {
    pub(super) fn upgrade_status(&self, snapshot: &Snapshot) -> UpgradeStatus {
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

pub(super) fn phase(snapshot: &Snapshot) -> UpgradePhase {
    let second = snapshot.sets.second.as_ref();
    match second.map(|second| (second.phase, second.progress.is_through)) {
        None => UpgradePhase::None,
        Some((Phase::Building, false)) => UpgradePhase::Building,
        Some((Phase::Building, true)) => UpgradePhase::Refused,
        Some((Phase::Complete, _)) => UpgradePhase::Complete,
        Some((Phase::Former, _)) => UpgradePhase::Switched,
    }
}

pub(super) fn failed_documents(snapshot: &Snapshot, second: &SecondSet) -> usize {
    snapshot.leg(second.set.leg.into()).map(|leg| leg.failed).sum()
}
