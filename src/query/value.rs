//! A field's value as JSON.

use serde_json::{Number, Value};

use crate::change::{Datum, Float};

/// A text, a number or a boolean; null for what a field does not hold.
pub(super) fn json(datum: &Datum) -> Value {
    match datum {
        Datum::Text(text) => Value::String(text.to_string()),
        Datum::Bool(value) => Value::Bool(*value),
        datum => number(datum).map_or(Value::Null, Value::Number),
    }
}

pub(super) fn number(datum: &Datum) -> Option<Number> {
    match datum {
        Datum::Int(value) => Some((*value).into()),
        Datum::Float(Float(value)) => Number::from_f64(*value),
        _ => None,
    }
}
