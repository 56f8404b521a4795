//! How hits are put in order: fusion and its explanation, the least score, diversity, and documents like one.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::Served;

const DATAFLOW: &str = r#"
name = "points"
[tables.points]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text, v FROM points"
key = "id"
text = { text = { analyzer = "simple" } }
vector = "v"
[embedder]
model = "none"
dimensions = 2
"#;

fn node(points: &[(u32, &str, Value)]) -> (TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("points.toml");
    std::fs::write(&file, DATAFLOW).unwrap();
    let node = Served::start(&file);
    let lines: String = points
        .iter()
        .map(|(id, text, v)| format!("{}\n", json!({"id": id, "text": text, "v": v})))
        .collect();
    let (status, answer) = node.post("/v1/tables/points/changes?wait=visible", lines);
    assert_eq!(status, 200, "{answer}");
    (folder, node)
}

fn keys(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["key"].as_str().unwrap()).collect()
}

fn code(node: &Served, request: &Value) -> (u16, String) {
    let (status, answer) = node.post("/v1/indexes/points/search", request.to_string());
    (
        status,
        answer["error"]["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn an_explanation_adds_up_to_the_score_whatever_the_fusion() {
    let points: Vec<(u32, &str, Value)> = (0..40)
        .map(|id| {
            let angle = f64::from(id) / 10.0;
            let text = ["shoe", "red shoe", "boot", "red", "red red shoe box"][id as usize % 5];
            (id, text, json!([angle.cos(), angle.sin()]))
        })
        .collect();
    let (_folder, node) = node(&points);
    for fusion in [
        json!({"method": "relative", "weight": 0.3}),
        json!({"method": "distribution", "weight": 0.6}),
        json!({"method": "linear", "weights": {"vector": 2.5}}),
        json!({"method": "rrf", "k": 20, "weights": {"keyword": 0.5}, "window": 10}),
    ] {
        let request = json!({"query": "red shoe", "vector": [1.0, 0.2], "fusion": fusion, "explain": true, "limit": 40});
        let answer = node.search("points", &request);
        let hits = answer["hits"].as_array().unwrap();
        assert!(hits.len() >= 10, "{answer}");
        for hit in hits {
            let explained = &hit["explain"]["fusion"];
            assert_eq!(explained["method"], fusion["method"]);
            let [keyword, vector] = ["keyword", "vector"].map(|leg| explained[leg]["adds"].as_f64().unwrap());
            let score = hit["score"].as_f64().unwrap();
            assert!((keyword + vector - score).abs() < 1e-6, "{hit}");
            let is_found = |leg: &str| hit.get(leg).is_some();
            if fusion["method"] != "linear" {
                assert!(is_found("keyword") || keyword == 0.0, "{hit}");
            }
            assert_eq!(
                hit["explain"]["vector"]["metric"] == "cosine",
                is_found("vector"),
                "{hit}"
            );
        }
        let best = hits[0]["score"].clone();
        let mut bounded = request.clone();
        bounded["min_score"] = best.clone();
        let answer = node.search("points", &bounded);
        let bounded = answer["hits"].as_array().unwrap();
        assert!(
            !bounded.is_empty() && bounded.iter().all(|hit| hit["score"] == best),
            "{answer}"
        );
    }
    let plain = node.search("points", &json!({"query": "red", "mode": "keyword"}));
    assert!(plain["hits"][0].get("explain").is_none());
    let refused = json!({"query": "red", "vector": [1.0, 0.0], "fusion": {"method": "rrf", "window": 0}});
    assert_eq!(code(&node, &refused), (400, "bad_fusion".to_owned()));
}

#[test]
fn unlike_documents_come_forward_and_relevance_alone_changes_nothing() {
    // Three that are nearly the same, and one a little farther off on the other side.
    let (_folder, node) = node(&[
        (1, "a", json!([1.0, 0.01])),
        (2, "a", json!([1.0, 0.02])),
        (3, "a", json!([1.0, 0.03])),
        (4, "a", json!([0.3, -1.0])),
        (5, "a", json!(null)),
    ]);
    let request = |lambda: f64| json!({"query": "a", "vector": [1.0, 0.0], "mode": "vector", "mmr": {"lambda": lambda, "window": 4}});
    assert_eq!(keys(&node.search("points", &request(1.0))), ["1", "2", "3", "4"]);
    assert_eq!(keys(&node.search("points", &request(0.3)))[..2], ["1", "4"]);
    // A document without a vector is like no other.
    let by_words = json!({"query": "a", "mode": "keyword", "mmr": {"lambda": 0.0}});
    assert_eq!(keys(&node.search("points", &by_words))[..3], ["1", "5", "4"]);
    for wrong in [json!({"lambda": 1.5}), json!({"window": 1})] {
        let request = json!({"query": "a", "vector": [1.0, 0.0], "mmr": wrong});
        assert_eq!(code(&node, &request), (400, "bad_mmr".to_owned()));
    }
}

#[test]
fn documents_like_one_are_the_nearest_to_it_without_it() {
    let (_folder, node) = node(&[
        (1, "red shoe", json!([1.0, 0.0])),
        (2, "boot", json!([0.9, 0.1])),
        (3, "red lamp", json!([0.0, 1.0])),
        (4, "red box", json!(null)),
    ]);
    let answer = node.search("points", &json!({"like": "1"}));
    assert_eq!(keys(&answer), ["2", "3"], "{answer}");
    let both = node.search("points", &json!({"like": "1", "query": "red", "total": true}));
    assert!(!keys(&both).contains(&"1"), "neither leg finds it: {both}");
    assert_eq!(both["total"]["value"], 3, "{both}");
    assert_eq!(
        code(&node, &json!({"like": "9"})),
        (400, "unknown_document".to_owned())
    );
    assert_eq!(code(&node, &json!({"like": "4"})), (400, "no_vector".to_owned()));
    assert_eq!(
        code(&node, &json!({"like": "1", "vector": [1.0, 0.0]})),
        (400, "bad_like".to_owned())
    );
}
