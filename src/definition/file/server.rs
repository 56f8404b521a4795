//! `[server]` -> [`ServerSettings`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::written::{Entry, Section};
use super::{duration, size};
use crate::definition::fault::{listed, quoted};
use crate::definition::server::{
    AuditSettings, Budget, Claim, JwtKey, JwtSettings, KeySettings, Limits, Scope, Scopes, ServerSettings,
    TlsSettings,
};
use crate::definition::{Expression, Index, parse_filter};

/// Of one audit file, unless the file says otherwise.
const AUDIT_BYTES: u64 = 64 << 20;

/// `index` is absent where there is none, and where it is at fault.
pub(super) fn read(entry: &Entry<'_>, index: Option<&Index>, world: &World<'_>) -> Option<ServerSettings> {
    let mut section =
        entry.section("a section such as `[server.keys.NAME]`, `[server.tls]` or `[server.limits]`")?;
    let open = section.optional("open");
    let keys = section.optional("keys");
    let jwt = section.optional("jwt");
    let tls = section.optional("tls");
    let cors = section.optional("cors");
    let limits = section.optional("limits");
    let audit = section.optional("audit");
    let slow_query = section.optional("slow_query");
    section.finish();

    let open = open.map_or(Some(false), |entry| entry.boolean());
    let keys = keys.map_or(Some(Vec::new()), |entry| read_keys(&entry, index));
    let jwt = optional(jwt, |entry| read_jwt(entry, index, world));
    let tls = optional(tls, |entry| read_tls(entry, world));
    let origins = cors.map_or(Some(Vec::new()), |entry| read_cors(&entry));
    let limits = limits.map_or(Some(Limits::default()), |entry| read_limits(&entry));
    let audit = optional(audit, |entry| read_audit(entry, world));
    let slow_query = optional(slow_query, duration);
    if open == Some(true) && keys.as_ref().is_none_or(|keys| !keys.is_empty()) {
        entry.wrong(
            "`server.open` is true, and there are keys",
            "`open` is for a node that asks nobody for a key: leave it out",
        );
        return None;
    }
    Some(ServerSettings {
        open: open?,
        keys: keys?,
        jwt: jwt?,
        tls: tls?,
        origins: origins?,
        limits: limits?,
        audit: audit?,
        slow_query: slow_query?,
    })
}

/// What is left out is no fault; what is wrong is.
fn optional<T>(entry: Option<Entry<'_>>, read: impl Fn(&Entry<'_>) -> Option<T>) -> Option<Option<T>> {
    match entry {
        None => Some(None),
        Some(entry) => read(&entry).map(Some),
    }
}

fn read_keys(entry: &Entry<'_>, index: Option<&Index>) -> Option<Vec<KeySettings>> {
    let section = entry.section("a section `[server.keys.NAME]` for each key")?;
    let mut keys: Vec<KeySettings> = Vec::new();
    let mut complete = true;
    for entry in section.entries() {
        let Some(key) = read_key(&entry, index) else {
            complete = false;
            continue;
        };
        if let Some(other) = keys.iter().find(|other| other.hash == key.hash) {
            entry.wrong(
                format!("`{}` is the same key as {}", entry.path, quoted(&other.name)),
                "each name has a key of its own: `millpond key new NAME` makes one",
            );
            complete = false;
        }
        keys.push(key);
    }
    complete.then_some(keys)
}

fn read_key(entry: &Entry<'_>, index: Option<&Index>) -> Option<KeySettings> {
    const SCOPES: &str = "a list such as `[\"search\"]`, of `search`, `write` and `admin`";
    let mut section =
        entry.section("a section with `hash` and `scopes`, as `millpond key new NAME` prints it")?;
    let hash = section.required("hash", HASH).and_then(|entry| hash(&entry));
    let scopes = section
        .required("scopes", SCOPES)
        .and_then(|entry| scopes(&entry, SCOPES));
    let tenant = optional(section.optional("tenant"), |entry| {
        entry
            .text("the tenant whose documents the key sees")
            .map(str::to_owned)
    });
    let filter = optional(section.optional("filter"), |entry| filter(entry, index));
    let budget = budget(&mut section);
    section.finish();
    let key = KeySettings {
        name: entry.name.to_owned(),
        hash: hash?,
        scopes: scopes?,
        tenant: tenant?,
        filter: filter?,
        budget: budget?,
    };
    makes_sense(entry, &key, index).then_some(key)
}

/// Whether scopes and restrictions fit together.
fn makes_sense(entry: &Entry<'_>, key: &KeySettings, index: Option<&Index>) -> bool {
    let restricted = key.tenant.is_some() || key.filter.is_some();
    if restricted && (key.scopes.has(Scope::Write) || key.scopes.has(Scope::Admin)) {
        entry.wrong(
            format!("`{}` sees only some documents, and may do more than search", entry.path),
            "pushes and dead letters are of all documents: give them a key of their own, without `tenant` and `filter`",
        );
        return false;
    }
    let Some(index) = index else { return true };
    if index.tenant.is_none() && key.tenant.is_some() {
        entry.wrong(
            format!("`{}.tenant` is given, and the index has no tenants", entry.path),
            "name their field: `tenant = \"tenant_id\"` in `[index]`",
        );
        return false;
    }
    let sees_nothing = index.tenant.is_some() && key.tenant.is_none() && !key.scopes.has(Scope::Admin);
    if sees_nothing && key.scopes.has(Scope::Search) {
        entry.wrong(
            format!(
                "`{}` is of no tenant, so its searches would find nothing",
                entry.path
            ),
            "give it a `tenant`, or the scope `admin` to see all of them",
        );
        return false;
    }
    true
}

const HASH: &str = "`sha256:` and 64 hexadecimal digits, as `millpond key new NAME` prints it";

fn hash(entry: &Entry<'_>) -> Option<[u8; 32]> {
    let digits = entry.text(HASH)?.strip_prefix("sha256:");
    let hash = digits
        .filter(|digits| digits.len() == 64 && digits.is_ascii())
        .and_then(|digits| {
            let mut hash = [0; 32];
            for (place, byte) in hash.iter_mut().enumerate() {
                *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
            }
            digits
                .bytes()
                .all(|digit| digit.is_ascii_hexdigit())
                .then_some(hash)
        });
    if hash.is_none() {
        // It may be the key itself: it is not repeated.
        entry.wrong(
            format!("`{}` is no hash of a key", entry.path),
            format!("it must be {HASH}"),
        );
    }
    hash
}

fn scopes(entry: &Entry<'_>, expected: &str) -> Option<Scopes> {
    let choices = Scope::ALL.map(|scope| (scope.name(), scope));
    let read = |(entry, _): &(Entry<'_>, &str)| entry.choice("scope", &choices);
    let scopes: Vec<Option<Scope>> = entry.texts(expected)?.iter().map(read).collect();
    scopes.into_iter().collect()
}

fn filter(entry: &Entry<'_>, index: Option<&Index>) -> Option<Arc<Expression>> {
    let text = entry.text("a condition such as `\"category = 'shoes'\"`")?;
    let filter = match parse_filter(text) {
        Ok(filter) => filter,
        Err(fault) => {
            entry.wrong(
                format!("`{}`: {}", entry.path, fault.message),
                fault.hint.unwrap_or_default(),
            );
            return None;
        }
    };
    let mut complete = true;
    filter.visit_columns(&mut |name| {
        if let Some(index) = index.filter(|index| !index.fields.iter().any(|field| field.name == name)) {
            let names: Vec<&str> = index.fields.iter().map(|field| field.name.as_str()).collect();
            entry.wrong(
                format!("{} in `{}` is not a field of the index", quoted(name), entry.path),
                format!("the fields are: {}", listed(&names)),
            );
            complete = false;
        }
    });
    complete.then(|| Arc::new(filter))
}

fn budget(section: &mut Section<'_>) -> Option<Budget> {
    let positive = |number: f64| number > 0.0 && number <= 1e6;
    let expected = "more than 0, at most 1000000";
    let rate = optional(section.optional("rate"), |entry| entry.number(positive, expected));
    let burst = optional(section.optional("burst"), |entry| {
        entry.number(|number| (1.0..=1e6).contains(&number), "1 to 1000000")
    });
    let cost = optional(section.optional("cost"), |entry| entry.number(positive, expected));
    let (rate, burst) = (rate?, burst?);
    Some(Budget {
        rate,
        // What comes in two seconds; a person's few clicks in any case.
        burst: burst.unwrap_or(rate.map_or(0.0, |rate| (2.0 * rate).max(5.0))),
        cost_ms: cost?,
    })
}

fn read_jwt(entry: &Entry<'_>, index: Option<&Index>, world: &World<'_>) -> Option<JwtSettings> {
    let mut section = entry.section("a section with `algorithm` and its key")?;
    let algorithm = section
        .required("algorithm", "`HS256`, `RS256` or `ES256`")
        .and_then(|entry| {
            entry.choice(
                "algorithm",
                &[("HS256", "HS256"), ("RS256", "RS256"), ("ES256", "ES256")],
            )
        });
    let key = match algorithm {
        None => {
            // Either may stand here.
            section.optional("secret_env");
            section.optional("public_key");
            None
        }
        Some("HS256") => section
            .required(
                "secret_env",
                "the name of the environment variable that has the secret",
            )
            .and_then(|entry| entry.text("the name of an environment variable"))
            .map(|name| JwtKey::Hs256(name.to_owned())),
        Some(algorithm) => section
            .required("public_key", "a PEM file with the public key of who signs tokens")
            .and_then(|entry| path(&entry, "a PEM file", world))
            .map(|path| match algorithm {
                "RS256" => JwtKey::Rs256(path),
                _ => JwtKey::Es256(path),
            }),
    };
    let mut text = |name, expected: &'static str| {
        optional(section.optional(name), |entry| {
            entry.text(expected).map(str::to_owned)
        })
    };
    let issuer = text("issuer", "what `iss` of a token must be");
    let audience = text("audience", "what `aud` of a token must have");
    let scope = text("scope", "the name of the claim that has the scopes");
    let tenant = optional(section.optional("tenant"), claim);
    let filter = optional(section.optional("filter"), claim);
    let budget = budget(&mut section);
    section.finish();
    let jwt = JwtSettings {
        key: key?,
        issuer: issuer?,
        audience: audience?,
        tenant: tenant?,
        filter: filter?,
        scope: scope?,
        budget: budget?,
    };
    match (index.map(|index| index.tenant.is_some()), &jwt.tenant) {
        (Some(false), Some(_)) => entry.wrong(
            format!("`{}.tenant` is given, and the index has no tenants", entry.path),
            "name their field: `tenant = \"tenant_id\"` in `[index]`",
        ),
        (Some(true), None) => entry.wrong(
            format!(
                "`{}` names no claim for the tenant, and the index has tenants",
                entry.path
            ),
            "such as `tenant = \"tenant_id\"`",
        ),
        _ => return Some(jwt),
    }
    None
}

/// A claim that restricts, by its name alone where every token must have it.
fn claim(entry: &Entry<'_>) -> Option<Claim> {
    const EXPECTED: &str =
        "the name of a claim, or `{ claim = \"NAME\", optional = true }` where tokens may be without it";
    if entry.is_text() {
        return Some(Claim {
            name: entry.text(EXPECTED)?.to_owned(),
            optional: false,
        });
    }
    let mut section = entry.section(EXPECTED)?;
    let name = section
        .required("claim", "the name of a claim")
        .and_then(|entry| entry.text("the name of a claim").map(str::to_owned));
    let is_optional = section.optional("optional");
    section.finish();
    let is_optional = is_optional.map_or(Some(false), |entry| entry.boolean());
    Some(Claim {
        name: name?,
        optional: is_optional?,
    })
}

fn read_tls(entry: &Entry<'_>, world: &World<'_>) -> Option<TlsSettings> {
    let mut section = entry.section("a section with `cert` and `key`, two PEM files")?;
    let cert = section
        .required(
            "cert",
            "a PEM file with the certificate, then those between it and the root",
        )
        .and_then(|entry| path(&entry, "a PEM file", world));
    let key = section
        .required("key", "a PEM file with the certificate's private key")
        .and_then(|entry| path(&entry, "a PEM file", world));
    section.finish();
    Some(TlsSettings {
        cert: cert?,
        key: key?,
    })
}

fn path(entry: &Entry<'_>, expected: &str, world: &World<'_>) -> Option<PathBuf> {
    Some(world.base.join(entry.text(expected)?))
}

fn read_cors(entry: &Entry<'_>) -> Option<Vec<String>> {
    const ORIGINS: &str = "a list such as `[\"https://shop.example\"]`, or `\"*\"`";
    let mut section = entry.section("a section with `origins`")?;
    let origins = section
        .required("origins", ORIGINS)
        .and_then(|entry| entry.texts(ORIGINS));
    section.finish();
    let mut complete = true;
    let origins: Vec<String> = origins?
        .into_iter()
        .map(|(entry, origin)| {
            if !is_origin(origin) {
                entry.wrong(
                    format!("{} is no origin", quoted(origin)),
                    "a scheme and a host, with a port if it has one, and no path: `https://shop.example`",
                );
                complete = false;
            }
            origin.to_owned()
        })
        .collect();
    complete.then_some(origins)
}

fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte);
    text == "*" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(plain))
}

fn read_limits(entry: &Entry<'_>) -> Option<Limits> {
    let default = Limits::default();
    let mut section = entry.section("a section with `hits`, `clauses`, `timeout` and others")?;
    let search_bytes = optional(section.optional("search_body"), |entry| bytes(entry, 64 << 20));
    let push_bytes = optional(section.optional("push_body"), |entry| bytes(entry, 64 << 20));
    let hits = optional(section.optional("hits"), |entry| {
        entry.integer(1..10_001, "1 to 10000")
    });
    let clauses = optional(section.optional("clauses"), |entry| {
        entry.integer(1..16_385, "1 to 16384")
    });
    let timeout = optional(section.optional("timeout"), duration);
    let timeout_max = optional(section.optional("timeout_max"), duration);
    section.finish();
    let (timeout, timeout_max): (Option<Duration>, Option<Duration>) = (timeout?, timeout_max?);
    let timeout_max = timeout_max.unwrap_or(default.timeout_max);
    Some(Limits {
        search_bytes: search_bytes?.unwrap_or(default.search_bytes),
        push_bytes: push_bytes?.unwrap_or(default.push_bytes),
        hits: hits?.map_or(default.hits, |hits| hits as usize),
        clauses: clauses?.map_or(default.clauses, |clauses| clauses as usize),
        timeout: timeout.unwrap_or(default.timeout).min(timeout_max),
        timeout_max,
    })
}

/// A size of a request's body: memory for bodies is bounded, so there is a largest one.
fn bytes(entry: &Entry<'_>, bytes_max: u64) -> Option<usize> {
    let bytes = size(entry)?;
    if bytes > bytes_max {
        entry.wrong(format!("`{}` is out of range", entry.path), "at most 64MiB");
        return None;
    }
    Some(bytes as usize)
}

fn read_audit(entry: &Entry<'_>, world: &World<'_>) -> Option<AuditSettings> {
    let expected = "a file such as `\"audit.ndjson\"`, or `{ path = \"audit.ndjson\", size = \"64MiB\" }`";
    if entry.is_text() {
        return Some(AuditSettings {
            path: path(entry, expected, world)?,
            bytes: AUDIT_BYTES,
        });
    }
    let mut section = entry.section(expected)?;
    let path = section
        .required("path", "a file such as `\"audit.ndjson\"`")
        .and_then(|entry| path(&entry, "a file", world));
    let bytes = optional(section.optional("size"), size);
    section.finish();
    Some(AuditSettings {
        path: path?,
        bytes: bytes?.unwrap_or(AUDIT_BYTES),
    })
}
