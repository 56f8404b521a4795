//! Models: how fast they embed, and what is found with them.
//!
//! - `speed`: texts/s and tokens/s of one core, of texts of 64 tokens and of the texts of the sets as they are; the
//!   built-in model, and MiniLM as `{ path = ... }`, beside onnxruntime on the same texts with as many threads
//!   (`benches/peers/embed.py`, which also compares vectors with a reference in float64);
//! - `quality`: nDCG@10 by words, by vectors and by both, with the default settings of a dataflow file.
//!
//! Models and texts lie outside the repository; what is absent is left out, saying so. Run with
//! `cargo bench --bench embed`, or one part with `cargo bench --bench embed -- speed`.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use common::judged::{self, Item, corpus, judgements, ndcg, queries};
use common::{Goal, figure, judged as against, processor_time, public_data};
use millpond::definition::VectorSource;
use millpond::embed::{self, Embedder};
use millpond::query::{Mode, SearchRequest};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Processor time that a figure of speed is measured over.
const SECONDS: f64 = 4.0;

fn main() {
    let part = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    let Some(root) = public_data("search") else { return };
    if wanted("speed") {
        speed(&root);
    }
    if wanted("quality") {
        for set in judged::SETS {
            quality(set, &root.join(set));
        }
    }
}

/// A model that lies beside the repository, as `[embedder] model`.
fn model(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/models")
        .join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

fn dataflow(model: &str) -> String {
    format!(
        r#"
name = "bench"
[tables.documents]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, text FROM documents"
key = "id"
text = {{ title = {{}}, text = {{}} }}
embed = "{{title}}. {{text}}"
[embedder]
{model}
"#
    )
}

fn open(model: &str) -> Arc<dyn Embedder> {
    let index = common::define(&dataflow(model)).index.expect("an index");
    let VectorSource::Embed { embedder, .. } = &index.vectors[0].source else {
        panic!("it embeds")
    };
    embed::open(embedder).expect("the model opens")
}

fn speed(root: &Path) {
    let texts = |set: &str| -> Vec<String> { corpus(&root.join(set)).iter().map(rendered).collect() };
    let (abstracts, products) = (texts("scifact"), texts("chorus-icecat"));
    // A token of these has 4.8 characters on average, by MiniLM's tokenizer, which the built-in model has too.
    let about_64: Vec<String> = abstracts
        .iter()
        .map(|text| text.chars().take(307).collect())
        .collect();

    let built_in = open("model = \"default\"");
    for (name, texts, goal) in [
        ("texts of 64 tokens", &about_64, Some(20_000.0)),
        ("products", &products, None),
        ("abstracts", &abstracts, None),
    ] {
        let rate = rate(&*built_in, texts, 256);
        let name = format!("built-in model, {name}, one core");
        match goal {
            Some(goal) => against("embed", &name, rate, "texts/s", Goal::AtLeast(goal)),
            None => figure("embed", &name, rate, "texts/s"),
        }
    }

    let Some(minilm) = model("minilm-l6-v2-f16") else {
        return;
    };
    let line = format!("model = {{ path = {minilm:?} }}\nparallel = 1");
    let began = Instant::now();
    let ours = open(&line);
    figure(
        "embed",
        "MiniLM, opening",
        began.elapsed().as_secs_f64() * 1e3,
        "ms",
    );
    let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/embed");
    std::fs::create_dir_all(&work).expect("a folder");
    let graph = embed::as_onnx(&minilm).expect("a graph");
    std::fs::write(work.join("minilm.onnx"), graph).expect("a file");
    for (name, texts) in [
        ("64", &about_64),
        ("products", &products),
        ("abstracts", &abstracts),
    ] {
        let texts = &texts[..1000];
        let rate = rate(&*ours, texts, 32);
        figure(
            "embed",
            &format!("MiniLM, {name}, one core, batches of 32"),
            rate,
            "texts/s",
        );
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = ours.embed(&borrowed).expect("vectors");
        let bytes: Vec<u8> = vectors
            .concat()
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        std::fs::write(work.join(format!("{name}.f32")), bytes).expect("a file");
        let json = serde_json::to_string(&serde_json::json!({"texts": texts, "rate": rate})).expect("JSON");
        std::fs::write(work.join(format!("{name}.json")), json).expect("a file");
    }
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/embed.py");
    let ran = Command::new("python3").arg(peer).arg(&minilm).arg(&work).status();
    if !ran.is_ok_and(|status| status.success()) {
        println!("skipped: benches/peers/embed.py could not be run");
    }
}

/// Texts embedded in a second of processor time, all threads together: other programs do not count.
fn rate(embedder: &dyn Embedder, texts: &[String], batch: usize) -> f64 {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut batches = texts.chunks(batch).cycle();
    let mut next = || {
        let batch = batches.next().expect("texts");
        embedder.embed(batch).expect("vectors");
        batch.len()
    };
    next();
    let (began, mut count) = (processor_time(), 0);
    loop {
        count += next();
        let spent = (processor_time() - began).as_secs_f64();
        if spent > SECONDS {
            return count as f64 / spent;
        }
    }
}

fn rendered(item: &Item) -> String {
    format!("{}. {}", item.title, item.text).trim().to_owned()
}

fn quality(set: &str, folder: &Path) {
    let items = corpus(folder);
    let mut models = vec![("built-in", "model = \"default\"".to_owned())];
    if let Some(path) = model("minilm-l6-v2-f16") {
        models.push(("MiniLM", format!("model = {{ path = {path:?} }}")));
    }
    for (name, line) in models {
        let modes = found(&dataflow(&line), &items, folder);
        for (mode, value) in &modes {
            figure(
                "embed",
                &format!("{set}: nDCG@10, {name}, {}", mode.name()),
                *value,
                "",
            );
        }
        if let [(_, keyword), (_, vector), (_, hybrid)] = modes[..] {
            let name = format!("{set}: nDCG@10, {name}, hybrid over the better leg");
            against(
                "embed",
                &name,
                hybrid / keyword.max(vector),
                "",
                Goal::AtLeast(1.0),
            );
        }
    }
}

/// nDCG@10 of each mode, through a node with the defaults of a dataflow file.
fn found(dataflow: &str, items: &[Item], folder: &Path) -> Vec<(Mode, f64)> {
    let (node, _directory) = common::start(dataflow);
    let table = node.app().push_table("documents").expect("it takes pushes");
    for chunk in items.chunks(1000) {
        let line = |item: &Item| {
            serde_json::json!({"id": item.id, "title": item.title, "text": item.text}).to_string()
        };
        let lines: Vec<String> = chunk.iter().map(line).collect();
        while table.push(lines.join("\n").as_bytes(), None).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let complete = |snapshot: &millpond::index::Snapshot| {
        snapshot.documents() == items.len() && snapshot.vectors_pending() == 0
    };
    runtime.block_on(node.app().published.wait_for(complete));
    let searcher = node.app().searcher.clone().expect("an index");
    let (judgements, queries) = (judgements(folder), queries(folder));
    let modes = [Mode::Keyword, Mode::Vector, Mode::Hybrid].map(|mode| {
        let scores = queries.iter().filter_map(|(id, text)| {
            let request = SearchRequest {
                query: Some(text.clone()),
                mode,
                fields: Some(Vec::new()),
                ..SearchRequest::default()
            };
            let answer = searcher.search(&request).expect("an answer");
            ndcg(judgements.get(id)?, answer.hits.iter().map(|hit| &*hit.key))
        });
        let scores: Vec<f64> = scores.collect();
        (mode, scores.iter().sum::<f64>() / scores.len() as f64)
    });
    node.stop().expect("the node stops");
    modes.to_vec()
}
