//! An embedding service of the test's own, and a node that uses it.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use millpond::definition::{EmbedderSettings, parse};
use millpond::embed::{EmbedError, Embedder, HashEmbedder};
use millpond::index::Snapshot;
use millpond::node::{Node, ServeOptions};
use millpond::query::{SearchAnswer, SearchRequest, Stats};
use serde_json::json;

use crate::binary::eventually;

pub const DIMENSIONS: usize = 4;

/// How the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// It takes texts and does not answer.
    Hanging,
    /// It refuses, and asks to try again later.
    Down,
}

/// Vectors of the `hash` embedder, at the price of a slow model: never inside a tick.
pub struct Service {
    model: HashEmbedder,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    mood: Mood,
    /// The texts of each call, when it came.
    asked: Vec<Vec<String>>,
    /// Each text that was embedded, when it was.
    embedded: Vec<String>,
}

impl Service {
    pub fn new(mood: Mood) -> Arc<Service> {
        Arc::new(Service {
            model: HashEmbedder::new(DIMENSIONS),
            state: Mutex::new(State {
                mood,
                asked: Vec::new(),
                embedded: Vec::new(),
            }),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn becomes(&self, mood: Mood) {
        self.state().mood = mood;
        self.changed.notify_all();
    }

    /// How many calls have come.
    pub fn calls(&self) -> usize {
        self.state().asked.len()
    }

    /// All texts asked for so far, in order.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.concat()
    }

    /// All texts embedded so far, in order, but for those that find out whether the service is well.
    pub fn embedded(&self) -> Vec<String> {
        let mut embedded = self.state().embedded.clone();
        embedded.retain(|text| text != "a");
        embedded
    }

    pub fn vector(&self, text: &str) -> Vec<f32> {
        self.model.embed(&[text]).unwrap().remove(0)
    }
}

impl Embedder for Service {
    fn model(&self) -> &str {
        "service"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut state = self.state();
        state
            .asked
            .push(texts.iter().map(|text| text.to_string()).collect());
        let hangs = |state: &mut State| state.mood == Mood::Hanging;
        let mut state = self.changed.wait_while(state, hangs).unwrap();
        let failed = |reason: &str, retry| EmbedError {
            model: "service".into(),
            reason: reason.into(),
            retry,
        };
        if state.mood == Mood::Down {
            return Err(failed("out of order", true));
        }
        if texts.contains(&"indigestible") {
            return Err(failed("it took too long", true));
        }
        if texts.contains(&"refused") {
            return Err(failed("no such word", false));
        }
        state.embedded.extend(texts.iter().map(|text| text.to_string()));
        self.model.embed(texts)
    }
}

/// A node without its port, on notes that have a text and a price.
pub struct Running {
    pub node: Node,
    pub service: Arc<Service>,
}

impl Running {
    /// `settings` are lines of `[embedder]`.
    pub fn start(service: &Arc<Service>, data: &Path, settings: &str) -> Running {
        Running::start_on(service, data, settings, 1)
    }

    pub fn start_on(service: &Arc<Service>, data: &Path, settings: &str, workers: usize) -> Running {
        Running::start_as(service, data, "", settings, workers)
    }

    /// With a line of `[index]` too.
    pub fn start_as(
        service: &Arc<Service>,
        data: &Path,
        index: &str,
        settings: &str,
        workers: usize,
    ) -> Running {
        let file = format!(
            r#"
name = "notes"
[tables.notes]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text, price FROM notes"
key = "id"
text = {{ text = {{}} }}
fields = {{ price = "i64" }}
embed = "{{text}}"
{index}
[embedder]
model = "hash"
dimensions = {DIMENSIONS}
{settings}
[checkpoint]
interval = "20ms"
"#
        );
        let definition =
            parse(&file, "notes.toml", Path::new("")).unwrap_or_else(|faults| panic!("{faults}"));
        let options = ServeOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.to_owned(),
            workers: Some(workers),
            dead_letters: None,
            rebuild: false,
            model_hosts: Vec::new(),
        };
        let opened = service.clone();
        let embedders = move |_: &EmbedderSettings| Ok(opened.clone() as Arc<dyn Embedder>);
        let running = Running {
            node: Node::start_with(definition, &options, Arc::new(embedders)).unwrap(),
            service: service.clone(),
        };
        running.until("the node has recovered and takes pushes", |_| {
            let is_ready = running.node.app().ready.load(Ordering::Acquire);
            (is_ready && running.try_push("").is_some()).then_some(())
        });
        running
    }

    fn try_push(&self, lines: &str) -> Option<Option<u64>> {
        let table = self.node.app().push_table("notes").unwrap();
        let pushed = table.push(lines.as_bytes(), None).ok()?;
        Some(pushed.position.map(|offset| offset.0))
    }

    /// Pushes changes, and returns when the keyword leg shows them.
    pub fn push(&self, lines: &str) {
        let position = eventually("the push is taken", || self.try_push(lines)).expect("lines");
        self.until("the push is visible", |snapshot| {
            (snapshot.positions.get("notes/0") >= Some(&position)).then_some(())
        });
    }

    /// Gives a note its text, in a tick of its own.
    pub fn put(&self, id: usize, text: &str) {
        self.push(&note(id, text, 0));
    }

    pub fn until<T>(&self, what: &str, look: impl Fn(&Snapshot) -> Option<T>) -> T {
        eventually(what, || look(&self.node.app().published.snapshot()))
    }

    /// Until every document has its vector.
    pub fn complete(&self) {
        self.until("all vectors are there", |snapshot| {
            (snapshot.vectors_pending() == 0).then_some(())
        });
    }

    pub fn stats(&self) -> Stats {
        self.node.app().searcher.as_ref().unwrap().stats()
    }

    pub fn search(&self, request: &SearchRequest) -> SearchAnswer {
        self.node
            .app()
            .searcher
            .as_ref()
            .unwrap()
            .search(request)
            .unwrap()
    }

    /// The text of a note as it is shown.
    pub fn text(&self, id: usize) -> Option<String> {
        let answer = self
            .node
            .app()
            .searcher
            .as_ref()
            .unwrap()
            .document(&id.to_string())?;
        let row: serde_json::Value = serde_json::from_str(answer.document.get()).unwrap();
        Some(row["text"].as_str().unwrap().to_owned())
    }

    /// Whether the vector leg shows a note with the vector of a text.
    pub fn shows(&self, id: usize, text: &str) -> bool {
        let answer = self.search(&SearchRequest {
            vector: Some(self.service.vector(text)),
            limit: 1_000,
            exact: true,
            ..SearchRequest::default()
        });
        let key = id.to_string();
        let hit = answer.hits.iter().find(|hit| *hit.key == *key);
        hit.is_some_and(|hit| hit.score > 0.999)
    }

    /// Waits until each text that was needed has been saved, embedded, refused or withdrawn.
    ///
    /// Withdrawn ones are counted by ticks that have texts, so it makes some, of a note 99.
    pub fn settled(&self) -> Stats {
        eventually("every text is accounted for", || {
            let stats = self.stats();
            let saved = stats.texts_saved_shared + stats.texts_saved_unchanged + stats.texts_saved_cached;
            assert_eq!(stats.texts_saved, saved, "{stats:?}");
            let asked = stats.texts_embedded + stats.texts_failed + stats.texts_withdrawn;
            if stats.texts_needed == saved + asked {
                return Some(stats);
            }
            self.put(99, "the end");
            None
        })
    }

    pub fn stop(self) {
        self.node.stop().unwrap();
    }
}

pub fn note(id: usize, text: &str, price: usize) -> String {
    json!({"id": id, "text": text, "price": price}).to_string()
}
