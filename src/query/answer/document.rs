//! One document, and how its columns are written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::AsOf;
use crate::change::{Row, write_json_object};
use crate::index::{Document, Snapshot};

/// One document, by its key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentAnswer {
    #[schema(value_type = String)]
    pub key: Arc<str>,
    /// Every column of the index's query, in its order, ready-made vectors too.
    #[schema(value_type = Object)]
    pub document: Box<RawValue>,
    pub as_of: AsOf,
}

impl DocumentAnswer {
    pub(in crate::query) fn new(document: &Document, snapshot: &Snapshot) -> DocumentAnswer {
        let columns: Vec<usize> = (0..document.row.columns().names().len()).collect();
        DocumentAnswer {
            key: document.key.text().into(),
            document: write_columns(&document.row, &columns),
            as_of: AsOf::new(snapshot),
        }
    }
}

/// Columns of a row as a JSON object. Written by hand, so that they keep their order and decimals their digits.
pub(super) fn write_columns(row: &Row, columns: &[usize]) -> Box<RawValue> {
    let names = row.columns().names();
    let fields = columns
        .iter()
        .filter_map(|&column| Some((&**names.get(column)?, row.value(column)?)));
    let mut json = Vec::new();
    write_json_object(fields, &mut json);
    let raw = String::from_utf8(json)
        .ok()
        .and_then(|json| RawValue::from_string(json).ok());
    debug_assert!(raw.is_some(), "a row is written as valid JSON: {row:?}");
    raw.unwrap_or_default()
}
