//! Kafka, through librdkafka's mock brokers: every message once, in order, whatever happens to the broker.
//!
//! The mock cannot add partitions to a topic. A partition without leader stands for one that is added: both are
//! assigned later than the others, by the same call.

mod dead_letters;
mod gaps;
mod once;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond::definition::{KafkaSettings, KafkaStart, OnGap, SourceSettings};
use millpond::source::{self, Running, SourceError, Status, Stop};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::sources::{Recorder, eventually, table};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const TIMEOUT: Duration = Duration::from_secs(20);

fn cluster(topics: &[(&str, i32)]) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).unwrap();
    }
    cluster
}

fn settings(cluster: &Cluster, topics: &[&str]) -> KafkaSettings {
    KafkaSettings {
        brokers: cluster.bootstrap_servers(),
        topics: topics.iter().map(|topic| topic.to_string()).collect(),
        group: "group".into(),
        start: KafkaStart::Earliest,
        on_gap: OnGap::Stop,
        options: BTreeMap::from([("topic.metadata.refresh.interval.ms".into(), "200".into())]),
    }
}

/// Writes the values `first..end` into one partition.
fn produce(cluster: &Cluster, topic: &str, partition: i32, numbers: std::ops::Range<u64>) {
    let producer = producer(cluster);
    for number in numbers {
        let (key, value) = (format!("k{number}"), number.to_string());
        let record = BaseRecord::to(topic)
            .partition(partition)
            .key(&key)
            .payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

fn producer(cluster: &Cluster) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .unwrap()
}

fn consumer(cluster: &Cluster) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "group")
        .create()
        .unwrap()
}

/// What the group has committed of partition 0 of a topic, as another client sees it.
fn committed(cluster: &Cluster, topic: &str) -> Offset {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let list = consumer(cluster).committed_offsets(list, TIMEOUT).unwrap();
    list.elements()[0].offset()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

struct Source {
    running: Running,
    status: Status,
    stop: Stop,
}

fn start(settings: KafkaSettings, recorder: &Recorder) -> Result<Source, SourceError> {
    let (status, stop) = (Status::default(), Stop::new());
    let table = table(SourceSettings::Kafka(settings));
    let running = source::start(&table, Arc::new(recorder.clone()), status.clone(), stop.clone())?;
    Ok(Source {
        running,
        status,
        stop,
    })
}

fn refused(settings: KafkaSettings) -> String {
    start(settings, &Recorder::default())
        .err()
        .expect("this cannot start")
        .to_string()
}

impl Source {
    fn end(self) {
        self.stop.stop();
        self.running.join();
    }

    fn trouble(&self) -> Option<String> {
        self.status.state().trouble
    }
}

#[test]
fn all_partitions_of_all_topics_are_read_in_order() {
    let cluster = cluster(&[("a", 3), ("b", 1)]);
    for partition in 0..3 {
        produce(&cluster, "a", partition, 0..3_000);
    }
    produce(&cluster, "b", 0, 0..10);
    let recorder = Recorder::default();
    let source = start(settings(&cluster, &["a", "b"]), &recorder).unwrap();
    eventually("what was there", || recorder.count() == 9_010);
    produce(&cluster, "a", 1, 3_000..3_100);
    eventually("what came later", || recorder.count() == 9_110);
    for (name, end) in [("a:0", 3_000), ("a:1", 3_100), ("a:2", 3_000), ("b:0", 10)] {
        assert_eq!(recorder.values(name), numbers(0..end), "{name}");
        let offsets: Vec<u64> = recorder
            .messages(name)
            .iter()
            .map(|message| message.offset)
            .collect();
        assert_eq!(offsets, (0..end).collect::<Vec<_>>(), "{name}");
    }
    assert!(
        recorder
            .lock()
            .calls
            .iter()
            .all(|messages| (1..=1_024).contains(messages))
    );
    eventually("nothing waits", || {
        let lag = source.status.state().lag;
        lag.len() == 4 && lag.values().all(|messages| *messages == 0)
    });
    assert_eq!(source.trouble(), None);
    source.end();
}

#[test]
fn a_message_comes_with_its_key_headers_and_time_and_a_tombstone_without_value() {
    let cluster = cluster(&[("a", 1)]);
    let producer = producer(&cluster);
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "one",
            value: Some(&b"1"[..]),
        })
        .insert(Header {
            key: "none",
            value: None::<&[u8]>,
        });
    let record = BaseRecord::to("a")
        .partition(0)
        .key("k")
        .payload("v")
        .headers(headers)
        .timestamp(1_700_000_000_123);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer
        .send(BaseRecord::<str, str>::to("a").partition(0).key("k"))
        .map_err(|(error, _)| error)
        .unwrap();
    producer
        .send(BaseRecord::<str, str>::to("a").partition(0).payload(""))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(TIMEOUT).unwrap();

    let recorder = Recorder::default();
    let source = start(settings(&cluster, &["a"]), &recorder).unwrap();
    eventually("all three", || recorder.count() == 3);
    let found = recorder.messages("0");
    assert_eq!(found[0].topic, "a");
    assert_eq!(
        (found[0].key.as_deref(), found[0].value.as_deref()),
        (Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert_eq!(
        found[0].headers,
        [("one".to_owned(), b"1".to_vec()), ("none".to_owned(), vec![])]
    );
    assert_eq!(found[0].timestamp_ms, Some(1_700_000_000_123));
    assert_eq!(
        (found[1].key.as_deref(), found[1].value.as_deref()),
        (Some(&b"k"[..]), None)
    );
    assert_eq!(
        (found[2].key.as_deref(), found[2].value.as_deref()),
        (None, Some(&b""[..]))
    );
    source.end();
}

#[test]
fn a_restart_goes_on_after_the_positions_taken_nothing_twice_and_nothing_lost() {
    let cluster = cluster(&[("a", 2)]);
    produce(&cluster, "a", 0, 0..500);
    produce(&cluster, "a", 1, 0..50);
    let first = Recorder::default();
    let source = start(settings(&cluster, &["a"]), &first).unwrap();
    eventually("the first part", || first.count() == 550);
    source.end();
    produce(&cluster, "a", 0, 500..700);

    let second = Recorder::resumed(&first.positions());
    let source = start(settings(&cluster, &["a"]), &second).unwrap();
    eventually("the second part", || second.count() >= 200);
    produce(&cluster, "a", 1, 50..60);
    eventually("the rest", || second.count() >= 210);
    source.end();
    assert_eq!(second.values("0"), numbers(500..700));
    assert_eq!(second.values("1"), numbers(50..60));
}

#[test]
fn reading_starts_where_the_settings_say() {
    let cluster = cluster(&[("a", 2)]);
    for partition in 0..2 {
        produce(&cluster, "a", partition, 0..20);
    }
    let check = |start_at: KafkaStart, first: [u64; 2]| {
        let recorder = Recorder::default();
        let source = start(
            KafkaSettings {
                start: start_at.clone(),
                ..settings(&cluster, &["a"])
            },
            &recorder,
        )
        .unwrap();
        // The lag is known as soon as a partition is read: then the start has been settled.
        eventually("both partitions are read", || {
            source.status.state().lag.len() == 2
        });
        (recorder, source, first, start_at)
    };
    let all = [
        check(KafkaStart::Earliest, [0, 0]),
        check(KafkaStart::Latest, [20, 20]),
        check(KafkaStart::Offset(15), [15, 15]),
        check(KafkaStart::Offsets(BTreeMap::from([(1, 18)])), [0, 18]),
    ];
    for partition in 0..2 {
        produce(&cluster, "a", partition, 20..22);
    }
    for (recorder, source, first, start_at) in all {
        let expected: u64 = first.iter().map(|first| 22 - first).sum();
        eventually("all after the start", || recorder.count() as u64 >= expected);
        source.end();
        for (name, first) in ["0", "1"].into_iter().zip(first) {
            assert_eq!(
                recorder.values(name),
                numbers(first..22),
                "{start_at:?}, partition {name}"
            );
        }
    }
}

#[test]
fn a_position_taken_comes_before_every_start_and_every_commit() {
    let cluster = cluster(&[("a", 1)]);
    produce(&cluster, "a", 0, 0..20);
    for start_at in [
        KafkaStart::Earliest,
        KafkaStart::Latest,
        KafkaStart::Offset(15),
        KafkaStart::Offsets(BTreeMap::from([(0, 5)])),
    ] {
        let recorder = Recorder::resumed(&BTreeMap::from([("0".into(), 9)]));
        let settings = KafkaSettings {
            start: start_at.clone(),
            ..settings(&cluster, &["a"])
        };
        let source = start(settings, &recorder).unwrap();
        // The group's offset would begin two messages later in the next round.
        source.running.commit(&BTreeMap::from([("0".into(), 11)]));
        eventually("the rest", || recorder.count() >= 10);
        eventually("it is committed", || {
            committed(&cluster, "a") == Offset::Offset(12)
        });
        source.end();
        assert_eq!(recorder.values("0"), numbers(10..20), "{start_at:?}");
    }
}

#[test]
fn two_nodes_of_one_group_read_everything_and_neither_disturbs_the_other() {
    let cluster = cluster(&[("a", 3)]);
    let (first, second) = (Recorder::default(), Recorder::default());
    let one = start(settings(&cluster, &["a"]), &first).unwrap();
    for partition in 0..3 {
        produce(&cluster, "a", partition, 0..500);
    }
    eventually("the first node has all", || first.count() == 1_500);
    one.running.commit(&first.positions());
    eventually("it is committed", || {
        committed(&cluster, "a") == Offset::Offset(500)
    });

    // The second begins at its own positions, not where the group has committed.
    let two = start(settings(&cluster, &["a"]), &second).unwrap();
    for step in 50..60 {
        for partition in 0..3 {
            produce(&cluster, "a", partition, step * 10..step * 10 + 10);
        }
        one.running.commit(&first.positions());
        two.running.commit(&second.positions());
    }
    eventually("the first node has the rest", || first.count() >= 1_800);
    eventually("the second node has all", || second.count() >= 1_800);
    one.end();
    produce(&cluster, "a", 0, 600..610);
    eventually("the second goes on alone", || second.count() >= 1_810);
    two.running.commit(&second.positions());
    eventually("it is committed", || {
        committed(&cluster, "a") == Offset::Offset(610)
    });
    assert_eq!(two.trouble(), None);
    two.end();
    for (recorder, end) in [(&first, 600), (&second, 610)] {
        assert_eq!(recorder.values("0"), numbers(0..end));
        assert_eq!(recorder.values("1"), numbers(0..600));
        assert_eq!(recorder.values("2"), numbers(0..600));
    }
}

#[test]
fn a_partition_that_can_be_read_later_is_added_without_disturbing_the_others() {
    let cluster = cluster(&[("a", 2), ("b", 1)]);
    produce(&cluster, "a", 0, 0..100);
    produce(&cluster, "a", 1, 0..100);
    cluster.partition_leader("a", 1, None).unwrap();
    let recorder = Recorder::default();
    let source = start(settings(&cluster, &["a", "b"]), &recorder).unwrap();
    eventually("the readable partition", || recorder.count() == 100);
    eventually("the other is named", || {
        source
            .trouble()
            .is_some_and(|text| text.contains("partition 1 of topic `a` has no leader"))
    });
    cluster.partition_leader("a", 1, Some(1)).unwrap();
    for step in 0..20 {
        produce(&cluster, "a", 0, 100 + step * 10..110 + step * 10);
    }
    eventually("both partitions", || recorder.count() == 400);
    assert_eq!(recorder.values("a:0"), numbers(0..300));
    assert_eq!(recorder.values("a:1"), numbers(0..100));
    eventually("the trouble is over", || source.trouble().is_none());
    source.end();
}

#[test]
fn a_broker_that_goes_away_is_told_and_what_it_holds_is_read_when_it_is_back() {
    let cluster = cluster(&[("a", 2)]);
    produce(&cluster, "a", 0, 0..100);
    let recorder = Recorder::default();
    let source = start(settings(&cluster, &["a"]), &recorder).unwrap();
    eventually("the first part", || recorder.count() == 100);
    cluster.broker_down(-1).unwrap();
    eventually("the trouble is told", || source.trouble().is_some());
    let trouble = source.trouble().unwrap();
    assert!(trouble.contains(&cluster.bootstrap_servers()), "{trouble}");
    assert!(trouble.starts_with("no broker of Kafka at "), "{trouble}");
    cluster.broker_up(-1).unwrap();
    produce(&cluster, "a", 0, 100..200);
    produce(&cluster, "a", 1, 0..10);
    eventually("the rest", || recorder.count() >= 210);
    eventually("the trouble is over", || source.trouble().is_none());
    assert_eq!(recorder.values("0"), numbers(0..200));
    assert_eq!(recorder.values("1"), numbers(0..10));
    source.end();
}

#[test]
fn a_source_ends_while_its_broker_is_away_and_its_node_is_behind() {
    let cluster = cluster(&[("a", 1)]);
    produce(&cluster, "a", 0, 0..5_000);
    let recorder = Recorder::default();
    recorder.block(true);
    let source = start(settings(&cluster, &["a"]), &recorder).unwrap();
    eventually("the receiver is blocked", || recorder.count() > 0);
    cluster.broker_down(-1).unwrap();
    eventually("the trouble is told", || source.trouble().is_some());
    source.running.commit(&BTreeMap::from([("0".into(), 0)]));
    let started = Instant::now();
    source.stop.stop();
    recorder.block(false);
    source.running.join();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(recorder.lock().calls.len(), 1, "a stopped source gives no more");
}

#[test]
fn failing_requests_lose_and_repeat_nothing() {
    use RDKafkaRespErr::*;
    let cluster = cluster(&[("a", 1)]);
    produce(&cluster, "a", 0, 0..100);
    let errors = [
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    let recorder = Recorder::default();
    let source = start(settings(&cluster, &["a"]), &recorder).unwrap();
    eventually("the first part", || recorder.count() == 100);
    for (round, error) in (1..).zip(errors) {
        for key in [
            RDKafkaApiKey::Fetch,
            RDKafkaApiKey::ListOffsets,
            RDKafkaApiKey::Metadata,
        ] {
            cluster.request_errors(key, &[error; 3]);
        }
        produce(&cluster, "a", 0, round * 100..(round + 1) * 100);
        eventually("what came meanwhile", || {
            recorder.count() as u64 >= (round + 1) * 100
        });
    }
    assert_eq!(recorder.values("0"), numbers(0..500));
    eventually("the trouble is over", || source.trouble().is_none());
    source.end();
}

#[test]
fn committed_offsets_are_seen_by_others() {
    let cluster = cluster(&[("a", 1), ("b", 1)]);
    produce(&cluster, "a", 0, 0..100);
    produce(&cluster, "b", 0, 0..7);
    let recorder = Recorder::default();
    let source = start(settings(&cluster, &["a", "b"]), &recorder).unwrap();
    eventually("all messages", || recorder.count() == 107);
    let mut positions = recorder.positions();
    positions.insert("foreign:0".into(), 3);
    positions.insert("nonsense".into(), 3);
    source.running.commit(&positions);
    eventually("both are committed", || {
        committed(&cluster, "a") == Offset::Offset(100) && committed(&cluster, "b") == Offset::Offset(7)
    });
    source.end();
}

#[test]
fn a_node_that_is_behind_reads_no_more_and_then_gets_everything() {
    let cluster = cluster(&[("a", 2)]);
    for partition in 0..2 {
        produce(&cluster, "a", partition, 0..20_000);
    }
    let recorder = Recorder::default();
    recorder.block(true);
    let source = start(settings(&cluster, &["a"]), &recorder).unwrap();
    eventually("both receivers are blocked", || recorder.lock().calls.len() == 2);
    eventually("all of it waits", || {
        let lag = source.status.state().lag;
        lag.len() == 2 && lag.values().all(|messages| *messages == 20_000)
    });
    // Several more looks at the broker find the same.
    produce(&cluster, "a", 0, 20_000..20_001);
    eventually("one more waits", || source.status.state().lag["0"] == 20_001);
    assert_eq!(
        recorder.lock().calls.len(),
        2,
        "a blocked receiver is not called again"
    );
    recorder.block(false);
    eventually("everything", || recorder.count() == 40_001);
    assert_eq!(recorder.values("0"), numbers(0..20_001));
    assert_eq!(recorder.values("1"), numbers(0..20_000));
    source.end();
}

#[test]
fn positions_that_the_broker_does_not_have_are_told() {
    let cluster = cluster(&[("a", 1)]);
    produce(&cluster, "a", 0, 0..10);
    let recorder = Recorder::resumed(&BTreeMap::from([("0".into(), 99)]));
    let source = start(settings(&cluster, &["a"]), &recorder).unwrap();
    eventually("the gap is told", || {
        source
            .trouble()
            .is_some_and(|text| text.contains("was the topic made anew?"))
    });
    produce(&cluster, "a", 0, 10..105);
    eventually("what is new", || recorder.count() == 5);
    assert_eq!(recorder.values("0"), numbers(100..105));
    source.end();
}

#[test]
fn a_topic_that_does_not_exist_is_an_error_that_names_those_there_are() {
    let cluster = cluster(&[("products-cdc", 1), ("orders", 1)]);
    let error = refused(settings(&cluster, &["orders", "product-cdc"]));
    assert!(error.contains("topic `product-cdc` does not exist"), "{error}");
    assert!(
        error.contains("did you mean `products-cdc`?") && error.contains("orders, products-cdc"),
        "{error}"
    );
}

#[test]
fn a_broker_that_cannot_be_reached_is_an_error_that_says_where_and_why() {
    let cluster = cluster(&[]);
    // Port 1 is nobody's.
    let error = refused(KafkaSettings {
        brokers: "127.0.0.1:1".into(),
        ..settings(&cluster, &["a"])
    });
    assert!(
        error.starts_with("cannot reach Kafka at 127.0.0.1:1 (tried for 10 s): "),
        "{error}"
    );
    assert!(
        error.contains("refused") && error.contains("check `brokers`"),
        "{error}"
    );
}

#[test]
fn a_setting_that_librdkafka_refuses_is_named_and_secrets_are_not() {
    let cluster = cluster(&[("a", 1)]);
    let with = |options: &[(&str, &str)]| {
        let options = options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        refused(KafkaSettings {
            options,
            ..settings(&cluster, &["a"])
        })
    };
    let unknown = with(&[("fetch.wait.max", "1")]);
    assert!(unknown.contains("fetch.wait.max"), "{unknown}");
    let invalid = with(&[("security.protocol", "tls")]);
    assert!(
        invalid.contains("security.protocol") && invalid.contains("tls"),
        "{invalid}"
    );
    let secret = with(&[("security.protocol", "ssl"), ("ssl.key.pem", "hunter2")]);
    assert!(
        secret.contains("ssl.key.pem") && !secret.contains("hunter2"),
        "{secret}"
    );
}
