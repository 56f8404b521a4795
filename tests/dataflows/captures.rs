//! Change streams of real systems through a dataflow file each, compared with their final rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::{Columns, Line, lines, read};
use crate::binary::{millpond, repository};
use crate::decode::compare::{different_columns, same};

#[derive(serde::Deserialize)]
struct Expected {
    table: String,
    key: Option<Columns>,
    row: Columns,
}

#[derive(serde::Deserialize)]
struct Meta {
    format: String,
    #[serde(default)]
    key_columns: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    default_key: Vec<String>,
    #[serde(default)]
    ignore_tables: BTreeSet<String>,
    /// Shards of a table -> the table.
    #[serde(default)]
    merge_tables: BTreeMap<String, String>,
    reference_dead_letters: usize,
}

/// A table of the dataflow that is written for a capture.
struct Table {
    select: Vec<String>,
    key: Vec<String>,
    expected: Vec<Expected>,
}

fn format(meta: &Meta) -> Option<&'static str> {
    match meta.format.as_str() {
        "canal-json" => Some("canal-json"),
        "debezium" => Some("debezium-json"),
        "maxwell" => Some("maxwell-json"),
        "upsert" => Some("upsert-json"),
        _ => None,
    }
}

fn tables(meta: &Meta, mut expected: Vec<Expected>) -> Vec<Table> {
    let mut names: BTreeSet<String> = expected.iter().map(|row| row.table.clone()).collect();
    names.extend(meta.key_columns.keys().cloned());
    names.retain(|name| !meta.ignore_tables.contains(name));
    if names.is_empty() {
        // A capture that ends empty does not name its table; everything in it is taken.
        return vec![Table {
            select: vec![],
            key: meta.default_key.clone(),
            expected: vec![],
        }];
    }
    let table = |name: String| {
        let shards = meta.merge_tables.iter().filter(|(_, table)| **table == name);
        let shards: Vec<String> = shards.map(|(shard, _)| shard.clone()).collect();
        Table {
            key: meta.key_columns.get(&name).unwrap_or(&meta.default_key).clone(),
            expected: expected.extract_if(.., |row| row.table == name).collect(),
            select: if shards.is_empty() { vec![name] } else { shards },
        }
    };
    names.into_iter().map(table).collect()
}

fn dataflow(format: &str, tables: &[Table]) -> String {
    let mut text = "name = \"capture\"\n".to_owned();
    for (number, table) in tables.iter().enumerate() {
        let Table { select, key, .. } = table;
        write!(
            text,
            "[tables.t{number}]\nsource = {{ kind = \"http\" }}\nformat = \"{format}\"\nkey = {key:?}\n"
        )
        .unwrap();
        if !select.is_empty() {
            writeln!(text, "select = {select:?}").unwrap();
        }
    }
    text
}

fn check(folder: &Path) {
    let meta: Meta = serde_json::from_str(&read(&folder.join("meta.json"))).unwrap();
    let Some(format) = format(&meta) else {
        println!("skipped: {} is {}", folder.display(), meta.format);
        return;
    };
    let tables = tables(&meta, lines(&read(&folder.join("expect.jsonl"))));
    let written = tempfile::tempdir().unwrap();
    let path = written.path().join("capture.toml");
    std::fs::write(&path, dataflow(format, &tables)).unwrap();
    let messages = folder.join("messages.jsonl");
    let inputs: Vec<String> = (0..tables.len())
        .map(|number| format!("t{number}={}", messages.display()))
        .collect();
    for (number, table) in tables.iter().enumerate() {
        let (letters, state) = (
            written.path().join(format!("dead-{number}")),
            format!("t{number}"),
        );
        let mut arguments = vec!["replay", path.to_str().unwrap(), "--state", &state];
        arguments.extend(["--dead-letters", letters.to_str().unwrap()]);
        inputs
            .iter()
            .for_each(|input| arguments.extend(["--input", input.as_str()]));
        let ended = millpond(&arguments);
        let dead = read(&letters);
        assert_eq!(
            dead.lines().count(),
            meta.reference_dead_letters,
            "{}: {dead}",
            folder.display()
        );
        assert_eq!(
            ended.code,
            if dead.is_empty() { 0 } else { 3 },
            "{}: {}",
            folder.display(),
            ended.stderr
        );
        let differences = differences(&table.expected, lines(&ended.stdout), &table.key);
        let shown = differences.join("\n");
        assert!(
            differences.is_empty(),
            "{} {:?}:\n{shown}",
            folder.display(),
            table.select
        );
    }
}

fn differences(expected: &[Expected], mut actual: Vec<Line>, key: &[String]) -> Vec<String> {
    let mut differences = Vec::new();
    for line in &actual {
        if line.key.len() != key.len() || !key.iter().all(|name| line.key.contains_key(name)) {
            differences.push(format!("the key {:?} has other columns than {key:?}", line.key));
        }
    }
    for Expected { key, row, .. } in expected {
        let key = key
            .as_ref()
            .expect("a table without key is among the ignored ones");
        let is_it = |line: &Line| {
            key.iter()
                .all(|(name, value)| line.key.get(name).is_some_and(|found| same(found, value)))
        };
        match actual.iter().position(is_it) {
            None => differences.push(format!("missing {row:?}")),
            Some(place) => {
                let found = actual.remove(place);
                let columns = different_columns(&found.row, row);
                differences.extend(columns.iter().map(|column| {
                    format!(
                        "{key:?} {column}: {:?} should be {:?}",
                        found.row.get(column),
                        row.get(column)
                    )
                }));
            }
        }
    }
    differences.extend(actual.into_iter().map(|line| format!("too many: {line:?}")));
    differences
}

#[test]
fn our_captures_end_in_their_final_rows() {
    for name in ["mariadb-live", "postgres-live"] {
        check(&repository(&format!("tests/captures/{name}/plain")));
    }
}

#[test]
fn public_captures_end_in_their_final_rows() {
    let Some(folder) = crate::shared::public_data("changes") else {
        return;
    };
    let folders = |path: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let captures: Vec<_> = folders(&folder)
        .iter()
        .flat_map(|source| folders(source))
        .collect();
    assert!(captures.len() > 10, "{captures:?}");
    captures.iter().for_each(|capture| check(capture));
}
