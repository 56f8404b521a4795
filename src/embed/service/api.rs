//! The three ways in which embedding services are spoken to: texts -> request, answer -> vectors. Pure.

use base64::Engine;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::client::Wrong;
use crate::definition::Api;

#[derive(Serialize)]
#[serde(untagged)]
enum Request<'a> {
    OpenAi {
        model: &'a str,
        input: &'a [&'a str],
        encoding_format: &'a str,
    },
    Tei {
        inputs: &'a [&'a str],
        truncate: bool,
    },
    Ollama {
        model: &'a str,
        input: &'a [&'a str],
        truncate: bool,
    },
}

/// The body of a request.
pub fn request(api: Api, model: &str, texts: &[&str]) -> Vec<u8> {
    let request = match api {
        // Some that speak like OpenAI do not know base64.
        Api::OpenAi => Request::OpenAi {
            model,
            input: texts,
            encoding_format: "float",
        },
        Api::Tei => Request::Tei {
            inputs: texts,
            truncate: true,
        },
        Api::Ollama => Request::Ollama {
            model,
            input: texts,
            truncate: true,
        },
    };
    // Texts alone: nothing in it can fail.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Deserialize)]
struct OpenAiAnswer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    index: Option<usize>,
    embedding: Numbers,
}

#[derive(Deserialize)]
struct OllamaAnswer {
    embeddings: Vec<Numbers>,
}

/// The vectors of an answer: one per text, in their order, each of so many finite numbers.
pub fn vectors(api: Api, body: &[u8], texts: usize, dimensions: usize) -> Result<Vec<Vec<f32>>, Wrong> {
    let not_read =
        |error: serde_json::Error| Wrong::Answer(format!("its answer is none of {}: {error}", api.name()));
    let vectors: Vec<Numbers> = match api {
        Api::OpenAi => {
            let answer: OpenAiAnswer = serde_json::from_slice(body).map_err(not_read)?;
            in_order(answer.data)?
        }
        Api::Tei => serde_json::from_slice(body).map_err(not_read)?,
        Api::Ollama => {
            serde_json::from_slice::<OllamaAnswer>(body)
                .map_err(not_read)?
                .embeddings
        }
    };
    if vectors.len() != texts {
        return Err(Wrong::Answer(format!(
            "{} vectors for {texts} texts",
            vectors.len()
        )));
    }
    if let Some(Numbers(vector)) = vectors.iter().find(|vector| vector.0.len() != dimensions) {
        return Err(Wrong::Answer(format!(
            "its vectors have {} dimensions instead of {dimensions}",
            vector.len()
        )));
    }
    if !vectors
        .iter()
        .flat_map(|vector| &vector.0)
        .all(|value| value.is_finite())
    {
        return Err(Wrong::Numbers);
    }
    Ok(vectors.into_iter().map(|vector| vector.0).collect())
}

/// By `index` where entries have one, else as they came.
fn in_order(mut entries: Vec<Entry>) -> Result<Vec<Numbers>, Wrong> {
    if entries.iter().any(|entry| entry.index.is_some()) {
        entries.sort_by_key(|entry| entry.index);
        if !entries
            .iter()
            .enumerate()
            .all(|(place, entry)| entry.index == Some(place))
        {
            return Err(Wrong::Answer(
                "`index` does not number its vectors from 0".to_owned(),
            ));
        }
    }
    Ok(entries.into_iter().map(|entry| entry.embedding).collect())
}

/// A vector: an array of numbers, or base64 of little-endian f32. A number that is none is NaN here.
struct Numbers(Vec<f32>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Numbers, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Numbers;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of numbers or base64")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Numbers, A::Error> {
                let mut numbers = Vec::new();
                // Through f64, of which a number that is too large is infinite as f32, and no fault of the JSON.
                while let Some(value) = values.next_element::<Option<f64>>()? {
                    numbers.push(value.map_or(f32::NAN, |value| value as f32));
                }
                Ok(Numbers(numbers))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Numbers, E> {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map_err(E::custom)?;
                let (values, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(E::custom("base64 of no whole number of f32"));
                }
                Ok(Numbers(
                    values.iter().map(|&value| f32::from_le_bytes(value)).collect(),
                ))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(api: Api, body: &str, texts: usize) -> Result<Vec<Vec<f32>>, String> {
        vectors(api, body.as_bytes(), texts, 2).map_err(|wrong| format!("{wrong:?}"))
    }

    #[test]
    fn requests_are_those_of_the_services_documentation() {
        let text = |api| String::from_utf8(request(api, "m", &["a \"b\"", "c"])).unwrap();
        let expected = r#"{"model":"m","input":["a \"b\"","c"],"encoding_format":"float"}"#;
        assert_eq!(text(Api::OpenAi), expected);
        assert_eq!(text(Api::Tei), r#"{"inputs":["a \"b\"","c"],"truncate":true}"#);
        assert_eq!(
            text(Api::Ollama),
            r#"{"model":"m","input":["a \"b\"","c"],"truncate":true}"#
        );
    }

    #[test]
    fn answers_of_all_three_are_read() {
        let two = Ok(vec![vec![1.0, -0.5], vec![0.0, 2.0]]);
        assert_eq!(check(Api::Tei, "[[1,-0.5],[0,2e0]]", 2), two);
        assert_eq!(
            check(
                Api::Ollama,
                r#"{"model":"m","embeddings":[[1,-0.5],[0,2]],"load_duration":1}"#,
                2
            ),
            two
        );
        let shuffled = r#"{"object":"list","data":[{"index":1,"embedding":[0,2]},{"object":"embedding","index":0,"embedding":[1,-0.5]}],"usage":{}}"#;
        assert_eq!(check(Api::OpenAi, shuffled, 2), two);
        let unnumbered = r#"{"data":[{"embedding":[1,-0.5]},{"embedding":[0,2]}]}"#;
        assert_eq!(check(Api::OpenAi, unnumbered, 2), two);
        // 1.0 and -0.5 as little-endian f32.
        let base64 = r#"{"data":[{"index":0,"embedding":"AACAPwAAAL8="}]}"#;
        assert_eq!(check(Api::OpenAi, base64, 1), Ok(vec![vec![1.0, -0.5]]));
    }

    #[test]
    fn wrong_answers_are_told_apart_from_texts_without_a_vector() {
        let wrong = |api, body: &str, texts, part: &str| {
            let error = check(api, body, texts).unwrap_err();
            assert!(
                error.starts_with("Answer") && error.contains(part),
                "{body}: {error}"
            );
        };
        wrong(Api::Tei, "[[1,2]]", 2, "1 vectors for 2 texts");
        wrong(Api::Tei, "[[1,2],[1,2,3]]", 2, "3 dimensions instead of 2");
        wrong(Api::Tei, r#"{"error":"x"}"#, 1, "none of tei");
        wrong(Api::Tei, "[[1,", 1, "none of tei");
        wrong(
            Api::OpenAi,
            r#"{"data":[{"index":0,"embedding":"AACAPwA="}]}"#,
            1,
            "whole number",
        );
        wrong(
            Api::OpenAi,
            r#"{"data":[{"index":0,"embedding":"?"}]}"#,
            1,
            "none of openai",
        );
        for twice in [
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}"#,
            r#"{"data":[{"index":7,"embedding":[1,2]},{"embedding":[1,2]}]}"#,
        ] {
            wrong(Api::OpenAi, twice, 2, "`index`");
        }
        for none in ["[[1,null]]", "[[1,1e39]]"] {
            assert_eq!(check(Api::Tei, none, 1), Err("Numbers".to_owned()), "{none}");
        }
    }
}
