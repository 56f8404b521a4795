//! BM25 by the formula, over all rows, in double precision.

use std::collections::{BTreeMap, BTreeSet};

use millpond::change::{DatumRef, Row};
use millpond::definition::{Analyzer, Index};

/// Words of the tests, and what English analysis makes of them; `None` for stop words.
pub const WORDS: &[(&str, Option<&str>)] = &[
    ("red", Some("red")),
    ("Shoes", Some("shoe")),
    ("shoe", Some("shoe")),
    ("running", Some("run")),
    ("runs", Some("run")),
    ("the", None),
    ("and", None),
    ("laptop", Some("laptop")),
    ("laptops", Some("laptop")),
    ("BLACK", Some("black")),
    ("cables", Some("cabl")),
    ("cable", Some("cabl")),
    ("x200", Some("x200")),
    ("Ünder", Some("ünder")),
    ("light", Some("light")),
    ("lights", Some("light")),
    ("7", Some("7")),
    ("tea", Some("tea")),
    ("pot", Some("pot")),
    ("pots", Some("pot")),
];

/// The words of a text, and their places: words that are dropped leave a gap.
fn tokens(text: &str, analyzer: Analyzer) -> Vec<(usize, String)> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let token = |word: &str| match analyzer {
        Analyzer::SIMPLE => Some(word.to_lowercase()),
        other if other != Analyzer::ENGLISH => panic!("the model knows no {other}"),
        _ => {
            let known = WORDS
                .iter()
                .find(|(known, _)| known.to_lowercase() == word.to_lowercase());
            known.map_or_else(
                || Some(word.to_lowercase()),
                |(_, token)| token.map(str::to_owned),
            )
        }
    };
    let words = words.enumerate().filter(|(_, word)| word.len() <= 100);
    words
        .filter_map(|(place, word)| Some((place, token(word)?)))
        .collect()
}

/// A length as an index keeps it in a byte: Lucene's rounding, exact below 40.
fn rounded(length: usize) -> f64 {
    let decoded = (0..232u64).map(|i| match i >> 3 {
        0 => 24 + i,
        exponent => 24 + ((i & 7 | 8) << (exponent - 1)),
    });
    (0..24)
        .chain(decoded)
        .take_while(|value| *value <= length as u64)
        .last()
        .unwrap_or(0) as f64
}

/// Every key that matches, with its score: BM25F, in which a document's texts count as one.
pub fn scores(index: &Index, rows: &BTreeMap<String, Row>, query: &str) -> BTreeMap<String, f64> {
    // By text: the tokens of every row.
    let texts: Vec<BTreeMap<&String, Vec<String>>> = index
        .text
        .iter()
        .map(|text| {
            let tokens = |row: &Row| match row.value(text.column) {
                Some(DatumRef::Text(value)) => tokens(value, text.analyzer)
                    .into_iter()
                    .map(|(_, token)| token)
                    .collect(),
                _ => Vec::new(),
            };
            rows.iter().map(|(key, row)| (key, tokens(row))).collect()
        })
        .collect();
    let boosts: Vec<f64> = index.text.iter().map(|text| f64::from(text.boost)).collect();
    let documents = rows.len() as f64;
    let length_of_all = texts
        .iter()
        .zip(&boosts)
        .map(|(text, boost)| boost * text.values().map(Vec::len).sum::<usize>() as f64);
    let average = length_of_all.sum::<f64>() / documents;

    // By place in the query: the texts' tokens that have not been seen before.
    let mut words: BTreeMap<usize, Vec<(usize, String)>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (i, text) in index.text.iter().enumerate() {
        for (place, token) in tokens(query, text.analyzer) {
            if seen.insert((i, token.clone())) {
                words.entry(place).or_default().push((i, token));
            }
        }
    }

    let mut scores = BTreeMap::new();
    for word in words.values() {
        let frequency =
            |(i, token): &(usize, String)| texts[*i].values().filter(|text| text.contains(token)).count();
        let frequency = word.iter().map(frequency).max().unwrap() as f64;
        let idf = (1.0 + (documents - frequency + 0.5) / (frequency + 0.5)).ln();
        for key in rows.keys() {
            let count = word.iter().map(|(i, token)| {
                boosts[*i] * texts[*i][key].iter().filter(|other| *other == token).count() as f64
            });
            let count: f64 = count.sum();
            if count > 0.0 {
                let length = texts
                    .iter()
                    .zip(&boosts)
                    .map(|(text, boost)| boost * rounded(text[key].len()));
                let share = count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length.sum::<f64>() / average));
                *scores.entry(key.clone()).or_insert(0.0) += idf * share;
            }
        }
    }
    scores
}

/// Compares hits with the model: all scores, the order, and who was left out.
pub fn check(hits: &[(String, f32)], scores: &BTreeMap<String, f64>, limit: usize, context: &str) {
    let near = |left: f64, right: f64| (left - right).abs() <= 1e-5 * left.abs().max(right.abs());
    assert_eq!(hits.len(), limit.min(scores.len()), "number of hits, {context}");
    for (key, score) in hits {
        let expected = scores
            .get(key)
            .unwrap_or_else(|| panic!("{key} does not match, {context}"));
        assert!(
            near(f64::from(*score), *expected),
            "{key} has {score}, not {expected}, {context}"
        );
    }
    for pair in hits.windows(2) {
        let ordered = pair[0].1 > pair[1].1 || pair[0].1 == pair[1].1 && pair[0].0 < pair[1].0;
        assert!(ordered, "{pair:?} is out of order, {context}");
    }
    let Some((last_key, last)) = hits.last() else {
        return;
    };
    let found: BTreeSet<&String> = hits.iter().map(|(key, _)| key).collect();
    for (key, score) in scores.iter().filter(|(key, _)| !found.contains(key)) {
        let ties = *score == scores[last_key];
        assert!(
            near(*score, f64::from(*last)) || *score < f64::from(*last),
            "{key} is missing, {context}"
        );
        assert!(
            !ties || key > last_key,
            "{key} ties with {last_key} and comes first, {context}"
        );
    }
}
