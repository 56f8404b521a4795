//! What could not be decoded: one JSON line each, with its reason, its position and its raw bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::decode::Message;

/// A message that could not be decoded, or not as a whole.
pub struct DeadLetter<'m> {
    pub reason: String,
    pub table: String,
    /// `table/partition`.
    pub partition: Arc<str>,
    pub message: Message<'m>,
}

/// Where dead letters go. Clones share the file.
#[derive(Clone)]
pub struct DeadLetters(Option<Arc<Mutex<File>>>);

#[derive(Serialize)]
struct Line<'a> {
    reason: &'a str,
    table: &'a str,
    partition: &'a str,
    offset: u64,
    key: Option<String>,
    value: Option<String>,
}

impl DeadLetters {
    /// Appends to a file.
    pub fn append_to(path: &Path) -> io::Result<DeadLetters> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(DeadLetters(Some(Arc::new(Mutex::new(file)))))
    }

    /// Keeps none; they are still counted.
    pub fn discard() -> DeadLetters {
        DeadLetters(None)
    }

    /// Makes everything kept so far durable.
    pub fn sync(&self) -> io::Result<()> {
        match &self.0 {
            Some(file) => file.lock().unwrap_or_else(PoisonError::into_inner).sync_data(),
            None => Ok(()),
        }
    }

    /// Keeps some, in one write. A failure is logged: it must not stop the stream.
    pub fn keep(&self, letters: &[DeadLetter<'_>]) {
        for letter in letters {
            tracing::warn!(
                partition = &*letter.partition,
                offset = letter.message.offset.0,
                reason = letter.reason,
                "dead letter"
            );
        }
        let Some(file) = self.0.as_ref().filter(|_| !letters.is_empty()) else {
            return;
        };
        let mut lines = Vec::new();
        for letter in letters {
            let partition = letter
                .partition
                .split_once('/')
                .map_or(&*letter.partition, |(_, partition)| partition);
            let line = Line {
                reason: &letter.reason,
                table: &letter.table,
                partition,
                offset: letter.message.offset.0,
                key: letter.message.key.map(|bytes| STANDARD.encode(bytes)),
                value: letter.message.value.map(|bytes| STANDARD.encode(bytes)),
            };
            if serde_json::to_writer(&mut lines, &line).is_ok() {
                lines.push(b'\n');
            }
        }
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&lines) {
            tracing::error!(%error, letters = letters.len(), "dead letters could not be written");
        }
    }
}
