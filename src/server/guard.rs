//! The way in: every request passes here before its handler, and is told apart, let in, and written down.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::audit::Audit;
use super::auth::{Auth, Identity, JwtError, scope_of};
use super::pages::Pages;
use crate::definition::{Definition, ServerSettings};

/// Why the port is not opened.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "{0} can be reached by others, and the dataflow file asks nobody for a key: add a key (`millpond key new NAME`) or \
         [server.jwt], or listen on 127.0.0.1, or say `open = true` in [server] if something in front of the node asks"
    )]
    NoKeys(SocketAddr),
    #[error(
        "the documents of the index belong to tenants, and nobody could say whose they ask for: add a key \
         (`millpond key new NAME --tenant TENANT`) or [server.jwt]"
    )]
    NoTenants,
    #[error(transparent)]
    Jwt(#[from] JwtError),
    #[error("open the audit log {path}")]
    Audit { path: String, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] super::tls::TlsError),
}

/// Whether a node of this definition may listen there. It is asked before anything else is begun.
///
/// # Errors
/// Others could ask without a key, or nobody could ask at all.
pub fn may_listen(definition: &Definition, address: SocketAddr) -> Result<(), Refused> {
    let settings = &definition.server;
    let has_tenants = definition
        .index
        .as_ref()
        .is_some_and(|index| index.tenant.is_some());
    match settings.asks_for_keys() {
        true => Ok(()),
        false if has_tenants => Err(Refused::NoTenants),
        false if settings.open || is_loopback(address) => Ok(()),
        false => Err(Refused::NoKeys(address)),
    }
}

/// Says in the log who can ask.
pub fn announce(settings: &ServerSettings, address: SocketAddr) {
    match (settings.asks_for_keys(), is_loopback(address)) {
        (false, true) => tracing::info!(%address, "there are no keys: only this machine can ask"),
        (false, false) => tracing::warn!(%address, "open = true: whoever reaches the port may do everything"),
        (true, false) if settings.tls.is_none() => {
            tracing::warn!(%address, "without [server.tls], keys and answers can be read on the network");
        }
        (true, _) => {}
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// What every request passes.
pub struct Guard {
    auth: Auth,
    audit: Option<Audit>,
    pages: Pages,
}

impl Guard {
    /// # Errors
    /// What tokens are checked by cannot be read, or the audit log not be written.
    pub fn new(definition: &Definition) -> Result<Guard, Refused> {
        let audit = definition.server.audit.as_ref().map(|settings| {
            Audit::open(settings).map_err(|source| Refused::Audit {
                path: settings.path.display().to_string(),
                source,
            })
        });
        Ok(Guard {
            auth: Auth::new(definition)?,
            audit: audit.transpose()?,
            pages: Pages::new(&definition.server),
        })
    }
}

/// Identifies who asks, and lets the request go on if they may.
pub async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let Some(scope) = scope_of(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    let mut entry = match &guard.audit {
        Some(audit) => Some(audit.begin(request.method(), request.uri()).await),
        None => None,
    };
    let admitted = guard
        .auth
        .identify(request.headers())
        .and_then(|identity: Identity| {
            if let Some(entry) = &mut entry {
                entry.is_of(&identity.name);
            }
            guard.pages.check(request.headers())?;
            identity.needs(scope)?;
            identity.pays()?;
            Ok(identity)
        });
    let response = match admitted {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Some(entry) = &mut entry {
        entry.answered(response.status());
    }
    response
}

/// The port's errors are those of its listener.
impl From<Refused> for std::io::Error {
    fn from(refused: Refused) -> std::io::Error {
        std::io::Error::other(refused)
    }
}
