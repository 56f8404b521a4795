//! Changes that are pushed over HTTP: what was answered with `?wait=durable` is the truth.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::changes::{Changes, Truth};
use super::{Address, Feed, Sent};
use crate::binary::{agent, eventually};

/// Clients that push side by side, each to keys of its own, one push after the other.
const CLIENTS: usize = 4;
const KEYS_OF_A_CLIENT: usize = 2_000;

const CHANGES_PER_SECOND: usize = 1_000;
const CHANGES_OF_A_PUSH: usize = 20;

/// How long an answer may take: the node may have been killed, and may be stopped by others on the machine.
const ANSWER_MAX: Duration = Duration::from_secs(20);

pub struct Pushes {
    seed: u64,
}

impl Pushes {
    pub fn new(seed: u64) -> Pushes {
        Pushes { seed }
    }
}

impl Feed for Pushes {
    fn name(&self) -> &'static str {
        "pushes"
    }

    fn table(&self) -> String {
        "source = { kind = \"http\" }\nformat = \"upsert-json\"".into()
    }

    fn run(&self, node: &Address, stop: &AtomicBool) -> Sent {
        let clients: Vec<Client> = thread::scope(|scope| {
            let run = |number| scope.spawn(move || Client::new(self.seed, number).run(node, stop));
            let running: Vec<_> = (0..CLIENTS).map(run).collect();
            running
                .into_iter()
                .map(|client| client.join().expect("the client ends"))
                .collect()
        });
        let lines: usize = clients.iter().map(|client| client.lines).sum();
        let mut ranges: Vec<_> = clients.iter().flat_map(|client| client.taken.clone()).collect();
        ranges.sort_unstable();
        let ends = ranges.iter().map(|(_, last)| last + 1);
        let firsts = ranges.iter().map(|(first, _)| *first);
        assert!(
            firsts.eq([0].into_iter().chain(ends).take(ranges.len())),
            "each line was taken once: {ranges:?}"
        );
        let last = ranges.last().map(|(_, last)| *last);
        assert_eq!(last.map(|last| last + 1), Some(lines as u64));
        Sent {
            changes: lines,
            repeated: clients.iter().map(|client| client.retries).sum(),
            positions: json!({"notes/0": last}),
            truth: clients.into_iter().fold(Truth::default(), |mut all, client| {
                all.join(client.changes.truth);
                all
            }),
        }
    }
}

struct Client {
    number: usize,
    changes: Changes,
    lines: usize,
    retries: usize,
    /// First and last position of each push.
    taken: Vec<(u64, u64)>,
}

impl Client {
    fn new(seed: u64, number: usize) -> Client {
        let first = number * KEYS_OF_A_CLIENT;
        Client {
            number,
            changes: Changes::new(seed * 100 + number as u64, first..first + KEYS_OF_A_CLIENT),
            lines: 0,
            retries: 0,
            taken: Vec::new(),
        }
    }

    /// Pushes until it is told to stop; each push until it is acknowledged.
    fn run(mut self, node: &Address, stop: &AtomicBool) -> Client {
        let agent = agent(ANSWER_MAX);
        let began = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let due = (self.lines * CLIENTS) as f64 / CHANGES_PER_SECOND as f64;
            thread::sleep(Duration::from_secs_f64(due).saturating_sub(began.elapsed()));
            let lines: Vec<String> = (0..CHANGES_OF_A_PUSH).map(|_| self.line()).collect();
            let (body, key) = (lines.join("\n"), format!("{}-{}", self.number, self.taken.len()));
            let last = eventually("a push is acknowledged", || {
                let position = push(&agent, node, &key, &body);
                self.retries += usize::from(position.is_none());
                position
            });
            let first = (last + 1)
                .checked_sub(lines.len() as u64)
                .expect("all lines were taken");
            self.taken.push((first, last));
            self.lines += lines.len();
        }
        self
    }

    fn line(&mut self) -> String {
        let change = self.changes.next();
        let mut row = change.row();
        if change.note.is_none() {
            row["_op"] = json!("delete");
        }
        row.to_string()
    }
}

/// One push: its last position if it was acknowledged, `None` if it is to be sent again.
fn push(agent: &ureq::Agent, node: &Address, key: &str, body: &str) -> Option<u64> {
    let url = format!("{}/v1/tables/notes/changes?wait=durable", node.get()?);
    let sent = agent.post(&url).header("Idempotency-Key", key).send(body);
    // Whoever is killed while it answers says nothing, or half of it.
    let mut answer = sent.ok()?;
    let (status, text) = (answer.status().as_u16(), answer.body_mut().read_to_string().ok()?);
    match status {
        200 => {
            let answer: Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
            assert_eq!(answer["dead_letters"], 0, "{answer}");
            assert_eq!(answer["accepted"], CHANGES_OF_A_PUSH, "{answer}");
            Some(answer["position"].as_u64().unwrap_or_else(|| panic!("{answer}")))
        }
        429 | 503 => None,
        _ => panic!("{status}: {text}"),
    }
}
