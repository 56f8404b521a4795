//! Requests that nobody should send, in great numbers, to a node in a process of its own: it answers each of them, none by a
//! fault of its own, and is as large afterwards as before.

mod requests;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::{fmt, thread};

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::binary::Served;
use crate::shared::Random;
use requests::{Request, Sent, request};
use wire::{Answer, Connection, half_open};

/// Clients at once. Each has requests of its own, by a seed of its own.
const CLIENTS: usize = 4;

/// Documents; pushes change them, and add some hundred.
const DOCUMENTS: usize = 400;

/// How much larger a node may be that has answered all, than when it had answered a fifth of them.
const GROWTH_MAX: usize = 64 << 20;

const DATAFLOW: &str = r#"
name = "shop"
[tables.rows]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[embedder]
model = "none"
dimensions = 3
[index]
query = "SELECT id, name, text, brand, price, stock, sold, made, spot, place FROM rows"
key = "id"
text = { name = { boost = 2.0 }, text = {} }
fields = { brand = "keyword", price = "f64", stock = "i64", sold = "bool", made = "date", spot = "geo" }
vector = "place"
"#;

#[test]
fn some_hundred_requests_leave_a_node_as_it_was() {
    storm(600);
}

/// A minute or two: `.ci/run` asks for it.
#[test]
#[ignore = "takes a minute or two"]
fn ten_thousand_requests_leave_a_node_as_it_was() {
    storm(10_000);
}

fn storm(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let dataflow = folder.path().join("shop.toml");
    std::fs::write(&dataflow, DATAFLOW).unwrap();
    let node = Served::start(&dataflow);
    let address: SocketAddr = node.url().strip_prefix("http://").unwrap().parse().unwrap();
    let rows: String = (0..DOCUMENTS).map(|id| format!("{}\n", row(id))).collect();
    let (status, answer) = node.post("/v1/tables/rows/changes?wait=visible", &*rows);
    assert_eq!((status, &answer["dead_letters"]), (200, &json!(0)), "{answer}");
    let _half_open: Vec<_> = (0..8).map(|kind| half_open(address, kind)).collect();

    let statuses = Statuses::default();
    send(address, 0, count / 5, &statuses);
    let before = resident_bytes(node.pid());
    send(address, CLIENTS, count - count / 5, &statuses);
    let after = resident_bytes(node.pid());

    println!("{statuses}; {} MiB, then {} MiB", before >> 20, after >> 20);
    let (answered, refused) = (statuses.of(200), statuses.of(400));
    assert!(
        answered > count / 10 && refused > count / 10,
        "what is sent is not mixed: {statuses}"
    );
    assert!(
        after < before + GROWTH_MAX,
        "from {before} to {after} bytes after {count} requests"
    );
    let log = node.log();
    assert!(
        !log.contains("panicked") && !log.contains("a request failed"),
        "{log}"
    );
    let row = json!({"id": "last", "name": "calm water", "place": [1, 2, 3]});
    let (status, answer) = node.post("/v1/tables/rows/changes?wait=visible", format!("{row}\n"));
    assert_eq!(status, 200, "{answer}");
    let found = node.search("shop", &json!({"query": "calm", "mode": "keyword"}));
    assert_eq!(found["hits"][0]["key"], "last", "{found}");
}

fn row(id: usize) -> Value {
    let (name, brand) = [("red shoe", "acme"), ("blue shoe", "Zeta"), ("green hat", "über")][id % 3];
    json!({
        "id": id.to_string(), "name": name, "text": "light and <b>warm</b>",
        "brand": brand, "price": id as f64 / 4.0, "stock": id, "sold": id.is_multiple_of(2),
        "made": format!("2026-01-{:02}", id % 28 + 1), "spot": [id as f64 / 10.0, 40.0], "place": [1, id, 3],
    })
}

/// Sends so many requests by all clients together. Their seeds begin at `first`.
fn send(address: SocketAddr, first: usize, count: usize, statuses: &Statuses) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let seed = first + client;
            scope.spawn(move || {
                let mut random = Random::new(seed as u64);
                let mut connection = Connection::open(address);
                for number in 0..count / CLIENTS {
                    let request = request(&mut random);
                    let what = || format!("seed {seed}, request {number}: {}", request.shown());
                    let answer = connection
                        .send(&request)
                        .unwrap_or_else(|error| panic!("{error}: {}", what()));
                    if let Some(answer) = &answer {
                        statuses.count(answer.status);
                        check(&request, answer).unwrap_or_else(|fault| panic!("{fault}: {}", what()));
                    }
                }
            });
        }
    });
}

/// No fault of the node, and what is refused is told why.
fn check(request: &Request, answer: &Answer) -> Result<(), String> {
    let said = String::from_utf8_lossy(&answer.body);
    let shown: String = said.chars().take(500).collect();
    match answer.status {
        503 | 504 => {}
        500.. => return Err(format!("{} {shown}", answer.status)),
        _ => {}
    }
    let is_json = answer.kind == "application/json";
    // What is no HTTP is refused before it is a request.
    if request.sent == Sent::Broken && !is_json {
        return Ok(());
    }
    // A document may be nested as deeply as a pushed one, and so the answer more deeply than a `Value`.
    let is_valid = serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok();
    let is_right = match answer.status {
        202 if answer.body.is_empty() => true,
        200..300 => is_valid || !is_json,
        status => serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| {
            let error = &body["error"];
            let is_starting = status == 503 && body["status"].is_string();
            is_starting || (error["message"].is_string() && !error["code"].is_null())
        }),
    };
    match is_right {
        true => Ok(()),
        false => Err(format!("{} {shown}", answer.status)),
    }
}

/// How often each status was answered.
#[derive(Default)]
struct Statuses(Mutex<BTreeMap<u16, usize>>);

impl Statuses {
    fn count(&self, status: u16) {
        *self.0.lock().unwrap().entry(status).or_default() += 1;
    }

    fn of(&self, status: u16) -> usize {
        self.0.lock().unwrap().get(&status).copied().unwrap_or_default()
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.lock().unwrap())
    }
}

/// What a process holds in memory.
fn resident_bytes(pid: u32) -> usize {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes << 10
}
