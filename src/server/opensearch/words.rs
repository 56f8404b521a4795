//! `match`, `match_phrase` and `multi_match`: queries whose text is analysed.

use serde_json::Value;

use super::clause::{Clauses, any_of, times};
use super::keys::{Keys, texts};
use super::names::{self, Named};
use super::refusal::{Read, Refusal};
use crate::index::keyword::{KeywordQuery, MinimumMatch, PhraseQuery, TextFields, Typos, WordsQuery};

/// The longest text that is searched.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// How far the words of a phrase may be off.
const SLOP_MAX: usize = 1_000;

/// How the words of a text are searched.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub minimum: MinimumMatch,
    pub typos: Typos,
}

impl Clauses<'_> {
    pub fn match_words(&mut self, body: &Value) -> Read<KeywordQuery> {
        let (name, options) = Keys::new("match", body)?.one()?;
        let Value::Object(_) = options else {
            return self.matched(name, options, How::usual());
        };
        let mut keys = Keys::new("match", options)?;
        let value = query_of("match", &mut keys)?;
        let boost = keys.boost()?;
        keys.only("zero_terms_query", &["none".into()])?;
        let how = how(&mut keys)?;
        keys.end()?;
        Ok(times(self.matched(name, value, how)?, boost))
    }

    /// A value as its field sees it: the words of a text, or the value itself.
    pub fn matched(&mut self, name: &str, value: &Value, how: How) -> Read<KeywordQuery> {
        match names::by_words(self.index, name)? {
            Named::Text(place) => {
                let fields = Some(vec![(place, self.own_boost(place))]);
                self.words(&text_of(name, value)?, fields, how)
            }
            Named::Field(field) => self.equal(field, std::slice::from_ref(value)),
            Named::Id => self.keyed(&[text_of(name, value)?]),
        }
    }

    pub fn words(&mut self, text: &str, fields: TextFields, how: How) -> Read<KeywordQuery> {
        self.mark(text, &fields);
        Ok(KeywordQuery::Words(WordsQuery {
            text: text.to_owned(),
            fields,
            minimum: how.minimum,
            typos: how.typos,
        }))
    }

    pub fn match_phrase(&mut self, body: &Value) -> Read<KeywordQuery> {
        let (name, options) = Keys::new("match_phrase", body)?.one()?;
        let (value, slop, boost) = match options {
            Value::Object(_) => {
                let mut keys = Keys::new("match_phrase", options)?;
                let value = query_of("match_phrase", &mut keys)?;
                let (slop, boost) = (slop(&mut keys)?, keys.boost()?);
                keys.only("zero_terms_query", &["none".into()])?;
                keys.end()?;
                (value, slop, boost)
            }
            value => (value, 0, 1.0),
        };
        let query = match names::by_words(self.index, name)? {
            Named::Text(place) => {
                let fields = Some(vec![(place, self.own_boost(place))]);
                self.phrase(&text_of(name, value)?, fields, slop)
            }
            Named::Field(field) => self.equal(field, std::slice::from_ref(value))?,
            Named::Id => self.keyed(&[text_of(name, value)?])?,
        };
        Ok(times(query, boost))
    }

    pub fn phrase(&mut self, text: &str, fields: TextFields, slop: u32) -> KeywordQuery {
        self.mark(text, &fields);
        KeywordQuery::Phrase(PhraseQuery {
            text: text.to_owned(),
            fields,
            slop,
        })
    }

    pub fn multi_match(&mut self, body: &Value) -> Read<KeywordQuery> {
        let mut keys = Keys::new("multi_match", body)?;
        let value = query_of("multi_match", &mut keys)?;
        let text = text_of("multi_match", value)?;
        let fields = self.fields("multi_match", keys.take("fields"))?;
        let kind = keys.text("type")?.unwrap_or("best_fields");
        let boost = keys.boost()?;
        keys.only("zero_terms_query", &["none".into()])?;
        let query = match kind {
            "best_fields" | "most_fields" => {
                let how = how(&mut keys)?;
                self.in_one_field(&text, fields, how)?
            }
            "cross_fields" => {
                let how = how(&mut keys)?;
                self.words(&text, fields, how)?
            }
            "phrase" => {
                let slop = slop(&mut keys)?;
                self.phrase(&text, fields, slop)
            }
            other => {
                return Err(Refusal::illegal(format!(
                    "[multi_match] does not support the type [{other}]: there are best_fields, most_fields, cross_fields, phrase"
                )));
            }
        };
        keys.end()?;
        Ok(times(query, boost))
    }

    /// Words of which enough must be in one of the fields, rather than spread over all of them.
    pub fn in_one_field(&mut self, text: &str, fields: TextFields, how: How) -> Read<KeywordQuery> {
        let fields = match fields {
            Some(fields) => fields,
            None => (0..self.index.text.len())
                .map(|place| (place, self.own_boost(place)))
                .collect(),
        };
        if how.minimum == MinimumMatch::Any || fields.len() < 2 {
            return self.words(text, Some(fields), how);
        }
        let each = fields
            .into_iter()
            .map(|field| self.words(text, Some(vec![field]), how));
        Ok(any_of(each.collect::<Read<_>>()?))
    }

    /// `["name^2", "desc*"]`; all texts where left out.
    pub fn fields(&self, of: &str, value: Option<&Value>) -> Read<TextFields> {
        let Some(value) = value else { return Ok(None) };
        let mut fields: Vec<(usize, f32)> = Vec::new();
        for written in texts("fields", value)? {
            let (pattern, boost) = match written.rsplit_once('^') {
                None => (&*written, None),
                Some((pattern, boost)) => match boost.parse::<f32>() {
                    Ok(boost) if boost > 0.0 && boost <= 1e6 => (pattern, Some(boost)),
                    _ => return Err(Refusal::illegal(format!("[{of}] has the boost [{written}]"))),
                },
            };
            for place in names::texts(self.index, pattern)? {
                let boost = boost.unwrap_or_else(|| self.own_boost(place));
                match fields.iter_mut().find(|(known, _)| *known == place) {
                    Some(known) => known.1 = boost,
                    None => fields.push((place, boost)),
                }
            }
        }
        match fields.is_empty() {
            true => Err(Refusal::parsing(format!("[fields] of [{of}] is empty"))),
            false => Ok(Some(fields)),
        }
    }

    /// What the dataflow file says that a text counts.
    pub fn own_boost(&self, place: usize) -> f32 {
        self.index.text.get(place).map_or(1.0, |text| text.boost)
    }
}

impl How {
    /// Any of the words, as they are written.
    pub fn usual() -> How {
        How {
            minimum: MinimumMatch::Any,
            typos: Typos::Off,
        }
    }
}

/// `operator`, `minimum_should_match` and `fuzziness`.
fn how(keys: &mut Keys<'_>) -> Read<How> {
    let operator = operator(keys, "operator")?;
    let minimum = match keys.take("minimum_should_match") {
        None => operator,
        Some(minimum) => {
            let some = words_of(minimum)?;
            // With `and`, every word has to be there anyway.
            if operator == MinimumMatch::All {
                operator
            } else {
                some
            }
        }
    };
    let typos = match keys.take("fuzziness") {
        None => Typos::Off,
        Some(fuzziness) => match fuzziness.as_str().map(str::to_ascii_uppercase).as_deref() {
            Some("AUTO") => Typos::Auto,
            Some("0") => Typos::Off,
            _ if fuzziness.as_i64() == Some(0) => Typos::Off,
            _ => {
                return Err(Refusal::illegal(format!(
                    "[fuzziness] is {fuzziness}: \"AUTO\" and 0 are supported"
                )));
            }
        },
    };
    Ok(How { minimum, typos })
}

/// Whether all words must be there; any of them where left out.
pub fn operator(keys: &mut Keys<'_>, key: &str) -> Read<MinimumMatch> {
    match keys.text(key)?.map(str::to_ascii_lowercase).as_deref() {
        None | Some("or") => Ok(MinimumMatch::Any),
        Some("and") => Ok(MinimumMatch::All),
        Some(_) => Err(keys.wrong(key, "`or` or `and`")),
    }
}

fn words_of(minimum: &Value) -> Read<MinimumMatch> {
    let text = match minimum {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => String::new(),
    };
    let read = match text.strip_suffix('%') {
        None => text
            .parse()
            .ok()
            .filter(|words| *words > 0)
            .map(MinimumMatch::Words),
        Some(share) => {
            let share = share.parse().ok().filter(|share| (1..=100).contains(share));
            share.map(MinimumMatch::Percent)
        }
    };
    read.ok_or_else(|| {
        Refusal::illegal(format!(
            "[minimum_should_match] is {minimum}: a number from 1 on, or a share such as \"75%\", is supported"
        ))
    })
}

fn slop(keys: &mut Keys<'_>) -> Read<u32> {
    Ok(keys.count("slop")?.unwrap_or(0).min(SLOP_MAX) as u32)
}

fn query_of<'v>(of: &str, keys: &mut Keys<'v>) -> Read<&'v Value> {
    keys.take("query")
        .ok_or_else(|| Refusal::parsing(format!("[{of}] has no [query]")))
}

/// A value as the text that is analysed.
pub fn text_of(of: &str, value: &Value) -> Read<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return Err(Refusal::parsing(format!("[{of}] must have a text to look for"))),
    };
    match text.len() > TEXT_BYTES_MAX {
        true => Err(Refusal::illegal(format!(
            "the text of [{of}] has {} bytes, more than {TEXT_BYTES_MAX}",
            text.len()
        ))),
        false => Ok(text),
    }
}
