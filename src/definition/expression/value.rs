//! What values are worth: how they compare, and what they are as text, as truth and as another type.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::CastType;
use super::number::Number;
use crate::change::{Datum, DatumRef};
use crate::definition::moment;

/// A value on its way through an expression: the row's or a literal, where it lies, or a computed one.
pub(super) enum Value<'a> {
    Borrowed(DatumRef<'a>),
    Owned(Datum),
}

impl Value<'_> {
    pub fn get(&self) -> DatumRef<'_> {
        match self {
            Value::Borrowed(value) => *value,
            Value::Owned(value) => value.into(),
        }
    }

    pub fn into_datum(self) -> Datum {
        match self {
            Value::Borrowed(value) => value.to_datum(),
            Value::Owned(value) => value,
        }
    }
}

impl<'a> From<&'a Value<'_>> for DatumRef<'a> {
    fn from(value: &'a Value<'_>) -> DatumRef<'a> {
        value.get()
    }
}

/// How two values compare in SQL, or `None` where that is unknown: beside null, and where types have nothing in common.
pub fn compare<'a>(left: impl Into<DatumRef<'a>>, right: impl Into<DatumRef<'a>>) -> Option<Ordering> {
    let (left, right) = (left.into(), right.into());
    match (left, right) {
        (DatumRef::Text(left) | DatumRef::Json(left), DatumRef::Text(right) | DatumRef::Json(right)) => {
            Some(left.cmp(right))
        }
        (DatumRef::Bytes(left), DatumRef::Bytes(right)) => Some(left.cmp(right)),
        (DatumRef::Bool(left), DatumRef::Text(_)) => Some(left.cmp(&truth_of(right)?)),
        (DatumRef::Text(_), DatumRef::Bool(right)) => Some(truth_of(left)?.cmp(&right)),
        _ => Some(Number::of(left)?.compare(&Number::of(right)?)),
    }
}

/// The value as plain text, or `None` for null and what is not text: vectors, and bytes that are not UTF-8.
pub(in crate::definition) fn text_of<'a>(value: impl Into<DatumRef<'a>>) -> Option<Cow<'a, str>> {
    match value.into() {
        DatumRef::Null | DatumRef::Unavailable | DatumRef::Vector(_) => None,
        DatumRef::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
        DatumRef::Int(value) => Some(Cow::Owned(value.to_string())),
        DatumRef::Float(value) => Some(Cow::Owned(value.0.to_string())),
        DatumRef::Decimal(text) | DatumRef::Text(text) | DatumRef::Json(text) => Some(Cow::Borrowed(text)),
        DatumRef::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

/// Whether the value is true; unknown for null and for text that says neither.
pub(super) fn truth_of<'a>(value: impl Into<DatumRef<'a>>) -> Option<bool> {
    match value.into() {
        DatumRef::Bool(value) => Some(value),
        DatumRef::Text(text) if matches_any(text, &["true", "t"]) => Some(true),
        DatumRef::Text(text) if matches_any(text, &["false", "f"]) => Some(false),
        value => Some(!Number::of(value)?.is_zero()),
    }
}

fn matches_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

pub(super) fn cast(value: DatumRef<'_>, to: CastType) -> Datum {
    let number = || Number::of(value);
    match to {
        CastType::Text => text_of(value).map_or(Datum::Null, |text| Datum::text(&text)),
        CastType::Bool => truth_of(value).map_or(Datum::Null, Datum::Bool),
        CastType::Int => number().map_or(Datum::Null, Number::into_int),
        CastType::Float => number().map_or(Datum::Null, Number::into_float),
        CastType::Timestamp => moment::of(value)
            .and_then(moment::text)
            .map_or(Datum::Null, |text| Datum::text(&text)),
        CastType::Decimal { scale } => number().map_or(Datum::Null, |number| number.into_decimal(scale)),
    }
}
