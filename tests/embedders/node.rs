//! Models and services behind a running node.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{dataflow, tiny};
use crate::binary::{Served, eventually, millpond, new_data_dir, repository, sample};
use crate::embedding_service::{EmbeddingService, Fault};

/// A dataflow file in a folder of its own.
fn written(embedder: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.toml");
    std::fs::write(&path, dataflow(embedder)).unwrap();
    (folder, path)
}

fn push(node: &Served, notes: &[(usize, String)]) {
    let lines: Vec<String> = notes
        .iter()
        .map(|(id, text)| json!({"id": id, "text": text}).to_string())
        .collect();
    let (status, answer) = node.post("/v1/tables/notes/changes", lines.join("\n"));
    assert_eq!(status, 202, "{answer}");
}

fn stats(node: &Served, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    node.until("/v1/indexes/notes/stats", what, |(_, stats)| holds(stats))
}

/// The key of the best hit for a text, by the vector leg alone.
fn nearest(node: &Served, text: &str) -> (String, f64) {
    let answer = node.search("notes", &json!({"query": text, "mode": "vector", "limit": 1}));
    let hit = &answer["hits"][0];
    (
        hit["key"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned(),
        hit["vector"]["score"].as_f64().unwrap(),
    )
}

#[test]
fn a_node_runs_a_local_model_by_a_path_beside_its_file_and_embeds_nothing_again() {
    let (folder, file) = written("model = { path = 'models/tiny', query_prefix = '' }");
    let model = folder.path().join("models/tiny");
    std::fs::create_dir_all(&model).unwrap();
    tiny::bert(&model, "bert", "");
    let data = new_data_dir();
    let node = Served::start_in(&data, &file);
    let texts = [
        "red shoe",
        "warm boot",
        "river stone",
        "blue bread",
        "red red river",
    ];
    let notes: Vec<(usize, String)> = texts
        .iter()
        .enumerate()
        .map(|(id, text)| (id, (*text).to_owned()))
        .collect();
    push(&node, &notes);
    stats(&node, "all are embedded", |stats| {
        stats["vectors"] == 5 && stats["vectors_pending"] == 0
    });
    for (id, text) in &notes {
        let (key, score) = nearest(&node, text);
        assert_eq!(key, id.to_string(), "{text}");
        assert!(score > 0.999, "{score}");
    }
    let (code, log) = node.stop(Signal::TERM);
    assert_eq!(code, 0, "{log}");
    let again = Served::start_in(&data, &file);
    let stats = stats(&again, "all are there", |stats| stats["vectors"] == 5);
    assert_eq!(stats["texts_embedded"], 0, "{stats}");
    assert_eq!(nearest(&again, "river stone").0, "2");
}

#[test]
fn a_node_runs_a_static_model_by_its_path() {
    let model = repository("data/models/static-256-int8");
    let (_folder, file) = written(&format!("model = {{ path = {model:?} }}"));
    let node = Served::start(&file);
    push(
        &node,
        &[
            (1, "waterproof boots".to_owned()),
            (2, "a loaf of bread".to_owned()),
        ],
    );
    stats(&node, "all are embedded", |stats| stats["vectors"] == 2);
    assert_eq!(nearest(&node, "shoes for rain").0, "1");
}

#[test]
fn a_node_gets_every_vector_from_a_service_that_fails_in_every_way_but_that_of_a_text_which_is_refused() {
    for api in ["openai", "tei", "ollama"] {
        let service = EmbeddingService::start(32);
        let (_folder, file) = written(&format!("{}\nbatch = 8\nparallel = 3", service.model(api)));
        let node = Served::start(&file);
        service.set(Fault::Poison("poison".to_owned()));
        // What is next is in the place of what is set.
        let none = || Fault::Poison("poison".to_owned());
        service.next([
            Fault::Status(500),
            none(),
            Fault::TooMany { retry_after: Some(1) },
            Fault::Cut,
            none(),
            Fault::WrongDimension,
            Fault::Down,
            Fault::TooMany { retry_after: None },
        ]);
        let text = |id: usize| {
            if id == 17 {
                "a poison text".to_owned()
            } else {
                format!("note number {id}")
            }
        };
        let notes: Vec<(usize, String)> = (0..60).map(|id| (id, text(id))).collect();
        push(&node, &notes);
        stats(&node, "all but one are embedded", |stats| {
            stats["vectors"] == 59 && stats["texts_failed"] == 1
        });
        for (id, text) in notes.iter().filter(|(id, _)| *id != 17).step_by(7) {
            assert_eq!(nearest(&node, text).0, id.to_string(), "{api}");
        }
        let words = node.search("notes", &json!({"query": "poison", "mode": "keyword"}));
        assert_eq!(words["hits"][0]["key"], "17", "its words are found all the same");
        let (_, metrics) = node.get_text("/metrics");
        assert_eq!(sample(&metrics, "millpond_texts_refused_total"), 1.0);
        for (id, text) in &notes {
            let times = service.times(text);
            // A cut answer and one of a wrong dimension have cost a vector each, whichever texts met them, and a search another.
            let expected = if *id == 17 { 0..3 } else { 1..5 };
            assert!(
                expected.contains(&times),
                "{api}: {text} was embedded {times} times"
            );
        }
    }
}

#[test]
fn a_node_whose_service_is_down_answers_by_words_and_has_its_vectors_when_it_is_back() {
    let service = EmbeddingService::start(32);
    service.set(Fault::Down);
    let (_folder, file) = written(&format!("{}\nbatch = 4", service.model("openai")));
    let node = Served::start(&file);
    push(
        &node,
        &(0..20)
            .map(|id| (id, format!("note number {id}")))
            .collect::<Vec<_>>(),
    );
    stats(&node, "the words are there", |stats| {
        stats["documents"] == 20 && stats["vectors_pending"] == 20
    });
    let answer = node.search("notes", &json!({"query": "note number 7"}));
    assert_eq!(answer["hits"][0]["key"], "7", "{answer}");
    assert_eq!(answer["failed"][0]["leg"], "vector", "{answer}");
    service.set(Fault::None);
    stats(&node, "the vectors are there", |stats| stats["vectors"] == 20);
    // The breaker may keep queries away a little longer.
    let answer = eventually("both legs answer", || {
        let answer = node.search("notes", &json!({"query": "note number 7"}));
        answer.get("failed").is_none_or(Value::is_null).then_some(answer)
    });
    assert_eq!(answer["hits"][0]["vector"]["rank"], 1, "{answer}");
}

/// What `millpond serve` says of a dataflow that it does not start.
fn refused(file: &Path) -> String {
    let data = tempfile::tempdir().unwrap();
    let arguments = [
        Path::new("serve"),
        file,
        Path::new("--listen"),
        Path::new("127.0.0.1:0"),
        Path::new("--data-dir"),
        data.path(),
    ];
    millpond(&arguments).failure()
}

#[test]
fn a_model_that_is_not_there_and_a_key_that_is_not_set_are_told_at_the_start() {
    let (_folder, file) = written("model = { path = 'no-such-model' }");
    let said = refused(&file);
    assert!(
        said.contains("no-such-model") && said.contains("there is no such folder"),
        "{said}"
    );
    let (_folder, file) = written(
        "model = { url = 'http://127.0.0.1:1/embed', api = 'tei', name = 'm', dimensions = 8, key_env = 'MILLPOND_NO_SUCH_KEY' }",
    );
    let said = refused(&file);
    assert!(said.contains("MILLPOND_NO_SUCH_KEY"), "{said}");
    // The file itself is right, here and elsewhere.
    let plan = millpond(&[Path::new("check"), &file]).success();
    assert!(
        plan.contains("m of http://127.0.0.1:1/embed, 8 dimensions, in batches of 16, 4 at once"),
        "{plan}"
    );
}

#[test]
fn a_running_node_changes_to_a_model_in_a_folder_and_on_to_a_service() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models/tiny");
    std::fs::create_dir_all(&model).unwrap();
    tiny::bert(&model, "bert", "");
    let service = EmbeddingService::start(32);
    let in_folder = "model = { path = 'models/tiny' }";
    let of_service = &service.model("tei");
    let notes: Vec<(usize, String)> = ["red shoe", "warm boot", "river stone", "blue bread"]
        .iter()
        .enumerate()
        .map(|(id, text)| (id, (*text).to_owned()))
        .collect();

    let file = folder.path().join("notes.toml");
    let start = |embedder: &str, data: &std::sync::Arc<TempDir>| {
        std::fs::write(&file, dataflow(embedder)).unwrap();
        let url = service.url("tei");
        let node = Served::launch(
            &file,
            data,
            &["--model-hosts", url.strip_suffix("/embed").unwrap()],
        );
        node.ready();
        node
    };
    let answers = |node: &Served| {
        notes
            .iter()
            .map(|(_, text)| nearest(node, text))
            .collect::<Vec<_>>()
    };
    let (data, embedder) = (new_data_dir(), "model = \"hash\"\ndimensions = 8");
    let node = start(embedder, &data);
    push(&node, &notes);
    stats(&node, "all are embedded", |stats| stats["vectors"] == 4);
    for embedder in [in_folder, of_service] {
        let arguments = ["model", "upgrade", "notes", "--embedder", embedder, "--switch"];
        millpond(&[&arguments[..], &["--url", node.url()]].concat()).success();
        // What a node finds that has had the model from the beginning.
        let fresh = start(embedder, &new_data_dir());
        push(&fresh, &notes);
        stats(&fresh, "all are embedded", |stats| stats["vectors"] == 4);
        for (found, expected) in answers(&node).iter().zip(answers(&fresh)) {
            assert_eq!(found.0, expected.0, "{embedder}");
            assert!((found.1 - expected.1).abs() < 1e-5, "{found:?}, {expected:?}");
        }
        millpond(&["model", "drop", "notes", "--url", node.url()]).success();
    }
    // What is written now goes to the service alone.
    push(&node, &[(9, "stone bread".to_owned())]);
    stats(&node, "it is embedded", |stats| stats["vectors"] == 5);
    assert_eq!(nearest(&node, "stone bread").0, "9");
    assert!(service.times("stone bread") >= 1);
    assert_eq!(node.stop(Signal::TERM).0, 0);

    let again = start(of_service, &data);
    let stats = stats(&again, "all are there", |stats| stats["vectors"] == 5);
    assert_eq!(stats["texts_embedded"], 0, "{stats}");
    assert_eq!(nearest(&again, "stone bread").0, "9");
}
