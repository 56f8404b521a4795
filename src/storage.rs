//! Where a node keeps its files: on disk, or in memory with crashes and faults for tests.
//!
//! Paths are relative to the data directory, with `/`. Nothing is durable before it is synced: a file's bytes by
//! [`File::sync`], its name (after create, rename, link, remove) by [`Storage::sync_folder`].

mod disk;
mod lock;
mod memory;
mod part;

use std::io;

use bytes::Bytes;

pub use disk::Disk;
pub use lock::LockError;
pub use memory::{Fault, Memory};
pub use part::{Damaged, PARTS, Part, PartReader, PartWriter};

/// A folder tree of files.
///
/// | after a crash            | there is                                                          |
/// |--------------------------|-------------------------------------------------------------------|
/// | bytes before a sync      | any prefix of them, none, or garbage of their length              |
/// | bytes after a sync       | exactly those                                                     |
/// | a name before its sync   | the name before, or the new one; never neither where one replaced |
pub trait Storage: Send + Sync + 'static {
    /// A new, empty file for writing, in the place of one of that name: other links to that, and what was read of it,
    /// stay as they are. Folders above it are made.
    fn create(&self, path: &str) -> io::Result<Box<dyn File>>;

    /// A file to be written to at its end; made if it is absent.
    fn append(&self, path: &str) -> io::Result<Box<dyn File>>;

    /// The whole file; on disk, mapped rather than read, so it must not be written to any more.
    fn read(&self, path: &str) -> io::Result<Bytes>;

    /// Puts a file in the place of another, at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Another name for a file that is not written to any more.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// A synced copy of a file that may grow at its end meanwhile: of all that it has held at some moment.
    fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.read(from)?;
        let mut file = self.create(to)?;
        file.write_all(&bytes)?;
        file.sync()
    }

    fn remove(&self, path: &str) -> io::Result<()>;

    /// Names of the files in a folder, sorted; none where the folder is absent.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Names of the folders in a folder, sorted; none where it is absent.
    fn folders(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes names in a folder durable, and the folder's own.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
}

/// A file open for writing.
pub trait File: io::Write + Send {
    /// Makes everything written so far durable.
    fn sync(&mut self) -> io::Result<()>;
}
