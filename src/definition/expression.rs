//! The one expression language of `WHERE`, `SELECT` and the query port's `filter`.
//!
//! Nothing here fails: what has no value is null. Numbers compare and add up as numbers whichever type holds
//! them (see `number`); text beside a number or a boolean counts as one if it reads as one, else the result
//! is null; dates are ISO 8601 text and compare as text, by code points.

mod display;
mod like;
mod number;
mod value;

use std::cmp::Ordering;

pub(super) use self::number::negate;
pub use self::value::compare;
pub(super) use self::value::text_of;
use self::value::{Value, cast, truth_of};
use crate::change::{Datum, DatumRef, Row};

/// An expression over the columns of a row. Null propagates as in SQL; `AND`, `OR`, `NOT` know three values.
///
/// `Display` writes it as SQL, for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Column(String),
    Literal(Datum),
    Negate(Box<Expression>),
    Not(Box<Expression>),
    IsNull(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Compare {
        op: Comparison,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    Arithmetic {
        op: Arithmetic,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    /// `||`
    Concat(Box<Expression>, Box<Expression>),
    In {
        value: Box<Expression>,
        list: Vec<Expression>,
    },
    /// SQL `LIKE`: `%` any text, `_` one character, `\` or the given character escapes.
    Like {
        value: Box<Expression>,
        pattern: Box<Expression>,
        escape: Option<char>,
        ignore_case: bool,
    },
    Between {
        value: Box<Expression>,
        low: Box<Expression>,
        high: Box<Expression>,
    },
    Coalesce(Vec<Expression>),
    Lower(Box<Expression>),
    Upper(Box<Expression>),
    Cast {
        value: Box<Expression>,
        to: CastType,
    },
    Case {
        operand: Option<Box<Expression>>,
        branches: Vec<(Expression, Expression)>,
        otherwise: Option<Box<Expression>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Of two integers an integer, wider than `i64` where it must be; beside a float a float; else an exact decimal.
/// A quotient is always a float. Division by zero is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// What `CAST` makes of a value, or null where it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastType {
    Text,
    /// Rounded half away from zero; an exact decimal where `i64` is too narrow.
    Int,
    Float,
    /// Rounded half away from zero to the scale, if one is given.
    Decimal {
        scale: Option<u32>,
    },
    /// Numbers: whether not zero. Text: `true`, `t`, `1`, `false`, `f`, `0`, or another number.
    Bool,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Expression {
    /// The value for a row; a column that the row lacks is null. Never panics: what has no value is null.
    ///
    /// Recurses as deeply as the expression nests, which parsing bounds.
    pub fn evaluate(&self, row: &Row) -> Datum {
        self.value(row).into_datum()
    }

    fn value<'a>(&'a self, row: &'a Row) -> Value<'a> {
        Value::Owned(match self {
            Expression::Column(name) => {
                let value = row.get(name).filter(|value| *value != DatumRef::Unavailable);
                return Value::Borrowed(value.unwrap_or(DatumRef::Null));
            }
            Expression::Literal(value) => return Value::Borrowed(value.into()),
            Expression::Negate(value) => number::negate(&value.value(row)),
            Expression::Arithmetic { op, left, right } => {
                number::arithmetic(*op, left.value(row).get(), right.value(row).get())
            }
            Expression::Concat(left, right) => {
                match (text_of(&left.value(row)), text_of(&right.value(row))) {
                    (Some(left), Some(right)) => Datum::text(&[&*left, &*right].concat()),
                    _ => Datum::Null,
                }
            }
            Expression::Coalesce(list) => {
                return list
                    .iter()
                    .map(|expression| expression.value(row))
                    .find(|value| !value.get().is_null())
                    .unwrap_or(Value::Owned(Datum::Null));
            }
            Expression::Lower(value) => mapped_text(&value.value(row), str::to_lowercase),
            Expression::Upper(value) => mapped_text(&value.value(row), str::to_uppercase),
            Expression::Cast { value, to } => cast(value.value(row).get(), *to),
            Expression::Case {
                operand,
                branches,
                otherwise,
            } => {
                let operand = operand.as_ref().map(|operand| operand.value(row));
                let taken = branches.iter().find(|(condition, _)| match &operand {
                    Some(operand) => compare(operand, &condition.value(row)) == Some(Ordering::Equal),
                    None => condition.is_true(row),
                });
                match (taken, otherwise) {
                    (Some((_, result)), _) => return result.value(row),
                    (None, Some(otherwise)) => return otherwise.value(row),
                    (None, None) => Datum::Null,
                }
            }
            Expression::IsNull(_)
            | Expression::Not(_)
            | Expression::And(..)
            | Expression::Or(..)
            | Expression::Compare { .. }
            | Expression::In { .. }
            | Expression::Like { .. }
            | Expression::Between { .. } => self.truth(row).map_or(Datum::Null, Datum::Bool),
        })
    }

    /// Whether the value for a row is true: neither false nor null. A number is true unless it is zero.
    pub fn is_true(&self, row: &Row) -> bool {
        self.truth(row) == Some(true)
    }

    /// The value for a row as a truth value; `None` is SQL's unknown.
    fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Expression::IsNull(value) => Some(value.value(row).get().is_null()),
            Expression::Not(value) => value.truth(row).map(|truth| !truth),
            Expression::And(left, right) => match left.truth(row) {
                Some(false) => Some(false),
                left => and(left, right.truth(row)),
            },
            Expression::Or(left, right) => match left.truth(row) {
                Some(true) => Some(true),
                left => or(left, right.truth(row)),
            },
            Expression::Compare { op, left, right } => {
                Some(op.holds(compare(&left.value(row), &right.value(row))?))
            }
            Expression::In { value, list } => {
                let value = value.value(row);
                let mut found = Some(false);
                for other in list {
                    found = or(found, compare(&value, &other.value(row)).map(Ordering::is_eq));
                    if found == Some(true) {
                        break;
                    }
                }
                found
            }
            Expression::Like {
                value,
                pattern,
                escape,
                ignore_case,
            } => {
                let (value, pattern) = (value.value(row), pattern.value(row));
                Some(like::matches(
                    &text_of(&value)?,
                    &text_of(&pattern)?,
                    escape.unwrap_or('\\'),
                    *ignore_case,
                ))
            }
            Expression::Between { value, low, high } => {
                let value = value.value(row);
                and(
                    compare(&value, &low.value(row)).map(Ordering::is_ge),
                    compare(&value, &high.value(row)).map(Ordering::is_le),
                )
            }
            Expression::Column(_)
            | Expression::Literal(_)
            | Expression::Negate(_)
            | Expression::Arithmetic { .. }
            | Expression::Concat(..)
            | Expression::Coalesce(_)
            | Expression::Lower(_)
            | Expression::Upper(_)
            | Expression::Cast { .. }
            | Expression::Case { .. } => truth_of(&self.value(row)),
        }
    }

    /// Calls `visit` with every column name in the expression.
    pub fn visit_columns<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        match self {
            Expression::Column(name) => visit(name),
            Expression::Literal(_) => {}
            Expression::Negate(value)
            | Expression::Not(value)
            | Expression::IsNull(value)
            | Expression::Lower(value)
            | Expression::Upper(value)
            | Expression::Cast { value, .. } => value.visit_columns(visit),
            Expression::And(left, right)
            | Expression::Or(left, right)
            | Expression::Concat(left, right)
            | Expression::Compare { left, right, .. }
            | Expression::Arithmetic { left, right, .. }
            | Expression::Like {
                value: left,
                pattern: right,
                ..
            } => {
                left.visit_columns(visit);
                right.visit_columns(visit);
            }
            Expression::In { value, list } => {
                value.visit_columns(visit);
                list.iter().for_each(|item| item.visit_columns(visit));
            }
            Expression::Between { value, low, high } => {
                for part in [value, low, high] {
                    part.visit_columns(visit);
                }
            }
            Expression::Coalesce(list) => list.iter().for_each(|item| item.visit_columns(visit)),
            Expression::Case {
                operand,
                branches,
                otherwise,
            } => {
                if let Some(operand) = operand {
                    operand.visit_columns(visit);
                }
                for (condition, result) in branches {
                    condition.visit_columns(visit);
                    result.visit_columns(visit);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.visit_columns(visit);
                }
            }
        }
    }
}

fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn mapped_text(value: &Value<'_>, map: fn(&str) -> String) -> Datum {
    text_of(value).map_or(Datum::Null, |text| Datum::text(&map(&text)))
}
