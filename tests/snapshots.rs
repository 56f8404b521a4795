//! Snapshots of a node that runs and writes, made over HTTP or by the command, and nodes that start from them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{Served, eventually, millpond, new_data_dir};

const NOTES: &str = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = { text = {} }
embed = "{text}"
[checkpoint]
interval = "1h"
"#;

fn dataflow(folder: &TempDir) -> std::path::PathBuf {
    let path = folder.path().join("notes.toml");
    std::fs::write(&path, NOTES).unwrap();
    path
}

fn push(agent: &ureq::Agent, url: &str, line: &str, wait: &str) -> Value {
    let request = agent.post(format!("{url}/v1/tables/notes/changes?wait={wait}"));
    let mut answer = request.send(line).unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
}

fn note(id: usize) -> String {
    json!({"id": id, "text": format!("note number{id}")}).to_string()
}

fn letters(node: &Served) -> Vec<String> {
    let (_, list) = node.get("/v1/dead-letters");
    let letters = list["letters"].as_array().unwrap_or_else(|| panic!("{list}"));
    letters
        .iter()
        .map(|letter| letter["id"].as_str().unwrap().to_owned())
        .collect()
}

fn restore(from: &Path) -> Arc<TempDir> {
    let to = new_data_dir();
    let arguments = ["snapshot", "restore"].map(Path::new);
    let data_dir = [from, Path::new("--data-dir"), to.path()];
    millpond(&[arguments.as_slice(), &data_dir].concat()).success();
    to
}

#[test]
fn a_snapshot_has_what_was_searchable_when_it_was_asked_for_and_a_new_node_goes_on_from_there() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let dataflow = dataflow(&folder);
    let node = Served::start_in(&data, &dataflow);
    let agent = crate::binary::agent(crate::binary::PATIENCE);
    // Position 0 is a letter; note n is at position n.
    push(&agent, node.url(), "no json", "visible");
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = {
        let (stop, seen, url) = (stop.clone(), seen.clone(), node.url().to_owned());
        std::thread::spawn(move || {
            for id in 1.. {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let answer = push(&agent, &url, &note(id), "visible");
                assert_eq!(answer["position"], id);
                seen.store(id, Ordering::Release);
            }
        })
    };
    eventually("it writes", || (seen.load(Ordering::Acquire) > 50).then_some(()));

    let mut made = Vec::new();
    for name in ["first", "second"] {
        let before = seen.load(Ordering::Acquire);
        let (status, snapshot) = node.post("/v1/snapshots", json!({"name": name}).to_string());
        assert_eq!((status, &snapshot["name"]), (201, &json!(name)), "{snapshot}");
        let position = snapshot["positions"]["notes/0"].as_u64().unwrap() as usize;
        assert!(position >= before, "{position} of at least {before}");
        made.push((snapshot, position));
        eventually("more is written", || {
            (seen.load(Ordering::Acquire) > position + 10).then_some(())
        });
    }
    stop.store(true, Ordering::Release);
    writer.join().unwrap();
    // What happens afterwards is not in them.
    node.post("/v1/tables/notes/changes?wait=durable", "bad too");
    let (_, dropped) = node.post("/v1/dead-letters/drop", json!({"ids": ["notes/0/0"]}).to_string());
    assert_eq!(dropped["done"], 1);

    let listed = node.get("/v1/snapshots").1;
    let made_ones: Vec<&Value> = made.iter().map(|(snapshot, _)| snapshot).collect();
    assert_eq!(listed, json!({"snapshots": made_ones}));
    // The same by the command, of the files and of the node.
    let list = |place: [&str; 2]| millpond(&[["snapshot", "list"], place].concat()).success();
    let by_files = list(["--data-dir", data.path().to_str().unwrap()]);
    assert_eq!(by_files, list(["--url", node.url()]));
    for (snapshot, position) in &made {
        let tick = format!("tick {}", snapshot["tick"]);
        assert!(
            by_files.contains(&tick) && by_files.contains(&format!("notes/0 to {position}")),
            "{by_files}"
        );
    }

    for (name, (snapshot, position)) in ["first", "second"].into_iter().zip(&made) {
        let copy = restore(&data.path().join("snapshots").join(name));
        let node = Served::start_in(&copy, &dataflow);
        let (_, stats) = node.get("/v1/indexes/notes/stats");
        assert_eq!(
            (
                &stats["documents"],
                &stats["vectors"],
                &stats["tick"],
                &stats["positions"]
            ),
            (
                &json!(position),
                &json!(position),
                &snapshot["tick"],
                &snapshot["positions"]
            ),
            "{name}: {stats}"
        );
        assert_eq!(letters(&node), ["notes/0/0"], "{name}");
        let (_, answer) = node.post("/v1/tables/notes/changes?wait=visible", note(position + 1));
        assert_eq!(answer["position"], position + 1, "{name} goes on");
        assert_eq!(node.get("/v1/indexes/notes/stats").1["documents"], position + 1);
        let (code, log) = node.stop(Signal::TERM);
        assert_eq!(code, 0, "{log}");
    }
}

#[test]
fn a_snapshot_that_cannot_be_made_says_why() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let node = Served::start_in(&data, &dataflow(&folder));
    let error = |body: &str, status: u16, code: &str| {
        let (found, answer) = node.post("/v1/snapshots", body);
        assert_eq!(
            (found, &answer["error"]["code"]),
            (status, &json!(code)),
            "{answer}"
        );
        assert!(answer["error"]["hint"].is_string(), "{answer}");
        answer["error"]["message"].to_string() + &answer["error"]["hint"].to_string()
    };
    error("", 409, "nothing_to_keep");
    node.post("/v1/tables/notes/changes?wait=visible", note(1));
    error(r#"{"name": "../up"}"#, 400, "bad_name");
    error(r#"{"name": 7}"#, 400, "bad_request");
    error(r#"{"nam": "x"}"#, 400, "bad_request");
    error("[", 400, "bad_request");
    assert_eq!(node.post("/v1/snapshots", r#"{"name": "one"}"#).0, 201);
    error(r#"{"name": "one"}"#, 409, "snapshot_exists");

    // Without a name it gets the time for one.
    let (status, dated) = node.post("/v1/snapshots", "");
    assert_eq!(status, 201, "{dated}");
    let name = dated["name"].as_str().unwrap();
    assert!(
        name.len() == 20 && name.starts_with("20") && name.ends_with('Z'),
        "{name}"
    );
    let printed = millpond(&["snapshot", "create", "--url", node.url(), "by-command"]).success();
    assert!(printed.starts_with("by-command\ttick "), "{printed}");
    assert!(printed.contains("notes/0 to 0"), "{printed}");

    let (status, answer) = node.post("/v1/snapshots/restore", "{}");
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("node_runs")));
    assert!(
        answer["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("millpond snapshot restore")
    );
    let used = millpond(&[
        "snapshot",
        "restore",
        data.path().join("snapshots/one").to_str().unwrap(),
        "--data-dir",
        new_used_dir(&folder).to_str().unwrap(),
    ]);
    assert!(used.failure().contains("empty"));
    let neither = millpond(&["snapshot", "create", "x"]);
    assert_ne!(neither.code, 0);
    assert!(neither.stderr.contains("--data-dir") && neither.stderr.contains("--url"));
}

/// A data directory that has no checkpoint yet, but pushes.
fn new_used_dir(folder: &TempDir) -> std::path::PathBuf {
    let used = folder.path().join("used");
    std::fs::create_dir_all(used.join("push/notes")).unwrap();
    used
}
