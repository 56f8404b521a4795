//! An expression as SQL text.

use std::fmt;

use super::{Arithmetic, CastType, Comparison, Expression, Interval, text_of};
use crate::change::Datum;
use crate::definition::parse_filter;

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Column(name) => f.write_str(&identifier(name)),
            Expression::Literal(value) => literal(value, f),
            Expression::Negate(value) => write!(f, "-{}", Operand(value)),
            // As people write it; parsing makes the same of both.
            Expression::Not(value) => match &**value {
                Expression::IsNull(value) => write!(f, "{} IS NOT NULL", Operand(value)),
                Expression::In { value, list } => write!(f, "{} NOT IN ({})", Operand(value), List(list)),
                value => write!(f, "NOT {}", Operand(value)),
            },
            Expression::IsNull(value) => write!(f, "{} IS NULL", Operand(value)),
            Expression::And(left, right) => {
                let side = |side| Link {
                    side,
                    chain: |side| matches!(side, Expression::And(..)),
                };
                write!(f, "{} AND {}", side(left), side(right))
            }
            Expression::Or(left, right) => {
                let side = |side| Link {
                    side,
                    chain: |side| matches!(side, Expression::Or(..)),
                };
                write!(f, "{} OR {}", side(left), side(right))
            }
            Expression::Compare { op, left, right } => {
                write!(f, "{} {} {}", Operand(left), op.symbol(), Operand(right))
            }
            Expression::Arithmetic { op, left, right } => {
                write!(f, "{} {} {}", Operand(left), op.symbol(), Operand(right))
            }
            Expression::Concat(left, right) => write!(f, "{} || {}", Operand(left), Operand(right)),
            Expression::In { value, list } => write!(f, "{} IN ({})", Operand(value), List(list)),
            Expression::Like {
                value,
                pattern,
                escape,
                ignore_case,
            } => {
                let operator = if *ignore_case { "ILIKE" } else { "LIKE" };
                write!(f, "{} {operator} {}", Operand(value), Operand(pattern))?;
                match escape {
                    None => Ok(()),
                    Some(escape) => {
                        f.write_str(" ESCAPE ")?;
                        literal(&Datum::text(&escape.to_string()), f)
                    }
                }
            }
            Expression::Between { value, low, high } => {
                write!(
                    f,
                    "{} BETWEEN {} AND {}",
                    Operand(value),
                    Operand(low),
                    Operand(high)
                )
            }
            Expression::Coalesce(list) => write!(f, "COALESCE({})", List(list)),
            Expression::Lower(value) => write!(f, "LOWER({value})"),
            Expression::Upper(value) => write!(f, "UPPER({value})"),
            Expression::Cast { value, to } => write!(f, "CAST({value} AS {to})"),
            Expression::Case {
                operand,
                branches,
                otherwise,
            } => {
                f.write_str("CASE")?;
                if let Some(operand) = operand {
                    write!(f, " {operand}")?;
                }
                for (condition, result) in branches {
                    write!(f, " WHEN {condition} THEN {result}")?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                f.write_str(" END")
            }
            Expression::Later { value, by } => {
                let Interval { months, micros } = by;
                write!(
                    f,
                    "{} + INTERVAL '{months} months {micros} microseconds'",
                    Operand(value)
                )
            }
            Expression::ArrayLength(value) => write!(f, "array_length({value})"),
            Expression::GeoDistance { place, lat, lon } => {
                write!(f, "geo_distance({place}, {lat}, {lon})")
            }
            Expression::GeoWithin {
                place,
                south,
                west,
                north,
                east,
            } => write!(f, "geo_within({place}, {south}, {west}, {north}, {east})"),
            // Names of fields say that they may have several values.
            Expression::Any { condition, .. } => condition.fmt(f),
        }
    }
}

/// In parentheses, unless nothing beside it could take it apart.
struct Operand<'a>(&'a Expression);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expression::Column(_)
            | Expression::Coalesce(_)
            | Expression::Lower(_)
            | Expression::Upper(_)
            | Expression::Cast { .. }
            | Expression::ArrayLength(_)
            | Expression::GeoDistance { .. }
            | Expression::GeoWithin { .. }
            | Expression::Case { .. } => self.0.fmt(f),
            // `--1` would begin a comment.
            Expression::Literal(value) if !is_negative(value) => self.0.fmt(f),
            other => write!(f, "({other})"),
        }
    }
}

/// A side of `AND` or `OR`: a chain of the same needs no parentheses, and comparisons bind more tightly.
struct Link<'a> {
    side: &'a Expression,
    chain: fn(&Expression) -> bool,
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            side if (self.chain)(side) => side.fmt(f),
            side @ (Expression::Compare { .. } | Expression::IsNull(_) | Expression::In { .. }) => {
                side.fmt(f)
            }
            side @ Expression::Like { .. } => side.fmt(f),
            side => Operand(side).fmt(f),
        }
    }
}

struct List<'a>(&'a [Expression]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

impl Comparison {
    fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

impl Arithmetic {
    fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Modulo => "%",
        }
    }
}

impl fmt::Display for CastType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CastType::Text => f.write_str("TEXT"),
            CastType::Int => f.write_str("INT"),
            CastType::Float => f.write_str("DOUBLE"),
            CastType::Decimal { scale: None } => f.write_str("DECIMAL"),
            CastType::Decimal { scale: Some(scale) } => write!(f, "DECIMAL(65,{scale})"),
            CastType::Bool => f.write_str("BOOLEAN"),
            CastType::Timestamp => f.write_str("TIMESTAMP"),
        }
    }
}

fn literal(value: &Datum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Datum::Bool(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
        Datum::Int(_) | Datum::Decimal(_) => f.write_str(&text_of(value).unwrap_or_default()),
        // With its exponent, which is what makes a number in SQL a float.
        Datum::Float(value) => write!(f, "{:e}", value.0),
        value => match text_of(value) {
            Some(text) => write!(f, "'{}'", text.replace('\'', "''")),
            None => f.write_str("NULL"),
        },
    }
}

fn is_negative(value: &Datum) -> bool {
    match value {
        Datum::Int(value) => *value < 0,
        Datum::Float(value) => value.0.is_sign_negative(),
        Datum::Decimal(text) => text.starts_with('-'),
        _ => false,
    }
}

/// A column's name as SQL has it: in quotes unless it is a plain word that means nothing else.
fn identifier(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
        // `true` and `current_date` are none, and `(with` begins a query: only the parser knows which words are.
        && matches!(parse_filter(&format!("({name})")), Ok(Expression::Column(column)) if column == name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
