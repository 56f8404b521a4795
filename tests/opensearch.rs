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
fn a_line_that_cannot_be_a_row_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), DATAFLOW);
    let lines = [
        json!({"index": {"_id": "1"}}),
        // No field has it: only the decoder knows that its vector is too short.
        json!({"embedding": [1, 2]}),
        json!({"create": {"_id": "1"}}),
        json!({"name": "one"}),
        json!({"create": {"_id": "1"}}),
        json!({"name": "two"}),
        json!({"delete": {"_id": "1"}}),
        json!({"create": {"_id": "1"}}),
        json!({"made": "not a date"}),
        json!({"delete": {"_id": "1"}}),
        json!({"index": {"_id": "2"}}),
        json!({"name": "three"}),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (status, answer) = node.post("/products/_bulk?refresh=true", body);
    assert_eq!(status, 200, "{answer}");
    let items = answer["items"].as_array().unwrap();
    let outcome = |item: &Value| {
        let item = item.as_object().unwrap().values().next().unwrap();
        (
            item["status"].as_u64().unwrap(),
            item["result"].as_str().unwrap_or("").to_owned(),
        )
    };
    let outcomes: Vec<_> = items.iter().map(outcome).collect();
    let expected = [
        (400, ""),
        (201, "created"),
        (409, ""),
        (200, "deleted"),
        (400, ""),
        (404, "not_found"),
        (201, "created"),
    ];
    let expected = expected.map(|(status, result)| (status, result.to_owned()));
    assert_eq!(outcomes, expected, "{answer}");
    let reason = items[0]["index"]["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("embedding"), "{reason}");
    // The client was told: nothing waits for somebody else to look at it.
    let (_, stats) = node.get("/v1/indexes/products/stats");
    assert_eq!(
        (&stats["dead_letters"], &stats["documents"]),
        (&json!(0), &json!(1)),
        "{stats}"
    );
}

#[test]
fn of_several_that_create_a_document_at_once_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), DATAFLOW);
    for id in 0..20 {
        let path = format!("/products/_create/{id}");
        let create = || node.post(&path, r#"{"name":"one"}"#).0;
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409], "document {id}");
    }
    // Also what one client does without waiting for searches to see it.
    let write = |line: Value, row: &str| {
        let (_, answer) = node.post("/products/_bulk", format!("{line}\n{row}"));
        let item = answer["items"][0]
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .clone();
        item["status"].as_u64().unwrap()
    };
    for id in 100..120 {
        let (index, create, delete) = (
            json!({"index": {"_id": id}}),
            json!({"create": {"_id": id}}),
            json!({"delete": {"_id": id}}),
        );
        let statuses = [
            write(delete.clone(), ""),
            write(index.clone(), "{}\n"),
            write(create.clone(), "{}\n"),
            write(index, "{}\n"),
            write(delete.clone(), ""),
            write(delete, ""),
            write(create, "{}\n"),
        ];
        assert_eq!(statuses, [404, 201, 409, 200, 200, 404, 201], "document {id}");
    }
}

#[test]
fn a_page_goes_on_where_the_one_before_has_ended_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), DATAFLOW);
    let dates = [
        "0001-01-01T00:00:00Z",
        "1677-09-21T00:12:43.145224Z",
        "1677-09-21T00:12:43.145225Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-02-01T10:30:00.000001Z",
        "2262-04-11T23:47:16.854775Z",
        "2262-04-11T23:47:16.854776Z",
        "9999-12-31T23:59:59.999998Z",
        "9999-12-31T23:59:59.999999Z",
    ];
    let rows: Vec<Value> = (0..90_u64)
        .map(|id| {
            // Neighbours: the next number there is, and the one after that.
            let price = f64::from_bits((0.3_f64 + (id / 3) as f64 * 0.7).to_bits() + id % 3);
            json!({"id": id, "name": "shoe", "price": price, "made": dates[id as usize % dates.len()]})
        })
        .collect();
    let (status, answer) = node.post("/products/_bulk?refresh=true", bulk(&rows));
    assert_eq!((status, &answer["errors"]), (200, &json!(false)), "{answer}");
    for by in ["price", "made"] {
        for order in ["asc", "desc"] {
            let sort = json!([{by: order}, "_id"]);
            let page = |size: u64, after: Option<&Value>| {
                let mut body = json!({"size": size, "sort": sort, "_source": false});
                if let Some(after) = after {
                    body["search_after"] = after.clone();
                }
                send(&node, "/products/_search", &body)["hits"]["hits"].take()
            };
            let id = |hit: &Value| hit["_id"].as_str().unwrap().to_owned();
            let all: Vec<String> = page(100, None).as_array().unwrap().iter().map(id).collect();
            assert_eq!(all.len(), 90);
            let (mut paged, mut after) = (Vec::new(), None);
            while let [hit] = &page(1, after.as_ref()).as_array().unwrap()[..] {
                assert!(paged.len() < 90, "{by} {order}: it comes to no end");
                paged.push(id(hit));
                after = Some(hit["sort"].clone());
            }
            assert_eq!(paged, all, "{by} {order}");
        }
    }
}

#[test]
fn words_of_which_the_analyser_leaves_none_find_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), DATAFLOW);
    let rows = [
        json!({"id": 1, "name": "the red shoe", "description": "soft"}),
        json!({"id": 2, "name": "a lamp", "description": "the light of it"}),
    ];
    let (status, answer) = node.post("/products/_bulk?refresh=true", bulk(&rows));
    assert_eq!((status, &answer["errors"]), (200, &json!(false)), "{answer}");
    let (the, shoe) = (
        json!({"match": {"name": "the"}}),
        json!({"match": {"name": "shoe"}}),
    );
    let phrase = json!({"match_phrase": {"name": "of the"}});
    let multi =
        json!({"multi_match": {"query": "the of", "fields": ["name", "description"], "operator": "and"}});
    for (query, found) in [
        (the.clone(), vec![]),
        (phrase.clone(), vec![]),
        (multi.clone(), vec![]),
        (json!({"query_string": {"query": "the of"}}), vec![]),
        (json!({"simple_query_string": {"query": "the"}}), vec![]),
        (json!({"term": {"name": "the"}}), vec![]),
        (json!({"terms": {"name": ["the", "red"]}}), vec!["1"]),
        (json!({"match": {"name": "the shoe"}}), vec!["1"]),
        (
            json!({"match": {"name": {"query": "the shoe", "operator": "and"}}}),
            vec!["1"],
        ),
        (json!({"match_phrase": {"name": "the red"}}), vec!["1"]),
        (json!({"bool": {"must": [the, shoe]}}), vec![]),
        (json!({"bool": {"must": [phrase, shoe]}}), vec![]),
        (json!({"bool": {"must": shoe, "filter": the}}), vec![]),
        (json!({"bool": {"must": shoe, "filter": multi}}), vec![]),
        (json!({"bool": {"should": [the, shoe]}}), vec!["1"]),
        (
            json!({"bool": {"should": [the, shoe], "minimum_should_match": 2}}),
            vec![],
        ),
        (json!({"bool": {"must": shoe, "should": the}}), vec!["1"]),
        (json!({"bool": {"must": shoe, "must_not": the}}), vec!["1"]),
        (json!({"bool": {"must_not": [the, shoe]}}), vec!["2"]),
        // A word of a line that is none is left out of the line.
        (json!({"query_string": {"query": "+the +shoe"}}), vec!["1"]),
    ] {
        let answer = send(&node, "/products/_search", &json!({"query": query}));
        let hits = answer["hits"]["hits"].as_array().unwrap();
        let ids: Vec<&str> = hits.iter().map(|hit| hit["_id"].as_str().unwrap()).collect();
        assert_eq!(ids, found, "{query}");
        let count = send(&node, "/products/_count", &json!({"query": query}));
        assert_eq!(count["count"], found.len(), "{query}");
    }
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
