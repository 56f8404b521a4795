//! Why models are not changed as asked.

use super::status::failed_documents;
use crate::index::{SecondSet, Snapshot};
use crate::server::error::ApiError;

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

pub fn no_second() -> ApiError {
    ApiError::conflict("no_upgrade", "the index has no second set of vectors")
        .hint("POST /v1/indexes/INDEX/upgrade, or `millpond model upgrade INDEX --model NAME`, begins one")
}

/// There is nothing to wait for, and the set lacks more than the one that answers.
pub fn refused(snapshot: &Snapshot, second: &SecondSet) -> ApiError {
    let message = format!(
        "{} has refused the texts of {} documents: they would not be found by their vectors",
        second.set.model,
        failed_documents(snapshot, second)
    );
    ApiError::conflict("documents_failed", message).hint(
        "dead letters say why; `drop` ends the upgrade; `force`, or `switch --force`, switches nevertheless",
    )
}

pub fn not_complete(second: &SecondSet) -> ApiError {
    let progress = second.progress;
    let (waiting, left) = (progress.texts_waiting, progress.documents_left);
    let message = format!(
        "the vectors of {} are not complete: {} texts are done, {waiting} wait, {left} documents were not looked at yet",
        second.set.model, progress.texts_done
    );
    ApiError::conflict("not_complete", message)
        .hint("GET /v1/indexes/INDEX/upgrade says how long it will take")
}
