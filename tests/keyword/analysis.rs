//! What each analyser finds, with synonyms and stop words, and how scores are explained.

use millpond::change::Datum;
use millpond::definition::{Analyzer, Index, Language, Sizes, Split, Synonyms};
use millpond::index::keyword::{
    Compaction, KeywordQuery, MinimumMatch, PartKind, PhraseQuery, PrefixQuery, Typos, WordsQuery, explain,
    search,
};
use millpond::query::language::{Options, parse};

use super::support::{Shards, index};

fn of(analyzer: Analyzer, names: &[&str]) -> Shards {
    filled(&index(&[("name", 1.0, analyzer)], &[]), names)
}

fn filled(index: &Index, names: &[&str]) -> Shards {
    let mut shards = Shards::new(index, 1, Compaction::Inline);
    let rows = names
        .iter()
        .map(|name| ((*name).to_owned(), Some(shards.row(vec![Datum::text(name)]))));
    let rows = rows.collect();
    shards.tick(rows);
    shards
}

fn find(shards: &Shards, query: &KeywordQuery) -> Vec<String> {
    shards.ask(query, 10).into_iter().map(|(key, _)| key).collect()
}

fn words(text: &str, minimum: MinimumMatch) -> KeywordQuery {
    KeywordQuery::Words(WordsQuery {
        text: text.to_owned(),
        fields: None,
        minimum,
        typos: Typos::Off,
    })
}

fn any(text: &str) -> KeywordQuery {
    words(text, MinimumMatch::Any)
}

fn prefix(text: &str) -> KeywordQuery {
    KeywordQuery::Prefix(PrefixQuery {
        text: text.to_owned(),
        fields: None,
    })
}

fn phrase(text: &str) -> KeywordQuery {
    KeywordQuery::Phrase(PhraseQuery {
        text: text.to_owned(),
        fields: None,
        slop: 0,
    })
}

#[test]
fn every_language_finds_other_forms_of_a_word() {
    let forms = [
        (Language::Danish, "huse", "huset"),
        (Language::Dutch, "boeken", "boek"),
        (Language::English, "shoes", "shoe"),
        (Language::Finnish, "taloissa", "talo"),
        (Language::French, "chaussures", "chaussure"),
        (Language::German, "Schuhe", "Schuhen"),
        (Language::Italian, "scarpe", "scarpa"),
        (Language::Norwegian, "husene", "huset"),
        (Language::Portuguese, "sapatos", "sapato"),
        (Language::Russian, "книги", "книга"),
        (Language::Spanish, "zapatos", "zapato"),
        (Language::Swedish, "bilarna", "bilar"),
    ];
    for (language, indexed, typed) in forms {
        let stemmed = of(Analyzer::of(Split::Language(language)), &[indexed]);
        assert_eq!(find(&stemmed, &any(typed)), [indexed], "{language:?}");
        let plain = of(Analyzer::SIMPLE, &[indexed]);
        assert_eq!(find(&plain, &any(typed)), [""; 0], "{language:?}");
    }
}

#[test]
fn folding_takes_accents_off_and_nothing_else_does() {
    let folding = |split| Analyzer {
        ascii_folding: true,
        ..Analyzer::of(split)
    };
    for split in [Split::Simple, Split::Language(Language::French), Split::Keyword] {
        let shards = of(folding(split), &["café"]);
        assert_eq!(find(&shards, &any("CAFE")), ["café"], "{split:?}");
        assert_eq!(find(&shards, &any("café")), ["café"], "{split:?}");
        assert_eq!(find(&shards, &prefix("cafe")), ["café"], "{split:?}");
    }
    assert_eq!(find(&of(Analyzer::SIMPLE, &["café"]), &any("cafe")), [""; 0]);
}

#[test]
fn chinese_and_japanese_are_found_by_parts_and_with_other_words() {
    let shards = of(
        Analyzer::of(Split::Cjk),
        &["无线充电器 USB-C", "无线耳机", "東京都の地図"],
    );
    assert_eq!(find(&shards, &any("充电")), ["无线充电器 USB-C"]);
    assert_eq!(
        find(&shards, &words("无线 usb", MinimumMatch::All)),
        ["无线充电器 USB-C"]
    );
    assert_eq!(find(&shards, &phrase("线充电器")), ["无线充电器 USB-C"]);
    assert_eq!(find(&shards, &phrase("线电")), [""; 0]);
    assert_eq!(find(&shards, &any("東京")), ["東京都の地図"]);
    assert_eq!(find(&shards, &prefix("耳")), ["无线耳机"]);
}

#[test]
fn parts_of_words_find_them_by_ngrams() {
    let sizes = Sizes { min: 2, max: 3 };
    let shards = of(
        Analyzer::of(Split::Ngram(sizes)),
        &["laptop stand", "desktop", "tops"],
    );
    assert_eq!(find(&shards, &any("ptop")), ["laptop stand"]);
    assert_eq!(find(&shards, &any("to")).len(), 3);
    assert_eq!(find(&shards, &words("esk top", MinimumMatch::All)), ["desktop"]);
    assert_eq!(
        find(&shards, &any("toptop")),
        [""; 0],
        "all parts of a word, in their order"
    );
    assert_eq!(find(&shards, &any("t")), [""; 0]);
}

#[test]
fn starts_of_words_complete_what_is_typed_and_the_query_is_not_cut() {
    let sizes = Sizes { min: 1, max: 5 };
    let shards = of(
        Analyzer::of(Split::EdgeNgram(sizes)),
        &["red headphones", "head", "ahead"],
    );
    assert_eq!(
        find(&shards, &words("r hea", MinimumMatch::All)),
        ["red headphones"]
    );
    assert_eq!(find(&shards, &any("hea")).len(), 2);
    assert_eq!(
        find(&shards, &any("headphones")),
        ["red headphones"],
        "longer than the longest start"
    );
    assert_eq!(find(&shards, &phrase("red he")), ["red headphones"]);
}

#[test]
fn a_keyword_is_the_whole_text() {
    let shards = of(Analyzer::of(Split::Keyword), &["AB-12 x", "AB-12", ""]);
    assert_eq!(find(&shards, &any("ab-12")), ["AB-12"]);
    assert_eq!(find(&shards, &words("AB-12 X", MinimumMatch::All)), ["AB-12 x"]);
    assert_eq!(find(&shards, &prefix("ab-1")).len(), 2);
    assert_eq!(find(&shards, &any("12")), [""; 0]);
    assert_eq!(find(&shards, &any("")), [""; 0]);
}

#[test]
fn a_code_beside_other_fields_answers_for_all_words() {
    let fields = [
        ("code", 1.0, Analyzer::of(Split::Keyword)),
        ("name", 1.0, Analyzer::ENGLISH),
    ];
    let mut shards = Shards::new(&index(&fields, &[]), 1, Compaction::Inline);
    let row = |code, name| Some(shards.row(vec![Datum::text(code), Datum::text(name)]));
    let rows = vec![
        ("1".to_owned(), row("AB 12", "tea pot")),
        ("2".to_owned(), row("x", "AB tea")),
    ];
    shards.tick(rows);
    assert_eq!(find(&shards, &words("ab 12", MinimumMatch::All)), ["1"]);
    assert_eq!(find(&shards, &words("the tea pots", MinimumMatch::All)), ["1"]);
    assert_eq!(find(&shards, &any("ab")), ["2"]);
}

#[test]
fn synonyms_are_meant_as_well() {
    let mut index = index(&[("name", 1.0, Analyzer::ENGLISH)], &[]);
    index.vocabulary.synonyms = vec![
        Synonyms::Equal(vec!["tv".into(), "television set".into(), "telly".into()]),
        Synonyms::OneWay("usb stick".into(), "thumbdrive".into()),
    ];
    let shards = filled(
        &index,
        &[
            "big tv",
            "big television sets",
            "television with a set",
            "thumbdrive",
            "usb stick",
            "big telly",
        ],
    );
    let mut found = find(&shards, &any("TV"));
    found.sort();
    assert_eq!(found, ["big television sets", "big telly", "big tv"]);
    assert_eq!(find(&shards, &words("big telly", MinimumMatch::All)).len(), 3);
    let mut found = find(&shards, &words("television set", MinimumMatch::All));
    found.sort();
    assert_eq!(
        found,
        [
            "big television sets",
            "big telly",
            "big tv",
            "television with a set"
        ]
    );
    assert_eq!(find(&shards, &words("usb sticks", MinimumMatch::All)).len(), 2);
    assert_eq!(find(&shards, &any("thumbdrive")), ["thumbdrive"], "one way");
}

#[test]
fn own_stop_words_take_the_place_of_those_of_the_language() {
    let mut index = index(&[("name", 1.0, Analyzer::ENGLISH)], &[]);
    index.vocabulary.stop_words = Some(vec!["Sale".into()]);
    let shards = filled(&index, &["the who", "sale", "on sale now"]);
    assert_eq!(find(&shards, &any("the")), ["the who"]);
    assert_eq!(find(&shards, &any("sale")), [""; 0]);
    assert_eq!(
        find(&shards, &words("sale now", MinimumMatch::All)),
        ["on sale now"]
    );
}

#[test]
fn fields_and_boosts_of_a_query_take_the_place_of_those_of_the_index() {
    let fields = [("name", 2.0, Analyzer::ENGLISH), ("text", 1.0, Analyzer::ENGLISH)];
    let index = index(&fields, &[]);
    let mut shards = Shards::new(&index, 1, Compaction::Inline);
    let row = |name, text| Some(shards.row(vec![Datum::text(name), Datum::text(text)]));
    let rows = vec![
        ("1".to_owned(), row("tea", "a pot of many words that say little")),
        ("2".to_owned(), row("pot", "tea")),
    ];
    shards.tick(rows);
    let ask = |fields: Vec<(usize, f32)>| {
        let options = Options {
            fields: Some(fields),
            ..Options::default()
        };
        shards.ask(&parse("tea", &index.text, &options).query, 10)
    };
    assert_eq!(ask(vec![(0, 1.0)])[0].0, "1");
    assert_eq!(ask(vec![(0, 1.0)]).len(), 1);
    assert_eq!(ask(vec![(1, 1.0), (0, 0.1)])[0].0, "2");
    // With the index's own boosts it is the index's own score, and one field is an index of that field.
    assert_eq!(ask(vec![(0, 2.0), (1, 1.0)]), shards.search("tea", 10));
    let alone = of(Analyzer::ENGLISH, &["tea", "pot"]);
    assert_eq!(ask(vec![(0, 1.0)])[0].1, alone.search("tea", 10)[0].1);
}

#[test]
fn an_explanation_adds_up_to_the_score() {
    let index = index(
        &[("name", 2.0, Analyzer::ENGLISH), ("text", 1.0, Analyzer::SIMPLE)],
        &[],
    );
    let mut shards = Shards::new(&index, 1, Compaction::Inline);
    let row = |name, text| Some(shards.row(vec![Datum::text(name), Datum::text(text)]));
    let rows = vec![
        ("1".to_owned(), row("Red shoes", "a red tennis shoe")),
        ("2".to_owned(), row("Shoe", "lantern light")),
        ("3".to_owned(), row("Lanterm", "")),
    ];
    shards.tick(rows);
    let query = parse(
        "red shoes lantern \"tennis shoe\" lig*",
        &index.text,
        &Options::default(),
    )
    .query;
    let explained: Vec<_> = shards.scoped(None, None, |scope| {
        let hits = search(scope, &query, 10).unwrap();
        hits.iter()
            .map(|hit| explain(scope, &query, hit).unwrap().expect("a hit matches"))
            .collect()
    });
    assert_eq!(explained.len(), 3);
    for explanation in &explained {
        let sum: f32 = explanation.parts.iter().map(|part| part.contribution).sum();
        let near = (sum * explanation.scale - explanation.score).abs() < 1e-5 * explanation.score;
        assert!(near && explanation.score > 0.0, "{explanation:?}");
        assert!(
            explanation
                .parts
                .iter()
                .all(|part| part.contribution < part.weight)
        );
    }
    let first = explained
        .iter()
        .find(|one| one.parts.iter().any(|part| part.kind == PartKind::Phrase));
    let first = first.expect("one has the phrase");
    let red = first
        .parts
        .iter()
        .find(|part| part.terms == ["red"])
        .expect("it has the word");
    let fields: Vec<_> = red
        .fields
        .iter()
        .map(|one| (&*one.field, one.frequency, one.counts))
        .collect();
    assert_eq!(fields, [("name", 1, 2.0), ("text", 1, 1.0)]);
    assert_eq!((red.documents_with, red.documents, red.count), (Some(1), 3, 3.0));
    let last = &explained[2];
    assert!(
        last.scale < 1.0 && last.parts[0].fields[0].counts < 2.0,
        "{last:?}"
    );
    assert_eq!(last.parts[0].fields[0].term, "lanterm");
}
