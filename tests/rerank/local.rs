//! `{ path = ... }`: cross-encoders of this machine, against a reference in float64.

use std::path::Path;
use std::time::Instant;

use millpond::rerank::{RerankError, Reranker};

use super::by;
use crate::embedders::reference::Reference;
use crate::embedders::tiny;
use crate::shared::Random;

/// Places of tokens in `tiny`; RoBERTa counts from behind its padding.
const TOKENS_MAX: usize = 20;

fn open(folder: &Path, more: &str) -> Result<std::sync::Arc<dyn Reranker>, RerankError> {
    by(&format!("model = {{ path = {folder:?}{more} }}"))
}

fn scores(model: &dyn Reranker, query: &str, texts: &[String]) -> Vec<f32> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    model.scores(query, &texts, None).unwrap()
}

#[test]
fn a_cross_encoder_agrees_with_a_reference_in_float64_in_any_batch() {
    for (kind, first, labels) in [
        ("bert", 0, 1),
        ("bert", 0, 3),
        ("roberta", 1, 1),
        ("roberta", 1, 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        tiny::cross_encoder(folder.path(), kind, labels);
        let reference = Reference::open(folder.path());
        for (more, tokens_max) in [("", TOKENS_MAX - first), (", max_tokens = 11", 11)] {
            let model = open(folder.path(), more).unwrap();
            let mut random = Random::new(5);
            // Longer ones than there is room for among them: queries too.
            for words in [1, 3, 14] {
                let query = tiny::text(&mut random, words);
                let texts: Vec<String> = (0..40).map(|text| tiny::text(&mut random, text % 25)).collect();
                let found = scores(&*model, &query, &texts);
                for (text, score) in texts.iter().zip(&found) {
                    let (ids, types) = tiny::pair(&query, text, tokens_max);
                    let expected = reference.score(&ids, &types, first);
                    let what = format!("{kind}, {labels} labels, {query:?} and {text:?}");
                    assert!(
                        (f64::from(*score) - expected).abs() < 1e-4,
                        "{what}: {score} and not {expected}"
                    );
                    let alone = scores(&*model, &query, std::slice::from_ref(text));
                    assert!((alone[0] - score).abs() < 1e-5, "{what}: alone it is {alone:?}");
                }
                let (least, most) = found.iter().fold((f32::MAX, f32::MIN), |(least, most), score| {
                    (least.min(*score), most.max(*score))
                });
                assert!(most - least > 0.002, "the model tells texts apart: {found:?}");
            }
            assert!(scores(&*model, "red", &[]).is_empty());
        }
    }
}

#[test]
fn which_text_is_the_query_makes_a_difference() {
    let folder = tempfile::tempdir().unwrap();
    tiny::cross_encoder(folder.path(), "bert", 1);
    let model = open(folder.path(), "").unwrap();
    let one = model.scores("red shoe", &["warm boot"], None).unwrap();
    let other = model.scores("warm boot", &["red shoe"], None).unwrap();
    assert!((one[0] - other[0]).abs() > 1e-3, "{one:?} and {other:?}");
}

#[test]
fn scores_are_shown_from_0_to_1_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    tiny::cross_encoder(folder.path(), "bert", 1);
    let model = open(folder.path(), "").unwrap();
    let shown = [-200.0, -2.0, 0.0, 2.0, 200.0].map(|score| model.shown(score));
    assert!(shown.is_sorted(), "{shown:?}");
    assert_eq!((shown[0], shown[2], shown[4]), (0.0, 0.5, 1.0));
    assert!((shown[3] - 0.880_797).abs() < 1e-6, "{shown:?}");
}

#[test]
fn an_onnx_file_is_run_as_it_is_and_its_last_label_is_the_score() {
    let folder = tempfile::tempdir().unwrap();
    // A score is the sum of the tokens' numbers in the second column; padding has none.
    let table: Vec<f32> = (0..tiny::WORDS.len())
        .flat_map(|id| [7.0 * id as f32, id as f32])
        .collect();
    tiny::tokenizer(folder.path());
    tiny::onnx(&folder.path().join("model.onnx"), &table, 2, true);
    let model = open(folder.path(), "").unwrap();
    let texts = ["bread".to_owned(), "red red".to_owned(), String::new()];
    // [CLS] 2, [SEP] 3 twice, and the words.
    assert_eq!(
        scores(&*model, "blue", &texts),
        [8.0 + 5.0 + 11.0, 8.0 + 5.0 + 8.0, 8.0 + 5.0]
    );
}

#[test]
fn a_model_that_is_no_cross_encoder_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let reason = |more: &str| open(folder.path(), more).err().unwrap().to_string();
    assert!(reason("").contains("tokenizer.json"), "{}", reason(""));
    tiny::tokenizer(folder.path());
    assert!(
        reason("").contains("neither model.safetensors nor model.onnx"),
        "{}",
        reason("")
    );
    tiny::bert(folder.path(), "bert", "bert.");
    assert!(
        reason("").contains("tensor pooler.dense.bias is missing"),
        "{}",
        reason("")
    );
    tiny::bert(folder.path(), "xlm-roberta", "roberta.");
    assert!(
        reason("").contains("tensor classifier.dense.bias is missing"),
        "{}",
        reason("")
    );

    let onnx = tempfile::tempdir().unwrap();
    tiny::tokenizer(onnx.path());
    tiny::onnx(&onnx.path().join("model.onnx"), &[0.5; 24], 2, false);
    let error = open(onnx.path(), "").err().unwrap().to_string();
    assert!(error.contains("it is no cross-encoder"), "{error}");
}

#[test]
fn a_call_whose_time_is_over_stops() {
    let folder = tempfile::tempdir().unwrap();
    tiny::cross_encoder(folder.path(), "bert", 1);
    let model = open(folder.path(), "").unwrap();
    let error = model.scores("red", &["shoe"], Some(Instant::now())).unwrap_err();
    assert!(error.to_string().contains("took too long"), "{error}");
}
