//! A file that grows by whole lines: what a crash or a full disk left of one is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub at: u64,
    /// With the end of the line.
    pub bytes: u64,
}

/// The lines of a file, open for reading and appending.
pub(super) struct Lines {
    path: PathBuf,
    file: File,
    /// The end of the last whole line.
    end: u64,
    /// There may be something behind the end.
    torn: bool,
}

impl Lines {
    /// Opens or makes a file, hands each whole line to `see`, and cuts off the rest.
    ///
    /// A pipe or a device is not read: what is written there is somebody else's.
    pub fn open(path: &Path, mut see: impl FnMut(Place, &[u8])) -> io::Result<Lines> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let mut end = 0;
        let mut torn = false;
        if file.metadata()?.is_file() {
            sync_folder(path)?;
            let mut reader = BufReader::with_capacity(1 << 16, &file);
            let mut line = Vec::new();
            loop {
                let bytes = reader.read_until(b'\n', &mut line)? as u64;
                if line.last() != Some(&b'\n') {
                    torn = bytes > 0;
                    break;
                }
                see(Place { at: end, bytes }, &line);
                end += bytes;
                line.clear();
            }
        }
        let mut lines = Lines {
            path: path.to_owned(),
            file,
            end,
            torn,
        };
        lines.mend()?;
        Ok(lines)
    }

    /// The bytes of all lines.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends whole lines, all or none of them, and says where they begin.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<u64> {
        self.mend()?;
        let at = self.end;
        if let Err(error) = self.file.write_all(lines) {
            self.torn = true;
            return Err(error);
        }
        self.end += lines.len() as u64;
        Ok(at)
    }

    pub fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut line = vec![0; place.bytes as usize];
        self.file.read_exact_at(&mut line, place.at)?;
        Ok(line)
    }

    pub fn sync(&self) -> io::Result<()> {
        match self.file.sync_data() {
            // A pipe has nothing to sync.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            outcome => outcome,
        }
    }

    /// Puts some of the lines into the place of the whole file, at once. The file is to be opened anew.
    pub fn keep_only(self, places: Vec<Place>) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let aside = PathBuf::from(name);
        let mut out = io::BufWriter::new(File::create(&aside)?);
        for place in places {
            out.write_all(&self.read(place)?)?;
        }
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_data()?;
        fs::rename(&aside, &self.path)?;
        sync_folder(&self.path)
    }

    /// Puts another file in the place of this one, as a disk that changes its mind.
    #[cfg(test)]
    pub fn swap_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    /// Cuts off what a failed write has left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.end)?;
            self.torn = false;
        }
        Ok(())
    }
}

/// Makes the file's name durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
