//! What the benches share: data from a seed, figures, and how they are printed.
//!
//! Each bench prints a table for people and one JSON line a figure for programs.

#![allow(dead_code, reason = "each bench uses a part")]

pub mod judged;
pub mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millpond::definition::{self, Definition};
use millpond::node::{Node, ServeOptions};

/// splitmix64: the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A rank from a Zipf-like law: the logarithm is uniform.
    pub fn zipf(&mut self, bound: usize) -> usize {
        let uniform = self.next() as f64 / u64::MAX as f64;
        ((bound as f64).powf(uniform) as usize - 1).min(bound - 1)
    }
}

/// A node of this process that answers over HTTP.
pub struct Served {
    pub node: Arc<Node>,
    pub runtime: tokio::runtime::Runtime,
    pub address: SocketAddr,
}

pub fn serve(dataflow: &str, directory: &tempfile::TempDir) -> Served {
    let node = Arc::new(Node::start(define(dataflow), &options(directory)).expect("the node starts"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = node.clone();
    runtime.spawn(async move { serving.serve(listener).await });
    Served {
        node,
        runtime,
        address,
    }
}

/// Pushes to the table `products`, again and again where the node is behind.
pub struct Pushing {
    agent: ureq::Agent,
    url: String,
}

impl Pushing {
    pub fn new(address: SocketAddr) -> Pushing {
        Pushing {
            agent: ureq::Agent::new_with_defaults(),
            url: format!("http://{address}/v1/tables/products/changes"),
        }
    }

    pub fn push(&self, lines: &[impl AsRef<str>]) {
        let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        let body = lines.join("\n");
        while let Err(error) = self.agent.post(&self.url).send(&body) {
            assert!(
                matches!(error, ureq::Error::StatusCode(429 | 503)),
                "push: {error}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Made-up words, frequent ones first.
pub struct Words(Vec<String>);

impl Words {
    pub fn new(count: usize) -> Words {
        let mut random = Random(11);
        let syllables = [
            "ka", "lo", "mi", "ter", "an", "dro", "ves", "pul", "ing", "sto", "ra", "ne",
        ];
        let word = |number: usize, random: &mut Random| {
            let length = 2 + random.below(3);
            let start: String = (0..length)
                .map(|_| syllables[random.below(syllables.len())])
                .collect();
            format!("{start}{number:x}")
        };
        Words((0..count).map(|number| word(number, &mut random)).collect())
    }

    pub fn text(&self, random: &mut Random, words: usize) -> String {
        let words: Vec<&str> = (0..words)
            .map(|_| self.0[random.zipf(self.0.len())].as_str())
            .collect();
        words.join(" ")
    }
}

/// The value at a share of the sorted ones, 0.5 for the median.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => values[((count - 1) as f64 * share).round() as usize],
    }
}

pub fn median(values: &[f64]) -> f64 {
    quantile(&mut values.to_vec(), 0.5)
}

/// Prints one figure: a line for people, a JSON line for programs.
pub fn figure(bench: &str, name: &str, value: f64, unit: &str) {
    let value = (value * 1000.0).round() / 1000.0;
    println!("{name:<58} {value:>14} {unit}");
    println!(
        "{}",
        serde_json::json!({"bench": bench, "figure": name, "value": value, "unit": unit})
    );
}

/// A node on a definition, in a directory of its own, without its port.
pub fn start(dataflow: &str) -> (Node, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let node = Node::start(define(dataflow), &options(&directory)).expect("the node starts");
    (node, directory)
}

pub fn define(dataflow: &str) -> Definition {
    definition::parse(dataflow, "bench", std::path::Path::new("."))
        .unwrap_or_else(|faults| panic!("{faults}"))
}

pub fn options(directory: &tempfile::TempDir) -> ServeOptions {
    ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: directory.path().to_owned(),
        workers: None,
        dead_letters: None,
        rebuild: false,
        model_hosts: Vec::new(),
    }
}

/// Public data that is not in the repository, or `None` with the reason printed.
pub fn public_data(path: &str) -> Option<PathBuf> {
    let found = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: {} is absent", found.display());
    None
}

/// Resident memory of this process, in bytes.
pub fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        * 4096.0
}

/// Processor time of this process so far.
pub fn processor_time() -> Duration {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = usage.rsplit(')').next().map(|rest| {
        rest.split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum::<u64>()
    });
    Duration::from_millis(ticks.unwrap_or(0) * 10)
}

/// Processor time of this thread so far; where the system does not tell, time by the clock.
pub fn thread_time() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    // The kernel brings the count up to date when a thread yields.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|field| field.parse().ok());
    nanoseconds.map_or_else(
        || BEGAN.get_or_init(std::time::Instant::now).elapsed(),
        Duration::from_nanos,
    )
}

/// What a figure is to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// Prints a figure that has a goal, with the goal, and whether it is reached.
pub fn judged(bench: &str, name: &str, value: f64, unit: &str, goal: Goal) {
    let (word, bound, is_met) = match goal {
        Goal::AtLeast(bound) => ("at least", bound, value >= bound),
        Goal::AtMost(bound) => ("at most", bound, value <= bound),
    };
    let verdict = if is_met { "met" } else { "MISSED" };
    println!("{name:<58} {value:>14.3} {unit}, goal {word} {bound}: {verdict}");
    let line = serde_json::json!({
        "bench": bench,
        "figure": name,
        "value": (value * 1000.0).round() / 1000.0,
        "unit": unit,
        "goal": format!("{word} {bound}"),
        "met": is_met,
    });
    println!("{line}");
}

/// Processor time that other programs take while something is measured: how quiet the machine was.
pub struct Others {
    began: std::time::Instant,
    spent: f64,
}

impl Others {
    pub fn begin() -> Others {
        Others {
            began: std::time::Instant::now(),
            spent: others_spent(),
        }
    }

    /// Cores, on average since the beginning.
    pub fn cores(&self) -> f64 {
        (others_spent() - self.spent) / self.began.elapsed().as_secs_f64()
    }
}

/// Seconds that all programs have spent but this one, and those it has started that have ended.
fn others_spent() -> f64 {
    let numbers = |path: &str, from: usize, count: usize| -> f64 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        // A program's name, in brackets, may have blanks.
        let fields = line.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields
            .skip(from)
            .take(count)
            .filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    };
    // Of all programs: user, nice and system time. Of this one: user and system, its own and that of ended children.
    numbers("/proc/stat", 1, 3) - numbers("/proc/self/stat", 11, 4)
}
