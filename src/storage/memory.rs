//! Files in memory, which crash and fail where a test says so.

use std::io;

use bytes::Bytes;

use super::{File, Storage};

/// Files in memory. Clones share them.
#[derive(Clone, Default)]
pub struct Memory {}

impl Storage for Memory {
    fn create(&self, _path: &str) -> io::Result<Box<dyn File>> {
        todo!()
    }

    fn append(&self, _path: &str) -> io::Result<Box<dyn File>> {
        todo!()
    }

    fn read(&self, _path: &str) -> io::Result<Bytes> {
        todo!()
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        todo!()
    }

    fn link(&self, _from: &str, _to: &str) -> io::Result<()> {
        todo!()
    }

    fn remove(&self, _path: &str) -> io::Result<()> {
        todo!()
    }

    fn list(&self, _folder: &str) -> io::Result<Vec<String>> {
        todo!()
    }

    fn sync_folder(&self, _folder: &str) -> io::Result<()> {
        todo!()
    }
}
