//! Numbers, exactly: no integer and no SQL decimal passes through `f64`.

use std::borrow::Cow;

use bigdecimal::num_bigint::BigInt;

use crate::change::{Datum, Float};

/// Zeros that an exponent or a scale may add. Beyond every `f64` and every decimal of MySQL; it keeps a few
/// bytes of input from becoming megabytes.
const ZEROS_MAX: u64 = 1_000;
/// Bytes of an unscaled value: some 9,800 digits. Turning bytes into digits takes time quadratic in them.
const UNSCALED_BYTES_MAX: usize = 4_096;

/// A number in text whose value is whole, in whatever way it is written: `1`, `+1`, `1.0`, `1e3`.
pub(super) fn integer(text: &str) -> Option<Datum> {
    if let Ok(value) = text.parse() {
        return Some(Datum::Int(value));
    }
    let plain = decimal(text)?;
    let whole = match plain.split_once('.') {
        None => &plain,
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
    };
    Some(
        whole
            .parse()
            .map_or_else(|_| Datum::Decimal(whole.into()), Datum::Int),
    )
}

/// A number in text as plain decimal text: no exponent, no `+`, no superfluous leading zeros; the zeros at the end
/// of a fraction stay. `None` where it is not a number.
pub(super) fn decimal(text: &str) -> Option<Cow<'_, str>> {
    let Parsed {
        negative,
        whole,
        fraction,
        exponent,
    } = Parsed::of(text)?;
    let leading_zeros = whole.len() > 1 && whole.starts_with('0');
    let negative_zero = negative && !text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let odd = whole.is_empty() || text.starts_with('+') || text.ends_with('.') || text.contains(['e', 'E']);
    if !leading_zeros && !negative_zero && !odd {
        return Some(Cow::Borrowed(text));
    }
    let digits = format!("{whole}{fraction}");
    let point = exponent.saturating_add(whole.len() as i64);
    place_point(negative, &digits, point).map(Cow::Owned)
}

/// A JSON number of a column without a type: an integer exactly, else a float where that loses nothing.
pub(super) fn untyped(text: &str) -> Datum {
    if !text.contains(['.', 'e', 'E']) {
        return integer(text).unwrap_or_else(|| Datum::text(text));
    }
    let Ok(float) = text.parse::<f64>() else {
        return Datum::text(text);
    };
    if float.is_finite() && float_is_exact(text, float) {
        return Datum::Float(Float(float));
    }
    decimal(text).map_or_else(|| Datum::text(text), |plain| Datum::Decimal(plain.into()))
}

/// A number of a float column. What is not finite stays text: no index can order it.
pub(super) fn float(text: &str) -> Datum {
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Datum::Float(Float(float)),
        _ => Datum::text(text),
    }
}

/// The value of a big-endian two's complement integer, `scale` digits of it after the point.
pub(super) fn decimal_of_bytes(unscaled: &[u8], scale: i64) -> Option<String> {
    if unscaled.len() > UNSCALED_BYTES_MAX {
        return None;
    }
    let digits = BigInt::from_signed_bytes_be(unscaled).to_string();
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits.as_str()),
    };
    place_point(negative, digits, (digits.len() as i64).checked_sub(scale)?)
}

/// An unsigned integer.
pub(super) fn unsigned(value: u64) -> Datum {
    i64::try_from(value).map_or_else(|_| Datum::Decimal(value.to_string().into()), Datum::Int)
}

/// The one form of a number that equal keys share: no zeros at the end of a fraction, [`Datum::Int`] where it is whole.
pub(super) fn canonical_decimal(text: &str) -> Datum {
    let short = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    short
        .parse()
        .map_or_else(|_| Datum::Decimal(short.into()), Datum::Int)
}

/// The one form of a float that equal keys share.
pub(super) fn canonical_float(float: f64) -> Datum {
    // Above 2^53 a float is not one integer but a range of them.
    if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
        return Datum::Int(float as i64);
    }
    Datum::Float(Float(float))
}

/// Whether the shortest text that means this float means the same number as the text it came from.
fn float_is_exact(text: &str, float: f64) -> bool {
    // Every decimal of at most 15 digits survives the way through a normal f64 and back.
    let digits = text
        .bytes()
        .take_while(|byte| !matches!(byte, b'e' | b'E'))
        .filter(u8::is_ascii_digit)
        .count();
    if digits <= 15 && (float == 0.0 || float.abs() > 1e-300) {
        return float != 0.0
            || decimal(text).is_some_and(|plain| plain.bytes().all(|b| matches!(b, b'0' | b'.')));
    }
    let shortest = format!("{float:e}");
    match (decimal(text), decimal(&shortest)) {
        (Some(from), Some(to)) => canonical_decimal(&from) == canonical_decimal(&to),
        _ => false,
    }
}

struct Parsed<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl Parsed<'_> {
    fn of(text: &str) -> Option<Parsed<'_>> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        (digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())).then_some(Parsed {
            negative,
            whole,
            fraction,
            exponent,
        })
    }
}

/// Writes `digits` with the point after the first `point` of them, which may lie before or behind them all.
fn place_point(negative: bool, digits: &str, point: i64) -> Option<String> {
    let before = point.min(0).unsigned_abs();
    let after = point.saturating_sub(digits.len() as i64).max(0).unsigned_abs();
    if before > ZEROS_MAX || after > ZEROS_MAX {
        return None;
    }
    let mut out = String::with_capacity(digits.len() + 3);
    if negative && digits.bytes().any(|digit| digit != b'0') {
        out.push('-');
    }
    if point <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', before as usize));
        out.push_str(digits);
        return Some(out);
    }
    let (whole, fraction) = digits.split_at(digits.len().min(point as usize));
    match whole.trim_start_matches('0') {
        "" => out.push('0'),
        short => {
            out.push_str(short);
            out.extend(std::iter::repeat_n('0', after as usize));
        }
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_plain_text_and_keep_their_zeros() {
        for (text, plain) in [
            ("3.140", "3.140"),
            ("+3.14", "3.14"),
            ("007.50", "7.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0", "0"),
            ("00", "0"),
            ("-0.00", "0.00"),
            ("-0.001", "-0.001"),
            ("1.50E+3", "1500"),
            ("1.5e-3", "0.0015"),
            ("-12e-1", "-1.2"),
            ("0E-8", "0.00000000"),
            ("0e5", "0"),
            (
                "123456789012345678901234567890.123456789",
                "123456789012345678901234567890.123456789",
            ),
        ] {
            assert_eq!(decimal(text).as_deref(), Some(plain), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1,5",
            "0x10",
            "NaN",
            "1e",
            "1e1000000000",
            "1e-99999999999999999999",
            "1 ",
            "1.2.3",
            "--1",
        ] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        for text in ["28", "+28", "028", "28.0", "28.", "2.8e1", "280e-1"] {
            assert_eq!(integer(text), Some(Datum::Int(28)), "{text}");
        }
        assert_eq!(
            integer("18446744073709551615"),
            Some(Datum::Decimal("18446744073709551615".into()))
        );
        assert_eq!(integer("-9223372036854775808"), Some(Datum::Int(i64::MIN)));
        assert_eq!(
            integer("9007199254740993"),
            Some(Datum::Int(9_007_199_254_740_993))
        );
        assert_eq!(integer("2.5"), None);
    }

    #[test]
    fn untyped_fractions_are_floats_only_where_that_loses_nothing() {
        for (text, float) in [
            ("5.10", 5.1),
            ("3.140000104904175", 3.140000104904175),
            ("1.5E-10", 1.5e-10),
            ("-0.0", -0.0),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(untyped(text), Datum::Float(Float(float)), "{text}");
        }
        for (text, plain) in [
            ("0.1234567890123456789", "0.1234567890123456789"),
            ("123456789012345678.5", "123456789012345678.5"),
            ("1e-400", &format!("0.{}1", "0".repeat(399))),
            ("1e400", &format!("1{}", "0".repeat(400))),
        ] {
            assert_eq!(untyped(text), Datum::Decimal(plain.into()), "{text}");
        }
        assert_eq!(untyped("1e999999999"), Datum::text("1e999999999"));
    }

    #[test]
    fn bytes_are_twos_complement() {
        for (bytes, scale, plain) in [
            (&[0x01, 0x3a][..], 2, "3.14"),
            (&[0xfc, 0xd6], 2, "-8.10"),
            (&[0xff], 3, "-0.001"),
            (&[0x0a], 2, "0.10"),
            (&[0x00], 2, "0.00"),
            (&[], 0, "0"),
            (&[0x07], -2, "700"),
            (
                &[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                0,
                "18446744073709551615",
            ),
        ] {
            assert_eq!(
                decimal_of_bytes(bytes, scale).as_deref(),
                Some(plain),
                "{bytes:?}"
            );
        }
        assert_eq!(decimal_of_bytes(&[1], i64::MIN), None);
        assert_eq!(decimal_of_bytes(&[1], i64::MAX), None);
        assert_eq!(decimal_of_bytes(&[1; UNSCALED_BYTES_MAX + 1], 0), None);
    }
}
