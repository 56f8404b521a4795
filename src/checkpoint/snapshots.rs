//! Snapshots for backups: the newest checkpoint under another name, as a data directory of its own.
//!
//! Parts are immutable, so a snapshot of a running node is hard links, made in a moment, and a copy of the dead letters.
//! Its manifest comes last: a snapshot without one was never made. What was pushed after the checkpoint, and the keys of
//! pushes, are not in it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::manifest::{self, Found, Manifest, ManifestError};
use crate::change::Tick;
use crate::storage::{PARTS, PartReader, Storage};

/// The folder of all snapshots.
const SNAPSHOTS: &str = "snapshots";

/// The file of dead letters in a data directory.
pub const DEAD_LETTERS: &str = "dead-letters.ndjson";

/// The logs of pushes in a data directory.
const PUSHES: &str = "push";

const NAME_MAX: usize = 100;

/// The node may replace a checkpoint while it is linked; the next one is as good.
const TRIES: usize = 5;

/// The snapshots of one data directory.
#[derive(Clone)]
pub struct Snapshots(Arc<dyn Storage>);

impl Snapshots {
    pub fn new(data_dir: Arc<dyn Storage>) -> Snapshots {
        Snapshots(data_dir)
    }

    /// As [`create`].
    ///
    /// # Errors
    /// As [`create`].
    pub fn create(&self, name: &str) -> Result<SnapshotInfo, SnapshotError> {
        create(&*self.0, name)
    }

    /// As [`list`].
    ///
    /// # Errors
    /// The data directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<SnapshotInfo>> {
        list(&*self.0)
    }
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotInfo {
    pub name: String,
    /// Of the checkpoint that it is.
    #[schema(value_type = u64)]
    pub tick: Tick,
    /// The last position of each partition that it covers, as `table/partition`.
    pub positions: BTreeMap<String, u64>,
    /// The size of its parts; links take no room as long as the data directory has the same ones.
    pub bytes: u64,
}

/// Why a snapshot was not made or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(
        "{name:?} is no name for a snapshot: use letters, digits, `-`, `_` and `.`, at most {NAME_MAX}, not a `.` first"
    )]
    OddName { name: String },
    #[error("there is a snapshot {name} already: use another name")]
    Exists { name: String },
    #[error("there is no checkpoint yet: wait for the first one")]
    NoCheckpoint,
    #[error("there is no whole snapshot: {reason}")]
    NotWhole { reason: String },
    #[error("the data directory has been used already: restore into an empty one")]
    NotEmpty,
    #[error("link or copy the files of a snapshot")]
    Storage(#[from] io::Error),
}

/// A name for who gives none: the time, to the second.
pub fn name_of_now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

/// Whether a snapshot can have this name.
///
/// # Errors
/// [`SnapshotError::OddName`]
pub fn check_name(name: &str) -> Result<(), SnapshotError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with('.') || !name.chars().all(is_plain) {
        let name = name.to_owned();
        return Err(SnapshotError::OddName { name });
    }
    Ok(())
}

/// Makes a snapshot of the newest checkpoint; the node may run.
///
/// # Errors
/// See [`SnapshotError`]. After an error the same name can be used again.
pub fn create(storage: &dyn Storage, name: &str) -> Result<SnapshotInfo, SnapshotError> {
    check_name(name)?;
    let folder = format!("{SNAPSHOTS}/{name}");
    if !Found::list(storage, &folder)?.manifests.is_empty() {
        return Err(SnapshotError::Exists {
            name: name.to_owned(),
        });
    }
    let mut tried = 1;
    loop {
        match link_newest(storage, &folder) {
            Err(SnapshotError::Storage(error))
                if error.kind() == io::ErrorKind::NotFound && tried < TRIES =>
            {
                tried += 1;
            }
            Err(error) => return Err(error),
            Ok(manifest) => return Ok(info(name, &manifest)),
        }
    }
}

/// All snapshots, by name.
pub fn list(storage: &dyn Storage) -> io::Result<Vec<SnapshotInfo>> {
    let mut snapshots = Vec::new();
    for name in storage.folders(SNAPSHOTS)? {
        let folder = format!("{SNAPSHOTS}/{name}");
        if let Some((_, file)) = Found::list(storage, &folder)?.manifests.first()
            && let Ok(manifest) = Manifest::read(storage, &format!("{folder}/{file}"))
        {
            snapshots.push(info(&name, &manifest));
        }
    }
    Ok(snapshots)
}

/// Copies a snapshot, which is the root of `from`, to the empty data directory `to`, and checks all of it on the way.
///
/// # Errors
/// See [`SnapshotError`]. After an error the data directory has no checkpoint, and can be restored into again.
pub fn restore(from: &dyn Storage, to: &dyn Storage) -> Result<SnapshotInfo, SnapshotError> {
    // Letters alone are what an attempt that failed has left.
    if !Found::list(to, "")?.manifests.is_empty() || !to.folders(PUSHES)?.is_empty() {
        return Err(SnapshotError::NotEmpty);
    }
    let not_whole = |reason: String| SnapshotError::NotWhole { reason };
    let found = Found::list(from, "")?;
    let Some((_, path)) = found.manifests.first() else {
        return Err(not_whole("there is no manifest".into()));
    };
    let manifest = Manifest::read(from, path).map_err(|error| not_whole(error.to_string()))?;
    let reader = PartReader::new(from);
    for part in manifest.parts() {
        let bytes = reader.read(part).map_err(|error| not_whole(error.to_string()))?;
        copy(to, &part.path(), &bytes)?;
    }
    if manifest.parts().next().is_some() {
        to.sync_folder(PARTS)?;
    }
    if from.list("")?.iter().any(|name| name == DEAD_LETTERS) {
        copy(to, DEAD_LETTERS, &from.read(DEAD_LETTERS)?)?;
        to.sync_folder("")?;
    }
    manifest::put(to, path, &from.read(path)?)?;
    Ok(info("restored", &manifest))
}

fn info(name: &str, manifest: &Manifest) -> SnapshotInfo {
    SnapshotInfo {
        name: name.to_owned(),
        tick: manifest.tick,
        positions: manifest.positions.clone(),
        bytes: manifest.parts().map(|part| part.bytes).sum(),
    }
}

fn link_newest(storage: &dyn Storage, folder: &str) -> Result<Manifest, SnapshotError> {
    let parts = format!("{folder}/{PARTS}");
    for folder in [folder, &parts] {
        for left in storage.list(folder)? {
            storage.remove(&format!("{folder}/{left}"))?;
        }
    }
    let found = Found::list(storage, "")?;
    let Some((number, path)) = found.manifests.first() else {
        return Err(SnapshotError::NoCheckpoint);
    };
    let manifest = Manifest::read(storage, path).map_err(|error| match error {
        // It may have been replaced since it was listed.
        ManifestError::Damaged(damaged) => io::Error::new(io::ErrorKind::NotFound, damaged),
        newer => io::Error::other(newer),
    })?;
    for part in manifest.parts() {
        link(storage, &part.path(), &format!("{parts}/{}", part.name))?;
    }
    if manifest.parts().next().is_some() {
        storage.sync_folder(&parts)?;
    }
    copy_letters(storage, folder, *number)?;
    link(storage, path, &format!("{folder}/{path}"))?;
    storage.sync_folder(folder)?;
    Ok(manifest)
}

/// Copies the dead letters as they are while a checkpoint is the newest.
///
/// All letters of its positions are there by then. A letter that was replayed goes when a checkpoint has what came of
/// it: if that may have been a later one, the copy might lack a letter whose changes the snapshot lacks too.
fn copy_letters(storage: &dyn Storage, folder: &str, number: u64) -> io::Result<()> {
    if !storage.list("")?.iter().any(|name| name == DEAD_LETTERS) {
        return Ok(());
    }
    storage.copy(DEAD_LETTERS, &format!("{folder}/{DEAD_LETTERS}"))?;
    storage.sync_folder(folder)?;
    let newest = Found::list(storage, "")?
        .manifests
        .first()
        .map(|(newest, _)| *newest);
    match newest == Some(number) {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

fn link(storage: &dyn Storage, from: &str, to: &str) -> io::Result<()> {
    match storage.link(from, to) {
        // Not every file system has links.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            storage.copy(from, to)
        }
        other => other,
    }
}

fn copy(storage: &dyn Storage, to: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = storage.create(to)?;
    file.write_all(bytes)?;
    file.sync()
}
