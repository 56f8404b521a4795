//! A query of OpenSearch -> a question for the keyword leg. Pure.
//!
//! Each kind of query is read by the keys it has here and no others, so that nothing is left unheard. What only matches and does not score
//! (`filter`) is a question times 0.

use serde_json::Value;

use super::keys::{Keys, one_or_several};
use super::refusal::{Read, Refusal};
use crate::change::Datum;
use crate::definition::{Expression, Filters, Index};
use crate::index::keyword::{BoolQuery, KeywordQuery, TextFields};

/// Queries inside each other, as OpenSearch bounds them.
const DEPTH_MAX: usize = 30;

/// Queries of one request, as OpenSearch bounds the clauses of a `bool`.
const CLAUSES_MAX: usize = 1_024;

/// Reads the queries of one request.
pub struct Clauses<'a> {
    pub index: &'a Index,
    pub filters: Filters<'a>,
    depth: usize,
    count: usize,
    is_excluding: bool,
    /// What hits are shown to have: texts, and where they are looked for.
    pub marked: Vec<(String, TextFields)>,
}

impl<'a> Clauses<'a> {
    pub fn new(index: &'a Index) -> Clauses<'a> {
        Clauses {
            index,
            filters: Filters {
                fields: &index.fields,
                now: None,
            },
            depth: 0,
            count: 0,
            is_excluding: false,
            marked: Vec::new(),
        }
    }

    /// A query: an object with its kind as the one key.
    pub fn query(&mut self, value: &Value) -> Read<KeywordQuery> {
        let (kind, body) = Keys::new("query", value)?.one()?;
        self.count(1)?;
        if self.depth >= DEPTH_MAX {
            return Err(Refusal::illegal(format!(
                "queries nest more than {DEPTH_MAX} deep"
            )));
        }
        self.depth += 1;
        let query = self.of_kind(kind, body);
        self.depth -= 1;
        query
    }

    fn of_kind(&mut self, kind: &str, body: &Value) -> Read<KeywordQuery> {
        match kind {
            "match_all" => {
                let mut keys = Keys::new(kind, body)?;
                let boost = keys.boost()?;
                keys.end()?;
                Ok(times(KeywordQuery::All, boost))
            }
            "match_none" => {
                Keys::new(kind, body)?.end()?;
                Ok(nothing())
            }
            "match" => self.match_words(body).map(or_none),
            "match_phrase" => self.match_phrase(body).map(or_none),
            "multi_match" => self.multi_match(body).map(or_none),
            "query_string" => self.query_string(body).map(or_none),
            "simple_query_string" => self.simple_query_string(body).map(or_none),
            "term" => self.term(body).map(or_none),
            "terms" => self.terms(body).map(or_none),
            "range" => self.range(body),
            "exists" => self.exists(body),
            "prefix" => self.prefix(body).map(or_none),
            "ids" => self.ids(body),
            "bool" => self.bool(body),
            "constant_score" => {
                let mut keys = Keys::new(kind, body)?;
                let boost = keys.boost()?;
                let filter = keys
                    .take("filter")
                    .ok_or_else(|| Refusal::parsing("[constant_score] has no [filter]"))?;
                keys.end()?;
                let filter = times(self.query(filter)?, 0.0);
                Ok(all_of(vec![times(KeywordQuery::All, boost), filter]))
            }
            "knn" | "hybrid" => Err(Refusal::illegal(format!(
                "[{kind}] is supported as the query itself{}",
                if kind == "knn" {
                    " and as one of [hybrid], not inside another query"
                } else {
                    ", not inside another one"
                }
            ))),
            unknown => Err(Refusal::parsing(format!("unknown query [{unknown}]"))),
        }
    }

    fn bool(&mut self, body: &Value) -> Read<KeywordQuery> {
        let mut keys = Keys::new("bool", body)?;
        let boost = keys.boost()?;
        let minimum = keys.take("minimum_should_match");
        let [must, filter, should, must_not] = ["must", "filter", "should", "must_not"]
            .map(|key| keys.take(key).map_or(&[][..], one_or_several));
        keys.end()?;
        if [must, filter, should, must_not]
            .iter()
            .all(|list| list.is_empty())
        {
            return Ok(times(KeywordQuery::All, boost));
        }
        let mut parts = BoolQuery {
            must: self.all(must)?,
            should: self.all(should)?,
            ..BoolQuery::default()
        };
        let filter = self.all(filter)?;
        parts
            .must
            .extend(filter.into_iter().map(|query| times(query, 0.0)));
        parts.must_not = self.excluding(|clauses| clauses.all(must_not))?;
        parts.minimum_should_match = match minimum {
            Some(minimum) => Some(least(minimum, should.len())?),
            None => None,
        };
        if parts.must.is_empty() && (parts.should.is_empty() || parts.minimum_should_match == Some(0)) {
            // All but what is excluded, without a score of their own.
            parts.must.push(times(KeywordQuery::All, 0.0));
        }
        Ok(times(KeywordQuery::Bool(parts), boost))
    }

    fn all(&mut self, queries: &[Value]) -> Read<Vec<KeywordQuery>> {
        queries.iter().map(|query| self.query(query)).collect()
    }

    /// Notes the words of a query for highlights.
    pub fn mark(&mut self, text: &str, fields: &TextFields) {
        if !self.is_excluding {
            self.marked.push((text.to_owned(), fields.clone()));
        }
    }

    /// Reads what is excluded.
    pub fn excluding<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let was_excluding = std::mem::replace(&mut self.is_excluding, true);
        let result = read(self);
        self.is_excluding = was_excluding;
        result
    }

    /// Counts clauses of the request.
    pub fn count(&mut self, clauses: usize) -> Read<()> {
        self.count += clauses;
        match self.count <= CLAUSES_MAX {
            true => Ok(()),
            false => Err(Refusal::new(
                400,
                "too_many_clauses",
                format!("the request has more than {CLAUSES_MAX} clauses"),
            )),
        }
    }
}

/// A question whose score counts so much.
pub fn times(query: KeywordQuery, boost: f32) -> KeywordQuery {
    match boost {
        1.0 => query,
        boost => KeywordQuery::Boost(Box::new(query), boost),
    }
}

pub fn all_of(must: Vec<KeywordQuery>) -> KeywordQuery {
    KeywordQuery::Bool(BoolQuery {
        must,
        ..BoolQuery::default()
    })
}

pub fn any_of(should: Vec<KeywordQuery>) -> KeywordQuery {
    KeywordQuery::Bool(BoolQuery {
        should,
        minimum_should_match: Some(1),
        ..BoolQuery::default()
    })
}

/// A question of words, of which the analyser may leave none: then no document is an answer (`zero_terms_query` of `none`).
fn or_none(query: KeywordQuery) -> KeywordQuery {
    match query {
        condition @ KeywordQuery::Matching(_) => condition,
        words => KeywordQuery::OrNone(Box::new(words)),
    }
}

/// What no document is an answer to.
pub fn nothing() -> KeywordQuery {
    KeywordQuery::Matching(Box::new(Expression::Literal(Datum::Bool(false))))
}

/// How many of `clauses` must be answered: a number or a share, which leaves so many out where it is negative.
fn least(minimum: &Value, clauses: usize) -> Read<usize> {
    let wrong = || {
        Refusal::illegal(format!(
            "[minimum_should_match] of [bool] is {minimum}: a number such as 2 or -1, or a share such as \"75%\" or \"-25%\", is supported"
        ))
    };
    let clauses_signed = i64::try_from(clauses).unwrap_or(i64::MAX);
    let number = match minimum {
        Value::Number(number) => number.as_i64().ok_or_else(wrong)?,
        Value::String(text) => match text.trim().strip_suffix('%') {
            None => text.trim().parse().map_err(|_| wrong())?,
            Some(share) => {
                let share: i64 = share.parse().map_err(|_| wrong())?;
                if !(-100..=100).contains(&share) {
                    return Err(wrong());
                }
                // Rounded towards zero, as OpenSearch does it.
                match share * clauses_signed / 100 {
                    0 if share < 0 => clauses_signed,
                    number => number,
                }
            }
        },
        _ => return Err(wrong()),
    };
    let number = if number < 0 {
        clauses_signed.saturating_add(number)
    } else {
        number
    };
    Ok(usize::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::least;

    #[test]
    fn a_minimum_is_a_number_or_a_share_and_what_is_negative_may_be_missing() {
        for (minimum, clauses, expected) in [
            (json!(2), 3, 2),
            (json!("2"), 3, 2),
            (json!(5), 3, 5),
            (json!(-1), 3, 2),
            (json!(-5), 3, 0),
            (json!("75%"), 3, 2),
            (json!("-25%"), 4, 3),
            (json!("-25%"), 3, 3),
            (json!("10%"), 3, 0),
        ] {
            assert_eq!(least(&minimum, clauses), Ok(expected), "{minimum} of {clauses}");
        }
        for wrong in [json!("2<75%"), json!("200%"), json!(true), json!(1.5), json!("")] {
            assert!(least(&wrong, 3).is_err(), "{wrong}");
        }
    }
}
