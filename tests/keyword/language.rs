//! Questions of every kind against a model that reads all rows, and the syntax of what people type.

use std::collections::{BTreeMap, BTreeSet};

use millpond::change::{Datum, DatumRef, Row};
use millpond::definition::{Analyzer, FieldKind, Index, parse_filter};
use millpond::index::keyword::{
    BoolQuery, Compaction, KeywordQuery, MinimumMatch, PhraseQuery, PrefixQuery, Typos, WordsQuery,
};
use millpond::query::language::{Options, Parsed, parse};
use proptest::prelude::*;

use super::support::{KeyRow, Random, Shards, index};

const WORDS: [&str; 12] = [
    "red",
    "shoe",
    "running",
    "laptop",
    "black",
    "cable",
    "tea",
    "pot",
    "light",
    "lightning",
    "x200",
    "tablet",
];

fn two_texts() -> Index {
    index(
        &[("name", 2.0, Analyzer::SIMPLE), ("text", 1.0, Analyzer::SIMPLE)],
        &[("price", FieldKind::I64)],
    )
}

fn sentence(random: &mut Random, most: usize) -> String {
    let count = random.below(most + 1);
    let words: Vec<&str> = (0..count).map(|_| random.pick(&WORDS)).collect();
    words.join(" ")
}

fn changes(shards: &Shards, random: &mut Random, count: usize) -> Vec<KeyRow> {
    let one = |random: &mut Random| {
        let key = format!("k{:03}", random.below(300));
        let row = (random.below(5) > 0).then(|| {
            let (name, text) = (sentence(random, 4), sentence(random, 12));
            shards.row(vec![
                Datum::text(&name),
                Datum::text(&text),
                Datum::Int(random.below(10) as i64),
            ])
        });
        (key, row)
    };
    (0..count).map(|_| one(random)).collect()
}

fn words(text: &str, minimum: MinimumMatch) -> KeywordQuery {
    KeywordQuery::Words(WordsQuery {
        text: text.to_owned(),
        fields: None,
        minimum,
        typos: Typos::Off,
    })
}

fn phrase(text: &str, slop: u32) -> KeywordQuery {
    KeywordQuery::Phrase(PhraseQuery {
        text: text.to_owned(),
        fields: None,
        slop,
    })
}

fn prefix(text: &str) -> KeywordQuery {
    KeywordQuery::Prefix(PrefixQuery {
        text: text.to_owned(),
        fields: None,
    })
}

/// A question out of all kinds.
fn question(random: &mut Random, depth: usize) -> KeywordQuery {
    let minimums = [
        MinimumMatch::Any,
        MinimumMatch::All,
        MinimumMatch::Words(2),
        MinimumMatch::Percent(60),
    ];
    let several = |random: &mut Random| -> Vec<KeywordQuery> {
        let count = random.below(3);
        (0..count).map(|_| question(random, depth - 1)).collect()
    };
    match random.below(if depth == 0 { 5 } else { 9 }) {
        0 => words(&sentence(random, 3), random.pick(&minimums)),
        1 => words(random.pick(&WORDS), MinimumMatch::Any),
        2 => {
            let text = format!("{} {}", random.pick(&WORDS), random.pick(&WORDS));
            phrase(&text, 0)
        }
        3 => prefix(random.pick(&["l", "li", "ta", "red", "q"])),
        4 => KeywordQuery::Matching(Box::new(parse_filter("price < 5").unwrap())),
        5 => {
            let inner = question(random, depth - 1);
            KeywordQuery::Boost(Box::new(inner), random.pick(&[0.5, 3.0]))
        }
        6 => KeywordQuery::OrNone(Box::new(question(random, depth - 1))),
        _ => KeywordQuery::Bool(BoolQuery {
            must: several(random),
            should: several(random),
            must_not: several(random),
            minimum_should_match: random.pick(&[None, Some(1), Some(2)]),
        }),
    }
}

/// Scores by the formula, in double precision, over all rows.
struct Model {
    /// By key: the words of both texts, and the price.
    rows: BTreeMap<String, ([Vec<String>; 2], i64)>,
}

const BOOSTS: [f64; 2] = [2.0, 1.0];

impl Model {
    fn new(rows: &BTreeMap<String, Row>) -> Model {
        let text = |row: &Row, column| match row.value(column) {
            Some(DatumRef::Text(text)) => text.split_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let price = |row: &Row| match row.value(2) {
            Some(DatumRef::Int(price)) => price,
            _ => panic!("each row has a price"),
        };
        let rows = rows
            .iter()
            .map(|(key, row)| (key.clone(), ([text(row, 0), text(row, 1)], price(row))));
        Model { rows: rows.collect() }
    }

    fn idf(&self, frequency: usize) -> f64 {
        let (documents, frequency) = (self.rows.len() as f64, frequency as f64);
        (1.0 + (documents - frequency + 0.5) / (frequency + 0.5)).ln()
    }

    /// The score of each document that has any of it.
    fn counted(&self, weight: f64, count: impl Fn(&[String]) -> f64) -> BTreeMap<String, f64> {
        let length =
            |texts: &[Vec<String>; 2]| BOOSTS[0] * texts[0].len() as f64 + BOOSTS[1] * texts[1].len() as f64;
        let all: f64 = self.rows.values().map(|(texts, _)| length(texts)).sum();
        let average = all / self.rows.len() as f64;
        let scores = self.rows.iter().filter_map(|(key, (texts, _))| {
            let count = BOOSTS[0] * count(&texts[0]) + BOOSTS[1] * count(&texts[1]);
            let saturation = 1.2 * (0.25 + 0.75 * length(texts) / average);
            (count > 0.0).then(|| (key.clone(), weight * 2.2 * count / (count + saturation)))
        });
        scores.collect()
    }

    /// In how many documents' texts, in the one that has most.
    fn frequency(&self, is_it: impl Fn(&str) -> bool) -> usize {
        let of = |text: usize| {
            let rows = self.rows.values();
            rows.filter(|(texts, _)| texts[text].iter().any(|word| is_it(word)))
                .count()
        };
        of(0).max(of(1))
    }

    /// The score of each document that matches; `None`: nothing is asked.
    fn scores(&self, query: &KeywordQuery) -> Option<BTreeMap<String, f64>> {
        match query {
            KeywordQuery::All => Some(self.rows.keys().map(|key| (key.clone(), 1.0)).collect()),
            KeywordQuery::Matching(_) => {
                let cheap = self.rows.iter().filter(|(_, (_, price))| *price < 5);
                Some(cheap.map(|(key, _)| (key.clone(), 1.0)).collect())
            }
            KeywordQuery::Boost(inner, factor) => {
                let mut scores = self.scores(inner)?;
                scores.values_mut().for_each(|score| *score *= f64::from(*factor));
                Some(scores)
            }
            KeywordQuery::OrNone(inner) => Some(self.scores(inner).unwrap_or_default()),
            KeywordQuery::Words(words) => {
                let different: BTreeSet<&str> = words.text.split_whitespace().collect();
                let minimum = match words.minimum {
                    MinimumMatch::Any => 1,
                    MinimumMatch::All => different.len(),
                    MinimumMatch::Words(some) => some.min(different.len()),
                    MinimumMatch::Percent(share) => (different.len() * usize::from(share) / 100).max(1),
                };
                let of_words = different.iter().map(|word| {
                    let weight = self.idf(self.frequency(|other| other == *word));
                    self.counted(weight, |text| {
                        text.iter().filter(|other| *other == word).count() as f64
                    })
                });
                (!different.is_empty()).then(|| sum(of_words.collect(), minimum))
            }
            KeywordQuery::Phrase(phrase) => {
                let wanted: Vec<&str> = phrase.text.split_whitespace().collect();
                let in_text = |text: usize| -> f64 {
                    let of_word = |word: &&str| {
                        let rows = self.rows.values();
                        rows.filter(|(texts, _)| texts[text].iter().any(|other| other == word))
                            .count()
                    };
                    wanted.iter().map(|word| self.idf(of_word(word))).sum()
                };
                Some(self.counted(in_text(0).max(in_text(1)), |text| {
                    text.windows(wanted.len())
                        .filter(|window| *window == wanted)
                        .count() as f64
                }))
            }
            KeywordQuery::Prefix(prefix) => {
                let starts = |word: &str| word.starts_with(&prefix.text);
                let rows = self.rows.values();
                let frequency = rows
                    .filter(|(texts, _)| texts.iter().flatten().any(|word| starts(word)))
                    .count();
                Some(self.counted(self.idf(frequency), |text| {
                    text.iter().filter(|word| starts(word)).count() as f64
                }))
            }
            KeywordQuery::Bool(parts) => self.together(parts),
        }
    }

    fn together(&self, parts: &BoolQuery) -> Option<BTreeMap<String, f64>> {
        let of = |parts: &[KeywordQuery]| -> Vec<BTreeMap<String, f64>> {
            parts.iter().filter_map(|part| self.scores(part)).collect()
        };
        let (must, should, must_not) = (of(&parts.must), of(&parts.should), of(&parts.must_not));
        if must.is_empty() && should.is_empty() && must_not.is_empty() {
            return None;
        }
        let minimum = match parts.minimum_should_match {
            None => usize::from(must.is_empty() && !should.is_empty()),
            Some(more) if more > parts.should.len() => more,
            Some(some) => some.min(should.len()),
        };
        let has = |scores: &BTreeMap<String, f64>, key: &String| scores.contains_key(key);
        let matches = self.rows.keys().filter(|key| {
            must.iter().all(|scores| has(scores, key))
                && !must_not.iter().any(|scores| has(scores, key))
                && should.iter().filter(|scores| has(scores, key)).count() >= minimum
        });
        let score = |key: &String| {
            let parts = must.iter().chain(&should).filter_map(|scores| scores.get(key));
            parts.sum::<f64>()
        };
        Some(matches.map(|key| (key.clone(), score(key))).collect())
    }
}

/// The sums of the documents that are in so many.
fn sum(all: Vec<BTreeMap<String, f64>>, minimum: usize) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for (key, score) in all.into_iter().flatten() {
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + 1, sum.1 + score);
    }
    let enough = sums.into_iter().filter(|(_, (count, _))| *count >= minimum);
    enough.map(|(key, (_, score))| (key, score)).collect()
}

fn check(shards: &Shards, query: &KeywordQuery, limit: usize, context: &str) {
    let expected = Model::new(&shards.rows).scores(query).unwrap_or_default();
    let hits = shards.ask(query, limit);
    assert_eq!(hits.len(), expected.len().min(limit), "{context}");
    for (key, score) in &hits {
        let wanted = expected
            .get(key)
            .unwrap_or_else(|| panic!("{key} does not match, {context}"));
        let near = (f64::from(*score) - wanted).abs() <= 1e-5 * wanted.abs().max(1e-3);
        assert!(near, "{key} has {score}, not {wanted}, {context}");
    }
    for pair in hits.windows(2) {
        let ordered = pair[0].1 > pair[1].1 || pair[0].1 == pair[1].1 && pair[0].0 < pair[1].0;
        assert!(ordered, "{pair:?}, {context}");
    }
    if let Some((_, last)) = hits.last() {
        let found: BTreeSet<&String> = hits.iter().map(|(key, _)| key).collect();
        let better = expected
            .iter()
            .find(|(key, score)| !found.contains(key) && **score > f64::from(*last) * 1.00001 + 1e-6);
        assert_eq!(better, None, "left out, {context}");
    }
    let all: Vec<String> = expected.into_keys().collect();
    assert_eq!(shards.matching(query, None), all, "matching, {context}");
}

#[test]
fn every_question_is_answered_as_the_model_does() {
    for seed in 1..=8 {
        let mut random = Random::new(seed);
        let mut shards = Shards::new(&two_texts(), 1 + seed as usize % 3, Compaction::Inline);
        for tick in 0..60 {
            let batch = changes(&shards, &mut random, 12);
            shards.tick(batch);
            let query = question(&mut random, 2);
            let limit = random.pick(&[1, 5, 1_000]);
            check(
                &shards,
                &query,
                limit,
                &format!("seed {seed}, tick {tick}, limit {limit}, {query:?}"),
            );
        }
    }
}

#[test]
fn a_filter_narrows_answers_and_changes_no_score() {
    let mut random = Random::new(7);
    let mut shards = Shards::new(&two_texts(), 2, Compaction::Inline);
    let batch = changes(&shards, &mut random, 400);
    shards.tick(batch);
    let filters = shards.filter(&parse_filter("price >= 4").unwrap());
    let allowed = shards.keys(&filters);
    for _ in 0..60 {
        let query = question(&mut random, 2);
        let within = shards.ask_within(&query, Some(&filters), None, 1_000);
        let mut expected = shards.ask(&query, 1_000);
        expected.retain(|(key, _)| allowed.contains(key));
        assert_eq!(within, expected, "{query:?}");
        let mut keys: Vec<String> = expected.into_iter().map(|(key, _)| key).collect();
        keys.sort();
        assert_eq!(shards.matching(&query, Some(&filters)), keys, "{query:?}");
    }
}

// ---- typing errors ------------------------------------------------------------------------------------

fn of_names(names: &[&str]) -> Shards {
    analysed(Analyzer::SIMPLE, names)
}

fn analysed(analyzer: Analyzer, names: &[&str]) -> Shards {
    let index = index(&[("name", 1.0, analyzer)], &[]);
    let mut shards = Shards::new(&index, 2, Compaction::Inline);
    let rows = names.iter().map(|name| {
        let row = shards.row(vec![Datum::text(name)]);
        ((*name).to_owned(), Some(row))
    });
    let rows = rows.collect();
    shards.tick(rows);
    shards
}

fn keys(hits: Vec<(String, f32)>) -> Vec<String> {
    hits.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn words_with_typing_errors_are_found_behind_those_without() {
    let shards = of_names(&[
        "wireless headphones",
        "wireles headphons",
        "headphones",
        "tablet",
        "table",
        "shoe",
        "shop",
    ]);
    let ask = |query: &str, limit| keys(shards.ask(&KeywordQuery::words(query), limit));
    assert_eq!(ask("tablet", 10), ["tablet", "table"]);
    assert_eq!(ask("table", 10), ["table", "tablet"]);
    assert_eq!(ask("tablet", 1), ["tablet"]);
    assert_eq!(ask("headphnoes", 1), ["headphones"]);
    assert_eq!(ask("shoe", 10), ["shoe"], "four letters are meant");
    assert_eq!(ask("qablet", 10), [""; 0], "the first letter stands");
    // Among documents that have the other word, the one with the variant comes first.
    let two = of_names(&["leather headphones", "wireless headphones", "wireless tea"]);
    let found = keys(two.ask(&KeywordQuery::words("wirelesx headphones"), 10));
    assert_eq!(
        found,
        ["wireless headphones", "leather headphones", "wireless tea"]
    );
    let stems = analysed(Analyzer::ENGLISH, &["wireless headphones"]);
    assert_eq!(stems.ask(&KeywordQuery::words("headphnoes"), 1).len(), 1);
    let off = KeywordQuery::Words(WordsQuery {
        text: "headphnoes".into(),
        fields: None,
        minimum: MinimumMatch::Any,
        typos: Typos::Off,
    });
    assert_eq!(shards.ask(&off, 10), []);
}

#[test]
fn what_is_found_by_variants_scores_less_than_all_else_whatever_the_limit() {
    let shards = of_names(&["cables cables", "cable of copper", "cabler", "cabley tea", "tea"]);
    let query = KeywordQuery::words("cable tea");
    let all = shards.ask(&query, 100);
    assert_eq!(all.len(), 5);
    let exact = shards.search("cable tea", 100);
    assert_eq!(
        all[..exact.len()],
        exact,
        "variants change no score of an exact match"
    );
    assert!(
        all[exact.len()..]
            .iter()
            .all(|(_, score)| *score > 0.0 && *score < exact.last().unwrap().1)
    );
    for limit in 1..5 {
        assert_eq!(shards.ask(&query, limit), all[..limit], "{limit}");
    }
    assert_eq!(shards.matching(&query, None).len(), all.len());
}

#[test]
fn a_word_that_only_deleted_documents_had_is_nobodys_variant() {
    let mut shards = of_names(&["lantern", "lanterm"]);
    let query = KeywordQuery::words("lanters");
    assert_eq!(shards.ask(&query, 10).len(), 2);
    shards.tick(vec![("lanterm".into(), None)]);
    assert_eq!(keys(shards.ask(&query, 10)), ["lantern"]);
}

#[test]
fn long_queries_take_each_word_as_it_is_written() {
    let shards = of_names(&["tablet"]);
    let filler: String = (0..32).map(|i| format!(" f{i}")).collect();
    assert_eq!(
        shards.ask(&KeywordQuery::words(format!("tablex{filler}")), 10),
        []
    );
    let filler: String = (0..31).map(|i| format!(" f{i}")).collect();
    assert_eq!(
        shards
            .ask(&KeywordQuery::words(format!("tablex{filler}")), 10)
            .len(),
        1
    );
}

/// The same documents, whatever their segments and shards.
#[test]
fn variants_and_their_scores_do_not_depend_on_layout() {
    let mut random = Random::new(3);
    let mut history = Shards::new(&two_texts(), 1, Compaction::Inline);
    for _ in 0..80 {
        let batch = changes(&history, &mut random, 12);
        history.tick(batch);
    }
    let rows: Vec<KeyRow> = history
        .rows
        .iter()
        .map(|(key, row)| (key.clone(), Some(row.clone())))
        .collect();
    for (shards, per_tick) in [(1, 1_000), (3, 7)] {
        let mut other = Shards::new(&two_texts(), shards, Compaction::Inline);
        rows.chunks(per_tick).for_each(|rows| other.tick(rows.to_vec()));
        for query in [
            "lightt",
            "tables red",
            "laptob blakc",
            "lightning pot",
            "cabel runnin",
        ] {
            let query = KeywordQuery::words(query);
            assert_eq!(other.ask(&query, 500), history.ask(&query, 500), "{query:?}");
        }
    }
}

// ---- populations --------------------------------------------------------------------------------------

#[test]
fn the_statistics_of_a_population_are_those_of_an_index_that_holds_nothing_else() {
    let mut random = Random::new(11);
    let mut shared = Shards::new(&two_texts(), 2, Compaction::Inline);
    for _ in 0..60 {
        let batch = changes(&shared, &mut random, 15);
        shared.tick(batch);
    }
    let is_one = |key: &str| key.ends_with(['1', '4', '7']);
    let population = shared.slots(is_one);
    let mut alone = Shards::new(&two_texts(), 1, Compaction::Inline);
    let rows = shared.rows.iter().filter(|(key, _)| is_one(key));
    alone.tick(rows.map(|(key, row)| (key.clone(), Some(row.clone()))).collect());
    assert!(alone.rows.len() > 30 && alone.rows.len() < shared.rows.len());
    for round in 0..60 {
        let query = match round % 3 {
            0 => KeywordQuery::words(random.pick(&["lightt red", "tables", "laptob blakc"])),
            _ => question(&mut random, 2),
        };
        let hits = shared.ask_within(&query, None, Some(&population), 1_000);
        assert_eq!(hits, alone.ask(&query, 1_000), "{query:?}");
    }
}

// ---- what people type ---------------------------------------------------------------------------------

fn parsed(text: &str) -> Parsed {
    parse(text, &two_texts().text, &Options::default())
}

#[test]
fn what_is_no_syntax_is_words() {
    for text in [
        "red shoes",
        "usb-c cable",
        "-20 degrees",
        "+8gb",
        "a - b",
        "size: 42",
        "colour:red",
        "don't <b>stop</b>",
        "C++ C#",
        "\"",
        "\"unbalanced quote",
        "15\" laptop 17\"",
        "x^2 10^6",
        "* ** a*b",
        "name:",
        "name: red",
        "(red OR blue) AND NOT green",
        "",
        "--help",
        "\"\" \"...\"",
    ] {
        let expected = Parsed {
            query: KeywordQuery::words(text),
            required: None,
            plain: None,
        };
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn syntax_is_read_at_the_start_of_words() {
    let all = |text: &str, fields| {
        KeywordQuery::Words(WordsQuery {
            text: text.to_owned(),
            fields,
            minimum: MinimumMatch::All,
            typos: Typos::Auto,
        })
    };
    let read = parsed("red +usb-c -name:used sho* \"tea pot\"~2^3 text:light^0.5 7\"");
    let slop = KeywordQuery::Boost(Box::new(phrase("tea pot", 2)), 3.0);
    let light = KeywordQuery::Boost(Box::new(all("light", Some(vec![(1, 1.0)]))), 0.5);
    let must = vec![all("usb-c", None)];
    let must_not = vec![all("used", Some(vec![(0, 2.0)]))];
    let expected = KeywordQuery::Bool(BoolQuery {
        must: must.clone(),
        should: vec![KeywordQuery::words("red 7\""), prefix("sho"), slop, light],
        must_not: must_not.clone(),
        minimum_should_match: None,
    });
    assert_eq!(read.query, expected);
    assert_eq!(read.plain.as_deref(), Some("red usb-c sho tea pot light 7\""));
    let required = BoolQuery {
        must,
        must_not,
        ..BoolQuery::default()
    };
    assert_eq!(read.required, Some(KeywordQuery::Bool(required)));
}

#[test]
fn typed_queries_find_what_they_say() {
    let names = [
        "red tea pot",
        "tea red pot",
        "green tea",
        "usb-c cable",
        "usb hub c",
    ];
    let shards = analysed(Analyzer::ENGLISH, &names);
    let texts = index(&[("name", 1.0, Analyzer::ENGLISH)], &[]).text;
    let find = |text: &str| {
        let mut keys = keys(shards.ask(&parse(text, &texts, &Options::default()).query, 10));
        keys.sort();
        keys
    };
    assert_eq!(find("\"tea pots\""), ["red tea pot"]);
    assert_eq!(find("\"tea pot\"~1"), ["red tea pot", "tea red pot"]);
    assert_eq!(find("tea -red"), ["green tea"]);
    assert_eq!(find("tea -\"red tea\""), ["green tea", "tea red pot"]);
    assert_eq!(find("tea +pot"), ["red tea pot", "tea red pot"]);
    assert_eq!(find("gre*"), ["green tea"]);
    assert_eq!(find("-tea"), ["usb hub c", "usb-c cable"]);
    assert_eq!(find("name:\"usb c\""), ["usb-c cable"]);
    let all = Options {
        minimum: MinimumMatch::All,
        ..Options::default()
    };
    assert_eq!(
        keys(shards.ask(&parse("the green teas", &texts, &all).query, 10)),
        ["green tea"]
    );
}

proptest! {
    #[test]
    fn no_query_is_an_error(text in "[-+\"*:^~ a-e0-9\\p{L}]{0,40}") {
        let shards = of_names(&["a b", "c", "ab cd de"]);
        let query = parse(&text, &two_texts().text[..1], &Options::default()).query;
        let hits = shards.ask(&query, 10);
        let mut found = keys(hits);
        found.sort();
        prop_assert_eq!(found, shards.matching(&query, None));
    }
}
