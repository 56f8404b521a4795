//! The conditions that a single column answers, without the rows.

use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use super::{KeywordSchema, values};
use crate::change::{Datum, Float};
use crate::definition::expression::Comparison;
use crate::definition::{Expression, FieldKind};

/// A condition on one column.
pub(super) struct Leaf<'a> {
    /// Place among the schema's filter columns.
    pub column: usize,
    pub test: Test<'a>,
    /// Whether the condition is the opposite of the test.
    pub negated: bool,
    /// Whether a value that fails the test makes the condition null, as `1 IN (2, NULL)`.
    pub else_null: bool,
}

pub(super) enum Test<'a> {
    IsNull,
    /// In one of the ranges.
    Int(Vec<RangeInclusive<i64>>),
    Float(Vec<RangeInclusive<f64>>),
    Text(Vec<(Bound<&'a str>, Bound<&'a str>)>),
    IsTrue,
    /// Of the column's texts, those that make the condition true.
    Matching(&'a Expression),
}

/// The condition as a test of one column, or `None` if only rows can answer it.
pub(super) fn leaf<'a>(schema: &KeywordSchema, condition: &'a Expression) -> Option<Leaf<'a>> {
    let column = |name: &str| schema.columns().iter().position(|column| column.name == name);
    let plain = |column, test| Leaf {
        column,
        test,
        negated: false,
        else_null: false,
    };
    match condition {
        Expression::Column(name) => {
            let column = column(name)?;
            (schema.columns()[column].kind == FieldKind::Bool).then(|| plain(column, Test::IsTrue))
        }
        Expression::IsNull(value) => Some(plain(column(column_name(value)?)?, Test::IsNull)),
        Expression::Compare { op, left, right } => {
            let (name, op, literal) = match (column_name(left), column_name(right)) {
                (Some(name), None) => (name, *op, right),
                (None, Some(name)) => (name, mirrored(*op), left),
                _ => return matching(schema, condition),
            };
            compare(schema, column(name)?, op, literal)
        }
        Expression::Between { value, low, high } => {
            let Some(name) = column_name(value) else {
                return matching(schema, condition);
            };
            let column = column(name)?;
            let kind = schema.columns()[column].kind;
            Some(plain(column, Test::between(kind, low, high)?))
        }
        // Of an empty list even null is known not to be in it.
        Expression::In { list, .. } if list.is_empty() => None,
        Expression::In { value, list } => {
            let Some(name) = column_name(value) else {
                return matching(schema, condition);
            };
            let column = column(name)?;
            let (nulls, values): (Vec<_>, Vec<_>) = list
                .iter()
                .partition(|value| matches!(value, Expression::Literal(Datum::Null)));
            let test = Test::one_of(schema.columns()[column].kind, &values)?;
            Some(Leaf {
                else_null: !nulls.is_empty(),
                ..plain(column, test)
            })
        }
        Expression::Like { .. } => matching(schema, condition),
        _ => None,
    }
}

fn compare<'a>(
    schema: &KeywordSchema,
    column: usize,
    op: Comparison,
    literal: &'a Expression,
) -> Option<Leaf<'a>> {
    let negated = op == Comparison::NotEqual;
    if matches!(literal, Expression::Literal(Datum::Null)) {
        return Some(Leaf {
            column,
            test: Test::Int(Vec::new()),
            negated,
            else_null: true,
        });
    }
    let kind = schema.columns()[column].kind;
    if let (FieldKind::Bool, Expression::Literal(Datum::Bool(value))) = (kind, literal) {
        let equality = matches!(op, Comparison::Equal | Comparison::NotEqual);
        return equality.then_some(Leaf {
            column,
            test: Test::IsTrue,
            negated: negated == *value,
            else_null: false,
        });
    }
    Some(Leaf {
        column,
        test: Test::compare(kind, op, literal)?,
        negated,
        else_null: false,
    })
}

impl<'a> Test<'a> {
    fn compare(kind: FieldKind, op: Comparison, literal: &'a Expression) -> Option<Test<'a>> {
        Some(match kind {
            FieldKind::I64 => Test::Int(int_range(op, &number(literal)?)?.into_iter().collect()),
            FieldKind::F64 => Test::Float(vec![float_range(op, &number(literal)?)?]),
            FieldKind::Keyword => Test::Text(vec![text_range(op, literal_text(literal)?)]),
            FieldKind::Bool => return None,
        })
    }

    fn between(kind: FieldKind, low: &'a Expression, high: &'a Expression) -> Option<Test<'a>> {
        Some(match kind {
            FieldKind::I64 => {
                let (_, low) = values::int_neighbours(&number(low)?)?;
                let (high, _) = values::int_neighbours(&number(high)?)?;
                Test::Int(vec![low..=high])
            }
            FieldKind::F64 => Test::Float(vec![
                values::float(&number(low)?)?..=values::float(&number(high)?)?,
            ]),
            FieldKind::Keyword => Test::Text(vec![(
                Bound::Included(literal_text(low)?),
                Bound::Included(literal_text(high)?),
            )]),
            FieldKind::Bool => return None,
        })
    }

    fn one_of(kind: FieldKind, values: &[&'a Expression]) -> Option<Test<'a>> {
        let mut test = match kind {
            FieldKind::I64 => Test::Int(Vec::new()),
            FieldKind::F64 => Test::Float(Vec::new()),
            FieldKind::Keyword => Test::Text(Vec::new()),
            FieldKind::Bool => return None,
        };
        for value in values {
            match (&mut test, Test::compare(kind, Comparison::Equal, value)?) {
                (Test::Int(all), Test::Int(one)) => all.extend(one),
                (Test::Float(all), Test::Float(one)) => all.extend(one),
                (Test::Text(all), Test::Text(one)) => all.extend(one),
                _ => return None,
            }
        }
        Some(test)
    }
}

/// A condition on one keyword column's text, in lower or upper case or as it is, against literal texts.
///
/// Such a condition sees nothing but the text, so it is asked once for each different one.
fn matching<'a>(schema: &KeywordSchema, condition: &'a Expression) -> Option<Leaf<'a>> {
    let (value, literals): (_, Vec<&Expression>) = match condition {
        Expression::Like { value, pattern, .. } => (value, vec![pattern]),
        Expression::Between { value, low, high } => (value, vec![low, high]),
        Expression::In { value, list } => (value, list.iter().collect()),
        Expression::Compare { left, right, .. } if text_column(left).is_some() => (left, vec![right]),
        Expression::Compare { left, right, .. } => (right, vec![left]),
        _ => return None,
    };
    let name = text_column(value)?;
    let column = schema.columns().iter().position(|column| column.name == name)?;
    let fits = schema.columns()[column].kind == FieldKind::Keyword
        && literals
            .into_iter()
            .all(|literal| literal_text(literal).is_some());
    fits.then_some(Leaf {
        column,
        test: Test::Matching(condition),
        negated: false,
        else_null: false,
    })
}

fn text_column(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Column(name) => Some(name),
        Expression::Lower(inner) | Expression::Upper(inner) => text_column(inner),
        _ => None,
    }
}

fn column_name(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Column(name) => Some(name),
        _ => None,
    }
}

fn literal_text(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Literal(Datum::Text(text)) => Some(text),
        _ => None,
    }
}

/// A literal number, or a literal text: to compare it with a number, it is read as one.
fn number(expression: &Expression) -> Option<Datum> {
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

/// The integers that compare so with a number. None may.
fn int_range(op: Comparison, number: &Datum) -> Option<Option<RangeInclusive<i64>>> {
    let (floor, ceiling) = values::int_neighbours(number)?;
    Some(match op {
        Comparison::Equal | Comparison::NotEqual => (floor == ceiling).then_some(floor..=floor),
        Comparison::Less => ceiling.checked_sub(1).map(|below| i64::MIN..=below),
        Comparison::LessOrEqual => Some(i64::MIN..=floor),
        Comparison::Greater => floor.checked_add(1).map(|above| above..=i64::MAX),
        Comparison::GreaterOrEqual => Some(ceiling..=i64::MAX),
    })
}

fn float_range(op: Comparison, number: &Datum) -> Option<RangeInclusive<f64>> {
    let value = values::float(number)?;
    Some(match op {
        Comparison::Equal | Comparison::NotEqual => value..=value,
        Comparison::Less => f64::NEG_INFINITY..=value.next_down(),
        Comparison::LessOrEqual => f64::NEG_INFINITY..=value,
        Comparison::Greater => value.next_up()..=f64::INFINITY,
        Comparison::GreaterOrEqual => value..=f64::INFINITY,
    })
}

fn text_range(op: Comparison, text: &str) -> (Bound<&str>, Bound<&str>) {
    match op {
        Comparison::Equal | Comparison::NotEqual => (Bound::Included(text), Bound::Included(text)),
        Comparison::Less => (Bound::Unbounded, Bound::Excluded(text)),
        Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(text)),
        Comparison::Greater => (Bound::Excluded(text), Bound::Unbounded),
        Comparison::GreaterOrEqual => (Bound::Included(text), Bound::Unbounded),
    }
}

/// The comparison with its sides exchanged.
fn mirrored(op: Comparison) -> Comparison {
    match op {
        Comparison::Equal | Comparison::NotEqual => op,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    }
}
