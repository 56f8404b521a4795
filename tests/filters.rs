//! Filters through the port of a node: as SQL and as JSON, on both legs, by the node's clock, and after a field has
//! become one of another kind.

use std::path::{Path, PathBuf};

use millpond::definition::parse;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::binary::{Served, new_data_dir};

const DATAFLOW: &str = r#"
name = "shops"
[tables.shops]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, tags, opened, spot, lat, lon, v FROM shops"
key = "id"
text = { title = {} }
vector = "v"
[index.fields]
tags = "keyword"
opened = "date"
spot = "geo"
place = { kind = "geo", lat = "lat", lon = "lon" }
[embedder]
model = "none"
dimensions = 2
"#;

fn dataflow(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("shops.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn push(node: &Served, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let (status, body) = node.post("/v1/tables/shops/changes?wait=visible", lines);
    assert_eq!((status, &body["dead_letters"]), (200, &json!(0)), "{body}");
}

fn shops() -> [Value; 4] {
    [
        json!({"id": 1, "title": "tea", "tags": ["green", "black"], "opened": "2020-01-01", "v": [1, 0],
            "spot": {"lat": 52.52, "lon": 13.405}, "lat": -17.7, "lon": 178.0}),
        json!({"id": 2, "title": "tea", "tags": "green", "opened": "2999-12-31T23:00:00+02:00", "v": [0, 1],
            "spot": [2.35, 48.86], "lat": -17.7, "lon": -179.0}),
        json!({"id": 3, "title": "tea", "tags": [], "opened": ["1999-05-05", "2026-03-01 10:00:00"], "v": [1, 1],
            "spot": "52.4,13.06", "lat": 0, "lon": 0}),
        json!({"id": 4, "title": "tea", "v": [2, 1]}),
    ]
}

/// The keys that a filter lets through, the same on both legs.
fn found(node: &Served, filter: &Value) -> Vec<u64> {
    let asked = [
        json!({"query": "tea", "mode": "keyword"}),
        json!({"vector": [1, 0], "mode": "vector"}),
        json!({"query": "tea", "vector": [1, 0]}),
    ];
    let mut all = asked.map(|mut request| {
        request["filter"] = filter.clone();
        let answer = node.search("shops", &request);
        let hits = answer["hits"].as_array().unwrap().iter();
        let mut keys: Vec<u64> = hits
            .map(|hit| hit["key"].as_str().unwrap().parse().unwrap())
            .collect();
        keys.sort();
        keys
    });
    assert!(all.iter().all(|keys| *keys == all[0]), "{filter}: {all:?}");
    std::mem::take(&mut all[0])
}

#[test]
fn a_filter_of_any_kind_is_the_same_on_both_legs() {
    let folder = tempfile::tempdir().unwrap();
    let node = Served::start(&dataflow(folder.path(), DATAFLOW));
    push(&node, &shops());
    for (filter, expected) in [
        (json!("tags = 'green'"), vec![1, 2]),
        (json!({"eq": {"tags": "black"}}), vec![1]),
        (json!({"not": {"exists": "tags"}}), vec![3, 4]),
        (json!("array_length(tags) = 0"), vec![3]),
        (json!("opened > now()"), vec![2]),
        (
            json!("opened < now() - interval '7 days' AND NOT opened > now()"),
            vec![1, 3],
        ),
        (
            json!({"range": {"opened": {"gte": "2000-01-01", "lt": "2020-01-01T00:00:00.001Z"}}}),
            vec![1],
        ),
        (
            json!({"geo_distance": {"field": "spot", "lat": 52.5, "lon": 13.4, "metres": 30_000}}),
            vec![1, 3],
        ),
        (
            json!({"geo_box": {"field": "place", "south": -20, "west": 177, "north": -10, "east": -178}}),
            vec![1, 2],
        ),
        (
            json!({"and": ["tags = 'green'", {"or": [{"prefix": {"tags": "bl"}}, "geo_distance(place, 0, 0) = 0"]}]}),
            vec![1],
        ),
    ] {
        assert_eq!(found(&node, &filter), expected, "{filter}");
    }
    for (filter, code) in [
        (json!({"eq": {"tag": "x"}}), "unknown_field"),
        (json!({"range": {"opened": {"gte": "now-7d"}}}), "bad_filter"),
        (json!({"like": {"tags": "x"}}), "bad_filter"),
        (json!("spot = 'x'"), "bad_filter"),
    ] {
        let request = json!({"query": "tea", "filter": filter});
        let (status, error) = node.post("/v1/indexes/shops/search", request.to_string());
        assert_eq!((status, &error["error"]["code"]), (400, &json!(code)), "{error}");
    }
}

#[test]
fn a_field_that_becomes_one_of_another_kind_is_made_again_of_the_stored_rows() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let before = DATAFLOW.replace("opened = \"date\"", "opened = \"keyword\"");
    let node = Served::start_in(&data, &dataflow(folder.path(), &before));
    push(&node, &shops());
    assert_eq!(
        found(&node, &json!("opened > '2999-12-31T22:30'")),
        [2],
        "as text"
    );
    node.stop(Signal::TERM);

    let node = Served::start_in(&data, &dataflow(folder.path(), DATAFLOW));
    node.recovered();
    assert_eq!(
        found(&node, &json!("opened > '2999-12-31T22:30'")),
        Vec::<u64>::new(),
        "as a point in time"
    );
    assert_eq!(found(&node, &json!("opened = '2999-12-31 21:00'")), [2]);
    node.stop(Signal::TERM);

    // The same field out of other columns.
    let swapped = DATAFLOW.replace("lat = \"lat\", lon = \"lon\"", "lat = \"lat\", lon = \"lat\"");
    let node = Served::start_in(&data, &dataflow(folder.path(), &swapped));
    node.recovered();
    assert_eq!(
        found(&node, &json!("geo_distance(place, -17.7, -17.7) < 1")),
        [1, 2]
    );
}

#[test]
fn a_place_of_two_columns_that_cannot_be_is_refused() {
    let place = "{ kind = \"geo\", lat = \"lat\", lon = \"lon\" }";
    for (to, expected) in [
        (
            "{ kind = \"geo\", lat = \"lat\" }",
            "`index.fields.place` lacks `lon`",
        ),
        (
            "{ kind = \"date\", lat = \"lat\", lon = \"lon\" }",
            "there is only `geo`",
        ),
        (
            "{ kind = \"geo\", lat = \"lat\", lon = \"long\" }",
            "did you mean `lon`?",
        ),
        ("\"geos\"", "did you mean `geo`?"),
    ] {
        let file = DATAFLOW.replace(place, to);
        let said = parse(&file, "shops.toml", Path::new("")).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}
