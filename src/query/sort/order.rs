//! The first documents of a result in their order.
//!
//! In each segment they are found by plain numbers; only those are then compared with those of other segments by their values.

use std::cell::OnceCell;
use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::after::After;
use super::column::Column;
use super::key::SortKey;
use crate::change::{Datum, Key};
use crate::index::keyword::{KeywordError, Selection};
use crate::index::{Document, Snapshot};
use crate::query::QueryError;
use crate::query::fuse::Fused;
use crate::query::whole::{Whole, read_failed};

/// A document in its order.
pub(in crate::query) struct Sorted<'s> {
    pub document: &'s Document,
    /// By sort key; `None` where it is missing.
    pub values: Vec<Option<Datum>>,
}

/// Ranked hits by document.
pub(in crate::query) struct Scores(FxHashMap<*const Document, (usize, f32)>);

impl Scores {
    pub fn of(hits: &[Fused<'_>]) -> Scores {
        let scores = hits.iter().enumerate();
        let scores = scores.map(|(place, hit)| (std::ptr::from_ref(hit.document), (place, hit.score)));
        Scores(scores.collect())
    }

    /// The place of a document's hit.
    pub fn place(&self, document: &Document) -> Option<usize> {
        let (place, _) = self.0.get(&std::ptr::from_ref(document))?;
        Some(*place)
    }

    pub fn score(&self, document: &Document) -> Option<f32> {
        let (_, score) = self.0.get(&std::ptr::from_ref(document))?;
        Some(*score)
    }
}

/// The first `limit` documents of a result behind a place in its order, ties by key. Without sort keys all are ties.
pub(in crate::query) fn sorted<'s>(
    snapshot: &'s Snapshot,
    whole: &Whole,
    (keys, after): (&[SortKey], Option<&After>),
    scores: &Scores,
    limit: usize,
) -> Result<Vec<Sorted<'s>>, QueryError> {
    let mut all = Vec::new();
    for (shard, selection) in whole.selections(snapshot) {
        let document = |place: usize| {
            let slot = selection.slot(place)?;
            snapshot.document_at(shard, slot).map(|document| &**document)
        };
        let first = first(&selection, (keys, after), scores, &document, limit).map_err(read_failed)?;
        all.extend(first);
    }
    all.sort_unstable_by(|a, b| {
        let values = keys.iter().zip(a.values.iter().zip(&b.values));
        let by_values = values.map(|(key, (a, b))| key.compare(a, b));
        by_values
            .fold(Ordering::Equal, Ordering::then)
            .then_with(|| a.document.key.cmp_text(&b.document.key))
    });
    all.truncate(limit);
    Ok(all)
}

/// The first documents of a segment, in any order.
fn first<'s>(
    selection: &Selection<'s>,
    (keys, after): (&[SortKey], Option<&After>),
    scores: &Scores,
    document: &dyn Fn(usize) -> Option<&'s Document>,
    limit: usize,
) -> Result<Vec<Sorted<'s>>, KeywordError> {
    let columns: Vec<Column<'_>> = keys
        .iter()
        .map(|key| Column::read(selection, key, scores, document))
        .collect();
    // Fetched at the first tie: all at once, as a sort asks for each again and again.
    let documents: OnceCell<Vec<Option<&Document>>> = OnceCell::new();
    let key_of = |place: usize| -> Option<&'s Key> {
        let documents = documents.get_or_init(|| (0..selection.size()).map(document).collect());
        documents
            .get(place)
            .copied()
            .flatten()
            .map(|document| &document.key)
    };
    let mut places: Vec<usize> = (0..selection.size()).collect();
    if let Some(after) = after {
        let ranks = columns
            .iter()
            .zip(&after.values)
            .map(|(column, value)| match value {
                Some(value) => column.rank_of(value).map(Some),
                None => Ok(None),
            });
        let ranks: Vec<Option<u64>> = ranks.collect::<Result<_, _>>()?;
        places.retain(|place| {
            let by_values = keys.iter().zip(columns.iter().zip(&ranks));
            let by_values = by_values.map(|(key, (column, rank))| key.compare(&column.ranks[*place], rank));
            let order = by_values.fold(Ordering::Equal, Ordering::then).then_with(|| {
                match (key_of(*place), &after.key) {
                    (Some(key), Some(last)) => (*key.text()).cmp(last),
                    _ => Ordering::Equal,
                }
            });
            order.is_gt()
        });
    }
    if limit < places.len() {
        let compare = |a: &usize, b: &usize| {
            for (key, column) in keys.iter().zip(&columns) {
                let order = key.compare(&column.ranks[*a], &column.ranks[*b]);
                if order.is_ne() {
                    return order;
                }
            }
            match (key_of(*a), key_of(*b)) {
                (Some(a), Some(b)) => a.cmp_text(b),
                (a, b) => a.is_none().cmp(&b.is_none()),
            }
        };
        places.select_nth_unstable_by(limit, compare);
        places.truncate(limit);
    }
    let mut values: Vec<std::vec::IntoIter<Option<Datum>>> = columns
        .iter()
        .map(|column| Ok(column.values(&places)?.into_iter()))
        .collect::<Result<_, KeywordError>>()?;
    let sorted = places.iter().filter_map(|place| {
        let values = values.iter_mut().map(|column| column.next().flatten()).collect();
        let document = document(*place)?;
        Some(Sorted { document, values })
    });
    Ok(sorted.collect())
}
