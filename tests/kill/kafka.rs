//! Changes in Kafka, through librdkafka's mock cluster: everything that was produced is the truth.
//!
//! They are written as TiCDC writes them, with commit timestamps, to partitions at random, and some of them again
//! later: only versions that survive with their rows and tombstones tell what is newest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Value, json};

use super::changes::{Change, Changes};
use super::{Address, Feed, Sent};
use crate::binary::PATIENCE;

const TOPIC: &str = "notes-cdc";

/// The mock keeps 5 MiB a partition and drops the rest without a word.
const PARTITIONS: usize = 16;
const KEYS: usize = 3_000;

const CHANGES_PER_SECOND: usize = 1_000;
const CHANGES_TOGETHER: usize = 20;

/// So many of a hundred messages come once more, in any partition, after up to so many others.
const REPEATED_PERCENT: usize = 10;
const REPEATED_AFTER_MAX: usize = 5_000;

/// Brokers with an empty topic, as long as this lives.
pub fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS as i32, 1).unwrap();
    cluster
}

pub struct Kafka {
    brokers: String,
    seed: u64,
}

impl Kafka {
    pub fn new(brokers: String, seed: u64) -> Kafka {
        Kafka { brokers, seed }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// The last position of each partition, and how many messages there are.
    fn ends(&self) -> (Value, usize) {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let (mut positions, mut messages) = (json!({}), 0);
        for partition in 0..PARTITIONS {
            let (first, end) = consumer
                .fetch_watermarks(TOPIC, partition as i32, PATIENCE)
                .unwrap();
            assert_eq!(first, 0, "the mock has dropped messages of partition {partition}");
            if end > 0 {
                positions[format!("notes/{partition}")] = json!(end - 1);
            }
            messages += end as usize;
        }
        (positions, messages)
    }
}

impl Feed for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn table(&self) -> String {
        let brokers = &self.brokers;
        format!(
            "source = {{ kind = \"kafka\", brokers = \"{brokers}\", topic = \"{TOPIC}\", group = \"g\", start = \"earliest\" }}\n\
             format = \"canal-json\""
        )
    }

    fn run(&self, _node: &Address, stop: &AtomicBool) -> Sent {
        let producer: BaseProducer = self.client().create().unwrap();
        let send = |message: &str, partition: usize| {
            let record: BaseRecord<'_, (), str> =
                BaseRecord::to(TOPIC).partition(partition as i32).payload(message);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        };
        let mut random = crate::shared::Random::new(self.seed);
        let mut changes = Changes::new(self.seed, 0..KEYS);
        let mut recent = VecDeque::new();
        let (mut sent, mut repeated) = (0, 0);
        let began = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let due = sent as f64 / CHANGES_PER_SECOND as f64;
            thread::sleep(Duration::from_secs_f64(due).saturating_sub(began.elapsed()));
            for _ in 0..CHANGES_TOGETHER {
                let message = canal_json(&changes.next());
                send(&message, random.below(PARTITIONS));
                recent.push_back(message);
                if random.percent(REPEATED_PERCENT) {
                    send(&recent[random.below(recent.len())], random.below(PARTITIONS));
                    repeated += 1;
                }
            }
            let excess = recent.len().saturating_sub(REPEATED_AFTER_MAX);
            recent.drain(..excess);
            sent += CHANGES_TOGETHER;
            producer.poll(Duration::ZERO);
        }
        producer.flush(PATIENCE).unwrap();
        let (positions, messages) = self.ends();
        assert_eq!(messages, sent + repeated, "the mock has everything");
        Sent {
            truth: changes.truth,
            changes: sent,
            repeated,
            positions,
        }
    }
}

/// As TiCDC writes a change: all values as text.
fn canal_json(change: &Change) -> String {
    let kind = if change.note.is_some() { "UPDATE" } else { "DELETE" };
    let mut row = change.row();
    for value in row.as_object_mut().into_iter().flat_map(|row| row.values_mut()) {
        if value.is_u64() {
            *value = json!(value.to_string());
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    json!({
        "id": 0, "database": "shop", "table": "notes", "pkNames": ["id"], "isDdl": false, "type": kind,
        "es": now.as_millis() as u64, "ts": now.as_millis() as u64, "sql": "",
        "mysqlType": {"id": "int", "text": "text", "rank": "bigint", "state": "varchar"},
        "data": [row], "old": null, "_tidb": {"commitTs": change.version},
    })
    .to_string()
}
