//! The one expression language of `WHERE`, `SELECT` and the query port's `filter`.
//!
//! Nothing here fails: what has no value is null. Numbers compare and add up as numbers whichever type holds
//! them (see `number`); text beside a number or a boolean counts as one if it reads as one, else the result
//! is null; dates are ISO 8601 text and compare as text, by code points. `CAST(... AS TIMESTAMP)` makes text of all points
//! in time that compares as they do.
//!
//! In a filter a name stands for a field of the index, which knows its kind and may have several values in a document:
//! `Any` is how a condition sees them (see `filter`).

mod any;
mod display;
mod like;
mod number;
mod value;

use std::cmp::Ordering;

pub(super) use self::number::negate;
pub use self::value::compare;
pub(super) use self::value::text_of;
use self::value::{Value, cast, truth_of};
use super::field::{Field, elements};
use super::moment::{self, Interval};
use super::point::{self, GeoBox, Point};
use super::worth;
use crate::change::{Datum, DatumRef, Float, Row};

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
    /// A point in time and how much later: `created + INTERVAL '7 days'`.
    Later {
        value: Box<Expression>,
        by: Interval,
    },
    /// How many elements the array in a column has, nulls included; 1 for what is no array.
    ArrayLength(Box<Expression>),
    /// Metres over the surface of the earth.
    GeoDistance {
        place: Box<Expression>,
        lat: Box<Expression>,
        lon: Box<Expression>,
    },
    /// Whether a place is in a box, which crosses the date line where `west` is beyond `east`.
    GeoWithin {
        place: Box<Expression>,
        south: Box<Expression>,
        west: Box<Expression>,
        north: Box<Expression>,
        east: Box<Expression>,
    },
    /// Whether the condition holds for some value of each of the fields, whose names stand for that value in it.
    Any {
        fields: Vec<Field>,
        condition: Box<Expression>,
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
    /// Text such as `2026-01-01T00:00:00.000000Z`, always in UTC: see `moment`.
    Timestamp,
}

/// The expressions that an expression is made of, shared or exclusive.
macro_rules! children {
    ($expression:expr, $as_ref:ident, $as_deref:ident, $iter:ident) => {
        match $expression {
            Expression::Column(_) | Expression::Literal(_) => Vec::new(),
            Expression::Negate(value)
            | Expression::Not(value)
            | Expression::IsNull(value)
            | Expression::Lower(value)
            | Expression::Upper(value)
            | Expression::ArrayLength(value)
            | Expression::Later { value, .. }
            | Expression::Any { condition: value, .. }
            | Expression::Cast { value, .. } => vec![value.$as_ref()],
            Expression::And(left, right)
            | Expression::Or(left, right)
            | Expression::Concat(left, right)
            | Expression::Compare { left, right, .. }
            | Expression::Arithmetic { left, right, .. }
            | Expression::Like {
                value: left,
                pattern: right,
                ..
            } => vec![left.$as_ref(), right.$as_ref()],
            Expression::In { value, list } => std::iter::once(value.$as_ref()).chain(list.$iter()).collect(),
            Expression::Between { value, low, high } => {
                vec![value.$as_ref(), low.$as_ref(), high.$as_ref()]
            }
            Expression::GeoDistance { place, lat, lon } => {
                vec![place.$as_ref(), lat.$as_ref(), lon.$as_ref()]
            }
            Expression::GeoWithin {
                place,
                south,
                west,
                north,
                east,
            } => vec![
                place.$as_ref(),
                south.$as_ref(),
                west.$as_ref(),
                north.$as_ref(),
                east.$as_ref(),
            ],
            Expression::Coalesce(list) => list.$iter().collect(),
            Expression::Case {
                operand,
                branches,
                otherwise,
            } => operand
                .$as_deref()
                .into_iter()
                .chain(
                    branches
                        .$iter()
                        .flat_map(|(condition, result)| [condition, result]),
                )
                .chain(otherwise.$as_deref())
                .collect(),
        }
    };
}

/// What names in an expression stand for.
#[derive(Clone, Copy)]
struct Scope<'a> {
    row: &'a Row,
    /// Values that stand in the place of the row's.
    bound: &'a [(&'a str, Datum)],
}

impl<'a> Scope<'a> {
    fn get(self, name: &str) -> DatumRef<'a> {
        if let Some((_, value)) = self.bound.iter().find(|(bound, _)| *bound == name) {
            return value.into();
        }
        let value = self.row.get(name).filter(|value| *value != DatumRef::Unavailable);
        value.unwrap_or(DatumRef::Null)
    }
}

impl<'a> From<&'a Row> for Scope<'a> {
    fn from(row: &'a Row) -> Scope<'a> {
        Scope { row, bound: &[] }
    }
}

impl Comparison {
    /// The comparison with its sides exchanged.
    pub(crate) fn mirrored(self) -> Comparison {
        match self {
            Comparison::Equal | Comparison::NotEqual => self,
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        }
    }

    pub(crate) fn holds(self, ordering: Ordering) -> bool {
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
        self.value(row.into()).into_datum()
    }

    fn value<'a>(&'a self, scope: Scope<'a>) -> Value<'a> {
        Value::Owned(match self {
            Expression::Column(name) => {
                return Value::Borrowed(scope.get(name));
            }
            Expression::Literal(value) => return Value::Borrowed(value.into()),
            Expression::Negate(value) => number::negate(&value.value(scope)),
            Expression::Arithmetic { op, left, right } => {
                number::arithmetic(*op, left.value(scope).get(), right.value(scope).get())
            }
            Expression::Concat(left, right) => {
                match (text_of(&left.value(scope)), text_of(&right.value(scope))) {
                    (Some(left), Some(right)) => Datum::text(&[&*left, &*right].concat()),
                    _ => Datum::Null,
                }
            }
            Expression::Coalesce(list) => {
                return list
                    .iter()
                    .map(|expression| expression.value(scope))
                    .find(|value| !value.get().is_null())
                    .unwrap_or(Value::Owned(Datum::Null));
            }
            Expression::Lower(value) => mapped_text(&value.value(scope), str::to_lowercase),
            Expression::Upper(value) => mapped_text(&value.value(scope), str::to_uppercase),
            Expression::Cast { value, to } => cast(value.value(scope).get(), *to),
            Expression::Case {
                operand,
                branches,
                otherwise,
            } => {
                let operand = operand.as_ref().map(|operand| operand.value(scope));
                let taken = branches.iter().find(|(condition, _)| match &operand {
                    Some(operand) => compare(operand, &condition.value(scope)) == Some(Ordering::Equal),
                    None => condition.truth(scope) == Some(true),
                });
                match (taken, otherwise) {
                    (Some((_, result)), _) => return result.value(scope),
                    (None, Some(otherwise)) => return otherwise.value(scope),
                    (None, None) => Datum::Null,
                }
            }
            Expression::Later { value, by } => moment::of(&value.value(scope))
                .and_then(|micros| moment::text(by.after(micros)?))
                .map_or(Datum::Null, |text| Datum::text(&text)),
            // Of the row's own value: the array is more than one of its elements.
            Expression::ArrayLength(value) => match value.value(scope.row.into()).get() {
                DatumRef::Null => Datum::Null,
                array => Datum::Int(elements(array).map_or(1, |elements| elements.len() as i64)),
            },
            Expression::GeoDistance { place, lat, lon } => {
                let place = place_of(&place.value(scope));
                let center = numbers([lat, lon], scope).and_then(|[lat, lon]| Point::new(lat, lon));
                place.zip(center).map_or(Datum::Null, |(place, center)| {
                    Datum::Float(Float(center.metres_to(place)))
                })
            }
            Expression::IsNull(_)
            | Expression::Any { .. }
            | Expression::GeoWithin { .. }
            | Expression::Not(_)
            | Expression::And(..)
            | Expression::Or(..)
            | Expression::Compare { .. }
            | Expression::In { .. }
            | Expression::Like { .. }
            | Expression::Between { .. } => self.truth(scope).map_or(Datum::Null, Datum::Bool),
        })
    }

    /// Whether the value for a row is true: neither false nor null. A number is true unless it is zero.
    pub fn is_true(&self, row: &Row) -> bool {
        self.truth(row.into()) == Some(true)
    }

    /// The value as a truth value; `None` is SQL's unknown.
    fn truth(&self, scope: Scope<'_>) -> Option<bool> {
        match self {
            Expression::IsNull(value) => Some(value.value(scope).get().is_null()),
            Expression::Not(value) => value.truth(scope).map(|truth| !truth),
            Expression::And(left, right) => match left.truth(scope) {
                Some(false) => Some(false),
                left => and(left, right.truth(scope)),
            },
            Expression::Or(left, right) => match left.truth(scope) {
                Some(true) => Some(true),
                left => or(left, right.truth(scope)),
            },
            Expression::Compare { op, left, right } => {
                Some(op.holds(compare(&left.value(scope), &right.value(scope))?))
            }
            Expression::In { value, list } => {
                let value = value.value(scope);
                let mut found = Some(false);
                for other in list {
                    found = or(found, compare(&value, &other.value(scope)).map(Ordering::is_eq));
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
                let (value, pattern) = (value.value(scope), pattern.value(scope));
                Some(like::matches(
                    &text_of(&value)?,
                    &text_of(&pattern)?,
                    escape.unwrap_or('\\'),
                    *ignore_case,
                ))
            }
            Expression::Between { value, low, high } => {
                let value = value.value(scope);
                and(
                    compare(&value, &low.value(scope)).map(Ordering::is_ge),
                    compare(&value, &high.value(scope)).map(Ordering::is_le),
                )
            }
            Expression::GeoWithin {
                place,
                south,
                west,
                north,
                east,
            } => {
                let place = place_of(&place.value(scope))?;
                let [south, west, north, east] = numbers([south, west, north, east], scope)?;
                Some(
                    GeoBox {
                        south,
                        west,
                        north,
                        east,
                    }
                    .contains(place),
                )
            }
            Expression::Any { fields, condition } => any::holds(fields, condition, scope),
            Expression::Column(_)
            | Expression::Literal(_)
            | Expression::Negate(_)
            | Expression::Arithmetic { .. }
            | Expression::Concat(..)
            | Expression::Coalesce(_)
            | Expression::Lower(_)
            | Expression::Upper(_)
            | Expression::Cast { .. }
            | Expression::Later { .. }
            | Expression::ArrayLength(_)
            | Expression::GeoDistance { .. }
            | Expression::Case { .. } => truth_of(&self.value(scope)),
        }
    }

    /// Calls `visit` with every column name in the expression.
    pub fn visit_columns<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        if let Expression::Column(name) = self {
            visit(name);
        }
        let children = self.children().into_iter();
        children.for_each(|child| child.visit_columns(visit));
    }

    /// The expressions that it is made of.
    pub(super) fn children(&self) -> Vec<&Expression> {
        children!(self, as_ref, as_deref, iter)
    }

    pub(super) fn children_mut(&mut self) -> Vec<&mut Expression> {
        children!(self, as_mut, as_deref_mut, iter_mut)
    }
}

fn place_of(value: &Value<'_>) -> Option<Point> {
    let mut found = None;
    point::read(value, &mut |point| {
        found.get_or_insert(point);
    });
    found
}

fn numbers<const N: usize>(values: [&Expression; N], scope: Scope<'_>) -> Option<[f64; N]> {
    let mut numbers = [0.0; N];
    for (number, value) in numbers.iter_mut().zip(values) {
        *number = worth::float(&value.value(scope))?;
    }
    Some(numbers)
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
