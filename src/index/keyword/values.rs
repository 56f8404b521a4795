//! What a datum is worth as a text, an `i64`, an `f64` or a `bool`; `None` where it is worth nothing.
//!
//! Values of documents and literals of filters go through the same functions, so that they meet.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::change::{DatumRef, Float};
use crate::definition::worth::exact_int;
pub(super) use crate::definition::worth::{boolean, float, int};

/// The plain text of a datum: a text as it is, a number in digits.
pub(super) fn text<'a>(datum: impl Into<DatumRef<'a>>) -> Option<Cow<'a, str>> {
    match datum.into() {
        DatumRef::Null | DatumRef::Unavailable | DatumRef::Vector(_) => None,
        DatumRef::Text(text) | DatumRef::Decimal(text) | DatumRef::Json(text) => Some(Cow::Borrowed(text)),
        DatumRef::Bytes(bytes) => Some(Cow::Owned(BASE64.encode(bytes))),
        DatumRef::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
        DatumRef::Int(value) => Some(Cow::Owned(value.to_string())),
        DatumRef::Float(Float(value)) => Some(Cow::Owned(value.to_string())),
    }
}

/// The integers next to a number, at or below and at or above it. `None` where they are not known exactly.
pub(super) fn int_neighbours<'a>(datum: impl Into<DatumRef<'a>>) -> Option<(i64, i64)> {
    let datum = datum.into();
    if let Some(value) = int(datum) {
        return Some((value, value));
    }
    let value = float(datum)?;
    Some((exact_int(value.floor())?, exact_int(value.ceil())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Datum;

    #[test]
    fn the_neighbours_of_a_number_are_integers_that_are_exact() {
        assert_eq!(int_neighbours(&Datum::Float(Float(-2.5))), Some((-3, -2)));
        assert_eq!(int_neighbours(&Datum::Float(Float(1e18))), None);
    }
}
