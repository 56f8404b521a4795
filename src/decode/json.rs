//! JSON text, borrowed: the fields of an object as they stand, and what one of them is.
//!
//! A field's value stays text until its column's type is known. So numbers are exact, and what nobody asks for
//! is only skipped.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's fields in their order: name, and the value's JSON text.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a>(pub Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Fields<'a> {
    pub fn parse(text: &'a str) -> Result<Fields<'a>, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The value's JSON text, if the object has the field.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| *value)
    }

    /// The value, if the object has the field and it is not null.
    pub fn present(&self, name: &str) -> Option<&'a str> {
        self.get(name).filter(|value| *value != "null")
    }

    /// A field that is an object.
    pub fn object(&self, name: &str) -> Option<Fields<'a>> {
        self.get(name)
            .filter(|value| value.starts_with('{'))
            .and_then(|value| Fields::parse(value).ok())
    }

    /// A field that is text; empty if it is anything else.
    pub fn text(&self, name: &str) -> Cow<'a, str> {
        match self.get(name).map(Cell::read) {
            Some(Ok(Cell::Text(text))) => text,
            _ => Cow::Borrowed(""),
        }
    }

    /// A field that is an integer, or text of one.
    pub fn integer(&self, name: &str) -> Option<i64> {
        integer(self.get(name)?)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                // Most tables have fewer columns: one allocation.
                let mut fields = Vec::with_capacity(16);
                while let Some(Text(name)) = map.next_key()? {
                    fields.push((name, map.next_value::<&RawValue>()?.get()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Text that borrows from the input where it has no escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    pub fn or_empty<'t>(text: &'t Option<Text<'_>>) -> &'t str {
        text.as_ref().map_or("", |text| &text.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// One JSON value, no deeper than a column needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// An array or object, as it is written.
    Nested(&'a str),
}

impl<'a> Cell<'a> {
    /// Reads JSON text that has been scanned once already.
    ///
    /// # Errors
    /// Text with half a surrogate pair: it has no characters.
    pub fn read(json: &'a str) -> Result<Cell<'a>, serde_json::Error> {
        Ok(match json.as_bytes().first() {
            None | Some(b'n') => Cell::Null,
            Some(b't') => Cell::Bool(true),
            Some(b'f') => Cell::Bool(false),
            Some(b'"') => Cell::Text(unquote(json)?),
            Some(b'{' | b'[') => Cell::Nested(json),
            Some(_) => Cell::Number(json),
        })
    }
}

fn unquote(json: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    if memchr::memchr(b'\\', json.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(json.get(1..json.len() - 1).unwrap_or_default()));
    }
    serde_json::from_str(json).map(Cow::Owned)
}

/// An integer, or text of one.
pub(super) fn integer(json: &str) -> Option<i64> {
    json.trim_matches('"').parse().ok()
}

/// JSON text for a text.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Valid JSON without the blanks between its parts, or `None`.
pub(super) fn compact(json: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(json).ok()?;
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = memchr::memchr(b'"', rest.as_bytes()) {
        let (between, quoted) = rest.split_at(start);
        push_without_blanks(between, &mut out);
        let (text, after) = quoted.split_at(quoted_length(quoted));
        out.push_str(text);
        rest = after;
    }
    push_without_blanks(rest, &mut out);
    Some(out)
}

fn push_without_blanks(between: &str, out: &mut String) {
    between
        .split_ascii_whitespace()
        .for_each(|part| out.push_str(part));
}

/// The length of a quoted text with both quotes.
fn quoted_length(quoted: &str) -> usize {
    let bytes = quoted.as_bytes();
    let mut at = 1;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_their_text() {
        let fields = Fields::parse(r#"{"b":1.50, "a\n":"x", "c":[1, 2], "n":null}"#).unwrap();
        let seen: Vec<_> = fields
            .0
            .iter()
            .map(|(name, value)| (name.as_ref(), *value))
            .collect();
        assert_eq!(
            seen,
            [("b", "1.50"), ("a\n", "\"x\""), ("c", "[1, 2]"), ("n", "null")]
        );
        assert_eq!(
            (fields.get("n"), fields.present("n"), fields.get("z")),
            (Some("null"), None, None)
        );
    }

    #[test]
    fn cells_are_what_they_look_like() {
        assert_eq!(Cell::read(r#""""#).unwrap(), Cell::Text("".into()));
        assert_eq!(Cell::read(r#""\"""#).unwrap(), Cell::Text("\"".into()));
        assert_eq!(Cell::read(r#""\ud83d\udd0b""#).unwrap(), Cell::Text("🔋".into()));
        assert_eq!(Cell::read("-1.0e5").unwrap(), Cell::Number("-1.0e5"));
        assert!(Cell::read(r#""\ud83d""#).is_err());
    }

    #[test]
    fn compact_json_loses_only_blanks_outside_of_texts() {
        let json = " { \"a b\" : [ 1 , true ,null ] ,\n\"c\\\" d\" : \"\\\\\" , \"e\":\" \" } ";
        assert_eq!(
            compact(json).unwrap(),
            r#"{"a b":[1,true,null],"c\" d":"\\","e":" "}"#
        );
        for json in ["", "{", "[1,]", "{} {}", "\"", "\"\\", "nul"] {
            assert_eq!(compact(json), None, "{json}");
        }
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        compact(&deep);
    }
}
