//! The port's contract: routes, statuses, the shape of errors, limits, waiting, stopping.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use millpond::change::{PartitionId, TableId, Tick};
use millpond::checkpoint::Checkpointed;
use millpond::checkpoint::snapshots::Snapshots;
use millpond::cli::search::{SearchArgs, SearchError};
use millpond::decode::Message;
use millpond::definition::plan::Node;
use millpond::definition::{
    Analyzer, CheckpointSettings, Definition, FileSettings, Format, Framing, Fusion, Index, Plan,
    SourceSettings, Table, TextField,
};
use millpond::index::snapshot::Counters;
use millpond::index::{Published, Snapshot};
use millpond::intake::DeadLetters;
use millpond::metrics::Metrics;
use millpond::query::Searcher;
use millpond::server::{App, serve};
use millpond::source::http::PushTable;
use millpond::source::{Closed, Lost, NotTaken, Partition, Receiver, Receivers, Room, Status, Taken};
use millpond::storage::{Fault, Memory};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// A port with the index `shop`, the table `products` that takes pushes, and `archive` that is read from a file.
struct Port {
    address: SocketAddr,
    app: Arc<App>,
    source: Status,
    intake: Arc<Intake>,
    disk: Memory,
    agent: ureq::Agent,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    runtime: tokio::runtime::Runtime,
}

struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Port {
    fn open() -> Port {
        Port::with_index(true)
    }

    fn with_index(has_index: bool) -> Port {
        let definition = Arc::new(definition(has_index));
        let published = Arc::new(Published::new(snapshot(3, &[])));
        let searcher = has_index.then(|| Searcher::new(definition.clone(), published.clone(), Vec::new()));
        let intake = Arc::new(Intake::default());
        let disk = Memory::new();
        let products = PushTable::open(Arc::new(disk.clone()), "products", &Given(intake.clone())).unwrap();
        let source = Status::default();
        let metrics = Metrics::default();
        let (door, _) = millpond::intake::Intake::new(
            definition.clone(),
            DeadLetters::discard(),
            metrics.clone(),
            Arc::new(|| {}),
        );
        let app = Arc::new(App {
            definition,
            searcher,
            published,
            pushes: BTreeMap::from([("products".to_owned(), products)]).into(),
            sources: vec![("archive".to_owned(), source.clone())],
            metrics,
            ready: Arc::new(AtomicBool::new(true)),
            caught_up: AtomicBool::new(false),
            intake: door,
            durable: Arc::default(),
            upgrades: Default::default(),
            snapshots: Snapshots::new(Arc::new(disk.clone())),
            before: Default::default(),
        });

        // Nothing here makes checkpoints: what is published is durable.
        app.durable.advance(Checkpointed {
            tick: Tick(3),
            ..Checkpointed::default()
        });

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let served = runtime.spawn(serve(listener, app.clone(), stopped));
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let (stop, served) = (Some(stop), Some(served));
        Port {
            address,
            app,
            source,
            intake,
            disk,
            agent: settings.into(),
            stop,
            served,
            runtime,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> Answer {
        received(self.agent.get(self.url(path)).call())
    }

    fn delete(&self, path: &str) -> Answer {
        received(self.agent.delete(self.url(path)).call())
    }

    fn post(&self, path: &str, body: impl ureq::AsSendBody) -> Answer {
        received(self.agent.post(self.url(path)).send(body))
    }

    /// A push to `products` with an idempotency key, which waits until it is durable.
    fn push_once(&self, key: &str, body: &str) -> Answer {
        let request = self
            .agent
            .post(self.url("/v1/tables/products/changes?wait=durable"));
        received(request.header("idempotency-key", key).send(body))
    }

    /// Sends bytes as they are, and gives what comes back until the connection is closed or `until` was seen.
    fn raw(&self, request: &str, until: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let (mut seen, mut chunk) = (String::new(), [0; 4096]);
        while !seen.contains(until) {
            match stream.read(&mut chunk).unwrap() {
                0 => break,
                read => seen.push_str(&String::from_utf8_lossy(&chunk[..read])),
            }
        }
        seen
    }
}

fn received(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = response.unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body,
    }
}

fn check_error(answer: &Answer, status: u16, code: &str, hint: &str) {
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["error"]["code"]),
        (status, &json!(code)),
        "{body}"
    );
    assert_eq!(answer.header("content-type"), "application/json");
    let error = body["error"].as_object().unwrap();
    assert_eq!(
        error.keys().collect::<Vec<_>>(),
        ["code", "hint", "message"],
        "{body}"
    );
    assert!(!error["message"].as_str().unwrap().is_empty(), "{body}");
    assert!(
        error["hint"].as_str().unwrap_or_default().contains(hint),
        "the hint lacks `{hint}`: {body}"
    );
}

fn definition(has_index: bool) -> Definition {
    let table = |name: &str, source| Table {
        name: name.to_owned(),
        source,
        format: Format::UpsertJson,
        key: vec!["id".to_owned()],
        select: vec![],
        columns: BTreeMap::new(),
        claim_check: None,
        vectors: Vec::new(),
        needs: Vec::new(),
    };
    let file = FileSettings {
        path: "archive.ndjson".into(),
        framing: Framing::Values,
        follow: false,
        rate: None,
    };
    let index = Index {
        plan: Plan {
            root: Node::Table(TableId(0)),
            columns: vec!["id".to_owned(), "name".to_owned()],
        },
        key: vec![0],
        vocabulary: Default::default(),
        text: vec![TextField {
            name: "name".to_owned(),
            column: 1,
            boost: 1.0,
            analyzer: Analyzer::ENGLISH,
        }],
        fields: vec![],
        tenant: None,
        vectors: Vec::new(),
        freshness: Default::default(),
        fusion: Fusion::Relative { weight: 0.2 },
    };
    Definition {
        name: "shop".to_owned(),
        tables: vec![
            table("products", SourceSettings::Http),
            table("archive", SourceSettings::File(file)),
        ],
        index: has_index.then_some(index),
        reranker: None,
        checkpoint: CheckpointSettings::default(),
        dead_letters: None,
        server: Default::default(),
        kept: Default::default(),
        folder: Default::default(),
    }
}

fn snapshot(tick: u64, positions: &[(&str, u64)]) -> Snapshot {
    let positions = positions
        .iter()
        .map(|(partition, position)| ((*partition).to_owned(), *position))
        .collect();
    let counters = Counters {
        messages: 41,
        changes: 40,
        ..Counters::default()
    };
    Snapshot {
        commits: Arc::default(),
        held_back: None,
        texts: Default::default(),
        sets: Default::default(),
        tick: Tick(tick),
        positions: Arc::new(positions),
        counters,
        shards: vec![],
    }
}

/// Where pushes go: a line `bad` is a dead letter, and `refuse` makes it take nothing.
#[derive(Default)]
struct Intake {
    refuse: Mutex<Option<NotTaken>>,
    /// Told the last offset of each push that was taken.
    taken: Mutex<Option<mpsc::Sender<u64>>>,
}

struct Given(Arc<Intake>);

impl Receivers for Given {
    fn partition(&self, name: &str) -> Partition {
        assert_eq!(name, "0");
        Partition {
            id: PartitionId(0),
            resume_after: None,
            receiver: Box::new(Given(self.0.clone())),
        }
    }
}

impl Receiver for Given {
    fn receive(&mut self, _: &[Message<'_>]) -> Result<(), Closed> {
        unreachable!("a push does not wait for the dataflow")
    }

    fn reserve<'a>(&'a mut self, messages: &[Message<'a>]) -> Result<Box<dyn Room + 'a>, NotTaken> {
        if let Some(refusal) = *self.0.refuse.lock().unwrap() {
            return Err(refusal);
        }
        let dead_letters = messages
            .iter()
            .filter(|message| message.value == Some(b"bad"))
            .count() as u64;
        let taken = Taken {
            changes: messages.len() as u64 - dead_letters,
            dead_letters,
        };
        let last = messages.last().map(|message| message.offset.0);
        Ok(Box::new(Reserved(&self.0, last, taken)))
    }
}

struct Reserved<'a>(&'a Intake, Option<u64>, Taken);

impl Room for Reserved<'_> {
    fn taken(&self) -> Taken {
        self.2
    }

    fn take(self: Box<Self>) {
        if let (Some(taken), Some(last)) = (&*self.0.taken.lock().unwrap(), self.1) {
            taken.send(last).unwrap();
        }
    }
}

#[test]
fn what_is_not_there_or_not_right_is_an_error_of_one_shape() {
    let port = Port::open();
    check_error(&port.get("/v1/nothing"), 404, "unknown_route", "/openapi.json");
    check_error(
        &port.get("/v1/indexes/shop/documents/"),
        404,
        "unknown_route",
        "/openapi.json",
    );
    check_error(
        &port.get("/v1/indexes/shop/search"),
        405,
        "wrong_method",
        "/openapi.json",
    );
    check_error(&port.post("/healthz", ""), 405, "wrong_method", "/openapi.json");
    assert_eq!(port.get("/v1/indexes/shop/search").header("allow"), "POST");

    check_error(
        &port.post("/v1/indexes/shoop/search", "{}"),
        404,
        "unknown_index",
        "the index shop",
    );
    check_error(
        &port.get("/v1/indexes/shoop/stats"),
        404,
        "unknown_index",
        "the index shop",
    );
    check_error(
        &port.get("/v1/indexes/shoop/documents/1"),
        404,
        "unknown_index",
        "the index shop",
    );
    check_error(&port.get("/v1/indexes/%FF/stats"), 400, "bad_path", "");
    for key in ["28", "acme/28", "acme%2F28", "a%252Fb/28", "%25"] {
        check_error(
            &port.get(&format!("/v1/indexes/shop/documents/{key}")),
            404,
            "unknown_document",
            "query",
        );
    }

    check_error(
        &port.post("/v1/tables/nothing/changes", ""),
        404,
        "unknown_table",
        "products",
    );
    check_error(
        &port.post("/v1/tables/archive/changes", ""),
        409,
        "not_pushed",
        "products",
    );
    check_error(
        &port.post("/v1/tables/products/changes?wait=later", ""),
        400,
        "bad_parameter",
        "",
    );
    check_error(
        &port.post("/v1/tables/products/changes?wiat=visible", ""),
        400,
        "bad_parameter",
        "",
    );
    for key in ["", "with space", "r\u{f6}d", &"k".repeat(256)] {
        check_error(&port.push_once(key, "{}"), 400, "bad_idempotency_key", "UUID");
    }
}

#[test]
fn a_search_that_cannot_be_read_names_its_line_and_column() {
    let port = Port::open();
    for (body, code, place) in [
        ("", "not_json", "line 1 column 0"),
        ("{\"query\":\n \"shoe\",}", "not_json", "line 2 column 9"),
        ("{\"query\": 7}", "bad_request", "line 1 column 11"),
        ("{\"qeury\": \"shoe\"}", "bad_request", "line 1 column 8"),
        ("\u{0}\u{1}", "not_json", "line 1 column 1"),
    ] {
        let answer = port.post("/v1/indexes/shop/search", body);
        check_error(&answer, 400, code, "query");
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains(place), "{body:?}: {message}");
    }
    assert!(
        port.get("/metrics")
            .body
            .contains("\nmillpond_query_errors_total 5\n")
    );
}

#[test]
fn a_search_is_answered_whatever_its_media_type_says() {
    let port = Port::open();
    for media_type in ["application/json", "text/plain", "nonsense"] {
        let request = port
            .agent
            .post(port.url("/v1/indexes/shop/search"))
            .header("content-type", media_type);
        let answer = received(request.send(r#"{"query":"shoe","mode":"keyword"}"#));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/json");
        let body = answer.json();
        assert_eq!(
            (&body["hits"], &body["as_of"]),
            (&json!([]), &json!({"tick": 3, "positions": {}}))
        );
    }
    assert!(
        port.get("/metrics")
            .body
            .contains("\nmillpond_query_seconds_count{mode=\"keyword\"} 3\n")
    );
}

#[test]
fn stats_are_those_of_the_newest_tick() {
    let port = Port::open();
    port.app.published.publish(snapshot(9, &[("products/0", 5)]));
    let stats = port.get("/v1/indexes/shop/stats").json();
    assert_eq!(
        (&stats["tick"], &stats["positions"]),
        (&json!(9), &json!({"products/0": 5}))
    );
    assert_eq!(
        (&stats["messages"], &stats["changes"], &stats["documents"]),
        (&json!(41), &json!(40), &json!(0))
    );
}

#[test]
fn until_the_node_is_ready_it_lives_and_answers_no_search() {
    let port = Port::open();
    port.app.ready.store(false, Ordering::Release);
    assert_eq!(port.get("/healthz").status, 200);
    let recovering = port.get("/readyz");
    assert_eq!(
        (recovering.status, &recovering.json()["status"]),
        (503, &json!("recovering"))
    );
    check_error(
        &port.post("/v1/indexes/shop/search", r#"{"query":"shoe"}"#),
        503,
        "recovering",
        "/readyz",
    );
    check_error(&port.get("/v1/indexes/shop/stats"), 503, "recovering", "/readyz");

    port.app.ready.store(true, Ordering::Release);
    let ready = port.get("/readyz");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
    assert_eq!(port.get("/v1/indexes/shop/stats").status, 200);
}

#[test]
fn a_source_that_is_down_or_behind_is_named_and_the_node_stays_ready() {
    let port = Port::open();
    let well = json!([{
        "table": "archive", "trouble": null, "finished": false, "lag": {}, "lost": {}, "lost_messages": 0,
    }]);
    assert_eq!(
        port.get("/readyz").json(),
        json!({"status": "ready", "index": "shop", "sources": well})
    );
    assert!(
        port.get("/metrics")
            .body
            .contains("\nmillpond_source_up{table=\"archive\"} 1\n")
    );

    port.source.set_trouble("no broker answers");
    port.source.set_lag("0", 17);
    port.source.lost("0", Lost { first: 3, last: 7 });
    port.source.lost("0", Lost { first: 10, last: 10 });
    let down = port.get("/readyz");
    assert_eq!(down.status, 200);
    let source = json!({
        "table": "archive", "trouble": "no broker answers", "finished": false, "lag": {"0": 17},
        "lost": {"0": {"first": 10, "last": 10}}, "lost_messages": 6,
    });
    assert_eq!(down.json()["sources"], json!([source]));
    let metrics = port.get("/metrics").body;
    assert!(metrics.contains("\nmillpond_source_up{table=\"archive\"} 0\n"));
    assert!(metrics.contains("\nmillpond_source_lost_messages_total{table=\"archive\"} 6\n"));
    assert!(metrics.contains("\nmillpond_source_lag_messages{table=\"archive\",partition=\"0\"} 17\n"));
}

#[test]
fn a_dataflow_without_an_index_says_so() {
    let port = Port::with_index(false);
    check_error(
        &port.post("/v1/indexes/shop/search", "{}"),
        404,
        "unknown_index",
        "no [index]",
    );
    assert_eq!(port.get("/readyz").json()["index"], Value::Null);
    let failed = millpond::cli::search::run(&search_args(&port.url("/"))).unwrap_err();
    assert!(matches!(failed, SearchError::NoIndex { .. }), "{failed:?}");
}

#[test]
fn a_push_is_taken_and_counted_by_lines() {
    let port = Port::open();
    let push = |body: &str| {
        let answer = port.post("/v1/tables/products/changes", body);
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()
    };
    assert_eq!(
        push("\n"),
        json!({"accepted": 0, "dead_letters": 0, "position": null})
    );
    assert_eq!(
        push("{}\nbad\n{}\n"),
        json!({"accepted": 2, "dead_letters": 1, "position": 2})
    );
    assert_eq!(push(""), json!({"accepted": 0, "dead_letters": 0, "position": 2}));
}

#[test]
fn a_node_that_is_behind_or_stopping_takes_nothing_and_says_when_to_come_back() {
    let port = Port::open();
    let push = || port.post("/v1/tables/products/changes", "{}");
    *port.intake.refuse.lock().unwrap() = Some(NotTaken::Full);
    check_error(&push(), 429, "behind", "nothing of it was taken");
    assert_eq!(push().header("retry-after"), "1");
    assert!(
        port.get("/metrics")
            .body
            .contains("\nmillpond_push_rejected_total 2\n")
    );

    *port.intake.refuse.lock().unwrap() = Some(NotTaken::Closed);
    check_error(&push(), 503, "stopping", "");
    *port.intake.refuse.lock().unwrap() = None;
    assert_eq!(
        push().json()["position"],
        json!(0),
        "what was refused took no position"
    );
}

#[test]
fn wait_visible_answers_at_the_tick_that_has_read_the_push() {
    let port = Port::open();
    let (taken, pushed) = mpsc::channel();
    *port.intake.taken.lock().unwrap() = Some(taken);
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| port.post("/v1/tables/products/changes?wait=visible", "{}\n{}\n{}"));
        let last = pushed.recv_timeout(Duration::from_secs(20)).unwrap();
        port.app
            .published
            .publish(snapshot(5, &[("products/0", last - 1), ("archive/0", last + 9)]));
        assert!(!answer.is_finished());
        port.app.published.publish(snapshot(7, &[("products/0", last)]));
        answer.join().unwrap()
    });
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.json(),
        json!({"accepted": 3, "dead_letters": 0, "position": 2, "tick": 7, "at_least": {"products/0": 2}})
    );

    let nothing_new = port.post("/v1/tables/products/changes?wait=visible", "");
    assert_eq!(nothing_new.json()["tick"], json!(7));
}

#[test]
fn wait_durable_answers_after_the_sync_of_the_log() {
    let port = Port::open();
    let push = || port.post("/v1/tables/products/changes?wait=durable", "{}\nbad\n");
    let answer = push();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.json(),
        json!({"accepted": 1, "dead_letters": 1, "position": 1})
    );
    let empty = port.post("/v1/tables/products/changes?wait=durable", "");
    assert_eq!((empty.status, &empty.json()["position"]), (200, &json!(1)));

    // The sync, and those of what is written again then, which is tried more than once.
    (0..9).for_each(|nth| port.disk.inject(Fault::FailedSync { nth }));
    check_error(&push(), 500, "not_durable", "Idempotency-Key");
    let goes_on = (0..20).any(|_| push().status == 200);
    assert!(goes_on, "the disk takes syncs again");
    let metrics = port.get("/metrics").body;
    assert!(metrics.contains("\nmillpond_push_waiting 0\n"));
    assert!(!metrics.contains("\nmillpond_push_log_bytes{table=\"products\"} 0\n"));
}

#[test]
fn a_push_with_a_key_is_taken_once() {
    let port = Port::open();
    let (taken, pushed) = mpsc::channel();
    *port.intake.taken.lock().unwrap() = Some(taken);
    let first = port.push_once("one", "{}\nbad\n");
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(port.push_once("two", "{}").json()["position"], json!(2));
    assert_eq!(port.push_once("one", "{}\nbad\n").body, first.body);
    check_error(
        &port.push_once("one", "{}\n{}\n"),
        422,
        "key_reused",
        "another key",
    );
    assert_eq!(pushed.try_iter().collect::<Vec<_>>(), [1, 2]);
    let twice = "POST /v1/tables/products/changes HTTP/1.1\r\nhost: x\r\nidempotency-key: a\r\n\
                 idempotency-key: b\r\ncontent-length: 2\r\n\r\n{}";
    assert!(
        port.raw(twice, "hint").contains("bad_idempotency_key"),
        "two keys are none"
    );
}

#[test]
fn a_full_disk_takes_no_push_and_is_named() {
    let port = Port::open();
    let push = || port.post("/v1/tables/products/changes", "{}");
    assert_eq!(push().json()["position"], json!(0));
    for room in [0, 20] {
        port.disk.inject(Fault::DiskFull { after_bytes: room });
        check_error(&push(), 507, "disk_full", "nothing of it was taken");
        check_error(&push(), 507, "disk_full", "nothing of it was taken");
        port.disk.heal();
    }
    port.disk.inject(Fault::FailedWrite { nth: 1 });
    check_error(&push(), 503, "log_failed", "nothing of it was taken");
    let answer = push();
    assert_eq!(
        (answer.status, &answer.json()["position"]),
        (202, &json!(1)),
        "no offset is used up"
    );
}

#[test]
fn a_body_over_its_limit_is_refused_however_it_comes() {
    let port = Port::open();
    let search = "/v1/indexes/shop/search";
    let large = vec![b' '; (2 << 20) + 1];
    // A client sees the answer though it is still sending when that is decided.
    let push = "/v1/tables/products/changes";
    let huge = vec![b' '; (64 << 20) + 1];
    check_error(&port.post(push, &huge), 413, "too_large", "several");
    check_error(&port.post(search, &large), 413, "too_large", "several");
    check_error(
        &port.post(search, ureq::SendBody::from_reader(&mut &large[..])),
        413,
        "too_large",
        "several",
    );
    check_error(&port.post(search, &large[1..]), 400, "not_json", "query");
    assert_eq!(port.post(push, &large).status, 202, "a push may be larger");

    let asks_first = format!(
        "POST {search} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        100 << 20
    );
    let answer = port.raw(&asks_first, "too_large");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let request = port.agent.post(port.url(push)).header("content-encoding", "gzip");
    check_error(
        &received(request.send("{}")),
        415,
        "unsupported_encoding",
        "Content-Encoding",
    );
}

#[test]
fn metrics_are_openmetrics_text() {
    let port = Port::open();
    let answer = port.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let (samples, end) = answer.body.split_at(answer.body.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n");
    let mut family = "";
    for line in samples.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let [what, name, rest] = described.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            assert!(
                ["HELP", "TYPE", "UNIT"].contains(&what) && !rest.is_empty(),
                "{line}"
            );
            family = name;
            assert!(family.starts_with("millpond_"), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(
                series.starts_with(family) && !family.is_empty(),
                "{line} is not of {family}"
            );
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(answer.body.contains("\nmillpond_documents 0\n"));
}

#[test]
fn the_description_names_every_route_and_holds_together() {
    let port = Port::open();
    let answer = port.get("/openapi.json");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
    let description = answer.json();

    let paths = description["paths"].as_object().unwrap();
    let mut routes: Vec<String> = Vec::new();
    for (path, methods) in paths {
        let asked = path
            .replace("{index}", "shop")
            .replace("{key}", "1")
            .replace("{id}", "1")
            .replace("{table}", "products");
        for (method, operation) in methods.as_object().unwrap() {
            // Which paths of OpenSearch there are is told in `security/doors.rs`.
            if operation["tags"] != json!(["opensearch"]) {
                routes.push(format!("{method} {path}"));
            }
            let answer = match method.as_str() {
                "get" => port.get(&asked),
                "delete" => port.delete(&asked),
                "head" => received(port.agent.head(port.url(&asked)).call()),
                "put" => received(port.agent.put(port.url(&asked)).send("{}")),
                _ => port.post(&asked, "{}"),
            };
            let said = operation["responses"].as_object().unwrap();
            assert!(
                said.contains_key(&answer.status.to_string()),
                "{method} {path} gave {}",
                answer.status
            );
            assert!(
                !answer.body.contains("unknown_route"),
                "{method} {path} is described and not served"
            );
        }
    }
    routes.sort();
    assert_eq!(
        routes,
        [
            "delete /v1/indexes/{index}/upgrade",
            "get /",
            "get /healthz",
            "get /metrics",
            "get /openapi.json",
            "get /readyz",
            "get /v1/dead-letters",
            "get /v1/dead-letters/{id}",
            "get /v1/indexes/{index}/documents/{key}",
            "get /v1/indexes/{index}/stats",
            "get /v1/indexes/{index}/upgrade",
            "get /v1/snapshots",
            "post /mcp",
            "post /v1/dead-letters/drop",
            "post /v1/dead-letters/replay",
            "post /v1/indexes/{index}/msearch",
            "post /v1/indexes/{index}/search",
            "post /v1/indexes/{index}/suggest",
            "post /v1/indexes/{index}/upgrade",
            "post /v1/indexes/{index}/upgrade/compare",
            "post /v1/indexes/{index}/upgrade/rollback",
            "post /v1/indexes/{index}/upgrade/switch",
            "post /v1/snapshots",
            "post /v1/snapshots/restore",
            "post /v1/tables/{table}/changes",
        ]
    );

    let mut references = 0;
    each_reference(&description, &mut |reference| {
        references += 1;
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            description.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    });
    assert!(references > 10, "{references} references");
}

fn each_reference(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(reference)) => found(reference),
                    _ => each_reference(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| each_reference(value, found)),
        _ => {}
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_runs_nothing_from_documents() {
    let page = Port::open().get("/");
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'; connect-src 'self'")
    );
    let own = page.body.replace("http://www.w3.org/2000/svg", "");
    for foreign in [
        "http:",
        "https:",
        "src=",
        "@import",
        "innerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!own.contains(foreign), "the page holds {foreign}");
    }
}

#[test]
fn the_port_stops_within_seconds_though_connections_are_idle() {
    let mut port = Port::open();
    let (taken, pushed) = mpsc::channel();
    *port.intake.taken.lock().unwrap() = Some(taken);
    let silent = TcpStream::connect(port.address).unwrap();
    let mut waiting = TcpStream::connect(port.address).unwrap();
    let push =
        "POST /v1/tables/products/changes?wait=visible HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    waiting.write_all(push.as_bytes()).unwrap();
    pushed.recv_timeout(Duration::from_secs(20)).unwrap();
    // The agent keeps this one open.
    assert_eq!(port.get("/healthz").status, 200);

    let start = Instant::now();
    port.stop.take().unwrap().send(()).unwrap();
    let served = port.served.take().unwrap();
    let limit = Duration::from_secs(10);
    port.runtime
        .block_on(async { tokio::time::timeout(limit, served).await })
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "took {:?}",
        start.elapsed()
    );
    assert!(TcpStream::connect(port.address).is_err(), "still listening");
    drop((silent, waiting));
}

fn search_args(url: &str) -> SearchArgs {
    SearchArgs {
        text: vec!["red".to_owned(), "shoe".to_owned()],
        url: url.to_owned(),
        filter: None,
        mode: "keyword".to_owned(),
        using: None,
        limit: 10,
        accuracy: None,
        exact: false,
        index: None,
        json: false,
        access: Default::default(),
    }
}

#[test]
fn the_search_command_says_what_is_wrong() {
    let port = Port::open();
    let args = search_args(&port.url("/"));
    millpond::cli::search::run(&args).unwrap();

    let elsewhere = SearchArgs {
        index: Some("shoop".to_owned()),
        ..args.clone()
    };
    let refused = millpond::cli::search::run(&elsewhere).unwrap_err().to_string();
    assert_eq!(refused, "there is no index shoop\n  this node has the index shop");

    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = search_args(&format!("http://{unused}"));
    let unreachable = millpond::cli::search::run(&nobody).unwrap_err().to_string();
    assert_eq!(
        unreachable,
        format!("nothing answers at http://{unused}: is `millpond serve` running?")
    );
}
