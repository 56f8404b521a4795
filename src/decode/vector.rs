//! Ready-made vectors: an array of numbers, or base64 of little-endian `f32`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json::Cell;
use crate::change::{Datum, Vector};
use crate::definition::{Metric, VectorColumn};

/// Reads a vector and checks it, as no index could take it back later.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub(super) fn read(cell: &Cell<'_>, column: &VectorColumn) -> Result<Datum, String> {
    let dimensions = column.dimensions;
    let components = match cell {
        Cell::Null => return Ok(Datum::Null),
        Cell::Nested(json) => from_array(json)?,
        // TiDB writes its vectors as text of an array.
        Cell::Text(text) if text.trim_start().starts_with('[') => from_array(text)?,
        Cell::Text(text) => from_base64(text)?,
        Cell::Bool(_) | Cell::Number(_) => {
            return Err(format!(
                "is neither an array nor text: expected {dimensions} numbers, or base64 of them"
            ));
        }
    };
    // One of another model is not searched.
    if components.len() != dimensions && !column.is_mixed {
        return Err(format!(
            "has {} components: expected {dimensions}",
            components.len()
        ));
    }
    if let Some(place) = components.iter().position(|component| !component.is_finite()) {
        return Err(format!(
            "component {place} is {}: expected a finite number",
            components[place]
        ));
    }
    if column.metric == Metric::Cosine && components.iter().all(|component| *component == 0.0) {
        return Err("is zero: under cosine a vector needs a direction".to_owned());
    }
    Ok(Datum::Vector(Vector::from(components)))
}

fn from_array(text: &str) -> Result<Vec<f32>, String> {
    let inner = text
        .trim()
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let inner = inner.ok_or("is not an array of numbers")?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let number = |part: &str| {
        part.parse()
            .map_err(|_| format!("has `{}` as a component: expected a number", shown(part)))
    };
    inner.split(',').map(|part| number(part.trim())).collect()
}

fn from_base64(text: &str) -> Result<Vec<f32>, String> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| format!("is not base64 of the standard alphabet with padding: {error}"))?;
    let (components, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!(
            "has {} bytes: expected 4 a component, little-endian f32",
            bytes.len()
        ));
    }
    Ok(components
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

/// Enough of a value to find it by.
fn shown(text: &str) -> String {
    text.chars().take(20).collect()
}
