//! Dead letters that are produced to a topic: what arrives, and what does not is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond::definition::DeadLetterTopic;
use millpond::source::kafka::DeadLetterProducer;
use rdkafka::consumer::Consumer;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Cluster, cluster, consumer};
use crate::sources::eventually;

fn topic(brokers: &str, options: &[(&str, &str)]) -> DeadLetterTopic {
    DeadLetterTopic {
        brokers: brokers.to_owned(),
        topic: "dead".into(),
        options: options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// A producer, and how many letters it could not produce.
fn open(settings: &DeadLetterTopic) -> (DeadLetterProducer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let count_one = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    (DeadLetterProducer::open(settings, count_one).unwrap(), count)
}

/// The next messages of the topic, from its beginning.
fn arrived(cluster: &Cluster, count: usize) -> Vec<OwnedMessage> {
    let consumer = consumer(cluster);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("dead", 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let found = std::cell::RefCell::new(Vec::new());
    eventually("the letters arrive", || {
        if let Some(Ok(message)) = consumer.poll(std::time::Duration::from_millis(10)) {
            found.borrow_mut().push(message.detach());
        }
        found.borrow().len() == count
    });
    found.into_inner()
}

#[test]
fn a_letter_arrives_as_it_was_sent() {
    let cluster = cluster(&[("dead", 1)]);
    let (producer, failed) = open(&topic(&cluster.bootstrap_servers(), &[]));
    producer.send(
        Some(b"k\xff"),
        b"not json",
        &[("reason", b"because"), ("table", b"t")],
    );
    producer.send(None, b"", &[]);
    let found = arrived(&cluster, 2);
    assert_eq!(
        (found[0].key(), found[0].payload()),
        (Some(&b"k\xff"[..]), Some(&b"not json"[..]))
    );
    let headers: Vec<_> = found[0]
        .headers()
        .unwrap()
        .iter()
        .map(|h| (h.key, h.value))
        .collect();
    assert_eq!(
        headers,
        [("reason", Some(&b"because"[..])), ("table", Some(&b"t"[..]))]
    );
    assert_eq!((found[1].key(), found[1].payload()), (None, Some(&b""[..])));
    producer.close();
    assert_eq!(failed.load(Ordering::SeqCst), 0);
}

#[test]
fn letters_without_a_broker_are_refused_at_a_bound_and_then_given_up_and_all_are_counted() {
    // Port 1 is nobody's.
    let settings = topic(
        "127.0.0.1:1",
        &[
            ("queue.buffering.max.messages", "3"),
            ("message.timeout.ms", "500"),
        ],
    );
    let (producer, failed) = open(&settings);
    for _ in 0..8 {
        producer.send(None, b"letter", &[]);
    }
    assert!(failed.load(Ordering::SeqCst) >= 5, "the queue holds three");
    eventually("the three are given up", || failed.load(Ordering::SeqCst) == 8);

    // What waits at the end is counted as well, and the end does not wait for it.
    let (producer, failed) = open(&topic("127.0.0.1:1", &[]));
    producer.send(None, b"letter", &[]);
    producer.close();
    assert_eq!(failed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_letter_that_the_topic_cannot_take_is_counted_and_the_next_is_produced() {
    let cluster = cluster(&[("dead", 1)]);
    let (producer, failed) = open(&topic(&cluster.bootstrap_servers(), &[]));
    producer.send(None, &vec![0; 2_000_000], &[]);
    assert_eq!(failed.load(Ordering::SeqCst), 1);
    producer.send(None, b"small", &[]);
    assert_eq!(arrived(&cluster, 1)[0].payload(), Some(&b"small"[..]));
    producer.close();
    assert_eq!(failed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_broker_that_is_away_for_a_while_gets_the_letters_when_it_is_back() {
    let cluster = cluster(&[("dead", 1)]);
    let (producer, failed) = open(&topic(&cluster.bootstrap_servers(), &[]));
    producer.send(None, b"before", &[]);
    arrived(&cluster, 1);
    cluster.broker_down(-1).unwrap();
    producer.send(None, b"meanwhile", &[]);
    cluster.broker_up(-1).unwrap();
    assert_eq!(arrived(&cluster, 2)[1].payload(), Some(&b"meanwhile"[..]));
    producer.close();
    assert_eq!(failed.load(Ordering::SeqCst), 0);
}

#[test]
fn a_setting_that_librdkafka_refuses_is_named_and_secrets_are_not() {
    let options = [("security.protocol", "ssl"), ("ssl.key.pem", "hunter2")];
    let settings = topic("127.0.0.1:1", &options);
    let error = DeadLetterProducer::open(&settings, || {})
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("ssl.key.pem") && !error.contains("hunter2"),
        "{error}"
    );
    assert!(!format!("{settings:?}").contains("hunter2"));
}
