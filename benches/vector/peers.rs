//! Indexes of other projects: each a Python process (`benches/peers/vector.py`) that is sent one request a line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::data::Vectors;
use crate::engine::{Engine, Filter, Question, Round, Work};
use crate::{EF_CONSTRUCTION, M};

/// All that the script knows.
pub const ALL: [&str; 4] = ["hnswlib", "faiss", "usearch-f32", "usearch-f16"];

/// One index of another project.
pub struct Peer {
    name: String,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: Rc<TempDir>,
    slots: usize,
    /// Memory that is no file's, of the whole index, after the last write.
    pub resident_bytes: f64,
}

/// Starts peers that will be asked these queries. What cannot be had is left out, and the reason printed.
pub fn start(names: &[&str], queries: &Vectors) -> Vec<Peer> {
    let Some(python) = python() else {
        return Vec::new();
    };
    let folder = Rc::new(tempfile::tempdir().expect("a temporary directory"));
    let path = folder.path().join("queries");
    queries.write(&path).expect("room for the queries");
    let started = names.iter().filter_map(|name| {
        let open = json!({
            "do": "open",
            "dimensions": queries.dimensions,
            "m": M,
            "ef_construction": EF_CONSTRUCTION,
            "queries": path,
        });
        let peer = Peer::start(python, name, folder.clone()).and_then(|mut peer| {
            peer.request(&open)?;
            Ok(peer)
        });
        peer.inspect_err(|reason| println!("no {name}: {reason}")).ok()
    });
    started.collect()
}

/// The interpreter that has the peers, after their installation; `None` with the reason printed, once.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let run = Command::new("python3")
            .arg(script())
            .arg("install")
            .stderr(Stdio::inherit())
            .output();
        let answer: Value = match &run {
            Ok(run) => serde_json::from_slice(&run.stdout).unwrap_or_default(),
            Err(error) => {
                println!("no peers: python3: {error}");
                return None;
            }
        };
        for (module, reason) in answer["failed"].as_object().into_iter().flatten() {
            println!("not installed: {module}: {reason}");
        }
        let python = answer["python"].as_str();
        if python.is_none() {
            println!("no peers: their installation failed");
        }
        python.map(PathBuf::from)
    };
    PYTHON.get_or_init(install).as_deref()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/vector.py")
}

impl Peer {
    fn start(python: &Path, name: &str, folder: Rc<TempDir>) -> Result<Peer, String> {
        let mut child = Command::new(python)
            .arg(script())
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, answers) = pipes.ok_or("no pipes")?;
        Ok(Peer {
            name: name.to_owned(),
            child,
            requests,
            answers: BufReader::new(answers),
            folder,
            slots: 0,
            resident_bytes: 0.0,
        })
    }

    fn request(&mut self, request: &Value) -> Result<Value, String> {
        let mut line = String::new();
        writeln!(self.requests, "{request}")
            .and_then(|()| self.answers.read_line(&mut line))
            .map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|_| "the process has ended".to_owned())?;
        match answer["error"].as_str() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(answer),
        }
    }

    /// A file of this peer's own.
    fn file(&self, kind: &str) -> PathBuf {
        self.folder.path().join(format!("{}-{kind}", self.name))
    }
}

impl Engine for Peer {
    fn name(&self) -> &str {
        &self.name
    }

    fn answer(&mut self, question: &Question<'_>) -> Result<Round, String> {
        let allowed = match question.filter {
            Filter::None => None,
            Filter::Same(filter) => {
                let flags: Vec<u8> = (0..self.slots as u32)
                    .map(|slot| u8::from(filter.contains(slot)))
                    .collect();
                let path = self.file("allowed");
                std::fs::write(&path, flags).map_err(|error| error.to_string())?;
                Some(path)
            }
            Filter::Each(_) => return Err("has one filter for all queries of a call".to_owned()),
        };
        let hits = self.file("hits");
        let answer = self.request(&json!({
            "do": "search",
            "ef": question.ef.ok_or("has no width of its own choice")?,
            "threads": question.threads,
            "allowed": allowed,
            "hits": hits,
        }))?;
        let bytes = std::fs::read(&hits).map_err(|error| error.to_string())?;
        let hits = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let spent = answer["core_seconds"].as_f64().ok_or("no processor time")?;
        Ok(Round {
            seconds: spent / question.threads as f64,
            hits: hits.collect(),
        })
    }

    fn write(&mut self, changes: &[(u32, &[f32])]) -> Result<Work, String> {
        let Some((_, first)) = changes.first() else {
            return Err("nothing to write".to_owned());
        };
        let (slots, vectors) = (self.file("slots"), self.file("vectors"));
        let bytes: Vec<u8> = changes.iter().flat_map(|(slot, _)| slot.to_le_bytes()).collect();
        let rows = Vectors {
            dimensions: first.len(),
            floats: changes
                .iter()
                .flat_map(|(_, vector)| vector.iter().copied())
                .collect(),
        };
        std::fs::write(&slots, bytes)
            .and_then(|()| rows.write(&vectors))
            .map_err(|error| error.to_string())?;
        let answer =
            self.request(&json!({"do": "write", "slots": slots, "vectors": vectors, "threads": 2}))?;
        let last = changes.iter().map(|(slot, _)| *slot as usize + 1).max();
        self.slots = self.slots.max(last.unwrap_or(0));
        self.resident_bytes = answer["resident_bytes"].as_f64().unwrap_or(f64::NAN);
        Ok(Work {
            seconds: answer["seconds"].as_f64().ok_or("no seconds")?,
            core_seconds: answer["core_seconds"].as_f64().ok_or("no processor time")?,
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
