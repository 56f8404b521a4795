//! `--rebuild`: the index before answers until the new one is complete, and its checkpoint stays in force until then.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use millpond::checkpoint::{OpenError, snapshots};
use millpond::definition::{Definition, EmbedderSettings, Model, parse};
use millpond::embed::{EmbedError, Embedder, HashEmbedder};
use millpond::node::{Node, NodeError, ServeOptions};
use millpond::server;
use millpond::storage::Disk;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{PATIENCE, agent, eventually};

const NOTES: usize = 200;

const BEFORE: &str = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text, topic FROM notes"
key = "id"
text = { text = {}, topic = { boost = 2.0 } }
fields = { topic = "keyword" }
embed = "{text}"
[embedder]
model = "hash"
dimensions = 8
[checkpoint]
interval = "10ms"
"#;

/// Another model, template, query and field.
fn after() -> String {
    BEFORE
        .replace("id, text, topic FROM", "id, text, rank FROM")
        .replace("text = {}, topic = { boost = 2.0 }", "text = {}")
        .replace("topic = \"keyword\"", "rank = \"i64\"")
        .replace("embed = \"{text}\"", "embed = \"{rank} {text}\"")
        .replace("dimensions = 8", "dimensions = 16")
}

/// How many texts the model of 16 dimensions may embed.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<usize>, Condvar)>);

impl Gate {
    fn let_through(&self, texts: usize) {
        *self.0.0.lock().unwrap() += texts;
        self.0.1.notify_all();
    }

    fn pass(&self, texts: usize) {
        let left = self.0.0.lock().unwrap();
        let mut left = self.0.1.wait_while(left, |left| *left < texts).unwrap();
        *left -= texts;
    }
}

/// A model that is slow, as slow as its gate.
struct Gated(HashEmbedder, Option<Gate>);

impl Embedder for Gated {
    fn model(&self) -> &str {
        self.0.model()
    }
    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        if let Some(gate) = &self.1 {
            gate.pass(texts.len());
        }
        self.0.embed(texts)
    }
}

struct Running {
    node: Arc<Node>,
    url: String,
    agent: ureq::Agent,
    gate: Gate,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start(file: &str, data: &Path, rebuild: bool, workers: usize) -> Result<Running, NodeError> {
        let options = ServeOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.to_owned(),
            workers: Some(workers),
            dead_letters: None,
            rebuild,
            model_hosts: Vec::new(),
        };
        let gate = Gate::default();
        let gated = gate.clone();
        let embedders = move |settings: &EmbedderSettings| -> Result<Arc<dyn Embedder>, EmbedError> {
            let Model::Hash { dimensions } = settings.model else {
                panic!("{settings:?}");
            };
            let gate = (dimensions == 16).then(|| gated.clone());
            Ok(Arc::new(Gated(HashEmbedder::new(dimensions), gate)))
        };
        let definition: Definition = parse(file, "notes.toml", Path::new("")).unwrap();
        let node = Arc::new(Node::start_with(definition, &options, Arc::new(embedders))?);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = node.app().clone();
        runtime.spawn(server::serve(listener, app, std::future::pending()));
        Ok(Running {
            node,
            url,
            agent: agent(PATIENCE),
            gate,
            runtime,
        })
    }

    fn get(&self, path: &str) -> (u16, Value) {
        read(self.agent.get(format!("{}{path}", self.url)).call())
    }

    fn post(&self, path: &str, body: impl ToString) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.url));
        read(request.send(body.to_string()))
    }

    fn push(&self, ids: std::ops::Range<usize>, wait: &str) -> (u16, Value) {
        let note = |id| json!({"id": id, "text": format!("note number{id}"), "topic": "calm", "rank": id});
        let body: String = ids.map(|id| format!("{}\n", note(id))).collect();
        self.post(&format!("/v1/tables/notes/changes{wait}"), body)
    }

    fn search(&self, request: &Value) -> (u16, Value) {
        self.post("/v1/indexes/notes/search", request)
    }

    fn stats(&self) -> Value {
        self.get("/v1/indexes/notes/stats").1
    }

    fn ready(&self) -> Value {
        let (status, ready) = self.get("/readyz");
        assert_eq!(status, 200, "searches are answered: {ready}");
        ready
    }

    /// Until so many documents are there with their vectors, and no index before is left.
    fn complete(&self, documents: usize) {
        let mut last = Value::Null;
        eventually("the index is complete", || {
            last = self.stats();
            let is_complete = last.get("rebuilding").is_none()
                && last["documents"] == documents
                && last["vectors_pending"] == 0;
            is_complete.then_some(())
        });
    }

    fn stop(self) {
        drop(self.runtime);
        self.node.stop().unwrap();
        // The threads that embed come to their end.
        self.gate.let_through(usize::MAX / 2);
    }
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = response.unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    let json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body:?}"));
    (response.status().as_u16(), json)
}

/// A data directory with the notes, stored by a node of two workers, and its tick.
fn stored() -> (TempDir, Value) {
    let data = tempfile::tempdir().unwrap();
    let node = Running::start(BEFORE, data.path(), false, 2).unwrap();
    assert_eq!(node.push(0..NOTES, "?wait=visible").0, 200);
    node.complete(NOTES);
    let tick = node.stats()["tick"].clone();
    node.stop();
    (data, tick)
}

/// What a process that was killed now would leave.
fn image(data: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
    let image = tempfile::tempdir().unwrap();
    copy(data, image.path());
    image
}

fn manifests(data: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(data).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("manifest-")).collect()
}

/// Asks in all modes until it is told to stop and the new index has answered. Each answer is of one index alone, with all
/// its documents, and none is of the index before after one of the new. Returns how many the one
/// before gave.
fn ask(node: &Running, before: Value, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (agent, stop) = (node.agent.clone(), stop.clone());
    let url = format!("{}/v1/indexes/notes/search", node.url);
    std::thread::spawn(move || {
        let (mut old, mut new) = (0, 0);
        while new == 0 || !stop.load(Ordering::Acquire) {
            for mode in ["keyword", "vector", "hybrid"] {
                let request = json!({"query": "note number7", "mode": mode, "limit": 1000});
                let (status, answer) = read(agent.post(&url).send(request.to_string()));
                assert_eq!(status, 200, "{answer}");
                assert!(answer.get("failed").is_none(), "{answer}");
                let is_old = answer["as_of"]["tick"] == before;
                let (has, lacks) = match is_old {
                    true => ("topic", "rank"),
                    false => ("rank", "topic"),
                };
                let hits = answer["hits"].as_array().unwrap();
                let expected = if is_old { NOTES } else { NOTES + 1 };
                assert_eq!(hits.len(), expected, "{mode} of {has}");
                for hit in hits {
                    let document = hit["document"].as_object().unwrap();
                    assert!(
                        document.contains_key(has) && !document.contains_key(lacks),
                        "{hit}"
                    );
                    assert!(mode != "vector" || hit["vector"].is_object(), "{hit}");
                }
                assert!(!is_old || new == 0, "back to the index before");
                match is_old {
                    true => old += 1,
                    false => new += 1,
                }
            }
        }
        old
    })
}

#[test]
fn the_index_before_answers_until_the_new_one_has_every_vector() {
    let (data, before) = stored();
    let kept = manifests(data.path());
    let node = Running::start(&after(), data.path(), true, 1).unwrap();
    let ready = node.ready();
    assert_eq!(ready["status"], "rebuilding");
    assert_eq!(
        ready["rebuilding"],
        json!({"documents": 0, "of": NOTES}),
        "nothing is embedded yet"
    );
    let stop = Arc::new(AtomicBool::new(false));
    let asking = ask(&node, before.clone(), &stop);

    // What comes meanwhile goes into the new one, and is not called visible.
    let (status, taken) = node.push(NOTES..NOTES + 1, "");
    assert_eq!(status, 202, "{taken}");
    assert_eq!(node.get(&format!("/v1/indexes/notes/documents/{NOTES}")).0, 404);
    let filtered = |filter: &str| node.search(&json!({"filter": filter, "mode": "keyword", "query": "note"}));
    assert_eq!(
        filtered("topic = 'calm'").0,
        200,
        "fields are those of the answers"
    );
    assert_eq!(filtered("rank = 7").1["error"]["code"], "unknown_field");
    let (status, refused) = node.post("/v1/snapshots", "");
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("rebuilding")));

    node.gate.let_through(NOTES / 2);
    eventually("half of it is there", || {
        let documents = node.ready()["rebuilding"]["documents"].as_u64()?;
        // Texts that the threads have not got together into a whole batch yet wait.
        (documents as usize >= NOTES / 2 - 16).then_some(())
    });
    let newest = || node.node.app().published.snapshot().tick.0;
    let then = newest();
    eventually("many checkpoints would have been due", || {
        assert_eq!(node.push(NOTES..NOTES + 1, "").0, 202);
        (newest() > then + 100).then_some(())
    });
    let stats = node.stats();
    assert_eq!((&stats["tick"], &stats["documents"]), (&before, &json!(NOTES)));
    assert_eq!(stats["rebuilding"]["of"], NOTES + 1, "{stats}");
    assert_eq!(manifests(data.path()), kept, "the checkpoint before is in force");

    node.gate.let_through(usize::MAX / 2);
    node.complete(NOTES + 1);
    assert_eq!(node.ready()["status"], "ready");
    assert_eq!(filtered("rank = 7").0, 200);
    assert_eq!(filtered("topic = 'calm'").1["error"]["code"], "unknown_field");
    stop.store(true, Ordering::Release);
    assert!(asking.join().unwrap() > 0, "the index before has answered");

    eventually(
        "a checkpoint has the new index, and the one before is let go of",
        || {
            let is_gone = node.node.app().before.load().is_none();
            (is_gone && manifests(data.path()) != kept).then_some(())
        },
    );
    node.stop();
    let again = Running::start(&after(), data.path(), false, 1).unwrap();
    again.complete(NOTES + 1);
    assert_eq!(again.stats()["texts_embedded"], 0, "no texts are embedded again");
    again.stop();
}

#[test]
fn a_rebuild_that_was_killed_or_stopped_leaves_the_index_before() {
    let (data, before) = stored();
    let kept = manifests(data.path());
    let node = Running::start(&after(), data.path(), true, 1).unwrap();
    assert_eq!(node.push(NOTES..NOTES + 1, "?wait=durable").0, 200);
    node.gate.let_through(50);
    eventually("some of it is there", || {
        (node.ready()["rebuilding"]["documents"].as_u64()? > 0).then_some(())
    });
    let killed = image(data.path());
    node.stop();
    assert_eq!(
        manifests(data.path()),
        kept,
        "half an index is no checkpoint, not even at the end"
    );

    for data in [&killed, &data] {
        // With the file as it is now, and without the word: nothing has happened yet.
        let refused = Running::start(&after(), data.path(), false, 1);
        assert!(matches!(
            refused.err(),
            Some(NodeError::Open(OpenError::NeedsRebuild { .. }))
        ));
        // With the word: again from the start.
        let again = image(data.path());
        let node = Running::start(&after(), again.path(), true, 2).unwrap();
        let ready = node.ready();
        assert_eq!(ready["rebuilding"]["documents"], 0, "{ready}");
        assert_eq!(node.stats()["tick"], before);
        node.gate.let_through(usize::MAX / 2);
        node.complete(NOTES + 1);
        node.stop();
        // With the file before: as if it had never been.
        let node = Running::start(BEFORE, data.path(), false, 2).unwrap();
        node.complete(NOTES + 1);
        assert_eq!(node.ready()["status"], "ready");
        node.stop();
    }
}

#[test]
fn a_rebuild_without_texts_to_embed_is_stored_though_nothing_changes() {
    let (data, _) = stored();
    let file = after()
        .replace("embed = \"{rank} {text}\"", "")
        .replace("key = [\"id\"]", "key = [\"rank\"]")
        .replace("key = \"id\"", "key = \"rank\"");
    let node = Running::start(&file, data.path(), true, 1).unwrap();
    node.complete(NOTES);
    // A snapshot waits for it.
    let (status, made) = node.post("/v1/snapshots", json!({"name": "new"}));
    assert_eq!(status, 201, "{made}");
    node.stop();
    let copy = tempfile::tempdir().unwrap();
    let from = Disk::new(&data.path().join("snapshots/new"));
    snapshots::restore(&from, &Disk::new(copy.path())).unwrap();
    for data in [&data, &copy] {
        let node = Running::start(&file, data.path(), false, 1).unwrap();
        node.complete(NOTES);
        node.stop();
    }
}
