//! Which of the two sets of vectors answers: switch, go back, drop.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::{no_second, not_complete, refused};
use super::status::phase;
use super::{UpgradePhase, UpgradeStatus};
use crate::index::{Phase, SecondSet};
use crate::server::Server;
use crate::server::body::from_json;
use crate::server::error::{ApiError, ErrorBody};

/// How to switch. The body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewSwitch {
    /// Also to a set that lacks documents which the answering one has, since its model refused their texts.
    force: bool,
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
        body => from_json(body, r#"such as {"force": true}, or nothing"#)?,
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
