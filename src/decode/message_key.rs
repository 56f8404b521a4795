//! The key of a Kafka record, which may be an object, a scalar, plain text or nothing of use.

use std::borrow::Cow;

use super::json::{Fields, quote};
use super::target::Target;
use super::value::{Kind, Wire};
use crate::change::Key;

pub(super) enum MessageKey<'a> {
    /// None, null, or bytes that are no text.
    Absent,
    /// Columns, and the schema where Connect sends one.
    Columns {
        fields: Fields<'a>,
        schema: Option<&'a str>,
    },
    /// JSON text of the one value, quoted here where the wire had plain text.
    Scalar(Cow<'a, str>),
}

impl<'a> MessageKey<'a> {
    pub fn parse(bytes: Option<&'a [u8]>) -> MessageKey<'a> {
        let Ok(text) = std::str::from_utf8(bytes.unwrap_or_default()) else {
            return MessageKey::Absent;
        };
        Self::of_text(text.trim_ascii(), None)
    }

    fn of_text(text: &'a str, schema: Option<&'a str>) -> MessageKey<'a> {
        if matches!(text, "" | "null") {
            return MessageKey::Absent;
        }
        let Ok(json) = serde_json::from_str::<&serde_json::value::RawValue>(text).map(|raw| raw.get()) else {
            return MessageKey::Scalar(Cow::Owned(quote(text)));
        };
        match Fields::parse(json) {
            Ok(fields) => match enveloped(&fields) {
                Some(payload) if schema.is_none() => {
                    Self::of_text(payload, fields.get("schema").or(Some("null")))
                }
                _ => MessageKey::Columns {
                    fields,
                    schema: schema.filter(|schema| *schema != "null"),
                },
            },
            Err(_) if json.starts_with('[') => MessageKey::Absent,
            Err(_) => MessageKey::Scalar(Cow::Borrowed(json)),
        }
    }

    /// A column's JSON text. A scalar is the value of a key's only column.
    pub fn column(&self, name: &str, target: &Target) -> Option<&str> {
        match self {
            MessageKey::Absent => None,
            MessageKey::Columns { fields, .. } => fields.get(name),
            MessageKey::Scalar(json) => (target.key.len() == 1).then_some(json),
        }
    }

    /// # Errors
    /// Names the key column that the message key lacks.
    pub fn key(&self, target: &Target, wire: Wire, kind: impl Fn(&str) -> Kind) -> Result<Key, String> {
        let key = target.key(|_, name| {
            let json = self.column(name, target);
            json.map(|json| target.read(name, json, &kind(name), wire))
                .transpose()
        });
        key.map_err(|reason| format!("message key: {reason}"))
    }
}

/// The payload of `{"schema":..,"payload":..}`, with or without the schema.
pub(super) fn enveloped<'a>(fields: &Fields<'a>) -> Option<&'a str> {
    let only_these = fields
        .0
        .iter()
        .all(|(name, _)| matches!(&**name, "schema" | "payload"));
    fields.get("payload").filter(|_| only_these)
}
