//! The quick start: two thousand products, compared with a plain fold of their messages.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Columns, Line, assert_same_lines, lines, summary};
use crate::binary::{Ended, Served, millpond, repository};

fn replay(more: &[&str]) -> Ended {
    let dataflow = repository("dataflows/quickstart.toml");
    let mut arguments = vec!["replay", dataflow.to_str().unwrap()];
    arguments.extend(more);
    millpond(&arguments)
}

/// The messages, folded by the simplest code that can do it: later commits win.
#[derive(Default)]
struct Fold {
    rows: BTreeMap<u64, (u64, Option<Columns>)>,
    /// Every text that a published row ever had.
    texts: BTreeSet<String>,
    changes: u64,
}

impl Fold {
    fn of_the_catalogue() -> Fold {
        let file = std::fs::File::open(repository("data/products.ndjson.zst")).unwrap();
        let text = String::from_utf8(zstd::decode_all(file).unwrap()).unwrap();
        let mut fold = Fold::default();
        lines::<Value>(&text)
            .iter()
            .for_each(|message| fold.apply(message));
        fold
    }

    fn apply(&mut self, message: &Value) {
        let commit = message["_tidb"]["commitTs"].as_u64();
        let is_delete = message["type"] == "DELETE";
        for row in message["data"].as_array().into_iter().flatten() {
            self.changes += 1;
            let row = row.as_object().unwrap().clone();
            let id = row["id"].as_str().unwrap().parse().unwrap();
            if row["status"] == "published" && !is_delete {
                let text = |column: &str| row[column].as_str().unwrap_or_default();
                self.texts
                    .insert(format!("{}\n{}", text("name"), text("description")));
            }
            let stored = self.rows.entry(id).or_default();
            if commit >= Some(stored.0) {
                *stored = (commit.unwrap(), (!is_delete).then_some(row));
            }
        }
    }

    fn into_lines(self) -> Vec<Line> {
        let rows = self
            .rows
            .into_iter()
            .filter_map(|(id, (_, row))| Some((id, row?)));
        let line = |(id, mut row): (u64, Columns)| {
            let id = Value::from(id);
            row["id"] = id.clone();
            Line {
                key: Columns::from_iter([("id".to_owned(), id)]),
                row,
            }
        };
        rows.map(line).collect()
    }
}

#[test]
fn the_catalogue_ends_in_the_rows_of_a_plain_fold() {
    let ended = replay(&["--state", "products"]);
    let fold = Fold::of_the_catalogue();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let counts = summary(&ended.stderr);
    for (name, expected) in [
        ("messages", 7_026.0),
        ("changes", 7_116.0),
        ("rows", 1_940.0),
        ("dead letters", 0.0),
    ] {
        assert_eq!(counts[name], expected, "{name}: {}", ended.stderr);
    }
    assert_eq!(fold.changes, 7_116, "data/README.md is right");
    assert!(
        counts["collapsed"] > 3_000.0,
        "most of a flash sale of 4,000 updates collapses: {}",
        ended.stderr
    );
    let expected = fold.into_lines();
    assert_same_lines("quickstart", &lines(&ended.stdout), &expected);
    assert_eq!(
        expected.iter().filter(|line| line.is_published()).count(),
        1_884,
        "data/README.md is right"
    );
}

#[test]
fn an_update_storm_embeds_each_text_once() {
    let texts = Fold::of_the_catalogue().texts.len() as f64;
    // With a tick for each message every text that ever was needed is seen.
    let ended = replay(&["--tick-messages", "1"]);
    assert_eq!(
        summary(&ended.stderr)["texts embedded"],
        texts,
        "{}",
        ended.stderr
    );
    // In one tick only the texts at its end are.
    let published: BTreeSet<String> = {
        let last = Fold::of_the_catalogue().into_lines();
        let text = |line: &Line| format!("{}\n{}", line.row["name"], line.row["description"]);
        last.iter().filter(|line| line.is_published()).map(text).collect()
    };
    let ended = replay(&["--tick-messages", "100000"]);
    assert_eq!(
        summary(&ended.stderr)["texts embedded"],
        published.len() as f64,
        "{}",
        ended.stderr
    );
}

#[test]
fn two_replays_print_the_same_bytes() {
    let arguments = [
        "--state",
        "products",
        "--search",
        "sleep outside in the cold",
        "--json",
    ];
    let (first, second) = (replay(&arguments).success(), replay(&arguments).success());
    assert_eq!(first, second);
    let answer: Value = serde_json::from_str(first.lines().last().unwrap()).unwrap();
    assert_eq!(answer.get("took_ms"), None, "time is not part of a replay");
    assert_eq!(answer["hits"].as_array().unwrap().len(), 10);

    let whole = replay(&["--state", "products", "--tick-messages", "100000"]).success();
    let rows = first.trim_end().rsplit_once('\n').unwrap().0;
    assert_eq!(rows, whole.trim_end(), "where ticks begin and end changes no row");
    // Without --json the same hits are printed for people.
    let shown = replay(&["--search", "sleep outside in the cold"]).success();
    for hit in answer["hits"].as_array().unwrap() {
        let name = hit["document"]["name"].as_str().unwrap();
        assert!(shown.contains(name), "{name} is not in\n{shown}");
    }
    assert!(!shown.contains(" ms"), "{shown}");
}

#[test]
fn the_node_finds_what_it_should_in_all_modes() {
    let node = Served::start(&repository("dataflows/quickstart.toml"));
    let stats = node.caught_up("quickstart");
    for (count, expected) in [
        ("documents", 1_884),
        ("vectors", 1_884),
        ("vectors_pending", 0),
        ("messages", 7_026),
        ("changes", 7_116),
        ("dead_letters", 0),
    ] {
        assert_eq!(stats[count], expected, "{count}: {stats}");
    }
    assert_eq!(stats["positions"], json!({"products/0": 7_025}));

    let categories = |request: Value| -> Vec<String> {
        let answer = node.search("quickstart", &request);
        assert_eq!(answer["as_of"]["positions"], stats["positions"], "{answer}");
        assert!(answer["took_ms"].as_f64().unwrap() > 0.0, "{answer}");
        let hits = answer["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["document"]["category"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, category) in [
        ("waterproof jacket", "sportswear"),
        ("sleep outside in the cold", "camping"),
        ("gift for a gardener", "garden"),
    ] {
        for mode in ["hybrid", "keyword", "vector"] {
            let found = categories(json!({"query": query, "mode": mode, "limit": 5}));
            let fitting = found.iter().filter(|found| *found == category).count();
            assert!(fitting >= 3, "{mode} search for `{query}`: {found:?}");
        }
    }

    // The rows are the second opinion: which of them satisfy the filter.
    let expected: BTreeSet<String> = Fold::of_the_catalogue()
        .into_lines()
        .iter()
        .filter(|line| line.is_published() && line.row["category"] == "camping")
        .filter(|line| line.row["price"].as_str().unwrap().parse::<f64>().unwrap() < 60.0)
        .map(|line| line.key_text(&["id"]))
        .collect();
    assert!(expected.len() > 10, "{expected:?}");
    let filter = "category = 'camping' AND price < 60";
    for (mode, finds_all) in [("vector", true), ("keyword", false), ("hybrid", true)] {
        let request =
            json!({"query": "tent for two", "mode": mode, "filter": filter, "limit": 1000, "fields": []});
        let answer = node.search("quickstart", &request);
        let hits = answer["hits"].as_array().unwrap();
        let found: BTreeSet<String> = hits
            .iter()
            .map(|hit| hit["key"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found.len(), hits.len(), "no document twice");
        assert!(
            !found.is_empty() && found.is_subset(&expected),
            "{mode}: {found:?} of {expected:?}"
        );
        assert!(
            !finds_all || found == expected,
            "{mode}: {found:?} is not all of {expected:?}"
        );
    }
}
