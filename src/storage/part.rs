//! Immutable files with checksums: what a manifest names.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{File, Storage};

/// The folder of all parts.
pub const PARTS: &str = "parts";

/// One immutable file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// In the folder of parts; never used twice.
    pub name: String,
    pub bytes: u64,
    pub checksum: u64,
}

impl Part {
    /// Whether its name is one that [`PartWriter`] gives: in the folder of parts, and no way out of it.
    pub fn is_sound(&self) -> bool {
        self.name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    }

    pub fn path(&self) -> String {
        format!("{PARTS}/{}", self.name)
    }

    /// What a reader says of a part whose bytes make no sense to it.
    pub fn damaged(&self, reason: impl Into<String>) -> Damaged {
        Damaged {
            path: self.path(),
            reason: reason.into(),
        }
    }
}

/// A part that is not what the manifest says.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Damaged {
    pub path: String,
    pub reason: String,
}

/// Writes parts under names of their own.
pub struct PartWriter<'a> {
    storage: &'a dyn Storage,
    next: AtomicU64,
}

impl<'a> PartWriter<'a> {
    /// `next` is larger than the number of any part there ever was.
    pub fn new(storage: &'a dyn Storage, next: u64) -> PartWriter<'a> {
        PartWriter {
            storage,
            next: AtomicU64::new(next),
        }
    }

    /// The number that the next part gets.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Writes one part and syncs its bytes; its name is durable after a sync of the folder.
    pub fn write(&self, kind: &str, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Part> {
        let name = format!("{kind}-{:08}", self.next.fetch_add(1, Ordering::Relaxed));
        let file = self.storage.create(&format!("{PARTS}/{name}"))?;
        let mut hashing = Hashing {
            file: io::BufWriter::with_capacity(1 << 20, file),
            hash: Xxh3::new(),
            bytes: 0,
        };
        fill(&mut hashing)?;
        let mut file = hashing
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync()?;
        Ok(Part {
            name,
            bytes: hashing.bytes,
            checksum: hashing.hash.digest(),
        })
    }
}

struct Hashing {
    file: io::BufWriter<Box<dyn File>>,
    hash: Xxh3,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads parts, and believes none whose checksum differs.
pub struct PartReader<'a> {
    storage: &'a dyn Storage,
}

impl<'a> PartReader<'a> {
    pub fn new(storage: &'a dyn Storage) -> PartReader<'a> {
        PartReader { storage }
    }

    pub fn read(&self, part: &Part) -> Result<Bytes, Damaged> {
        let read = self.storage.read(&part.path());
        let bytes = read.map_err(|error| part.damaged(error.to_string()))?;
        if bytes.len() as u64 != part.bytes {
            let (found, expected) = (bytes.len(), part.bytes);
            return Err(part.damaged(format!("it has {found} bytes instead of {expected}")));
        }
        if xxh3_64(&bytes) != part.checksum {
            return Err(part.damaged("its checksum is wrong"));
        }
        Ok(bytes)
    }
}
