//! Judged queries over public data: what the defaults are worth.

use std::collections::HashMap;
use std::path::Path;

use millpond::change::Datum;
use millpond::definition::{Analyzer, Index};
use millpond::index::keyword::{Compaction, Typos};
use millpond::query::language::{Options, parse};
use serde_json::Value;

use super::support::{Shards, index};
use crate::shared::public_data;

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// nDCG@10 over all queries that have a relevant document.
fn ndcg(folder: &Path, index: &Index, typos: Typos, row: impl Fn(&Value) -> Vec<Datum>) -> f64 {
    let mut shards = Shards::new(index, 1, Compaction::Inline);
    let corpus = lines(&folder.join("corpus.jsonl"));
    let rows = corpus
        .iter()
        .map(|line| (text(line, "_id").to_owned(), Some(shards.row(row(line)))));
    let rows = rows.collect();
    shards.tick(rows);

    let mut grades: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in std::fs::read_to_string(folder.join("qrels.tsv"))
        .unwrap()
        .lines()
        .skip(1)
    {
        let fields: Vec<&str> = line.split('\t').collect();
        let grade: f64 = fields[2].parse().unwrap();
        grades
            .entry(fields[0].to_owned())
            .or_default()
            .insert(fields[1].to_owned(), grade);
    }
    let gain = |grades: &[f64]| -> f64 {
        (0..)
            .zip(grades)
            .take(10)
            .map(|(rank, grade)| (grade.exp2() - 1.0) / f64::from(rank + 2).log2())
            .sum()
    };
    let options = Options {
        typos,
        ..Options::default()
    };
    let mut values = Vec::new();
    for query in lines(&folder.join("queries.jsonl")) {
        let Some(grades) = grades.get(text(&query, "_id")) else {
            continue;
        };
        let mut ideal: Vec<f64> = grades.values().copied().collect();
        ideal.sort_by(|left, right| right.total_cmp(left));
        if ideal[0] > 0.0 {
            let parsed = parse(text(&query, "text"), &index.text, &options);
            let hits = shards.ask(&parsed.query, 10);
            let found: Vec<f64> = hits
                .iter()
                .map(|(key, _)| grades.get(key).copied().unwrap_or(0.0))
                .collect();
            values.push(gain(&found) / gain(&ideal));
        }
    }
    values.iter().sum::<f64>() / values.len() as f64
}

fn two_texts(folder: &Path, boost: f32, typos: Typos) -> f64 {
    let index = index(
        &[
            ("title", boost, Analyzer::ENGLISH),
            ("text", 1.0, Analyzer::ENGLISH),
        ],
        &[],
    );
    ndcg(folder, &index, typos, |line| {
        vec![Datum::text(text(line, "title")), Datum::text(text(line, "text"))]
    })
}

fn one_text(folder: &Path, typos: Typos) -> f64 {
    let index = index(&[("text", 1.0, Analyzer::ENGLISH)], &[]);
    ndcg(folder, &index, typos, |line| {
        vec![Datum::text(&format!(
            "{}. {}",
            text(line, "title"),
            text(line, "text")
        ))]
    })
}

#[test]
fn judged_queries_are_answered_well_with_defaults() {
    for (name, least) in [("chorus-icecat", 0.70), ("scifact", 0.66)] {
        let Some(folder) = public_data(&format!("search/{name}")) else {
            return;
        };
        let of = |typos| {
            let (one, two) = (one_text(&folder, typos), two_texts(&folder, 1.0, typos));
            (one, two, two_texts(&folder, 2.0, typos))
        };
        let (one, two, boosted) = of(Typos::Auto);
        let exact = of(Typos::Off);
        println!("{name}: nDCG@10 one text {one:.4}, two texts {two:.4}, with twice the title {boosted:.4}");
        println!(
            "  without typing errors {:.4}, {:.4} and {:.4}",
            exact.0, exact.1, exact.2
        );
        assert!(
            one > exact.0 - 0.002 && two > exact.1 - 0.002 && boosted > exact.2 - 0.002,
            "{name}: typing errors cost answers"
        );
        assert!(
            one >= least && two >= least,
            "{name}: one text {one:.4}, two texts {two:.4}, wanted {least}"
        );
    }
}
