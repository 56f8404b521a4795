//! Completion of a keyword field's values, each as a whole.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::{Suggestion, best};
use crate::index::Snapshot;
use crate::index::keyword::{KeywordError, Values};
use crate::query::whole::states;

/// The values of a keyword field that begin as typed, in lower or upper case.
pub(super) fn suggest(
    snapshot: &Snapshot,
    field: usize,
    prefix: &str,
    within: Option<&[RoaringBitmap]>,
    limit: usize,
) -> Result<Vec<Suggestion>, KeywordError> {
    let typed = prefix.to_lowercase();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (number, state) in states(snapshot).into_iter().enumerate() {
        let slots = match within.map(|within| within.get(number)) {
            Some(None) => continue,
            Some(slots) => slots,
            None => None,
        };
        for selection in state.select(slots) {
            let Values::Text(values) = selection.values(field) else {
                continue;
            };
            let mut by_ordinal = vec![0u64; values.texts()];
            values.each(|_, ordinals| {
                for ordinal in ordinals {
                    if let Some(count) = by_ordinal.get_mut(*ordinal as usize) {
                        *count += 1;
                    }
                }
            });
            let ordinals: Vec<u64> = (0..)
                .zip(&by_ordinal)
                .filter_map(|(ordinal, count)| (*count > 0).then_some(ordinal))
                .collect();
            let mut found = by_ordinal.into_iter().filter(|count| *count > 0);
            values.look_up(&ordinals, |value| {
                let count = found.next().unwrap_or_default();
                if value.to_lowercase().starts_with(&typed) {
                    *counts.entry(value.to_owned()).or_default() += count;
                }
            })?;
        }
    }
    let suggestions = counts.into_iter().map(|(text, count)| Suggestion { text, count });
    let suggestions = suggestions.collect();
    Ok(best(suggestions, limit))
}
