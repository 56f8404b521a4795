//! Every dataflow file, from its recording to its rows and its searches, by the real binary.

mod captures;
mod quickstart;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::binary::{Ended, Served, from_file, millpond, repository};
use crate::decode::compare::different_columns;

/// A row or a key.
type Columns = Map<String, Value>;

/// What `data/README.md` says of a recording.
struct Recording {
    name: &'static str,
    table: &'static str,
    key: &'static [&'static str],
    messages: u64,
    changes: u64,
    rows: usize,
    published: usize,
    /// Partition and offset of the one message that cannot be decoded.
    dead_letter: Option<(&'static str, u64)>,
    /// Words that some of its published texts hold.
    query: &'static str,
}

const RECORDINGS: [Recording; 4] = [
    Recording {
        name: "tidb-documents",
        table: "documents",
        key: &["tenant_id", "doc_id"],
        messages: 253,
        changes: 238,
        rows: 51,
        published: 45,
        dead_letter: None,
        query: "how many days of vacation",
    },
    Recording {
        name: "tidb-products",
        table: "products",
        key: &["id"],
        messages: 276,
        changes: 261,
        rows: 64,
        published: 53,
        dead_letter: Some(("tidb-products-cdc:1", 69)),
        query: "tent for two",
    },
    Recording {
        name: "embedding-firehose",
        table: "chunks",
        key: &["id"],
        messages: 236,
        changes: 235,
        rows: 112,
        published: 108,
        dead_letter: Some(("embeddings:1", 55)),
        query: "parcel",
    },
    Recording {
        name: "mariadb-products",
        table: "products",
        key: &["id"],
        messages: 265,
        changes: 265,
        rows: 42,
        published: 34,
        dead_letter: None,
        query: "gift for a cyclist",
    },
];

impl Recording {
    fn file(&self) -> PathBuf {
        repository(&format!("data/replays/{}.ndjson", self.name))
    }

    fn expected(&self) -> Vec<Line> {
        lines(&read(&repository(&format!(
            "data/replays/{}.expect.jsonl",
            self.name
        ))))
    }

    /// Replays the recording; `more` are further arguments.
    fn replay(&self, more: &[&str]) -> Ended {
        let dataflow = repository(&format!("dataflows/{}.toml", self.name));
        let input = format!("{}={}", self.table, self.file().display());
        let mut arguments = vec!["replay", dataflow.to_str().unwrap(), "--input", &input];
        arguments.extend(more);
        millpond(&arguments)
    }

    /// 3 where a message is a dead letter.
    fn code(&self) -> i32 {
        if self.dead_letter.is_some() { 3 } else { 0 }
    }
}

/// A line of `--state`, and of a file of expected rows.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Columns,
    row: Columns,
}

impl Line {
    fn is_published(&self) -> bool {
        self.row["status"] == "published"
    }

    /// The key as hits have it, of these columns.
    fn key_text(&self, columns: &[&str]) -> String {
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let parts: Vec<String> = columns.iter().map(|column| text(&self.key[*column])).collect();
        match parts.as_slice() {
            [part] => part.clone(),
            parts => {
                let escaped = parts
                    .iter()
                    .map(|part| part.replace('%', "%25").replace('/', "%2F"));
                escaped.collect::<Vec<_>>().join("/")
            }
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// The counts of the summary, by name.
fn summary(stderr: &str) -> BTreeMap<&str, f64> {
    let last = stderr.lines().last().unwrap_or_default();
    let count = |part: &'_ str| {
        let (name, value) = part.rsplit_once(' ').unwrap_or_else(|| panic!("{stderr}"));
        (
            last.find(name).unwrap(),
            name.len(),
            value.parse::<f64>().unwrap(),
        )
    };
    let parts = last.split("  ").map(count);
    parts
        .map(|(start, length, value)| (&last[start..start + length], value))
        .collect()
}

/// Fails unless both are the same keys in the same order with the same rows.
#[track_caller]
fn assert_same_lines(name: &str, actual: &[Line], expected: &[Line]) {
    let keys = |lines: &[Line]| lines.iter().map(|line| line.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(actual), keys(expected), "{name}");
    for (actual, expected) in actual.iter().zip(expected) {
        let different = different_columns(&actual.row, &expected.row);
        assert!(
            different.is_empty(),
            "{name}: {different:?} of {actual:?}, which should be {expected:?}"
        );
        assert_eq!(
            actual.row.keys().len(),
            expected.row.keys().len(),
            "{name}: the columns of {actual:?}"
        );
        for (column, value) in &actual.key {
            assert_eq!(
                actual.row.get(column),
                Some(value),
                "{name}: the key is in the row"
            );
        }
    }
}

#[test]
fn every_dataflow_file_is_right_and_has_a_test() {
    let mut tested: BTreeSet<String> = RECORDINGS
        .iter()
        .map(|recording| recording.name.to_owned())
        .collect();
    tested.insert("quickstart".to_owned());
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(repository("dataflows")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let plan = millpond(&["check", path.to_str().unwrap()]).success();
        assert!(plan.contains(&name), "the plan names its dataflow:\n{plan}");
        found.insert(name);
    }
    assert_eq!(found, tested);
}

#[test]
fn a_recording_ends_in_its_expected_rows() {
    for recording in &RECORDINGS {
        let ended = recording.replay(&["--state", recording.table]);
        assert_eq!(ended.code, recording.code(), "{}", recording.name);
        let expected = recording.expected();
        assert_same_lines(recording.name, &lines(&ended.stdout), &expected);

        assert_eq!(expected.len(), recording.rows, "data/README.md is right");
        let published = expected.iter().filter(|line| line.is_published()).count();
        assert_eq!(published, recording.published, "data/README.md is right");
        let counts = summary(&ended.stderr);
        let names: Vec<&str> = counts.keys().copied().collect();
        let all = [
            "changes",
            "collapsed",
            "dead letters",
            "messages",
            "rows",
            "seconds",
            "texts embedded",
        ];
        assert_eq!(names, all, "{}", ended.stderr);
        for (name, expected) in [
            ("messages", recording.messages as f64),
            ("changes", recording.changes as f64),
            ("rows", recording.rows as f64),
            (
                "dead letters",
                f64::from(u8::from(recording.dead_letter.is_some())),
            ),
        ] {
            assert_eq!(
                counts[name], expected,
                "{name} of {}: {}",
                recording.name, ended.stderr
            );
        }
    }
}

#[test]
fn ready_made_vectors_are_kept_bit_by_bit() {
    let recording = RECORDINGS
        .iter()
        .find(|recording| recording.name == "embedding-firehose")
        .unwrap();
    let actual: Vec<Line> = lines(&recording.replay(&["--state", recording.table]).stdout);
    let bits = |line: &Line| -> Vec<u32> {
        let values = line.row["vector"].as_array().unwrap().iter();
        values
            .map(|value| (value.as_f64().unwrap() as f32).to_bits())
            .collect()
    };
    for (actual, expected) in actual.iter().zip(&recording.expected()) {
        assert_eq!(bits(actual).len(), 64);
        assert_eq!(bits(actual), bits(expected), "{:?}", actual.key);
    }
}

#[test]
fn what_cannot_be_decoded_is_kept_with_its_reason_and_its_place() {
    #[derive(serde::Deserialize)]
    struct Record {
        topic: String,
        partition: u64,
        offset: u64,
        key: Option<String>,
        value: Option<String>,
    }
    let folder = tempfile::tempdir().unwrap();
    for recording in &RECORDINGS {
        let path = folder.path().join(recording.name);
        let ended = recording.replay(&["--dead-letters", path.to_str().unwrap()]);
        assert_eq!(ended.code, recording.code(), "{}", recording.name);
        assert_eq!(ended.stdout, "", "nothing was asked for");
        let letters: Vec<Value> = lines(&read(&path));
        let Some((partition, offset)) = recording.dead_letter else {
            assert!(letters.is_empty(), "{}: {letters:?}", recording.name);
            continue;
        };
        let [letter] = letters.as_slice() else {
            panic!("{}: {letters:?}", recording.name);
        };
        assert!(letter["reason"].as_str().unwrap().len() > 10, "{letter}");
        assert_eq!(letter["table"], recording.table);
        assert_eq!(
            (letter["partition"].as_str(), letter["offset"].as_u64()),
            (Some(partition), Some(offset))
        );
        let records: Vec<Record> = lines(&read(&recording.file()));
        let raw = records
            .iter()
            .find(|record| {
                format!("{}:{}", record.topic, record.partition) == partition && record.offset == offset
            })
            .unwrap();
        let bytes = |field: &str| {
            let text = letter[field].as_str();
            text.map(|text| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
        };
        assert_eq!(bytes("key"), raw.key);
        assert_eq!(bytes("value"), raw.value);
    }
}

#[test]
fn two_replays_of_a_recording_print_the_same_bytes() {
    for recording in &RECORDINGS {
        let arguments = ["--state", recording.table, "--search", recording.query, "--json"];
        let first = recording.replay(&arguments);
        let second = recording.replay(&arguments);
        assert_eq!(first.stdout, second.stdout, "{}", recording.name);
        let answer: Value = serde_json::from_str(first.stdout.lines().last().unwrap()).unwrap();
        assert!(
            !answer["hits"].as_array().unwrap().is_empty(),
            "{}: {answer}",
            recording.name
        );
        assert_eq!(answer.get("took_ms"), None, "time is not part of a replay");
        let counts = |ended: &Ended| {
            let mut counts: BTreeMap<String, f64> = summary(&ended.stderr)
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect();
            counts.remove("seconds");
            counts
        };
        assert_eq!(counts(&first), counts(&second), "{}", recording.name);
    }
}

/// Rows, hits, ranks and scores: all that must not depend on where ticks begin and end.
#[test]
fn the_length_of_a_tick_changes_neither_rows_nor_hits() {
    for recording in &RECORDINGS {
        let print = |tick_messages: &str| {
            let search = ["--search", recording.query, "--json"];
            let mut arguments = vec!["--tick-messages", tick_messages, "--state", recording.table];
            arguments.extend(search);
            let printed = recording.replay(&arguments).stdout;
            let (rows, answer) = printed.trim_end().rsplit_once('\n').unwrap();
            let answer: Value = serde_json::from_str(answer).unwrap();
            (rows.to_owned(), answer["hits"].clone())
        };
        let whole = print("100000");
        for tick_messages in ["1", "7", "100"] {
            let (rows, hits) = print(tick_messages);
            assert_eq!(
                rows, whole.0,
                "rows of {} in ticks of {tick_messages}",
                recording.name
            );
            assert_eq!(
                hits, whole.1,
                "hits of {} in ticks of {tick_messages}",
                recording.name
            );
        }
    }
}

#[test]
fn a_node_shows_the_published_rows_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    for (recording, workers) in RECORDINGS
        .iter()
        .flat_map(|recording| [(recording, "1"), (recording, "2")])
    {
        let name = recording.name;
        let dataflow = from_file(name, &recording.file(), folder.path());
        let node = Served::start_with(&dataflow, &["--workers", workers]);
        let stats = node.caught_up(name);
        for (count, expected) in [
            ("documents", recording.published as u64),
            ("vectors", recording.published as u64),
            ("messages", recording.messages),
            ("changes", recording.changes),
            ("dead_letters", u64::from(recording.dead_letter.is_some())),
        ] {
            assert_eq!(
                stats[count], expected,
                "{count} of {name}, {workers} workers: {stats}"
            );
        }
        for line in recording.expected() {
            let key = line
                .key_text(recording.key)
                .replace('%', "%25")
                .replace('/', "%2F");
            let (status, body) = node.get(&format!("/v1/indexes/{name}/documents/{key}"));
            assert_eq!(
                status,
                if line.is_published() { 200 } else { 404 },
                "{name}: {line:?}: {body}"
            );
            if !line.is_published() {
                // Its own words find others, never it.
                let words = line.row.get("name").or(line.row.get("title")).unwrap();
                let request = json!({"query": words, "mode": "keyword", "limit": 1000, "fields": []});
                let answer = node.search(name, &request);
                let hits = answer["hits"].as_array().unwrap();
                assert!(
                    hits.iter().all(|hit| hit["key"] != line.key_text(recording.key)),
                    "{answer}"
                );
            }
            if let Some(document) = body["document"].as_object() {
                let different = different_columns(&line.row, document);
                let left_out = |column: &String| !document.contains_key(column);
                assert!(different.iter().all(left_out), "{name}: {different:?} of {body}");
                assert!(
                    document.len() >= 5,
                    "{name}: every column of the query is there: {body}"
                );
            }
        }
        let request = match name {
            "embedding-firehose" => json!({"vector": vec![1.0; 64], "limit": 1000, "fields": []}),
            _ => json!({"query": recording.query, "mode": "vector", "limit": 1000, "fields": []}),
        };
        let answer = node.search(name, &request);
        let found = answer["hits"].as_array().unwrap().iter();
        let found: BTreeSet<String> = found.map(|hit| hit["key"].as_str().unwrap().to_owned()).collect();
        let expected = recording.expected();
        let published = expected.iter().filter(|line| line.is_published());
        let published: BTreeSet<String> = published.map(|line| line.key_text(recording.key)).collect();
        assert_eq!(found, published, "{name}: the vector leg finds all there is");
    }
}

#[test]
fn a_replay_that_cannot_be_done_says_why() {
    let dataflow = repository("dataflows/tidb-products.toml");
    let dataflow = dataflow.to_str().unwrap();
    let input = format!("products={}", RECORDINGS[1].file().display());
    for (arguments, reasons) in [
        (vec![], vec!["nothing to read", "--input products=FILE"]),
        (vec!["--input", "orders=x"], vec!["`orders`", "products"]),
        (
            vec!["--input", &input, "--state", "orders"],
            vec!["`orders`", "products"],
        ),
        (
            vec!["--input", "products=/nowhere/x.ndjson"],
            vec!["/nowhere/x.ndjson", "no such file"],
        ),
        (vec!["--input", "products=/"], vec!["directory"]),
    ] {
        let mut all = vec!["replay", dataflow];
        all.extend(&arguments);
        let error = millpond(&all).failure();
        for reason in reasons {
            assert!(
                error.contains(reason),
                "{arguments:?}: `{reason}` is not in: {error}"
            );
        }
    }
}
