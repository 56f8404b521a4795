//! Who has asked for what, a line a request: never what a body holds, and never a secret.
//!
//! A request takes its place in the queue to the file before anything is done for it, so no request is missing: when the
//! disk is slow, requests wait. Where the file cannot be written, the node goes on and says so in its log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::http::{Method, StatusCode, Uri};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};

use crate::definition::server::AuditSettings;

/// Lines that wait for the file.
const LINES_MAX: usize = 1_024;

/// Files that are kept beside the one that is written: `audit.ndjson.1` is the newest of them.
const OLD_FILES_MAX: usize = 8;

/// A path is as long as a client likes.
const PATH_CHARS_MAX: usize = 512;

/// The log of requests.
pub struct Audit(Sender<Line>);

#[derive(Serialize)]
struct Line {
    /// RFC 3339, in UTC.
    at: String,
    /// The name of a key or the subject of a token; null where the request was of nobody known.
    who: Option<Arc<str>>,
    method: String,
    path: String,
    index: Option<String>,
    /// Null where the client went away before there was an answer.
    status: Option<u16>,
    took_ms: f64,
}

/// A request that is under way. It is written down when this is dropped, whatever became of it.
pub struct Entry {
    written: Option<(OwnedPermit<Line>, Line)>,
    started: Instant,
}

impl Audit {
    /// # Errors
    /// The file cannot be opened.
    pub fn open(settings: &AuditSettings) -> io::Result<Audit> {
        let file = AuditFile::open(&settings.path, settings.bytes)?;
        let (lines, waiting) = channel(LINES_MAX);
        let thread = std::thread::Builder::new().name("audit".to_owned());
        thread.spawn(move || write(file, waiting))?;
        Ok(Audit(lines))
    }

    pub async fn begin(&self, method: &Method, uri: &Uri) -> Entry {
        let started = Instant::now();
        // The queue is closed only if its thread has panicked.
        let place = self.0.clone().reserve_owned().await.ok();
        let line = Line {
            at: Timestamp::now().to_string(),
            who: None,
            method: method.to_string(),
            path: uri.path().chars().take(PATH_CHARS_MAX).collect(),
            index: index_of(uri.path()),
            status: None,
            took_ms: 0.0,
        };
        Entry {
            written: place.map(|place| (place, line)),
            started,
        }
    }
}

/// The index that a path names, by `/v1` or as OpenSearch does.
fn index_of(path: &str) -> Option<String> {
    let mut segments = path.split('/').skip(1);
    let name = match (segments.next()?, segments.next()?) {
        ("v1", "indexes") | ("_cat", "indices") => segments.next()?,
        (name, action) if action.starts_with('_') && !name.starts_with('_') => name,
        _ => return None,
    };
    Some(name.chars().take(PATH_CHARS_MAX).collect())
}

impl Entry {
    pub fn is_of(&mut self, who: &Arc<str>) {
        if let Some((_, line)) = &mut self.written {
            line.who = Some(who.clone());
        }
    }

    pub fn answered(&mut self, status: StatusCode) {
        if let Some((_, line)) = &mut self.written {
            line.status = Some(status.as_u16());
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some((place, mut line)) = self.written.take() {
            line.took_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
            place.send(line);
        }
    }
}

/// Writes lines until nobody sends any more.
fn write(mut file: AuditFile, mut lines: Receiver<Line>) {
    let mut well = true;
    while let Some(first) = lines.blocking_recv() {
        let mut text = Vec::new();
        let mut next = Some(first);
        while let Some(line) = next {
            // A line of texts and numbers is written into memory.
            if serde_json::to_writer(&mut text, &line).is_ok() {
                text.push(b'\n');
            }
            next = lines.try_recv().ok();
        }
        match file.append(&text) {
            Ok(()) => well = true,
            Err(error) if well => {
                tracing::error!(path = %file.path.display(), %error, "requests cannot be written down");
                well = false;
            }
            Err(_) => {}
        }
    }
}

/// A file that is renamed when it is full, and begun again.
struct AuditFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl AuditFile {
    fn open(path: &Path, bytes_max: u64) -> io::Result<AuditFile> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(AuditFile {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            bytes_max,
        })
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + text.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..OLD_FILES_MAX).rev() {
            match fs::rename(self.old(number), self.old(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.old(1))?;
        *self = AuditFile::open(&self.path, self.bytes_max)?;
        Ok(())
    }

    fn old(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_by_paths_of_either_kind() {
        for path in [
            "/v1/indexes/shop/search",
            "/shop/_search",
            "/shop/_doc/7",
            "/_cat/indices/shop",
        ] {
            assert_eq!(index_of(path).as_deref(), Some("shop"), "{path}");
        }
        for path in [
            "/",
            "/_search",
            "/_cluster/health",
            "/v1/tables/shop/changes",
            "/mcp",
            "/v1/indexes",
        ] {
            assert_eq!(index_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.ndjson");
        let mut file = AuditFile::open(&path, 10).unwrap();
        for line in 0..12 {
            file.append(format!("line {line:02}\n").as_bytes()).unwrap();
        }
        drop(file);
        // Also over a restart, each line is in one file.
        let mut file = AuditFile::open(&path, 10).unwrap();
        file.append(b"line 12\n").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("audit.ndjson"), "line 12\n");
        assert_eq!(read("audit.ndjson.1"), "line 11\n");
        assert_eq!(read("audit.ndjson.8"), "line 04\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1 + OLD_FILES_MAX);
    }
}
