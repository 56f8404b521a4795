//! `term`, `terms`, `range`, `exists`, `prefix` and `ids`: conditions on values as they are.
//!
//! They become the expressions that filters are made of, so that a field means the same in all languages. Each answer scores 1.

use serde_json::Value;

use super::clause::{Clauses, any_of, nothing, times};
use super::keys::{Keys, texts};
use super::names::{self, Named};
use super::refusal::{Read, Refusal};
use super::words::{How, text_of};
use crate::change::{Datum, Float};
use crate::definition::expression::{CastType, Comparison};
use crate::definition::{Expression, Field, FieldKind, FilterFault};
use crate::index::keyword::{KeywordQuery, MinimumMatch, PrefixQuery};

/// Values of one `terms` or `ids`.
const VALUES_MAX: usize = 10_000;

/// Keys of several parts are compared one by one.
const COMPOSITE_IDS_MAX: usize = 256;

impl Clauses<'_> {
    pub fn term(&mut self, body: &Value) -> Read<KeywordQuery> {
        let (name, options) = Keys::new("term", body)?.one()?;
        let (value, boost) = match options {
            Value::Object(_) => {
                let mut keys = Keys::new("term", options)?;
                let value = keys
                    .take("value")
                    .ok_or_else(|| Refusal::parsing("[term] has no [value]"))?;
                let boost = keys.boost()?;
                keys.only("case_insensitive", &[false.into()])?;
                keys.end()?;
                (value, boost)
            }
            value => (value, 1.0),
        };
        Ok(times(
            self.any_of_values(name, std::slice::from_ref(value))?,
            boost,
        ))
    }

    pub fn terms(&mut self, body: &Value) -> Read<KeywordQuery> {
        let mut keys = Keys::new("terms", body)?;
        let boost = keys.boost()?;
        let (name, values) = keys.one()?;
        let Value::Array(values) = values else {
            return Err(Refusal::parsing(format!(
                "[terms] must have a list of values for [{name}]"
            )));
        };
        if values.len() > VALUES_MAX {
            return Err(Refusal::illegal(format!(
                "[terms] has more than {VALUES_MAX} values"
            )));
        }
        if values.is_empty() {
            return Ok(nothing());
        }
        Ok(times(self.any_of_values(name, values)?, boost))
    }

    fn any_of_values(&mut self, name: &str, values: &[Value]) -> Read<KeywordQuery> {
        match names::by_value(self.index, name)? {
            Named::Field(field) => self.equal(field, values),
            Named::Id => {
                let ids = values.iter().map(|value| text_of("_id", value));
                self.keyed(&ids.collect::<Read<Vec<_>>>()?)
            }
            Named::Text(place) => {
                let fields = Some(vec![(place, self.own_boost(place))]);
                let how = How {
                    minimum: MinimumMatch::All,
                    ..How::usual()
                };
                let terms = values.iter().map(|value| {
                    let term = text_of(name, value)?;
                    is_a_term(name, &term)?;
                    self.words(&term, fields.clone(), how)
                });
                Ok(any_of(terms.collect::<Read<_>>()?))
            }
        }
    }

    /// Documents with one of the values.
    pub fn equal(&self, field: &Field, values: &[Value]) -> Read<KeywordQuery> {
        if field.kind == FieldKind::Date {
            // A date without a time is the whole day.
            let days = values.iter().map(|value| {
                let bounds = [
                    (Comparison::GreaterOrEqual, value),
                    (Comparison::LessOrEqual, value),
                ];
                Ok(KeywordQuery::Matching(Box::new(self.between(field, &bounds)?)))
            });
            return Ok(any_of(days.collect::<Read<_>>()?));
        }
        let list = values
            .iter()
            .map(|value| literal(field, value))
            .collect::<Read<_>>()?;
        let value = Box::new(Expression::Column(field.name.clone()));
        self.matching(Expression::In { value, list })
    }

    pub fn range(&mut self, body: &Value) -> Read<KeywordQuery> {
        let (name, options) = Keys::new("range", body)?.one()?;
        let mut keys = Keys::new("range", options)?;
        let boost = keys.boost()?;
        keys.only("relation", &["INTERSECTS".into(), "intersects".into()])?;
        keys.only("time_zone", &["UTC".into(), "Z".into(), "+00:00".into()])?;
        keys.only(
            "format",
            &[
                "strict_date_optional_time".into(),
                "strict_date_optional_time||epoch_millis".into(),
            ],
        )?;
        let mut bounds = Vec::new();
        for (key, op) in [
            ("gt", Comparison::Greater),
            ("gte", Comparison::GreaterOrEqual),
            ("lt", Comparison::Less),
            ("lte", Comparison::LessOrEqual),
        ] {
            match keys.take(key) {
                None | Some(Value::Null) => {}
                Some(value) => bounds.push((op, value)),
            }
        }
        keys.end()?;
        let Named::Field(field) = names::by_value(self.index, name)? else {
            return Err(Refusal::illegal(format!(
                "[range] names [{name}], which has no order: name it in `fields` of the dataflow file"
            )));
        };
        if bounds.is_empty() {
            return self.exists_field(field).map(|query| times(query, boost));
        }
        let condition = self.between(field, &bounds)?;
        Ok(times(KeywordQuery::Matching(Box::new(condition)), boost))
    }

    /// All bounds hold for one of the field's values.
    fn between(&self, field: &Field, bounds: &[(Comparison, &Value)]) -> Read<Expression> {
        let compared = bounds.iter().map(|(op, value)| {
            let right = match (field.kind, value) {
                (FieldKind::Date, Value::String(text)) => {
                    let is_upper = matches!(op, Comparison::Greater | Comparison::LessOrEqual);
                    let text = if is_upper { last_moment(text) } else { text.clone() };
                    Expression::Literal(Datum::text(&text))
                }
                _ => literal(field, value)?,
            };
            Ok(Expression::Compare {
                op: *op,
                left: Box::new(Expression::Column(field.name.clone())),
                right: Box::new(right),
            })
        });
        let compared = compared.collect::<Read<Vec<_>>>()?.into_iter();
        let both = compared.reduce(|left, right| Expression::And(Box::new(left), Box::new(right)));
        let both = both.ok_or_else(|| Refusal::parsing("[range] has no bound"))?;
        self.filters.condition(both).map_err(refused)
    }

    pub fn exists(&mut self, body: &Value) -> Read<KeywordQuery> {
        let mut keys = Keys::new("exists", body)?;
        let boost = keys.boost()?;
        let name = keys
            .text("field")?
            .ok_or_else(|| Refusal::parsing("[exists] has no [field]"))?;
        keys.end()?;
        let query = match names::by_value(self.index, name)? {
            Named::Field(field) => self.exists_field(field)?,
            Named::Id => KeywordQuery::All,
            // No field has it, so the rows are asked.
            Named::Text(place) => {
                let text = self.index.text.get(place);
                let column = text.and_then(|text| self.index.plan.columns.get(text.column));
                let column = Expression::Column(column.cloned().unwrap_or_default());
                KeywordQuery::Matching(Box::new(not(Expression::IsNull(Box::new(column)))))
            }
        };
        Ok(times(query, boost))
    }

    pub fn exists_field(&self, field: &Field) -> Read<KeywordQuery> {
        let column = Box::new(Expression::Column(field.name.clone()));
        let is_null = self.filters.filter(Expression::IsNull(column)).map_err(refused)?;
        Ok(KeywordQuery::Matching(Box::new(not(is_null))))
    }

    pub fn prefix(&mut self, body: &Value) -> Read<KeywordQuery> {
        let (name, options) = Keys::new("prefix", body)?.one()?;
        let (value, boost, ignore_case) = match options {
            Value::Object(_) => {
                let mut keys = Keys::new("prefix", options)?;
                let value = keys
                    .take("value")
                    .ok_or_else(|| Refusal::parsing("[prefix] has no [value]"))?;
                let (boost, ignore_case) = (keys.boost()?, keys.flag("case_insensitive")?);
                keys.end()?;
                (value, boost, ignore_case.unwrap_or(false))
            }
            value => (value, 1.0, false),
        };
        let start = text_of("prefix", value)?;
        Ok(times(self.beginning(name, &start, ignore_case)?, boost))
    }

    /// Documents with a word, or a value, that begins so.
    pub fn beginning(&mut self, name: &str, start: &str, ignore_case: bool) -> Read<KeywordQuery> {
        match names::by_value(self.index, name)? {
            Named::Text(place) => {
                if !ignore_case {
                    is_a_term(name, start)?;
                }
                let fields = Some(vec![(place, self.own_boost(place))]);
                let text = start.to_owned();
                Ok(KeywordQuery::Prefix(PrefixQuery { text, fields }))
            }
            Named::Field(field) if field.kind == FieldKind::Keyword => {
                let escaped = start
                    .replace('\\', "\\\\")
                    .replace('%', "\\%")
                    .replace('_', "\\_");
                self.matching(Expression::Like {
                    value: Box::new(Expression::Column(field.name.clone())),
                    pattern: Box::new(Expression::Literal(Datum::text(&format!("{escaped}%")))),
                    escape: None,
                    ignore_case,
                })
            }
            Named::Field(_) | Named::Id => Err(Refusal::illegal(format!(
                "[prefix] names [{name}], which is neither a text nor a keyword"
            ))),
        }
    }

    pub fn ids(&mut self, body: &Value) -> Read<KeywordQuery> {
        let mut keys = Keys::new("ids", body)?;
        let boost = keys.boost()?;
        let values = keys
            .take("values")
            .ok_or_else(|| Refusal::parsing("[ids] has no [values]"))?;
        keys.end()?;
        Ok(times(self.keyed(&texts("values", values)?)?, boost))
    }

    /// Documents by their keys, which are compared as texts: `1` is not `01`. The rows are asked.
    pub fn keyed(&self, ids: &[String]) -> Read<KeywordQuery> {
        let key = &self.index.key;
        let most = if key.len() == 1 {
            VALUES_MAX
        } else {
            COMPOSITE_IDS_MAX
        };
        if ids.len() > most {
            return Err(Refusal::illegal(format!("[ids] has more than {most} values")));
        }
        let part = |place: &usize| Expression::Cast {
            value: Box::new(Expression::Column(
                self.index.plan.columns.get(*place).cloned().unwrap_or_default(),
            )),
            to: CastType::Text,
        };
        let text = |text: &str| Expression::Literal(Datum::text(text));
        let condition = match &key[..] {
            [place] => Expression::In {
                value: Box::new(part(place)),
                list: ids.iter().map(|id| text(id)).collect(),
            },
            key => {
                let one = |id: &String| {
                    let parts: Vec<&str> = id.split('/').collect();
                    let equal = key
                        .iter()
                        .zip(&parts)
                        .map(|(place, written)| Expression::Compare {
                            op: Comparison::Equal,
                            left: Box::new(part(place)),
                            right: Box::new(text(&written.replace("%2F", "/").replace("%25", "%"))),
                        });
                    let equal = equal.reduce(|left, right| Expression::And(Box::new(left), Box::new(right)));
                    equal.filter(|_| parts.len() == key.len())
                };
                let any = ids.iter().filter_map(one);
                let any = any.reduce(|left, right| Expression::Or(Box::new(left), Box::new(right)));
                any.unwrap_or(Expression::Literal(Datum::Bool(false)))
            }
        };
        Ok(KeywordQuery::Matching(Box::new(condition)))
    }

    fn matching(&self, condition: Expression) -> Read<KeywordQuery> {
        let condition = self.filters.filter(condition).map_err(refused)?;
        Ok(KeywordQuery::Matching(Box::new(condition)))
    }
}

fn not(condition: Expression) -> Expression {
    Expression::Not(Box::new(condition))
}

/// OpenSearch compares a term of a text with analysed words: what no analyser makes would never be found there.
fn is_a_term(name: &str, term: &str) -> Read<()> {
    let is_one = !term.is_empty() && term.chars().all(|c| c.is_alphanumeric() && !c.is_uppercase());
    match is_one {
        true => Ok(()),
        false => Err(Refusal::illegal(format!(
            "[{name}] is a text, and [{term}] is not one word in small letters: ask by [match]"
        ))),
    }
}

/// A value that a field is compared with.
pub fn literal(field: &Field, value: &Value) -> Read<Expression> {
    let datum = match (field.kind, value) {
        (_, Value::String(text)) => Datum::text(text),
        (FieldKind::Keyword, Value::Number(number)) => Datum::text(&number.to_string()),
        (FieldKind::Keyword, Value::Bool(flag)) => Datum::text(if *flag { "true" } else { "false" }),
        (_, Value::Bool(flag)) => Datum::Bool(*flag),
        (_, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Datum::Int(whole),
            (None, Some(float)) if number.is_f64() => Datum::Float(Float(float)),
            _ => Datum::Decimal(number.to_string().into()),
        },
        _ => {
            return Err(Refusal::illegal(format!(
                "[{}] is compared with {value}: values are texts, numbers, true and false",
                field.name
            )));
        }
    };
    Ok(Expression::Literal(datum))
}

/// The last moment that a date means which leaves out its time, or parts of it.
fn last_moment(text: &str) -> String {
    let (local, zone) = match text.find('T').or_else(|| text.find(' ')) {
        None => (text, ""),
        Some(at) => {
            let zone = text[at..]
                .find(['Z', 'z', '+', '-'])
                .map_or(text.len(), |zone| at + zone);
            text.split_at(zone)
        }
    };
    let rest = match local.len() {
        10 => "T23:59:59.999999",
        16 => ":59.999999",
        19 => ".999999",
        23 => "999",
        _ => "",
    };
    format!("{local}{rest}{zone}")
}

pub fn refused(fault: FilterFault) -> Refusal {
    let fault = fault.fault();
    match &fault.hint {
        Some(hint) => Refusal::illegal(format!("{}: {hint}", fault.message)),
        None => Refusal::illegal(fault.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::last_moment;

    #[test]
    fn a_date_that_leaves_out_its_time_lasts_as_long_as_it_says() {
        for (written, last) in [
            ("2026-01-31", "2026-01-31T23:59:59.999999"),
            ("2026-01-31T10:00Z", "2026-01-31T10:00:59.999999Z"),
            ("2026-01-31T10:00:05+02:00", "2026-01-31T10:00:05.999999+02:00"),
            ("2026-01-31T10:00:05.123", "2026-01-31T10:00:05.123999"),
            ("2026-01-31T10:00:05.123456Z", "2026-01-31T10:00:05.123456Z"),
            ("soon", "soon"),
        ] {
            assert_eq!(last_moment(written), last);
        }
    }
}
