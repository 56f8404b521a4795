//! Messages that Kafka removes before they are read: told exactly, and followed by what the user chose.
//!
//! The mock broker keeps 5 MiB of a partition and removes what is older, one message at a time.

use std::collections::BTreeMap;

use millpond::definition::{KafkaSettings, OnGap};
use millpond::source::Lost;
use rdkafka::consumer::Consumer;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rustix::process::Signal;
use serde_json::json;

use super::{Cluster, Source, TIMEOUT, cluster, consumer, numbers, produce, producer, settings, start};
use crate::binary::{Served, sample, with_source};
use crate::sources::{Recorder, eventually};

/// Writes so much that the broker removes what was there before. Returns the offsets that it still has.
fn overflow(cluster: &Cluster, topic: &str) -> std::ops::Range<u64> {
    let producer = producer(cluster);
    let large = "x".repeat(900_000);
    for _ in 0..8 {
        let record = BaseRecord::<str, str>::to(topic).partition(0).payload(&large);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        // Each in a batch of its own: batches are what the broker removes.
        producer.flush(TIMEOUT).unwrap();
    }
    let (first, end) = consumer(cluster).fetch_watermarks(topic, 0, TIMEOUT).unwrap();
    first as u64..end as u64
}

fn with(cluster: &Cluster, on_gap: OnGap) -> KafkaSettings {
    KafkaSettings {
        on_gap,
        ..settings(cluster, &["a"])
    }
}

fn offsets(recorder: &Recorder, partition: &str) -> Vec<u64> {
    let messages = recorder.messages(partition);
    messages.iter().map(|message| message.offset).collect()
}

/// While it lasts, no message can be fetched.
fn hold_back(cluster: &Cluster) {
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 1_000];
    cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
}

fn lost(source: &Source) -> BTreeMap<String, Lost> {
    source.status.state().lost
}

#[test]
fn a_gap_at_the_start_stops_its_partition_and_no_other() {
    let cluster = cluster(&[("a", 2)]);
    produce(&cluster, "a", 0, 0..10);
    produce(&cluster, "a", 1, 0..10);
    let kept = overflow(&cluster, "a");
    assert!(kept.start > 5, "{kept:?}");
    let positions = BTreeMap::from([("0".into(), 4), ("1".into(), 4)]);
    let recorder = Recorder::resumed(&positions);
    let source = start(with(&cluster, OnGap::Stop), &recorder).unwrap();
    let last = kept.start - 1;
    eventually("the gap is told", || source.trouble().is_some());
    let trouble = source.trouble().unwrap();
    for part in [
        "partition 0 has stopped",
        &format!("messages 5 to {last} "),
        "`on_gap = \"continue\"`",
    ] {
        assert!(trouble.contains(part), "`{part}` is not in: {trouble}");
    }
    assert_eq!(lost(&source), [("0".into(), Lost { first: 5, last })].into());
    assert_eq!(source.status.state().lost_messages, last - 4);

    let waiting = kept.end - 5;
    produce(&cluster, "a", 0, 100..101);
    produce(&cluster, "a", 1, 10..20);
    eventually("the other partition goes on", || recorder.count() == 15);
    assert_eq!(recorder.values("1"), numbers(5..20));
    eventually("the broker is asked again", || {
        source.status.state().lag.get("0") == Some(&(waiting + 1))
    });
    assert_eq!(source.trouble(), Some(trouble), "it does not go away by itself");
    source.end();
    assert_eq!(offsets(&recorder, "0"), [0; 0]);

    // The same positions after the user has decided otherwise.
    let recorder = Recorder::resumed(&positions);
    let source = start(with(&cluster, OnGap::Continue), &recorder).unwrap();
    let expected: Vec<u64> = (kept.start..kept.end + 1).collect();
    eventually("what is still there", || {
        offsets(&recorder, "0").len() >= expected.len()
    });
    assert_eq!(offsets(&recorder, "0"), expected);
    assert_eq!(lost(&source), [("0".into(), Lost { first: 5, last })].into());
    eventually("it is no trouble", || source.trouble().is_none());
    source.end();
}

#[test]
fn a_gap_while_running_is_told_and_reading_goes_on_or_stops() {
    for on_gap in [OnGap::Continue, OnGap::Stop] {
        let cluster = cluster(&[("a", 1)]);
        produce(&cluster, "a", 0, 0..100);
        let recorder = Recorder::default();
        let source = start(with(&cluster, on_gap), &recorder).unwrap();
        eventually("the first part", || recorder.count() == 100);
        hold_back(&cluster);
        let kept = overflow(&cluster, "a");
        cluster.clear_request_errors(RDKafkaApiKey::Fetch);
        eventually("the gap is told", || !lost(&source).is_empty());
        let Lost { first, last } = lost(&source)["0"];
        // A fetch that was on its way when they were held back may have brought some.
        assert!((100..kept.start).contains(&first), "{first} before {kept:?}");
        assert_eq!(last, kept.start - 1, "{on_gap:?}");
        assert_eq!(source.status.state().lost_messages, last - first + 1);
        let mut expected: Vec<u64> = (0..first).collect();
        match on_gap {
            OnGap::Continue => {
                produce(&cluster, "a", 0, 0..5);
                expected.extend(last + 1..kept.end + 5);
                eventually("the rest", || recorder.count() >= expected.len());
                eventually("nothing waits", || source.status.state().lag["0"] == 0);
                assert_eq!(source.trouble(), None);
            }
            OnGap::Stop => {
                eventually("it is a trouble", || {
                    source.trouble().is_some_and(|text| text.contains("has stopped"))
                });
            }
        }
        source.end();
        assert_eq!(offsets(&recorder, "0"), expected, "{on_gap:?}");
    }
}

#[test]
fn each_of_several_gaps_is_counted() {
    let cluster = cluster(&[("a", 1)]);
    let recorder = Recorder::default();
    let source = start(with(&cluster, OnGap::Continue), &recorder).unwrap();
    let (mut expected, mut total) = (0, 0);
    for round in 0..3 {
        produce(&cluster, "a", 0, 0..10);
        expected += 10;
        eventually("the small ones", || recorder.count() >= expected);
        let before = lost(&source);
        hold_back(&cluster);
        let kept = overflow(&cluster, "a");
        cluster.clear_request_errors(RDKafkaApiKey::Fetch);
        eventually("another gap is told", || lost(&source) != before);
        total += lost(&source)["0"].count();
        eventually("all that there is", || {
            recorder.positions().get("0") == Some(&(kept.end - 1))
        });
        expected = recorder.count();
        assert_eq!(source.status.state().lost_messages, total, "round {round}");
        assert_eq!(expected as u64 + total, kept.end, "each is read or lost");
    }
    source.end();
}

#[test]
fn from_the_earliest_on_nothing_is_lost_before_the_first_message() {
    let cluster = cluster(&[("a", 1)]);
    produce(&cluster, "a", 0, 0..10);
    hold_back(&cluster);
    let recorder = Recorder::default();
    let source = start(with(&cluster, OnGap::Stop), &recorder).unwrap();
    eventually("the start is settled", || {
        source.status.state().lag.contains_key("0")
    });
    let kept = overflow(&cluster, "a");
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    eventually("what is there", || {
        recorder.count() as u64 >= kept.end - kept.start
    });
    assert_eq!(offsets(&recorder, "0"), kept.collect::<Vec<_>>());
    assert_eq!((lost(&source), source.trouble()), (BTreeMap::new(), None));
    source.end();
}

#[test]
fn a_node_shows_what_is_lost_and_serves_on() {
    let cluster = cluster(&[("tidb-products-cdc", 1)]);
    let kept = overflow(&cluster, "tidb-products-cdc");
    let folder = tempfile::tempdir().unwrap();
    let source = format!(
        "source = {{ kind = \"kafka\", brokers = \"{}\", topic = \"tidb-products-cdc\", start = 0 }}",
        cluster.bootstrap_servers()
    );
    let node = Served::start(&with_source("tidb-products", &source, folder.path()));
    let ready = node.until("/readyz", "the gap is told", |(_, body)| {
        body["sources"][0]["trouble"]
            .as_str()
            .is_some_and(|text| text.contains("has stopped"))
    });
    let last = kept.start - 1;
    let source = &ready["sources"][0];
    assert_eq!(
        source["lost"],
        json!({"0": {"first": 0, "last": last}}),
        "{ready}"
    );
    assert_eq!(source["lost_messages"], kept.start, "{ready}");
    let metrics = node.get_text("/metrics").1;
    assert_eq!(
        sample(&metrics, "millpond_source_lost_messages_total"),
        kept.start as f64
    );
    assert_eq!(sample(&metrics, "millpond_source_up"), 0.0);
    assert_eq!(sample(&metrics, "millpond_messages_total"), 0.0);
    assert_eq!(node.get("/v1/indexes/tidb-products/stats").0, 200);
    let log = node.log();
    let line = log
        .lines()
        .find(|line| line.contains("messages are lost"))
        .unwrap();
    for field in ["ERROR", "partition=\"0\"", "first=0", &format!("last={last}")] {
        assert!(line.contains(field), "`{field}` is not in: {line}");
    }
    let (code, log) = node.stop(Signal::TERM);
    assert_eq!(code, 0, "{log}");
}
