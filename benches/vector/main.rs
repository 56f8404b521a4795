//! The vector leg: speed at equal recall, building, churn, filters, memory and growth, beside other projects' indexes.
//!
//! ```sh
//! cargo bench --bench vector                        # all parts, about 25 minutes on two quiet cores
//! cargo bench --bench vector -- static churn        # some of them
//! cargo bench --bench vector -- static picture      # and the curves as benches/vector.svg
//! cargo bench --bench vector -- quick               # an eighth of the vectors: to see that all of it works
//! cargo bench --bench vector -- runbook FILE.yaml   # a runbook of the big-ann streaming track, played on the glove set
//! ```
//!
//! Vectors: 50,000 x 384 clustered from a seed (`data.rs` says how real they are), 19,406 x 384 MiniLM vectors of products
//! with 135 real queries, 100,000 x 50 word vectors. The real sets lie outside the repository; without them the bench
//! says so. Peers (hnswlib, faiss, usearch) are installed by `benches/peers/vector.py`; without Python or a registry the
//! bench says so and goes on.
//!
//! One method throughout: M 16, ef_construction 128, ten hits, one search thread unless it says two; every engine has the
//! same vectors and queries, is asked in turn with the others, and is graded by the same function against exact search.
//! Times are medians of five rounds; of searches they are processor time, so that a busy machine counts as little as can be, of
//! builds and of queries under churn they are the clock's. A speed at a recall lies on the curve over ef, between the points measured.

#[path = "../common/mod.rs"]
mod common;
mod leg;
mod data;
mod truth;
mod curve;
mod engine;
mod peers;
mod picture;
mod standing;
mod build;
mod churn;
mod filters;
mod memory;
mod replace;
mod runbook;
mod patterns;
mod streaming;
mod scale;

use std::path::Path;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Links a row gets; twice as many in the lowest layer.
pub const M: usize = 16;

/// Candidates among which a row's links are chosen.
pub const EF_CONSTRUCTION: usize = 128;

/// Hits a query asks for: the 10 of recall@10.
pub const LIMIT: usize = 10;

/// Rounds of which a time is the median.
pub const ROUNDS: usize = 5;

/// The clustered set has as many dimensions as that on which the goals were set.
pub const DIMENSIONS: usize = 384;
pub const CLUSTERS: usize = 500;

/// How much is measured.
pub struct Size {
    /// Vectors of the clustered set.
    pub rows: usize,
    pub queries: usize,
    /// How long rows are replaced, each time.
    pub churn: Duration,
    /// Vectors of the index that grows.
    pub grown: [usize; 5],
}

/// As large as what the goals were set on.
const FULL: Size = Size {
    rows: 50_000,
    queries: 1_000,
    churn: Duration::from_secs(6),
    grown: [50_000, 100_000, 200_000, 400_000, 800_000],
};

/// To see that all of it works.
const QUICK: Size = Size {
    rows: 6_000,
    queries: 200,
    churn: Duration::from_secs(2),
    grown: [5_000, 10_000, 20_000, 40_000, 80_000],
};

const PARTS: [&str; 8] = [
    "static", "build", "churn", "filters", "memory", "replace", "runbook", "scale",
];

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    if let [word, folder, kind] = words.as_slice()
        && word == memory::CHILD
    {
        return memory::child(Path::new(folder), kind);
    }
    let is_runbook = |word: &str| word.ends_with(".yaml");
    if let Some(unknown) = words.iter().find(|word| {
        !PARTS.contains(&word.as_str()) && !["picture", "quick"].contains(&word.as_str()) && !is_runbook(word)
    }) {
        println!(
            "no part {unknown}: there are {}; also picture and quick",
            PARTS.join(", ")
        );
        std::process::exit(2);
    }
    let has = |part: &str| words.iter().any(|word| word == part);
    let size = if has("quick") { QUICK } else { FULL };
    let has_none = !PARTS.iter().any(|part| has(part));
    for part in PARTS.into_iter().filter(|part| has_none || has(part)) {
        println!("\n== {part}");
        let others = common::Others::begin();
        match part {
            "static" => standing::run(&size, has("picture")),
            "build" => build::run(&size),
            "churn" => churn::run(&size),
            "filters" => filters::run(&size),
            "memory" => memory::run(&size),
            "replace" => replace::run(&size),
            "runbook" => streaming::run(&size, words.iter().filter(|word| is_runbook(word)).map(Path::new)),
            _ => scale::run(&size),
        }
        figure(
            &format!("{part}: cores that other programs took meanwhile"),
            others.cores(),
            "",
        );
    }
}

pub fn figure(name: &str, value: f64, unit: &str) {
    common::figure("vector", name, value, unit);
}

pub fn judged(name: &str, value: f64, goal: common::Goal) {
    common::judged("vector", name, value, "times", goal);
}
