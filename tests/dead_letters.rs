//! Dead letters: kept once, durably, and seen to by whoever runs the node.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millpond::change::{TableId, Tick};
use millpond::checkpoint::Checkpointed;
use millpond::decode::{Decoder, Message};
use millpond::definition::{self, Definition};
use millpond::embed::{EmbedError, Embedder};
use millpond::intake::{DeadLetters, Letter, decode_batch};
use millpond::node::{Node, ServeOptions};
use millpond::query::{Mode, SearchRequest};
use millpond::replay::Replay;
use millpond::server;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{Served, eventually, millpond};
use crate::shared::{Random, message};

fn notes(key: &str) -> String {
    format!(
        r#"
name = "shelf"
[tables.notes]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["{key}"]
[tables.tags]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT {key}, text FROM notes"
key = "{key}"
text = {{ text = {{}} }}
"#
    )
}

fn parsed(text: &str) -> Definition {
    definition::parse(text, "shelf", Path::new(".")).unwrap()
}

/// Keeps what cannot be decoded of these messages of `notes/0`.
fn deliver(letters: &DeadLetters, messages: &[(u64, &str)]) {
    let definition = parsed(&notes("id"));
    let table = &definition.tables[0];
    let messages: Vec<Message<'_>> = messages
        .iter()
        .map(|(offset, value)| message(*offset, value))
        .collect();
    let (_, dead) = decode_batch(
        &mut Decoder::new(table),
        table,
        TableId(0),
        &"notes/0".into(),
        &messages,
    )
    .unwrap();
    letters.keep(&dead);
}

fn ids(letters: &DeadLetters) -> Vec<String> {
    let page = letters.page(None, None, usize::MAX).unwrap().unwrap();
    page.letters.into_iter().map(|(letter, _)| letter.id).collect()
}

fn drop_all(letters: &DeadLetters, ids: &[&str]) -> usize {
    let ids: Vec<String> = ids.iter().map(|id| id.to_string()).collect();
    letters.drop_letters(&ids).unwrap().done
}

#[test]
fn a_letter_is_kept_once_however_often_its_message_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let messages = [
        (7, "broken"),
        (8, r#"{"id":1}"#),
        (9, "also broken"),
        (7, "broken"),
    ];
    for _ in 0..3 {
        // Each round is a restart that reads the same messages again, twice.
        let letters = DeadLetters::append_to(&path).unwrap();
        deliver(&letters, &messages);
        deliver(&letters, &messages);
        assert_eq!(ids(&letters), ["notes/0/7", "notes/0/9"]);
    }
    let letters = DeadLetters::append_to(&path).unwrap();
    assert_eq!(drop_all(&letters, &["notes/0/7", "notes/0/7", "notes/0/8"]), 1);
    drop(letters);
    for _ in 0..3 {
        let letters = DeadLetters::append_to(&path).unwrap();
        deliver(&letters, &messages);
        assert_eq!(ids(&letters), ["notes/0/9"], "what was dropped stays dropped");
    }
}

#[test]
fn another_message_at_the_same_place_is_another_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    for _ in 0..2 {
        let letters = DeadLetters::append_to(&path).unwrap();
        deliver(
            &letters,
            &[(7, "broken"), (7, "of a topic made anew"), (7, "once more")],
        );
        assert_eq!(ids(&letters), ["notes/0/7", "notes/0/7~2", "notes/0/7~3"]);
    }
}

#[test]
fn lines_of_an_earlier_version_are_letters_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let old = r#"{"reason":"value: no JSON","table":"notes","partition":"0","offset":7,"key":null,"value":"YnJva2Vu"}"#;
    std::fs::write(&path, format!("{old}\n")).unwrap();
    let letters = DeadLetters::append_to(&path).unwrap();
    deliver(&letters, &[(7, "broken"), (8, "broken")]);
    assert_eq!(ids(&letters), ["notes/0/7", "notes/0/8"]);
    assert_eq!(
        letters.get("notes/0/7").unwrap().unwrap().reason,
        "value: no JSON"
    );
}

/// Keeping, dropping, delivering again and restarting, against a plain list of what must be there.
#[test]
fn letters_are_those_of_a_plain_list_whatever_happens_to_them() {
    for seed in Random::seeds(20) {
        let mut random = Random::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters");
        let mut letters = DeadLetters::append_to(&path).unwrap();
        let mut model: Vec<(u64, bool)> = Vec::new();
        // Up to here nothing is delivered again.
        let mut covered: Option<u64> = None;
        for step in 0..200 {
            match random.below(10) {
                0..5 => {
                    let from = covered.map_or(0, |covered| covered + 1);
                    let offset = from + random.below(30) as u64;
                    let text = "x".repeat(offset as usize * 7 % 50);
                    deliver(&letters, &[(offset, &format!("broken {text}"))]);
                    if !model.iter().any(|(known, _)| *known == offset) {
                        model.push((offset, true));
                    }
                }
                5..8 if !model.is_empty() => {
                    let place = random.below(model.len());
                    let id = format!("notes/0/{}", model[place].0);
                    let expected = usize::from(model[place].1);
                    assert_eq!(drop_all(&letters, &[&id]), expected, "seed {seed} step {step}");
                    model[place].1 = false;
                }
                8 => {
                    if let Some((offset, _)) = model.last() {
                        covered = Some(covered.map_or(*offset, |covered| covered.max(*offset)));
                    }
                }
                _ => {
                    drop(letters);
                    let covered = covered.map(|covered| ("notes/0".to_owned(), covered));
                    letters = DeadLetters::open(&path, &BTreeMap::from_iter(covered)).unwrap();
                }
            }
            let kept: Vec<String> = model
                .iter()
                .filter(|(_, kept)| *kept)
                .map(|(offset, _)| format!("notes/0/{offset}"))
                .collect();
            assert_eq!(ids(&letters), kept, "seed {seed} step {step}");
        }
        drop(letters);
        let bytes = std::fs::metadata(&path).unwrap().len();
        let letters = DeadLetters::append_to(&path).unwrap();
        let kept = ids(&letters);
        drop_all(&letters, &kept.iter().map(String::as_str).collect::<Vec<_>>());
        drop(letters);
        drop(DeadLetters::open(&path, &BTreeMap::from([("notes/0".to_owned(), u64::MAX)])).unwrap());
        let after = std::fs::metadata(&path).unwrap().len();
        assert!(
            bytes > 0 && after == 0,
            "seed {seed}: {after} of {bytes} bytes are left of nothing"
        );
    }
}

#[test]
fn pages_follow_each_other_also_when_letters_go_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let letters = DeadLetters::append_to(&folder.path().join("letters")).unwrap();
    for offset in 0..10 {
        deliver(&letters, &[(offset, "broken")]);
    }
    let page = |after: Option<&str>| {
        let page = letters.page(Some("notes"), after, 4).unwrap().unwrap();
        let offsets: Vec<u64> = page
            .letters
            .iter()
            .filter_map(|(letter, _)| letter.offset)
            .collect();
        (offsets, page.more, page.total)
    };
    assert_eq!(page(None), (vec![0, 1, 2, 3], true, 10));
    drop_all(&letters, &["notes/0/3", "notes/0/5"]);
    assert_eq!(page(Some("notes/0/3")), (vec![4, 6, 7, 8], true, 8));
    assert_eq!(page(Some("notes/0/8")), (vec![9], false, 8));
    assert_eq!(page(Some("notes/0/9")), (vec![], false, 8));
    assert!(letters.page(None, Some("notes/0/77"), 4).unwrap().is_none());
    assert!(
        letters
            .page(Some("other"), None, 4)
            .unwrap()
            .unwrap()
            .letters
            .is_empty()
    );
}

/// A node in this process, with a port, whose checkpoints are made by hand.
struct Running {
    node: Arc<Node>,
    url: String,
    agent: ureq::Agent,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start(definition: &str, data: &TempDir) -> Running {
        let options = ServeOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.path().to_owned(),
            workers: Some(1),
            dead_letters: None,
            // The key of a table is corrected in one of them.
            rebuild: true,
            model_hosts: Vec::new(),
        };
        let node = Arc::new(Node::start(parsed(definition), &options).unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(server::serve(
            listener,
            node.app().clone(),
            std::future::pending(),
        ));
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let running = Running {
            node,
            url,
            agent: settings.into(),
            runtime,
        };
        eventually("the node is ready", || {
            (running.get("/readyz").0 == 200).then_some(())
        });
        running
    }

    fn get(&self, path: &str) -> (u16, Value) {
        read(self.agent.get(format!("{}{path}", self.url)).call())
    }

    fn post(&self, path: &str, body: impl ToString) -> (u16, Value) {
        read(
            self.agent
                .post(format!("{}{path}", self.url))
                .send(body.to_string()),
        )
    }

    fn push(&self, lines: &[Value]) {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(self.post("/v1/tables/notes/changes?wait=visible", body).0, 200);
    }

    fn letters(&self) -> Vec<(String, bool)> {
        let (_, list) = self.get("/v1/dead-letters");
        let letters = list["letters"].as_array().unwrap_or_else(|| panic!("{list}"));
        let letter = |letter: &Value| {
            (
                letter["id"].as_str().unwrap().to_owned(),
                letter["replayed"].as_bool().unwrap(),
            )
        };
        letters.iter().map(letter).collect()
    }

    fn text(&self, key: u64) -> Option<String> {
        let (status, body) = self.get(&format!("/v1/indexes/shelf/documents/{key}"));
        (status == 200).then(|| body["document"]["text"].as_str().unwrap().to_owned())
    }

    fn position(&self) -> Value {
        self.get("/v1/indexes/shelf/stats").1["positions"]["notes/0"].clone()
    }

    fn checkpoint(&self, tick: u64) {
        self.node.app().durable.advance(Checkpointed {
            tick: Tick(tick),
            ..Checkpointed::default()
        });
    }

    fn stop(self) {
        drop(self.runtime);
        self.node.stop().unwrap();
    }
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = response.unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    (
        response.status().as_u16(),
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body:?}")),
    )
}

#[test]
fn a_corrected_definition_lets_letters_in_again_and_they_go_when_a_checkpoint_has_them() {
    let data = tempfile::tempdir().unwrap();
    let wrong = Running::start(&notes("sku"), &data);
    wrong.push(&[
        json!({"id": 1, "text": "an old lamp"}),
        json!({"id": 2, "text": "a chair"}),
        json!({"id": 3, "text": "a table", "sku": "x"}),
        json!({"number": 4, "text": "no key at all"}),
    ]);
    assert_eq!(
        wrong.letters(),
        [("notes/0/0", false), ("notes/0/1", false), ("notes/0/3", false)]
            .map(|(id, replayed)| (id.to_owned(), replayed))
    );
    wrong.stop();

    let node = Running::start(&notes("id"), &data);
    // Positions are counted on, up to 4, and the last row is newer than the letter at 0.
    node.push(&[
        json!({"id": 9, "text": "x"}),
        json!({"id": 9, "text": "x"}),
        json!({"id": 9, "text": "x"}),
    ]);
    node.push(&[
        json!({"id": 9, "text": "x"}),
        json!({"id": 1, "text": "a new lamp"}),
    ]);
    let position = node.position();
    let (status, done) = node.post("/v1/dead-letters/replay", json!({"all": true}));
    assert_eq!(
        (status, &done["done"], &done["unknown"]),
        (200, &json!(2), &json!([])),
        "{done}"
    );
    assert_eq!(done["failed"][0]["id"], "notes/0/3");
    let reason = done["failed"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("`id`"),
        "the reason is that of the new definition: {reason}"
    );

    assert_eq!(
        node.text(1).as_deref(),
        Some("a new lamp"),
        "an older row does not replace a newer one"
    );
    assert_eq!(node.text(2).as_deref(), Some("a chair"));
    assert_eq!(node.position(), position, "a replay moves no position");
    let (_, shown) = node.get("/v1/dead-letters/notes/0/3");
    assert_eq!(shown["reason"], reason);

    let tick = done["tick"].as_u64().unwrap();
    node.checkpoint(tick - 1);
    assert_eq!(
        node.letters(),
        [("notes/0/0", true), ("notes/0/1", true), ("notes/0/3", false)]
            .map(|(id, replayed)| (id.to_owned(), replayed)),
        "they stay until a checkpoint covers them"
    );
    node.checkpoint(tick);
    eventually("the letters are gone", || {
        (node.letters() == [("notes/0/3".to_owned(), false)]).then_some(())
    });
    node.stop();

    let again = Running::start(&notes("id"), &data);
    assert_eq!(again.letters(), [("notes/0/3".to_owned(), false)]);
    assert_eq!(again.get("/v1/dead-letters/notes/0/3").1["reason"], reason);
    again.stop();
}

#[test]
fn letters_are_listed_shown_and_dropped_over_http() {
    let data = tempfile::tempdir().unwrap();
    let node = Running::start(&notes("id"), &data);
    node.push(&[
        json!("one"),
        json!({"id": 1, "text": "fine"}),
        json!("two"),
        json!("three"),
    ]);
    let (status, body) = node.post("/v1/tables/tags/changes?wait=visible", "four");
    assert_eq!((status, &body["dead_letters"]), (200, &json!(1)));

    let (_, list) = node.get("/v1/dead-letters?table=notes&limit=2");
    assert_eq!(
        (&list["total"], &list["waiting"], &list["next"]),
        (&json!(3), &json!(0), &json!("notes/0/2")),
        "{list}"
    );
    let first = &list["letters"][0];
    assert_eq!(
        (&first["id"], &first["offset"], &first["replayed"]),
        (&json!("notes/0/0"), &json!(0), &json!(false))
    );
    assert!(
        first["reason"].as_str().unwrap().contains("expected a row"),
        "{first}"
    );
    let (_, rest) = node.get("/v1/dead-letters?table=notes&after=notes%2F0%2F2");
    assert_eq!(
        (rest["letters"].as_array().unwrap().len(), &rest["next"]),
        (1, &Value::Null)
    );

    for path in ["/v1/dead-letters/tags/0/0", "/v1/dead-letters/tags%2F0%2F0"] {
        let (status, letter) = node.get(path);
        let letter: Letter = serde_json::from_value(letter).unwrap();
        assert_eq!((status, letter.table.as_str()), (200, "tags"));
        assert_eq!(letter.raw().unwrap().value.unwrap(), b"four");
    }

    let (_, done) = node.post(
        "/v1/dead-letters/drop",
        json!({"ids": ["notes/0/2", "notes/0/7"]}),
    );
    assert_eq!(
        (&done["done"], &done["unknown"]),
        (&json!(1), &json!(["notes/0/7"])),
        "{done}"
    );
    let (_, done) = node.post("/v1/dead-letters/drop", json!({"all": true, "table": "notes"}));
    assert_eq!(
        (&done["done"], &done["next"]),
        (&json!(2), &Value::Null),
        "{done}"
    );
    assert_eq!(node.letters(), [("tags/0/0".to_owned(), false)]);

    for (status, code, answer) in [
        (404, "unknown_dead_letter", node.get("/v1/dead-letters/notes/0/2")),
        (
            400,
            "unknown_dead_letter",
            node.get("/v1/dead-letters?after=notes/0/99"),
        ),
        (400, "bad_parameter", node.get("/v1/dead-letters?limit=0")),
        (400, "bad_parameter", node.get("/v1/dead-letters?tables=x")),
        (400, "bad_request", node.post("/v1/dead-letters/drop", "{}")),
        (
            400,
            "bad_request",
            node.post("/v1/dead-letters/replay", json!({"all": true, "ids": ["x"]})),
        ),
        (400, "bad_request", node.post("/v1/dead-letters/replay", "all")),
        (405, "wrong_method", node.get("/v1/dead-letters/replay")),
    ] {
        assert_eq!(
            (answer.0, &answer.1["error"]["code"]),
            (status, &json!(code)),
            "{answer:?}"
        );
    }
    let (_, api) = node.get("/openapi.json");
    for path in [
        "/v1/dead-letters",
        "/v1/dead-letters/{id}",
        "/v1/dead-letters/replay",
        "/v1/dead-letters/drop",
    ] {
        assert!(api["paths"].get(path).is_some(), "{path} is described");
    }
    node.stop();
}

fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shelf.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn the_command_sees_to_the_letters_of_a_running_node() {
    let (_folder, path) = written(&notes("id"));
    let node = Served::start(&path);
    node.post(
        "/v1/tables/notes/changes?wait=visible",
        "broken\n{\"id\":1,\"text\":\"fine\"}\nalso \u{1b}[2J broken\n",
    );
    let command = |more: &[&str]| {
        let mut arguments = vec!["dead-letters", "--url", node.url()];
        arguments.extend(more);
        millpond(&arguments)
    };
    let listed = command(&["list"]).success();
    assert!(
        listed.contains("notes/0/0 ") && listed.contains("notes/0/2 "),
        "{listed}"
    );
    assert!(
        listed.ends_with("2 dead letters\n") && listed.contains("expected a row"),
        "{listed}"
    );
    assert!(
        command(&["list", "--limit", "1"])
            .success()
            .ends_with("2 dead letters, 1 listed\n")
    );
    assert!(
        command(&["list", "--table", "tags"])
            .success()
            .ends_with("No dead letters\n")
    );
    let json: Value = serde_json::from_str(&command(&["list", "--json"]).success()).unwrap();
    assert_eq!(json["total"], 2);

    let shown = command(&["show", "notes/0/2"]).success();
    assert!(
        shown.contains("also  [2J broken") && shown.contains("0 @ 2"),
        "{shown}"
    );
    assert!(
        command(&["show", "notes/0/1"])
            .failure()
            .contains("there is no dead letter notes/0/1")
    );

    let replayed = command(&["replay", "--all"]);
    assert_eq!(replayed.code, 3, "{replayed:?}");
    assert!(replayed.stdout.ends_with("0 replayed, 2 not\n"), "{replayed:?}");
    let dropped = command(&["drop", "notes/0/0", "notes/0/1"]);
    assert_eq!(dropped.code, 3, "{dropped:?}");
    assert!(
        dropped.stdout.contains("there is no such") && dropped.stdout.ends_with("1 dropped, 1 not\n"),
        "{dropped:?}"
    );
    assert!(command(&["drop", "--all"]).success().ends_with("1 dropped\n"));
    assert_eq!(command(&["list"]).success(), "No dead letters\n");
    assert_eq!(command(&["replay"]).code, 2, "which ones?");
    let help = command(&["replay", "--help"]).success();
    assert!(help.contains("--all") && help.contains("--table"), "{help}");
}

/// Refuses texts with the word `poison`, wherever they stand in a batch, and gives `crooked` ones another dimension.
struct Squeamish;

impl Embedder for Squeamish {
    fn model(&self) -> &str {
        "squeamish@1"
    }

    fn dimensions(&self) -> usize {
        4
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        if texts.iter().any(|text| text.contains("poison")) {
            return Err(EmbedError {
                model: self.model().to_owned(),
                reason: "no poison, please".to_owned(),
                retry: false,
            });
        }
        let vector = |text: &&str| match text.contains("crooked") {
            true => vec![1.0],
            false => vec![text.len() as f32, 1.0, 2.0, 3.0],
        };
        Ok(texts.iter().map(vector).collect())
    }
}

#[test]
fn a_row_whose_embedding_fails_for_good_is_searchable_by_its_words_flagged_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let letters = DeadLetters::append_to(&path).unwrap();
    let definition = Arc::new(parsed(&format!("{}embed = \"{{text}}\"\n", notes("id"))));
    let mut replay = Replay::new(
        definition.clone(),
        vec![Some(Arc::new(Squeamish))],
        letters.clone(),
    );
    replay.feed_values(
        TableId(0),
        0,
        &[
            br#"{"id": 1, "text": "a fine note", "more": "x"}"#,
            br#"{"id": 2, "text": "a poison note", "more": "x"}"#,
            br#"{"id": 3, "text": "another note", "more": "x"}"#,
            br#"{"id": 4, "text": "a crooked note", "more": "x"}"#,
        ],
    );
    replay.tick();
    let search = |replay: &Replay, mode: Mode| {
        let request = SearchRequest {
            query: Some("note".into()),
            mode,
            ..SearchRequest::default()
        };
        let answer = replay
            .searcher()
            .unwrap()
            .search_in(&replay.snapshot(), &request)
            .unwrap();
        let json = serde_json::to_value(&answer).unwrap();
        let hits = json["hits"].as_array().unwrap().iter();
        let mut hits: Vec<(String, Value)> = hits
            .map(|hit| {
                (
                    hit["key"].as_str().unwrap().to_owned(),
                    hit["vector_state"].clone(),
                )
            })
            .collect();
        hits.sort_by(|a, b| a.0.cmp(&b.0));
        hits
    };
    let hit = |key: &str, state: Value| (key.to_owned(), state);
    let expected = [
        hit("1", json!("current")),
        hit("2", json!("failed")),
        hit("3", json!("current")),
        hit("4", json!("failed")),
    ];
    assert_eq!(search(&replay, Mode::Keyword), expected);
    assert_eq!(search(&replay, Mode::Hybrid), expected);
    assert_eq!(
        search(&replay, Mode::Vector),
        [hit("1", json!("current")), hit("3", json!("current"))]
    );

    let page = letters.page(Some("shelf"), None, 10).unwrap().unwrap();
    let mut listed: Vec<(String, String, String)> = page
        .letters
        .iter()
        .map(|(letter, _)| {
            let document = letter.document.as_ref().unwrap();
            (
                document.key.clone(),
                letter.reason.clone(),
                document.columns.get().to_owned(),
            )
        })
        .collect();
    listed.sort();
    let [(key, reason, columns), (crooked, dimensions, _)] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(
        (key.as_str(), columns.as_str()),
        ("2", r#"{"id":2,"text":"a poison note"}"#)
    );
    assert!(reason.contains("no poison, please"), "{reason}");
    assert_eq!(crooked, "4");
    assert!(dimensions.contains("1 dimensions instead of 4"), "{dimensions}");

    // The text is corrected: the flag goes, the letter is for a person to drop. The same poison is the same letter.
    replay.feed_values(
        TableId(0),
        4,
        &[
            br#"{"id": 2, "text": "a cured note"}"#,
            br#"{"id": 5, "text": "a poison note"}"#,
        ],
    );
    replay.tick();
    assert_eq!(search(&replay, Mode::Keyword)[1], hit("2", json!("current")));
    assert_eq!(search(&replay, Mode::Keyword)[4], hit("5", json!("failed")));
    let total = || letters.page(None, None, 10).unwrap().unwrap().total;
    assert_eq!(total(), 2);
    let mut again = Replay::new(definition, vec![Some(Arc::new(Squeamish))], letters.clone());
    again.feed_values(TableId(0), 0, &[br#"{"id": 2, "text": "a poison note"}"#]);
    again.tick();
    assert_eq!(
        total(),
        2,
        "a restart that embeds it again does not list it again"
    );
}
