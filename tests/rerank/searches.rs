//! Searches whose best hits are re-ranked, or are not and say so.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use millpond::definition::{Definition, parse};
use millpond::index::Deadline;
use millpond::node::{Node, ServeOptions};
use millpond::query::{SearchAnswer, SearchRequest, Searcher};
use millpond::rerank::{RerankError, Reranker};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::settings;
use crate::binary::{Served, eventually, sample};
use crate::embedders::tiny;
use crate::embedding_service::{EmbeddingService, Fault, rerank_score};

pub fn dataflow(reranker: &str) -> String {
    format!(
        r#"
name = "notes"
[tables.notes]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text, word, kind FROM notes"
key = "id"
text = {{ word = {{}} }}
fields = {{ kind = "keyword" }}
[reranker]
{reranker}
"#
    )
}

/// What a file with this `[reranker]` defines.
pub fn definition(reranker: &str) -> Definition {
    let parsed = parse(&dataflow(reranker), "notes.toml", Path::new(""));
    parsed.unwrap_or_else(|faults| panic!("{faults}"))
}

/// A note by its number: longer ones have a lower score by words. Its text is what a re-ranker sees.
fn note(id: usize) -> Value {
    let word = format!("shoe{}", " box".repeat(id));
    let kind = ["a", "b", "c"][id % 3];
    json!({"id": id, "word": word, "text": text(id), "kind": kind})
}

fn text(id: usize) -> String {
    format!("note {id}")
}

const NOTES: usize = 30;

/// A node without its port on thirty notes.
struct Running {
    node: Node,
    _data: TempDir,
}

impl Running {
    fn start(reranker: &str) -> Running {
        let data = tempfile::tempdir().unwrap();
        let options = ServeOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.path().to_owned(),
            workers: Some(1),
            dead_letters: None,
            rebuild: false,
            model_hosts: Vec::new(),
        };
        let node = Node::start(definition(reranker), &options).unwrap();
        let running = Running { node, _data: data };
        running.push((0..NOTES).map(note));
        running
    }

    fn push(&self, notes: impl Iterator<Item = Value>) {
        let lines: Vec<String> = notes.map(|note| note.to_string()).collect();
        let lines = lines.join("\n");
        let app = self.node.app();
        let position = eventually("the push is taken", || {
            app.ready.load(Ordering::Acquire).then_some(())?;
            let table = app.push_table("notes")?;
            table.push(lines.as_bytes(), None).ok()?.position
        });
        eventually("the push is visible", || {
            let snapshot = app.published.snapshot();
            (snapshot.positions.get("notes/0") >= Some(&position.0)).then_some(())
        });
    }

    fn searcher(&self) -> Searcher {
        self.node.app().searcher.clone().unwrap()
    }

    fn search(&self, request: &Value) -> SearchAnswer {
        self.searcher().search(&read(request)).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.node.stop();
    }
}

fn read(request: &Value) -> SearchRequest {
    serde_json::from_value(request.clone()).unwrap_or_else(|error| panic!("{request}: {error}"))
}

fn keys(answer: &SearchAnswer) -> Vec<usize> {
    answer.hits.iter().map(|hit| hit.key.parse().unwrap()).collect()
}

/// Notes by what a service says of them, the first `window` of them; the others stay behind.
fn expected(window: usize, score: impl Fn(usize) -> f32) -> Vec<usize> {
    let mut best: Vec<usize> = (0..window).collect();
    best.sort_by(|one, other| score(*other).total_cmp(&score(*one)));
    best.into_iter().chain(window..NOTES).collect()
}

fn skipped(answer: &SearchAnswer) -> &str {
    let reranked = answer.reranked.as_ref().unwrap();
    assert_eq!(reranked.hits, 0, "{reranked:?}");
    assert!(answer.hits.iter().all(|hit| hit.rerank.is_none()));
    reranked.skipped.as_deref().unwrap()
}

const TEXT: &str = "text = \"{text}\"";

#[test]
fn the_best_hits_are_in_the_order_of_the_service_and_the_others_stay_behind() {
    for api in ["tei", "cohere", "jina"] {
        let service = EmbeddingService::start(2);
        let node = Running::start(&format!(
            "{}\n{TEXT}\nwindow = 12\ntimeout = \"1m\"",
            service.reranker(api)
        ));
        let plain = node.search(&json!({"query": "shoe", "limit": NOTES}));
        assert_eq!(
            keys(&plain),
            (0..NOTES).collect::<Vec<_>>(),
            "shorter notes come first"
        );
        assert!(
            plain.reranked.is_none() && service.seen().is_empty(),
            "it is asked where it is wanted"
        );

        let answer = node.search(&json!({"query": "+shoe", "limit": NOTES, "rerank": true, "explain": true}));
        let score = |id| rerank_score("shoe", &text(id));
        assert_eq!(keys(&answer), expected(12, score), "{api}");
        let reranked = answer.reranked.as_ref().unwrap();
        assert_eq!((reranked.hits, &reranked.skipped), (12, &None));
        for (place, hit) in answer.hits.iter().enumerate() {
            let id: usize = hit.key.parse().unwrap();
            let explained = hit.explain.as_ref().unwrap().rerank.as_ref();
            assert_eq!(hit.score, plain.hits[id].score, "the score is that from before");
            match hit.rerank {
                Some(rerank) if place < 12 => {
                    assert_eq!((rerank.rank_before, rerank.score), (id + 1, score(id)));
                    let explained = explained.unwrap();
                    assert_eq!(
                        (&*explained.model, &*explained.text, explained.score),
                        ("ranks", &*text(id), score(id))
                    );
                }
                other => assert!(place >= 12 && other.is_none() && explained.is_none(), "{hit:?}"),
            }
        }
        let request = json!({"query": "shoe", "limit": 3, "offset": 2, "rerank": {"window": 20}});
        assert_eq!(
            keys(&node.search(&request)),
            expected(20, score)[2..5],
            "beyond the page too"
        );
        let asked = service.seen().len();
        let behind = node.search(&json!({"query": "shoe", "limit": 3, "offset": 12, "rerank": true}));
        assert_eq!(keys(&behind), [12, 13, 14]);
        assert_eq!(behind.reranked.unwrap().hits, 0);
        assert_eq!(
            service.seen().len(),
            asked,
            "a page behind all that are compared needs none"
        );
    }
}

#[test]
fn where_the_service_fails_hits_stay_as_they_are_and_the_answer_says_why() {
    let service = EmbeddingService::start(2);
    let node = Running::start(&format!("{}\n{TEXT}\ntimeout = \"1m\"", service.reranker("jina")));
    let request = json!({"query": "shoe", "limit": NOTES, "rerank": true});
    for (fault, reason) in [
        (Fault::Status(500), "says 500"),
        (Fault::Down, "re-rank with model ranks"),
        (Fault::OneTooFew, "29 scores for 30 texts"),
        (Fault::NotANumber, "not a finite number"),
        (
            Fault::TooMany {
                retry_after: Some(3600),
            },
            "too much to do",
        ),
    ] {
        service.next([fault]);
        let answer = node.search(&request);
        assert_eq!(keys(&answer), (0..NOTES).collect::<Vec<_>>());
        assert!(
            skipped(&answer).contains(reason),
            "{reason}: {:?}",
            answer.reranked
        );
    }
    assert!(skipped(&node.search(&request)).contains("not asked for a while"));
    let health = node
        .node
        .app()
        .searcher
        .as_ref()
        .unwrap()
        .stats()
        .reranker
        .unwrap();
    assert_eq!(health.reason.as_deref(), Some("it has too much to do (429)"));
}

/// Ranks long numbers first, as it is told to.
struct Scripted {
    mood: Mutex<Mood>,
    changed: Condvar,
    calls: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Hangs,
    Panics,
    GivesTooFew,
    GivesNoNumber,
}

impl Scripted {
    fn new(mood: Mood) -> Arc<Scripted> {
        Arc::new(Scripted {
            mood: Mutex::new(mood),
            changed: Condvar::new(),
            calls: AtomicUsize::new(0),
        })
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Later notes are better, and of three each two are alike.
fn scripted(text: &str) -> f32 {
    let id: usize = text.strip_prefix("note ").unwrap().parse().unwrap();
    (id / 2) as f32
}

impl Reranker for Scripted {
    fn model(&self) -> &str {
        "scripted"
    }

    fn scores(&self, _: &str, texts: &[&str], _: Option<Instant>) -> Result<Vec<f32>, RerankError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mood = self.mood.lock().unwrap();
        let mood = *self
            .changed
            .wait_while(mood, |mood| *mood == Mood::Hangs)
            .unwrap();
        let mut scores: Vec<f32> = texts.iter().map(|text| scripted(text)).collect();
        match mood {
            Mood::Panics => panic!("as it was told to"),
            Mood::GivesTooFew => drop(scores.pop()),
            Mood::GivesNoNumber => scores[0] = f32::INFINITY,
            Mood::Well | Mood::Hangs => {}
        }
        Ok(scores)
    }
}

/// A node, and its searcher with a re-ranker of the test's own.
fn with(reranker: &Arc<Scripted>, lines: &str) -> (Running, Searcher) {
    let section = format!(
        "model = {{ url = \"http://127.0.0.1:9/rerank\", api = \"tei\", name = \"x\" }}\n{TEXT}\n{lines}"
    );
    let node = Running::start(&section);
    let searcher = node
        .searcher()
        .with_reranker(reranker.clone(), settings(&section));
    (node, searcher)
}

fn search(searcher: &Searcher, request: &Value) -> SearchAnswer {
    searcher.search(&read(request)).unwrap()
}

#[test]
fn a_search_waits_no_longer_than_its_budget_and_what_comes_late_is_there_for_the_next() {
    let reranker = Scripted::new(Mood::Hangs);
    let (_node, searcher) = with(&reranker, "timeout = \"50ms\"");
    let request = json!({"query": "shoe", "limit": NOTES, "rerank": true});
    let answer = search(&searcher, &request);
    assert_eq!(keys(&answer), (0..NOTES).collect::<Vec<_>>());
    assert_eq!(skipped(&answer), "not within 50 ms");
    let shorter = json!({"query": "shoe", "limit": NOTES, "rerank": {"timeout_ms": 7}});
    assert_eq!(skipped(&search(&searcher, &shorter)), "not within 7 ms");
    assert_eq!(reranker.calls(), 1, "both have waited for one call");

    reranker.becomes(Mood::Well);
    let score = |id: usize| scripted(&text(id));
    eventually("the call has come to its end", || {
        let answer = search(&searcher, &request);
        (answer.reranked.as_ref()?.skipped.is_none())
            .then(|| assert_eq!(keys(&answer), expected(NOTES, score)))
    });
    assert_eq!(reranker.calls(), 1, "and nobody had to ask again");
}

#[test]
fn the_time_of_the_whole_search_bounds_it_too() {
    let reranker = Scripted::new(Mood::Hangs);
    let (_node, searcher) = with(&reranker, "timeout = \"1h\"");
    let searcher = searcher.until(&Deadline::begin());
    let answer = search(
        &searcher,
        &json!({"query": "shoe", "timeout_ms": 2000, "rerank": true}),
    );
    assert!(
        skipped(&answer).starts_with("not within "),
        "{:?}",
        answer.reranked
    );
    assert!(answer.timed_out);
    assert_eq!(keys(&answer), (0..10).collect::<Vec<_>>());
    reranker.becomes(Mood::Well);
}

#[test]
fn where_too_many_calls_hang_the_next_search_does_not_wait_at_all() {
    let reranker = Scripted::new(Mood::Hangs);
    let (_node, searcher) = with(&reranker, "timeout = \"1h\"");
    for window in 1..=16 {
        let request = json!({"query": "shoe", "rerank": {"window": window, "timeout_ms": 1}});
        assert_eq!(skipped(&search(&searcher, &request)), "not within 1 ms");
    }
    let answer = search(&searcher, &json!({"query": "shoe", "rerank": {"window": 17}}));
    assert!(skipped(&answer).contains("scripted has not answered the last 16 searches"));
    assert_eq!(keys(&answer), (0..10).collect::<Vec<_>>());
    reranker.becomes(Mood::Well);
    eventually("calls leave their places", || {
        let answer = search(&searcher, &json!({"query": "shoe", "rerank": {"window": 17}}));
        (answer.reranked.unwrap().hits == 17).then_some(())
    });
}

#[test]
fn a_re_ranker_that_panics_or_gives_what_is_no_score_harms_nobody() {
    let reranker = Scripted::new(Mood::Panics);
    let (_node, searcher) = with(&reranker, "timeout = \"1h\"");
    let request = json!({"query": "shoe", "limit": NOTES, "rerank": true});
    for (mood, reason) in [
        (Mood::Panics, "it panicked"),
        (Mood::GivesTooFew, "one finite score for each text"),
        (Mood::GivesNoNumber, "one finite score for each text"),
    ] {
        reranker.becomes(mood);
        let answer = search(&searcher, &request);
        assert!(
            skipped(&answer).contains(reason),
            "{reason}: {:?}",
            answer.reranked
        );
        assert_eq!(keys(&answer), (0..NOTES).collect::<Vec<_>>());
    }
    reranker.becomes(Mood::Well);
    let answer = search(&searcher, &request);
    assert_eq!(
        keys(&answer),
        expected(NOTES, |id| scripted(&text(id))),
        "ties stay as they were"
    );
}

#[test]
fn documents_without_a_text_stand_behind_those_that_are_compared() {
    let reranker = Scripted::new(Mood::Well);
    let (node, searcher) = with(&reranker, "timeout = \"1h\"");
    let mut blank = note(3);
    blank["text"] = json!(" ");
    let mut absent = note(4);
    absent["text"] = Value::Null;
    node.push([blank, absent].into_iter());
    let answer = search(
        &searcher,
        &json!({"query": "shoe", "limit": 8, "rerank": {"window": 7}}),
    );
    assert_eq!(keys(&answer), [6, 5, 2, 0, 1, 3, 4, 7]);
    assert_eq!(answer.reranked.unwrap().hits, 5);
    let without: Vec<bool> = answer.hits.iter().map(|hit| hit.rerank.is_none()).collect();
    assert_eq!(without, [false, false, false, false, false, true, true, true]);
}

#[test]
fn groups_and_values_shown_once_are_those_of_the_new_order() {
    let reranker = Scripted::new(Mood::Well);
    let (_node, searcher) = with(&reranker, "timeout = \"1h\"");
    // By score: 28 29 26 27 24 25 22 23 ...; kinds by id modulo 3.
    let request =
        json!({"query": "shoe", "limit": 2, "group_by": {"field": "kind", "size": 2}, "rerank": true});
    let groups = search(&searcher, &request).groups.unwrap();
    let shown: Vec<(Value, Vec<&str>)> = groups
        .iter()
        .map(|group| {
            (
                group.value.clone(),
                group.hits.iter().map(|hit| &*hit.key).collect(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [(json!("b"), vec!["28", "25"]), (json!("c"), vec!["29", "26"])]
    );
    assert_eq!(groups[0].hits[0].rerank.unwrap().rank_before, 29);
    let request = json!({"query": "shoe", "distinct": "kind", "rerank": true});
    assert_eq!(keys(&search(&searcher, &request)), [28, 29, 27]);
}

/// All pages of three.
fn pages(searcher: &Searcher, request: &Value, mut between: impl FnMut()) -> (Vec<usize>, Vec<SearchAnswer>) {
    let (mut all, mut answers) = (Vec::new(), Vec::new());
    let mut request = request.clone();
    loop {
        let answer = search(searcher, &request);
        all.extend(keys(&answer));
        request["cursor"] = json!(answer.cursor);
        answers.push(answer);
        if request["cursor"].is_null() {
            return (all, answers);
        }
        between();
    }
}

#[test]
fn pages_by_cursor_are_of_one_order_whatever_becomes_of_the_re_ranker_meanwhile() {
    let reranker = Scripted::new(Mood::Well);
    let (_node, searcher) = with(&reranker, "window = 10\ntimeout = \"1h\"");
    let request = json!({"query": "shoe", "limit": 3, "keep_alive_ms": 60_000, "rerank": true});
    let in_order = expected(10, |id| scripted(&text(id)));
    let (all, answers) = pages(&searcher, &request, || reranker.becomes(Mood::Panics));
    assert_eq!(all, in_order);
    assert_eq!(reranker.calls(), 1);
    let compared: Vec<usize> = answers
        .iter()
        .map(|answer| answer.reranked.as_ref().unwrap().hits)
        .collect();
    assert_eq!(compared[..5], [10, 10, 10, 10, 0]);

    // The first page as it was: so are all others, though the re-ranker is back.
    let request = json!({"query": "+shoe", "limit": 3, "keep_alive_ms": 60_000, "rerank": {"window": 9}});
    let (all, answers) = pages(&searcher, &request, || reranker.becomes(Mood::Well));
    assert_eq!(all, (0..NOTES).collect::<Vec<_>>());
    assert_eq!(skipped(&answers[1]), "the first page was not re-ranked");
}

#[test]
fn a_request_that_cannot_be_says_what_would_be_right() {
    let reranker = Scripted::new(Mood::Well);
    let (node, searcher) = with(&reranker, "");
    let error = |searcher: &Searcher, request: Value| {
        let error = searcher.search(&read(&request)).unwrap_err();
        (error.code, error.message)
    };
    for (request, code, part) in [
        (
            json!({"query": "shoe", "rerank": {"window": 0}}),
            "bad_rerank",
            "`rerank.window` is 0",
        ),
        (
            json!({"query": "shoe", "rerank": {"window": 201}}),
            "bad_rerank",
            "is 201",
        ),
        (
            json!({"query": "shoe", "rerank": {"timeout_ms": 0}}),
            "bad_rerank",
            "timeout_ms",
        ),
        (
            json!({"query": "shoe", "rerank": {"timeout_ms": 60_001}}),
            "bad_rerank",
            "60001",
        ),
        (
            json!({"query": "shoe", "rerank": true, "sort": "kind"}),
            "bad_rerank",
            "`sort`",
        ),
        (
            json!({"filter": "kind = 'a'", "rerank": true}),
            "missing_query",
            "compares",
        ),
        (json!({"query": " ", "rerank": true}), "missing_query", "compares"),
    ] {
        let (found, message) = error(&searcher, request.clone());
        assert!(
            found == code && message.contains(part),
            "{request}: {found}, {message}"
        );
    }
    let off = search(&searcher, &json!({"query": "shoe", "rerank": false}));
    assert!(off.reranked.is_none() && reranker.calls() == 0);
    let unread = serde_json::from_value::<SearchRequest>(json!({"query": "shoe", "rerank": {"windows": 1}}));
    assert!(
        unread
            .unwrap_err()
            .to_string()
            .contains("`rerank` is true, false or")
    );

    let mut definition = definition(&format!(
        "model = {{ url = \"http://127.0.0.1:9/\", api = \"tei\", name = \"x\" }}\n{TEXT}"
    ));
    definition.reranker = None;
    let published = node.node.app().published.clone();
    let without = Searcher::new(Arc::new(definition), published, Vec::new());
    let (code, _) = error(&without, json!({"query": "shoe", "rerank": true}));
    assert_eq!(code, "no_reranker");
}

#[test]
fn a_served_node_re_ranks_by_a_model_beside_its_file_and_counts_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models/tiny");
    std::fs::create_dir_all(&model).unwrap();
    tiny::cross_encoder(&model, "bert", 1);
    let file = folder.path().join("notes.toml");
    std::fs::write(
        &file,
        dataflow(&format!(
            "model = {{ path = 'models/tiny' }}\n{TEXT}\nwindow = 5\ntimeout = \"1m\""
        )),
    )
    .unwrap();
    let node = Served::start(&file);
    let texts = [
        "red shoe",
        "warm boot",
        "river stone",
        "blue bread",
        "red river",
        "stone",
    ];
    let lines: Vec<String> = texts
        .iter()
        .enumerate()
        .map(|(id, text)| {
            json!({"id": id, "word": format!("shoe{}", " box".repeat(id)), "text": text}).to_string()
        })
        .collect();
    let (status, answer) = node.post("/v1/tables/notes/changes?wait=visible", lines.join("\n"));
    assert_eq!(status, 200, "{answer}");

    let reference = super::by(&format!("model = {{ path = {model:?} }}")).unwrap();
    let scores = reference.scores("shoe", &texts, None).unwrap();
    let mut order: Vec<usize> = (0..5).collect();
    order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
    assert_ne!(order, [0, 1, 2, 3, 4], "there is something to be put in order");
    order.push(5);
    let answer = node.search("notes", &json!({"query": "shoe", "rerank": true}));
    let hits = answer["hits"].as_array().unwrap();
    let found: Vec<usize> = hits
        .iter()
        .map(|hit| hit["key"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(found, order, "{answer}");
    assert_eq!(answer["reranked"], json!({"hits": 5}));
    let first = &hits[0]["rerank"];
    let shown = f64::from(reference.shown(scores[order[0]]));
    assert!(
        (first["score"].as_f64().unwrap() - shown).abs() < 1e-5,
        "{answer}"
    );
    assert_eq!(first["rank_before"], order[0] + 1);
    assert!(hits[5].get("rerank").is_none());

    // Another window is another call.
    let late = node.search(
        "notes",
        &json!({"query": "shoe boot", "rerank": {"timeout_ms": 1, "window": 6}}),
    );
    let is_late = late["reranked"] == json!({"hits": 0, "skipped": "not within 1 ms"});
    assert!(is_late || late["reranked"] == json!({"hits": 6}), "{late}");
    let (_, metrics) = node.get_text("/metrics");
    assert_eq!(sample(&metrics, "millpond_rerank_seconds_count"), 2.0);
    let skipped = f64::from(u8::from(is_late));
    assert_eq!(sample(&metrics, "millpond_rerank_skipped_total"), skipped);
}
