//! The query port: HTTP in, HTTP out. The only folder that names axum.
//!
//! Searches and pushes compute, so they run on blocking threads, a bounded number at once (`lane`); bodies,
//! connections and waits are bounded too. Every error has one shape (`error`), and a panic is one of them. Every
//! request passes the `guard`, which knows who asks and whether they may.

mod error;
mod auth;
mod budget;
mod audit;
mod guard;
mod pages;
mod tls;
mod connection;
mod body;
mod lane;
mod search;
mod slow;
mod msearch;
mod suggest;
mod key;
mod changes;
mod dead_letters;
mod health;
mod rebuild;
mod snapshots;
mod upgrade;
mod mcp;
mod openapi;
mod console;
mod opensearch;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use auth::{JwtError, NewKey, new_key};
pub use dead_letters::{Done, LetterHead, LetterList};
pub use error::{ErrorBody, ErrorDetail};
pub use guard::{Refused, may_listen};
pub use health::{Readiness, ReadyState, SourceHealth};
pub use rebuild::{Before, Rebuilding};
pub use snapshots::SnapshotList;
pub use tls::TlsError;
pub use upgrade::{SecondStatus, UpgradeError, UpgradePhase, UpgradeStatus, Upgrades};

use crate::checkpoint::Durable;
use crate::checkpoint::snapshots::Snapshots;
use crate::definition::Definition;
use crate::index::Published;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::query::Searcher;
use crate::source::Status;
use crate::source::http::PushTable;
use body::Bodies;
use connection::Connections;
use error::ApiError;
use guard::Guard;
use lane::Lane;
use tls::Tls;

/// What the port needs of the node.
pub struct App {
    pub definition: Arc<Definition>,
    /// `None` where the definition has no index.
    pub searcher: Option<Searcher>,
    pub published: Arc<Published>,
    /// The tables that take pushes, by name; set when they do.
    pub pushes: OnceLock<BTreeMap<String, Arc<PushTable>>>,
    /// How each source is doing, with the name of its table.
    pub sources: Vec<(String, Status)>,
    pub metrics: Metrics,
    /// Set when recovery is complete and queries are served.
    pub ready: Arc<AtomicBool>,
    /// Set when the sources were first seen to have nothing waiting.
    pub caught_up: AtomicBool,
    /// Where dead letters are kept and go in again.
    pub intake: Arc<Intake>,
    /// How far everything survives a crash.
    pub durable: Arc<Durable>,
    pub snapshots: Snapshots,
    /// Changes models while the node runs; set when it does.
    pub upgrades: OnceLock<Box<dyn Upgrades>>,
    /// The index that answers until the one of `searcher` is complete; `None` where that one does from the start.
    pub before: ArcSwapOption<Before>,
}

impl App {
    /// The table of this name, if it takes pushes, and does so by now.
    pub fn push_table(&self, name: &str) -> Option<&Arc<PushTable>> {
        self.pushes.get()?.get(name)
    }
}

/// Time that answers under way have after the stop. Connections still open then are left to the end of the runtime.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Answers requests until `stop` ends, and a few seconds longer those under way.
///
/// # Errors
/// [`Refused`], as the cause, where the settings do not allow the port to be opened.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let settings = &app.definition.server;
    may_listen(&app.definition, listener.local_addr()?)?;
    guard::announce(settings, listener.local_addr()?);
    let guard = Arc::new(Guard::new(&app.definition)?);
    let tls = settings
        .tls
        .as_ref()
        .map(Tls::open)
        .transpose()
        .map_err(Refused::from)?;
    let tls = tls.map(Arc::new);
    let (stopping, stopped) = oneshot::channel();
    let signal = async move {
        stop.await;
        let _ = stopping.send(());
    };
    let grace = async move {
        let _ = stopped.await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    let renewal = async {
        match tls.clone() {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    };
    let connections = Connections::new(listener, tls.clone());
    let serving = axum::serve(connections, router(app, guard)).with_graceful_shutdown(signal);
    tokio::select! {
        result = serving => result,
        () = grace => Ok(()),
        () = renewal => Ok(()),
    }
}

/// What all requests share.
struct Server {
    app: Arc<App>,
    searches: Lane,
    pushes: Lane,
    snapshots: Lane,
    /// Of the index, through the door of OpenSearch.
    in_flight: Arc<Mutex<opensearch::InFlight>>,
    /// One change of models at a time.
    upgrading: tokio::sync::Mutex<()>,
    bodies: Bodies,
}

fn router(app: Arc<App>, guard: Arc<Guard>) -> Router {
    let cors = pages::cors(&app.definition.server);
    let server = Server {
        app,
        searches: Lane::for_searches(),
        pushes: Lane::for_pushes(),
        snapshots: Lane::for_snapshots(),
        in_flight: Arc::default(),
        upgrading: tokio::sync::Mutex::default(),
        bodies: Bodies::default(),
    };
    Router::new()
        .route("/v1/indexes/{index}/search", post(search::search))
        .route("/v1/indexes/{index}/msearch", post(msearch::msearch))
        .route("/v1/indexes/{index}/suggest", post(suggest::suggest))
        .route("/v1/indexes/{index}/documents/{*key}", get(search::document))
        .route("/v1/indexes/{index}/stats", get(search::stats))
        .route(
            "/v1/indexes/{index}/upgrade",
            get(upgrade::status::status)
                .post(upgrade::begin::begin)
                .delete(upgrade::switch::drop_second),
        )
        .route(
            "/v1/indexes/{index}/upgrade/switch",
            post(upgrade::switch::switch),
        )
        .route(
            "/v1/indexes/{index}/upgrade/rollback",
            post(upgrade::switch::rollback),
        )
        .route(
            "/v1/indexes/{index}/upgrade/compare",
            post(upgrade::compare::compare),
        )
        .route("/v1/tables/{table}/changes", post(changes::push))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/replay", post(dead_letters::replay))
        .route("/v1/dead-letters/drop", post(dead_letters::drop_letters))
        .route("/v1/dead-letters/{*id}", get(dead_letters::show))
        .route("/v1/snapshots", get(snapshots::list).post(snapshots::create))
        .route("/v1/snapshots/restore", post(snapshots::restore))
        .route("/mcp", post(mcp::post))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .merge(opensearch::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(guard, guard::pass))
        // A browser asks before it sends a key.
        .layer(cors)
        .with_state(Arc::new(server))
}

async fn unknown_route(uri: Uri) -> Response {
    opensearch::unsupported(uri.path()).unwrap_or_else(|| {
        ApiError::not_found("unknown_route", format!("there is nothing at {}", uri.path()))
            .hint("/openapi.json lists what there is")
            .into_response()
    })
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    opensearch::wrong_method(&method, uri.path()).unwrap_or_else(|| {
        ApiError::wrong_method(format!("{} does not take {method}", uri.path()))
            .hint("/openapi.json lists the methods of each path")
            .into_response()
    })
}
