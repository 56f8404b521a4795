//! Where a sorted page begins: behind the last hit of the page before.
//!
//! Nothing is kept for it between pages, so it goes through results of any length; a document that changes meanwhile stands where
//! its new values put it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::key::{By, SortKey};
use crate::change::{Datum, DatumRef, Float};
use crate::definition::{FieldKind, moment};
use crate::query::{QueryError, SearchRequest};

/// What a hit is sorted by, as `sort` of the hit has it. Numbers as they are written: an `f64` read by way of JSON may be
/// the one beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    Null,
    Bool(bool),
    Text(String),
    Number(String),
}

impl<'de> Deserialize<'de> for SortValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SortValue, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let written = raw.get().trim();
        match written.as_bytes().first() {
            Some(b'n') => Ok(SortValue::Null),
            Some(b't' | b'f') => Ok(SortValue::Bool(written == "true")),
            Some(b'"') => serde_json::from_str(written)
                .map(SortValue::Text)
                .map_err(serde::de::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(SortValue::Number(written.to_owned())),
            _ => Err(serde::de::Error::custom(
                "values of `search_after` are texts, numbers, booleans or null, as `sort` of a hit has them",
            )),
        }
    }
}

impl Serialize for SortValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SortValue::Null => serializer.serialize_unit(),
            SortValue::Bool(value) => serializer.serialize_bool(*value),
            SortValue::Text(text) => serializer.serialize_str(text),
            SortValue::Number(written) => RawValue::from_string(written.clone())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
        }
    }
}

/// What a page begins behind.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::query) struct After {
    /// By sort key, as columns have it: of a date microseconds. `None`: missing.
    pub values: Vec<Option<Datum>>,
    /// Of documents with these values, those up to this key are left out; `None`: all of them.
    pub key: Option<String>,
}

impl After {
    /// # Errors
    ///
    /// | code               | what is wrong                                                                  |
    /// |--------------------|--------------------------------------------------------------------------------|
    /// | `bad_search_after` | no `sort`, groups, or values that are not those that a hit of this `sort` has |
    pub fn plan(request: &SearchRequest, keys: Option<&[SortKey]>) -> Result<Option<After>, QueryError> {
        let Some(asked) = &request.search_after else {
            return Ok(None);
        };
        let Some(keys) = keys else {
            return Err(bad(
                "`search_after` is given without `sort`",
                "give the `sort` of the page before; pages of the best hits are gone through by `keep_alive_ms` and `cursor`",
            ));
        };
        if request.group_by.is_some() || request.distinct.is_some() {
            return Err(bad(
                "`search_after` goes through hits, and `group_by` or `distinct` is given",
                "go through groups by `offset`",
            ));
        }
        let (values, key) = match asked.split_at_checked(keys.len()) {
            Some((values, [])) => (values, None),
            Some((values, [SortValue::Text(key) | SortValue::Number(key)])) => (values, Some(key.clone())),
            _ => {
                return Err(bad(
                    format!(
                        "`search_after` has {} values, and `sort` has {} keys",
                        asked.len(),
                        keys.len()
                    ),
                    "give `sort` of the last hit, and behind it its `key`",
                ));
            }
        };
        let values = keys.iter().zip(values).map(|(key, value)| key.value(value));
        Ok(Some(After {
            values: values.collect::<Result<_, _>>()?,
            key,
        }))
    }
}

impl SortKey {
    /// A value as this key's column has it.
    fn value(&self, asked: &SortValue) -> Result<Option<Datum>, QueryError> {
        let float = |written: &str| {
            let number: Option<f64> = written.parse().ok();
            number
                .filter(|number| number.is_finite())
                .map(|number| Datum::Float(Float(number)))
        };
        // Scores are 32 bits wide: the nearest one is meant, also where a client's JSON has lost the last digit.
        let score = |written: &str| {
            let number: Option<f32> = written.parse().ok();
            let number = number.filter(|number| number.is_finite());
            number.map(|number| Datum::Float(Float(f64::from(number))))
        };
        let (expected, value) = match (self.by, asked) {
            (_, SortValue::Null) => return Ok(None),
            (By::Score, SortValue::Number(written)) => ("a number", score(written)),
            (By::Distance { .. }, SortValue::Number(written)) => ("a number", float(written)),
            (By::Score | By::Distance { .. }, _) => ("a number", None),
            (By::Field { kind, .. }, asked) => match (kind, asked) {
                (FieldKind::Keyword, SortValue::Text(text)) => ("a text", Some(Datum::text(text))),
                (FieldKind::I64, SortValue::Number(written)) => {
                    ("a whole number", written.parse().ok().map(Datum::Int))
                }
                (FieldKind::F64, SortValue::Number(written)) => ("a number", float(written)),
                (FieldKind::Bool, SortValue::Bool(value)) => ("a boolean", Some(Datum::Bool(*value))),
                (FieldKind::Date, SortValue::Text(text)) => {
                    ("a date", moment::of(DatumRef::Text(text)).map(Datum::Int))
                }
                (kind, _) => (kind.name(), None),
            },
        };
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(bad(
                format!("a value of `search_after` is {}", written(asked)),
                format!("`sort` has {expected} there, or null: give `sort` of the last hit as it came"),
            )),
        }
    }
}

fn written(value: &SortValue) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn bad(message: impl Into<String>, hint: impl Into<String>) -> QueryError {
    QueryError::new("bad_search_after", message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_written() {
        let written = r#"[null,true,"a\"b",-0.30000000000000004,9007199254740993,1e-7]"#;
        let values: Vec<SortValue> = serde_json::from_str(written).unwrap();
        assert_eq!(values[2], SortValue::Text("a\"b".to_owned()));
        assert_eq!(serde_json::to_string(&values).unwrap(), written);
        for wrong in ["[[1]]", r#"[{"a": 1}]"#] {
            assert!(serde_json::from_str::<Vec<SortValue>>(wrong).is_err(), "{wrong}");
        }
    }
}
