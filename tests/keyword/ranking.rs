//! Scores and order: against the model, and the same for every layout.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use millpond::change::{Datum, Key, Row};
use millpond::definition::{Analyzer, FieldKind, Index};
use millpond::index::keyword::Compaction;
use millpond::index::{Document, Slot};

use super::model::{self, WORDS};
use super::support::{KeyRow, Random, Shards, index};

fn products() -> Index {
    index(
        &[("name", 2.0, Analyzer::English), ("code", 1.0, Analyzer::Simple)],
        &[("price", FieldKind::F64)],
    )
}

fn words(random: &mut Random, count: usize) -> String {
    (0..count)
        .map(|_| WORDS[random.below(WORDS.len())].0)
        .collect::<Vec<_>>()
        .join(" ")
}

fn row(shards: &Shards, random: &mut Random) -> Row {
    let name = match random.below(12) {
        0 => Datum::Null,
        1 => Datum::text(""),
        2 => Datum::text(&words(random, 60)),
        _ => {
            let count = 1 + random.below(8);
            Datum::text(&words(random, count))
        }
    };
    let code = Datum::text(&words(random, 2));
    shards.row(vec![name, code, Datum::Int(random.below(50) as i64)])
}

/// Upserts and deletes of a small key space, so that they collide.
fn changes(shards: &Shards, random: &mut Random, count: usize, keys: usize) -> Vec<KeyRow> {
    (0..count)
        .map(|_| {
            let key = format!("k{}", random.below(keys));
            if random.below(5) == 0 {
                (key, None)
            } else {
                (key, Some(row(shards, random)))
            }
        })
        .collect()
}

fn random_stream(compaction: Compaction, seed: u64) {
    let index = products();
    let mut random = Random::new(seed);
    let mut shards = Shards::new(&index, 1 + seed as usize % 3, compaction);
    for tick in 0..150 {
        let count = 1 + random.below(30);
        let batch = changes(&shards, &mut random, count, 400);
        shards.tick(batch);
        if tick % 5 == 0 || shards.has_finished_work() {
            let count = 1 + random.below(4);
            let query = words(&mut random, count);
            let limit = 1 + random.below(40);
            let context = format!("seed {seed}, tick {tick}, `{query}`, limit {limit}");
            let scores = model::scores(&index, &shards.rows, &query);
            model::check(&shards.search(&query, limit), &scores, limit, &context);
        }
    }
}

#[test]
fn scores_and_order_are_those_of_the_model_with_compaction_inside_the_ticks() {
    (1..=6).for_each(|seed| random_stream(Compaction::Inline, seed));
}

#[test]
fn scores_and_order_are_those_of_the_model_with_compaction_beside_the_ticks() {
    (11..=16).for_each(|seed| random_stream(Compaction::Background, seed));
}

#[test]
fn a_finished_compaction_calls_and_changes_no_answer() {
    let index = products();
    let mut random = Random::new(5);
    let mut shards = Shards::new(&index, 1, Compaction::Background);
    // Each tick takes in what has finished before it: after one of them a compaction finishes by itself.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !shards.has_finished_work() {
        assert!(Instant::now() < deadline, "no compaction finished");
        let batch = changes(&shards, &mut random, 10, 200);
        shards.tick(batch);
        let pause = Instant::now() + Duration::from_millis(50);
        while !shards.has_finished_work() && Instant::now() < pause {
            std::thread::yield_now();
        }
    }
    let before = shards.search("red shoe cable", 200);
    // Also documents that the compaction has copied and that die before it enters.
    let gone: Vec<String> = shards.rows.keys().take(30).cloned().collect();
    shards.tick(gone.iter().map(|key| (key.clone(), None)).collect());
    assert!(!before.is_empty());
    assert!(shards.calls.load(Ordering::SeqCst) > 0);
    let hits = shards.search("red shoe cable", 200);
    assert!(hits.iter().all(|(key, _)| !gone.contains(key)));
    model::check(
        &hits,
        &model::scores(&index, &shards.rows, "red shoe cable"),
        200,
        "after the compaction",
    );
}

#[test]
fn threads_of_compaction_end_with_their_writer() {
    let mut random = Random::new(6);
    let mut shards = Shards::new(&products(), 1, Compaction::Background);
    let deadline = Instant::now() + Duration::from_secs(60);
    while shards.calls.load(Ordering::SeqCst) == 0 {
        let batch = changes(&shards, &mut random, 5, 200);
        shards.tick(batch);
        assert!(Instant::now() < deadline, "no compaction finished");
    }
    let calls = shards.calls.clone();
    drop(shards);
    while Arc::strong_count(&calls) > 1 {
        assert!(Instant::now() < deadline, "a thread lives on");
        std::thread::yield_now();
    }
}

/// The same rows, laid out in all ways, have the same scores to the last bit.
#[test]
fn scores_do_not_depend_on_ticks_updates_compactions_or_shards() {
    let index = products();
    for seed in 21..=23 {
        let mut random = Random::new(seed);
        let mut history = Shards::new(&index, 1, Compaction::Inline);
        for _ in 0..200 {
            let batch = changes(&history, &mut random, 15, 600);
            history.tick(batch);
        }
        let rows = history.rows.clone();
        let build = |shards: usize, per_tick: usize, compaction: Compaction| {
            let mut built = Shards::new(&index, shards, compaction);
            let rows: Vec<KeyRow> = rows
                .iter()
                .map(|(key, row)| (key.clone(), Some(row.clone())))
                .collect();
            rows.chunks(per_tick).for_each(|rows| built.tick(rows.to_vec()));
            built
        };
        let others = [
            build(1, usize::MAX, Compaction::Inline),
            build(3, usize::MAX, Compaction::Inline),
            build(3, 7, Compaction::Inline),
            build(1, 7, Compaction::Background),
        ];
        for query in [
            "red",
            "the black laptop",
            "running shoes and tea pots",
            "x200 cable light 7 ünder",
        ] {
            for limit in [1, 10, 1_000] {
                let bits = |shards: &Shards| -> Vec<(String, u32)> {
                    shards
                        .search(query, limit)
                        .into_iter()
                        .map(|(key, score)| (key, score.to_bits()))
                        .collect()
                };
                let expected = bits(&history);
                assert!(!expected.is_empty());
                for (i, other) in others.iter().enumerate() {
                    assert_eq!(
                        bits(other),
                        expected,
                        "layout {i}, seed {seed}, `{query}`, limit {limit}"
                    );
                }
            }
        }
    }
}

#[test]
fn two_runs_with_compaction_inside_the_ticks_are_equal() {
    let run = || {
        let mut random = Random::new(31);
        let mut shards = Shards::new(&products(), 2, Compaction::Inline);
        let mut answers = Vec::new();
        for _ in 0..60 {
            let batch = changes(&shards, &mut random, 20, 300);
            shards.tick(batch);
            answers.push(shards.search("light tea", 20));
        }
        answers
    };
    assert_eq!(run(), run());
}

#[test]
fn equal_scores_are_ordered_by_key_at_every_limit() {
    let index = index(&[("name", 1.0, Analyzer::English)], &[]);
    let mut shards = Shards::new(&index, 2, Compaction::Inline);
    // Keys arrive in an order that is neither theirs nor the slots'.
    for i in 0..300 {
        let key = format!("{:03}", i * 77 % 300);
        let row = shards.row(vec![Datum::text("red shoe")]);
        shards.tick(vec![(key, Some(row))]);
    }
    for limit in [1, 2, 50, 299, 300, 301] {
        let keys: Vec<String> = shards
            .search("shoes", limit)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let expected: Vec<String> = (0..limit.min(300)).map(|i| format!("{i:03}")).collect();
        assert_eq!(keys, expected);
    }
}

#[test]
fn what_is_not_searched_or_filtered_by_changes_nothing() {
    let mut index = index(&[("name", 1.0, Analyzer::English)], &[("price", FieldKind::F64)]);
    index.plan.columns.push("note".into());
    let mut shards = Shards::new(&index, 1, Compaction::Inline);
    let row = |shards: &Shards, note: &str| {
        Some(shards.row(vec![Datum::text("tea pot"), Datum::Int(1), Datum::text(note)]))
    };
    let first = row(&shards, "a");
    shards.tick(vec![("1".into(), first)]);
    let before = shards.states();
    let second = row(&shards, "b");
    shards.tick(vec![("1".into(), second)]);
    assert!(Arc::ptr_eq(&before[0], &shards.states()[0]));
    shards.tick(vec![("1".into(), None)]);
    assert_eq!(shards.search("tea", 10), []);
}

#[test]
fn an_old_state_answers_as_before() {
    let mut shards = Shards::new(&products(), 1, Compaction::Inline);
    let row = shards.row(vec![Datum::text("red shoe"), Datum::Null, Datum::Null]);
    shards.tick(vec![("1".into(), Some(row))]);
    let old = shards.states();
    shards.tick(vec![("1".into(), None)]);
    let document = Document {
        key: Key::new([Datum::text("1")]),
        row: shards.row(vec![Datum::Null, Datum::Null, Datum::Null]),
    };
    let of_slot = |_: usize, _: Slot| Some(&document);
    let find = |state| {
        millpond::index::keyword::search(&[state], "shoe", None, 10, &of_slot)
            .unwrap()
            .len()
    };
    assert_eq!(find(&*old[0]), 1);
    assert_eq!(find(&*shards.states()[0]), 0);
}

#[test]
fn every_query_is_taken_as_words() {
    let index = index(
        &[("name", 1.0, Analyzer::English), ("code", 1.0, Analyzer::Simple)],
        &[],
    );
    let mut shards = Shards::new(&index, 1, Compaction::Inline);
    let texts = [
        "don't stop",
        "C++ in <b>bold</b>",
        "tea 🫖 pot",
        "the and of",
        "name:value AND \"quoted",
    ];
    let rows = texts.iter().enumerate().map(|(i, text)| {
        (
            i.to_string(),
            Some(shards.row(vec![Datum::text(text), Datum::Null])),
        )
    });
    let rows = rows.collect();
    shards.tick(rows);
    let found =
        |query: &str| -> Vec<String> { shards.search(query, 10).into_iter().map(|(key, _)| key).collect() };
    assert_eq!(found("don't"), ["0"]);
    assert_eq!(found("<b>"), ["1"]);
    assert_eq!(found("C++"), ["1"]);
    assert_eq!(found("🫖"), Vec::<String>::new());
    assert_eq!(found("🫖 pots!"), ["2"]);
    assert_eq!(found("name:value"), ["4"]);
    assert_eq!(found("\"quoted"), ["4"]);
    for nothing in [
        "",
        "   ",
        "the of and",
        "(((",
        "\0",
        "AND OR NOT",
        &"x".repeat(5_000),
    ] {
        assert_eq!(found(nothing), Vec::<String>::new(), "`{nothing}`");
    }
    assert_eq!(shards.search("tea", 0), []);
}

#[test]
fn five_hundred_and_twelve_words_are_one_query() {
    let index = index(&[("name", 1.0, Analyzer::Simple)], &[]);
    let mut shards = Shards::new(&index, 1, Compaction::Inline);
    let rows = (0..600).map(|i| {
        (
            format!("{i:03}"),
            Some(shards.row(vec![Datum::text(&format!("w{i} w{}", i + 1))])),
        )
    });
    let rows = rows.collect();
    shards.tick(rows);
    let query: Vec<String> = (0..512).map(|i| format!("w{i}")).collect();
    let query = query.join(" ");
    let hits = shards.search(&query, 1_000);
    model::check(
        &hits,
        &model::scores(&index, &shards.rows, &query),
        1_000,
        "512 words",
    );
    assert_eq!(hits.len(), 512);
}

#[test]
fn a_first_tick_may_hold_more_than_a_segment() {
    let index = index(&[("name", 1.0, Analyzer::Simple)], &[]);
    let mut shards = Shards::new(&index, 1, Compaction::Background);
    let rows = (0..60_000).map(|i| {
        (
            i.to_string(),
            Some(shards.row(vec![Datum::text(&format!("common n{} m{}", i % 100, i % 7))])),
        )
    });
    let rows = rows.collect();
    shards.tick(rows);
    let hits = shards.search("common n7 m3", 20);
    model::check(
        &hits,
        &model::scores(&index, &shards.rows, "common n7 m3"),
        20,
        "60,000 documents",
    );
}
