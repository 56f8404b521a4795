//! Exactly-once effect: whatever Kafka delivers twice, late or over another partition, the index shows the newest row
//! of each key, in both legs, as a plain map has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use millpond::change::{Offset, TableId};
use millpond::definition::{self, Definition, SourceSettings};
use millpond::index::Snapshot;
use millpond::node::open_embedders;
use millpond::query::{Mode, SearchRequest, Searcher};
use millpond::source::{self, Partition, Receivers, Running, Status, Stop};
use rdkafka::producer::{BaseRecord, Producer};

use super::{Cluster, TIMEOUT, cluster, producer, settings};
use crate::dataflow::Workers;
use crate::shared::Random;
use crate::sources::table;

const PARTITIONS: usize = 3;
const KEYS: usize = 40;
const CHANGES: usize = 1_500;

const ROWS: &str = r#"
name = "rows"
[tables.rows]
source = { kind = "http" }
format = "canal-json"
key = ["id"]
[index]
query = "SELECT id, text FROM rows"
key = "id"
text = { text = {} }
embed = "{text}"
[embedder]
model = "hash"
dimensions = 16
"#;

/// A row of the source at its commit; `None` where it is deleted.
#[derive(Clone)]
struct Written {
    id: usize,
    commit: usize,
    text: Option<String>,
}

impl Written {
    fn message(&self) -> String {
        let kind = if self.text.is_some() { "INSERT" } else { "DELETE" };
        serde_json::json!({
            "id": 0, "database": "d", "table": "rows", "isDdl": false, "type": kind, "es": 1, "ts": 1,
            "mysqlType": {"id": "int", "text": "text"},
            "data": [{"id": self.id.to_string(), "text": self.text}],
            "_tidb": {"commitTs": self.commit},
        })
        .to_string()
    }
}

/// In the order of the commits.
fn history(random: &mut Random) -> Vec<Written> {
    let written = |commit| Written {
        id: random.below(KEYS),
        commit,
        text: (!random.percent(20)).then(|| format!("word{commit} of a row")),
    };
    (1..=CHANGES).map(written).collect()
}

/// As they arrive: out of order, some of them again, each time in any partition.
fn delivered(history: &[Written], random: &mut Random) -> Vec<(i32, Written)> {
    let mut arrivals = Vec::new();
    for written in history {
        let mut arrive = |late: usize| {
            let partition = random.below(PARTITIONS) as i32;
            let moment = written.commit + random.below(late);
            let is_again = random.percent(25);
            arrivals.push((moment, partition, written.clone()));
            is_again
        };
        if arrive(100) {
            arrive(600);
        }
    }
    arrivals.sort_by_key(|(moment, ..)| *moment);
    let ordered = arrivals.into_iter();
    ordered
        .map(|(_, partition, written)| (partition, written))
        .collect()
}

fn send(cluster: &Cluster, messages: &[(i32, Written)]) {
    let producer = producer(cluster);
    for (partition, written) in messages {
        let (key, message) = (written.id.to_string(), written.message());
        let record = BaseRecord::to("a")
            .partition(*partition)
            .key(&key)
            .payload(&message);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

/// A node that remembers other positions than those that it has reached.
struct Resumed {
    receivers: Arc<dyn Receivers>,
    positions: BTreeMap<String, u64>,
}

impl Receivers for Resumed {
    fn partition(&self, name: &str) -> Partition {
        Partition {
            resume_after: self.positions.get(name).copied().map(Offset),
            ..self.receivers.partition(name)
        }
    }
}

fn read(cluster: &Cluster, workers: &Workers, positions: &BTreeMap<String, u64>) -> (Running, Stop) {
    let stop = Stop::new();
    let receivers = Arc::new(Resumed {
        receivers: workers.intake.receivers(TableId(0)),
        positions: positions.clone(),
    });
    let table = table(SourceSettings::Kafka(settings(cluster, &["a"])));
    let running = source::start(&table, receivers, Status::default(), stop.clone()).unwrap();
    (running, stop)
}

fn positions(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let named = |(name, last): (&String, &u64)| (name.strip_prefix("rows/").unwrap().to_owned(), *last);
    snapshot.positions.iter().map(named).collect()
}

/// The newest row of each key: the second opinion.
fn newest(history: &[Written]) -> BTreeMap<usize, &str> {
    let mut rows = BTreeMap::new();
    for Written { id, text, .. } in history {
        match text {
            Some(text) => rows.insert(*id, text.as_str()),
            None => rows.remove(id),
        };
    }
    rows
}

fn compare(seed: u64, definition: &Arc<Definition>, workers: &Workers, history: &[Written]) {
    let searcher = Searcher::new(
        definition.clone(),
        workers.published.clone(),
        open_embedders(definition).unwrap(),
    );
    let search = |mode, text: &str| -> Vec<(String, f64)> {
        let request = SearchRequest {
            query: Some(text.to_owned()),
            mode,
            limit: KEYS,
            ..SearchRequest::default()
        };
        let answer: serde_json::Value = serde_json::to_value(searcher.search(&request).unwrap()).unwrap();
        let hits = answer["hits"].as_array().unwrap();
        let hit = |hit: &serde_json::Value| {
            let cosine = hit["vector"]["score"].as_f64().unwrap_or_default();
            (hit["key"].as_str().unwrap().to_owned(), cosine)
        };
        hits.iter().map(hit).collect()
    };
    let rows = newest(history);
    let snapshot = workers.published.snapshot();
    assert_eq!(snapshot.documents(), rows.len(), "seed {seed}");
    for written in history {
        let Some(text) = &written.text else { continue };
        let word = format!("word{}", written.commit);
        let is_newest = rows.get(&written.id) == Some(&text.as_str());
        let found: Vec<String> = search(Mode::Keyword, &word)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let expected: Vec<String> = is_newest.then(|| written.id.to_string()).into_iter().collect();
        assert_eq!(found, expected, "seed {seed}: {word} of row {}", written.id);
        let found = search(Mode::Vector, text);
        let same: BTreeSet<&str> = found
            .iter()
            .filter(|(_, cosine)| *cosine > 0.9999)
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(
            same,
            expected.iter().map(String::as_str).collect(),
            "seed {seed}: the vector of `{text}` of row {}",
            written.id
        );
    }
}

#[test]
fn what_is_delivered_twice_late_or_over_another_partition_shows_the_newest_row_once() {
    for seed in Random::seeds(2) {
        let mut random = Random::new(seed);
        let history = history(&mut random);
        let messages = delivered(&history, &mut random);
        let (early, late) = messages.split_at(messages.len() * 2 / 3);
        let cluster = cluster(&[("a", PARTITIONS as i32)]);
        let definition =
            definition::parse(ROWS, "rows", Path::new(".")).unwrap_or_else(|faults| panic!("{faults}"));
        let definition = Arc::new(definition);
        let embedder = open_embedders(&definition).unwrap().remove(0).unwrap();
        let workers = Workers::of(definition.clone(), 2, embedder, 64, 64);
        let taken = |count: usize| {
            workers.wait_for(|snapshot| {
                snapshot.counters.messages == count as u64 && snapshot.vectors_pending() == 0
            })
        };

        send(&cluster, early);
        let (running, stop) = read(&cluster, &workers, &BTreeMap::new());
        let reached = positions(&taken(early.len()));
        stop.stop();
        running.join();
        assert_eq!(reached.len(), PARTITIONS, "seed {seed}");

        // The source comes back at positions of an earlier checkpoint, in each partition another.
        let mut again = 0;
        let mut earlier = BTreeMap::new();
        for (name, last) in &reached {
            let kept = random.below(*last as usize) as u64;
            again += (last - kept) as usize;
            earlier.insert(name.clone(), kept);
        }
        let (running, stop) = read(&cluster, &workers, &earlier);
        send(&cluster, late);
        let snapshot = taken(messages.len() + again);
        stop.stop();
        running.join();
        let ends: BTreeMap<String, u64> = (0..PARTITIONS as i32)
            .map(|partition| {
                let sent = messages.iter().filter(|(to, _)| *to == partition).count();
                (partition.to_string(), sent as u64 - 1)
            })
            .collect();
        assert_eq!(positions(&snapshot), ends, "seed {seed}");
        assert_eq!(snapshot.counters.dead_letters, 0, "seed {seed}");
        compare(seed, &definition, &workers, &history);
        workers.stop();
    }
}
