//! Numbers of three types as one: comparison and arithmetic.
//!
//! A float stands for the shortest decimal that reads back as it (and for its exact value where it is a whole
//! number), so `price = 0.1` holds whether a `DOUBLE` or a `DECIMAL(10,2)` has the 0.1. That keeps one total order over
//! all three types: comparison is never rounded.

use std::cmp::Ordering;
use std::str::FromStr;
use std::sync::Arc;

use bigdecimal::{BigDecimal, RoundingMode, Zero};

use super::Arithmetic;
use crate::change::{Datum, DatumRef, Float};

/// Digits of a number, beyond which it is none. No database has longer ones, and the time of arithmetic is bounded.
const DIGITS_MAX: usize = 1_000;

/// From here on every `f64` is a whole number, and below, `i64` values are exact as `f64`.
const WHOLE_FROM: f64 = 9_007_199_254_740_992.0;

pub(super) enum Number {
    Int(i64),
    /// Not NaN.
    Float(f64),
    Decimal(BigDecimal),
}

use Number::{Decimal, Int};

impl Number {
    /// The value as a number: also a boolean as 0 or 1, and text that reads as a number.
    pub(super) fn of<'a>(value: impl Into<DatumRef<'a>>) -> Option<Number> {
        match value.into() {
            DatumRef::Int(value) => Some(Int(value)),
            DatumRef::Float(Float(value)) if !value.is_nan() => Some(Number::Float(value)),
            DatumRef::Decimal(text) | DatumRef::Text(text) => Number::parse(text),
            DatumRef::Bool(value) => Some(Int(i64::from(value))),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Number> {
        let text = text.trim_ascii();
        if text.len() > DIGITS_MAX {
            return None;
        }
        if let Ok(value) = text.parse() {
            return Some(Int(value));
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return BigDecimal::from_str(text).ok().map(Decimal);
        }
        // An exponent: as a float, because the exact value may have more digits than memory.
        if digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return text
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite())
                .map(Number::Float);
        }
        None
    }

    pub(super) fn compare(&self, other: &Number) -> Ordering {
        match (self, other) {
            (Int(left), Int(right)) => left.cmp(right),
            (Number::Float(left), Number::Float(right)) => compare_floats(*left, *right),
            (Int(left), Number::Float(right)) => compare_int(*left, *right),
            (Number::Float(left), Int(right)) => compare_int(*right, *left).reverse(),
            // An infinity has no decimal, and is beyond all of them.
            (Number::Float(left), _) if left.is_infinite() => compare_floats(*left, 0.0),
            (_, Number::Float(right)) if right.is_infinite() => compare_floats(0.0, *right),
            (left, right) => left.to_decimal().cmp(&right.to_decimal()),
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        match self {
            Int(value) => *value == 0,
            Number::Float(value) => *value == 0.0,
            Decimal(value) => value.is_zero(),
        }
    }

    pub(super) fn into_int(self) -> Datum {
        match self {
            Int(value) => Datum::Int(value),
            other => other.into_decimal(Some(0)),
        }
    }

    pub(super) fn into_float(self) -> Datum {
        finite(self.to_float())
    }

    pub(super) fn into_decimal(self, scale: Option<u32>) -> Datum {
        if matches!(self, Number::Float(value) if value.is_infinite()) {
            return Datum::Null;
        }
        let value = self.to_decimal();
        match scale {
            None => exact(&value),
            Some(scale) => {
                let scale = (scale as usize).min(DIGITS_MAX) as i64;
                exact(&value.with_scale_round(scale, RoundingMode::HalfUp))
            }
        }
    }

    /// The decimal that the number stands for; of an infinity, which callers have dealt with, zero.
    fn to_decimal(&self) -> BigDecimal {
        match self {
            Int(value) => BigDecimal::from(*value),
            Decimal(value) => value.clone(),
            Number::Float(value) => {
                let text = if value.abs() < WHOLE_FROM {
                    value.to_string()
                } else {
                    format!("{value:.0}")
                };
                BigDecimal::from_str(&text).unwrap_or_default()
            }
        }
    }

    fn to_float(&self) -> f64 {
        match self {
            Int(value) => *value as f64,
            Number::Float(value) => *value,
            // By its text: that rounds correctly.
            Decimal(value) => value.to_plain_string().parse().unwrap_or(f64::NAN),
        }
    }
}

pub(in crate::definition) fn negate<'a>(value: impl Into<DatumRef<'a>>) -> Datum {
    match Number::of(value) {
        None => Datum::Null,
        Some(Int(value)) => match value.checked_neg() {
            Some(negated) => Datum::Int(negated),
            None => exact(&-BigDecimal::from(value)),
        },
        Some(Number::Float(value)) => finite(-value),
        Some(Decimal(value)) => exact(&-value),
    }
}

pub(super) fn arithmetic(op: Arithmetic, left: DatumRef<'_>, right: DatumRef<'_>) -> Datum {
    let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) else {
        return Datum::Null;
    };
    if matches!(op, Arithmetic::Divide | Arithmetic::Modulo) && right.is_zero() {
        return Datum::Null;
    }
    match (&left, &right) {
        _ if op == Arithmetic::Divide => finite(left.to_float() / right.to_float()),
        (Int(left), Int(right)) => match integers(op, *left, *right) {
            Some(value) => Datum::Int(value),
            None => decimals(op, &BigDecimal::from(*left), &BigDecimal::from(*right)),
        },
        (Number::Float(_), _) | (_, Number::Float(_)) => floats(op, left.to_float(), right.to_float()),
        (left, right) => decimals(op, &left.to_decimal(), &right.to_decimal()),
    }
}

fn integers(op: Arithmetic, left: i64, right: i64) -> Option<i64> {
    match op {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide => left.checked_div(right),
        // The only overflow is MIN % -1, which is 0.
        Arithmetic::Modulo => Some(left.checked_rem(right).unwrap_or(0)),
    }
}

fn floats(op: Arithmetic, left: f64, right: f64) -> Datum {
    finite(match op {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Modulo => left % right,
    })
}

fn decimals(op: Arithmetic, left: &BigDecimal, right: &BigDecimal) -> Datum {
    exact(&match op {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Modulo => left % right,
    })
}

fn finite(value: f64) -> Datum {
    if value.is_finite() {
        Datum::Float(Float(value))
    } else {
        Datum::Null
    }
}

/// An integer where `i64` holds it, else a decimal.
fn exact(value: &BigDecimal) -> Datum {
    let text = value.to_plain_string();
    match text.parse() {
        Ok(value) => Datum::Int(value),
        Err(_) if text.len() > DIGITS_MAX => Datum::Null,
        Err(_) => Datum::Decimal(Arc::from(text)),
    }
}

/// Neither is NaN, so there is an order.
fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

fn compare_int(left: i64, right: f64) -> Ordering {
    /// 2^63, the first float above all of `i64`.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if right >= BEYOND {
        return Ordering::Less;
    }
    if right < -BEYOND {
        return Ordering::Greater;
    }
    // The whole parts decide; where they are equal, the rest of the float does.
    left.cmp(&(right.trunc() as i64))
        .then_with(|| compare_floats(0.0, right.fract()))
}
