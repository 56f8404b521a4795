//! `simple_query_string`: `+` (and), `|` (or), `-` (not), phrases, `start*` and parentheses, in which nothing is a fault of syntax.
//!
//! As in Lucene, a change of the operator makes what was read so far one side of it: `a b + c` is `(a b) + c`.

use serde_json::Value;

use super::clause::{Clauses, nothing, times};
use super::keys::Keys;
use super::query_string::{Leaf, number_behind, quoted};
use super::refusal::{Read, Refusal};
use super::words::{operator, text_of};
use crate::index::keyword::{BoolQuery, KeywordQuery, MinimumMatch, TextFields};

/// Parentheses inside each other; deeper ones are left out.
const DEPTH_MAX: usize = 20;

impl Clauses<'_> {
    pub fn simple_query_string(&mut self, body: &Value) -> Read<KeywordQuery> {
        let mut keys = Keys::new("simple_query_string", body)?;
        let query = keys
            .text("query")?
            .ok_or_else(|| Refusal::parsing("[simple_query_string] has no [query]"))?;
        let fields = self.fields("simple_query_string", keys.take("fields"))?;
        let usual = operator(&mut keys, "default_operator")?;
        let boost = keys.boost()?;
        keys.only("flags", &["ALL".into()])?;
        keys.only("analyze_wildcard", &[false.into()])?;
        keys.end()?;
        let text = text_of("simple_query_string", &Value::from(query))?;
        let mut line = Line {
            rest: &text,
            depth: 0,
            usual,
            fields,
        };
        let mut tree = Tree::default();
        // A closing parenthesis that nothing opens is passed over.
        while !line.rest.is_empty() {
            line.read(self, &mut tree)?;
            line.rest = line.rest.strip_prefix(')').unwrap_or(line.rest);
        }
        Ok(times(tree.top.unwrap_or_else(nothing), boost))
    }
}

struct Line<'t> {
    rest: &'t str,
    depth: usize,
    usual: MinimumMatch,
    fields: TextFields,
}

/// What has been read so far.
#[derive(Default)]
struct Tree {
    top: Option<KeywordQuery>,
    /// Of the last two clauses, and of the next.
    before: Option<MinimumMatch>,
    next: Option<MinimumMatch>,
}

impl Tree {
    fn add(&mut self, clause: KeywordQuery, usual: MinimumMatch) {
        let operation = self.next.take().unwrap_or(usual);
        let Some(top) = self.top.take() else {
            self.top = Some(clause);
            return;
        };
        let mut parts = match top {
            KeywordQuery::Bool(parts) if self.before == Some(operation) => parts,
            top => side(BoolQuery::default(), top, operation),
        };
        parts = side(parts, clause, operation);
        self.before = Some(operation);
        self.top = Some(KeywordQuery::Bool(parts));
    }
}

fn side(mut parts: BoolQuery, query: KeywordQuery, operation: MinimumMatch) -> BoolQuery {
    match operation {
        MinimumMatch::All => parts.must.push(query),
        _ => parts.should.push(query),
    }
    parts
}

impl Line<'_> {
    /// Reads to the end, or to a closing parenthesis.
    fn read(&mut self, into: &mut Clauses<'_>, tree: &mut Tree) -> Read<()> {
        let mut is_not = false;
        loop {
            self.rest = self.rest.trim_start();
            let Some(c) = self.rest.chars().next() else {
                return Ok(());
            };
            let behind = &self.rest[c.len_utf8()..];
            match c {
                ')' => return Ok(()),
                '+' | '|' => {
                    if tree.top.is_some() && tree.next.is_none() {
                        tree.next = Some(if c == '+' {
                            MinimumMatch::All
                        } else {
                            MinimumMatch::Any
                        });
                    }
                    self.rest = behind;
                    is_not = false;
                }
                '-' => {
                    is_not = !is_not;
                    self.rest = behind;
                }
                _ => {
                    let clause = match is_not {
                        true => into.excluding(|into| self.clause(into))?,
                        false => self.clause(into)?,
                    };
                    if let Some(clause) = clause {
                        tree.add(if is_not { without(clause) } else { clause }, self.usual);
                    }
                    is_not = false;
                }
            }
        }
    }

    /// A group, a phrase or a word; `None` where there is nothing in it.
    fn clause(&mut self, into: &mut Clauses<'_>) -> Read<Option<KeywordQuery>> {
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest;
            if self.depth >= DEPTH_MAX {
                return Err(Refusal::illegal(format!(
                    "[simple_query_string] nests more than {DEPTH_MAX} deep"
                )));
            }
            self.depth += 1;
            let mut inner = Tree::default();
            self.read(into, &mut inner)?;
            self.depth -= 1;
            self.rest = self.rest.strip_prefix(')').unwrap_or(self.rest);
            return Ok(inner.top);
        }
        if let Some(rest) = self.rest.strip_prefix('"') {
            let Some((phrase, rest)) = quoted(rest) else {
                // A quote that is not closed is none.
                self.rest = rest;
                return Ok(None);
            };
            let (slop, rest) = number_behind(rest, '~');
            self.rest = rest;
            let slop = slop.unwrap_or(0.0).clamp(0.0, 1e3) as u32;
            return into
                .leaf(None, &self.fields, Leaf::Phrase(phrase, slop))
                .map(Some);
        }
        let (word, has_star, is_fuzzy) = self.word();
        if is_fuzzy {
            return Err(Refusal::illegal(
                "[simple_query_string] does not support fuzzy words [~]",
            ));
        }
        match (&*word, has_star) {
            ("", true) => Ok(Some(KeywordQuery::All)),
            ("", false) => Ok(None),
            (_, true) => into.leaf(None, &self.fields, Leaf::Start(word)).map(Some),
            (_, false) => into
                .leaf(None, &self.fields, Leaf::Words(word, self.usual))
                .map(Some),
        }
    }

    /// A word, whether a star ends it, and whether a tilde with a number does.
    fn word(&mut self) -> (String, bool, bool) {
        let mut word = String::new();
        let mut ends_with = None;
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        let mut tilde = None;
        while let Some((at, c)) = chars.next() {
            match c {
                '"' | '|' | '+' | '(' | ')' => {
                    end = at;
                    break;
                }
                c if c.is_whitespace() => {
                    end = at;
                    break;
                }
                '\\' => {
                    word.extend(chars.next().map(|(_, escaped)| escaped));
                    ends_with = None;
                    continue;
                }
                '~' => tilde = Some(word.len()),
                _ => {}
            }
            word.push(c);
            ends_with = Some(c);
        }
        self.rest = &self.rest[end..];
        let has_star = ends_with == Some('*');
        if has_star {
            word.pop();
        }
        let is_number = |at: usize| word[at + 1..].chars().all(|c| c.is_ascii_digit());
        let is_fuzzy = tilde.is_some_and(|at| at > 0 && is_number(at));
        (word, has_star, is_fuzzy)
    }
}

/// Everything but what answers a question.
fn without(query: KeywordQuery) -> KeywordQuery {
    KeywordQuery::Bool(BoolQuery {
        must: vec![KeywordQuery::All],
        must_not: vec![query],
        ..BoolQuery::default()
    })
}
