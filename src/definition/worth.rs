//! What a datum is worth as a text, an `i64`, an `f64` or a `bool`; `None` where it is worth nothing.
//!
//! Whether a filter field can hold a value, what it holds then, and what a filter's literal means: all three ask here.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::change::{DatumRef, Float};

/// The plain text of a datum: a text as it is, a number in digits.
pub(crate) fn text<'a>(datum: impl Into<DatumRef<'a>>) -> Option<Cow<'a, str>> {
    match datum.into() {
        DatumRef::Null | DatumRef::Unavailable | DatumRef::Vector(_) => None,
        DatumRef::Text(text) | DatumRef::Decimal(text) | DatumRef::Json(text) => Some(Cow::Borrowed(text)),
        DatumRef::Bytes(bytes) => Some(Cow::Owned(BASE64.encode(bytes))),
        DatumRef::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
        DatumRef::Int(value) => Some(Cow::Owned(value.to_string())),
        DatumRef::Float(Float(value)) => Some(Cow::Owned(value.to_string())),
    }
}

pub(crate) fn int<'a>(datum: impl Into<DatumRef<'a>>) -> Option<i64> {
    match datum.into() {
        DatumRef::Int(value) => Some(value),
        DatumRef::Bool(value) => Some(i64::from(value)),
        DatumRef::Float(Float(value)) => exact_int(value),
        DatumRef::Decimal(text) | DatumRef::Text(text) => int_of_text(text.trim()),
        _ => None,
    }
}

pub(crate) fn float<'a>(datum: impl Into<DatumRef<'a>>) -> Option<f64> {
    let value = match datum.into() {
        DatumRef::Int(value) => value as f64,
        DatumRef::Bool(value) => f64::from(u8::from(value)),
        DatumRef::Float(Float(value)) => value,
        // Rust also reads `inf` and `nan`, which no database writes for a number.
        DatumRef::Decimal(text) | DatumRef::Text(text) => {
            text.trim().parse().ok().filter(|value: &f64| value.is_finite())?
        }
        _ => return None,
    };
    // Adding zero turns -0 into 0: they are equal, but differ in a column's order.
    (!value.is_nan()).then_some(value + 0.0)
}

pub(crate) fn boolean<'a>(datum: impl Into<DatumRef<'a>>) -> Option<bool> {
    match datum.into() {
        DatumRef::Bool(value) => Some(value),
        DatumRef::Int(0) => Some(false),
        DatumRef::Int(1) => Some(true),
        DatumRef::Text(text) => match &*text.trim().to_ascii_lowercase() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Up to 2^53 an `f64` tells neighbouring integers apart.
pub(crate) fn exact_int(value: f64) -> Option<i64> {
    const EXACT: f64 = (1u64 << 53) as f64;
    (value.fract() == 0.0 && value.abs() < EXACT).then_some(value as i64)
}

/// `12` and `12.00`, but not `12.5`.
fn int_of_text(text: &str) -> Option<i64> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Datum;

    #[test]
    fn numbers_are_read_from_all_that_holds_them() {
        let decimal = |text: &str| Datum::Decimal(text.into());
        assert_eq!(int(&decimal("12.00")), Some(12));
        assert_eq!(int(&decimal("12.50")), None);
        assert_eq!(int(&Datum::text(" 7 ")), Some(7));
        assert_eq!(int(&Datum::text("seven")), None);
        assert_eq!(int(&Datum::Float(Float(3.0))), Some(3));
        assert_eq!(int(&Datum::Float(Float(1e300))), None);
        assert_eq!(float(&decimal("19.99")), Some(19.99));
        assert_eq!(float(&Datum::text("inf")), None);
        assert_eq!(float(&Datum::Float(Float(f64::NAN))), None);
        assert_eq!(float(&Datum::Float(Float(-0.0))).map(f64::to_bits), Some(0));
        assert_eq!(boolean(&Datum::Int(1)), Some(true));
        assert_eq!(boolean(&Datum::Int(2)), None);
    }
}
