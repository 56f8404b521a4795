//! The conditions that a single column answers, without the rows.

use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use super::places::Places;
use super::range::{self, Texts};
use super::{KeywordSchema, values};
use crate::change::{Datum, Float};
use crate::definition::expression::Comparison;
use crate::definition::{Expression, FieldKind, moment};

/// A condition on one column.
pub(super) struct Leaf<'a> {
    /// Place among the schema's filter columns.
    pub column: usize,
    pub test: Test<'a>,
    /// Whether a value that fails the test makes the condition null, as `1 IN (2, NULL)`.
    pub else_null: bool,
}

/// What some value of a document must be.
pub(super) enum Test<'a> {
    /// There is none.
    IsNull,
    /// In one of the ranges.
    Int(Vec<RangeInclusive<i64>>),
    Float(Vec<RangeInclusive<f64>>),
    Text(Vec<Texts<'a>>),
    IsTrue,
    IsFalse,
    /// Of the column's texts, those that make the condition true.
    Matching(&'a Expression),
    Place(Places),
}

/// The condition as a test of one column, or `None` if only rows can answer it.
pub(super) fn leaf<'a>(schema: &KeywordSchema, condition: &'a Expression) -> Option<Leaf<'a>> {
    let Expression::Any { fields, condition } = condition else {
        return None;
    };
    // Names in the condition stand for this field.
    let [field] = &fields[..] else { return None };
    let column = schema
        .columns()
        .iter()
        .position(|column| column.field == *field)?;
    let kind = field.kind;
    let plain = |test| {
        Some(Leaf {
            column,
            test,
            else_null: false,
        })
    };
    match &**condition {
        Expression::IsNull(value) if is_column(value) => plain(Test::IsNull),
        Expression::Compare { left, right, .. } => {
            let literal = match (is_column(left), is_column(right)) {
                (true, false) => right,
                (false, true) => left,
                _ => return plain(test(kind, condition)?),
            };
            // Nothing is known of null, whatever the kind.
            let is_null = matches!(**literal, Expression::Literal(Datum::Null));
            let test = match is_null {
                true => Test::Int(Vec::new()),
                false => test(kind, condition)?,
            };
            Some(Leaf {
                column,
                test,
                else_null: is_null,
            })
        }
        Expression::In { value, list } if is_column(value) => {
            // Of an empty list even null is known not to be in it.
            if list.is_empty() {
                return None;
            }
            let (nulls, values): (Vec<_>, Vec<_>) = list
                .iter()
                .partition(|value| matches!(value, Expression::Literal(Datum::Null)));
            Some(Leaf {
                column,
                test: one_of(kind, &values)?,
                else_null: !nulls.is_empty(),
            })
        }
        condition => plain(test(kind, condition)?),
    }
}

/// What a value must be for the condition to be true; beside a value that is not, it must be false.
fn test<'a>(kind: FieldKind, condition: &'a Expression) -> Option<Test<'a>> {
    match condition {
        Expression::Column(_) if kind == FieldKind::Bool => Some(Test::IsTrue),
        Expression::Compare { op, left, right } => match (is_column(left), is_column(right)) {
            (true, false) => compare(kind, *op, right),
            (false, true) => compare(kind, op.mirrored(), left),
            _ => Places::compare(*op, left, right)
                .map(Test::Place)
                .or_else(|| matching(kind, condition)),
        },
        Expression::Between { value, low, high } if is_column(value) => between(kind, low, high),
        Expression::In { value, list } if is_column(value) => one_of(kind, &list.iter().collect::<Vec<_>>()),
        Expression::Between { .. } | Expression::In { .. } | Expression::Like { .. } => {
            matching(kind, condition)
        }
        Expression::GeoWithin { .. } => Places::within(condition).map(Test::Place),
        Expression::And(left, right) => match (test(kind, left)?, test(kind, right)?) {
            (Test::Int(left), Test::Int(right)) => Some(Test::Int(range::both(&left, &right, range::meet))),
            (Test::Float(left), Test::Float(right)) => {
                Some(Test::Float(range::both(&left, &right, range::meet)))
            }
            (Test::Text(left), Test::Text(right)) => {
                Some(Test::Text(range::both(&left, &right, range::meet_texts)))
            }
            _ => None,
        },
        _ => None,
    }
}

fn compare<'a>(kind: FieldKind, op: Comparison, literal: &'a Expression) -> Option<Test<'a>> {
    // A value that is not equal is no range; `NOT (a = b)` is what filters have.
    if op == Comparison::NotEqual {
        return None;
    }
    Some(match kind {
        FieldKind::I64 => Test::Int(range::ints(op, &number(literal)?)?.into_iter().collect()),
        FieldKind::Date => Test::Int(range::ints(op, &micros(literal)?)?.into_iter().collect()),
        FieldKind::F64 => Test::Float(vec![range::floats(op, &number(literal)?)?]),
        FieldKind::Keyword => Test::Text(vec![range::texts(op, literal_text(literal)?)]),
        FieldKind::Bool => match (op, literal) {
            (Comparison::Equal, Expression::Literal(Datum::Bool(true))) => Test::IsTrue,
            (Comparison::Equal, Expression::Literal(Datum::Bool(false))) => Test::IsFalse,
            _ => return None,
        },
        FieldKind::Geo { .. } => return None,
    })
}

fn between<'a>(kind: FieldKind, low: &'a Expression, high: &'a Expression) -> Option<Test<'a>> {
    Some(match kind {
        FieldKind::I64 => {
            let (_, low) = values::int_neighbours(&number(low)?)?;
            let (high, _) = values::int_neighbours(&number(high)?)?;
            Test::Int(vec![low..=high])
        }
        FieldKind::Date => Test::Int(vec![values::int(&micros(low)?)?..=values::int(&micros(high)?)?]),
        FieldKind::F64 => {
            let low = range::floats(Comparison::GreaterOrEqual, &number(low)?)?;
            let high = range::floats(Comparison::LessOrEqual, &number(high)?)?;
            Test::Float(vec![range::meet(&low, &high)])
        }
        FieldKind::Keyword => Test::Text(vec![(
            Bound::Included(literal_text(low)?),
            Bound::Included(literal_text(high)?),
        )]),
        FieldKind::Bool | FieldKind::Geo { .. } => return None,
    })
}

fn one_of<'a>(kind: FieldKind, values: &[&'a Expression]) -> Option<Test<'a>> {
    let mut all = match kind {
        FieldKind::I64 | FieldKind::Date => Test::Int(Vec::new()),
        FieldKind::F64 => Test::Float(Vec::new()),
        FieldKind::Keyword => Test::Text(Vec::new()),
        FieldKind::Bool | FieldKind::Geo { .. } => return None,
    };
    for value in values {
        match (&mut all, compare(kind, Comparison::Equal, value)?) {
            (Test::Int(all), Test::Int(one)) => all.extend(one),
            (Test::Float(all), Test::Float(one)) => all.extend(one),
            (Test::Text(all), Test::Text(one)) => all.extend(one),
            _ => return None,
        }
    }
    Some(all)
}

/// A condition on one keyword column's text, in lower or upper case or as it is, against literal texts.
///
/// Such a condition sees nothing but the text, so it is asked once for each different one.
fn matching(kind: FieldKind, condition: &Expression) -> Option<Test<'_>> {
    let (value, literals): (_, Vec<&Expression>) = match condition {
        Expression::Like { value, pattern, .. } => (value, vec![pattern]),
        Expression::Between { value, low, high } => (value, vec![low, high]),
        Expression::In { value, list } => (value, list.iter().collect()),
        Expression::Compare { left, right, .. } if is_text_of_column(left) => (left, vec![right]),
        Expression::Compare { left, right, .. } => (right, vec![left]),
        _ => return None,
    };
    let fits = kind == FieldKind::Keyword
        && is_text_of_column(value)
        && literals
            .into_iter()
            .all(|literal| literal_text(literal).is_some());
    fits.then_some(Test::Matching(condition))
}

fn is_text_of_column(expression: &Expression) -> bool {
    match expression {
        Expression::Lower(inner) | Expression::Upper(inner) => is_text_of_column(inner),
        expression => is_column(expression),
    }
}

pub(super) fn is_column(expression: &Expression) -> bool {
    matches!(expression, Expression::Column(_))
}

fn literal_text(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Literal(Datum::Text(text)) => Some(text),
        _ => None,
    }
}

/// A literal point in time, in microseconds.
fn micros(expression: &Expression) -> Option<Datum> {
    match expression {
        Expression::Literal(value) => moment::of(value).map(Datum::Int),
        _ => None,
    }
}

/// A literal number, or a literal text: to compare it with a number, it is read as one.
pub(super) fn number(expression: &Expression) -> Option<Datum> {
    match expression {
        Expression::Literal(
            datum @ (Datum::Int(_) | Datum::Float(_) | Datum::Decimal(_) | Datum::Text(_)),
        ) => Some(datum.clone()),
        Expression::Negate(inner) => match number(inner)? {
            Datum::Int(value) => Some(Datum::Int(value.checked_neg()?)),
            Datum::Float(Float(value)) => Some(Datum::Float(Float(-value))),
            Datum::Decimal(text) => Some(Datum::Decimal(match text.strip_prefix('-') {
                Some(positive) => Arc::from(positive),
                None => Arc::from(format!("-{text}")),
            })),
            _ => None,
        },
        _ => None,
    }
}
