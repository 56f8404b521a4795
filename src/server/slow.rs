//! Searches that took long, in the log.

use std::time::Duration;

use crate::query::{SearchAnswer, SearchRequest};

/// Of the request in the log.
const REQUEST_BYTES_MAX: usize = 1 << 10;

/// Logs a search that took longer than `threshold`, where there is one.
pub fn note(threshold: Option<Duration>, index: &str, request: &SearchRequest, answer: &SearchAnswer) {
    let took_ms = answer.took_ms.unwrap_or_default();
    let Some(threshold) = threshold else { return };
    if took_ms <= threshold.as_secs_f64() * 1e3 {
        return;
    }
    tracing::warn!(
        target: "millpond::slow_query",
        index,
        mode = request.mode.name(),
        took_ms,
        hits = answer.hits.len(),
        timed_out = answer.timed_out,
        tick = answer.as_of.tick.0,
        request = shortened(request),
        "slow search"
    );
}

/// The request without its vector, which says nothing to a person.
fn shortened(request: &SearchRequest) -> String {
    let told = SearchRequest {
        vector: None,
        ..request.clone()
    };
    let mut json = serde_json::to_string(&told).unwrap_or_default();
    if json.len() > REQUEST_BYTES_MAX {
        let mut end = REQUEST_BYTES_MAX;
        while !json.is_char_boundary(end) {
            end -= 1;
        }
        json.truncate(end);
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_without_its_vector_and_in_a_kibibyte() {
        let request = SearchRequest {
            query: Some("é".repeat(2_000)),
            vector: Some(vec![0.25; 3]),
            ..SearchRequest::default()
        };
        let told = shortened(&request);
        assert!(told.starts_with(r#"{"query":"ééé"#), "{told}");
        assert!(told.len() <= REQUEST_BYTES_MAX && told.len() > REQUEST_BYTES_MAX - 2);
        let short = SearchRequest {
            query: Some("red".to_owned()),
            ..request
        };
        assert_eq!(
            shortened(&short),
            r#"{"query":"red","mode":"hybrid","limit":10,"offset":0}"#
        );
    }
}
