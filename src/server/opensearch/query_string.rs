//! `query_string`: a line in Lucene's syntax -> the same tree as of JSON.
//!
//! `AND`, `OR`, `NOT`, `+`, `-`, `!`, parentheses, `field:`, phrases with `~slop`, `start*`, `^boost`, `\` before a character. As in
//! Lucene, the operators have no precedence: `AND` makes its two sides required, `NOT` and `-` excluded, the rest is as
//! `default_operator` says. Ranges, regular expressions, wildcards inside of words and fuzzy words are refused by name.

use serde_json::Value;

use super::clause::{Clauses, nothing, times};
use super::keys::{Keys, one_or_several};
use super::refusal::{Read, Refusal};
use super::words::{How, operator, text_of};
use crate::index::keyword::{BoolQuery, KeywordQuery, MinimumMatch, PrefixQuery, TextFields};

/// Parentheses inside each other.
const DEPTH_MAX: usize = 20;

impl Clauses<'_> {
    pub fn query_string(&mut self, body: &Value) -> Read<KeywordQuery> {
        let mut keys = Keys::new("query_string", body)?;
        let query = keys
            .text("query")?
            .ok_or_else(|| Refusal::parsing("[query_string] has no [query]"))?;
        let fields = match (keys.take("fields"), keys.take("default_field")) {
            (Some(_), Some(_)) => {
                return Err(Refusal::parsing(
                    "[query_string] has both [fields] and [default_field]",
                ));
            }
            (Some(fields), None) | (None, Some(fields)) => {
                let is_all = one_or_several(fields) == ["*"];
                self.fields("query_string", Some(fields).filter(|_| !is_all))?
            }
            (None, None) => None,
        };
        let minimum = operator(&mut keys, "default_operator")?;
        let boost = keys.boost()?;
        keys.only("type", &["best_fields".into()])?;
        keys.only("analyze_wildcard", &[false.into()])?;
        keys.end()?;
        let text = text_of("query_string", &Value::from(query))?;
        let mut line = Line {
            rest: &text,
            depth: 0,
            minimum,
            fields,
            field: None,
        };
        let query = line.clauses(self)?;
        match line.rest.is_empty() {
            true => Ok(times(query, boost)),
            false => Err(line.refuse("a closing parenthesis that nothing opens")),
        }
    }

    /// A word, a phrase or the start of a word, in one field or in those that are usual.
    pub fn leaf(&mut self, field: Option<&str>, fields: &TextFields, leaf: Leaf) -> Read<KeywordQuery> {
        self.count(1)?;
        match (leaf, field) {
            (Leaf::Words(text, minimum), Some(field)) => {
                let how = How {
                    minimum,
                    ..How::usual()
                };
                self.matched(field, &text.into(), how)
            }
            (Leaf::Words(text, minimum), None) => {
                let how = How {
                    minimum,
                    ..How::usual()
                };
                self.in_one_field(&text, fields.clone(), how)
            }
            (Leaf::Phrase(text, slop), Some(field)) => {
                let phrase = serde_json::json!({ field: {"query": text, "slop": slop} });
                self.match_phrase(&phrase)
            }
            (Leaf::Phrase(text, slop), None) => Ok(self.phrase(&text, fields.clone(), slop)),
            (Leaf::Start(start), Some(field)) => self.beginning(field, &start, true),
            (Leaf::Start(text), None) => {
                let fields = fields.clone();
                Ok(KeywordQuery::Prefix(PrefixQuery { text, fields }))
            }
        }
    }
}

/// What a line looks for.
pub enum Leaf {
    /// What the analyser makes of it may be several words.
    Words(String, MinimumMatch),
    Phrase(String, u32),
    Start(String),
}

/// What is left of a line.
struct Line<'t> {
    rest: &'t str,
    depth: usize,
    minimum: MinimumMatch,
    fields: TextFields,
    /// Of the parentheses: `name:(red shoe)`.
    field: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Occur {
    Must,
    Should,
    MustNot,
}

impl Line<'_> {
    /// Clauses up to a closing parenthesis or the end.
    fn clauses(&mut self, into: &mut Clauses<'_>) -> Read<KeywordQuery> {
        let mut clauses: Vec<(Occur, KeywordQuery)> = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with(')') {
                break;
            }
            let (is_and, is_or) = (self.word("AND", "&&"), self.word("OR", "||"));
            if clauses.is_empty() && (is_and || is_or) {
                return Err(self.refuse("an operator without a left side"));
            }
            if let Some((occur, _)) = clauses.last_mut().filter(|(occur, _)| *occur != Occur::MustNot) {
                match is_and {
                    true => *occur = Occur::Must,
                    false if is_or && self.minimum == MinimumMatch::All => *occur = Occur::Should,
                    false => {}
                }
            }
            let is_not = self.word("NOT", "!") || self.sign('-');
            let is_must = !is_not && self.sign('+');
            let occur = match self.minimum {
                _ if is_not => Occur::MustNot,
                MinimumMatch::All if !is_or => Occur::Must,
                _ if is_must || is_and => Occur::Must,
                _ => Occur::Should,
            };
            let clause = match occur {
                Occur::MustNot => into.excluding(|into| self.clause(into))?,
                _ => self.clause(into)?,
            };
            clauses.push((occur, clause));
        }
        Ok(joined(clauses))
    }

    fn clause(&mut self, into: &mut Clauses<'_>) -> Read<KeywordQuery> {
        let outer = self.field.clone();
        let mut name = outer.clone();
        if let Some(rest) = self.rest.strip_prefix("*:*") {
            self.rest = rest;
            return Ok(KeywordQuery::All);
        }
        let mut start = self.rest;
        let (mut term, mut has_star) = self.term()?;
        if let Some(rest) = self.rest.strip_prefix(':') {
            if term.is_empty() {
                return Err(self.refuse("a colon without a field"));
            }
            name = Some(std::mem::take(&mut term));
            self.rest = rest;
            start = rest;
            (term, has_star) = self.term()?;
        }
        let read = start.len() - self.rest.len();
        let query = if read > 0 {
            match (name.as_deref(), &*term, has_star) {
                (Some("_exists_"), field, false) => into.exists(&serde_json::json!({"field": field}))?,
                (None, "", true) => KeywordQuery::All,
                (Some(field), "", true) => into.exists(&serde_json::json!({"field": field}))?,
                (name, _, true) => into.leaf(name, &self.fields, Leaf::Start(term))?,
                (name, _, false) => into.leaf(name, &self.fields, Leaf::Words(term, self.minimum))?,
            }
        } else if let Some(rest) = self.rest.strip_prefix('"') {
            let (phrase, rest) = quoted(rest).ok_or_else(|| self.refuse("a quote that is not closed"))?;
            let (slop, rest) = number_behind(rest, '~');
            self.rest = rest;
            into.leaf(
                name.as_deref(),
                &self.fields,
                Leaf::Phrase(phrase, slop.unwrap_or(0.0).clamp(0.0, 1e3) as u32),
            )?
        } else if let Some(rest) = self.rest.strip_prefix('(') {
            if self.depth >= DEPTH_MAX {
                return Err(Refusal::illegal(format!(
                    "[query_string] nests more than {DEPTH_MAX} deep"
                )));
            }
            self.rest = rest;
            self.depth += 1;
            self.field = name;
            let inner = self.clauses(into)?;
            self.field = outer;
            self.depth -= 1;
            self.rest = self
                .rest
                .strip_prefix(')')
                .ok_or_else(|| self.refuse("a parenthesis that is not closed"))?;
            inner
        } else {
            return Err(self.refuse("nothing to look for"));
        };
        let (boost, rest) = number_behind(self.rest, '^');
        self.rest = rest;
        match self.rest.chars().next() {
            None | Some(')') => {}
            Some(c) if c.is_whitespace() => {}
            Some('~') => {
                return Err(Refusal::illegal(
                    "[query_string] does not support fuzzy words [~]",
                ));
            }
            Some(_) if read == 0 => {}
            Some(c) => return Err(self.refuse(&format!("[{c}] behind a word"))),
        }
        match boost {
            Some(boost) if !(0.0..=1e6).contains(&boost) => Err(self.refuse("a boost out of range")),
            boost => Ok(times(query, boost.unwrap_or(1.0))),
        }
    }

    /// A word with its escapes undone, and whether a star ends it.
    fn term(&mut self) -> Read<(String, bool)> {
        let mut term = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        let mut has_star = false;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) => term.push(escaped),
                    None => return Err(self.refuse("a backslash at the end")),
                },
                '(' | ')' | '"' | ':' | '^' | '~' => {
                    end = at;
                    break;
                }
                c if c.is_whitespace() => {
                    end = at;
                    break;
                }
                '*' if !has_star => has_star = true,
                '?' | '*' => {
                    return Err(Refusal::illegal(format!(
                        "[query_string] does not support the wildcard [{c}] here"
                    )));
                }
                '[' | ']' | '{' | '}' => {
                    return Err(Refusal::illegal(
                        "[query_string] does not support ranges: ask by [range]",
                    ));
                }
                '/' if term.is_empty() => {
                    return Err(Refusal::illegal(
                        "[query_string] does not support regular expressions",
                    ));
                }
                '<' | '>' if term.is_empty() => {
                    return Err(Refusal::illegal(
                        "[query_string] does not support ranges: ask by [range]",
                    ));
                }
                _ if has_star => {
                    return Err(Refusal::illegal(
                        "[query_string] supports the wildcard [*] at the end of a word only",
                    ));
                }
                c => term.push(c),
            }
        }
        self.rest = &self.rest[end..];
        Ok((term, has_star))
    }

    /// Takes an operator, where one stands here.
    fn word(&mut self, word: &str, sign: &str) -> bool {
        let by_word = self
            .rest
            .strip_prefix(word)
            .filter(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '('));
        match by_word.or_else(|| self.rest.strip_prefix(sign)) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn sign(&mut self, sign: char) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn refuse(&self, what: &str) -> Refusal {
        Refusal::new(
            400,
            "query_shard_exception",
            format!("failed to parse query: {what}"),
        )
    }
}

/// What stands in quotes, with its escapes undone, and what is behind them.
pub fn quoted(text: &str) -> Option<(String, &str)> {
    let mut phrase = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => phrase.push(chars.next()?.1),
            '"' => return Some((phrase, &text[at + 1..])),
            c => phrase.push(c),
        }
    }
    None
}

/// A number behind a sign, where there is one.
pub fn number_behind(text: &str, sign: char) -> (Option<f32>, &str) {
    let Some(behind) = text.strip_prefix(sign) else {
        return (None, text);
    };
    let end = behind
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(behind.len());
    match behind[..end].parse() {
        Ok(number) => (Some(number), &behind[end..]),
        Err(_) => (None, text),
    }
}

fn joined(mut clauses: Vec<(Occur, KeywordQuery)>) -> KeywordQuery {
    match &clauses[..] {
        [] => return nothing(),
        [(Occur::Must | Occur::Should, _)] => {
            if let Some((_, only)) = clauses.pop() {
                return only;
            }
        }
        _ => {}
    }
    let mut parts = BoolQuery::default();
    for (occur, query) in clauses {
        match occur {
            Occur::Must => parts.must.push(query),
            Occur::Should => parts.should.push(query),
            Occur::MustNot => parts.must_not.push(query),
        }
    }
    if parts.must.is_empty() && parts.should.is_empty() {
        parts.must.push(KeywordQuery::All);
    }
    KeywordQuery::Bool(parts)
}

#[cfg(test)]
#[path = "query_string_tests.rs"]
mod tests;
