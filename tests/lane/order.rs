//! Which texts are asked for, and when.

use std::sync::{Arc, Weak};

use millpond::query::{Leg, SearchRequest};

use super::service::{Mood, Running, Service, note};
use crate::binary::eventually;

#[test]
fn documents_without_a_vector_come_first_then_the_newest() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = Running::start(&service, data.path(), "batch = 1");
    for id in 1..=3 {
        node.put(id, &format!("former {id}"));
    }
    node.complete();
    service.becomes(Mood::Hanging);
    let before = service.asked().len();
    node.put(0, "plug");
    eventually("the service is busy", || {
        (service.asked().len() > before).then_some(())
    });
    // Two have vectors already, two have none; the last one had a text before, but never a vector.
    node.put(1, "changed 1");
    node.put(10, "new 10");
    node.put(2, "changed 2");
    node.put(11, "former 11");
    node.put(3, "changed 3");
    node.put(11, "changed 11");
    service.becomes(Mood::Well);
    node.complete();
    assert_eq!(
        service.asked()[before..],
        [
            "plug",
            "changed 11",
            "new 10",
            "changed 3",
            "changed 2",
            "changed 1"
        ]
    );
    node.settled();
    node.stop();
}

#[test]
fn a_text_that_a_new_document_shares_is_as_urgent_as_that() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = Running::start(&service, data.path(), "batch = 1");
    node.put(1, "former 1");
    node.complete();
    service.becomes(Mood::Hanging);
    let before = service.asked().len();
    node.put(0, "plug");
    eventually("the service is busy", || {
        (service.asked().len() > before).then_some(())
    });
    node.put(1, "shared");
    node.put(2, "new 2");
    node.put(3, "shared");
    node.put(4, "new 4");
    service.becomes(Mood::Well);
    node.complete();
    assert_eq!(service.asked()[before..], ["plug", "new 4", "new 2", "shared"]);
    node.stop();
}

#[test]
fn what_became_obsolete_while_the_service_was_down_is_never_computed() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Down);
    let node = Running::start(&service, data.path(), "batch = 4\nparallel = 2");
    for round in 0..20 {
        let lines: Vec<String> = (0..10)
            .map(|id| note(id, &format!("note {id} of round {round}"), 0))
            .collect();
        node.push(&lines.join("\n"));
    }
    // Also what the threads had in their hands.
    let tried = service.calls();
    eventually("it is tried again and again", || {
        (service.calls() > tried + 3).then_some(())
    });
    node.push(r#"{"id":9,"_op":"delete"}"#);
    assert_eq!(node.stats().vectors_pending, 9);
    service.becomes(Mood::Well);
    node.complete();
    let mut embedded = service.embedded();
    embedded.sort();
    let last: Vec<String> = (0..9).map(|id| format!("note {id} of round 19")).collect();
    assert_eq!(embedded, last);
    assert_eq!(node.settled().texts_withdrawn, 191);
    node.stop();
}

#[test]
fn a_text_that_is_wanted_again_while_it_is_computed_is_computed_once() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Hanging);
    let node = Running::start(&service, data.path(), "");
    node.put(1, "wanted");
    eventually("the service is busy", || (service.calls() > 0).then_some(()));
    node.put(1, "other");
    node.put(2, "wanted");
    service.becomes(Mood::Well);
    node.complete();
    assert_eq!(service.embedded(), ["wanted", "other"]);
    assert!(node.shows(1, "other") && node.shows(2, "wanted"));
    assert_eq!(node.settled().texts_saved_cached, 1);
    node.stop();
}

#[test]
fn a_text_that_the_service_never_answers_holds_up_no_other_and_is_refused_in_the_end() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Down);
    let node = Running::start(&service, data.path(), "batch = 16");
    let texts = |id| {
        if id == 30 {
            "indigestible".to_owned()
        } else {
            format!("note {id}")
        }
    };
    let lines: Vec<String> = (0..40).map(|id| note(id, &texts(id), 0)).collect();
    node.push(&lines.join("\n"));
    service.becomes(Mood::Well);
    node.until("all others have their vectors", |snapshot| {
        (snapshot.vectors() == 39 && snapshot.vectors_pending() == 0).then_some(())
    });
    assert_eq!(node.stats().texts_failed, 1);
    assert_eq!(service.embedded().len(), 39, "no text is embedded twice");
    node.put(30, "digestible");
    node.complete();
    node.settled();
    node.stop();
}

#[test]
fn a_refused_text_is_alone_in_its_fate_and_counted() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = Running::start(&service, data.path(), "batch = 16");
    let lines: Vec<String> = (0..16)
        .map(|id| {
            note(
                id,
                if id == 7 {
                    "refused"
                } else {
                    ["red", "blue"][id % 2]
                },
                0,
            )
        })
        .collect();
    node.push(&lines.join("\n"));
    node.complete();
    let stats = node.stats();
    assert_eq!(
        (stats.vectors, stats.texts_failed, stats.texts_embedded),
        (15, 1, 2)
    );
    assert_eq!(stats.texts_saved_shared, 13);
    node.settled();
    node.stop();
}

#[test]
fn threads_end_with_the_node_though_the_service_fails_for_ever() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Down);
    let node = Running::start(&service, data.path(), "parallel = 3\nbatch = 1");
    let lines: Vec<String> = (0..10).map(|id| note(id, &format!("note {id}"), 0)).collect();
    node.push(&lines.join("\n"));
    eventually("the service has failed", || (service.calls() > 3).then_some(()));
    let left: Weak<Service> = Arc::downgrade(&service);
    drop(service);
    node.node.stop().unwrap();
    drop(node);
    eventually("nobody holds the service", || {
        left.upgrade().is_none().then_some(())
    });
}

#[test]
fn a_service_that_hangs_costs_a_search_its_vector_leg_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    let node = Running::start(&service, data.path(), "query_timeout = \"10ms\"");
    node.put(1, "red shoe");
    node.complete();
    service.becomes(Mood::Hanging);
    let request = SearchRequest {
        query: Some("shoe".into()),
        ..SearchRequest::default()
    };
    let answer = node.search(&request);
    assert_eq!(answer.hits.len(), 1);
    assert!(answer.hits[0].vector.is_none());
    let [failed] = &answer.failed[..] else {
        panic!("{answer:?}");
    };
    assert_eq!(failed.leg, Leg::Vector);
    assert!(
        failed.reason.contains("has not answered within 10 ms"),
        "{}",
        failed.reason
    );

    // The same words again, when the service is back: what it was asked for then is there.
    service.becomes(Mood::Well);
    let calls = service.calls();
    let hit = eventually("the vector leg answers", || {
        let answer = node.search(&request);
        answer.failed.is_empty().then(|| answer.hits[0].clone())
    });
    assert!(hit.vector.is_some());
    assert_eq!(service.calls(), calls, "the query is embedded once");
    node.stop();
}
