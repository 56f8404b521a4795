//! `[index.text]`, `stop_words` and `synonyms`: which columns are searched by words, and what a word is there.

use super::index::{View, all};
use super::written::{Entry, Section};
use crate::definition::fault::quoted;
use crate::definition::{Analyzer, Language, Sizes, Split, Synonyms, TextField, Vocabulary};

pub(super) fn text_fields(entry: &Entry<'_>, view: &View<'_>) -> Option<Vec<TextField>> {
    let section = entry.section("a table such as `{ name = { boost = 2.0 }, description = {} }`")?;
    let read = |entry: &Entry<'_>| {
        let column = view.place(entry.name, entry);
        let mut section = entry.section("a table: `{}`, or `{ boost = 2.0, analyzer = \"english\" }`")?;
        let boost = match section.optional("boost") {
            None => Some(1.0),
            Some(entry) => entry.number(
                |boost| boost > 0.0 && boost <= 1e6,
                "more than 0, at most 1000000",
            ),
        };
        let analyzer = analyzer(&mut section);
        section.finish();
        Some(TextField {
            name: entry.name.to_owned(),
            column: column?,
            boost: boost? as f32,
            analyzer: analyzer?,
        })
    };
    all(section.entries().iter().map(read))
}

/// What `analyzer` names where it takes sizes.
#[derive(Clone, Copy)]
enum Named {
    Whole(Split),
    Ngram,
    EdgeNgram,
}

fn analyzer(section: &mut Section<'_>) -> Option<Analyzer> {
    let mut choices: Vec<(&str, Named)> = vec![
        ("simple", Named::Whole(Split::Simple)),
        ("cjk", Named::Whole(Split::Cjk)),
        ("ngram", Named::Ngram),
        ("edge_ngram", Named::EdgeNgram),
        ("keyword", Named::Whole(Split::Keyword)),
    ];
    let languages = Language::ALL.iter();
    choices.extend(languages.map(|(name, language)| (*name, Named::Whole(Split::Language(*language)))));
    let named = match section.optional("analyzer") {
        None => Some(Named::Whole(Analyzer::ENGLISH.split)),
        Some(entry) => entry.choice("analyzer", &choices),
    };
    let ascii_folding = match section.optional("ascii_folding") {
        None => Some(false),
        Some(entry) => entry.boolean(),
    };
    let (min, max) = (section.optional("min"), section.optional("max"));
    let split = named.and_then(|named| match named {
        Named::Whole(split) => without_sizes(&[min, max]).then_some(split),
        Named::Ngram => sizes(min, max, Sizes { min: 2, max: 3 }).map(Split::Ngram),
        Named::EdgeNgram => sizes(min, max, Sizes { min: 1, max: 15 }).map(Split::EdgeNgram),
    });
    Some(Analyzer {
        split: split?,
        ascii_folding: ascii_folding?,
    })
}

/// Notes sizes where nothing has any.
fn without_sizes(given: &[Option<Entry<'_>>]) -> bool {
    for entry in given.iter().flatten() {
        entry.wrong(
            format!(
                "`{}` says how long parts of words are, and the words are whole",
                entry.path
            ),
            "it belongs to `analyzer = \"ngram\"` and `\"edge_ngram\"`",
        );
    }
    given.iter().all(Option::is_none)
}

fn sizes(min: Option<Entry<'_>>, max: Option<Entry<'_>>, usual: Sizes) -> Option<Sizes> {
    const RANGE: std::ops::Range<u64> = 1..Sizes::MAX as u64 + 1;
    let read = |entry: &Option<Entry<'_>>| match entry {
        None => Some(None),
        Some(entry) => entry.integer(RANGE, "1 to 20 characters").map(Some),
    };
    let (low, high) = (read(&min)?, read(&max)?);
    let sizes = Sizes {
        min: low.map_or_else(
            || usual.min.min(high.map_or(usual.min, |high| high as usize)),
            |low| low as usize,
        ),
        max: high.map_or_else(
            || usual.max.max(low.map_or(usual.max, |low| low as usize)),
            |high| high as usize,
        ),
    };
    if sizes.min > sizes.max {
        if let Some(entry) = min {
            entry.wrong(
                format!("`{}` is more than `max`", entry.path),
                format!("it must be {} at most", sizes.max),
            );
        }
        return None;
    }
    Some(sizes)
}

/// `stop_words` and `synonyms` of `[index]`.
pub(super) fn vocabulary(section: &mut Section<'_>) -> Option<Vocabulary> {
    let stop_words = match section.optional("stop_words") {
        None => Some(None),
        Some(entry) => texts(
            &entry,
            "a list of words such as `[\"the\", \"of\"]`; an empty one for none",
        )
        .map(Some),
    };
    let synonyms = match section.optional("synonyms") {
        None => Some(Vec::new()),
        Some(entry) => synonyms(&entry),
    };
    Some(Vocabulary {
        stop_words: stop_words?,
        synonyms: synonyms?,
    })
}

fn texts(entry: &Entry<'_>, expected: &str) -> Option<Vec<String>> {
    let texts = entry.items(expected)?;
    all(texts.iter().map(|entry| entry.text(expected).map(str::to_owned)))
}

const SYNONYMS: &str = "a list such as `[[\"tv\", \"television\"], \"notebook => laptop\"]`";

fn synonyms(entry: &Entry<'_>) -> Option<Vec<Synonyms>> {
    let read = |entry: &Entry<'_>| {
        if !entry.is_text() {
            let words = texts(entry, SYNONYMS)?;
            if words.len() < 2 {
                entry.wrong(
                    format!("an entry of `{}` has nothing to mean the same", entry.path),
                    "it must have at least two words or groups of words",
                );
                return None;
            }
            return Some(Synonyms::Equal(words));
        }
        let text = entry.text(SYNONYMS)?;
        let sides = text
            .split_once("=>")
            .map(|(left, right)| (left.trim(), right.trim()));
        match sides.filter(|(left, right)| !left.is_empty() && !right.is_empty()) {
            Some((left, right)) => Some(Synonyms::OneWay(left.to_owned(), right.to_owned())),
            None => {
                entry.wrong(
                    format!("{} in `{}` says nothing", quoted(text), entry.path),
                    "it must be two words or groups of words with `=>` between them",
                );
                None
            }
        }
    };
    all(entry.items(SYNONYMS)?.iter().map(read))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::definition::{Analyzer, Language, Sizes, Split, Synonyms, parse};

    fn file(text: &str, more: &str) -> String {
        format!(
            r#"
            name = "shop"
            [tables.products]
            source = {{ kind = "http" }}
            format = "upsert-json"
            key = ["id"]
            [index]
            query = "SELECT id, name, code FROM products"
            key = "id"
            text = {text}
            {more}
            "#
        )
    }

    fn faults(text: &str, more: &str) -> String {
        let faults = parse(&file(text, more), "x.toml", Path::new("")).unwrap_err();
        faults.to_string()
    }

    #[test]
    fn analysers_and_vocabulary_are_read_and_kept() {
        let text = r#"{ name = { analyzer = "german", ascii_folding = true }, code = { analyzer = "ngram", min = 4 } }"#;
        let more = r#"
            stop_words = []
            synonyms = [["tv", "television set"], "notebook => laptop"]
        "#;
        let definition = parse(&file(text, more), "x.toml", Path::new("")).unwrap();
        let kept = definition.kept.parse().unwrap();
        for index in [definition.index.unwrap(), kept.index.unwrap()] {
            let german = Analyzer {
                split: Split::Language(Language::German),
                ascii_folding: true,
            };
            let parts = Analyzer::of(Split::Ngram(Sizes { min: 4, max: 4 }));
            assert_eq!([index.text[0].analyzer, index.text[1].analyzer], [german, parts]);
            assert_eq!(index.vocabulary.stop_words, Some(Vec::new()));
            let expected = [
                Synonyms::Equal(vec!["tv".into(), "television set".into()]),
                Synonyms::OneWay("notebook".into(), "laptop".into()),
            ];
            assert_eq!(index.vocabulary.synonyms, expected);
        }
    }

    #[test]
    fn every_language_has_its_name() {
        for (name, language) in Language::ALL {
            let text = format!("{{ name = {{ analyzer = \"{name}\" }} }}");
            let index = parse(&file(&text, ""), "x.toml", Path::new(""))
                .unwrap()
                .index
                .unwrap();
            assert_eq!(index.text[0].analyzer, Analyzer::of(Split::Language(language)));
            assert_eq!(index.text[0].analyzer.to_string(), name);
        }
    }

    #[test]
    fn sizes_belong_to_parts_of_words_and_synonyms_mean_something() {
        let wrong = [
            (
                r#"{ name = { analyzer = "german", max = 3 } }"#,
                "",
                "`index.text.name.max` says how long",
            ),
            (
                r#"{ name = { analyzer = "ngram", min = 3, max = 2 } }"#,
                "",
                "is more than `max`",
            ),
            (
                r#"{ name = { analyzer = "ngram", max = 21 } }"#,
                "",
                "out of range",
            ),
            (
                r#"{ name = { analyzer = "germna" } }"#,
                "",
                "did you mean `german`?",
            ),
            (
                "{ name = {} }",
                r#"synonyms = [["tv"]]"#,
                "nothing to mean the same",
            ),
            (
                "{ name = {} }",
                r#"synonyms = ["a = b"]"#,
                "`a = b` in `index.synonyms` says nothing",
            ),
            (
                "{ name = {} }",
                r#"stop_words = "the""#,
                "it must be a list of words",
            ),
        ];
        for (text, more, expected) in wrong {
            let faults = faults(text, more);
            assert!(faults.contains(expected), "{faults}");
        }
    }
}
