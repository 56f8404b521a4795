//! Files on disk, below one folder.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{File, Storage};

/// Files on disk, below one folder.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
    /// Open, and so locked, as long as the folder is.
    _lock: Option<Arc<fs::File>>,
}

impl Disk {
    /// A folder that others may use too; [`Disk::lock`] is for one that this process owns.
    pub fn new(root: &Path) -> Disk {
        Disk::holding(root, None)
    }

    pub(super) fn holding(root: &Path, lock: Option<Arc<fs::File>>) -> Disk {
        Disk {
            root: root.to_owned(),
            _lock: lock,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn create_parents(&self, path: &str) -> io::Result<PathBuf> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(path)
    }

    fn entries(&self, folder: &str, is_wanted: fn(&fs::FileType) -> bool) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if is_wanted(&entry.file_type()?)
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Storage for Disk {
    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        let path = self.create_parents(path)?;
        // Truncating would reach through links, and take pages from under a mapping.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Box::new(fs::File::create_new(path)?)),
        }
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn File>> {
        let path = self.create_parents(path)?;
        Ok(Box::new(
            fs::OpenOptions::new().create(true).append(true).open(path)?,
        ))
    }

    fn read(&self, path: &str) -> io::Result<Bytes> {
        let file = fs::File::open(self.root.join(path))?;
        if file.metadata()?.len() == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: files that are read are not written to any more (the contract of `Storage::read`); a node locks its
        // data directory against other nodes, and removing a file leaves its mapping alone.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Bytes::from_owner(map))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.create_parents(to)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.root.join(from), self.create_parents(to)?)
    }

    fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        // Read, not mapped: its end may be cut off meanwhile.
        let from = fs::File::open(self.root.join(from))?;
        let bytes = from.metadata()?.len();
        let mut to = self.create(to)?;
        io::copy(&mut from.take(bytes), &mut to)?;
        to.sync()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.entries(folder, fs::FileType::is_file)
    }

    fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.entries(folder, fs::FileType::is_dir)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        for folder in Path::new(folder).ancestors() {
            fs::File::open(self.root.join(folder))?.sync_all()?;
        }
        Ok(())
    }
}

impl File for fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.sync_data()
    }
}
