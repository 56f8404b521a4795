//! Watching a node under load: when what was sent is found, and how long queries take.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millpond::query::{Mode, SearchRequest, Searcher};

use super::{Random, Words};

/// A change to be found: by which word, under which key, sent when.
pub struct Followed {
    pub key: String,
    pub word: String,
    pub text: String,
    pub sent: Instant,
}

/// When something began, and how many milliseconds it took.
pub type Timed = (Instant, f64);

pub fn milliseconds(timed: &[Timed]) -> Vec<f64> {
    timed.iter().map(|(_, milliseconds)| *milliseconds).collect()
}

/// Looks for what was sent, at every snapshot; from sent to found in both legs.
pub fn follow(searcher: &Searcher, followed: &Mutex<VecDeque<Followed>>, stop: &AtomicBool) -> Vec<Timed> {
    let found = |query: &str, mode: Mode, key: &str| {
        let request = SearchRequest {
            query: Some(query.to_owned()),
            mode,
            limit: 3,
            fields: Some(Vec::new()),
            ..SearchRequest::default()
        };
        searcher
            .search(&request)
            .expect("a search")
            .hits
            .iter()
            .any(|hit| &*hit.key == key)
    };
    let mut latencies = Vec::new();
    let mut seen = searcher.stats().tick;
    while !stop.load(Ordering::Relaxed) {
        let tick = searcher.stats().tick;
        if tick == seen {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        seen = tick;
        let waiting = followed.lock().expect("not poisoned").len();
        for _ in 0..waiting {
            let Some(change) = followed.lock().expect("not poisoned").pop_front() else {
                break;
            };
            if found(&change.word, Mode::Keyword, &change.key)
                && found(&change.text, Mode::Vector, &change.key)
            {
                latencies.push((change.sent, change.sent.elapsed().as_secs_f64() * 1e3));
            } else {
                followed.lock().expect("not poisoned").push_back(change);
            }
        }
    }
    latencies
}

/// Asks hybrid queries over HTTP at a steady rate.
pub fn ask(address: SocketAddr, words: &Words, per_second: u64, stop: &AtomicBool) -> Vec<Timed> {
    let agent = ureq::Agent::new_with_defaults();
    let url = format!("http://{address}/v1/indexes/bench/search");
    let mut random = Random(5);
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let body = serde_json::json!({"query": words.text(&mut random, 3), "limit": 10}).to_string();
        let began = Instant::now();
        let answer = agent
            .post(&url)
            .send(&body)
            .expect("an answer")
            .body_mut()
            .read_to_string()
            .expect("a body");
        assert!(answer.contains("\"hits\""), "{answer}");
        latencies.push((began, began.elapsed().as_secs_f64() * 1e3));
        std::thread::sleep(Duration::from_millis(1000 / per_second).saturating_sub(began.elapsed()));
    }
    latencies
}
