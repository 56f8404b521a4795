//! Files of messages, line by line: plain, gzip or zstd; a value or a record a line.
//!
//! Under `values` framing a message's offset is its line number, counted from 0, blank lines included.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::record::is_record;
use super::{OwnedMessage, SourceError};
use crate::definition::Framing;

/// The longest line, in bytes. What is longer is no message but a file without newlines.
const LINE_BYTES_MAX: usize = 64 << 20;

const BUFFER_BYTES: usize = 256 << 10;

/// Reads the messages of one file.
pub struct Reader {
    path: PathBuf,
    identity: Identity,
    input: Box<dyn BufRead + Send>,
    framing: Framing,
    compressed: bool,
    line: Vec<u8>,
    /// Whether `line` has been read and not given out: the line that told the framing.
    held: bool,
    /// Lines given out or left out so far: the number of the line in `line`.
    number: u64,
    bytes_read: u64,
}

impl Reader {
    /// Opens a file. Without `framing` its first line tells whether it holds records or values.
    ///
    /// # Errors
    /// The file cannot be opened or its beginning not be read.
    pub fn open(path: impl AsRef<Path>, framing: Option<Framing>) -> Result<Reader, SourceError> {
        let path = std::path::absolute(path.as_ref()).unwrap_or_else(|_| path.as_ref().to_owned());
        let failed = |cause| SourceError::Open {
            path: path.clone(),
            cause,
        };
        let file = File::open(&path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if found.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let (compressed, input) = decompress(&path, file).map_err(failed)?;
        let mut reader = Reader {
            path,
            identity: Identity::of(&found),
            input,
            framing: framing.unwrap_or(Framing::Values),
            compressed,
            line: Vec::new(),
            held: false,
            number: 0,
            bytes_read: 0,
        };
        if framing.is_none() && reader.next_line(End::Final)? {
            reader.held = true;
            if is_record(trimmed(&reader.line)) {
                reader.framing = Framing::Records;
            }
        }
        Ok(reader)
    }

    /// The next message, or `None` at the end of the file. A last line needs no newline.
    ///
    /// A line that should be a record and is none comes as a message whose value is the line, in partition `lines`.
    ///
    /// # Errors
    /// The file cannot be read on; a line is longer than 64 MiB.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would go on after an error"
    )]
    pub fn next(&mut self) -> Result<Option<OwnedMessage>, SourceError> {
        self.next_before(End::Final)
    }

    pub(super) fn next_before(&mut self, end: End) -> Result<Option<OwnedMessage>, SourceError> {
        if !self.held && !self.next_line(end)? {
            return Ok(None);
        }
        let line = trimmed(&self.line);
        let message = match self.framing {
            Framing::Values => OwnedMessage::from_value(line, self.number),
            Framing::Records => OwnedMessage::from_record(line, self.number),
        };
        self.line_done();
        Ok(Some(message))
    }

    /// Opens the file that is now under the path, and goes on at its beginning as if it were the continuation.
    pub(super) fn open_again(&mut self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        self.identity = Identity::of(&file.metadata()?);
        self.input = Box::new(BufReader::with_capacity(BUFFER_BYTES, file));
        self.bytes_read = 0;
        Ok(())
    }

    /// Whether the file under the path is still the one that is open.
    pub(super) fn compare(&self) -> io::Result<Compared> {
        let found = std::fs::metadata(&self.path)?;
        Ok(if Identity::of(&found) != self.identity {
            Compared::Replaced
        } else if found.len() < self.bytes_read {
            Compared::Cut
        } else {
            Compared::Same
        })
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compressed
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads up to the end of the next line that is not blank. A part without its newline stays in `line`, and the
    /// next call goes on there.
    fn next_line(&mut self, end: End) -> Result<bool, SourceError> {
        loop {
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
            let read = self
                .input
                .by_ref()
                .take(room as u64)
                .read_until(b'\n', &mut self.line);
            self.bytes_read += read.map_err(|cause| self.failed(cause))? as u64;
            let complete = self.line.last() == Some(&b'\n');
            if !complete && self.line.len() > LINE_BYTES_MAX {
                return Err(SourceError::LineTooLong {
                    path: self.path.clone(),
                    line: self.number + 1,
                });
            }
            if !complete && (self.line.is_empty() || end == End::MayGrow) {
                return Ok(false);
            }
            if !trimmed(&self.line).is_empty() {
                return Ok(true);
            }
            self.line_done();
        }
    }

    fn line_done(&mut self) {
        self.held = false;
        self.line.clear();
        self.number += 1;
    }

    fn failed(&self, cause: io::Error) -> SourceError {
        SourceError::Read {
            path: self.path.clone(),
            line: self.number + 1,
            cause,
        }
    }
}

/// What the end of the file means for a line without newline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is the last one.
    Final,
    /// The rest of it is still being written.
    MayGrow,
}

/// What became of the file that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    /// Another file has its path.
    Replaced,
    /// It is shorter than what was read of it.
    Cut,
}

/// Which file a path names, whatever its contents.
#[derive(PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(found: &Metadata) -> Identity {
        Identity {
            device: found.dev(),
            inode: found.ino(),
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

/// The plain bytes of a file, by its first bytes or its name, and whether it is compressed.
fn decompress(path: &Path, file: File) -> io::Result<(bool, Box<dyn BufRead + Send>)> {
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, file);
    let start = raw.fill_buf()?;
    let is_named =
        |extension: &str| !start.is_empty() && path.extension().is_some_and(|found| found == extension);
    if start.starts_with(&[0x1f, 0x8b]) || is_named("gz") {
        // Concatenated members are one file, as `gzip -c >>` writes them.
        let plain = flate2::bufread::MultiGzDecoder::new(raw);
        return Ok((true, Box::new(BufReader::with_capacity(BUFFER_BYTES, plain))));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_named("zst") {
        let plain = zstd::stream::read::Decoder::with_buffer(raw)?;
        return Ok((true, Box::new(BufReader::with_capacity(BUFFER_BYTES, plain))));
    }
    Ok((false, Box::new(raw)))
}
