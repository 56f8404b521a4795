//! The vector leg as a dataflow file and its searches tune it, through the port of a node.

use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millpond::index::vector::SharedVector;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{Served, millpond, new_data_dir, sample};
use crate::shared::{Random, public_data};
use crate::vector::halves;

/// A dataflow over pushed vectors, whose graph is tuned by these lines.
fn dataflow(folder: &TempDir, dimensions: usize, graph: &str) -> PathBuf {
    let path = folder.path().join("vectors.toml");
    let dataflow = format!(
        r#"
name = "vectors"
[tables.vectors]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, v FROM vectors"
key = "id"
vector = "v"
[index.graph]
{graph}
[embedder]
model = "none"
dimensions = {dimensions}
"#
    );
    std::fs::write(&path, dataflow).unwrap();
    path
}

/// Pushes vectors, each with its place as its key, and returns when all that is due is in the graph.
fn push(node: &Served, vectors: &[SharedVector]) {
    for (first, some) in (0_usize..).step_by(500).zip(vectors.chunks(500)) {
        let rows = (first..).zip(some).map(|(id, vector)| {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            let word = ["red shoe", "blue shoe", "red lamp"][id % 3];
            format!(
                "{}\n",
                json!({"id": id, "v": BASE64_STANDARD.encode(bytes), "word": word, "kind": id % 7})
            )
        });
        let (status, body) = node.post(
            "/v1/tables/vectors/changes?wait=visible",
            rows.collect::<String>(),
        );
        assert_eq!((status, &body["accepted"]), (200, &json!(some.len())), "{body}");
    }
    settle(node, vectors.len());
}

fn settle(node: &Served, vectors: usize) {
    node.until("/v1/indexes/vectors/stats", "the graph is built", |(_, stats)| {
        stats["vectors"] == vectors && stats["vectors_unbuilt"] == 0
    });
}

/// Ten hits as key and score.
fn search(node: &Served, query: &[f32], how: &Value) -> Vec<(usize, f64)> {
    let mut request = json!({"vector": query, "mode": "vector", "fields": []});
    let how = how.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(how);
    let answer = node.search("vectors", &request);
    let hits = answer["hits"].as_array().unwrap().iter();
    hits.map(|hit| {
        let key = hit["key"].as_str().unwrap().parse().unwrap();
        (key, hit["vector"]["score"].as_f64().unwrap())
    })
    .collect()
}

/// Scores of all vectors in double precision, and the tenth best of them.
fn cosines(vectors: &[SharedVector], query: &[f32]) -> (Vec<f64>, f64) {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let terms = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        terms.sum()
    };
    let length = |vector: &[f32]| product(vector, vector).sqrt();
    let cosine = |vector: &SharedVector| product(vector, query) / length(vector) / length(query);
    let scores: Vec<f64> = vectors.iter().map(cosine).collect();
    let mut sorted = scores.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let tenth = sorted[9.min(sorted.len() - 1)];
    (scores, tenth)
}

/// What single precision may change of a cosine.
const ROUNDING: f64 = 2e-6;

/// How many hits are among the ten nearest, of those to queries that search as `how` says.
fn found(node: &Served, vectors: &[SharedVector], queries: &[SharedVector], how: &Value) -> usize {
    let mut found = 0;
    for query in queries {
        let (scores, tenth) = cosines(vectors, query);
        let hits = search(node, query, how);
        assert_eq!(hits.len(), 10);
        for (key, score) in hits {
            assert!((score - scores[key]).abs() < ROUNDING, "{key}: {score} of {how}");
            found += usize::from(scores[key] > tenth - ROUNDING);
        }
    }
    found
}

/// Vectors about a few dozen directions: fewer than their dimensions, as texts' are.
fn vectors(random: &mut Random, count: usize, dimensions: usize) -> Vec<SharedVector> {
    let mut number = || random.below(2_000_001) as f32 / 1e6 - 1.0;
    let directions: Vec<Vec<f32>> = (0..dimensions.min(24))
        .map(|_| (0..dimensions).map(|_| number()).collect())
        .collect();
    let mut vector = || {
        let mut vector: Vec<f32> = (0..dimensions).map(|_| 0.1 * number()).collect();
        for (n, direction) in directions.iter().enumerate() {
            let factor = number() * 0.9_f32.powi(n as i32);
            let along = vector.iter_mut().zip(direction);
            along.for_each(|(value, along)| *value += factor * along);
        }
        vector.into()
    };
    (0..count).map(|_| vector()).collect()
}

#[test]
fn vectors_of_2_and_of_4096_dimensions_are_searched_exactly() {
    for dimensions in [2, 4_096] {
        let folder = tempfile::tempdir().unwrap();
        let node = Served::start(&dataflow(&folder, dimensions, ""));
        let random = &mut Random::new(dimensions as u64);
        let vectors = vectors(random, 70, dimensions);
        let (documents, queries) = vectors.split_at(60);
        push(&node, documents);
        assert_eq!(found(&node, documents, queries, &json!({"exact": true})), 100);
        assert_eq!(found(&node, documents, queries, &json!({})), 100);
        for wrong in [dimensions - 1, dimensions + 1] {
            let request = json!({"vector": vec![0.5; wrong]});
            let (status, error) = node.post("/v1/indexes/vectors/search", request.to_string());
            assert_eq!(
                (status, &error["error"]["code"]),
                (400, &json!("wrong_dimensions"))
            );
        }
    }
}

#[test]
fn a_search_finds_the_share_of_the_nearest_that_it_asks_for() {
    let Some(folder) = public_data("search/chorus-icecat") else {
        return;
    };
    let documents = halves(&folder.join("minilm384_docs.f16"), 384, 4_000);
    let queries = halves(&folder.join("minilm384_queries.f16"), 384, usize::MAX);
    let folder = tempfile::tempdir().unwrap();
    let node = Served::start(&dataflow(
        &folder,
        384,
        "m = 8\nef_construction = 32\naccuracy = 0.9",
    ));
    push(&node, &documents);
    let of = 10 * queries.len();
    assert_eq!(found(&node, &documents, &queries, &json!({"exact": true})), of);
    for (how, share) in [
        (json!({"accuracy": 0.99}), 0.99),
        (json!({"accuracy": 0.999}), 0.999),
        (json!({}), 0.9),
        (json!({"ef": 400}), 0.97),
    ] {
        let found = found(&node, &documents, &queries, &how) as f64 / of as f64;
        println!("{how}: recall@10 {found:.4}");
        assert!(found >= share, "{how}: {found}");
    }
}

#[test]
fn the_search_command_says_how_hard_to_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.toml");
    let dataflow = "name = 'notes'\n[tables.notes]\nsource = { kind = 'http' }\nformat = 'upsert-json'\nkey = ['id']\n\
                    [index]\nquery = 'SELECT id, text FROM notes'\nkey = 'id'\nembed = '{text}'\n";
    std::fs::write(&path, dataflow).unwrap();
    let node = Served::start(&path);
    let (status, _) = node.post(
        "/v1/tables/notes/changes?wait=visible",
        r#"{"id": 1, "text": "a lamp"}"#,
    );
    assert_eq!(status, 200);
    let run = |more: &[&str]| millpond(&[&["search", "--url", node.url(), "lamp"], more].concat());
    for effort in [&["--exact"][..], &["--accuracy", "0.99"]] {
        assert!(run(effort).success().contains("vector #1"), "{effort:?}");
    }
    let error = run(&["--accuracy", "1.5"]).failure();
    assert!(error.contains("`accuracy` is 1.5"), "{error}");
    let both = run(&["--accuracy", "0.5", "--exact"]);
    assert!(
        both.code != 0 && both.stderr.contains("cannot be used with"),
        "{both:?}"
    );
}

#[test]
fn every_shown_score_is_that_of_the_vector_itself_whatever_the_search() {
    const DIMENSIONS: usize = 16;
    let vectors = vectors(&mut Random::new(23), 4_010, DIMENSIONS);
    let (documents, queries) = vectors.split_at(4_000);
    let folder = tempfile::tempdir().unwrap();
    let path = dataflow(&folder, DIMENSIONS, "");
    let with_words = std::fs::read_to_string(&path)
        .unwrap()
        .replace("SELECT id, v FROM", "SELECT id, v, word, kind FROM")
        .replace(
            "vector = \"v\"",
            "vector = \"v\"\ntext = { word = {} }\nfields = { kind = \"i64\" }",
        );
    std::fs::write(&path, with_words).unwrap();
    let node = Served::start_in(&new_data_dir(), &path);
    push(&node, documents);
    for query in queries {
        let (cosines, _) = cosines(documents, query);
        for search in [
            json!({"mode": "vector"}),
            json!({"query": "red shoe"}),
            json!({"query": "red shoe", "fusion": {"method": "rrf"}}),
            json!({"mode": "vector", "sort": "_score"}),
            json!({"mode": "vector", "sort": ["kind", "_score"], "limit": 50}),
            json!({"mode": "vector", "group_by": {"field": "kind", "size": 3}}),
        ] {
            let mut asked = json!({"vector": query, "fields": []});
            asked
                .as_object_mut()
                .unwrap()
                .extend(search.as_object().unwrap().clone());
            let answer = node.search("vectors", &asked);
            let groups = answer["groups"].as_array().into_iter().flatten();
            let of_groups = groups.flat_map(|group| group["hits"].as_array().unwrap());
            let hits: Vec<&Value> = answer["hits"]
                .as_array()
                .into_iter()
                .flatten()
                .chain(of_groups)
                .collect();
            assert!(hits.len() >= 10, "{search}: {answer}");
            for hit in hits {
                let key: usize = hit["key"].as_str().unwrap().parse().unwrap();
                if let Some(score) = hit["vector"]["score"].as_f64() {
                    assert!((score - cosines[key]).abs() < ROUNDING, "{search}: {hit}");
                }
            }
        }
    }
}

#[test]
fn a_graph_that_is_tuned_otherwise_keeps_its_answers_and_is_built_anew_only_if_it_must() {
    const DIMENSIONS: usize = 64;
    let random = &mut Random::new(11);
    let vectors = vectors(random, 3_050, DIMENSIONS);
    let (documents, queries) = vectors.split_at(3_000);
    let folder = tempfile::tempdir().unwrap();
    let data = new_data_dir();
    let mut of_the_last: Option<Vec<Vec<(usize, f64)>>> = None;
    // The lines of the graph, and whether what is stored is a graph for them.
    for (graph, is_of_use) in [
        ("reduce = { pca = 24 }", false),
        ("reduce = { pca = 24 }", true),
        (
            "reduce = { pca = 24 }\nm = 32\nef_construction = 40\nef = 200\nbuilder = 'hnsw_rs'",
            true,
        ),
        ("reduce = { truncate = 48 }", false),
        ("reduce = { truncate = 48 }\nquantization = 'f16'", false),
        ("reduce = { truncate = 40 }", false),
        ("", false),
        ("originals = 'memory'", true),
        ("", true),
        ("quantization = 'int8'", false),
        ("quantization = 'f16'", false),
        ("quantization = 'f16'\noriginals = 'disk'", true),
        ("quantization = 'f16'\noriginals = 'disk'", true),
    ] {
        let node = Served::start_in(&data, &dataflow(&folder, DIMENSIONS, graph));
        let is_first = of_the_last.is_none();
        if is_first {
            push(&node, documents);
        }
        settle(&node, documents.len());
        let answers: Vec<_> = queries
            .iter()
            .map(|query| search(&node, query, &json!({})))
            .collect();
        if is_of_use {
            assert_eq!(of_the_last.as_ref(), Some(&answers), "{graph}");
        }
        of_the_last = Some(answers);
        let of = 10 * queries.len();
        assert_eq!(
            found(&node, documents, queries, &json!({"exact": true})),
            of,
            "{graph}"
        );
        let found = found(&node, documents, queries, &json!({}));
        println!("{graph}: {found} of {of}");
        assert!(found * 100 >= of * 95, "{graph}: {found} of {of}");
        for (key, vector) in documents.iter().enumerate().step_by(97) {
            assert_eq!(search(&node, vector, &json!({"limit": 1}))[0].0, key, "{graph}");
        }
        let (_, metrics) = node.get_text("/metrics");
        assert_eq!(
            sample(&metrics, "millpond_documents_corrected_total"),
            0.0,
            "{graph}"
        );
        let (code, log) = node.stop(Signal::TERM);
        assert_eq!(code, 0, "{log}");
        assert_eq!(
            log.contains("graph is built anew"),
            !(is_first || is_of_use),
            "{graph}: {log}"
        );
    }
}
