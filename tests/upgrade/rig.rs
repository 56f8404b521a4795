//! A node with its port, on notes, with two models: one of 8 dimensions, and one of 16 that can be held up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use millpond::definition::{EmbedderSettings, Model, parse};
use millpond::embed::{EmbedError, Embedder, HashEmbedder};
use millpond::index::Snapshot;
use millpond::node::{Node, ServeOptions};
use millpond::server;
use serde_json::{Value, json};

use crate::binary::{PATIENCE, agent, eventually};
use crate::shared::Random;

/// The settings of the models.
pub const OLD: &str = "model = \"hash\"\ndimensions = 8";
pub const NEW: &str = "model = \"hash\"\ndimensions = 16";

/// A dataflow file with these lines of `[embedder]`.
pub fn dataflow(embedder: &str) -> String {
    format!(
        r#"
name = "notes"
[tables.notes]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = {{ text = {{}} }}
embed = "{{text}}"
[checkpoint]
interval = "50ms"
[embedder]
{embedder}
"#
    )
}

/// The notes as they should be.
#[derive(Default)]
pub struct Notes(pub BTreeMap<usize, String>);

impl Notes {
    /// So many notes, as lines to push.
    pub fn fill(&mut self, count: usize) -> String {
        let new = (0..count).map(|id| (id, format!("note number{id}")));
        self.0.extend(new);
        self.0.iter().map(|(id, text)| line(*id, text)).collect()
    }

    /// Changes some: new texts, texts that several have, new notes, and deletes.
    pub fn change(&mut self, random: &mut Random, count: usize) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            let id = random.below(self.0.len() + 50);
            if random.percent(20) {
                self.0.remove(&id);
                lines += &format!("{}\n", json!({"id": id, "_op": "delete"}));
                continue;
            }
            let text = match random.percent(30) {
                true => format!("shared {}", random.below(5)),
                false => format!("note number{id} again {}", random.below(1_000)),
            };
            lines += &line(id, &text);
            self.0.insert(id, text);
        }
        lines
    }

    /// The cosine of each note's text with another one.
    pub fn scores(&self, text: &str, dimensions: usize) -> BTreeMap<String, f32> {
        let scored = self.0.iter();
        scored
            .map(|(id, of_note)| (id.to_string(), cosine(text, of_note, dimensions)))
            .collect()
    }
}

fn line(id: usize, text: &str) -> String {
    format!("{}\n", json!({"id": id, "text": text}))
}

pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    HashEmbedder::new(dimensions).embed(&[text]).unwrap().remove(0)
}

fn cosine(a: &str, b: &str, dimensions: usize) -> f32 {
    let (a, b) = (vector(a, dimensions), vector(b, dimensions));
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

/// How many texts the model of 16 dimensions may still embed.
#[derive(Default)]
struct Gate {
    left: Mutex<usize>,
    opened: Condvar,
}

/// A model that counts what it embeds.
struct Counting {
    model: HashEmbedder,
    gate: Option<Arc<Gate>>,
    refuses: Option<&'static str>,
    embedded: Arc<AtomicUsize>,
}

impl Embedder for Counting {
    fn model(&self) -> &str {
        self.model.model()
    }
    fn dimensions(&self) -> usize {
        self.model.dimensions()
    }
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        if let Some(gate) = &self.gate {
            let left = gate.left.lock().unwrap();
            let mut left = gate.opened.wait_while(left, |left| *left < texts.len()).unwrap();
            *left -= texts.len();
        }
        if texts
            .iter()
            .any(|text| self.refuses.is_some_and(|word| text.contains(word)))
        {
            return Err(EmbedError {
                model: self.model.model().to_owned(),
                reason: "no such word".to_owned(),
                retry: false,
            });
        }
        self.embedded.fetch_add(texts.len(), Ordering::Relaxed);
        self.model.embed(texts)
    }
}

/// What is not as usual.
#[derive(Clone, Copy, Default)]
pub struct How {
    pub rebuild: bool,
    /// The model of so many dimensions cannot be opened.
    pub missing: Option<usize>,
    /// The model of 16 dimensions refuses texts with this word.
    pub refuses: Option<&'static str>,
    /// A further line of the index.
    pub index: &'static str,
}

pub struct Rig {
    node: Node,
    url: String,
    agent: ureq::Agent,
    gate: Arc<Gate>,
    /// Of the models of 8 and of 16 dimensions.
    embedded: [Arc<AtomicUsize>; 2],
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    /// Starts a node whose dataflow file names this embedder.
    pub fn start(embedder: &str, data: &Path, workers: usize) -> Rig {
        Rig::try_start(embedder, data, workers).unwrap()
    }

    pub fn try_start(embedder: &str, data: &Path, workers: usize) -> Result<Rig, String> {
        Rig::start_where(embedder, data, workers, How::default())
    }

    pub fn start_where(embedder: &str, data: &Path, workers: usize, how: How) -> Result<Rig, String> {
        let options = ServeOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.to_owned(),
            workers: Some(workers),
            dead_letters: None,
            rebuild: how.rebuild,
            model_hosts: Vec::new(),
        };
        let gate = Arc::<Gate>::default();
        let embedded: [Arc<AtomicUsize>; 2] = Default::default();
        let (gated, counts) = (gate.clone(), embedded.clone());
        let embedders = move |settings: &EmbedderSettings| -> Result<Arc<dyn Embedder>, EmbedError> {
            let Model::Hash { dimensions } = settings.model else {
                return millpond::embed::open(settings);
            };
            if how.missing == Some(dimensions) {
                return Err(EmbedError {
                    model: format!("hash-{dimensions}"),
                    reason: "it is not there".to_owned(),
                    retry: false,
                });
            }
            Ok(Arc::new(Counting {
                model: HashEmbedder::new(dimensions),
                gate: (dimensions != 8).then(|| gated.clone()),
                refuses: (dimensions == 16).then_some(how.refuses).flatten(),
                embedded: counts[usize::from(dimensions == 16)].clone(),
            }))
        };
        let file = dataflow(embedder).replace("[checkpoint]", &format!("{}\n[checkpoint]", how.index));
        let definition = parse(&file, "notes.toml", Path::new("")).unwrap();
        let node =
            Node::start_with(definition, &options, Arc::new(embedders)).map_err(|error| error.to_string())?;
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
        let rig = Rig {
            node,
            url,
            agent: agent(PATIENCE),
            gate,
            embedded,
            runtime,
        };
        eventually("it is ready", || (rig.get("/readyz").0 == 200).then_some(()));
        Ok(rig)
    }

    /// The model of 16 dimensions may embed so many texts more.
    pub fn let_through(&self, texts: usize) {
        *self.gate.left.lock().unwrap() += texts;
        self.gate.opened.notify_all();
    }

    /// Nothing holds the model of 16 dimensions up any more.
    pub fn release(&self) {
        self.let_through(usize::MAX / 4);
    }

    /// Texts that the model of so many dimensions has embedded since the start.
    pub fn embedded(&self, dimensions: usize) -> usize {
        self.embedded[usize::from(dimensions == 16)].load(Ordering::Relaxed)
    }

    fn get(&self, path: &str) -> (u16, String) {
        read(self.agent.get(format!("{}{path}", self.url)).call())
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/v1/indexes/notes{path}", self.url);
        json_of(read(self.agent.post(url).send_json(body)))
    }

    /// Posts as a web page may, to any host.
    pub fn post_text(&self, path: &str, body: &str) -> (u16, Value) {
        let url = format!("{}/v1/indexes/notes{path}", self.url);
        json_of(read(self.agent.post(url).content_type("text/plain").send(body)))
    }

    pub fn delete_second(&self) -> (u16, Value) {
        let url = format!("{}/v1/indexes/notes/upgrade", self.url);
        json_of(read(self.agent.delete(url).call()))
    }

    /// Switches, rolls back, or compares.
    #[track_caller]
    pub fn upgrade(&self, step: &str) -> Value {
        let (status, answer) = self.post(&format!("/upgrade/{step}"), &json!({}));
        assert_eq!(status, 200, "{step}: {answer}");
        answer
    }

    #[track_caller]
    pub fn begin(&self, embedder: &str) -> Value {
        let (status, begun) = self.post("/upgrade", &json!({ "embedder": embedder }));
        assert_eq!(status, 202, "{begun}");
        begun
    }

    pub fn status(&self) -> Value {
        json_of(self.get("/v1/indexes/notes/upgrade")).1
    }

    pub fn until_status(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || Some(self.status()).filter(&holds))
    }

    pub fn complete(&self) {
        self.until_status("the second set is complete", |status| {
            status["phase"] == "complete"
        });
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.node.app().published.snapshot()
    }

    pub fn push(&self, lines: &str) {
        let url = format!("{}/v1/tables/notes/changes", self.url);
        let taken = eventually("the push is taken", || {
            let (status, body) = json_of(read(self.agent.post(&url).send(lines)));
            assert!(matches!(status, 202 | 429 | 503), "{status} {body}");
            (status == 202).then_some(body)
        });
        let position = taken["position"].as_u64().unwrap();
        eventually("the push is visible", || {
            (self.snapshot().positions.get("notes/0") >= Some(&position)).then_some(())
        });
    }

    /// Waits until the set that answers has every vector, then looks at all of them: each note is found with the score
    /// that the model of so many dimensions gives it, and nothing else is.
    #[track_caller]
    pub fn shows(&self, notes: &Notes, dimensions: usize) {
        eventually("all vectors are there", || {
            (self.snapshot().vectors_pending() == 0).then_some(())
        });
        let probe = "note number7";
        let expected = notes.scores(probe, dimensions);
        let asked = json!({"vector": vector(probe, dimensions), "mode": "vector", "limit": 5_000, "exact": true, "fields": []});
        let (status, answer) = self.post("/search", &asked);
        assert_eq!(status, 200, "{answer}");
        let found = scores(&answer);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (key, score) in &found {
            assert!(
                (score - expected[key]).abs() < 1e-5,
                "{key}: {score}, not {}",
                expected[key]
            );
        }
        assert_eq!(self.snapshot().vectors(), notes.0.len());
    }

    /// What recovery brought back was as it was stored.
    #[track_caller]
    pub fn nothing_corrected(&self) {
        let metrics = self.get("/metrics").1;
        let corrected = crate::binary::sample(&metrics, "millpond_documents_corrected_total");
        assert_eq!(corrected, 0.0);
    }

    /// Searches in all modes until it is told to stop. Each answer is of one model alone; returns the dimensions of those
    /// that gave one.
    pub fn ask(&self, stop: &Arc<AtomicBool>) -> JoinHandle<BTreeSet<usize>> {
        let (agent, stop) = (self.agent.clone(), stop.clone());
        let url = format!("{}/v1/indexes/notes/search", self.url);
        std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            let mut number = 0;
            while !stop.load(Ordering::Acquire) {
                number = (number + 1) % 50;
                let query = format!("note number{number}");
                let mode = ["vector", "hybrid", "keyword"][number % 3];
                let asked = json!({"query": query, "mode": mode, "limit": 20});
                let (status, answer) = json_of(read(agent.post(&url).send(asked.to_string())));
                assert_eq!(status, 200, "{answer}");
                assert!(answer.get("failed").is_none(), "{answer}");
                assert!(!answer["hits"].as_array().unwrap().is_empty(), "{answer}");
                if mode == "vector" {
                    seen.extend(model_of(&query, &answer));
                }
            }
            seen
        })
    }

    /// Bytes of the stored vectors of texts.
    pub fn texts_bytes(&self, data: &Path) -> u64 {
        let parts = std::fs::read_dir(data.join("parts")).unwrap();
        let texts = parts.flatten().filter(|part| {
            let name = part.file_name();
            name.to_string_lossy().starts_with("texts-")
        });
        texts.filter_map(|part| Some(part.metadata().ok()?.len())).sum()
    }

    pub fn stop(self) {
        drop(self.runtime);
        // What is held up is of no use to anybody.
        self.node.stop().unwrap();
        *self.gate.left.lock().unwrap() = usize::MAX / 2;
        self.gate.opened.notify_all();
    }
}

/// The vector leg's score of each hit.
pub fn scores(answer: &Value) -> BTreeMap<String, f32> {
    let hits = answer["hits"].as_array().unwrap().iter();
    hits.map(|hit| {
        let key = hit["key"].as_str().unwrap().to_owned();
        (key, hit["vector"]["score"].as_f64().unwrap() as f32)
    })
    .collect()
}

/// The model that gave all scores of an answer, if its hits tell.
fn model_of(query: &str, answer: &Value) -> Option<usize> {
    let hits = answer["hits"].as_array().unwrap();
    // The vector of a hit that waits for another is that of a text which is not shown.
    let current: Vec<&Value> = hits
        .iter()
        .filter(|hit| matches!(hit["vector_state"].as_str(), None | Some("current")))
        .collect();
    let is_of = |dimensions: &usize| {
        current.iter().all(|hit| {
            let text = hit["document"]["text"].as_str().unwrap();
            let score = hit["vector"]["score"].as_f64().unwrap() as f32;
            (score - cosine(query, text, *dimensions)).abs() < 1e-5
        })
    };
    assert!([8, 16].iter().any(is_of), "of two models: {answer}");
    if current.len() < 5 {
        return None;
    }
    [8, 16].into_iter().find(is_of)
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = response.unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), body)
}

fn json_of((status, body): (u16, String)) -> (u16, Value) {
    let json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body:?}"));
    (status, json)
}
