//! `{ path = ... }`: models of this machine, against a reference in float64.

use std::path::{Path, PathBuf};

use millpond::embed::{BuiltIn, Embedder};
use serde_json::{Value, json};

use super::reference::Reference;
use super::{cosine, length, open_path, tiny};
use crate::binary::repository;
use crate::shared::{Random, public_data};

/// A model that lies beside the repository, or `None` with the reason printed.
fn public_model(name: &str) -> Option<PathBuf> {
    let found = repository("../shared/models").join(name);
    if !found.exists() {
        println!("skipped: {} is absent", found.display());
    }
    found.exists().then_some(found)
}

fn near(left: &[f32], right: &[f32]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| (left - right).abs() < 1e-4)
}

fn mean() -> Value {
    json!({"word_embedding_dimension": 8, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true})
}

#[test]
fn a_transformer_agrees_with_a_reference_in_float64_in_any_batch() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "bert", "");
    tiny::sentence_files(folder.path(), &["Transformer", "Pooling"], &mean(), 16);
    let (model, reference) = (
        open_path(folder.path(), "").unwrap(),
        Reference::open(folder.path()),
    );
    assert_eq!((model.dimensions(), model.is_fast()), (8, false));

    let mut random = Random::new(3);
    let texts: Vec<String> = (0..60).map(|text| tiny::text(&mut random, text % 25)).collect();
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = model.embed(&borrowed).unwrap();
    assert_eq!(vectors.len(), 60);
    for (text, vector) in borrowed.iter().zip(&vectors) {
        let expected = reference.mean(&tiny::ids(text, 16), 0);
        assert!(
            near(vector, &expected),
            "{text:?}: {vector:?} and not {expected:?}"
        );
        assert!(
            near(vector, &model.embed(&[text]).unwrap()[0]),
            "{text:?} alone is another"
        );
        assert!(
            near(vector, &model.embed_query(text).unwrap()),
            "{text:?} as a query is another"
        );
    }
    assert_eq!(model.embed(&[]).unwrap(), Vec::<Vec<f32>>::new());
}

#[test]
fn pooling_normalisation_and_the_longest_text_are_what_the_models_files_say() {
    let first = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false});
    let texts = ["red shoe", "warm river stone bread red blue shoe boot"];
    for (pooling, modules, tokens_max) in [
        (mean(), &["Transformer", "Pooling", "Normalize"][..], 6),
        (json!({"pooling_mode": "mean"}), &["Transformer", "Pooling"], 20),
        (first, &["Transformer", "Pooling"], 20),
        (
            json!({"pooling_mode": "cls"}),
            &["Transformer", "Pooling", "Normalize"],
            20,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        tiny::bert(folder.path(), "bert", "bert.");
        tiny::sentence_files(folder.path(), modules, &pooling, tokens_max);
        // The reference knows no prefix of names.
        let plain = tempfile::tempdir().unwrap();
        tiny::bert(plain.path(), "bert", "");
        let reference = Reference::open(plain.path());
        let model = open_path(folder.path(), "").unwrap();
        for (text, vector) in texts.iter().zip(model.embed(&texts).unwrap()) {
            let ids = tiny::ids(text, tokens_max);
            let is_mean = pooling["pooling_mode"] == "mean" || pooling["pooling_mode_mean_tokens"] == true;
            let mut expected = match is_mean {
                true => reference.mean(&ids, 0),
                false => reference.tokens(&ids, 0)[0]
                    .iter()
                    .map(|value| *value as f32)
                    .collect(),
            };
            if modules.contains(&"Normalize") {
                let length = length(&expected);
                expected.iter_mut().for_each(|value| *value /= length);
            }
            assert!(
                near(&vector, &expected),
                "{pooling} {modules:?}: {vector:?} and not {expected:?}"
            );
        }
    }
}

#[test]
fn without_files_that_say_it_a_text_is_the_normalised_mean_and_the_file_may_cut_it() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "bert", "");
    let reference = Reference::open(folder.path());
    let text = "warm river stone bread red blue shoe boot";
    for (more, tokens_max) in [("", 20), (", max_tokens = 5", 5), (", max_tokens = 500", 20)] {
        let vector = open_path(folder.path(), more)
            .unwrap()
            .embed(&[text])
            .unwrap()
            .remove(0);
        assert!(
            cosine(&vector, &reference.mean(&tiny::ids(text, tokens_max), 0)) > 0.999_999,
            "{more}"
        );
        assert!((length(&vector) - 1.0).abs() < 1e-5);
    }
    let long = "stone ".repeat(100_000);
    let vector = open_path(folder.path(), "")
        .unwrap()
        .embed(&[&long])
        .unwrap()
        .remove(0);
    assert!(cosine(&vector, &reference.mean(&tiny::ids(&long, 20), 0)) > 0.999_999);
}

#[test]
fn robertas_places_begin_behind_its_padding() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "xlm-roberta", "roberta.");
    let plain = tempfile::tempdir().unwrap();
    tiny::bert(plain.path(), "bert", "");
    let reference = Reference::open(plain.path());
    let model = open_path(folder.path(), "").unwrap();
    for words in [0, 3, 30] {
        let text = tiny::text(&mut Random::new(5), words);
        let vector = model.embed(&[&text]).unwrap().remove(0);
        assert!(
            cosine(&vector, &reference.mean(&tiny::ids(&text, 19), 1)) > 0.999_999,
            "{words}"
        );
    }
}

#[test]
fn queries_and_documents_have_the_prefixes_of_the_file_else_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "bert", "");
    let plain = open_path(folder.path(), "").unwrap();
    let embedded = |text: &str| plain.embed(&[text]).unwrap().remove(0);
    let check = |more: &str, query: &str, document: &str| {
        let model = open_path(folder.path(), more).unwrap();
        assert!(
            near(&model.embed_query("shoe").unwrap(), &embedded(query)),
            "{more}"
        );
        assert!(
            near(&model.embed(&["shoe"]).unwrap()[0], &embedded(document)),
            "{more}"
        );
        model.model().to_owned()
    };
    let with_both = check(
        ", query_prefix = 'red ', document_prefix = 'blue '",
        "red shoe",
        "blue shoe",
    );
    assert_ne!(
        with_both,
        plain.model(),
        "another prefix of documents makes other vectors"
    );
    assert_eq!(
        check(", query_prefix = 'red '", "red shoe", "shoe"),
        plain.model()
    );

    let prompts = json!({"prompts": {"query": "warm ", "passage": "river "}, "default_prompt_name": null});
    tiny::write(folder.path(), "config_sentence_transformers.json", &prompts);
    check("", "warm shoe", "river shoe");
    check(
        ", query_prefix = '', document_prefix = 'blue '",
        "shoe",
        "blue shoe",
    );
}

#[test]
fn an_onnx_file_is_run_with_its_own_graph() {
    let folder = tempfile::tempdir().unwrap();
    tiny::tokenizer(folder.path());
    let table: Vec<f32> = (0..tiny::WORDS.len() * 3)
        .map(|at| (at * at % 17) as f32 - 8.0)
        .collect();
    let row = |id: u32| &table[id as usize * 3..][..3];
    let texts = ["red shoe", "warm river stone bread red blue", ""];
    let mean = |text: &str| -> Vec<f32> {
        let ids = tiny::ids(text, 100);
        let sum = |at: usize| ids.iter().map(|&id| row(id)[at]).sum::<f32>();
        (0..3).map(|at| sum(at) / ids.len() as f32).collect()
    };
    tiny::onnx(&folder.path().join("model.onnx"), &table, 3, false);
    let model = open_path(folder.path(), "").unwrap();
    assert_eq!(model.dimensions(), 3);
    for (text, vector) in texts.iter().zip(model.embed(&texts).unwrap()) {
        assert!(cosine(&vector, &mean(text)) > 0.999_999, "{text:?}: {vector:?}");
    }

    // Where an exporter usually puts it, named by its file, and with the pooling in the graph.
    std::fs::create_dir(folder.path().join("onnx")).unwrap();
    let named = folder.path().join("onnx/pooled.onnx");
    tiny::onnx(&named, &table, 3, true);
    let pooled = open_path(&named, "").unwrap();
    assert!(cosine(&pooled.embed_query("red shoe").unwrap(), &mean("red shoe")) > 0.999_999);
    assert_ne!(pooled.model(), model.model());
}

#[test]
fn the_graph_of_a_model_of_weights_gives_the_same_vectors_as_an_onnx_file() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "bert", "");
    let texts = ["red shoe", "warm river stone bread red blue shoe boot"];
    let expected = open_path(folder.path(), "").unwrap().embed(&texts).unwrap();
    let graph = millpond::embed::as_onnx(folder.path()).unwrap();
    std::fs::create_dir(folder.path().join("onnx")).unwrap();
    std::fs::write(folder.path().join("onnx/model.onnx"), graph).unwrap();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let found = open_path(folder.path(), "").unwrap().embed(&texts).unwrap();
    assert!(expected.iter().zip(&found).all(|(left, right)| near(left, right)));
}

#[test]
fn a_static_model_by_its_path_is_the_model_that_it_is() {
    let model = open_path(&repository("data/models/static-256-int8"), "").unwrap();
    let built_in = BuiltIn::load().unwrap();
    let texts = ["a red shoe", "", "??", "warm boots for cold rivers"];
    assert_eq!(model.embed(&texts).unwrap(), built_in.embed(&texts).unwrap());
    assert!(model.is_fast());
    let Some(potion) = public_model("potion-base-2M") else {
        return;
    };
    let potion = open_path(&potion, "").unwrap();
    assert_eq!(potion.dimensions(), 64);
    assert!((length(&potion.embed(&["a red shoe"]).unwrap()[0]) - 1.0).abs() < 1e-5);
}

#[test]
fn minilm_agrees_with_the_reference_and_with_vectors_that_others_have_made() {
    let Some(path) = public_model("minilm-l6-v2-f16") else {
        return;
    };
    let Some(data) = public_data("search") else { return };
    let model = open_path(&path, "").unwrap();
    let mut tokenizer = tokenizers::Tokenizer::from_file(path.join("tokenizer.json")).unwrap();
    tokenizer.with_padding(None).with_truncation(None).unwrap();
    let reference = Reference::open(&path);
    let texts = lines(&data.join("scifact/corpus.jsonl"), 4, |line| {
        line["title"].as_str().unwrap().to_owned()
    });
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (text, vector) in borrowed.iter().zip(model.embed(&borrowed).unwrap()) {
        let ids = tokenizer.encode(*text, true).unwrap().get_ids().to_vec();
        let found = cosine(&vector, &reference.mean(&ids, 0));
        assert!(found > 0.999_99, "{text}: {found}");
    }

    // Made by onnxruntime with int8 weights, so they are near and not the same.
    let stored = std::fs::read(data.join("chorus-icecat/minilm384_docs.f16")).unwrap();
    let stored = stored
        .as_chunks()
        .0
        .iter()
        .map(|&value| half::f16::from_le_bytes(value).to_f32());
    let stored: Vec<f32> = stored.take(60 * 384).collect();
    let products = lines(&data.join("chorus-icecat/corpus.jsonl"), 60, |line| {
        let (title, text) = (line["title"].as_str().unwrap(), line["text"].as_str().unwrap());
        match text.is_empty() || text == title {
            true => title.to_owned(),
            false => format!("{title}. {text}"),
        }
    });
    let products: Vec<&str> = products.iter().map(String::as_str).collect();
    let found = model.embed(&products).unwrap();
    let cosines: Vec<f64> = found
        .iter()
        .zip(stored.chunks(384))
        .map(|(left, right)| cosine(left, right))
        .collect();
    let mean = cosines.iter().sum::<f64>() / 60.0;
    assert!(
        mean > 0.98 && cosines.iter().all(|cosine| *cosine > 0.9),
        "{mean} {cosines:?}"
    );
}

fn lines(path: &Path, count: usize, text: impl Fn(Value) -> String) -> Vec<String> {
    let file = std::fs::read_to_string(path).unwrap();
    file.lines()
        .take(count)
        .map(|line| text(serde_json::from_str(line).unwrap()))
        .collect()
}

/// Why a model cannot be opened, after something was done to its folder.
fn refused(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "bert", "");
    change(folder.path());
    let Err(error) = open_path(folder.path(), "") else {
        panic!("it opens")
    };
    assert!(!error.retry && !error.reason.contains("panic"), "{error}");
    assert!(
        error.to_string().contains(&folder.path().display().to_string()),
        "{error}"
    );
    error.reason
}

#[test]
fn a_model_that_cannot_be_run_says_which_file_and_why() {
    let Err(absent) = open_path(Path::new("/no/such/folder"), "") else {
        panic!("it opens")
    };
    assert_eq!(
        absent.to_string(),
        "embed with model /no/such/folder: there is no such folder"
    );
    let remove = |name: &'static str| move |folder: &Path| std::fs::remove_file(folder.join(name)).unwrap();
    for (reason, part) in [
        (
            refused(remove("model.safetensors")),
            "neither model.safetensors nor model.onnx nor onnx/model.onnx",
        ),
        (refused(remove("config.json")), "no config.json"),
        (refused(remove("tokenizer.json")), "tokenizer.json"),
        (
            refused(|folder| tiny::write(folder, "tokenizer.json", &json!({}))),
            "tokenizer.json",
        ),
        (
            refused(|folder| std::fs::write(folder.join("config.json"), "{").unwrap()),
            "config.json",
        ),
        (
            refused(|folder| tiny::bert(folder, "mpnet", "")),
            "`model_type` is `mpnet`",
        ),
        (
            refused(|folder| std::fs::write(folder.join("model.safetensors"), "x").unwrap()),
            "model.safetensors: it is no safetensors file",
        ),
        (
            refused(|folder| tiny::sentence_files(folder, &["Transformer", "Pooling", "Dense"], &mean(), 9)),
            "a module Dense",
        ),
        (
            refused(|folder| {
                tiny::sentence_files(
                    folder,
                    &["Transformer", "Pooling"],
                    &json!({"pooling_mode": "lasttoken"}),
                    9,
                )
            }),
            "another pooling",
        ),
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let change = |from: &'static str, to: &'static str| {
        refused(move |folder| {
            let path = folder.join("model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let header = std::str::from_utf8(&bytes[8..end]).unwrap().replace(from, to);
            let bytes = [
                &(header.len() as u64).to_le_bytes()[..],
                header.as_bytes(),
                &bytes[end..],
            ]
            .concat();
            std::fs::write(path, bytes).unwrap();
        })
    };
    assert!(
        change("layer.1.output.dense.bias", "layer.1.output.dense.bios")
            .contains("layer.1.output.dense.bias is missing")
    );
    assert!(change("\"F32\"", "\"I32\"").contains("kind I32"));
    assert!(change("embeddings.word_embeddings.weight", "words").contains("word_embeddings.weight"));
}

#[test]
fn damaged_models_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "bert", "");
    tiny::tokenizer(folder.path());
    let onnx = folder.path().join("other.onnx");
    let table: Vec<f32> = (0..tiny::WORDS.len() * 3).map(|at| at as f32).collect();
    tiny::onnx(&onnx, &table, 3, true);
    let mut random = Random::new(11);
    for name in ["model.safetensors", "other.onnx", "config.json", "tokenizer.json"] {
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for _ in 0..40 {
            let mut damaged = whole.clone();
            // Where structure is, which is at the front of each of them.
            for _ in 0..1 + random.below(3) {
                let at = random.below(damaged.len().min(900));
                damaged[at] = random.next() as u8;
            }
            if random.percent(30) {
                damaged.truncate(random.below(damaged.len()));
            }
            std::fs::write(&path, damaged).unwrap();
            // It may still be whole enough to run; it must not take the process with it.
            let path = if name == "other.onnx" {
                &onnx
            } else {
                folder.path()
            };
            let _ = open_path(path, "");
        }
        std::fs::write(&path, whole).unwrap();
    }
    open_path(folder.path(), "").unwrap();
}
