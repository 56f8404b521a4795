//! How fresh an answer is, as a search asks for it, and pages of one snapshot while changes arrive.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::Served;
use crate::shared::Stop;

const DATAFLOW: &str = r#"
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
"#;

fn node() -> (TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("notes.toml");
    std::fs::write(&file, DATAFLOW).unwrap();
    let node = Served::start(&file);
    (folder, node)
}

fn push(node: &Served, wait: &str, notes: impl IntoIterator<Item = (usize, String)>) -> Value {
    let lines: String = notes
        .into_iter()
        .map(|(id, text)| format!("{}\n", json!({"id": id, "text": text})))
        .collect();
    let (status, answer) = node.post(&format!("/v1/tables/notes/changes{wait}"), lines);
    assert!(status == 200 || status == 202, "{answer}");
    answer
}

fn error(node: &Served, request: &Value) -> (u16, String) {
    let (status, answer) = node.post("/v1/indexes/notes/search", request.to_string());
    let code = answer["error"]["code"].as_str().unwrap_or_default().to_owned();
    (status, code)
}

fn keys(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_search_is_answered_with_what_was_pushed_before_it() {
    let (_folder, node) = node();
    for round in 0..50_u64 {
        // The push is answered before it is visible; the search waits for it.
        let pushed = push(&node, "", [(1, format!("word{round}"))]);
        assert_eq!(pushed["position"], round);
        let request = json!({"query": format!("word{round}"), "mode": "keyword",
            "consistency": {"at_least": {"notes/0": round}}});
        let answer = node.search("notes", &request);
        assert_eq!(keys(&answer), ["1"], "{answer}");
        assert!(
            answer["as_of"]["positions"]["notes/0"].as_u64() >= Some(round),
            "{answer}"
        );
    }
    let pushed = push(&node, "?wait=visible", [(2, "token".to_owned())]);
    assert_eq!(pushed["at_least"], json!({"notes/0": 50}));
    let token = json!({"query": "token", "mode": "keyword", "consistency": {"at_least": pushed["at_least"]}});
    assert_eq!(keys(&node.search("notes", &token)), ["2"]);
}

#[test]
fn what_cannot_be_fresh_in_time_says_how_far_the_node_is() {
    let (_folder, node) = node();
    push(&node, "?wait=visible", [(1, "one".to_owned())]);
    let at_least =
        |wanted: Value| json!({"query": "one", "wait_ms": 50, "consistency": {"at_least": wanted}});
    let (status, answer) = node.post(
        "/v1/indexes/notes/search",
        at_least(json!({"notes/0": 9})).to_string(),
    );
    assert_eq!(
        (status, &answer["error"]["code"]),
        (408, &json!("not_fresh_yet")),
        "{answer}"
    );
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("notes/0 is shown up to 0, not 9"), "{message}");
    let future = json!({"commit_ts": 99_000_000_000_000_u64});
    assert_eq!(error(&node, &at_least(future)), (408, "not_fresh_yet".to_owned()));
    assert_eq!(
        error(&node, &at_least(json!({"shoes/0": 1}))),
        (400, "unknown_table".to_owned())
    );

    // All that was pushed has been read: the answer is as fresh as can be.
    let fresh = json!({"query": "one", "consistency": {"max_staleness_ms": 0}});
    let answer = node.search("notes", &fresh);
    assert_eq!(answer["as_of"]["staleness_ms"], 0, "{answer}");
    let committed =
        json!({"query": "one", "consistency": {"at_least": {"commit_ts": 1_795_000_000_000_u64}}});
    assert_eq!(keys(&node.search("notes", &committed)), ["1"]);
}

#[test]
fn pages_neither_repeat_nor_miss_a_document_while_changes_arrive() {
    let (_folder, node) = node();
    let count = 300;
    push(
        &node,
        "?wait=visible",
        (0..count).map(|id| (id, format!("common text of {id}"))),
    );
    let done = AtomicBool::new(false);
    for mode in ["keyword", "hybrid", "vector"] {
        done.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut round = 0;
                while !done.load(Ordering::Relaxed) {
                    round += 1;
                    // Better hits than all others, worse ones, new ones.
                    push(
                        &node,
                        "",
                        (0..count + 50).step_by(7).map(|id| {
                            (
                                id,
                                ["common common text", "nothing else", "common"][(id + round) % 3].to_owned(),
                            )
                        }),
                    );
                }
            });
            let _stop = Stop(&done);
            let mut request =
                json!({"query": "common text", "mode": mode, "limit": 37, "keep_alive_ms": 60_000});
            let (mut seen, mut ticks) = (Vec::new(), BTreeSet::new());
            let first = node.search("notes", &request);
            let whole = json!({"query": "common text", "mode": mode, "limit": 10_000,
                "consistency": {"pinned": first["as_of"]["tick"]}});
            let mut answer = first;
            loop {
                seen.extend(keys(&answer));
                ticks.insert(answer["as_of"]["tick"].as_u64().unwrap());
                let Some(cursor) = answer["cursor"].as_str() else {
                    break;
                };
                request["cursor"] = json!(cursor);
                request["limit"] = json!(20 + seen.len() % 30);
                answer = node.search("notes", &request);
            }
            let expected = keys(&node.search("notes", &whole));
            assert_eq!(seen, expected, "{mode}");
            assert!(seen.len() > 100, "{mode}: {} hits", seen.len());
            assert_eq!(ticks.len(), 1, "{mode}");
        });
    }
}

#[test]
fn a_cursor_that_has_ended_or_is_of_another_search_says_so() {
    let (_folder, node) = node();
    push(&node, "?wait=visible", (0..9).map(|id| (id, "common".to_owned())));
    let mut request = json!({"query": "common", "mode": "keyword", "limit": 3, "keep_alive_ms": 1});
    let cursor = node.search("notes", &request)["cursor"].clone();
    request["cursor"] = cursor;
    let mut other = request.clone();
    other["query"] = json!("uncommon");
    assert!(
        [
            (400, "other_search".to_owned()),
            (410, "cursor_expired".to_owned())
        ]
        .contains(&error(&node, &other))
    );
    crate::binary::eventually("it ends", || {
        (error(&node, &request) == (410, "cursor_expired".to_owned())).then_some(())
    });
    request["cursor"] = json!("nonsense");
    assert_eq!(error(&node, &request), (400, "bad_cursor".to_owned()));
    let pinned = json!({"query": "common", "consistency": {"pinned": 5}});
    assert_eq!(error(&node, &pinned), (410, "not_pinned".to_owned()));
}

#[test]
fn hits_name_the_change_that_they_come_from() {
    let (_folder, node) = node();
    push(&node, "", (0..5).map(|id| (id, format!("word{id}"))));
    push(&node, "?wait=visible", [(3, "word3 again".to_owned())]);
    let answer = node.search("notes", &json!({"query": "word3", "origin": true, "limit": 1}));
    let origin = &answer["hits"][0]["origin"];
    assert_eq!(
        (&origin["table"], &origin["partition"]),
        (&json!("notes"), &json!("0")),
        "{answer}"
    );
    assert_eq!(origin["offset"], 5, "{answer}");
    assert!(origin["model"].is_string(), "{answer}");
    let plain = node.search("notes", &json!({"query": "word3"}));
    assert!(plain["hits"][0].get("origin").is_none(), "{plain}");
}
