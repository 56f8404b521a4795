//! The query port beside what people glue together by hand.
//!
//! - hybrid queries a second in process, one thread, query vectors given, with and without a filter of 10 %; in the same
//!   run `benches/peers/hybrid.py`: hnswlib and tantivy on the same documents, their hits fused by rank.
//! - hybrid queries over HTTP with 8 clients, without changes and while 500 rows a second are replaced.
//! - facets over all documents.
//!
//! About 50,000 real documents (the public sets together). The data lies outside the repository; without it the bench says so
//! and ends. Run with `cargo bench --bench query`.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::judged::{DATAFLOW, Item, TOGETHER, all_queries, corpus};
use common::{Served, figure, median, public_data, quantile};
use millpond::embed::{BuiltIn, Embedder};
use millpond::query::{FilterRequest, SearchRequest};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 5;
const CLIENTS: usize = 8;
const CHANGES_PER_SECOND: usize = 500;
const LOAD: Duration = Duration::from_secs(15);

/// A row of the bench.
struct Document {
    title: String,
    text: String,
    collection: &'static str,
    number: usize,
}

impl Document {
    fn line(&self, id: usize) -> String {
        let Document {
            title,
            text,
            collection,
            number,
        } = self;
        json!({"id": id, "title": title, "text": text, "collection": collection, "number": number})
            .to_string()
    }
}

fn main() {
    let Some(root) = public_data("search") else { return };
    let mut documents = Vec::new();
    for set in TOGETHER {
        let items = corpus(&root.join(set)).into_iter();
        documents.extend(items.map(|Item { title, text, .. }| Document {
            title,
            text,
            collection: set,
            number: 0,
        }));
    }
    let count = documents.len();
    for (place, document) in documents.iter_mut().enumerate() {
        // Numbers are spread over the sets, so that a range of them is no set.
        document.number = place.wrapping_mul(7919) % count;
    }
    let queries = all_queries(&root);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let served = common::serve(DATAFLOW, &directory);
    load(&served, &documents);
    println!("{count} documents, {} queries", queries.len());

    in_process(&served, &documents, &queries);
    facets(&served);
    under_load(&served, &documents, &queries);
    served.node.stop().expect("the node stops");
}

fn load(served: &Served, documents: &[Document]) {
    let table = served
        .node
        .app()
        .push_table("documents")
        .expect("it takes pushes");
    for (first, chunk) in (0..).step_by(1000).zip(documents.chunks(1000)) {
        let lines: Vec<String> = (first..)
            .zip(chunk)
            .map(|(id, document)| document.line(id))
            .collect();
        while table.push(lines.join("\n").as_bytes(), None).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let is_whole = |snapshot: &millpond::index::Snapshot| {
        snapshot.documents() == documents.len()
            && snapshot.vectors_pending() == 0
            && snapshot.vectors_unbuilt() == 0
    };
    served
        .runtime
        .block_on(served.node.app().published.wait_for(is_whole));
}

fn in_process(served: &Served, documents: &[Document], queries: &[String]) {
    let model = BuiltIn::load().expect("the built-in model");
    let embed = |text: &str| model.embed(&[text]).expect("a vector").swap_remove(0);
    let asked: Vec<Vec<f32>> = queries.iter().map(|query| embed(query)).collect();
    let searcher = served.node.app().searcher.clone().expect("an index");
    let bound = documents.len() / 10;
    let mut ours = BTreeMap::new();
    for (name, filter) in [("no filter", None), ("10 %", Some(format!("number < {bound}")))] {
        let requests: Vec<SearchRequest> = queries
            .iter()
            .zip(&asked)
            .map(|(query, vector)| SearchRequest {
                query: Some(query.clone()),
                vector: Some(vector.clone()),
                filter: filter.clone().map(FilterRequest::Sql),
                ..SearchRequest::default()
            })
            .collect();
        let rounds = (0..ROUNDS).map(|_| {
            let began = Instant::now();
            for request in &requests {
                searcher.search(request).expect("an answer");
            }
            requests.len() as f64 / began.elapsed().as_secs_f64()
        });
        let rate = median(&rounds.collect::<Vec<_>>());
        figure("query", &format!("hybrid in process, {name}"), rate, "queries/s");
        ours.insert(name, rate);
    }

    let folder = tempfile::tempdir().expect("a temporary directory");
    let written = json!({
        "documents": documents.iter().map(|document| json!([document.title, document.text, document.number])).collect::<Vec<_>>(),
        "queries": queries,
        "bound": bound,
    });
    let floats = |rows: &[Vec<f32>]| {
        rows.iter()
            .flatten()
            .flat_map(|float| float.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let texts = documents
        .iter()
        .map(|document| format!("{}. {}", document.title, document.text).trim().to_owned());
    let vectors: Vec<Vec<f32>> = texts.map(|text| embed(&text)).collect();
    std::fs::write(folder.path().join("data.json"), written.to_string()).expect("room for the documents");
    std::fs::write(folder.path().join("vectors"), floats(&vectors)).expect("room for the vectors");
    std::fs::write(folder.path().join("asked"), floats(&asked)).expect("room for the queries");
    let Some(peer) = peer(folder.path()) else { return };
    for (name, rate) in ours {
        let Some(theirs) = peer[name].as_f64() else {
            continue;
        };
        figure(
            "query",
            &format!("peer: hnswlib and tantivy by hand, {name}"),
            theirs,
            "queries/s",
        );
        figure(
            "query",
            &format!("ours to the peer, {name}"),
            rate / theirs,
            "times",
        );
    }
}

/// What the script measures; `None` with the reason printed.
fn peer(folder: &Path) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/hybrid.py");
    let run = Command::new("python3")
        .arg(script)
        .arg(folder)
        .stderr(Stdio::inherit())
        .output();
    let answer = match run {
        Ok(run) => serde_json::from_slice(&run.stdout).map_err(|_| "it has no answer".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    answer.inspect_err(|reason| println!("no peer: {reason}")).ok()
}

fn facets(served: &Served) {
    let searcher = served.node.app().searcher.clone().expect("an index");
    for (name, facets) in [
        ("terms", json!({"collection": {"terms": {}}})),
        (
            "ranges",
            json!({"number": {"ranges": [{"to": 10_000}, {"from": 10_000, "to": 20_000}, {"from": 20_000}]}}),
        ),
        ("histogram", json!({"number": {"histogram": {"interval": 1_000}}})),
        ("statistics", json!({"number": {"stats": {}}})),
    ] {
        let request = serde_json::from_value(json!({"facets": facets, "limit": 0})).expect("a search");
        let mut times: Vec<f64> = (0..200)
            .map(|_| {
                let began = Instant::now();
                searcher.search(&request).expect("an answer");
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        figure(
            "query",
            &format!("facets over all documents: {name}"),
            quantile(&mut times, 0.5),
            "ms",
        );
    }
}

/// Eight clients, without changes and with.
fn under_load(served: &Served, documents: &[Document], queries: &[String]) {
    let mut quiet = clients(served, queries);
    let stop = AtomicBool::new(false);
    let mut busy = std::thread::scope(|scope| {
        scope.spawn(|| replace(served, documents, &stop));
        let times = clients(served, queries);
        stop.store(true, Ordering::Relaxed);
        times
    });
    for (name, times) in [("no changes", &mut quiet), ("500 changes/s", &mut busy)] {
        let rate = times.len() as f64 / LOAD.as_secs_f64();
        figure(
            "query",
            &format!("hybrid over HTTP, {CLIENTS} clients, {name}"),
            rate,
            "queries/s",
        );
        for (share, quantile_name) in [(0.5, "p50"), (0.99, "p99")] {
            let name = format!("hybrid over HTTP, {CLIENTS} clients, {name}: {quantile_name}");
            figure("query", &name, quantile(times, share), "ms");
        }
    }
}

/// What each answer took, in milliseconds.
fn clients(served: &Served, queries: &[String]) -> Vec<f64> {
    let url = format!("http://{}/v1/indexes/bench/search", served.address);
    let client = |number: usize| {
        let agent = ureq::Agent::new_with_defaults();
        let (began, mut times) = (Instant::now(), Vec::new());
        for query in queries.iter().cycle().skip(number * queries.len() / CLIENTS) {
            if began.elapsed() >= LOAD {
                break;
            }
            let body = json!({"query": query}).to_string();
            let asked = Instant::now();
            let answer = agent
                .post(&url)
                .send(&body)
                .expect("an answer")
                .body_mut()
                .read_to_string();
            assert!(answer.expect("a body").contains("\"hits\""));
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        times
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(number)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a client ends"))
            .collect()
    })
}

/// Replaces rows by others with other texts, so many a second.
fn replace(served: &Served, documents: &[Document], stop: &AtomicBool) {
    let table = served
        .node
        .app()
        .push_table("documents")
        .expect("it takes pushes");
    let (began, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * CHANGES_PER_SECOND as f64) as usize;
        if due > sent {
            let line = |change: usize| {
                let other = &documents[(change * 31 + 7) % documents.len()];
                other.line(change * 17 % documents.len())
            };
            let lines: Vec<String> = (sent..due).map(line).collect();
            // A node that is behind takes nothing: the same are due again.
            if table.push(lines.join("\n").as_bytes(), None).is_ok() {
                sent = due;
            }
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    let rate = sent as f64 / began.elapsed().as_secs_f64();
    figure("query", "changes sent meanwhile", rate, "changes/s");
}
