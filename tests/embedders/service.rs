//! `{ url = ... }`: services over HTTP, and all that goes wrong with them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millpond::embed::{Breaker, EmbedError, Embedder};

use super::open;
use crate::binary::eventually;
use crate::embedding_service::{EmbeddingService, Fault};

const APIS: [&str; 3] = ["openai", "tei", "ollama"];

/// The embedder of a section that names the service, with more lines.
fn client(service: &EmbeddingService, api: &str, more: &str) -> Arc<dyn Embedder> {
    open(&format!("{}\n{more}", service.model(api))).unwrap()
}

/// The same with more settings inside the model.
fn client_with(service: &EmbeddingService, more: &str) -> Result<Arc<dyn Embedder>, EmbedError> {
    let model = service.model("openai");
    open(
        model
            .strip_suffix(" }")
            .map(|model| format!("{model}{more} }}"))
            .unwrap()
            .as_str(),
    )
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("note {number}")).collect()
}

#[track_caller]
fn assert_right(service: &EmbeddingService, texts: &[String], found: &Result<Vec<Vec<f32>>, EmbedError>) {
    let expected: Vec<Vec<f32>> = texts.iter().map(|text| service.vector(text)).collect();
    assert_eq!(
        found.as_ref().unwrap_or_else(|error| panic!("{error}")),
        &expected
    );
}

fn embed(embedder: &dyn Embedder, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
    embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn all_three_formats_give_each_text_its_vector_in_batches_of_bounded_size() {
    for api in APIS {
        let service = EmbeddingService::start(24);
        let client = client(&service, api, "batch = 7");
        assert_eq!(
            (client.model(), client.dimensions(), client.is_fast()),
            ("hash", 24, false)
        );
        let texts = texts(40);
        assert_right(&service, &texts, &embed(&*client, &texts));
        let sizes: Vec<usize> = service.seen().iter().map(|seen| seen.texts.len()).collect();
        assert_eq!(sizes, [7, 7, 7, 7, 7, 5], "{api}");
        // Of TEI's servers each has one model.
        let named = service.seen()[0].body["model"] == "hash";
        assert_eq!(named, api != "tei");
        assert_eq!(client.embed_query("a query").unwrap(), service.vector("a query"));
        assert_eq!(embed(&*client, &[]).unwrap(), Vec::<Vec<f32>>::new());
    }
}

#[test]
fn batches_are_bounded_by_estimated_tokens_too() {
    let service = EmbeddingService::start(8);
    let client = client_with(&service, ", batch_tokens = 100").unwrap();
    let texts = [
        "x".repeat(120),
        "x".repeat(120),
        "y".repeat(1000),
        "z".to_owned(),
        "w".repeat(90),
    ];
    assert_right(&service, &texts, &embed(&*client, &texts));
    let sizes: Vec<usize> = service.seen().iter().map(|seen| seen.texts.len()).collect();
    assert_eq!(sizes, [2, 1, 2]);
}

#[test]
fn what_passes_is_tried_again_within_the_call() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Cut,
        Fault::Down,
        Fault::Endless,
        Fault::OneTooFew,
        Fault::WrongDimension,
        Fault::TooMany { retry_after: None },
        Fault::TooMany { retry_after: Some(1) },
    ] {
        for api in APIS {
            if api != "openai" && matches!(fault, Fault::TooMany { .. }) {
                continue;
            }
            let service = EmbeddingService::start(8);
            let client = client(&service, api, "");
            service.next([fault.clone()]);
            let texts = texts(5);
            assert_right(&service, &texts, &embed(&*client, &texts));
            let health = client.health().unwrap();
            assert_eq!(
                (health.breaker, health.reason),
                (Breaker::Closed, None),
                "{fault:?}"
            );
        }
    }
}

#[test]
fn a_text_that_cannot_be_embedded_is_an_error_for_good_alone_and_among_others() {
    for fault in [
        Fault::Poison("poison".to_owned()),
        Fault::NotANumber,
        Fault::Status(413),
        Fault::Status(422),
    ] {
        for api in APIS {
            let service = EmbeddingService::start(8);
            service.set(fault.clone());
            let client = client(&service, api, "");
            for texts in [&["poison"][..], &["a note", "poison here", "another"]] {
                let error = client.embed(texts).unwrap_err();
                assert!(!error.retry, "{fault:?} {api}: {error}");
            }
            assert!(!client.embed_query("poison").unwrap_err().retry);
            assert_eq!(
                client.health().unwrap().breaker,
                Breaker::Closed,
                "the service answers"
            );
            if let Fault::Poison(_) = fault {
                assert_eq!(client.embed(&["a note"]).unwrap(), [service.vector("a note")]);
            }
        }
    }
}

#[test]
fn what_another_key_or_name_would_cure_is_no_fault_of_the_texts() {
    for status in [401, 403, 404, 301] {
        let service = EmbeddingService::start(8);
        service.set(Fault::Status(status));
        let client = client(&service, "openai", "");
        let error = client.embed_query("a note").unwrap_err();
        assert!(
            error.retry && error.reason.contains(&format!("says {status}")),
            "{error}"
        );
    }
}

#[test]
fn the_key_comes_from_the_environment_and_stands_in_no_error() {
    let service = EmbeddingService::start(8);
    // A variable that every process has.
    let key = std::env::var("PATH").unwrap();
    service.require_key(key.trim());
    let client = client_with(&service, ", key_env = 'PATH'").unwrap();
    assert_eq!(client.embed(&["a note"]).unwrap(), [service.vector("a note")]);
    for status in [400, 500] {
        service.next([Fault::Status(status)]);
        let error = client.embed_query("another").unwrap_err();
        assert!(error.reason.contains("refused, (the key)"), "{error}");
        assert!(
            !format!("{error:?} {:?}", client.health()).contains(&key),
            "the key is told"
        );
        // The pause after a failure.
        eventually("it is asked again", || client.embed_query("a note").ok());
    }
    let without = client_with(&service, "")
        .unwrap()
        .embed_query("a note")
        .unwrap_err();
    assert!(without.reason.contains("says 401"), "{without}");
    let Err(unset) = client_with(&service, ", key_env = 'MILLPOND_NO_SUCH_KEY'") else {
        panic!("there is no such key");
    };
    assert_eq!(
        unset.to_string(),
        "embed with model hash: the environment variable MILLPOND_NO_SUCH_KEY with its key is not set"
    );
}

#[test]
fn a_service_that_is_down_is_left_alone_and_in_use_again_when_it_is_back() {
    let service = EmbeddingService::start(8);
    let client = client(&service, "tei", "");
    service.set(Fault::Status(500));
    let open = || client.health().unwrap().breaker == Breaker::Open;
    eventually("the breaker opens", || {
        let error = client.embed(&["a note"]).unwrap_err();
        assert!(error.retry, "{error}");
        open().then_some(())
    });
    let asked = service.seen().len();
    let error = client.embed(&["a note"]).unwrap_err();
    assert!(
        error.retry && error.reason.contains("not asked for a while") && error.reason.contains("says 500"),
        "{error}"
    );
    assert!(client.embed_query("a note").is_err());
    assert_eq!(service.seen().len(), asked, "nobody asks it");

    service.set(Fault::None);
    let vectors = eventually("it is back", || client.embed(&["a note"]).ok());
    assert_eq!(vectors, [service.vector("a note")]);
    assert_eq!(client.health().unwrap().breaker, Breaker::Closed);
    // A single request found out.
    assert_eq!(service.seen().len(), asked + 1);
}

#[test]
fn a_service_that_is_not_there_or_does_not_answer_in_time_is_an_error_to_be_tried_again() {
    let service = EmbeddingService::start(8);
    service.set(Fault::Slow(Duration::from_secs(20)));
    let slow = client_with(&service, ", timeout = '50ms'").unwrap();
    let error = slow.embed_query("a note").unwrap_err();
    assert!(error.retry && error.reason.contains("timeout"), "{error}");

    let gone = client(&service, "tei", "");
    drop(service);
    // What listened lets go of its port once it is woken.
    let error = eventually("nobody listens", || gone.embed_query("a note").err());
    assert!(error.retry, "{error}");
}

#[test]
fn no_more_requests_run_at_once_than_may_and_half_as_many_after_429() {
    let service = EmbeddingService::start(8);
    let client = client(&service, "tei", "parallel = 4\nbatch = 1");
    service.set(Fault::SlowText(Duration::from_millis(5)));
    let texts = texts(80);
    let all = || {
        thread::scope(|scope| {
            let threads: Vec<_> = texts
                .chunks(8)
                .map(|texts| scope.spawn(|| embed(&*client, texts)))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap().unwrap())
                .collect::<Vec<_>>()
        })
    };
    assert_right(&service, &texts, &Ok(all()));
    assert_eq!(service.running_max(), 4);
    assert_eq!(client.health().unwrap().requests_max, 4);
    service.next([Fault::TooMany { retry_after: None }]);
    assert_eq!(
        client.embed_query("a note").unwrap_err().reason,
        "it has too much to do (429)"
    );
    assert_eq!(client.health().unwrap().requests_max, 2);
    assert_right(&service, &texts, &Ok(all()));
    assert_eq!(client.health().unwrap().requests_max, 4, "answers win it back");
}
