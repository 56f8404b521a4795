//! API keys: known by their hashes.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Identity, tenants};
use crate::definition::server::KeySettings;
use crate::query::Caller;
use crate::server::budget::Meter;

/// Says what a text is where it turns up: in logs, in repositories, in scanners for secrets.
const PREFIX: &str = "millpond_";

/// All keys that the node knows.
pub(super) struct Keys(Vec<([u8; 32], Identity)>);

impl Keys {
    pub fn new(settings: &[KeySettings]) -> Keys {
        let known = |key: &KeySettings| {
            let meter = Meter::of(&key.budget).map(Arc::new);
            let identity = Identity {
                name: key.name.as_str().into(),
                scopes: key.scopes,
                caller: Caller {
                    sharer: format!("key {}", key.name).into(),
                    tenants: tenants(key.tenant.as_deref().map(Arc::from), key.scopes),
                    filter: key.filter.clone(),
                    spent: meter.as_ref().map(|meter| meter.spent()).unwrap_or_default(),
                },
                meter,
            };
            (key.hash, identity)
        };
        Keys(settings.iter().map(known).collect())
    }

    /// Whose key it is. Takes the same time for each key, known or not: all hashes are compared, and all of each.
    pub fn find(&self, key: &str) -> Option<Identity> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut found = None;
        for (known, identity) in &self.0 {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(identity);
            }
        }
        found.cloned()
    }
}

/// A key that was just made.
pub struct NewKey {
    /// For its holder, and shown once.
    pub key: String,
    /// For the dataflow file.
    pub hash: String,
}

/// Makes a key of 256 random bits.
///
/// # Errors
/// The system has no random numbers.
pub fn new_key() -> Result<NewKey, getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let hash: String = Sha256::digest(key.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(NewKey {
        hash: format!("sha256:{hash}"),
        key,
    })
}
