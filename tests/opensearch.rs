//! The door for clients of OpenSearch: driven by the real `opensearch-py`, against a plain model of the rows.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::binary::{Served, repository};
use crate::shared::public_data;

const DATAFLOW: &str = r#"
name = "products"
[tables.products]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
columns = { price = "double", stock = "int" }
[index]
query = "SELECT id, name, description, category, price, stock, made, sold, embedding FROM products"
key = "id"
text = { name = { boost = 2.0 }, description = {} }
vector = "embedding"
fields = { category = "keyword", price = "f64", stock = "i64", made = "date", sold = "bool" }
[embedder]
model = "none"
dimensions = 4
[checkpoint]
interval = "1h"
"#;

fn node(folder: &Path, dataflow: &str) -> Served {
    let path = folder.join("products.toml");
    std::fs::write(&path, dataflow).unwrap();
    Served::start(&path)
}

/// Python with `opensearch-py`: that of `MILLPOND_PYTHON`, or the one there is; `None` with the reason printed.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("MILLPOND_PYTHON").map_or("python3".into(), PathBuf::from);
    let found = Command::new(&python).args(["-c", "import opensearchpy"]).output();
    match found {
        Ok(Output { status, .. }) if status.success() => Some(python),
        Ok(output) => {
            println!(
                "skipped: {} has no opensearch-py: {}",
                python.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            None
        }
        Err(error) => {
            println!("skipped: {}: {error}", python.display());
            None
        }
    }
}

/// Runs a script of `tests/opensearch/` against a node.
#[track_caller]
fn script(python: &Path, name: &str, node: &Served, more: &[&str]) {
    let path = repository("tests/opensearch").join(name);
    let output = Command::new(python)
        .arg(path)
        .arg(node.url())
        .args(more)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        node.log()
    );
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("all good\n"));
}

#[test]
fn opensearch_py_writes_and_finds_what_a_plain_model_of_the_rows_has() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), DATAFLOW);
    script(&python, "products.py", &node, &[]);
}

fn send(node: &Served, path: &str, body: &Value) -> Value {
    let (status, answer) = node.post(path, body.to_string());
    assert_eq!(status, 200, "{path} {body}: {answer}");
    answer
}

fn bulk(rows: &[Value]) -> String {
    let lines = rows
        .iter()
        .map(|row| format!("{}\n{row}\n", json!({"index": {"_id": row["id"].to_string()}})));
    lines.collect()
}

#[test]
fn the_query_that_this_door_is_for_is_answered_leg_by_leg() {
    let Some(path) = public_data("opensearch-query.json") else {
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let mut query: Value = serde_json::from_str(&text).unwrap();
    query["query"]["hybrid"]["queries"][1]["knn"]["embedding"]["vector"] = json!([1.0, 0.0, 0.0, 0.0]);
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), DATAFLOW);
    let product = |id: u64, name: &str, category: &str, price: f64, angle: f64| json!({"id": id, "name": name, "category": category, "price": price, "embedding": [angle.cos(), angle.sin(), 0.0, 0.0]});
    let rows = [
        product(1, "durable laptop", "electronics", 150.0, 3.0),
        product(2, "durable phone", "electronics", 250.0, 2.9),
        product(3, "durable boots", "shoes", 90.0, 2.8),
        product(4, "soft shoe", "shoes", 20.0, 0.1),
        product(5, "durable case", "electronics", 200.0, 0.2),
        product(6, "lamp", "home", 10.0, 0.3),
        product(7, "rug", "home", 10.0, 0.4),
        product(8, "vase", "home", 10.0, 0.5),
        product(9, "bowl", "home", 10.0, 0.6),
    ];
    let (status, answer) = node.post("/products/_bulk?refresh=true", bulk(&rows));
    assert_eq!((status, &answer["errors"]), (200, &json!(false)), "{answer}");

    let answer = send(&node, "/products/_search", &query);
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let mut ids: Vec<&str> = hits.iter().map(|hit| hit["_id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], "5", "found by both: {answer}");
    // The filter is of the words' side alone, and the vector's side finds its five.
    ids.sort_unstable();
    assert_eq!(ids, ["1", "4", "5", "6", "7", "8"], "{answer}");
    assert_eq!(answer["hits"]["total"], json!({"value": 6, "relation": "eq"}));
    let columns: Vec<&String> = hits[0]["_source"].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["category", "name", "price"]);
}

#[test]
fn what_is_not_supported_is_named_in_an_error_of_400() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), DATAFLOW);
    for (path, body, kind, named) in [
        (
            "/products/_search",
            json!({"query": {"fuzzy": {"name": "shoe"}}}),
            "parsing_exception",
            "fuzzy",
        ),
        (
            "/products/_search",
            json!({"query": {"match": {"name": {"query": "a", "analyzer": "x"}}}}),
            "parsing_exception",
            "analyzer",
        ),
        (
            "/products/_search",
            json!({"rescore": {}}),
            "parsing_exception",
            "rescore",
        ),
        (
            "/products/_search",
            json!({"query": {"match": {"colour": "red"}}}),
            "illegal_argument_exception",
            "colour",
        ),
        (
            "/products/_search",
            json!({"size": 10_001}),
            "illegal_argument_exception",
            "10001",
        ),
        (
            "/products/_search?scroll=1m",
            json!({}),
            "illegal_argument_exception",
            "scroll",
        ),
        (
            "/products/_count",
            json!({"size": 1}),
            "parsing_exception",
            "size",
        ),
        (
            "/products/_update/1",
            json!({"doc": {}}),
            "illegal_argument_exception",
            "_update",
        ),
        (
            "/products/_delete_by_query",
            json!({}),
            "illegal_argument_exception",
            "_delete_by_query",
        ),
        (
            "/products/_doc?routing=x",
            json!({"id": 1}),
            "illegal_argument_exception",
            "routing",
        ),
    ] {
        let (status, answer) = node.post(path, body.to_string());
        assert_eq!(
            (status, &answer["status"], &answer["error"]["type"]),
            (400, &json!(400), &json!(kind)),
            "{path} {body}: {answer}"
        );
        assert_eq!(
            answer["error"]["root_cause"][0]["reason"],
            answer["error"]["reason"]
        );
        let reason = answer["error"]["reason"].as_str().unwrap();
        assert!(reason.contains(named), "{path} {body}: {reason}");
    }
    let (status, answer) = node.post("/others/_search", "{}");
    assert_eq!(
        (status, &answer["error"]["type"]),
        (404, &json!("index_not_found_exception"))
    );
}

#[test]
fn a_table_that_is_read_from_elsewhere_takes_no_writes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rows.ndjson"), "{\"id\":1,\"name\":\"a\"}\n").unwrap();
    let dataflow = DATAFLOW.replace(
        r#"{ kind = "http" }"#,
        r#"{ kind = "file", path = "rows.ndjson" }"#,
    );
    let node = node(folder.path(), &dataflow);
    let (status, answer) = node.post("/products/_bulk", "{\"delete\":{\"_id\":\"1\"}}\n");
    assert_eq!(
        (status, &answer["error"]["type"]),
        (400, &json!("illegal_argument_exception")),
        "{answer}"
    );
    node.caught_up("products");
    assert_eq!(send(&node, "/products/_count", &json!({}))["count"], 1);
}
