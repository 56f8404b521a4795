//! The one file that makes a checkpoint: it names all parts of one tick.
//!
//! Its first line is `millpond checkpoint`, the format's version and a checksum of the version and all that follows, in
//! every version; the rest is JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::layers::Layers;
use super::sets::StoredSets;
use super::shape::Shape;
use crate::change::{PartitionId, Tick, Version};
use crate::definition::KeptFile;
use crate::index::stored::StoredShard;
use crate::storage::{Damaged, Part, Storage};

/// The version of everything in a data directory.
pub const FORMAT: u32 = 2;

const TITLE: &str = "millpond checkpoint";
const PREFIX: &str = "manifest-";
const ASIDE: &str = ".new";

/// What is stored as of one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub tick: Tick,
    pub positions: BTreeMap<String, u64>,
    pub partitions: BTreeMap<String, PartitionId>,
    pub shape: Shape,
    /// Absent in manifests of versions that had no upgrades.
    #[serde(default)]
    pub sets: StoredSets,
    /// Absent in manifests of versions that did not keep it.
    #[serde(default)]
    pub file: Option<KeptFile>,
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
        put(
            storage,
            &path(number),
            &sealed(FORMAT, &serde_json::to_vec(self)?),
        )
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
        let manifest: Manifest = serde_json::from_slice(body).map_err(|error| damaged(error.to_string()))?;
        match manifest.is_sound() {
            true => Ok(manifest),
            false => Err(damaged("it has numbers or names that no node writes".into()).into()),
        }
    }

    /// Whether others can follow its numbers, and its parts lie in their folder: a checksum says nothing of who wrote it.
    fn is_sound(&self) -> bool {
        let numbers = [self.tick.0, self.next_part].into_iter();
        let mut layers = self.tables.values().map(|table| &table.rows).chain([&self.texts]);
        numbers.chain(self.positions.values().copied()).all(has_next)
            && self
                .partitions
                .values()
                .all(|PartitionId(number)| *number < u32::MAX)
            && layers.all(Layers::is_sound)
            && self.parts().all(Part::is_sound)
    }
}

/// Whether a number is one of those that are counted up to: half of them will do.
pub(super) fn has_next(number: u64) -> bool {
    number < u64::MAX / 2
}

/// Puts a manifest's bytes into place, at once.
pub(super) fn put(storage: &dyn Storage, path: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = format!("{path}{ASIDE}");
    let mut file = storage.create(&aside)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    storage.rename(&aside, path)?;
    storage.sync_folder(path.rsplit_once('/').map_or("", |(folder, _)| folder))
}

fn sealed(version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(version, body).into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    bytes
}

fn header(version: u32, body: &[u8]) -> String {
    format!("{TITLE} {version} {:016x}", checksum(version, body))
}

/// The version and the JSON, if the checksum is right.
fn parse(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let (version, _) = head.strip_prefix(TITLE)?.strip_prefix(' ')?.split_once(' ')?;
    let (version, body) = (version.parse().ok()?, &bytes[end + 1..]);
    // As it is written and not otherwise: a flipped bit must not lead to another spelling of the same.
    (head == header(version, body)).then_some((version, body))
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

/// The manifests in a folder: those in place with their numbers, the newest first, and what was to become one.
pub(super) struct Found {
    pub manifests: Vec<(u64, String)>,
    pub aside: Vec<String>,
}

impl Found {
    pub fn list(storage: &dyn Storage, folder: &str) -> io::Result<Found> {
        let mut found = Found {
            manifests: Vec::new(),
            aside: Vec::new(),
        };
        for name in storage.list(folder)? {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            match rest.parse() {
                Ok(number) if has_next(number) => found.manifests.push((number, name)),
                Err(_) if rest.ends_with(ASIDE) => found.aside.push(name),
                _ => {}
            }
        }
        found.manifests.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn a_newer_format_is_told_from_a_damaged_manifest() {
        let memory = Memory::new();
        let body = br#"{"what":"only a newer one knows"}"#;
        put(&memory, "manifest-00000001", &sealed(FORMAT + 1, body)).unwrap();
        let error = Manifest::read(&memory, "manifest-00000001").unwrap_err();
        assert!(
            matches!(error, ManifestError::Newer { found, .. } if found == FORMAT + 1),
            "{error:?}"
        );
        for bit in 0..400 {
            assert!(memory.flip_bit("manifest-00000001", bit));
            let error = Manifest::read(&memory, "manifest-00000001").unwrap_err();
            assert!(matches!(error, ManifestError::Damaged(_)), "bit {bit}: {error:?}");
            assert!(memory.flip_bit("manifest-00000001", bit));
        }
    }
}
