//! What is shown until a vector is there: rows and vectors apart, or a row only whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millpond::query::{Hit, Mode, SearchAnswer, SearchRequest, VectorState, VectorsWanted};

use super::service::{Mood, Running, Service, note};
use crate::shared::Random;

const TOGETHER: &str = "freshness = \"together\"";

fn together(service: &Arc<Service>, data: &Path) -> Running {
    Running::start_as(service, data, TOGETHER, "batch = 2", 1)
}

/// Both legs: words, and the vector of a text.
fn search(node: &Running, words: &str, text: &str) -> SearchAnswer {
    node.search(&SearchRequest {
        query: Some(words.into()),
        vector: Some(node.service.vector(text)),
        ..SearchRequest::default()
    })
}

fn hit(answer: &SearchAnswer, id: usize) -> &Hit {
    let hit = answer.hits.iter().find(|hit| *hit.key == *id.to_string());
    hit.unwrap_or_else(|| panic!("note {id} is not in {answer:?}"))
}

#[test]
fn hits_say_how_they_stand_with_their_vectors_and_stay_in_their_legs_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = Running::start(&service, data.path(), "");
    node.put(1, "lamp of old");
    node.put(2, "lamp for good");
    node.complete();
    let answer = search(&node, "lamp", "lamp of old");
    assert_eq!(hit(&answer, 1).vector_state, Some(VectorState::Current));

    service.becomes(Mood::Down);
    node.put(1, "lamp of new");
    node.put(3, "lamp without");
    let answer = search(&node, "new", "lamp of old");
    let stale = hit(&answer, 1);
    assert_eq!(stale.vector_state, Some(VectorState::Stale));
    assert!(stale.keyword.is_some(), "the row is there at once");
    assert!(
        stale.vector.unwrap().score > 0.999,
        "with the vector of the row before"
    );
    let pending = search(&node, "without", "lamp of old");
    let pending = hit(&pending, 3);
    assert_eq!(pending.vector_state, Some(VectorState::Pending));
    assert!(pending.keyword.is_some() && pending.vector.is_none());
    let stats = node.stats();
    assert_eq!(
        (stats.vectors_pending, stats.vectors_stale, stats.vectors_missing),
        (2, 1, 1)
    );
    assert_eq!((stats.rows_held, stats.vectors_failed), (0, 0));
    assert_eq!(answer.as_of.held_back, None);

    // Whoever wants no stale vectors gets the others, with a filter too.
    for filter in [None, Some("price >= 0".to_owned()), Some("price > 0".to_owned())] {
        let found = |vectors| {
            let answer = node.search(&SearchRequest {
                vector: Some(service.vector("lamp of old")),
                mode: Mode::Vector,
                filter: filter.clone().map(Into::into),
                vectors,
                ..SearchRequest::default()
            });
            let mut keys: Vec<String> = answer.hits.iter().map(|hit| hit.key.to_string()).collect();
            keys.sort();
            keys
        };
        let is_through = filter.as_deref() != Some("price > 0");
        let expected = |keys: &[&str]| {
            if is_through {
                keys.iter().map(|key| key.to_string()).collect()
            } else {
                Vec::new()
            }
        };
        assert_eq!(found(VectorsWanted::Any), expected(&["1", "2"]), "{filter:?}");
        assert_eq!(found(VectorsWanted::Current), expected(&["2"]), "{filter:?}");
    }

    node.put(2, "refused");
    service.becomes(Mood::Well);
    node.complete();
    let answer = search(&node, "lamp refused", "lamp of new");
    assert_eq!(hit(&answer, 1).vector_state, Some(VectorState::Current));
    assert!(hit(&answer, 1).vector.unwrap().score > 0.999);
    assert_eq!(hit(&answer, 2).vector_state, Some(VectorState::Failed));
    assert!(hit(&answer, 2).vector.is_none());
    let stats = node.stats();
    assert_eq!(
        (stats.vectors_stale, stats.vectors_missing, stats.vectors_failed),
        (0, 0, 1)
    );
    node.put(2, "digestible");
    node.complete();
    assert_eq!(node.stats().vectors_failed, 0);
    node.stop();
}

#[test]
fn a_row_that_waits_for_its_vector_is_shown_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = together(&service, data.path());
    for id in 1..=3 {
        node.put(id, &format!("former {id}"));
    }
    node.complete();
    service.becomes(Mood::Down);
    let shown = node.stats();
    node.put(1, "changed 1");
    node.put(4, "new 4");
    let later = node.stats();
    node.push(&format!(
        "{}\n{}",
        note(2, "former 2", 7),
        r#"{"id":3,"_op":"delete"}"#
    ));

    assert_eq!(node.text(1).as_deref(), Some("former 1"));
    assert_eq!(node.text(4), None, "it is not there yet");
    assert_eq!(node.text(3), None, "a delete waits for nothing");
    let answer = search(&node, "former changed new", "former 1");
    assert_eq!(answer.hits.len(), 2, "{answer:?}");
    let former = hit(&answer, 1);
    assert!(former.keyword.is_some() && former.vector.unwrap().score > 0.999);
    assert_eq!(
        former.vector_state,
        Some(VectorState::Current),
        "row and vector belong together"
    );
    assert!(
        hit(&answer, 2).document.get().contains("\"price\":7"),
        "its text is the same"
    );
    let held = answer.as_of.held_back.unwrap();
    assert!(shown.tick < held.tick && held.tick < later.tick, "{held:?}");
    assert_eq!(held.shown_through, shown.positions);
    let stats = node.stats();
    assert_eq!(
        (stats.rows_held, stats.vectors_pending, stats.vectors_stale),
        (2, 2, 0)
    );
    assert_eq!(stats.documents, 2);

    // It changes again, is taken back, or goes before its vector has come.
    node.put(1, "changed again 1");
    node.put(2, "changed 2");
    node.put(2, "former 2");
    node.push(r#"{"id":4,"_op":"delete"}"#);
    assert_eq!(node.text(1).as_deref(), Some("former 1"));
    assert_eq!((node.stats().rows_held, node.stats().documents), (1, 2));
    service.becomes(Mood::Well);
    node.complete();
    assert_eq!(node.text(1).as_deref(), Some("changed again 1"));
    assert!(node.shows(1, "changed again 1") && node.shows(2, "former 2"));
    let answer = search(&node, "former", "former 1");
    assert_eq!((answer.hits[0].key.as_ref(), answer.as_of.held_back), ("2", None));
    assert_eq!(node.stats().documents, 2);
    node.stop();
}

#[test]
fn a_row_that_is_held_back_is_shown_as_it_was_after_a_restart_too() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = together(&service, data.path());
    for id in 1..=3 {
        node.put(id, &format!("former {id}"));
    }
    node.complete();
    service.becomes(Mood::Down);
    node.put(1, "changed 1");
    node.put(4, "new 4");
    node.stop();

    for _ in 0..2 {
        let node = together(&service, data.path());
        assert_eq!(node.text(1).as_deref(), Some("former 1"));
        assert_eq!(node.text(4), None);
        let answer = search(&node, "former", "former 1");
        assert_eq!(answer.hits.len(), 3);
        assert!(hit(&answer, 1).keyword.is_some() && hit(&answer, 1).vector.unwrap().score > 0.999);
        assert!(answer.as_of.held_back.unwrap().shown_through.is_empty());
        let metrics = node.node.app().metrics.encode();
        assert!(
            metrics.contains("millpond_documents_corrected_total 0"),
            "{metrics}"
        );
        node.stop();
    }

    // Whoever wants rows at once from now on gets them, with the vectors before.
    let node = Running::start(&service, data.path(), "");
    assert_eq!(node.text(1).as_deref(), Some("changed 1"));
    assert!(node.shows(1, "former 1"));
    assert_eq!(node.text(4).as_deref(), Some("new 4"));
    service.becomes(Mood::Well);
    node.complete();
    assert!(node.shows(1, "changed 1") && node.shows(4, "new 4"));
    node.stop();
}

/// At every moment each document that is shown has the vector of the text that is shown.
#[test]
fn rows_and_vectors_are_never_seen_apart() {
    for seed in Random::seeds(3) {
        for workers in [1, 2] {
            let random = &mut Random::new(seed);
            let data = tempfile::tempdir().unwrap();
            let service = Service::new(Mood::Well);
            let mut node = Running::start_as(&service, data.path(), TOGETHER, "batch = 2", workers);
            let mut texts: BTreeMap<usize, String> = BTreeMap::new();
            for round in 0..40 {
                service.becomes([Mood::Well, Mood::Down][random.below(2)]);
                let id = random.below(8);
                if random.percent(20) {
                    texts.remove(&id);
                    node.push(&format!(r#"{{"id":{id},"_op":"delete"}}"#));
                    assert_eq!(
                        node.text(id),
                        None,
                        "seed {seed}, round {round}: a delete waits for nothing"
                    );
                } else {
                    let text = format!("text {}", random.below(30));
                    node.put(id, &text);
                    texts.insert(id, text);
                }
                if random.percent(10) {
                    node.stop();
                    node = Running::start_as(&service, data.path(), TOGETHER, "batch = 2", workers);
                }
                let searcher = node.node.app().searcher.as_ref().unwrap();
                let snapshot = node.node.app().published.snapshot();
                for id in 0..8 {
                    let key = id.to_string();
                    let Some(document) = snapshot.document(&key) else {
                        continue;
                    };
                    let text = match document.row.get("text").map(|text| text.to_datum()) {
                        Some(millpond::change::Datum::Text(text)) => text.to_string(),
                        other => panic!("{other:?}"),
                    };
                    let request = SearchRequest {
                        vector: Some(service.vector(&text)),
                        mode: Mode::Vector,
                        exact: true,
                        ..SearchRequest::default()
                    };
                    let answer = searcher.search_in(&snapshot, &request).unwrap();
                    let score = hit(&answer, id).vector.unwrap().score;
                    assert!(score > 0.999, "seed {seed}, round {round}: note {id} is {text:?}");
                }
            }
            service.becomes(Mood::Well);
            node.complete();
            for id in 0..8 {
                assert_eq!(node.text(id).as_ref(), texts.get(&id), "seed {seed}: note {id}");
            }
            node.stop();
        }
    }
}
