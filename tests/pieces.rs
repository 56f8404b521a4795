//! Long texts that are embedded in pieces, through the port of a node.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::binary::{Served, new_data_dir, sample};

const DATAFLOW: &str = r#"
name = "books"
[tables.books]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, text, price FROM books"
key = "id"
text = { title = {} }
fields = { price = "i64" }
embed = "{text}"
chunk = { tokens = 40, overlap = 5 }
"#;

const SUBJECTS: [&str; 6] = [
    "The harbour was full of fishing boats and gulls",
    "Quarterly revenue grew by nine percent in the north",
    "A kitten slept in the sun on the garden wall",
    "The orchestra played a slow symphony that night",
    "Volcanoes shape the islands of the southern sea",
    "The judge read the verdict to a silent court",
];

/// A text whose n-th paragraph is about the n-th subject.
fn book(subjects: &[&str]) -> String {
    let paragraph = |(n, subject): (usize, &&str)| {
        format!("{subject}, as chapter {n} tells at length and with care.\n\n")
    };
    subjects.iter().enumerate().map(paragraph).collect()
}

fn dataflow(folder: &Path) -> PathBuf {
    let path = folder.join("books.toml");
    std::fs::write(&path, DATAFLOW).unwrap();
    path
}

fn push(node: &Served, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let (status, body) = node.post("/v1/tables/books/changes?wait=visible", lines);
    assert_eq!((status, &body["dead_letters"]), (200, &json!(0)), "{body}");
}

fn hits(node: &Served, query: &str, filter: Option<&str>) -> Vec<Value> {
    let request = json!({"query": query, "mode": "vector", "filter": filter, "fields": []});
    node.search("books", &request)["hits"].as_array().unwrap().clone()
}

fn stats(node: &Served) -> Value {
    node.get("/v1/indexes/books/stats").1
}

#[test]
fn a_document_is_found_by_its_best_piece() {
    let folder = tempfile::tempdir().unwrap();
    let node = Served::start(&dataflow(folder.path()));
    let text = book(&SUBJECTS);
    push(
        &node,
        &[
            json!({"id": 1, "title": "all", "text": text, "price": 5}),
            json!({"id": 2, "title": "boats", "text": SUBJECTS[0], "price": 7}),
            json!({"id": 3, "title": "none", "text": "", "price": 7}),
        ],
    );
    let kitten = &hits(&node, "cats and kittens", None)[0];
    assert_eq!(kitten["key"], "1");
    let piece = &kitten["piece"];
    assert!(piece["text"].as_str().unwrap().contains("kitten"), "{piece}");
    let at = |name: &str| piece[name].as_u64().unwrap() as usize;
    let said: String = text
        .chars()
        .skip(at("start"))
        .take(at("end") - at("start"))
        .collect();
    assert_eq!(piece["text"], said);

    let boats = hits(&node, "fishing boats in the harbour", None);
    let keys: Vec<&str> = boats.iter().map(|hit| hit["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["2", "1"], "each document once");
    let cheap = hits(&node, "fishing boats in the harbour", Some("price < 6"));
    assert_eq!((cheap.len(), &cheap[0]["key"]), (1, &json!("1")));
    let hybrid = node.search("books", &json!({"query": "boats"}));
    assert_eq!(hybrid["hits"][0]["key"], "2");
    assert!(hybrid["hits"][0]["piece"]["text"].is_string(), "{hybrid}");
}

#[test]
fn a_changed_paragraph_embeds_its_pieces_alone_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = Served::start(&dataflow(folder.path()));
    let long: Vec<String> = (0..120)
        .map(|n| format!("{} in year {n}", SUBJECTS[n % 6]))
        .collect();
    let mut subjects: Vec<&str> = long.iter().map(String::as_str).collect();
    push(
        &node,
        &[json!({"id": 1, "title": "a", "text": book(&subjects), "price": 1})],
    );
    let before = stats(&node);
    let (embedded, vectors) = (
        before["texts_embedded"].as_u64().unwrap(),
        before["vectors"].as_u64().unwrap(),
    );
    assert!(vectors > 30, "{before}");

    subjects[60] = "The dentist recommends a softer toothbrush";
    push(
        &node,
        &[json!({"id": 1, "title": "a", "text": book(&subjects), "price": 1})],
    );
    let after = stats(&node);
    let more = after["texts_embedded"].as_u64().unwrap() - embedded;
    assert!(
        (1..=6).contains(&more),
        "{more} pieces were embedded of {vectors}"
    );
    let found = &hits(&node, "toothbrush", None)[0]["piece"]["text"];
    assert!(found.as_str().unwrap().contains("dentist"), "{found}");

    // A paragraph in front moves all others, and embeds none of them.
    subjects.insert(0, "A preface");
    let text = format!("A preface of its own.\n\n{}", book(&subjects[1..]));
    push(&node, &[json!({"id": 1, "title": "a", "text": text, "price": 1})]);
    let moved = stats(&node)["texts_embedded"].as_u64().unwrap() - embedded - more;
    assert!((1..=4).contains(&moved), "{moved}");
    let piece = hits(&node, "toothbrush", None)[0]["piece"].clone();
    let at = |name: &str| piece[name].as_u64().unwrap() as usize;
    let said: String = text
        .chars()
        .skip(at("start"))
        .take(at("end") - at("start"))
        .collect();
    assert_eq!(piece["text"], said, "the place is that in the new text");

    push(
        &node,
        &[json!({"id": 1, "title": "a", "text": "short", "price": 1})],
    );
    assert_eq!(stats(&node)["vectors"], 1);
    let (status, _) = node.post(
        "/v1/tables/books/changes?wait=visible",
        r#"{"id": 1, "_op": "delete"}"#,
    );
    assert_eq!(status, 200);
    assert_eq!(stats(&node)["vectors"], 0);
}

#[test]
fn pieces_come_back_after_a_restart() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let path = dataflow(folder.path());
    let node = Served::start_in(&data, &path);
    let rows: Vec<Value> = (0..200)
        .map(|n| {
            let subjects: Vec<&str> = (0..n % 7).map(|m| SUBJECTS[(n + m) % 6]).collect();
            json!({"id": n, "title": "t", "text": book(&subjects), "price": n})
        })
        .collect();
    push(&node, &rows);
    // Some places are free, and some are used again.
    push(
        &node,
        &[
            json!({"id": 5, "title": "t", "text": "", "price": 5}),
            rows[6].clone(),
        ],
    );
    push(
        &node,
        &[json!({"id": 300, "title": "t", "text": book(&SUBJECTS), "price": 6})],
    );
    let answers = |node: &Served| -> Vec<Vec<Value>> {
        SUBJECTS
            .map(|query| hits(node, query, Some("price < 150")))
            .to_vec()
    };
    let (before, vectors) = (answers(&node), stats(&node)["vectors"].clone());
    node.stop(Signal::TERM);
    let node = Served::start_in(&data, &path);
    assert_eq!(answers(&node), before);
    assert_eq!(stats(&node)["vectors"], vectors);
    let metrics = node.get_text("/metrics").1;
    for name in [
        "millpond_texts_embedded_total",
        "millpond_documents_corrected_total",
    ] {
        assert_eq!(sample(&metrics, name), 0.0, "{name}");
    }
    // What is free after a restart is used again.
    push(
        &node,
        &[json!({"id": 301, "title": "t", "text": book(&SUBJECTS), "price": 6})],
    );
    assert!(stats(&node)["vectors"].as_u64() > vectors.as_u64());
    assert_eq!(
        hits(&node, SUBJECTS[3], Some("price = 6")).len(),
        3,
        "6, 300 and 301"
    );
}

#[test]
fn a_stored_graph_is_used_again_after_its_last_pieces_are_gone() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let path = dataflow(folder.path());
    let node = Served::start_in(&data, &path);
    let row = |n: usize| {
        let subjects: Vec<String> = SUBJECTS
            .iter()
            .map(|subject| format!("{subject} ({n})"))
            .collect();
        let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
        json!({"id": n, "title": "t", "text": book(&subjects), "price": n})
    };
    push(&node, &(0..400).map(row).collect::<Vec<_>>());
    node.until("/v1/indexes/books/stats", "the graph is built", |(_, stats)| {
        stats["vectors"].as_u64() > Some(1_100) && stats["vectors_unbuilt"] == 0
    });
    let last: String = (380..400)
        .map(|n| format!("{}\n", json!({"id": n, "_op": "delete"})))
        .collect();
    let (status, _) = node.post("/v1/tables/books/changes?wait=visible", last);
    assert_eq!(status, 200);
    let answers = |node: &Served| {
        SUBJECTS
            .map(|query| hits(node, query, Some("price < 300")))
            .to_vec()
    };
    let before = answers(&node);
    node.stop(Signal::TERM);
    for round in 0..3 {
        let node = Served::start_in(&data, &path);
        assert!(!node.log().contains("made anew"), "round {round}: {}", node.log());
        assert_eq!(answers(&node), before, "round {round}");
        // So that there is something to store.
        push(
            &node,
            &[json!({"id": 1_000, "title": "t", "text": "a note", "price": 1_000 + round})],
        );
        node.stop(Signal::TERM);
    }
}
