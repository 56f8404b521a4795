//! Stops and starts of a node on one data directory, as a user sees them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{Served, eventually, millpond, new_data_dir, repository, sample, serve_arguments};

fn dataflow(folder: &TempDir, checkpoint: &str) -> PathBuf {
    let path = folder.path().join("notes.toml");
    let dataflow = format!(
        r#"
name = "notes"
[tables.notes]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = {{ text = {{}} }}
embed = "{{text}}"
[checkpoint]
{checkpoint}
"#
    );
    fs::write(&path, dataflow).unwrap();
    path
}

/// Pushes a note, and returns when it survives a crash.
fn push(node: &Served, id: usize, more: Value) {
    let mut row = json!({"id": id, "text": format!("note{id} about lamp{id}")});
    row.as_object_mut().unwrap().extend(
        more.as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let (status, body) = node.post("/v1/tables/notes/changes?wait=durable", row.to_string());
    assert_eq!((status, &body["accepted"]), (200, &json!(1)), "{body}");
}

/// The manifests in a data directory, the newest last.
fn manifests(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data).unwrap().map(|file| file.unwrap().path());
    let is_manifest = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("manifest-") && !name.ends_with(".new")
    };
    let mut manifests: Vec<PathBuf> = files.filter(is_manifest).collect();
    manifests.sort();
    manifests
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// That each of so many notes is there, and found by its word.
#[track_caller]
fn check_notes(node: &Served, count: usize) {
    node.until("/v1/indexes/notes/stats", "all notes are there", |(_, stats)| {
        stats["documents"] == count && stats["vectors"] == count && stats["vectors_pending"] == 0
    });
    for id in 0..count {
        let answer = node.search("notes", &json!({"query": format!("lamp{id}"), "mode": "keyword"}));
        let hits = answer["hits"].as_array().unwrap();
        assert_eq!(hits.len(), 1, "lamp{id}: {answer}");
        assert_eq!(hits[0]["key"], id.to_string(), "{answer}");
    }
}

#[test]
fn a_node_that_was_told_to_stop_goes_on_where_it_was() {
    const QUERIES: [&str; 4] = ["waterproof jacket", "a tent for two", "circular saw", "lamp"];
    let answers = |node: &Served| -> Vec<Value> {
        let of_mode = |mode| QUERIES.map(|query| json!({"query": query, "mode": mode, "limit": 20}));
        let requests = ["hybrid", "keyword", "vector"].into_iter().flat_map(of_mode);
        requests
            .map(|request| node.search("quickstart", &request)["hits"].clone())
            .collect()
    };
    let (data, dataflow) = (new_data_dir(), repository("dataflows/quickstart.toml"));
    let first = Served::start_in(&data, &dataflow);
    let before = first.caught_up("quickstart");
    let expected = answers(&first);
    let (code, log) = first.stop(Signal::TERM);
    assert_eq!(code, 0, "{log}");

    for signal in [Signal::INT, Signal::TERM] {
        let node = Served::start_in(&data, &dataflow);
        let found = node.caught_up("quickstart");
        for count in ["documents", "vectors", "positions"] {
            assert_eq!(found[count], before[count], "{count}");
        }
        for count in ["messages", "changes", "texts_embedded", "dead_letters"] {
            assert_eq!(found[count], 0, "{count}: nothing is done again: {found}");
        }
        let corrected = sample(&node.get_text("/metrics").1, "millpond_documents_corrected_total");
        assert_eq!(corrected, 0.0, "what was stored fits its rows");
        for (now, before) in answers(&node).iter().zip(&expected) {
            assert_eq!(now, before, "the same hits with the same scores");
        }
        let (code, log) = node.stop(signal);
        assert_eq!(code, 0, "{log}");
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    }
}

#[test]
fn a_second_signal_ends_a_node_at_once_and_loses_nothing() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    // Only the log of pushes has what was acknowledged: no checkpoint comes before the stop.
    let dataflow = dataflow(&folder, "interval = \"1h\"");
    for (round, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let node = Served::start_in(&data, &dataflow);
        check_notes(&node, round * 10);
        for id in round * 10..(round + 1) * 10 {
            push(&node, id, json!({}));
        }
        // A client in the middle of its request is waited for, which leaves time for the second signal.
        let mut client = TcpStream::connect(node.url().strip_prefix("http://").unwrap()).unwrap();
        let half = "POST /v1/tables/notes/changes HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\
                    Expect: 100-continue\r\n\r\n";
        client.write_all(half.as_bytes()).unwrap();
        let mut asked = [0; "HTTP/1.1 100 Continue".len()];
        client.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue", "the node is at the request");
        node.tell(signal);
        eventually("it is stopping", || node.log().contains("stopping").then_some(()));
        let (code, log) = node.stop(signal);
        assert_eq!(code, 130, "{log}");
        assert!(
            log.contains("ending at once") && !log.contains("panicked"),
            "{log}"
        );
    }
    check_notes(&Served::start_in(&data, &dataflow), 20);
}

#[test]
fn a_second_node_on_a_data_directory_is_refused() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let dataflow = dataflow(&folder, "interval = \"50ms\"");
    let node = Served::start_in(&data, &dataflow);
    push(&node, 0, json!({}));
    let error = millpond(&serve_arguments(&dataflow, data.path(), &[])).failure();
    for reason in [
        data.path().to_str().unwrap(),
        "--data-dir",
        &node.pid().to_string(),
    ] {
        assert!(error.contains(reason), "`{reason}` is not in: {error}");
    }
    push(&node, 1, json!({}));
    check_notes(&node, 2);
    // Whoever is killed leaves no lock behind.
    node.kill();
    check_notes(&Served::start_in(&data, &dataflow), 2);
}

#[test]
fn a_damaged_checkpoint_costs_a_warning_and_no_push() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    // Checkpoints that are far apart, and pushes that fill several segments of their log between two of them.
    let dataflow = dataflow(&folder, "interval = \"1h\"\nbytes = \"24MiB\"");
    let node = Served::start_in(&data, &dataflow);
    let blob = json!({"blob": "x".repeat(1 << 20)});
    let mut count = 0;
    while manifests(data.path()).len() < 2 {
        push(&node, count, blob.clone());
        count += 1;
        assert!(count < 500, "checkpoints are written");
    }
    push(&node, count, json!({}));
    count += 1;
    node.kill();

    let newest = manifests(data.path()).pop().unwrap();
    flip_a_bit(&newest);
    let node = Served::start_in(&data, &dataflow);
    check_notes(&node, count);
    let log = node.kill();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    let [warning] = warnings[..] else {
        panic!("one warning: {log}");
    };
    let name = newest.file_name().unwrap().to_str().unwrap();
    for part in [name, "going back to the one before", "read again"] {
        assert!(warning.contains(part), "`{part}` is not in: {warning}");
    }

    // Without any that is whole there is nothing to go back to: the node says so and touches nothing.
    for manifest in manifests(data.path()) {
        fs::write(&manifest, "no manifest").unwrap();
    }
    let error = millpond(&serve_arguments(&dataflow, data.path(), &[])).failure();
    for part in ["no checkpoint is whole", "manifest-", "millpond snapshot restore"] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}
