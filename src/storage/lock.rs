//! A folder belongs to one process at a time.

use std::fs::{self, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Disk;

/// The file that is locked; its text is the holder's process id.
const LOCK: &str = "LOCK";

/// Why a folder was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is in use by process {holder}: stop that one, or use another --data-dir", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("lock {}", path.display())]
    Failed {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl Disk {
    /// A folder that is locked against other processes as long as this or a clone of it lives; made if it is absent.
    ///
    /// # Errors
    /// Another process has it, which the error names, or the folder cannot be written to.
    pub fn lock(root: &Path) -> Result<Disk, LockError> {
        let failed = |cause| LockError::Failed {
            path: root.to_owned(),
            cause,
        };
        fs::create_dir_all(root).map_err(failed)?;
        let path = root.join(LOCK);
        // Not truncated before it is locked: until then it names the holder.
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let path = root.to_owned();
                let holder = holder.trim().to_owned();
                return Err(LockError::Held { path, holder });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Disk::holding(root, Some(Arc::new(file))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_until_the_last_clone_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        let disk = Disk::lock(&root).unwrap();
        let clone = disk.clone();
        drop(disk);
        let error = Disk::lock(&root).unwrap_err();
        let LockError::Held { holder, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*holder, std::process::id().to_string());
        assert!(error.to_string().contains("--data-dir"), "{error}");
        drop(clone);
        Disk::lock(&root).unwrap();
    }
}
