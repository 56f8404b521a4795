//! Scripts that read like a story: `tests/scenarios/*.txt`.
//!
//! ```text
//! feed LINE          a message of the table `items`, in the script's format
//! tick               what was fed becomes searchable
//! search TEXT        the keys of the hits by words, best first
//! rows               the rows of the table
//! stats              what was read and done so far
//! ----               below it, up to a blank line, what the command answers; `UPDATE=1 cargo test` rewrites it
//! ```
//!
//! A script's first line names its format.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use millpond::change::TableId;
use millpond::definition;
use millpond::intake::DeadLetters;
use millpond::node::open_embedders;
use millpond::query::{Mode, SearchRequest};
use millpond::replay::Replay;

#[test]
fn every_scenario_goes_as_its_script_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for path in scripts {
        let script = std::fs::read_to_string(&path).unwrap();
        let answered = run(&script);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, answered).unwrap();
        } else {
            assert_eq!(answered, script, "{}", path.display());
        }
    }
}

/// The script again, with what its commands answer now.
fn run(script: &str) -> String {
    let mut lines = script.lines().peekable();
    let format = lines
        .peek()
        .and_then(|line| line.strip_prefix("format "))
        .expect("a script begins with its format");
    let mut replay = start(format);
    let (mut answered, mut offset) = (String::new(), 0);
    while let Some(line) = lines.next() {
        writeln!(answered, "{line}").unwrap();
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        let answer = match command {
            "feed" => {
                replay.feed_values(TableId(0), offset, &[argument.as_bytes()]);
                offset += 1;
                continue;
            }
            "tick" => {
                replay.tick();
                continue;
            }
            "search" => search(&replay, argument),
            "rows" => rows(&replay),
            "stats" => format!("{:?}\n", replay.snapshot().counters),
            "" | "#" | "format" => continue,
            other => panic!("unknown command `{other}`"),
        };
        // An answer ends at a blank line.
        if lines.next_if_eq(&"----").is_some() {
            while lines.next().is_some_and(|line| !line.is_empty()) {}
        }
        writeln!(answered, "----\n{answer}").unwrap();
    }
    answered
}

fn start(format: &str) -> Replay {
    let dataflow = format!(
        r#"
name = "items"
[tables.items]
source = {{ kind = "http" }}
format = "{format}"
key = ["id"]
[index]
query = "SELECT id, title FROM items WHERE status IS NULL OR status <> 'draft'"
key = "id"
text = {{ title = {{}} }}
embed = "{{title}}"
[embedder]
model = "hash"
dimensions = 8
"#
    );
    let definition =
        definition::parse(&dataflow, "items", Path::new(".")).unwrap_or_else(|faults| panic!("{faults}"));
    let definition = Arc::new(definition);
    let embedder = open_embedders(&definition).unwrap();
    Replay::new(definition, embedder, DeadLetters::discard())
}

/// Both legs must hold the same documents; the answer is the keyword leg's order.
fn search(replay: &Replay, text: &str) -> String {
    let searcher = replay.searcher().unwrap();
    let request = |mode| SearchRequest {
        query: Some(text.into()),
        mode,
        limit: 100,
        ..SearchRequest::default()
    };
    let by_words = searcher
        .search_in(&replay.snapshot(), &request(Mode::Keyword))
        .unwrap();
    let by_vector = searcher
        .search_in(&replay.snapshot(), &request(Mode::Vector))
        .unwrap();
    assert_eq!(
        by_vector.hits.len(),
        replay.snapshot().documents(),
        "every document has its vector"
    );
    by_words
        .hits
        .iter()
        .map(|hit| format!("{} {}\n", hit.key, hit.document))
        .collect()
}

fn rows(replay: &Replay) -> String {
    let mut out = Vec::new();
    for (_, row) in replay.rows(TableId(0)) {
        row.write_json(&mut out);
        out.push(b'\n');
    }
    String::from_utf8(out).unwrap()
}
