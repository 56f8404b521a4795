//! A document as the query of the vector leg.

use super::{QueryError, SearchedField};
use crate::definition::Metric;
use crate::index::{Slot, Snapshot};

/// The vector of a document, by its place: where its text is embedded in pieces, the mean of theirs.
///
/// # Errors
///
/// `no_vector`: the document has none, or none yet.
pub(super) fn vector(
    snapshot: &Snapshot,
    leg: usize,
    field: &SearchedField,
    (shard, slot): (usize, Slot),
    key: &str,
) -> Result<Vec<f32>, QueryError> {
    let leg = snapshot.shards.get(shard).and_then(|shard| shard.legs.get(leg));
    let vectors = leg.map(|leg| leg.vectors_of(slot)).unwrap_or_default();
    let mut sum = vec![0.0; field.dimensions];
    let mut room = Vec::new();
    for vector in &vectors {
        for (sum, number) in sum.iter_mut().zip(vector.read(&mut room)) {
            *sum += number / vectors.len() as f32;
        }
    }
    let has_direction = field.metric != Metric::Cosine || sum.iter().any(|number| *number != 0.0);
    match !vectors.is_empty() && has_direction {
        true => Ok(sum),
        false => Err(QueryError::new(
            "no_vector",
            format!("the document {key:?} has no vector to compare with"),
            "a hit's `vector_state` says how a document stands with its vector",
        )),
    }
}

/// There is no such document, or not for who asks.
pub(super) fn unknown(key: &str) -> QueryError {
    QueryError::new(
        "unknown_document",
        format!("`like` names {key:?}, and no document has that key"),
        "give a key as hits have it",
    )
}
