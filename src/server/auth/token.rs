//! Tokens (JWT): checked by one key and one algorithm, those of the settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Map, Value};

use super::{Identity, tenants};
use crate::definition::parse_filter;
use crate::definition::server::{Claim, JwtKey, JwtSettings, Scope, Scopes};
use crate::query::{Caller, Tenants};
use crate::server::budget::Meters;
use crate::server::error::ApiError;

/// How far the clocks of who signs and who checks may be apart.
const LEEWAY_S: u64 = 30;

/// A secret has as many bits as the hash (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// A filter that a token carries in each request.
const FILTER_BYTES_MAX: usize = 16 << 10;

/// Why tokens cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    #[error("[server.jwt] needs the environment variable {0}, which is not set")]
    NoSecret(String),
    #[error("the secret in {0} has fewer than {SECRET_BYTES_MIN} bytes")]
    ShortSecret(String),
    #[error("read {path}, the public key of [server.jwt]")]
    Unread { path: PathBuf, source: std::io::Error },
    #[error("{path} is no PEM file with a public key for the algorithm of [server.jwt]")]
    NoKey {
        path: PathBuf,
        source: jsonwebtoken::errors::Error,
    },
}

pub(super) struct Tokens {
    settings: JwtSettings,
    key: DecodingKey,
    validation: Validation,
    meters: Meters,
}

impl Tokens {
    pub fn new(settings: &JwtSettings) -> Result<Tokens, JwtError> {
        let (algorithm, key) = match &settings.key {
            JwtKey::Hs256(variable) => (Algorithm::HS256, secret(variable)?),
            JwtKey::Rs256(path) => (Algorithm::RS256, public(path, DecodingKey::from_rsa_pem)?),
            JwtKey::Es256(path) => (Algorithm::ES256, public(path, DecodingKey::from_ec_pem)?),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.required_spec_claims.insert("exp".to_owned());
        if let Some(issuer) = &settings.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        match &settings.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        Ok(Tokens {
            key,
            validation,
            meters: Meters::new(settings.budget),
            settings: settings.clone(),
        })
    }

    /// Who sends the token.
    ///
    /// # Errors
    /// 401 where it is not valid, or says what cannot be.
    pub fn check(&self, token: &str) -> Result<Identity, ApiError> {
        let claims = decode::<Map<String, Value>>(token, &self.key, &self.validation)
            .map_err(|error| refused(error.kind()))?
            .claims;
        let scopes = match &self.settings.scope {
            None => [Scope::Search].into_iter().collect(),
            Some(claim) => scopes(claims.get(claim)),
        };
        let tenant = text(&claims, self.settings.tenant.as_ref(), is_integer)?;
        let filter = match text(&claims, self.settings.filter.as_ref(), |_| false)? {
            None => None,
            Some(text) if text.len() > FILTER_BYTES_MAX => return Err(invalid("its filter is too long")),
            Some(text) => Some(Arc::new(
                parse_filter(&text).map_err(|_| invalid("its filter is no SQL expression"))?,
            )),
        };
        // Pushes and dead letters are of all documents: who sees some of them may search, and no more.
        let scopes = match tenant.is_some() || filter.is_some() {
            true => [Scope::Search]
                .into_iter()
                .filter(|scope| scopes.has(*scope))
                .collect(),
            false => scopes,
        };
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or("a token");
        let tenants = tenants(tenant, scopes);
        let meter = self.meters.of(&budgeted(subject, &tenants));
        // Subjects are as many as the issuer likes: those of a tenant share what there is for one.
        let sharer: Arc<str> = match &tenants {
            Tenants::One(tenant) => format!("tenant {tenant}").into(),
            Tenants::None | Tenants::All => format!("subject {subject}").into(),
        };
        let spent = meter.as_ref().map(|meter| meter.spent()).unwrap_or_default();
        Ok(Identity {
            name: subject.chars().take(100).collect::<String>().into(),
            scopes,
            caller: Caller {
                sharer,
                tenants,
                filter,
                spent,
            },
            meter,
        })
    }
}

/// The text of a claim, where the settings name one. A value that is no text and `counts` is taken by its digits.
///
/// # Errors
/// 401 where it is no text, or missing and not optional: a token that restricts nothing must say so in the settings.
fn text(
    claims: &Map<String, Value>,
    claim: Option<&Claim>,
    counts: impl Fn(&Value) -> bool,
) -> Result<Option<Arc<str>>, ApiError> {
    let Some(Claim { name, optional }) = claim else {
        return Ok(None);
    };
    match claims.get(name) {
        None | Some(Value::Null) if *optional => Ok(None),
        None | Some(Value::Null) => Err(lacks(name)),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.as_str().into())),
        Some(value) if counts(value) => Ok(Some(value.to_string().into())),
        Some(_) => Err(invalid(&format!("its claim {name} is no text"))),
    }
}

/// Tenants are often numbers.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

/// Whose budget a token draws on: subjects of different tenants are different people.
fn budgeted(subject: &str, tenants: &Tenants) -> String {
    match tenants {
        Tenants::One(tenant) => format!("{tenant}\n{subject}"),
        Tenants::None | Tenants::All => subject.to_owned(),
    }
}

/// `"search write"`, as OAuth has it, or a list. What is no scope of ours is one of somebody else's.
fn scopes(claim: Option<&Value>) -> Scopes {
    let words: Vec<&str> = match claim {
        Some(Value::String(words)) => words.split_whitespace().collect(),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let known = |word: &str| Scope::ALL.into_iter().find(|scope| scope.name() == word);
    words.into_iter().filter_map(known).collect()
}

fn secret(variable: &str) -> Result<DecodingKey, JwtError> {
    let secret = std::env::var(variable).map_err(|_| JwtError::NoSecret(variable.to_owned()))?;
    if secret.len() < SECRET_BYTES_MIN {
        return Err(JwtError::ShortSecret(variable.to_owned()));
    }
    Ok(DecodingKey::from_secret(secret.as_bytes()))
}

fn public(
    path: &Path,
    read: impl Fn(&[u8]) -> Result<DecodingKey, jsonwebtoken::errors::Error>,
) -> Result<DecodingKey, JwtError> {
    let pem = std::fs::read(path).map_err(|source| JwtError::Unread {
        path: path.to_owned(),
        source,
    })?;
    read(&pem).map_err(|source| JwtError::NoKey {
        path: path.to_owned(),
        source,
    })
}

/// What is wrong, in words that tell a holder what to do and a forger nothing of the key.
fn refused(kind: &ErrorKind) -> ApiError {
    match kind {
        ErrorKind::ExpiredSignature => invalid("it has expired"),
        ErrorKind::ImmatureSignature => invalid("it is not valid yet"),
        ErrorKind::InvalidIssuer => invalid("it has another issuer"),
        ErrorKind::InvalidAudience => invalid("it is for another audience"),
        ErrorKind::MissingRequiredClaim(claim) => lacks(claim),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => invalid("it has another algorithm"),
        _ => ApiError::unauthorized("the key or token is not known")
            .hint("send `Authorization: Bearer`, and a key or token that this node knows"),
    }
}

fn lacks(claim: &str) -> ApiError {
    invalid(&format!("it lacks the claim {claim}"))
}

fn invalid(why: &str) -> ApiError {
    ApiError::unauthorized(format!("the token is not valid: {why}"))
        .hint("get a new one from who has issued it")
}
