//! Search: latency of the three modes, with and without filters.
//!
//! - latency on about 50,000 real documents (the public sets together), one client over HTTP and in process, with the
//!   vector leg's recall@10 against exact search beside it; in the same run tantivy and hnsw_rs called directly on
//!   the same documents.
//!
//! What is found is judged in `embed.rs`.
//!
//! The data lies outside the repository; without it the bench says so and ends. Run with `cargo bench --bench search`.

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use common::judged::{DATAFLOW, Item, TOGETHER, all_queries, corpus};
use common::{figure, options, public_data, quantile};
use hnsw_rs::prelude::{DistCosine, Hnsw};
use millpond::embed::{BuiltIn, Embedder};
use millpond::node::Node;
use millpond::query::{Mode, SearchRequest, Searcher};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 3;

fn main() {
    let Some(root) = public_data("search") else { return };
    let sets: BTreeMap<&str, Vec<Item>> = TOGETHER
        .iter()
        .map(|set| (*set, corpus(&root.join(set))))
        .collect();
    let queries = all_queries(&root);
    latency(&sets, &queries);
}

fn latency(sets: &BTreeMap<&str, Vec<Item>>, queries: &[String]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let node =
        Arc::new(Node::start(common::define(DATAFLOW), &options(&directory)).expect("the node starts"));
    let all: Vec<(&str, &Item)> = sets
        .iter()
        .flat_map(|(set, items)| items.iter().map(|item| (*set, item)))
        .collect();
    load(&node, &all);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let built = |snapshot: &millpond::index::Snapshot| {
        snapshot.documents() == all.len()
            && snapshot.vectors_pending() == 0
            && snapshot.vectors_unbuilt() == 0
    };
    runtime.block_on(node.app().published.wait_for(built));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let url = format!(
        "http://{}/v1/indexes/bench/search",
        listener.local_addr().expect("an address")
    );
    let serving = node.clone();
    runtime.spawn(async move { serving.serve(listener).await });
    let searcher = node.app().searcher.clone().expect("an index");
    println!(
        "{} documents, {} queries, {ROUNDS} rounds",
        all.len(),
        queries.len()
    );

    let filters = [
        ("no filter", None),
        ("10 %", Some(format!("number < {}", all.len() / 10))),
        ("1 %", Some(format!("number < {}", all.len() / 100))),
    ];
    let agent = ureq::Agent::new_with_defaults();
    for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
        for (name, filter) in &filters {
            let (mut http, mut here) = (Vec::new(), Vec::new());
            for query in (0..ROUNDS).flat_map(|_| queries) {
                let body =
                    serde_json::json!({"query": query, "mode": mode.name(), "filter": filter}).to_string();
                let began = Instant::now();
                let answer = agent
                    .post(&url)
                    .send(&body)
                    .expect("an answer")
                    .body_mut()
                    .read_to_string();
                http.push(began.elapsed().as_secs_f64() * 1e3);
                assert!(answer.expect("a body").contains("\"hits\""));
                let request = SearchRequest {
                    query: Some(query.clone()),
                    mode,
                    filter: filter.clone().map(Into::into),
                    ..SearchRequest::default()
                };
                let began = Instant::now();
                searcher.search(&request).expect("an answer");
                here.push(began.elapsed().as_secs_f64() * 1e3);
            }
            let label = format!("{}, {name}", mode.name());
            figure(
                "search",
                &format!("{label}: over HTTP, p50"),
                quantile(&mut http, 0.5),
                "ms",
            );
            figure(
                "search",
                &format!("{label}: over HTTP, p99"),
                quantile(&mut http, 0.99),
                "ms",
            );
            figure(
                "search",
                &format!("{label}: in process, p50"),
                quantile(&mut here, 0.5),
                "ms",
            );
        }
    }
    vectors(&searcher, &all, queries);
    tantivy_directly(&all, queries);
    node.stop().expect("the node stops");
}

/// The vector leg's recall@10 against exact search, and hnsw_rs on the same vectors.
fn vectors(searcher: &Searcher, all: &[(&str, &Item)], queries: &[String]) {
    let model = BuiltIn::load().expect("the built-in model");
    let embed = |text: &str| model.embed(&[text]).expect("a vector").swap_remove(0);
    let documents: Vec<Vec<f32>> = all.iter().map(|(_, item)| embed(&rendered(item))).collect();
    let asked: Vec<Vec<f32>> = queries.iter().map(|query| embed(query)).collect();
    let exact: Vec<HashSet<usize>> = asked
        .iter()
        .map(|query| {
            let mut scores: Vec<(f32, usize)> = documents
                .iter()
                .enumerate()
                .map(|(n, document)| (dot(query, document), n))
                .collect();
            scores.sort_by(|a, b| b.0.total_cmp(&a.0));
            // Equal documents are as good as each other.
            let tenth = scores[9].0 - 1e-5;
            scores
                .into_iter()
                .take_while(|(score, _)| *score >= tenth)
                .map(|(_, n)| n)
                .collect()
        })
        .collect();
    let recall = |found: &[Vec<usize>]| {
        let hits: usize = found
            .iter()
            .zip(&exact)
            .map(|(found, exact)| found.iter().filter(|n| exact.contains(n)).count())
            .sum();
        hits as f64 / (10 * found.len()) as f64
    };

    let places: HashMap<String, usize> = all
        .iter()
        .enumerate()
        .map(|(n, (set, item))| (format!("{set}-{}", item.id), n))
        .collect();
    let mut times = Vec::new();
    let ours: Vec<Vec<usize>> = asked
        .iter()
        .map(|vector| {
            let request = SearchRequest {
                vector: Some(vector.clone()),
                mode: Mode::Vector,
                fields: Some(Vec::new()),
                ..SearchRequest::default()
            };
            let began = Instant::now();
            let answer = searcher.search(&request).expect("an answer");
            times.push(began.elapsed().as_secs_f64() * 1e3);
            answer.hits.iter().map(|hit| places[&*hit.key]).collect()
        })
        .collect();
    figure(
        "search",
        "vector given, in process, p50",
        quantile(&mut times, 0.5),
        "ms",
    );
    figure("search", "vector leg: recall@10", recall(&ours), "");

    let peer: Hnsw<f32, DistCosine> = Hnsw::new(16, documents.len(), 16, 128, DistCosine {});
    for (place, document) in documents.iter().enumerate() {
        peer.insert((document, place));
    }
    let mut times = Vec::new();
    let theirs: Vec<Vec<usize>> = asked
        .iter()
        .map(|vector| {
            let began = Instant::now();
            let found = peer.search(vector, 10, 64);
            times.push(began.elapsed().as_secs_f64() * 1e3);
            found.iter().map(|neighbour| neighbour.d_id).collect()
        })
        .collect();
    figure(
        "search",
        "peer: hnsw_rs directly, ef 64, p50",
        quantile(&mut times, 0.5),
        "ms",
    );
    figure("search", "peer: hnsw_rs recall@10", recall(&theirs), "");
}

/// The keyword queries on an index that tantivy's own writer made in one go.
fn tantivy_directly(all: &[(&str, &Item)], queries: &[String]) {
    use tantivy::collector::TopDocs;
    use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
    use tantivy::schema::{IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
    use tantivy::{TantivyDocument, Term};
    let mut schema = Schema::builder();
    let english = TextFieldIndexing::default()
        .set_tokenizer("en_stem")
        .set_index_option(IndexRecordOption::WithFreqs);
    let options = TextOptions::default().set_indexing_options(english);
    let fields = [
        schema.add_text_field("title", options.clone()),
        schema.add_text_field("text", options),
    ];
    let index = tantivy::Index::create_in_ram(schema.build());
    let mut writer = index.writer_with_num_threads(1, 200 << 20).expect("a writer");
    for (_, item) in all {
        let mut document = TantivyDocument::new();
        document.add_text(fields[0], &item.title);
        document.add_text(fields[1], &item.text);
        writer.add_document(document).expect("a document");
    }
    writer.commit().expect("a commit");
    let searcher = index.reader().expect("a reader").searcher();
    let mut analyzer = index.tokenizers().get("en_stem").expect("it is built in");
    let mut times = Vec::new();
    for query in (0..ROUNDS).flat_map(|_| queries) {
        let began = Instant::now();
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        analyzer.token_stream(query).process(&mut |token| {
            for field in fields {
                let term = Term::from_field_text(field, &token.text);
                clauses.push((
                    Occur::Should,
                    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)),
                ));
            }
        });
        searcher
            .search(
                &BooleanQuery::new(clauses),
                &TopDocs::with_limit(100).order_by_score(),
            )
            .expect("hits");
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    figure(
        "search",
        "peer: tantivy directly, top 100, p50",
        quantile(&mut times, 0.5),
        "ms",
    );
    figure(
        "search",
        "peer: tantivy directly, top 100, p99",
        quantile(&mut times, 0.99),
        "ms",
    );
}

fn load(node: &Node, items: &[(&str, &Item)]) {
    let table = node.app().push_table("documents").expect("it takes pushes");
    for (chunk, first) in items.chunks(1000).zip((0..).step_by(1000)) {
        let lines: Vec<String> = chunk
            .iter()
            .zip(first..)
            .map(|((set, item), number): (_, usize)| {
                // Numbers are spread over the sets, so that a range of them is no set.
                let number = number.wrapping_mul(7919) % items.len();
                serde_json::json!({"id": format!("{set}-{}", item.id), "title": item.title, "text": item.text, "collection": set, "number": number}).to_string()
            })
            .collect();
        while table.push(lines.join("\n").as_bytes(), None).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

fn rendered(item: &Item) -> String {
    format!("{}. {}", item.title, item.text).trim().to_owned()
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}
