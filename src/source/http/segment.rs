//! The segment of a log that is written to, and its sync, during which others append.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::frame::Frame;
use crate::storage::{File, Storage};

/// The folder of all logs.
pub const LOGS: &str = "push";

/// Where the segment lies that begins at an offset.
pub fn path(folder: &str, first: u64) -> String {
    format!("{folder}/{first:020}.log")
}

/// The segment that is written to.
pub struct Segment {
    pub first: u64,
    /// Of whole frames.
    pub bytes: u64,
    file: Box<dyn File>,
    /// A write failed: what stands at its end is no frame.
    is_torn: bool,
    syncing: Arc<Syncing>,
}

/// A second handle to a segment.
struct Syncing {
    storage: Arc<dyn Storage>,
    folder: String,
    file: Mutex<SyncedFile>,
    /// After a failed sync the system may take pages for clean that never reached the disk: a later success would
    /// mean nothing.
    has_failed: AtomicBool,
}

struct SyncedFile {
    file: Box<dyn File>,
    is_name_synced: bool,
}

/// Frames of a segment that a sync would make durable.
pub struct Pending {
    syncing: Arc<Syncing>,
    /// The offset after their last line.
    pub end: u64,
    pub bytes: u64,
}

impl Segment {
    /// A new one; replaces what has its name.
    pub fn create(storage: &Arc<dyn Storage>, folder: &str, first: u64) -> io::Result<Segment> {
        let path = path(folder, first);
        let file = storage.create(&path)?;
        let synced = SyncedFile {
            file: storage.append(&path)?,
            is_name_synced: false,
        };
        let syncing = Syncing {
            storage: storage.clone(),
            folder: folder.to_owned(),
            file: Mutex::new(synced),
            has_failed: AtomicBool::new(false),
        };
        Ok(Segment {
            first,
            bytes: 0,
            file,
            is_torn: false,
            syncing: Arc::new(syncing),
        })
    }

    /// Whether the next frame belongs into another segment, where one has about `bytes_max`.
    pub fn is_done(&self, bytes_max: u64) -> bool {
        self.is_torn || self.bytes >= bytes_max || self.syncing.has_failed.load(Ordering::Acquire)
    }

    /// Appends a frame; gives its size.
    pub fn write(&mut self, frame: &Frame<'_>) -> io::Result<u64> {
        let head = frame.head();
        // Until all of it is written.
        self.is_torn = true;
        self.file.write_all(&head)?;
        self.file.write_all(frame.body)?;
        self.file.flush()?;
        self.is_torn = false;
        let bytes = (head.len() + frame.body.len()) as u64;
        self.bytes += bytes;
        Ok(bytes)
    }

    /// What was written up to the offset `end`, of which `bytes` are not synced.
    pub fn pending(&self, end: u64, bytes: u64) -> Pending {
        Pending {
            syncing: self.syncing.clone(),
            end,
            bytes,
        }
    }
}

impl Pending {
    /// Makes it durable.
    pub fn sync(&self) -> io::Result<()> {
        let Syncing {
            storage,
            folder,
            file,
            has_failed,
        } = &*self.syncing;
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if has_failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of the same file failed"));
        }
        let synced = file.sync(&**storage, folder);
        has_failed.store(synced.is_err(), Ordering::Release);
        synced
    }
}

impl SyncedFile {
    fn sync(&mut self, storage: &dyn Storage, folder: &str) -> io::Result<()> {
        self.file.sync()?;
        if !self.is_name_synced {
            for folder in [folder, LOGS, ""] {
                storage.sync_folder(folder)?;
            }
            self.is_name_synced = true;
        }
        Ok(())
    }
}
