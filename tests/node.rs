//! The real node: started, searched, pushed to, and stopped as a user does it.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{PATIENCE, Served, millpond, repository, sample, with_source};

const NOTES: &str = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[tables.tags]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text, topic, rank FROM notes WHERE topic <> 'secret'"
key = "id"
text = { text = {} }
fields = { topic = "keyword", rank = "i64" }
embed = "{text}"
"#;

fn written(name: &str, dataflow: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, dataflow).unwrap();
    (folder, path)
}

fn keys(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"].as_array().unwrap_or_else(|| panic!("{answer}"));
    hits.iter().map(|hit| hit["key"].as_str().unwrap()).collect()
}

/// What a command says that fails to start a node.
fn refused(dataflow: &Path, listen: &str) -> String {
    let data = tempfile::tempdir().unwrap();
    let serve = [
        Path::new("serve"),
        dataflow,
        Path::new("--listen"),
        Path::new(listen),
    ];
    let mut arguments = serve.to_vec();
    arguments.extend([Path::new("--data-dir"), data.path()]);
    millpond(&arguments).failure()
}

#[test]
fn the_quick_start_serves_everything_that_its_port_promises() {
    let node = Served::start(&repository("dataflows/quickstart.toml"));
    node.caught_up("quickstart");

    let search = |more: &[&str]| {
        let mut arguments = vec!["search", "--url", node.url()];
        arguments.extend(more);
        millpond(&arguments).success()
    };
    let shown = search(&["waterproof", "jacket", "--limit", "3"]);
    assert!(shown.lines().next().unwrap().contains("1. "), "{shown}");
    assert!(
        shown.contains("Waterproof Jacket") && shown.contains("sportswear"),
        "{shown}"
    );
    assert!(
        shown
            .trim_end()
            .lines()
            .last()
            .unwrap()
            .starts_with("3 hits as of tick "),
        "{shown}"
    );
    let filtered = search(&[
        "waterproof jacket",
        "--filter",
        "price < 100",
        "--mode",
        "vector",
        "--json",
    ]);
    let answer: Value = serde_json::from_str(&filtered).unwrap();
    assert_eq!(keys(&answer).len(), 10);
    for hit in answer["hits"].as_array().unwrap() {
        assert!(
            hit["document"]["price"].as_str().unwrap().parse::<f64>().unwrap() < 100.0,
            "{hit}"
        );
        assert!(
            hit["vector"]["rank"].as_u64().is_some() && hit.get("keyword").is_none(),
            "{hit}"
        );
    }
    assert!(search(&["zzzyx", "--mode", "keyword"]).starts_with("Nothing found"));
    let error = millpond(&["search", "--url", node.url(), "jacket", "--filter", "prize < 100"]).failure();
    assert!(error.contains("prize") && error.contains("price"), "{error}");

    let answer = node.search(
        "quickstart",
        &json!({"query": "tent", "limit": 1, "fields": ["name"]}),
    );
    let key = keys(&answer)[0];
    assert_eq!(
        answer["hits"][0]["document"].as_object().unwrap().len(),
        1,
        "{answer}"
    );
    let (status, document) = node.get(&format!("/v1/indexes/quickstart/documents/{key}"));
    assert_eq!((status, &document["key"]), (200, &json!(key)));
    let columns: Vec<&String> = document["document"].as_object().unwrap().keys().collect();
    for column in [
        "id",
        "name",
        "brand",
        "description",
        "category",
        "price",
        "stock_quantity",
    ] {
        assert!(
            columns.iter().any(|found| *found == column),
            "{column} is not in {document}"
        );
    }
    assert_eq!(columns.len(), 7, "{document}");

    let (status, metrics) = node.get_text("/metrics");
    assert_eq!(status, 200);
    for leg in ["keyword", "vector"] {
        let name = format!("millpond_freshness_seconds_count{{leg=\"{leg}\"}}");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        assert!(count.trim().parse::<f64>().unwrap() > 0.0, "{name} {count}");
    }
    for (name, expected) in [
        ("millpond_messages_total", 7_026.0),
        ("millpond_changes_total", 7_116.0),
        ("millpond_documents", 1_884.0),
        ("millpond_dead_letters_total", 0.0),
        ("millpond_query_errors_total", 1.0),
    ] {
        assert_eq!(sample(&metrics, name), expected, "{name}");
    }
    assert!(sample(&metrics, "millpond_query_seconds_count") >= 4.0);

    let (_, api) = node.get("/openapi.json");
    for path in [
        "/v1/indexes/{index}/search",
        "/v1/indexes/{index}/documents/{key}",
        "/v1/indexes/{index}/stats",
        "/v1/tables/{table}/changes",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(api["paths"].get(path).is_some(), "{path} is described");
    }
    assert_eq!(node.get_text("/healthz").0, 200);
    let (status, page) = node.get_text("/");
    assert!(status == 200 && page.contains("<html"), "{status} {page}");

    for (path, code) in [
        ("/v1/indexes/quickstart/documents/999999", "unknown_document"),
        ("/v1/indexes/other/stats", "unknown_index"),
        ("/v1/other", "unknown_route"),
    ] {
        let (status, body) = node.get(path);
        assert_eq!((status, &body["error"]["code"]), (404, &json!(code)), "{path}");
        assert!(body["error"]["hint"].is_string(), "{body}");
    }
    let (status, body) = node.post("/v1/tables/products/changes", "{}");
    assert_eq!(
        (status, &body["error"]["code"]),
        (409, &json!("not_pushed")),
        "{body}"
    );
}

#[test]
fn a_push_that_waited_is_in_both_legs_at_once() {
    let (_folder, path) = written("notes.toml", NOTES);
    let node = Served::start(&path);
    for number in 0..100 {
        let text = format!("note{number} about lamp{number} and chair{number}");
        let line = json!({"id": number, "text": text, "topic": "home", "rank": number}).to_string();
        let (status, body) = node.post("/v1/tables/notes/changes?wait=visible", line);
        assert_eq!(status, 200, "{body}");
        assert_eq!(
            (&body["accepted"], &body["dead_letters"], &body["position"]),
            (&json!(1), &json!(0), &json!(number))
        );
        let answer = node.search(
            "notes",
            &json!({"query": format!("lamp{number}"), "mode": "keyword"}),
        );
        assert_eq!(keys(&answer), [number.to_string()], "the keyword leg at once");
        assert!(
            answer["as_of"]["tick"].as_u64() >= body["tick"].as_u64(),
            "{answer} {body}"
        );
        let filter = format!("rank = {number}");
        let answer = node.search(
            "notes",
            &json!({"query": text, "mode": "vector", "filter": filter}),
        );
        assert_eq!(keys(&answer), [number.to_string()], "the vector leg at once");
        let cosine = answer["hits"][0]["vector"]["score"].as_f64().unwrap();
        assert!(cosine > 0.999, "it is this text's vector: {answer}");
    }
    assert_eq!(node.get("/v1/indexes/notes/stats").1["documents"], 100);

    // Replaced, hidden by the query, deleted: gone from both legs when the push is answered.
    let lines = [
        json!({"id": 1, "text": "a violin", "topic": "home", "rank": 1}),
        json!({"id": 2, "text": "note2 about lamp2 and chair2", "topic": "secret", "rank": 2}),
        json!({"id": 3, "_op": "delete"}),
    ];
    let (status, body) = node.post(
        "/v1/tables/notes/changes?wait=visible",
        lines.map(|line| format!("{line}\n")).concat(),
    );
    assert_eq!((status, &body["accepted"]), (200, &json!(3)), "{body}");
    for word in ["lamp1", "lamp2", "lamp3"] {
        let answer = node.search("notes", &json!({"query": word, "mode": "keyword"}));
        assert_eq!(keys(&answer), [] as [&str; 0], "{word}");
    }
    let answer = node.search(
        "notes",
        &json!({"query": "a violin", "mode": "vector", "limit": 1000, "fields": []}),
    );
    let found = keys(&answer);
    assert_eq!((found.len(), found[0]), (98, "1"), "{answer}");
    assert!(!found.contains(&"2") && !found.contains(&"3"), "{found:?}");
    assert_eq!(node.get("/v1/indexes/notes/documents/2").0, 404);
}

#[test]
fn a_push_is_answered_before_it_is_visible_unless_it_waits() {
    let (_folder, path) = written("notes.toml", NOTES);
    let node = Served::start(&path);
    let good = json!({"id": 1, "text": "red lamp", "topic": "home", "rank": 1}).to_string();
    let (status, body) = node.post("/v1/tables/notes/changes", good.as_str());
    assert_eq!(status, 202, "{body}");
    assert_eq!(body, json!({"accepted": 1, "dead_letters": 0, "position": 0}));
    node.until(
        "/v1/indexes/notes/documents/1",
        "the push is visible",
        |(status, _)| *status == 200,
    );

    let lines = format!("{{\"id\":2,\"text\":\n{good}\nnot json\n");
    let (status, body) = node.post("/v1/tables/notes/changes?wait=visible", lines);
    assert_eq!(
        (status, &body["accepted"], &body["dead_letters"]),
        (200, &json!(1), &json!(2)),
        "{body}"
    );
    let stats = node.get("/v1/indexes/notes/stats").1;
    assert_eq!(
        (&stats["dead_letters"], &stats["documents"]),
        (&json!(2), &json!(1)),
        "{stats}"
    );
    assert_eq!(
        sample(&node.get_text("/metrics").1, "millpond_dead_letters_total"),
        2.0
    );
    let letters = std::fs::read_to_string(node.data_dir().join("dead-letters.ndjson")).unwrap();
    assert_eq!(letters.lines().count(), 2, "{letters}");
    for line in letters.lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&letter["table"], &letter["partition"]),
            (&json!("notes"), &json!("0")),
            "{letter}"
        );
        assert!(
            letter["reason"].is_string() && letter["value"].is_string(),
            "{letter}"
        );
    }

    let (status, body) = node.post("/v1/tables/notes/changes?wait=durable", good.as_str());
    assert_eq!(status, 200, "{body}");
    assert_eq!(body, json!({"accepted": 1, "dead_letters": 0, "position": 4}));

    // A table that no index looks at is pushed to as well, and is visible when the others are.
    let (status, body) = node.post("/v1/tables/tags/changes?wait=visible", "{\"id\":1}\n");
    assert_eq!((status, &body["accepted"]), (200, &json!(1)), "{body}");
    for (path, status, code) in [
        ("/v1/tables/other/changes", 404, "unknown_table"),
        ("/v1/tables/notes/changes?wait=long", 400, "bad_parameter"),
    ] {
        let (found, body) = node.post(path, good.as_str());
        assert_eq!((found, &body["error"]["code"]), (status, &json!(code)), "{path}");
        assert!(body["error"]["message"].as_str().unwrap().len() > 10, "{body}");
    }
}

#[test]
fn a_node_that_cannot_start_says_why() {
    let (_folder, notes) = written("notes.toml", NOTES);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let cases: [(&Path, &str, &[&str]); 2] = [
        (&notes, &taken, &[&taken, "in use", "--listen"]),
        (Path::new("/nowhere/x.toml"), "127.0.0.1:0", &["/nowhere/x.toml"]),
    ];
    for (dataflow, listen, reasons) in cases {
        let error = refused(dataflow, listen);
        for reason in reasons {
            assert!(error.contains(reason), "`{reason}` is not in: {error}");
        }
    }

    let wrong = NOTES
        .replacen("upsert-json", "upsert", 1)
        .replace("fields =", "feilds =")
        .replace("FROM notes", "FROM nodes");
    let (_folder, path) = written("wrong.toml", &wrong);
    for error in [
        refused(&path, "127.0.0.1:0"),
        millpond(&[Path::new("check"), &path]).failure(),
    ] {
        for fault in [
            "wrong.toml:5: ",
            "`upsert`",
            "did you mean `upsert-json`?",
            "`feilds`",
            "`nodes`",
            "3 faults",
        ] {
            assert!(error.contains(fault), "`{fault}` is not in: {error}");
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let missing = with_source(
        "quickstart",
        "source = { kind = \"file\", path = \"no/such.ndjson\" }",
        folder.path(),
    );
    let error = refused(&missing, "127.0.0.1:0");
    let tried = folder.path().join("no/such.ndjson");
    for reason in ["`products`", tried.to_str().unwrap(), "no such file"] {
        assert!(error.contains(reason), "`{reason}` is not in: {error}");
    }
}

#[test]
fn a_file_that_is_damaged_is_told_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let mut damaged = std::fs::read(repository("data/products.ndjson.zst")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    std::fs::write(folder.path().join("x.ndjson.zst"), damaged).unwrap();
    let source = "source = { kind = \"file\", path = \"x.ndjson.zst\" }";
    let dataflow = with_source("quickstart", source, folder.path());

    let error = millpond(&[Path::new("replay"), &dataflow]).failure();
    assert!(
        error.contains("x.ndjson.zst") && error.contains("line"),
        "{error}"
    );
    assert!(
        error.to_lowercase().contains("corrupt"),
        "the cause is told: {error}"
    );

    // What was read before is served, and the source is named with its trouble.
    let node = Served::start(&dataflow);
    let ready = node.until("/readyz", "the trouble is told", |(_, body)| {
        body["sources"][0]["trouble"].is_string()
    });
    let trouble = ready["sources"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains("x.ndjson.zst"), "{trouble}");
    assert!(
        trouble.to_lowercase().contains("corrupt"),
        "the cause is told: {trouble}"
    );
    assert_eq!(ready["status"], "ready");
}

#[test]
fn a_broker_that_does_not_answer_is_named() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source =
        format!("source = {{ kind = \"kafka\", brokers = \"{address}\", topic = \"t\", group = \"g\" }}");
    let error = refused(
        &with_source("tidb-products", &source, folder.path()),
        "127.0.0.1:0",
    );
    for reason in ["`products`", &address.to_string(), "Kafka", "is it running?"] {
        assert!(error.contains(reason), "`{reason}` is not in: {error}");
    }
}

#[test]
fn a_node_follows_kafka_and_stops_though_its_broker_has_gone() {
    const TOPIC: &str = "tidb-products-cdc";
    #[derive(serde::Deserialize)]
    struct Record {
        partition: i32,
        key: Option<String>,
        value: Option<String>,
    }
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .create()
        .unwrap();
    let recording = std::fs::read_to_string(repository("data/replays/tidb-products.ndjson")).unwrap();
    for line in recording.lines() {
        let record: Record = serde_json::from_str(line).unwrap();
        let mut message: BaseRecord<'_, String, String> = BaseRecord::to(TOPIC).partition(record.partition);
        message.key = record.key.as_ref();
        message.payload = record.value.as_ref();
        producer.send(message).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let source = format!(
        "source = {{ kind = \"kafka\", brokers = \"{brokers}\", topic = \"{TOPIC}\", group = \"g\", start = \"earliest\" }}"
    );
    let node = Served::start(&with_source("tidb-products", &source, folder.path()));
    let stats = node.until(
        "/v1/indexes/tidb-products/stats",
        "all messages are searchable",
        |(_, stats)| stats["messages"] == 276 && stats["vectors_pending"] == 0,
    );
    for (count, expected) in [("documents", 53), ("changes", 261), ("dead_letters", 1)] {
        assert_eq!(stats[count], expected, "{count}: {stats}");
    }
    assert_eq!(stats["positions"].as_object().unwrap().len(), 2, "{stats}");

    drop(producer);
    drop(cluster);
    let ready = node.until("/readyz", "the trouble is told", |(_, body)| {
        body["sources"][0]["trouble"].is_string()
    });
    assert!(
        ready["sources"][0]["trouble"]
            .as_str()
            .unwrap()
            .contains(&brokers),
        "{ready}"
    );
    assert_eq!(ready["status"], "ready", "what is there is still served");
    assert_eq!(sample(&node.get_text("/metrics").1, "millpond_source_up"), 0.0);
    let (code, log) = node.stop(Signal::TERM);
    assert_eq!(code, 0, "{log}");
}

#[test]
fn a_node_ends_soon_and_in_order_when_it_is_told_to() {
    let (_folder, path) = written("notes.toml", NOTES);
    for signal in [Signal::TERM, Signal::INT] {
        let node = Served::start(&path);
        let line = json!({"id": 1, "text": "red lamp", "topic": "home", "rank": 1}).to_string();
        assert_eq!(node.post("/v1/tables/notes/changes?wait=visible", line).0, 200);
        // A client that is connected and says nothing holds up nobody.
        let address = node.url().strip_prefix("http://").unwrap();
        let _idle = std::net::TcpStream::connect(address).unwrap();
        let (code, log) = node.stop(signal);
        assert_eq!(code, 0, "{signal:?}: {log}");
        assert!(log.contains("stopping") && !log.contains("panicked"), "{log}");
        assert!(!log.contains('\u{1b}'), "colours are for terminals: {log:?}");
    }
}
