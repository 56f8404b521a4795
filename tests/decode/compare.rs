//! Whether two rows mean the same, whatever their types: the rules of `compare.py` beside the public captures.
//!
//! 1. A missing column is null.
//! 2. A number equals text of the same decimal value; where one is a float, up to a relative error of 1e-6.
//! 3. `true` is 1 and `false` is 0.
//! 4. `{"$bin":base64}` equals that base64 text, or the text with those bytes; `{"$bits":n}` equals n, or base64
//!    of its bytes, lowest first.
//! 5. In dates and times `T` is a blank; zeros at the end of a fraction, `:00` seconds, `Z` and `+00:00` may lack.
//! 6. An array or object equals its JSON text; an array of texts equals them joined by commas.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bigdecimal::BigDecimal;
use serde_json::{Map, Value};

pub fn same_row(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    different_columns(a, b).is_empty()
}

pub fn different_columns(a: &Map<String, Value>, b: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let column = |row: &Map<String, Value>, name: &String| row.get(name).cloned().unwrap_or(Value::Null);
    names
        .into_iter()
        .filter(|name| !same(&column(a, name), &column(b, name)))
        .cloned()
        .collect()
}

pub fn same(a: &Value, b: &Value) -> bool {
    if a.is_null() || b.is_null() {
        return a.is_null() && b.is_null();
    }
    for (marked, other) in [(a, b), (b, a)] {
        if let Some(bytes) = marked.get("$bin").and_then(Value::as_str) {
            return same_bytes(bytes, other);
        }
        if let Some(number) = marked.get("$bits").and_then(Value::as_u64) {
            return same_bits(number, other);
        }
    }
    if a.is_boolean() || b.is_boolean() {
        return truth(a).is_some() && truth(a) == truth(b);
    }
    if let (Some(x), Some(y)) = (number(a), number(b)) {
        if a.is_f64() || b.is_f64() {
            let tolerance = BigDecimal::from_str("1e-6").unwrap() * x.abs().max(y.abs());
            return (x - y).abs() <= tolerance;
        }
        return x == y;
    }
    if let (Some(x), Some(y)) = (time(a), time(b)) {
        return x == y;
    }
    match (a, b) {
        (Value::String(text), nested @ (Value::Array(_) | Value::Object(_)))
        | (nested @ (Value::Array(_) | Value::Object(_)), Value::String(text)) => {
            is_joined(nested, text)
                || serde_json::from_str(text).is_ok_and(|parsed: Value| same(&parsed, nested))
        }
        (Value::Object(a), Value::Object(b)) => same_row(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::String(a), Value::String(b)) if a.starts_with(['{', '[']) && b.starts_with(['{', '[']) => {
            match (serde_json::from_str::<Value>(a), serde_json::from_str::<Value>(b)) {
                (Ok(a), Ok(b)) => a == b,
                _ => a == b,
            }
        }
        _ => a == b,
    }
}

fn same_bytes(base64: &str, other: &Value) -> bool {
    let bytes = STANDARD.decode(base64).unwrap();
    match other {
        Value::String(text) => {
            text == base64
                || text.as_bytes() == bytes
                || text
                    .chars()
                    .map(|char| u8::try_from(char).ok())
                    .collect::<Option<Vec<_>>>()
                    == Some(bytes)
        }
        other => other.get("$bin").and_then(Value::as_str) == Some(base64),
    }
}

fn same_bits(number: u64, other: &Value) -> bool {
    let of_bytes = |text: &str| {
        let bytes = STANDARD.decode(text).ok()?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |bits, byte| bits << 8 | u64::from(*byte)),
        )
    };
    match other {
        Value::String(text) => text.parse() == Ok(number) || of_bytes(text) == Some(number),
        other => truth(other).map(u64::from).or(other.as_u64()) == Some(number),
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) if number.as_u64() == Some(1) => Some(true),
        Value::Number(number) if number.as_u64() == Some(0) => Some(false),
        Value::String(text) if matches!(text.as_str(), "1" | "t" | "true") => Some(true),
        Value::String(text) if matches!(text.as_str(), "0" | "f" | "false") => Some(false),
        _ => None,
    }
}

fn number(value: &Value) -> Option<BigDecimal> {
    match value {
        Value::Number(number) => BigDecimal::from_str(&number.to_string()).ok(),
        Value::String(text) if text.bytes().all(|byte| b"0123456789+-.eE".contains(&byte)) => {
            BigDecimal::from_str(text).ok()
        }
        _ => None,
    }
}

/// `2024-02-29T10:00:00.500Z` -> `2024-02-29 10:00:00.5`.
fn time(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let text = text
        .strip_suffix('Z')
        .or(text.strip_suffix("+00:00"))
        .unwrap_or(text)
        .replace('T', " ");
    let digits = |text: &str| text.bytes().all(|byte| b"0123456789-: .".contains(&byte));
    if !digits(&text) || !text.contains(['-', ':']) || !text.starts_with(['-', '0', '1', '2', '3', '9', '8'])
    {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let seconds = if whole.matches(':').count() == 1 {
        ":00"
    } else {
        ""
    };
    Some(format!("{whole}{seconds}.{}", fraction.trim_end_matches('0')))
}

fn is_joined(array: &Value, text: &str) -> bool {
    let texts: Option<Vec<_>> = array
        .as_array()
        .and_then(|all| all.iter().map(Value::as_str).collect());
    texts.is_some_and(|texts| texts.join(",") == text)
}

#[test]
fn what_means_the_same_is_the_same_and_nothing_else() {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (a, b) in [
        ("1", "\"1.0\""),
        ("true", "\"1\""),
        ("3.14", "3.140000104904175"),
        ("18446744073709551615", "\"18446744073709551615\""),
        (r#"{"$bin":"AP8Q"}"#, "\"AP8Q\""),
        (r#"{"$bits":513}"#, "\"AQI=\""),
        (r#"{"$bits":513}"#, "513"),
        ("\"2024-02-29 10:00\"", "\"2024-02-29T10:00:00.000Z\""),
        (r#"{"a":[1,{"b":null}]}"#, r#""{\"a\": [1, {}]}""#),
        (r#"["a","b"]"#, "\"a,b\""),
    ] {
        assert!(same(&value(a), &value(b)), "{a} {b}");
        assert!(same(&value(b), &value(a)), "{b} {a}");
    }
    for (a, b) in [
        ("1", "\"1.01\""),
        ("9007199254740993", "9007199254740992"),
        ("1.0", "1.001"),
        ("\"\"", "null"),
        ("0", "null"),
        ("\"a\"", "\"A\""),
        (r#"{"$bits":513}"#, "\"AgE=\""),
        ("\"2024-02-29 10:00\"", "\"2024-02-29 10:01\""),
        (r#"["a","b"]"#, "\"b,a\""),
    ] {
        assert!(!same(&value(a), &value(b)), "{a} {b}");
        assert!(!same(&value(b), &value(a)), "{b} {a}");
    }
}
