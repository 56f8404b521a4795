//! What a datum is worth as a text, an `i64`, an `f64` or a `bool`; `None` where it is worth nothing.
//!
//! Values of documents and literals of filters go through the same functions, so that they meet.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::change::{Datum, Float};
use crate::definition::worth::exact_int;
pub(super) use crate::definition::worth::{boolean, float, int};

/// The plain text of a datum: a text as it is, a number in digits.
pub(super) fn text(datum: &Datum) -> Option<Cow<'_, str>> {
    match datum {
        Datum::Null | Datum::Unavailable | Datum::Vector(_) => None,
        Datum::Text(text) | Datum::Decimal(text) | Datum::Json(text) => Some(Cow::Borrowed(text)),
        Datum::Bytes(bytes) => Some(Cow::Owned(BASE64.encode(bytes))),
        Datum::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Datum::Int(value) => Some(Cow::Owned(value.to_string())),
        Datum::Float(Float(value)) => Some(Cow::Owned(value.to_string())),
    }
}

/// The integers next to a number, at or below and at or above it. `None` where they are not known exactly.
pub(super) fn int_neighbours(datum: &Datum) -> Option<(i64, i64)> {
    if let Some(value) = int(datum) {
        return Some((value, value));
    }
    let value = float(datum)?;
    Some((exact_int(value.floor())?, exact_int(value.ceil())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbours_of_a_number_are_integers_that_are_exact() {
        assert_eq!(int_neighbours(&Datum::Float(Float(-2.5))), Some((-3, -2)));
        assert_eq!(int_neighbours(&Datum::Float(Float(1e18))), None);
    }
}
