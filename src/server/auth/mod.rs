//! Who asks, and whether they may: keys, tokens, scopes, budgets.
//!
//! Without keys and tokens in the dataflow file everybody may do everything, so a node without them listens on loopback only. A
//! path that no rule names needs the scope `admin`: a new route is closed until somebody opens it.

mod keys;
mod scope;
mod token;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::budget::Meter;
use super::error::ApiError;
use crate::definition::Definition;
use crate::definition::server::{Scope, Scopes};
use crate::query::{Caller, Tenants};
use keys::Keys;
pub use keys::{NewKey, new_key};
pub use scope::scope_of;
pub use token::JwtError;
use token::Tokens;

/// What is checked of each request.
pub struct Auth {
    keys: Keys,
    tokens: Option<Tokens>,
    /// Whether nobody is asked who they are.
    open: bool,
}

/// Who asks. Handlers take it as an argument.
#[derive(Clone)]
pub struct Identity {
    /// The name of the key or the subject of the token, for the audit log.
    pub name: Arc<str>,
    scopes: Scopes,
    pub caller: Caller,
    meter: Option<Arc<Meter>>,
}

impl Auth {
    /// # Errors
    /// What tokens are checked by cannot be read.
    pub fn new(definition: &Definition) -> Result<Auth, JwtError> {
        let settings = &definition.server;
        Ok(Auth {
            keys: Keys::new(&settings.keys),
            tokens: settings.jwt.as_ref().map(Tokens::new).transpose()?,
            open: !settings.asks_for_keys(),
        })
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// 401 where it does not say so, or not truly.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        if self.open {
            return Ok(Identity::anybody());
        }
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else {
            return Err(ApiError::unauthorized("the request says nothing of who asks").hint(HINT));
        };
        let credentials = value.to_str().ok().and_then(|value| value.trim().split_once(' '));
        let (is_bearer, secret) = match credentials {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => (true, secret.trim()),
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("apikey") => (false, secret.trim()),
            _ => return Err(ApiError::unauthorized("the Authorization header cannot be read").hint(HINT)),
        };
        if let Some(identity) = self.keys.find(secret) {
            return Ok(identity);
        }
        match &self.tokens {
            Some(tokens) if is_bearer => tokens.check(secret),
            _ => Err(ApiError::unauthorized("the key is not known").hint(HINT)),
        }
    }
}

const HINT: &str = "send `Authorization: Bearer KEY`, with a key that this node knows";

impl Identity {
    /// Where nobody is asked. Of an index with tenants even this one sees nothing.
    fn anybody() -> Identity {
        Identity {
            name: "anybody".into(),
            scopes: Scope::ALL.into_iter().collect(),
            caller: Caller::default(),
            meter: None,
        }
    }

    /// # Errors
    /// 403, which names the scope that is missing.
    pub fn needs(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.has(scope) {
            return Ok(());
        }
        let (name, scope) = (&self.name, scope.name());
        Err(
            ApiError::forbidden("missing_scope", format!("{name} has no scope `{scope}`"))
                .hint(format!("ask with a key or token that has `{scope}`")),
        )
    }

    /// # Errors
    /// 429, where the budget of requests or of search time is used up.
    pub fn pays(&self) -> Result<(), ApiError> {
        let Some(meter) = &self.meter else { return Ok(()) };
        meter
            .take()
            .map_err(|exceeded| ApiError::exceeded(exceeded.what, exceeded.wait))
    }

    /// Counts the searches or documents that a request holds, the first of which it was let in for.
    pub fn pays_for(&self, parts: usize) {
        if let Some(meter) = &self.meter {
            meter.take_more(parts.saturating_sub(1));
        }
    }
}

/// Whose documents somebody sees who is of this tenant, if of any. All tenants' are for who administers the node.
fn tenants(tenant: Option<Arc<str>>, scopes: Scopes) -> Tenants {
    match tenant {
        Some(tenant) => Tenants::One(tenant),
        None if scopes.has(Scope::Admin) => Tenants::All,
        None => Tenants::None,
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Identity, ApiError> {
        let identity = parts.extensions.get::<Identity>().cloned();
        identity.ok_or_else(|| ApiError::internal("the request was let in without a check"))
    }
}
