//! A change of models: asked for, published, durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::{UpgradeStatus, Upgrades};
use crate::index::Snapshot;
use crate::server::Server;
use crate::server::error::ApiError;

/// How long a request waits until what it asks for is published and durable.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Server {
    /// What changes the models of an index, where it can be changed now.
    pub(super) fn upgrades(&self, index: &str) -> Result<&dyn Upgrades, ApiError> {
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

    /// Asks for a change, and waits until a snapshot shows it and a checkpoint has it. It goes on if the client goes away,
    /// so that the next one finds it done.
    pub(super) async fn change(
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
                Ok(_) => Ok(server.upgrade_status(&server.app.published.snapshot())),
                Err(_) => Err(ApiError::timeout(
                    "not_durable_yet",
                    format!("no checkpoint has it within {} s", WAIT_MAX.as_secs()),
                )
                .hint("GET .../upgrade shows what is in force; the log says why no checkpoint was written")),
            }
        };
        tokio::spawn(change).await.map_err(failed)?
    }
}

fn failed(error: tokio::task::JoinError) -> ApiError {
    tracing::error!(%error, "a change of models failed");
    ApiError::internal("the node failed to answer; its log says more")
}
