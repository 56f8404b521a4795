//! `{ url = ... }`: services over HTTP, and all that goes wrong with them.

use std::time::{Duration, Instant};

use super::by;
use crate::embedding_service::{EmbeddingService, Fault, rerank_score};

const APIS: [&str; 3] = ["tei", "cohere", "jina"];

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("note {number}")).collect()
}

#[test]
fn all_three_formats_give_each_text_its_score_in_requests_of_bounded_size() {
    for api in APIS {
        let service = EmbeddingService::start(2);
        let reranker = by(&service.reranker(api)).unwrap();
        assert_eq!(reranker.model(), "ranks");
        let texts = texts(70);
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let expected: Vec<f32> = texts.iter().map(|text| rerank_score("red shoe", text)).collect();
        assert_eq!(
            reranker.scores("red shoe", &borrowed, None).unwrap(),
            expected,
            "{api}"
        );
        assert_eq!(reranker.shown(0.25), 0.25);
        let seen = service.seen();
        let sizes: Vec<usize> = seen.iter().map(|seen| seen.texts.len()).collect();
        assert_eq!(
            sizes,
            if api == "tei" { vec![32, 32, 6] } else { vec![70] },
            "{api}"
        );
        let model = &seen[0].body["model"];
        assert_eq!(model.as_str(), (api != "tei").then_some("ranks"), "{api}");
        assert_eq!(service.texts(), texts, "{api}");
        assert_eq!(reranker.scores("red shoe", &[], None).unwrap(), [0.0; 0]);
    }
}

#[test]
fn what_is_no_answer_is_an_error_that_says_why_and_the_next_call_may_succeed() {
    for api in APIS {
        for (fault, reason) in [
            (Fault::Status(500), "says 500"),
            (Fault::Status(422), "says 422"),
            (Fault::OneTooFew, "1 scores for 2 texts"),
            (Fault::NotANumber, "not a finite number"),
            (Fault::Cut, "ranks"),
            (Fault::Endless, "ranks"),
            (Fault::Down, "ranks"),
        ] {
            let service = EmbeddingService::start(2);
            let reranker = by(&service.reranker(api)).unwrap();
            service.next([fault.clone()]);
            let error = reranker.scores("red", &["a", "b"], None).unwrap_err().to_string();
            assert!(
                error.starts_with("re-rank with model ranks: ") && error.contains(reason),
                "{api}, {fault:?}: {error}"
            );
            assert!(
                reranker.scores("red", &["a", "b"], None).is_ok(),
                "{api}, {fault:?}"
            );
        }
    }
}

#[test]
fn a_busy_service_is_not_asked_before_the_time_it_names() {
    let service = EmbeddingService::start(2);
    let reranker = by(&service.reranker("jina")).unwrap();
    service.next([Fault::TooMany {
        retry_after: Some(3600),
    }]);
    let error = reranker.scores("red", &["a"], None).unwrap_err().to_string();
    assert!(error.contains("too much to do"), "{error}");
    let error = reranker.scores("red", &["a"], None).unwrap_err().to_string();
    assert!(error.contains("not asked for a while"), "{error}");
    assert_eq!(service.seen().len(), 1);
}

#[test]
fn a_service_that_hangs_is_given_up_and_after_some_failures_in_a_row_left_alone() {
    let service = EmbeddingService::start(2);
    let reranker = by(&service.reranker("cohere")).unwrap();
    service.set(Fault::Hang);
    let soon = || Some(Instant::now() + Duration::from_millis(20));
    let error = |_| reranker.scores("red", &["a"], soon()).unwrap_err().to_string();
    let errors: Vec<String> = (0..6).map(error).collect();
    assert!(
        errors[..5].iter().all(|error| error.contains("timeout")),
        "{errors:?}"
    );
    assert!(errors[5].contains("not asked for a while"), "{errors:?}");
}

#[test]
fn a_key_that_is_not_in_the_environment_is_named_before_anything_is_asked() {
    let service = EmbeddingService::start(2);
    let line = service.reranker("cohere");
    let line = line.replace(" }", ", key_env = \"MILLPOND_NO_SUCH_KEY\" }");
    let error = by(&line).err().unwrap().to_string();
    assert!(error.contains("MILLPOND_NO_SUCH_KEY"), "{error}");
    assert!(service.seen().is_empty());
}
