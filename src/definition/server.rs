//! `[server]`: who may ask the port, over what, and how much at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Expression;

/// The port's settings. Nothing here is a secret: of keys there are hashes, of other secrets the names of variables.
#[derive(Clone, Debug, Default)]
pub struct ServerSettings {
    /// Also off loopback nobody is asked for a key: something in front of the node does that.
    pub open: bool,
    pub keys: Vec<KeySettings>,
    pub jwt: Option<JwtSettings>,
    pub tls: Option<TlsSettings>,
    /// Web pages of these origins may ask; `*` stands for all.
    pub origins: Vec<String>,
    pub limits: Limits,
    pub audit: Option<AuditSettings>,
    /// Searches that take longer are logged.
    pub slow_query: Option<Duration>,
}

impl ServerSettings {
    /// Whether whoever asks must say who it is.
    pub fn asks_for_keys(&self) -> bool {
        !self.keys.is_empty() || self.jwt.is_some()
    }
}

/// What a key or token lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Searches, documents, and what an index holds.
    Search,
    /// Pushes.
    Write,
    /// All else: dead letters, snapshots, models, metrics.
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 3] = [Scope::Search, Scope::Write, Scope::Admin];

    /// The name in a dataflow file, in tokens and in errors.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Search => "search",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |all, scope| all | 1 << scope as u8))
    }
}

/// A key that requests may come with.
#[derive(Clone, Debug)]
pub struct KeySettings {
    pub name: String,
    /// SHA-256 of the key. A key has 256 random bits, so that a fast hash is as good as a slow one.
    pub hash: [u8; 32],
    pub scopes: Scopes,
    /// Its holder sees documents of this tenant only.
    pub tenant: Option<String>,
    /// Its holder sees documents only for which this is true.
    pub filter: Option<Arc<Expression>>,
    pub budget: Budget,
}

/// How much one holder may ask; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Requests a second, in the long run.
    pub rate: Option<f64>,
    /// Requests that may come at once after silence.
    pub burst: f64,
    /// Time of searches a second, in the long run; ten seconds' worth may come at once.
    pub cost_ms: Option<f64>,
}

/// How tokens are checked, and which of their claims count.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    pub key: JwtKey,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub tenant: Option<Claim>,
    pub filter: Option<Claim>,
    /// The name of the claim that has the scopes. Without one, a token is for searching.
    pub scope: Option<String>,
    /// Of each subject.
    pub budget: Budget,
}

/// A claim that restricts what a token's holder sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub name: String,
    /// Whether a token without it is taken, and not restricted by it. Else it is refused: who forgets a claim would see more.
    pub optional: bool,
}

/// What signatures are checked by. The algorithm is that of the settings, whatever a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKey {
    /// The name of the environment variable that has the secret.
    Hs256(String),
    /// A public key in a PEM file.
    Rs256(PathBuf),
    Es256(PathBuf),
}

/// PEM files; they are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What one request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub search_bytes: usize,
    pub push_bytes: usize,
    /// `offset + limit`.
    pub hits: usize,
    /// How often a filter may name fields.
    pub clauses: usize,
    /// How long a search takes that does not say.
    pub timeout: Duration,
    /// How long one may ask for.
    pub timeout_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // A query vector of 4,096 dimensions written with 17 digits each takes 100 KB; texts and filters are shorter.
            search_bytes: 2 << 20,
            // It is decoded as one batch, and a larger one would delay the tick.
            push_bytes: 64 << 20,
            hits: 10_000,
            // Far more than a person writes; a list of values names its field once.
            clauses: 1_024,
            timeout: Duration::from_secs(10),
            timeout_max: Duration::from_secs(60),
        }
    }
}

/// Where it is written down who has asked for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    pub path: PathBuf,
    /// Of one file; then it is renamed and another one begun.
    pub bytes: u64,
}
