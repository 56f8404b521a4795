//! Several vectors of a document, each searched by its name, through the port of a node.

use std::path::{Path, PathBuf};

use millpond::definition::parse;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::binary::{Served, millpond, new_data_dir, sample};

const DATAFLOW: &str = r#"
name = "films"
[tables.films]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, plot, poster FROM films"
key = "id"
text = { title = {} }
embed = "{title}"
[index.vectors.plot]
embed = "{plot}"
[index.vectors.poster]
vector = "poster"
metric = "l2"
embedder = { model = "none", dimensions = 2 }
"#;

fn dataflow(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("films.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn push(node: &Served, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let (status, body) = node.post("/v1/tables/films/changes?wait=visible", lines);
    assert_eq!((status, &body["dead_letters"]), (200, &json!(0)), "{body}");
}

/// The keys of the hits and their scores in the vector leg.
fn nearest(node: &Served, request: Value) -> Vec<(String, f64)> {
    let mut request = request;
    request["mode"] = json!("vector");
    let answer = node.search("films", &request);
    let hits = answer["hits"].as_array().unwrap().iter();
    hits.map(|hit| {
        let key = hit["key"].as_str().unwrap().to_owned();
        (key, hit["vector"]["score"].as_f64().unwrap())
    })
    .collect()
}

fn films() -> [Value; 3] {
    [
        json!({"id": 1, "title": "cats", "plot": "a war between two planets", "poster": [0.0, 1.0]}),
        json!({"id": 2, "title": "the stars at war", "plot": "two kittens find a home", "poster": [3.0, 1.0]}),
        json!({"id": 3, "title": "rain", "plot": null, "poster": null}),
    ]
}

fn first(node: &Served, using: &str, query: &str) -> String {
    nearest(node, json!({"query": query, "using": using}))[0]
        .0
        .clone()
}

#[test]
fn each_vector_of_a_document_is_searched_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let node = Served::start(&dataflow(folder.path(), DATAFLOW));
    push(&node, &films());
    assert_eq!(first(&node, "default", "kitten"), "1");
    assert_eq!(first(&node, "plot", "kitten"), "2");
    assert_eq!(nearest(&node, json!({"query": "kitten"}))[0].0, "1", "the first");
    let near_poster = nearest(&node, json!({"vector": [2.0, 1.0], "using": "poster"}));
    assert_eq!(near_poster, [("2".to_owned(), -1.0), ("1".to_owned(), -4.0)]);
    let filtered = json!({"query": "kitten", "using": "plot", "limit": 10});
    assert_eq!(nearest(&node, filtered).len(), 2, "the third film has no plot");

    let stats = node.get("/v1/indexes/films/stats").1;
    assert_eq!(stats["vectors"], 3 + 2 + 2, "{stats}");
    for (request, code) in [
        (json!({"query": "a", "using": "plots"}), "unknown_vector"),
        (
            json!({"query": "a", "using": "poster", "mode": "vector"}),
            "missing_vector",
        ),
        (
            json!({"vector": [1.0, 2.0, 3.0], "using": "poster"}),
            "wrong_dimensions",
        ),
    ] {
        let (status, error) = node.post("/v1/indexes/films/search", request.to_string());
        assert_eq!((status, &error["error"]["code"]), (400, &json!(code)), "{error}");
    }
    let found = millpond(&[
        "search",
        "--url",
        node.url(),
        "--using",
        "plot",
        "--limit",
        "1",
        "kitten",
    ]);
    assert!(found.success().contains("the stars at war"));
}

#[test]
fn one_vector_changes_and_goes_without_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let node = Served::start(&dataflow(folder.path(), DATAFLOW));
    push(&node, &films());
    let embedded = |node: &Served| node.get("/v1/indexes/films/stats").1["texts_embedded"].clone();
    assert_eq!(embedded(&node), 5, "three titles and two plots");
    // Only the poster is another: no text is embedded.
    let mut rows = films();
    rows[0]["poster"] = json!([9.0, 1.0]);
    push(&node, &rows[..1]);
    assert_eq!(embedded(&node), 5);
    assert_eq!(
        nearest(&node, json!({"vector": [9.0, 1.0], "using": "poster"}))[0].0,
        "1"
    );
    // The plot goes, title and poster stay.
    rows[0]["plot"] = json!(null);
    push(&node, &rows[..1]);
    let plots = nearest(&node, json!({"query": "war", "using": "plot"}));
    assert_eq!(plots.len(), 1, "{plots:?}");
    assert_eq!(first(&node, "default", "kitten"), "1");
    // The document goes, and all of it with it.
    let (status, _) = node.post(
        "/v1/tables/films/changes?wait=visible",
        r#"{"id": 1, "_op": "delete"}"#,
    );
    assert_eq!(status, 200);
    let stats = node.get("/v1/indexes/films/stats").1;
    assert_eq!(
        (&stats["documents"], &stats["vectors"]),
        (&json!(2), &json!(4)),
        "{stats}"
    );
}

#[test]
fn a_restart_brings_all_vectors_back_and_embeds_nothing() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let path = dataflow(folder.path(), DATAFLOW);
    let answers = |node: &Served| {
        [
            json!({"query": "kitten", "using": "default"}),
            json!({"query": "kitten", "using": "plot"}),
            json!({"vector": [2.0, 1.0], "using": "poster"}),
        ]
        .map(|request| nearest(node, request))
    };
    let node = Served::start_in(&data, &path);
    push(&node, &films());
    let before = answers(&node);
    node.stop(Signal::TERM);

    let node = Served::start_in(&data, &path);
    node.recovered();
    assert_eq!(answers(&node), before);
    let metrics = node.get_text("/metrics").1;
    for name in [
        "millpond_texts_embedded_total",
        "millpond_documents_corrected_total",
    ] {
        assert_eq!(sample(&metrics, name), 0.0, "{name}");
    }
    node.stop(Signal::TERM);

    // A further vector is made of the stored rows; those that are there are not embedded again.
    let further = format!("{DATAFLOW}[index.vectors.both]\nembed = \"{{title}} {{plot}}\"\n");
    let node = Served::start_in(&data, &dataflow(folder.path(), &further));
    let stats = node.until(
        "/v1/indexes/films/stats",
        "the new vectors are there",
        |(_, stats)| stats["vectors"] == 10,
    );
    assert_eq!(stats["texts_embedded"], 3, "{stats}");
    assert_eq!(answers(&node), before);
}

#[test]
fn a_vector_that_cannot_be_is_refused_by_its_name() {
    let faults = |from: &str, to: &str| {
        assert!(DATAFLOW.contains(from));
        let file = DATAFLOW.replace(from, to);
        parse(&file, "films.toml", Path::new("")).unwrap_err().to_string()
    };
    for (from, to, expected) in [
        (
            "vectors.plot]",
            "vectors.default]",
            "is the name of the vector that `[index]` itself describes",
        ),
        ("vectors.plot]", "vectors.\"a b\"]", "cannot stand in a path"),
        (
            "embed = \"{plot}\"",
            "embed = \"{plots}\"",
            "`index.vectors.plot.embed`",
        ),
        (
            "embed = \"{plot}\"",
            "",
            "`index.vectors.plot` says nothing of where its vectors come from",
        ),
        (
            "metric = \"l2\"",
            "metrics = \"l2\"",
            "unknown key `metrics` in `index.vectors.poster`",
        ),
        (
            "embedder = { model = \"none\", dimensions = 2 }",
            "",
            "`vector` needs an embedder that is `none`",
        ),
    ] {
        let said = faults(from, to);
        assert!(said.contains(expected), "{said}");
    }
}

const MODELS: &str = r#"
name = "films"
[tables.films]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, v, made_by FROM films"
key = "id"
text = { title = {} }
vector = "v"
vector_model = { column = "made_by", name = "new" }
[embedder]
model = "none"
dimensions = 2
"#;

/// What the stats of the index say: vectors, and of those that are awaited the stale ones.
fn counted(node: &Served) -> [u64; 4] {
    let stats = node.get("/v1/indexes/films/stats").1;
    ["vectors", "vectors_pending", "vectors_stale", "vectors_failed"]
        .map(|name| stats[name].as_u64().unwrap())
}

#[test]
fn ready_made_vectors_of_another_model_are_not_searched_and_their_rows_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = dataflow(folder.path(), MODELS);
    let data = new_data_dir();
    let node = Served::start_in(&data, &file);
    let film = |id: u32, title: &str, v: Value, made_by: Value| json!({"id": id, "title": title, "v": v, "made_by": made_by});
    push(
        &node,
        &[
            film(1, "cats", json!([0.0, 1.0]), json!("new")),
            film(2, "dogs", json!([0.0, 1.0]), json!("old")),
            // The other model has other dimensions.
            film(3, "birds", json!([1.0, 0.0, 0.0]), json!("old")),
            film(4, "fish", json!([1.0, 0.0, 0.0]), json!("new")),
            film(5, "stones", json!(null), json!("new")),
            film(6, "rocks", json!([1.0, 0.0]), json!(null)),
        ],
    );
    let all = json!({"vector": [0.0, 1.0], "model": "new"});
    assert_eq!(nearest(&node, all.clone()), [("1".to_owned(), 1.0)]);
    assert_eq!(counted(&node), [1, 3, 0, 1]);
    let words = node.search("films", &json!({"query": "birds", "mode": "keyword"}));
    assert_eq!(words["hits"][0]["vector_state"], "pending", "{words}");

    // A vector of the other model says that one of this is to come: the former is shown until then.
    push(
        &node,
        &[
            film(1, "tigers", json!([1.0, 0.0]), json!("old")),
            film(2, "dogs", json!([1.0, 0.0]), json!("new")),
        ],
    );
    let both = [("1".to_owned(), 1.0), ("2".to_owned(), 0.0)];
    assert_eq!(nearest(&node, all.clone()), both);
    assert_eq!(counted(&node), [2, 3, 1, 1]);

    let other = json!({"vector": [0.0, 1.0], "model": "old"});
    let (status, error) = node.post("/v1/indexes/films/search", other.to_string());
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("wrong_model")),
        "{error}"
    );

    assert_eq!(node.stop(Signal::TERM).0, 0);
    let node = Served::start_in(&data, &file);
    node.until("/v1/indexes/films/stats", "all is back", |(_, stats)| {
        stats["vectors"] == 2
    });
    assert_eq!(nearest(&node, all), both, "also what is shown of a row before");
    assert_eq!(counted(&node), [2, 3, 1, 1]);

    // The other model is searched from now on: its rows are all there.
    assert_eq!(node.stop(Signal::TERM).0, 0);
    let file = dataflow(
        folder.path(),
        &MODELS.replace("name = \"new\" }", "name = \"old\" }"),
    );
    let node = Served::launch(&file, &data, &["--rebuild"]);
    node.ready();
    node.until(
        "/v1/indexes/films/stats",
        "the other model is searched",
        |(_, stats)| stats["vectors"] == 1 && stats.get("rebuilding").is_none(),
    );
    assert_eq!(
        nearest(&node, json!({"vector": [1.0, 0.0], "model": "old"})),
        [("1".to_owned(), 1.0)]
    );
}
