//! The one file that makes a checkpoint: it names all parts of one tick.
//!
//! Its first line is `millpond checkpoint`, the format's version and a checksum of the version and all that follows, in
//! every version; the rest is JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::layers::Layers;
use super::shape::Shape;
use crate::change::{PartitionId, Tick, Version};
use crate::index::stored::StoredShard;
use crate::storage::{Damaged, Part, Storage};

/// The version of everything in a data directory.
pub const FORMAT: u32 = 1;

const TITLE: &str = "millpond checkpoint";
const PREFIX: &str = "manifest-";

/// What is stored as of one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub tick: Tick,
    pub positions: BTreeMap<String, u64>,
    pub partitions: BTreeMap<String, PartitionId>,
    pub shape: Shape,
    pub tables: BTreeMap<String, StoredTable>,
    pub texts: Layers,
    pub shards: Vec<StoredShard>,
    /// Larger than the number of any part before it.
    pub next_part: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredTable {
    pub truncated: Option<Version>,
    pub rows: Layers,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("{path} has format {found}")]
    Newer { path: String, found: u32 },
}

impl Manifest {
    /// All parts that it needs.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let rows = self.tables.values().flat_map(|table| table.rows.parts());
        let shards = self.shards.iter().flat_map(StoredShard::parts);
        rows.chain(self.texts.parts()).chain(shards)
    }

    /// Writes it aside and renames it into place. After an error it may be in place or not.
    pub fn write(&self, storage: &dyn Storage, number: u64) -> io::Result<()> {
        let body = serde_json::to_vec(self)?;
        let aside = format!("{}.new", path(number));
        let mut file = storage.create(&aside)?;
        let head = format!("{TITLE} {FORMAT} {:016x}\n", checksum(FORMAT, &body));
        file.write_all(head.as_bytes())?;
        file.write_all(&body)?;
        file.sync()?;
        drop(file);
        storage.rename(&aside, &path(number))?;
        storage.sync_folder("")
    }

    pub fn read(storage: &dyn Storage, path: &str) -> Result<Manifest, ManifestError> {
        let damaged = |reason: String| Damaged {
            path: path.to_owned(),
            reason,
        };
        let bytes = storage.read(path).map_err(|error| damaged(error.to_string()))?;
        let (version, body) = parse(&bytes).ok_or_else(|| damaged("its checksum is wrong".into()))?;
        if version != FORMAT {
            return Err(ManifestError::Newer {
                path: path.to_owned(),
                found: version,
            });
        }
        Ok(serde_json::from_slice(body).map_err(|error| damaged(error.to_string()))?)
    }
}

/// The version and the JSON, if the checksum is right.
fn parse(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let (version, sum) = head.strip_prefix(TITLE)?.trim_start().split_once(' ')?;
    let (version, body) = (version.parse().ok()?, &bytes[end + 1..]);
    (u64::from_str_radix(sum, 16).ok()? == checksum(version, body)).then_some((version, body))
}

fn checksum(version: u32, body: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&version.to_le_bytes());
    hash.update(body);
    hash.digest()
}

pub(super) fn path(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

/// Everything that is or was to be a manifest, with its number; those that are in place, the newest first, then the others.
pub(super) struct Found {
    pub manifests: Vec<(u64, String)>,
    pub aside: Vec<String>,
}

impl Found {
    pub fn list(storage: &dyn Storage) -> io::Result<Found> {
        let mut found = Found {
            manifests: Vec::new(),
            aside: Vec::new(),
        };
        for name in storage.list("")? {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            match rest.parse() {
                Ok(number) => found.manifests.push((number, name)),
                Err(_) if rest.ends_with(".new") => found.aside.push(name),
                Err(_) => {}
            }
        }
        found.manifests.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }
}
