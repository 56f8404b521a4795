//! Objects read by closed sets of keys: what nobody has taken is refused by its name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::refusal::{Read, Refusal};

/// The keys of an object that nobody has taken yet.
pub struct Keys<'a> {
    /// What the object is, for errors: `match`.
    of: &'a str,
    left: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Keys<'a> {
    pub fn new(of: &'a str, value: &'a Value) -> Read<Keys<'a>> {
        match value {
            Value::Object(object) => Ok(Keys {
                of,
                left: object.iter().map(|(key, value)| (key.as_str(), value)).collect(),
            }),
            _ => Err(Refusal::parsing(format!("[{of}] must be an object"))),
        }
    }

    pub fn take(&mut self, key: &str) -> Option<&'a Value> {
        self.left.remove(key)
    }

    pub fn text(&mut self, key: &str) -> Read<Option<&'a str>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    pub fn flag(&mut self, key: &str) -> Read<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    /// A whole number that is not negative, also as text.
    pub fn count(&mut self, key: &str) -> Read<Option<usize>> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let count = match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64().and_then(|count| usize::try_from(count).ok()),
        };
        count
            .map(Some)
            .ok_or_else(|| self.wrong(key, "a whole number that is not negative"))
    }

    pub fn number(&mut self, key: &str) -> Read<Option<f64>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(key, "a number")),
            },
        }
    }

    /// What a score is multiplied by; 1 where left out.
    pub fn boost(&mut self) -> Read<f32> {
        match self.number("boost")? {
            None => Ok(1.0),
            Some(boost) if (0.0..=1e6).contains(&boost) => Ok(boost as f32),
            Some(_) => Err(self.wrong("boost", "a number of 0 to 1000000")),
        }
    }

    /// One of the values that mean what is done anyway.
    pub fn only(&mut self, key: &str, usual: &[Value]) -> Read<()> {
        match self.take(key) {
            Some(value) if !usual.contains(value) => Err(Refusal::illegal(format!(
                "[{}] does not support [{key}] of {value}",
                self.of
            ))),
            _ => Ok(()),
        }
    }

    /// The one key that is left, and its value.
    pub fn one(self) -> Read<(&'a str, &'a Value)> {
        let mut left = self.left.into_iter();
        match (left.next(), left.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(Refusal::parsing(format!("[{}] is empty", self.of))),
            (Some((one, _)), Some((other, _))) => Err(Refusal::parsing(format!(
                "[{}] takes one key, and has [{one}] and [{other}]",
                self.of
            ))),
        }
    }

    /// All that are left.
    pub fn rest(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.left.into_iter()
    }

    /// # Errors
    /// There is a key that nobody has taken.
    pub fn end(self) -> Read<()> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(key) => Err(Refusal::parsing(format!(
                "[{}] does not support [{key}]",
                self.of
            ))),
        }
    }

    pub fn wrong(&self, key: &str, expected: &str) -> Refusal {
        Refusal::parsing(format!("[{key}] of [{}] must be {expected}", self.of))
    }
}

/// A value or a list of them.
pub fn one_or_several(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

/// A text or a list of texts.
pub fn texts(of: &str, value: &Value) -> Read<Vec<String>> {
    let texts = one_or_several(value).iter().map(|value| match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(Refusal::parsing(format!("[{of}] must be texts"))),
    });
    texts.collect()
}
