//! A second set of vectors is begun.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{UpgradeError, UpgradeStatus};
use crate::server::Server;
use crate::server::body::from_json;
use crate::server::error::{ApiError, ErrorBody};

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
    } = from_json(&body, example)?;
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

impl Server {
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
}
