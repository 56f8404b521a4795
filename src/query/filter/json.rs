//! A filter as JSON -> the expression that the same filter in SQL is.
//!
//! A condition is an object of one operator, or SQL text. The names are those that people know from other engines:
//!
//! ```json
//! {"and": [{"eq": {"category": "shoes"}}, {"range": {"price": {"gte": 10, "lt": 50}}},
//!          {"not": {"in": {"brand": ["a", "b"]}}}, {"exists": "price"}, "stock > 0"]}
//! ```

use serde_json::{Map, Value};

use super::sql;
use crate::change::{Datum, Float};
use crate::definition::expression::{Comparison, Expression};
use crate::definition::fault::{listed, quoted, suggestion};
use crate::definition::{FilterFault, Filters};

/// Operators inside each other.
const DEPTH_MAX: usize = 32;

/// Conditions, and values in their lists, of one filter: as many as its SQL has room for.
const PARTS_MAX: usize = 10_000;

const OPERATORS: [&str; 13] = [
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "in",
    "contains_any",
    "contains_all",
    "range",
    "exists",
    "prefix",
    "geo_distance",
    "geo_box",
];

type Filtered = Result<Expression, FilterFault>;

pub(super) fn filter(condition: &Map<String, Value>, filters: &Filters<'_>) -> Filtered {
    let mut reader = Reader {
        filters,
        depth: 0,
        parts: 0,
    };
    reader.operator(condition)
}

struct Reader<'a> {
    filters: &'a Filters<'a>,
    depth: usize,
    parts: usize,
}

impl Reader<'_> {
    fn condition(&mut self, condition: &Value) -> Filtered {
        match condition {
            Value::String(text) => {
                self.count(1)?;
                sql(text, self.filters)
            }
            Value::Object(object) => self.operator(object),
            other => Err(wrong(
                format!("`filter` has {} where a condition should be", shown(other)),
                format!(
                    "a condition is SQL text, or an object with one of {}",
                    listed(&OPERATORS)
                ),
            )),
        }
    }

    fn operator(&mut self, object: &Map<String, Value>) -> Filtered {
        self.count(1)?;
        let mut entries = object.iter();
        let (Some((operator, operand)), None) = (entries.next(), entries.next()) else {
            return Err(wrong(
                format!("a condition of `filter` has {} operators", object.len()),
                "it has one; several conditions are joined by `{\"and\": [...]}`",
            ));
        };
        if self.depth >= DEPTH_MAX {
            return Err(wrong(
                "`filter` nests too deeply",
                format!("at most {DEPTH_MAX} levels"),
            ));
        }
        self.depth += 1;
        let filter = self.apply(operator, operand);
        self.depth -= 1;
        filter
    }

    fn apply(&mut self, operator: &str, operand: &Value) -> Filtered {
        match operator {
            "and" => self.all(operator, operand, Expression::And),
            "or" => self.all(operator, operand, Expression::Or),
            "not" => Ok(Expression::Not(Box::new(self.condition(operand)?))),
            "eq" | "ne" => {
                let (field, value) = self.of_one_field(operator, operand)?;
                self.filters.filter(compare(
                    if operator == "eq" {
                        Comparison::Equal
                    } else {
                        Comparison::NotEqual
                    },
                    field,
                    literal(operator, field, value)?,
                ))
            }
            "in" | "contains_any" => {
                let (field, list) = self.list(operator, operand)?;
                self.filters.filter(Expression::In {
                    value: column(field),
                    list,
                })
            }
            "contains_all" => {
                let (field, list) = self.list(operator, operand)?;
                let each = list.into_iter().map(|value| {
                    let equal = compare(Comparison::Equal, field, value);
                    self.filters.filter(equal)
                });
                let each = each.collect::<Result<Vec<_>, _>>()?;
                Ok(joined(each, Expression::And).unwrap_or(Expression::Literal(Datum::Bool(true))))
            }
            "range" => self.range(operand),
            "exists" => match operand {
                Value::String(field) => {
                    let is_null = self.filters.filter(Expression::IsNull(column(field)))?;
                    Ok(Expression::Not(Box::new(is_null)))
                }
                other => Err(takes(operator, other, "the name of a field")),
            },
            "prefix" => {
                let (field, value) = self.of_one_field(operator, operand)?;
                let Value::String(prefix) = value else {
                    return Err(takes(operator, value, "a field and text: `{\"name\": \"sho\"}`"));
                };
                let escaped = prefix
                    .replace('\\', "\\\\")
                    .replace('%', "\\%")
                    .replace('_', "\\_");
                self.filters.filter(Expression::Like {
                    value: column(field),
                    pattern: Box::new(Expression::Literal(Datum::text(&format!("{escaped}%")))),
                    escape: None,
                    ignore_case: false,
                })
            }
            "geo_distance" => {
                let numbers = ["lat", "lon", "metres"];
                let (field, [lat, lon, metres]) = of_place(operator, operand, numbers)?;
                self.filters.filter(Expression::Compare {
                    op: Comparison::LessOrEqual,
                    left: Box::new(Expression::GeoDistance {
                        place: column(field),
                        lat,
                        lon,
                    }),
                    right: metres,
                })
            }
            "geo_box" => {
                let sides = ["south", "west", "north", "east"];
                let (field, [south, west, north, east]) = of_place(operator, operand, sides)?;
                self.filters.filter(Expression::GeoWithin {
                    place: column(field),
                    south,
                    west,
                    north,
                    east,
                })
            }
            unknown => Err(wrong(
                format!("`filter` has the unknown operator {}", quoted(unknown)),
                match suggestion(unknown, &OPERATORS) {
                    Some(near) if near.starts_with("did") => {
                        format!("{near} The operators are {}", listed(&OPERATORS))
                    }
                    _ => format!("the operators are {}", listed(&OPERATORS)),
                },
            )),
        }
    }

    fn all(
        &mut self,
        operator: &str,
        operand: &Value,
        join: fn(Box<Expression>, Box<Expression>) -> Expression,
    ) -> Filtered {
        let Value::Array(conditions) = operand else {
            return Err(takes(operator, operand, "a list of conditions"));
        };
        let conditions = conditions.iter().map(|condition| self.condition(condition));
        let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
        joined(conditions, join).ok_or_else(|| takes(operator, operand, "at least one condition"))
    }

    /// Both ends at once: of a field with several values, one must be between them.
    fn range(&mut self, operand: &Value) -> Filtered {
        const EXPECTED: &str = "a field and its bounds: `{\"price\": {\"gte\": 10, \"lt\": 50}}`";
        const BOUNDS: [&str; 4] = ["gt", "gte", "lt", "lte"];
        let (field, bounds) = self.of_one_field("range", operand)?;
        let Value::Object(bounds) = bounds else {
            return Err(takes("range", bounds, EXPECTED));
        };
        let compared = bounds.iter().map(|(bound, value)| {
            let op = match &**bound {
                "gt" => Comparison::Greater,
                "gte" => Comparison::GreaterOrEqual,
                "lt" => Comparison::Less,
                "lte" => Comparison::LessOrEqual,
                unknown => {
                    return Err(wrong(
                        format!("`range` has the unknown bound {}", quoted(unknown)),
                        format!("the bounds are {}", listed(&BOUNDS)),
                    ));
                }
            };
            Ok(compare(op, field, literal("range", field, value)?))
        });
        let compared = compared.collect::<Result<Vec<_>, _>>()?;
        match joined(compared, Expression::And) {
            Some(condition) => self.filters.condition(condition),
            None => Err(takes("range", operand, EXPECTED)),
        }
    }

    /// The one entry of an object by field.
    fn of_one_field<'v>(
        &self,
        operator: &str,
        operand: &'v Value,
    ) -> Result<(&'v str, &'v Value), FilterFault> {
        let entries = operand.as_object().into_iter().flatten();
        let entries: Vec<_> = entries.take(2).collect();
        match &entries[..] {
            [(field, value)] => {
                self.filters.field(field)?;
                Ok((field, value))
            }
            _ => Err(takes(
                operator,
                operand,
                "an object of one field: `{\"category\": ...}`",
            )),
        }
    }

    fn list<'v>(
        &mut self,
        operator: &str,
        operand: &'v Value,
    ) -> Result<(&'v str, Vec<Expression>), FilterFault> {
        let (field, value) = self.of_one_field(operator, operand)?;
        let Value::Array(values) = value else {
            return Err(takes(
                operator,
                value,
                "a field and a list: `{\"brand\": [\"a\", \"b\"]}`",
            ));
        };
        self.count(values.len())?;
        let values = values.iter().map(|value| literal(operator, field, value));
        Ok((field, values.collect::<Result<_, _>>()?))
    }

    fn count(&mut self, parts: usize) -> Result<(), FilterFault> {
        self.parts += parts;
        match self.parts <= PARTS_MAX {
            true => Ok(()),
            false => Err(wrong(
                format!("`filter` has more than {PARTS_MAX} conditions and values"),
                "select the documents by fewer values",
            )),
        }
    }
}

/// The field and the numbers of an operator that takes `{"field": .., ...}` and no other keys.
fn of_place<'v, const N: usize>(
    operator: &str,
    operand: &'v Value,
    names: [&str; N],
) -> Result<(&'v str, [Box<Expression>; N]), FilterFault> {
    let expected = format!("an object of `field`, {}", listed(&names));
    let object = operand.as_object().filter(|object| object.len() == N + 1);
    let field = object.and_then(|object| object.get("field")?.as_str());
    let (Some(object), Some(field)) = (object, field) else {
        return Err(takes(operator, operand, &expected));
    };
    let mut numbers = names.map(|_| Box::new(Expression::Literal(Datum::Null)));
    for (number, name) in numbers.iter_mut().zip(names) {
        match object.get(name) {
            Some(value @ Value::Number(_)) => **number = literal(operator, field, value)?,
            _ => return Err(takes(operator, operand, &expected)),
        }
    }
    Ok((field, numbers))
}

fn column(field: &str) -> Box<Expression> {
    Box::new(Expression::Column(field.to_owned()))
}

fn compare(op: Comparison, field: &str, value: Expression) -> Expression {
    Expression::Compare {
        op,
        left: column(field),
        right: Box::new(value),
    }
}

fn literal(operator: &str, field: &str, value: &Value) -> Filtered {
    Ok(Expression::Literal(match value {
        Value::Bool(value) => Datum::Bool(*value),
        Value::String(text) => Datum::text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Datum::Int(value),
            (None, Some(value)) if number.is_f64() => Datum::Float(Float(value)),
            _ => Datum::Decimal(number.to_string().into()),
        },
        Value::Null => {
            return Err(wrong(
                format!("`{operator}` compares {} with null", quoted(field)),
                "`{\"not\": {\"exists\": \"field\"}}` is true where there is no value",
            ));
        }
        other => {
            return Err(wrong(
                format!("`{operator}` compares {} with {}", quoted(field), shown(other)),
                "values are text, numbers, true and false",
            ));
        }
    }))
}

/// A balanced tree, so that thousands of conditions are some levels deep; `None` of none.
fn joined(
    mut conditions: Vec<Expression>,
    join: fn(Box<Expression>, Box<Expression>) -> Expression,
) -> Option<Expression> {
    if conditions.len() <= 1 {
        return conditions.pop();
    }
    let right = conditions.split_off(conditions.len().div_ceil(2));
    let (left, right) = (joined(conditions, join)?, joined(right, join)?);
    Some(join(Box::new(left), Box::new(right)))
}

fn wrong(message: impl Into<String>, hint: impl Into<String>) -> FilterFault {
    FilterFault::wrong(message, hint)
}

fn takes(operator: &str, found: &Value, expected: &str) -> FilterFault {
    let message = format!("the operator `{operator}` of `filter` has {}", shown(found));
    wrong(message, format!("it takes {expected}"))
}

/// What a value is; whatever its size, it is shown shortened.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(object) => {
            let keys: Vec<&str> = object.keys().map(String::as_str).collect();
            match &keys[..] {
                [] => "an empty object".to_owned(),
                keys => format!("an object of {}", listed(keys)),
            }
        }
        other => quoted(&other.to_string()),
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
