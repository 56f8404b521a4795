//! A node beside the truth: every document, its words and its vector.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::INDEX;
use super::changes::{Note, Truth};
use crate::binary::Served;
use crate::shared::Random;

/// Keys of which a page lists the documents, or one search asks the words.
const PAGE: usize = 500;
const WORDS_TOGETHER: usize = 100;

/// Texts that are looked for among all vectors.
const TEXTS: usize = 300;

/// What is not as it should be.
#[derive(Debug, Default)]
struct Differences {
    missing: Vec<String>,
    extra: Vec<String>,
    /// There, and not as it is now.
    old: Vec<String>,
}

/// Compares all documents of both legs, and says how many there are.
///
/// # Panics
/// One is missing, too many, or old.
pub fn compare(node: &Served, truth: &Truth, name: &str, seed: u64) -> usize {
    let documents: BTreeMap<usize, &Note> = truth.documents().collect();
    let mut differences = Differences::default();
    let end = truth.notes.last_key_value().map_or(0, |(last, _)| last + 1);
    for first in (0..end + PAGE).step_by(PAGE) {
        let page: BTreeMap<String, &Note> = documents
            .range(first..first + PAGE)
            .map(|(id, note)| (id.to_string(), *note))
            .collect();
        for mode in ["keyword", "vector"] {
            let filter = format!("id >= {first} AND id < {}", first + PAGE);
            let found = hits(
                node,
                json!({"query": "note", "mode": mode, "filter": filter, "limit": PAGE}),
            );
            differences.of_page(mode, &page, &found);
        }
    }
    for (id, note) in &documents {
        differences.of_document(node, *id, note);
    }
    let hidden = truth
        .notes
        .values()
        .filter(|note| note.draft)
        .map(|note| &note.word);
    let lost: Vec<&str> = truth
        .dead_words
        .iter()
        .chain(hidden)
        .map(String::as_str)
        .collect();
    for words in lost.chunks(WORDS_TOGETHER) {
        let found = hits(
            node,
            json!({"query": words.join(" "), "mode": "keyword", "limit": 1000, "fields": ["text"]}),
        );
        let extra = found
            .iter()
            .map(|(key, hit)| format!("{key} by a word that no document has: {hit}"));
        differences.extra.extend(extra);
    }
    let mut random = Random::new(seed);
    let all: Vec<_> = documents.iter().collect();
    for _ in 0..TEXTS.min(all.len()) {
        let (id, note) = all[random.below(all.len())];
        let nearest = hits(
            node,
            json!({"query": note.text, "mode": "vector", "limit": 1, "ef": 200}),
        );
        if nearest.first().map(|(key, _)| key.as_str()) != Some(&id.to_string()) {
            differences
                .missing
                .push(format!("{id} among all vectors: {nearest:?}"));
        }
    }
    let Differences { missing, extra, old } = &differences;
    let shown = [missing, extra, old].map(|found| &found[..found.len().min(10)]);
    assert!(
        [missing, extra, old].iter().all(|found| found.is_empty()),
        "{name}, seed {seed}: {} missing, {} extra, {} old: {shown:#?}",
        missing.len(),
        extra.len(),
        old.len(),
    );
    let stats = node.get(&format!("/v1/indexes/{INDEX}/stats")).1;
    for count in ["documents", "vectors"] {
        assert_eq!(stats[count], documents.len(), "{name}, seed {seed}: {count}");
    }
    documents.len()
}

impl Differences {
    /// What one leg lists of some keys.
    fn of_page(&mut self, leg: &str, page: &BTreeMap<String, &Note>, found: &[(String, Value)]) {
        let found: BTreeMap<&str, &Value> = found.iter().map(|(key, hit)| (key.as_str(), hit)).collect();
        let is_there = |key: &str| found.contains_key(key);
        let missing = page.keys().filter(|key| !is_there(key));
        self.missing
            .extend(missing.map(|key| format!("{key} in the {leg} leg")));
        for (key, hit) in found {
            let document = &hit["document"];
            match page.get(key) {
                None => self.extra.push(format!("{key} in the {leg} leg: {document}")),
                Some(note) if *document != expected(key, note) => {
                    self.old
                        .push(format!("{key} in the {leg} leg: {document}, not {note:?}"));
                }
                Some(_) => {}
            }
        }
    }

    /// A document's word finds it alone; its vector is that of its text.
    fn of_document(&mut self, node: &Served, id: usize, note: &Note) {
        let key = id.to_string();
        let by_word = hits(node, json!({"query": note.word, "mode": "keyword", "fields": []}));
        let keys: Vec<&str> = by_word.iter().map(|(key, _)| key.as_str()).collect();
        match keys[..] {
            [found] if found == key => {}
            [] => self.missing.push(format!("{key} by its word {}", note.word)),
            _ => self
                .extra
                .push(format!("{keys:?} by the word {} of {key}", note.word)),
        }
        let filter = format!("id = {id}");
        let by_vector = hits(
            node,
            json!({"query": note.text, "mode": "vector", "filter": filter, "fields": []}),
        );
        let cosine = by_vector
            .first()
            .and_then(|(_, hit)| hit["vector"]["score"].as_f64());
        if cosine.is_none_or(|cosine| cosine < 0.9999) {
            self.old
                .push(format!("the vector of {key} ({}): {by_vector:?}", note.text));
        }
    }
}

/// The document as the node should show it.
fn expected(key: &str, note: &Note) -> Value {
    let id: u64 = key.parse().expect("keys are numbers");
    json!({"id": id, "text": note.text, "rank": note.rank})
}

/// Keys and hits, best first.
fn hits(node: &Served, request: Value) -> Vec<(String, Value)> {
    let answer = node.search(INDEX, &request);
    assert!(answer.get("failed").is_none(), "{request}: {answer}");
    let hits = answer["hits"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let keyed = hits
        .iter()
        .map(|hit| (hit["key"].as_str().expect("a key").to_owned(), hit.clone()));
    keyed.collect()
}
