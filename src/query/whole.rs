//! The whole result of a search, beyond its page: what totals, facets and sorting are over.
//!
//! It is the documents that match by words, together with those that the vector leg returned; where neither leg is asked,
//! all that the filter lets through. Nearness has no end, so of the vector leg only what it was asked for belongs to it.

use roaring::RoaringBitmap;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::QueryError;
use super::fuse::Scored;
use super::run::guard;
use crate::index::Snapshot;
use crate::index::keyword::{self, KeywordError, KeywordQuery, KeywordState, Scope, Selection};

/// Whether, and how far, the documents of the result are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = r#"`total` is true, false or {"up_to": a number}"#)]
pub enum TotalRequest {
    /// `true`: exactly. `false`, as where it is left out: not at all.
    Wanted(bool),
    UpTo(TotalBound),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotalBound {
    /// A greater number is not told.
    #[serde(deserialize_with = "bound")]
    #[schema(maximum = 9007199254740991_u64)]
    pub up_to: u64,
}

/// The largest number that every reader of JSON takes as it is.
const BOUND_MAX: u64 = (1 << 53) - 1;

fn bound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let bound = u64::deserialize(deserializer)?;
    match bound <= BOUND_MAX {
        true => Ok(bound),
        false => Err(D::Error::custom(format!("`up_to` is more than {BOUND_MAX}"))),
    }
}

/// How many documents are the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Total {
    pub value: u64,
    pub relation: Relation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// There are exactly so many.
    Eq,
    /// There may be more: they were counted up to a bound, or a leg could not answer.
    Gte,
}

impl Total {
    pub(super) fn new(size: u64, bound: TotalRequest, is_partial: bool) -> Option<Total> {
        let up_to = match bound {
            TotalRequest::Wanted(false) => return None,
            TotalRequest::Wanted(true) => u64::MAX,
            TotalRequest::UpTo(bound) => bound.up_to,
        };
        Some(Total {
            value: size.min(up_to),
            relation: match size > up_to || is_partial {
                true => Relation::Gte,
                false => Relation::Eq,
            },
        })
    }
}

/// The slots of each shard; `None`: all that have a document.
pub(super) struct Whole(Option<Vec<RoaringBitmap>>);

impl Whole {
    /// What a filter lets through, or everything.
    pub fn of_filter(allowed: Option<&[RoaringBitmap]>) -> Whole {
        Whole(allowed.map(<[_]>::to_vec))
    }

    /// What the legs found: the documents with the words, by shard, and the hits of the vector leg.
    pub fn of_legs(snapshot: &Snapshot, words: Vec<RoaringBitmap>, vector: &[Scored<'_>]) -> Whole {
        let mut slots = words;
        slots.resize(snapshot.shards.len(), RoaringBitmap::new());
        for hit in vector {
            let key = hit.document.key.text();
            let places = slots.iter_mut().zip(&snapshot.shards);
            for (slots, shard) in places {
                if let Some((slot, _)) = shard.documents.by_key(&key) {
                    slots.insert(slot.0);
                }
            }
        }
        Whole(Some(slots))
    }

    pub fn size(&self, snapshot: &Snapshot) -> u64 {
        match &self.0 {
            None => snapshot.documents() as u64,
            Some(slots) => slots.iter().map(RoaringBitmap::len).sum(),
        }
    }

    /// Its documents by segment, with the number of their shard.
    pub fn selections<'s>(&self, snapshot: &'s Snapshot) -> Vec<(usize, Selection<'s>)> {
        let mut selections = Vec::new();
        for (number, shard) in snapshot.shards.iter().enumerate() {
            let slots = match &self.0 {
                None => None,
                Some(slots) => match slots.get(number) {
                    None => continue,
                    slots => slots,
                },
            };
            let of_shard = shard.keyword.select(slots);
            selections.extend(of_shard.into_iter().map(|selection| (number, selection)));
        }
        selections
    }
}

/// The documents, by shard, that match by words.
pub(super) fn with_words(scope: &Scope<'_, '_>, words: &KeywordQuery) -> Result<Vec<RoaringBitmap>, String> {
    guard(|| keyword::matching(scope, words).map_err(|error| error.to_string()))
}

/// The keyword leg of each shard.
pub(super) fn states(snapshot: &Snapshot) -> Vec<&KeywordState> {
    snapshot.shards.iter().map(|shard| &*shard.keyword).collect()
}

pub(super) fn read_failed(error: KeywordError) -> QueryError {
    QueryError::unavailable("unreadable", error.to_string())
}
