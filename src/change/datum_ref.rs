//! A value where it lies: in a packed row, or as a [`Datum`].

use std::sync::Arc;

use base64::Engine;
use serde::Serialize;

use super::{Datum, Float, Vector};

/// One value, borrowed: what [`Datum`] owns. Both have one order, and are serialised alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename = "Datum")]
pub enum DatumRef<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(Float),
    Decimal(&'a str),
    Text(&'a str),
    Bytes(&'a [u8]),
    Vector(&'a Vector),
    Json(&'a str),
    Unavailable,
}

impl DatumRef<'_> {
    pub fn is_null(&self) -> bool {
        matches!(self, DatumRef::Null)
    }

    pub fn to_datum(self) -> Datum {
        match self {
            DatumRef::Null => Datum::Null,
            DatumRef::Bool(value) => Datum::Bool(value),
            DatumRef::Int(value) => Datum::Int(value),
            DatumRef::Float(value) => Datum::Float(value),
            DatumRef::Decimal(text) => Datum::Decimal(Arc::from(text)),
            DatumRef::Text(text) => Datum::Text(Arc::from(text)),
            DatumRef::Bytes(bytes) => Datum::Bytes(Arc::from(bytes)),
            DatumRef::Vector(vector) => Datum::Vector(vector.clone()),
            DatumRef::Json(text) => Datum::Json(Arc::from(text)),
            DatumRef::Unavailable => Datum::Unavailable,
        }
    }

    /// Appends the value as JSON: decimals as exact text, bytes as base64, a float that is not finite as text.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            DatumRef::Null | DatumRef::Unavailable => out.extend_from_slice(b"null"),
            DatumRef::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            DatumRef::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
            DatumRef::Float(Float(value)) if value.is_finite() => write_serialized(&value, out),
            DatumRef::Float(Float(value)) => write_serialized(&value.to_string(), out),
            DatumRef::Decimal(text) | DatumRef::Text(text) => write_serialized(text, out),
            DatumRef::Bytes(bytes) => {
                write_serialized(&base64::engine::general_purpose::STANDARD.encode(bytes), out);
            }
            DatumRef::Vector(values) => write_serialized(&**values, out),
            DatumRef::Json(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

impl<'a> From<&'a Datum> for DatumRef<'a> {
    fn from(datum: &'a Datum) -> DatumRef<'a> {
        match datum {
            Datum::Null => DatumRef::Null,
            Datum::Bool(value) => DatumRef::Bool(*value),
            Datum::Int(value) => DatumRef::Int(*value),
            Datum::Float(value) => DatumRef::Float(*value),
            Datum::Decimal(text) => DatumRef::Decimal(text),
            Datum::Text(text) => DatumRef::Text(text),
            Datum::Bytes(bytes) => DatumRef::Bytes(bytes),
            Datum::Vector(vector) => DatumRef::Vector(vector),
            Datum::Json(text) => DatumRef::Json(text),
            Datum::Unavailable => DatumRef::Unavailable,
        }
    }
}

/// Appends names and values as one JSON object, in the order given.
pub fn write_json_object<'a>(
    fields: impl Iterator<Item = (&'a str, impl Into<DatumRef<'a>>)>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for (i, (name, value)) in fields.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_serialized(name, out);
        out.push(b':');
        value.into().write_json(out);
    }
    out.push(b'}');
}

/// Serialises into memory, which cannot fail for the types used here.
fn write_serialized<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("strings and finite numbers serialise into memory");
}
