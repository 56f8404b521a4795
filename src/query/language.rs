//! What a person types -> a question for the keyword leg. Never a fault: what is no syntax is words.
//!
//! | written                   | meant                                                              |
//! |---------------------------|--------------------------------------------------------------------|
//! | `red shoes`               | documents with any of the words, those with more of them first     |
//! | `"red shoes"`             | the words one behind the other; `"red shoes"~2`: up to two places off |
//! | `+red`, `-red`            | must be there, must not                                            |
//! | `sho*`                    | words that begin so                                                |
//! | `name:red`, `name:"..."`  | in this text field only                                            |
//! | `red^2`                   | counts twice                                                       |
//!
//! Signs, fields and quotes count at the start of a word alone, and a sign only before a letter or a quote: `usb-c`,
//! `-20`, `size: 42`, `15" screen` and `a - b` are words, and so is `a:b` where no text field is named `a`.

use crate::definition::TextField;
use crate::index::keyword::{
    BoolQuery, KeywordQuery, MinimumMatch, PhraseQuery, PrefixQuery, TextFields, Typos, WordsQuery,
};

/// Clauses with syntax; more are taken as words, so that no query holds a core for long.
const CLAUSES_MAX: usize = 64;

/// The greatest boost, as in a dataflow file.
const BOOST_MAX: f32 = 1e6;

/// The greatest slop that makes a difference in a text.
const SLOP_MAX: u32 = 1_000;

/// What a search says beside its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub minimum: MinimumMatch,
    pub typos: Typos,
    pub fields: TextFields,
}

/// A text as it was meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub query: KeywordQuery,
    /// What must or must not be there, in whichever leg finds a document.
    pub required: Option<KeywordQuery>,
    /// The text without its syntax and without what it excludes; `None`: the text has no syntax.
    pub plain: Option<String>,
}

/// Reads a text over an index with these text fields.
pub fn parse(text: &str, texts: &[TextField], options: &Options) -> Parsed {
    let mut clauses = Vec::new();
    let mut words = Vec::new();
    let mut plain = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        match clause(rest, texts, options).filter(|_| clauses.len() < CLAUSES_MAX) {
            Some((clause, behind)) => {
                if clause.sign != Sign::MustNot {
                    plain.push(clause.plain);
                }
                clauses.push((clause.sign, clause.query));
                rest = behind;
            }
            None => {
                let (word, behind) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
                words.push(word);
                plain.push(word);
                rest = behind;
            }
        }
        rest = rest.trim_start();
    }
    let of_words = |text: String| {
        KeywordQuery::Words(WordsQuery {
            text,
            fields: options.fields.clone(),
            minimum: options.minimum,
            typos: options.typos,
        })
    };
    if clauses.is_empty() {
        return Parsed {
            query: of_words(text.to_owned()),
            required: None,
            plain: None,
        };
    }

    let mut parts = BoolQuery::default();
    for (sign, query) in clauses {
        match sign {
            Sign::Must => parts.must.push(query),
            Sign::MustNot => parts.must_not.push(query),
            Sign::None => parts.should.push(query),
        }
    }
    let is_required = !parts.must.is_empty() || !parts.must_not.is_empty();
    let required = is_required.then(|| {
        KeywordQuery::Bool(BoolQuery {
            should: Vec::new(),
            ..parts.clone()
        })
    });
    if options.minimum == MinimumMatch::All {
        parts.must.append(&mut parts.should);
    }
    if !words.is_empty() {
        let words = of_words(words.join(" "));
        match options.minimum {
            MinimumMatch::Any => parts.should.insert(0, words),
            _ => parts.must.push(words),
        }
    }
    if parts.must.is_empty() && parts.should.is_empty() {
        parts.must.push(KeywordQuery::All);
    }
    Parsed {
        query: KeywordQuery::Bool(parts),
        required,
        plain: Some(plain.join(" ")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    None,
    Must,
    MustNot,
}

/// A piece of a text that has syntax.
struct Clause<'a> {
    sign: Sign,
    query: KeywordQuery,
    plain: &'a str,
}

/// The clause that a text begins with, and what is behind it. `None`: it begins with a plain word.
fn clause<'a>(text: &'a str, texts: &[TextField], options: &Options) -> Option<(Clause<'a>, &'a str)> {
    let (sign, unsigned) = sign(text);
    let (fields, body) = match field(unsigned, texts) {
        Some((number, body)) => (field_alone(number, texts, options), body),
        None => (options.fields.clone(), unsigned),
    };
    let has_syntax = sign != Sign::None || body.len() < unsigned.len();
    if let Some((phrase, behind)) = quoted(body) {
        let (slop, behind) = slop(behind);
        let (boost, behind) = boost_behind(behind);
        let phrase_query = KeywordQuery::Phrase(PhraseQuery {
            text: phrase.to_owned(),
            fields,
            slop,
        });
        let clause = Clause {
            sign,
            query: boosted(phrase_query, boost),
            plain: phrase,
        };
        return Some((clause, behind));
    }
    let (word, behind) = body.split_at(body.find(char::is_whitespace).unwrap_or(body.len()));
    let (word, boost) = boost_within(word);
    let start = word
        .strip_suffix('*')
        .filter(|start| !start.is_empty() && start.chars().all(char::is_alphanumeric));
    let is_plain = !has_syntax && boost.is_none() && start.is_none();
    if is_plain || !word.contains(char::is_alphanumeric) {
        return None;
    }
    let (query, plain) = match start {
        Some(start) => {
            let text = start.to_owned();
            (KeywordQuery::Prefix(PrefixQuery { text, fields }), start)
        }
        None => {
            let words = WordsQuery {
                text: word.to_owned(),
                fields,
                minimum: MinimumMatch::All,
                typos: options.typos,
            };
            (KeywordQuery::Words(words), word)
        }
    };
    let clause = Clause {
        sign,
        query: boosted(query, boost),
        plain,
    };
    Some((clause, behind))
}

fn sign(text: &str) -> (Sign, &str) {
    let mut chars = text.chars();
    let sign = match chars.next() {
        Some('+') => Sign::Must,
        Some('-') => Sign::MustNot,
        _ => return (Sign::None, text),
    };
    let rest = chars.as_str();
    match chars.next() {
        Some(next) if next.is_alphabetic() => (sign, rest),
        Some('"') if quoted(rest).is_some() => (sign, rest),
        _ => (Sign::None, text),
    }
}

/// The text field that a text names first, and what is behind the colon.
fn field<'a>(text: &'a str, texts: &[TextField]) -> Option<(usize, &'a str)> {
    texts.iter().enumerate().find_map(|(number, field)| {
        let body = text.strip_prefix(&*field.name)?.strip_prefix(':')?;
        let is_followed = body.starts_with(|c: char| !c.is_whitespace());
        is_followed.then_some((number, body))
    })
}

/// One field, with the boost that it has among those asked.
fn field_alone(number: usize, texts: &[TextField], options: &Options) -> TextFields {
    let asked = options
        .fields
        .iter()
        .flatten()
        .find(|(field, _)| *field == number);
    let own = texts.get(number).map_or(1.0, |field| field.boost);
    Some(vec![(number, asked.map_or(own, |(_, boost)| *boost))])
}

/// What stands in quotes at the start of a text, and what is behind them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (phrase, behind) = text.strip_prefix('"')?.split_once('"')?;
    let is_closed = !behind.starts_with(char::is_alphanumeric);
    (is_closed && phrase.contains(char::is_alphanumeric)).then_some((phrase, behind))
}

/// `~2` behind a phrase.
fn slop(text: &str) -> (u32, &str) {
    let number = text.strip_prefix('~').map(|text| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.split_at(end)
    });
    match number.and_then(|(number, behind)| Some((number.parse::<u32>().ok()?, behind))) {
        Some((slop, behind)) => (slop.min(SLOP_MAX), behind),
        None => (0, text),
    }
}

/// `^2` behind a phrase.
fn boost_behind(text: &str) -> (Option<f32>, &str) {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, behind) = text.split_at(end);
    match word.strip_prefix('^').and_then(boost) {
        Some(boost) => (Some(boost), behind),
        None => (None, text),
    }
}

/// `^2` at the end of a word of at least two letters: `x^2` and `10^6` are what they are.
fn boost_within(word: &str) -> (&str, Option<f32>) {
    let parts = word.rsplit_once('^').and_then(|(word, number)| {
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        Some((word, boost(number).filter(|_| letters >= 2)?))
    });
    parts.map_or((word, None), |(word, boost)| (word, Some(boost)))
}

fn boost(number: &str) -> Option<f32> {
    let is_plain = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let boost: f32 = number.parse().ok().filter(|_| is_plain)?;
    (boost > 0.0 && boost <= BOOST_MAX).then_some(boost)
}

fn boosted(query: KeywordQuery, boost: Option<f32>) -> KeywordQuery {
    match boost {
        Some(boost) => KeywordQuery::Boost(Box::new(query), boost),
        None => query,
    }
}

/// A field with an optional `^boost`, as `text_fields` has it.
pub(super) fn field_with_boost(written: &str) -> (&str, Option<&str>) {
    match written.rsplit_once('^') {
        Some((name, number)) => (name, Some(number)),
        None => (written, None),
    }
}

/// The boost of such a field; `None` if it is none.
pub(super) fn field_boost(number: &str) -> Option<f32> {
    boost(number)
}
