//! Values as SQL sees them: how they compare, and what they are as text, as truth and as another type.

use std::cmp::Ordering;
use std::sync::Arc;

use super::CastType;
use super::number::Number;
use crate::change::Datum;

/// How two values compare in SQL, or `None` where that is unknown: beside null, and where types have nothing in common.
pub fn compare(left: &Datum, right: &Datum) -> Option<Ordering> {
    match (left, right) {
        (Datum::Text(left) | Datum::Json(left), Datum::Text(right) | Datum::Json(right)) => {
            Some(left.cmp(right))
        }
        (Datum::Bytes(left), Datum::Bytes(right)) => Some(left.cmp(right)),
        (Datum::Bool(left), Datum::Text(_)) => Some(left.cmp(&truth_of(right)?)),
        (Datum::Text(_), Datum::Bool(right)) => Some(truth_of(left)?.cmp(right)),
        _ => Some(Number::of(left)?.compare(&Number::of(right)?)),
    }
}

/// The value as plain text, or `None` for null and what is not text: vectors, and bytes that are not UTF-8.
pub(in crate::definition) fn text_of(value: &Datum) -> Option<Arc<str>> {
    match value {
        Datum::Null | Datum::Unavailable | Datum::Vector(_) => None,
        Datum::Bool(value) => Some(Arc::from(if *value { "true" } else { "false" })),
        Datum::Int(value) => Some(Arc::from(value.to_string())),
        Datum::Float(value) => Some(Arc::from(value.0.to_string())),
        Datum::Decimal(text) | Datum::Text(text) | Datum::Json(text) => Some(Arc::clone(text)),
        Datum::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Arc::from),
    }
}

/// Whether the value is true; unknown for null and for text that says neither.
pub(super) fn truth_of(value: &Datum) -> Option<bool> {
    match value {
        Datum::Bool(value) => Some(*value),
        Datum::Text(text) if matches_any(text, &["true", "t"]) => Some(true),
        Datum::Text(text) if matches_any(text, &["false", "f"]) => Some(false),
        value => Some(!Number::of(value)?.is_zero()),
    }
}

fn matches_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

pub(super) fn cast(value: &Datum, to: CastType) -> Datum {
    let number = || Number::of(value);
    match to {
        CastType::Text => text_of(value).map_or(Datum::Null, Datum::Text),
        CastType::Bool => truth_of(value).map_or(Datum::Null, Datum::Bool),
        CastType::Int => number().map_or(Datum::Null, Number::into_int),
        CastType::Float => number().map_or(Datum::Null, Number::into_float),
        CastType::Decimal { scale } => number().map_or(Datum::Null, |number| number.into_decimal(scale)),
    }
}
