//! How much one may ask: budgets, sizes, time; what web pages may ask; and what is written down of it.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use millpond::definition::EmbedderSettings;
use millpond::embed::{EmbedError, Embedder};
use serde_json::{Value, json};

use super::rig::{Port, dataflow, key, keys, row};
use crate::binary::eventually;

const SEARCH: &str = "/v1/indexes/shop/search";

#[test]
fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let (often, section) = key("often", "scopes = [\"search\"]\nrate = 0.01\nburst = 2");
    let (other, other_section) = key("other", r#"scopes = ["search", "admin"]"#);
    let port = Port::open(&dataflow(&format!("{section}{other_section}")));
    let request = json!({"query": "shoe"});
    assert_eq!(port.search(&often, &request).status, 200);
    assert_eq!(port.get("/v1/indexes/shop/stats", &often).status, 200);
    let refused = port.search(&often, &request);
    assert_eq!(
        (refused.status, refused.code()),
        (429, "budget_exceeded".to_owned())
    );
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((90..=100).contains(&wait), "{wait}");
    for _ in 0..20 {
        assert_eq!(
            port.search(&other, &request).status,
            200,
            "another key has its own budget"
        );
    }
}

#[test]
fn a_key_whose_searches_cost_too_much_waits_until_they_are_paid_for() {
    let (dear, section) = key("dear", "scopes = [\"search\"]\ncost = 0.0001");
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let port = Port::open(&dataflow(&format!("{section}{write}")));
    port.push(&writer, &[row(1, "a", "red shoe", 1.0)]);
    let request = json!({"query": "shoe", "mode": "keyword"});
    assert_eq!(
        keys(&port.search(&dear, &request)),
        ["1"],
        "what it costs is known afterwards"
    );
    let refused = port.search(&dear, &request);
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("search time"), "{}", refused.body);
}

/// Requests that hold eight searches or documents each, through every door.
fn of_eight() -> Vec<(&'static str, String)> {
    let search = json!({"query": "shoe", "mode": "keyword"});
    let lines = format!("{}\n{}\n", json!({}), json!({"query": {"match_all": {}}}));
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get", "arguments": {"key": "1"}}});
    vec![
        (
            "/v1/indexes/shop/msearch",
            json!({"searches": vec![&search; 8]}).to_string(),
        ),
        ("/shop/_msearch", lines.repeat(8)),
        ("/_msearch", lines.repeat(8)),
        ("/shop/_mget", json!({"ids": vec!["1"; 8]}).to_string()),
        (
            "/_mget",
            json!({"docs": vec![json!({"_id": "1"}); 8]}).to_string(),
        ),
        ("/mcp", json!(vec![&call; 8]).to_string()),
    ]
}

/// Sends JSON with a key.
fn send(port: &Port, path: &str, key: &str, body: &str) -> super::rig::Answer {
    let headers = [
        ("authorization", format!("Bearer {key}")),
        ("content-type", "application/json".to_owned()),
    ];
    port.send("POST".parse().unwrap(), path, &headers, body)
}

#[test]
fn each_search_and_document_in_a_request_counts_as_a_request() {
    let (paths, keys): (Vec<_>, Vec<_>) = of_eight()
        .into_iter()
        .enumerate()
        .map(|(number, path)| {
            (
                path,
                key(
                    &format!("k{number}"),
                    "scopes = [\"search\"]\nrate = 0.01\nburst = 5",
                ),
            )
        })
        .unzip();
    let sections: String = keys.iter().map(|(_, section)| section.as_str()).collect();
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let port = Port::open(&dataflow(&format!("{sections}{write}")));
    port.push(&writer, &[row(1, "a", "red shoe", 1.0)]);
    for ((path, body), (key, _)) in paths.iter().zip(&keys) {
        let answer = send(&port, path, key, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let refused = port.get("/v1/indexes/shop/stats", key);
        assert_eq!(refused.status, 429, "{path}");
        // Eight were taken of five, and one more is asked for.
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((380..=400).contains(&wait), "{path}: {wait}");
    }
}

#[test]
fn whatever_reads_documents_costs_its_time() {
    let call = |tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
    };
    let mut requests = of_eight();
    requests.extend([
        (
            "/v1/indexes/shop/search",
            json!({"query": "shoe", "mode": "keyword"}).to_string(),
        ),
        ("/v1/indexes/shop/suggest", json!({"prefix": "sh"}).to_string()),
        (
            "/shop/_search",
            json!({"query": {"match": {"name": "shoe"}}}).to_string(),
        ),
        ("/shop/_count", json!({}).to_string()),
        (
            "/mcp",
            call("search", json!({"query": "shoe", "mode": "keyword"})),
        ),
        ("/mcp", call("get", json!({"key": "1"}))),
        ("/mcp", call("stats", json!({}))),
        // Without a body, they are asked by GET.
        ("/v1/indexes/shop/documents/1", String::new()),
        ("/v1/indexes/shop/stats", String::new()),
        ("/shop/_doc/1", String::new()),
        ("/_cat/indices", String::new()),
    ]);
    let keys: Vec<_> = (0..requests.len())
        .map(|number| key(&format!("k{number}"), "scopes = [\"search\"]\ncost = 0.000000001"))
        .collect();
    let sections: String = keys.iter().map(|(_, section)| section.as_str()).collect();
    let (writer, write) = key("writer", r#"scopes = ["write"]"#);
    let port = Port::open(&dataflow(&format!("{sections}{write}")));
    port.push(&writer, &[row(1, "a", "red shoe", 1.0)]);
    for ((path, body), (key, _)) in requests.iter().zip(&keys) {
        let ask = || match body.as_str() {
            "" => port.get(path, key),
            body => send(&port, path, key, body),
        };
        let answer = ask();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let refused = ask();
        assert_eq!(refused.status, 429, "{path} {body}");
        assert!(refused.body.contains("search time"), "{path}: {}", refused.body);
    }
}

#[test]
fn pages_of_one_key_do_not_push_out_those_of_another() {
    let (modest, first) = key("modest", r#"scopes = ["search"]"#);
    let (greedy, second) = key("greedy", r#"scopes = ["search", "write"]"#);
    let port = Port::open(&dataflow(&format!("{first}{second}")));
    let rows: Vec<Value> = (1..=3).map(|id| row(id, "a", "red shoe", id as f64)).collect();
    port.push(&greedy, &rows);
    let page = |key: &str, keep_ms: u64, cursor: Option<&Value>| {
        let mut request = json!({"query": "shoe", "mode": "keyword", "limit": 1, "keep_alive_ms": keep_ms});
        if let Some(cursor) = cursor {
            request["cursor"] = cursor.clone();
        }
        port.search(key, &request)
    };
    let mine = page(&modest, 500_000, None).json()["cursor"].take();
    // Each is of another snapshot, and is to be kept longer.
    let theirs: Vec<Value> = (0..70)
        .map(|price| {
            port.push(&greedy, &[row(9, "a", "red shoe", price as f64)]);
            page(&greedy, 600_000, None).json()["cursor"].take()
        })
        .collect();
    let next = page(&modest, 500_000, Some(&mine));
    assert_eq!(keys(&next).len(), 1);
    let gone = page(&greedy, 600_000, theirs.first());
    assert_eq!((gone.status, gone.code()), (410, "cursor_expired".to_owned()));
    assert!(gone.body.contains("who has the most loses"), "{}", gone.body);
    assert_eq!(page(&greedy, 600_000, theirs.last()).status, 200);
}

#[test]
fn a_request_is_bounded_by_the_settings() {
    let limits = "[server.limits]\nsearch_body = \"1KiB\"\npush_body = \"2KiB\"\nhits = 20\nclauses = 3\ntimeout_max = \"5s\"";
    let port = Port::open(&dataflow(limits));
    let code = |request: Value| port.search("", &request).code();
    assert_eq!(code(json!({"query": "x".repeat(2_000)})), "too_large");
    assert_eq!(code(json!({"query": "x", "limit": 15, "offset": 6})), "bad_limit");
    assert_eq!(code(json!({"query": "x", "limit": 20})), "");
    assert_eq!(
        code(json!({"query": "x", "filter": "price = 1 OR price = 2 OR price = 3"})),
        ""
    );
    assert_eq!(
        code(json!({"query": "x", "filter": "price = 1 OR price = 2 OR price = 3 OR price = 4"})),
        "bad_filter"
    );
    assert_eq!(
        code(json!({"query": "x", "filter": "price IN (1, 2, 3, 4, 5)"})),
        ""
    );
    assert_eq!(code(json!({"query": "x", "timeout_ms": 0})), "bad_timeout");
    assert_eq!(code(json!({"query": "x", "timeout_ms": 5_001})), "bad_timeout");
    assert_eq!(code(json!({"query": "x", "timeout_ms": 5_000})), "");
    let push = |bytes: usize| {
        let body = format!("{}\n", json!({"id": 1, "name": "x".repeat(bytes)}));
        port.send("POST".parse().unwrap(), "/v1/tables/rows/changes", &[], &body)
            .status
    };
    assert_eq!((push(1_500), push(3_000)), (202, 413));
}

/// An embedder that answers no query while its gate is shut.
#[derive(Default)]
struct Gated {
    open: Mutex<bool>,
    opened: Condvar,
    /// Queries that have come to the gate.
    come: AtomicUsize,
}

impl Gated {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Embedder for Gated {
    fn model(&self) -> &str {
        "gated"
    }

    fn dimensions(&self) -> usize {
        3
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|_| vec![1.0, 0.0, 0.0]).collect())
    }

    fn embed_query(&self, _: &str) -> Result<Vec<f32>, EmbedError> {
        self.come.fetch_add(1, Ordering::Relaxed);
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
        Ok(vec![1.0, 0.0, 0.0])
    }
}

/// A port whose vector leg waits for the gate.
fn gated(more: &str, base: &Path) -> (Port, Arc<Gated>) {
    let gate = Arc::<Gated>::default();
    let embedder = gate.clone();
    let text = dataflow(more)
        .replace(
            "model = \"none\"\ndimensions = 3",
            "model = \"hash\"\ndimensions = 3\nquery_timeout = \"1h\"",
        )
        .replace("vector = \"place\"", "embed = \"{name}\"");
    let open = move |_: &EmbedderSettings| Ok(embedder.clone() as Arc<dyn Embedder>);
    (Port::open_with(&text, base, Arc::new(open)), gate)
}

#[test]
fn a_search_that_is_out_of_time_answers_with_what_it_has_and_says_so() {
    let (port, gate) = gated("", Path::new(""));
    port.push("", &[row(1, "a", "red shoe", 1.0)]);
    let answer = port
        .search("", &json!({"query": "shoe", "timeout_ms": 50}))
        .json();
    assert_eq!(answer["timed_out"], true, "{answer}");
    assert_eq!(answer["failed"][0]["leg"], "vector", "{answer}");
    assert_eq!(
        answer["hits"][0]["key"], "1",
        "the words were found in time: {answer}"
    );
    gate.open();
    let answer = port
        .search("", &json!({"query": "lamp", "timeout_ms": 5_000}))
        .json();
    assert_eq!(answer.get("timed_out"), None, "{answer}");
    assert_eq!(answer["hits"][0]["vector"]["rank"], 1, "{answer}");
}

#[test]
fn every_leg_stops_when_time_is_over() {
    let port = Port::open(&dataflow(""));
    let rows: Vec<Value> = (0..600).map(|id| row(id, "a", "red shoe", id as f64)).collect();
    port.push("", &rows);
    let searcher = port.app().searcher.clone().unwrap();
    for request in [
        json!({"query": "shoe", "mode": "keyword"}),
        json!({"vector": [1.0, 0.0, 0.0], "mode": "vector"}),
        json!({"vector": [1.0, 0.0, 0.0], "mode": "vector", "exact": true}),
        json!({"vector": [1.0, 0.0, 0.0], "mode": "vector", "exact": true, "filter": "price > 100"}),
    ] {
        let request = serde_json::from_value(request).unwrap();
        let in_time = searcher.search(&request).unwrap();
        assert!(!in_time.timed_out && in_time.hits.len() == 10);
        // The client has gone away before its search was begun.
        let deadline = millpond::index::Deadline::begin();
        drop(deadline.waiting());
        let stopped = searcher.until(&deadline).search(&request).unwrap();
        assert!(stopped.timed_out && stopped.hits.is_empty(), "{request:?}");
    }
}

#[test]
fn every_request_is_written_down_with_who_asked_and_none_with_its_body() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, section) = key("shop", r#"scopes = ["search", "write"]"#);
    let (port, gate) = gated(
        &format!("[server]\naudit = \"audit.ndjson\"\n{section}"),
        folder.path(),
    );
    port.push(&shop, &[row(1, "a", "red SECRET", 1.0)]);
    port.post(SEARCH, &shop, &json!({"query": "SECRET", "mode": "keyword"}));
    port.get("/v1/indexes/shop/documents/1?x=SECRET", &shop);
    port.get("/v1/dead-letters", &shop);
    port.get("/metrics", "millpond_SECRET");
    port.get("/healthz", "");

    // A client that goes away before its answer.
    let body = json!({"query": "slow", "mode": "vector"}).to_string();
    let mut client = TcpStream::connect(port.address).unwrap();
    let head = format!(
        "POST {SEARCH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shop}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).unwrap();
    // Of a request whose end is read with its beginning, nothing may come to anybody's notice.
    eventually("it is at work", || {
        (gate.come.load(Ordering::Relaxed) > 0).then_some(())
    });
    drop(client);

    let lines = eventually("all requests are written down", || {
        let text = std::fs::read_to_string(folder.path().join("audit.ndjson")).unwrap();
        (text.lines().count() >= 6).then_some(text)
    });
    gate.open();
    assert!(!lines.contains("SECRET") && !lines.contains(&shop), "{lines}");
    let told: Vec<Value> = lines
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let line = line.as_object_mut().unwrap();
            assert!(line.remove("at").unwrap().as_str().unwrap().ends_with('Z'));
            assert!(line.remove("took_ms").unwrap().is_f64());
            Value::Object(line.clone())
        })
        .collect();
    let line = |who: Value, method: &str, path: &str, index: Value, status: Value| json!({"who": who, "method": method, "path": path, "index": index, "status": status});
    let (who, index) = (json!("shop"), json!("shop"));
    assert_eq!(
        told,
        [
            line(
                who.clone(),
                "POST",
                "/v1/tables/rows/changes",
                Value::Null,
                json!(200)
            ),
            line(who.clone(), "POST", SEARCH, index.clone(), json!(200)),
            line(
                who.clone(),
                "GET",
                "/v1/indexes/shop/documents/1",
                index.clone(),
                json!(200)
            ),
            line(who.clone(), "GET", "/v1/dead-letters", Value::Null, json!(403)),
            line(Value::Null, "GET", "/metrics", Value::Null, json!(401)),
            line(who, "POST", SEARCH, index, Value::Null),
        ]
    );
}

#[test]
fn web_pages_of_the_named_origins_may_ask_and_no_others() {
    let (shop, section) = key("shop", r#"scopes = ["search"]"#);
    let port = Port::open(&dataflow(&format!(
        "{section}[server.cors]\norigins = [\"https://shop.example\"]"
    )));
    let preflight = |port: &Port, origin: &str| {
        let headers = [
            ("origin", origin.to_owned()),
            ("access-control-request-method", "POST".to_owned()),
            (
                "access-control-request-headers",
                "authorization,content-type".to_owned(),
            ),
        ];
        port.send("OPTIONS".parse().unwrap(), SEARCH, &headers, "")
    };
    let allowed = preflight(&port, "https://shop.example");
    assert_eq!(allowed.status, 200, "a browser asks before it sends the key");
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    for foreign in [
        "https://evil.example",
        "https://shop.example.evil.example",
        "null",
        "http://shop.example",
    ] {
        assert_eq!(
            preflight(&port, foreign).header("access-control-allow-origin"),
            "",
            "{foreign}"
        );
    }
    let headers = [
        ("origin", "https://shop.example".to_owned()),
        ("authorization", format!("Bearer {shop}")),
    ];
    let answer = port.send("POST".parse().unwrap(), SEARCH, &headers, r#"{"query":"x"}"#);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://shop.example"
    );
    // A page may read why it was refused.
    let answer = port.send("POST".parse().unwrap(), SEARCH, &headers[..1], "{}");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, "https://shop.example")
    );

    let closed = Port::open(&dataflow(""));
    assert_eq!(
        preflight(&closed, "https://shop.example").header("access-control-allow-origin"),
        ""
    );
}

#[test]
fn a_web_page_of_another_host_cannot_push_to_a_node_without_keys() {
    let port = Port::open(&dataflow(""));
    let push = |headers: &[(&str, String)]| {
        let row = row(1, "a", "red shoe", 1.0).to_string();
        port.send("POST".parse().unwrap(), "/v1/tables/rows/changes", headers, &row)
            .status
    };
    // What a browser sends without asking first.
    let page = |origin: &str| {
        [
            ("origin", origin.to_owned()),
            ("content-type", "text/plain".to_owned()),
        ]
    };
    assert_eq!(push(&page("https://evil.example")), 403);
    assert_eq!(push(&page("null")), 403);
    assert_eq!(
        push(&page(&format!("http://{}", port.address))),
        202,
        "the node's own page"
    );
    assert_eq!(push(&[]), 202);
}
