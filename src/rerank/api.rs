//! The ways in which re-ranking services are spoken to: query and texts -> request, answer -> scores. Pure.

use serde::{Deserialize, Serialize};

use crate::definition::RerankApi;
use crate::embed::Wrong;

/// Texts a request. TEI refuses more than 32 unless it is told otherwise; the others take a thousand.
pub fn texts_max(api: RerankApi) -> usize {
    match api {
        RerankApi::Tei => 32,
        RerankApi::Cohere | RerankApi::Jina => 1_000,
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Request<'a> {
    Tei {
        query: &'a str,
        texts: &'a [&'a str],
        truncate: bool,
    },
    Cohere {
        model: &'a str,
        query: &'a str,
        documents: &'a [&'a str],
        top_n: usize,
    },
    Jina {
        model: &'a str,
        query: &'a str,
        documents: &'a [&'a str],
        top_n: usize,
        return_documents: bool,
    },
}

/// The body of a request.
pub fn request(api: RerankApi, model: &str, query: &str, texts: &[&str]) -> Vec<u8> {
    let (documents, top_n) = (texts, texts.len());
    let request = match api {
        RerankApi::Tei => Request::Tei {
            query,
            texts,
            truncate: true,
        },
        RerankApi::Cohere => Request::Cohere {
            model,
            query,
            documents,
            top_n,
        },
        RerankApi::Jina => Request::Jina {
            model,
            query,
            documents,
            top_n,
            return_documents: false,
        },
    };
    // Texts and numbers: nothing in it can fail.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    index: usize,
    /// A number that is none is null in JSON.
    #[serde(alias = "relevance_score")]
    score: Option<f64>,
}

/// The scores of an answer, in the order of the texts: one each, all finite.
pub fn scores(api: RerankApi, body: &[u8], texts: usize) -> Result<Vec<f32>, Wrong> {
    let not_read =
        |error: serde_json::Error| Wrong::Answer(format!("its answer is none of {}: {error}", api.name()));
    let entries: Vec<Entry> = match api {
        RerankApi::Tei => serde_json::from_slice(body).map_err(not_read)?,
        RerankApi::Cohere | RerankApi::Jina => {
            serde_json::from_slice::<Results>(body).map_err(not_read)?.results
        }
    };
    if entries.len() != texts {
        return Err(Wrong::Answer(format!(
            "{} scores for {texts} texts",
            entries.len()
        )));
    }
    let mut scores: Vec<Option<f32>> = vec![None; texts];
    for Entry { index, score } in entries {
        let score = score.map(|score| score as f32).filter(|score| score.is_finite());
        let score = score.ok_or_else(|| Wrong::Answer("a score is not a finite number".to_owned()))?;
        if let Some(place) = scores.get_mut(index) {
            *place = Some(score);
        }
    }
    let complete: Option<Vec<f32>> = scores.into_iter().collect();
    complete.ok_or_else(|| Wrong::Answer("`index` does not name each text once".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_services_documentation() {
        let text = |api| String::from_utf8(request(api, "m", "red \"shoe\"", &["a", "b"])).unwrap();
        assert_eq!(
            text(RerankApi::Tei),
            r#"{"query":"red \"shoe\"","texts":["a","b"],"truncate":true}"#
        );
        assert_eq!(
            text(RerankApi::Cohere),
            r#"{"model":"m","query":"red \"shoe\"","documents":["a","b"],"top_n":2}"#
        );
        assert_eq!(
            text(RerankApi::Jina),
            r#"{"model":"m","query":"red \"shoe\"","documents":["a","b"],"top_n":2,"return_documents":false}"#
        );
    }

    #[test]
    fn scores_come_in_the_order_of_the_texts_whatever_that_of_the_answer() {
        let tei = r#"[{"index":1,"score":0.9},{"index":0,"score":-0.5,"text":null}]"#;
        assert_eq!(scores(RerankApi::Tei, tei.as_bytes(), 2), Ok(vec![-0.5, 0.9]));
        let results = r#"{"id":"x","results":[{"index":1,"relevance_score":9e-1},{"document":{"text":"a"},"index":0,"relevance_score":0}],"meta":{}}"#;
        for api in [RerankApi::Cohere, RerankApi::Jina] {
            assert_eq!(scores(api, results.as_bytes(), 2), Ok(vec![0.0, 0.9]));
        }
    }

    #[test]
    fn an_answer_without_one_score_for_each_text_is_none() {
        for (body, part) in [
            (r#"[{"index":0,"score":1}]"#, "1 scores for 2 texts"),
            (
                r#"[{"index":0,"score":1},{"index":1,"score":1},{"index":2,"score":1}]"#,
                "3 scores for 2 texts",
            ),
            (
                r#"[{"index":0,"score":1},{"index":0,"score":2}]"#,
                "each text once",
            ),
            (
                r#"[{"index":0,"score":1},{"index":2,"score":2}]"#,
                "each text once",
            ),
            (
                r#"[{"index":0,"score":null},{"index":1,"score":2}]"#,
                "not a finite number",
            ),
            (
                r#"[{"index":0,"score":1e39},{"index":1,"score":2}]"#,
                "not a finite number",
            ),
            (r#"[{"index":-1,"score":1}]"#, "none of tei"),
            (r#"{"error":"x"}"#, "none of tei"),
        ] {
            match scores(RerankApi::Tei, body.as_bytes(), 2) {
                Err(Wrong::Answer(reason)) => assert!(reason.contains(part), "{body}: {reason}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
