//! A storm costs what its result costs.

use std::collections::{BTreeMap, BTreeSet};

use super::service::{Mood, Running, Service, note};
use crate::binary::eventually;
use crate::shared::Random;

#[test]
fn a_change_that_leaves_the_text_alone_embeds_nothing() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = Running::start(&service, data.path(), "price_per_million_tokens = 0.5");
    let prices = |price| {
        let lines: Vec<String> = (0..100)
            .map(|id| note(id, &format!("note {id:>3}"), price))
            .collect();
        lines.join("\n")
    };
    node.push(&prices(0));
    node.complete();
    for price in 1..=20 {
        node.push(&prices(price));
    }
    let stats = node.stats();
    assert_eq!((stats.texts_embedded, stats.texts_saved), (100, 2_000));
    assert_eq!(stats.texts_saved_unchanged, 2_000);
    assert_eq!(stats.vectors_pending, 0);
    // Eight bytes are two tokens; twenty times the texts are saved that were embedded.
    assert_eq!(stats.embedding_tokens, 200);
    let money = stats.embedding_money_saved.unwrap();
    assert!((money - 20.0 * 200.0 * 0.5 / 1e6).abs() < 1e-9, "{money}");
    assert!(
        (stats.embedding_seconds_saved / stats.embedding_seconds - 20.0).abs() < 1e-6,
        "{stats:?}"
    );
    node.settled();
    node.stop();
}

#[test]
fn a_storm_over_a_busy_service_embeds_what_was_in_its_hands_and_what_is_left() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = Running::start(&service, data.path(), "batch = 4\nparallel = 2");
    service.becomes(Mood::Hanging);
    for round in 0..50 {
        let lines: Vec<String> = (0..20)
            .map(|id| note(id, &format!("note {id} of round {round}"), 0))
            .collect();
        node.push(&lines.join("\n"));
    }
    eventually("both threads are busy", || (service.calls() == 2).then_some(()));
    service.becomes(Mood::Well);
    node.complete();
    let embedded = service.embedded();
    assert!(embedded.len() <= 20 + 8, "{embedded:?}");
    for id in 0..20 {
        assert!(node.shows(id, &format!("note {id} of round 49")), "note {id}");
    }
    let stats = node.stats();
    assert_eq!(stats.texts_needed, 1_000);
    node.settled();
    node.stop();
}

/// Whatever the service does, each document ends with the vector of its text, and no text is embedded twice.
#[test]
fn every_document_ends_with_its_vector_whatever_the_service_did_meanwhile() {
    for seed in Random::seeds(4) {
        for workers in [1, 2] {
            let random = &mut Random::new(seed);
            let data = tempfile::tempdir().unwrap();
            let service = Service::new(Mood::Well);
            let node = Running::start_on(&service, data.path(), "batch = 3\nparallel = 2", workers);
            let mut texts: BTreeMap<usize, String> = BTreeMap::new();
            let mut used = BTreeSet::new();
            for _ in 0..60 {
                service.becomes([Mood::Well, Mood::Hanging, Mood::Down][random.below(3)]);
                let mut lines = Vec::new();
                for _ in 0..=random.below(6) {
                    let id = random.below(10);
                    if random.percent(20) {
                        texts.remove(&id);
                        lines.push(format!(r#"{{"id":{id},"_op":"delete"}}"#));
                    } else {
                        let text = format!("text {}", random.below(15));
                        lines.push(note(id, &text, random.below(3)));
                        used.insert(text.clone());
                        texts.insert(id, text);
                    }
                }
                node.push(&lines.join("\n"));
            }
            service.becomes(Mood::Well);
            node.complete();
            let context = format!("seed {seed}, {workers} workers");
            for (id, text) in &texts {
                assert!(node.shows(*id, text), "{context}: note {id} is {text:?}");
            }
            assert_eq!(node.stats().vectors, texts.len(), "{context}");
            let mut embedded = service.embedded();
            let count = embedded.len();
            embedded.sort();
            embedded.dedup();
            assert_eq!(embedded.len(), count, "{context}: a text was embedded twice");
            assert!(embedded.iter().all(|text| used.contains(text)), "{context}");
            node.settled();
            node.stop();
        }
    }
}
