//! The whole flow against plain maps: by replay at every tick, and in a running node while it is written to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millpond::change::TableId;
use millpond::definition::{self, Definition};
use millpond::index::Snapshot;
use millpond::intake::DeadLetters;
use millpond::node::{Node, ServeOptions, open_embedders};
use millpond::query::{Mode, SearchRequest, Searcher};
use millpond::replay::Replay;

use crate::shared::Random;

const DATAFLOW: &str = r#"
name = "things"
[tables.things]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, price FROM things WHERE status <> 'draft'"
key = "id"
text = { title = {} }
fields = { price = "i64" }
embed = "{title}"
[embedder]
model = "hash"
dimensions = 16
"#;

fn define() -> Arc<Definition> {
    Arc::new(
        definition::parse(DATAFLOW, "things", Path::new(".")).unwrap_or_else(|faults| panic!("{faults}")),
    )
}

/// What the index should hold: price and title by key.
type Model = BTreeMap<usize, (usize, String)>;

/// One random line for the table, applied to the model.
fn line(random: &mut Random, keys: usize, number: usize, model: &mut Model) -> String {
    let id = random.below(keys);
    if random.percent(15) {
        model.remove(&id);
        return format!(r#"{{"id":{id},"_op":"delete"}}"#);
    }
    // Few words, so that titles repeat and are shared.
    let title = format!("common word{} word{}", random.below(6), random.below(6));
    let status = if random.percent(10) { "draft" } else { "published" };
    match status {
        "draft" => drop(model.remove(&id)),
        _ => drop(model.insert(id, (number, title.clone()))),
    }
    format!(r#"{{"id":{id},"title":"{title}","price":{number},"status":"{status}"}}"#)
}

fn keys_found(searcher: &Searcher, snapshot: &Snapshot, request: SearchRequest) -> BTreeSet<String> {
    let answer = searcher
        .search_in(
            snapshot,
            &SearchRequest {
                limit: 1000,
                ..request
            },
        )
        .unwrap();
    assert!(answer.failed.is_empty(), "a leg failed");
    let keys: Vec<String> = answer.hits.iter().map(|hit| hit.key.to_string()).collect();
    let set: BTreeSet<String> = keys.iter().cloned().collect();
    assert_eq!(set.len(), keys.len(), "a key occurs once");
    set
}

fn words(text: &str, mode: Mode) -> SearchRequest {
    SearchRequest {
        query: Some(text.to_owned()),
        mode,
        ..SearchRequest::default()
    }
}

#[test]
fn both_legs_and_the_documents_equal_a_plain_map_at_every_tick() {
    for seed in Random::seeds(5) {
        let definition = define();
        let embedder = open_embedders(&definition).unwrap();
        let mut replay = Replay::new(definition, embedder, DeadLetters::discard());
        let searcher = replay.searcher().unwrap().clone();
        let random = &mut Random::new(seed);
        let mut model = Model::new();
        let mut number = 0;
        for tick in 0..120 {
            for _ in 0..1 + random.below(25) {
                number += 1;
                let line = line(random, 40, number, &mut model);
                replay.feed_values(TableId(0), number as u64, &[line.as_bytes()]);
            }
            replay.tick();
            let at = format!("seed {seed}, tick {tick}");
            let snapshot = replay.snapshot();
            let expected: BTreeSet<String> = model.keys().map(usize::to_string).collect();
            assert_eq!(snapshot.documents(), model.len(), "{at}");
            assert_eq!(snapshot.vectors(), model.len(), "{at}");
            assert_eq!(snapshot.vectors_pending(), 0, "{at}");
            assert_eq!(
                keys_found(&searcher, &snapshot, words("common", Mode::Keyword)),
                expected,
                "{at}"
            );
            assert_eq!(
                keys_found(&searcher, &snapshot, words("anything", Mode::Vector)),
                expected,
                "{at}"
            );
            // One word, one filter, and one document, against the model.
            let word = format!("word{}", random.below(6));
            let with_word = model.iter().filter(|(_, (_, title))| title.contains(&word));
            let with_word: BTreeSet<String> = with_word.map(|(id, _)| id.to_string()).collect();
            assert_eq!(
                keys_found(&searcher, &snapshot, words(&word, Mode::Keyword)),
                with_word,
                "{at}"
            );
            let bound = random.below(number + 1);
            let cheap = model
                .iter()
                .filter(|(_, (price, _))| *price < bound)
                .map(|(id, _)| id.to_string());
            let cheap: BTreeSet<String> = cheap.collect();
            for (text, mode) in [
                ("common", Mode::Keyword),
                ("anything", Mode::Vector),
                ("common", Mode::Hybrid),
            ] {
                let request = SearchRequest {
                    filter: Some(format!("price < {bound}").into()),
                    ..words(text, mode)
                };
                assert_eq!(
                    keys_found(&searcher, &snapshot, request),
                    cheap,
                    "{at}, {mode:?}, price < {bound}"
                );
            }
            for id in 0..40 {
                let shown = searcher
                    .document(&id.to_string())
                    .map(|answer| answer.document.to_string());
                let expected = model
                    .get(&id)
                    .map(|(price, title)| format!(r#"{{"id":{id},"title":"{title}","price":{price}}}"#));
                assert_eq!(shown, expected, "{at}, document {id}");
            }
        }
        let counters = replay.snapshot().counters;
        assert_eq!(counters.changes, number as u64);
        assert!(
            counters.texts_embedded <= 36,
            "there are 36 titles; embedded {}",
            counters.texts_embedded
        );
    }
}

#[test]
fn no_document_is_ever_in_one_leg_only_while_a_node_is_written_to() {
    for workers in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let options = ServeOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: directory.path().to_owned(),
            workers: Some(workers),
            dead_letters: None,
            rebuild: false,
            model_hosts: Vec::new(),
        };
        let node = Node::start(Arc::unwrap_or_clone(define()), &options).unwrap();
        let app = node.app().clone();
        let searcher = app.searcher.clone().unwrap();
        let done = AtomicBool::new(false);
        let model = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut checked = 0;
                let mut last = app.published.snapshot().tick;
                while !done.load(Ordering::Relaxed) || checked == 0 {
                    let snapshot = app.published.snapshot();
                    assert!(snapshot.tick >= last, "ticks grow");
                    last = snapshot.tick;
                    let by_words = keys_found(&searcher, &snapshot, words("common", Mode::Keyword));
                    let by_vector = keys_found(&searcher, &snapshot, words("anything", Mode::Vector));
                    assert_eq!(by_words, by_vector, "tick {}", snapshot.tick);
                    assert_eq!(by_words.len(), snapshot.documents(), "tick {}", snapshot.tick);
                    checked += 1;
                }
                checked
            });
            let random = &mut Random::new(workers as u64);
            let mut model = Model::new();
            let mut last = None;
            for push in 0..400 {
                let lines: Vec<String> = (0..20)
                    .map(|place| line(random, 300, push * 20 + place, &mut model))
                    .collect();
                last = loop {
                    match app
                        .push_table("things")
                        .unwrap()
                        .push(lines.join("\n").as_bytes(), None)
                    {
                        Ok(pushed) => break pushed.position,
                        Err(_) => std::thread::yield_now(),
                    }
                };
            }
            let last = last.unwrap().0;
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(
                app.published
                    .wait_for(|snapshot| snapshot.positions.get("things/0") == Some(&last)),
            );
            done.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 0);
            model
        });
        let snapshot = app.published.snapshot();
        let expected: BTreeSet<String> = model.keys().map(usize::to_string).collect();
        assert_eq!(
            keys_found(&searcher, &snapshot, words("common", Mode::Keyword)),
            expected
        );
        let stats = searcher.stats();
        assert_eq!(
            (stats.messages, stats.changes, stats.dead_letters),
            (8000, 8000, 0)
        );
        node.stop().unwrap();
    }
}

#[test]
fn keys_of_two_types_with_one_text_are_one_document_in_both_legs() {
    let mut replay = Replay::new(
        define(),
        open_embedders(&define()).unwrap(),
        DeadLetters::discard(),
    );
    let searcher = replay.searcher().unwrap().clone();
    let line = |id: &str, word: &str| {
        format!(r#"{{"id":{id},"title":"common {word}","price":1,"status":"published"}}"#)
    };
    let mut offset = 0;
    let mut tick = |replay: &mut Replay, lines: &[String]| {
        let values: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        replay.feed_values(TableId(0), offset, &values);
        offset += lines.len() as u64;
        replay.tick();
        let snapshot = replay.snapshot();
        let found =
            [Mode::Keyword, Mode::Vector].map(|mode| keys_found(&searcher, &snapshot, words("common", mode)));
        assert_eq!(found[0], found[1], "tick {}", snapshot.tick);
        assert_eq!(found[0].len(), snapshot.documents(), "tick {}", snapshot.tick);
        let states = snapshot.shards.iter().map(|shard| shard.legs[0].vectors.len());
        assert_eq!(
            states.sum::<usize>(),
            snapshot.documents(),
            "tick {}",
            snapshot.tick
        );
        // A word that the document no longer has finds nothing.
        let shown = searcher.document("1").map(|answer| answer.document.to_string());
        for word in ["number", "text"] {
            let by_word = keys_found(&searcher, &snapshot, words(word, Mode::Keyword));
            let has = shown.as_ref().is_some_and(|shown| shown.contains(word));
            assert_eq!(
                by_word.contains("1"),
                has,
                "tick {}, {word}: {shown:?}",
                snapshot.tick
            );
        }
    };
    tick(&mut replay, &[line("1", "number"), line(r#""1""#, "text")]);
    tick(&mut replay, &[r#"{"id":1,"_op":"delete"}"#.into()]);
    tick(
        &mut replay,
        &[line("1", "number"), r#"{"id":"1","_op":"delete"}"#.into()],
    );
    tick(
        &mut replay,
        &[line(r#""1""#, "text"), r#"{"id":1,"_op":"delete"}"#.into()],
    );
}
