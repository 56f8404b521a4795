//! A file without a name, which ends with the process: floats on disk rather than in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::slab;

/// A file that full chunks of vectors go to, for as long as this is there; those that lie in it stay.
#[derive(Clone, Debug)]
pub struct Spool(pub(super) Arc<SpoolFile>);

#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    room: Mutex<Room>,
    /// It has been said that the disk takes no more.
    has_warned: AtomicBool,
    /// As if the disk had become full.
    #[cfg(test)]
    pub is_full: AtomicBool,
}

/// What of the file is used.
#[derive(Debug, Default)]
struct Room {
    end: u64,
    /// Places that are free, by their length.
    free: BTreeMap<usize, Vec<u64>>,
}

/// A place in the file, until this is dropped.
#[derive(Debug)]
pub struct Extent {
    spool: Arc<SpoolFile>,
    offset: u64,
    bytes: usize,
}

impl Spool {
    /// From now on, chunks of vectors of so many dimensions, of this whole process, lie on disk once they are full: in
    /// an unlinked file of this folder.
    ///
    /// A file that cannot be written to leaves them in memory, which is logged.
    pub fn begin(dimensions: usize, folder: &Path) -> io::Result<Spool> {
        slab::spool(dimensions, || {
            static NUMBER: AtomicU64 = AtomicU64::new(0);
            fs::create_dir_all(folder)?;
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("vectors-{}-{number}", std::process::id()));
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)?;
            fs::remove_file(&path)?;
            Ok(Spool::over(file))
        })
    }

    pub(super) fn over(file: File) -> Spool {
        Spool(Arc::new(SpoolFile {
            file,
            room: Mutex::default(),
            has_warned: false.into(),
            #[cfg(test)]
            is_full: false.into(),
        }))
    }

    /// Writes bytes to the file, a whole number of pages, and says where.
    ///
    /// All blocks of the place are there then: what is written to it later needs no more room on the disk, and what is
    /// mapped can be read.
    pub(super) fn take(&self, bytes: &[u8]) -> io::Result<Extent> {
        let extent = Extent {
            spool: self.0.clone(),
            offset: self.0.place(bytes.len()),
            bytes: bytes.len(),
        };
        self.0.write(bytes, extent.offset)?;
        Ok(extent)
    }

    /// Says that vectors stay in memory, once.
    pub(super) fn warn_of(&self, error: &io::Error) {
        self.0.warn_of(error);
    }
}

impl SpoolFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(bytes, offset)
    }

    fn warn_of(&self, error: &io::Error) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the disk takes no vectors: they stay in memory");
        }
    }

    fn place(&self, bytes: usize) -> u64 {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(free) = room.free.get_mut(&bytes).and_then(Vec::pop) {
            return free;
        }
        room.end += bytes as u64;
        room.end - bytes as u64
    }
}

impl Extent {
    pub fn file(&self) -> &File {
        &self.spool.file
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether these bytes are there now, so far from its beginning.
    pub fn write(&self, start: usize, bytes: &[u8]) -> bool {
        let written = self.spool.write(bytes, self.offset + start as u64);
        if let Err(error) = &written {
            self.spool.warn_of(error);
        }
        written.is_ok()
    }

    /// Whether all these bytes were read, so far from its beginning.
    pub fn read(&self, start: usize, bytes: &mut [u8]) -> bool {
        let read = self.file().read_exact_at(bytes, self.offset + start as u64);
        if let Err(error) = &read {
            tracing::error!(%error, "a vector cannot be read from disk");
        }
        read.is_ok()
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        let mut room = self.spool.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.free.entry(self.bytes).or_default().push(self.offset);
    }
}
