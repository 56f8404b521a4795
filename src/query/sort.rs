//! The documents of a result in the order of their fields.
//!
//! In each segment the first are found by plain numbers, a text's being its place among the segment's texts; only those are
//! then compared with those of other segments by their values.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fuse::Fused;
use super::plan::field_named;
use super::whole::Whole;
use super::{QueryError, whole};
use crate::change::{Datum, Float};
use crate::definition::Index;
use crate::index::keyword::{KeywordError, Selection, TextValues, Values};
use crate::index::{Document, Snapshot};

/// What a result is sorted by that is not a field: how well a document fits the query.
const SCORE: &str = "_score";

/// Each key is a number for every document of the result.
const KEYS_MAX: usize = 8;

/// What the result is sorted by: a key, or several in the order of their weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "`sort` is a key or a list of keys, such as \"-price\"")]
pub enum SortRequest {
    One(SortKeyRequest),
    Several(Vec<SortKeyRequest>),
}

/// One key: a field, or `_score`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = r#"a key of `sort` is "price", "-price", {"price": "desc"} or {"price": {"order": "desc", "missing": "first"}}"#
)]
pub enum SortKeyRequest {
    /// `price`: the least first; `-price`: the greatest first; `_score`: the best first.
    Name(String),
    /// One field and its order.
    How(BTreeMap<String, SortHow>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = r#"the order of a key is "asc", "desc" or {"order": .., "missing": ..}"#
)]
pub enum SortHow {
    Order(SortOrder),
    Full(SortOptions),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SortOptions {
    pub order: SortOrder,
    /// Where documents without a value stand, whatever the order: last where left out.
    #[serde(default)]
    pub missing: SortMissing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// The least first; of a document with several values the least counts.
    Asc,
    /// The greatest first, and of several values.
    Desc,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortMissing {
    First,
    #[default]
    Last,
}

/// A key that can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SortKey {
    by: By,
    order: SortOrder,
    missing: SortMissing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Place in the index's fields.
    Field(usize),
    Score,
}

/// # Errors
///
/// | code            | what is wrong                                         |
/// |-----------------|-------------------------------------------------------|
/// | `unknown_field` | a key is neither `_score` nor one of the index's fields |
/// | `bad_sort`      | no key or too many, or several in one                 |
pub(super) fn plan(index: &Index, request: &SortRequest) -> Result<Vec<SortKey>, QueryError> {
    let keys = match request {
        SortRequest::One(key) => std::slice::from_ref(key),
        SortRequest::Several(keys) => keys,
    };
    if !(1..=KEYS_MAX).contains(&keys.len()) {
        return Err(bad(
            format!("`sort` has {} keys", keys.len()),
            format!("give 1 to {KEYS_MAX}, or leave it out: then the best hits come first"),
        ));
    }
    keys.iter().map(|key| sort_key(index, key)).collect()
}

fn sort_key(index: &Index, request: &SortKeyRequest) -> Result<SortKey, QueryError> {
    let (name, order, missing) = match request {
        SortKeyRequest::Name(name) => match name.strip_prefix('-') {
            Some(name) => (name, SortOrder::Desc, SortMissing::Last),
            None if name == SCORE => (SCORE, SortOrder::Desc, SortMissing::Last),
            None => (&**name, SortOrder::Asc, SortMissing::Last),
        },
        SortKeyRequest::How(how) => match how.iter().collect::<Vec<_>>()[..] {
            [(name, SortHow::Order(order))] => (&**name, *order, SortMissing::Last),
            [(name, SortHow::Full(options))] => (&**name, options.order, options.missing),
            _ => {
                return Err(bad(
                    format!("a key of `sort` names {} fields", how.len()),
                    r#"give a list of keys: the first weighs most, such as [{"price": "asc"}, {"_score": "desc"}]"#,
                ));
            }
        },
    };
    let by = match name {
        SCORE => By::Score,
        name => By::Field(field_named(index, "sort", name)?.0),
    };
    Ok(SortKey { by, order, missing })
}

fn bad(message: String, hint: impl Into<String>) -> QueryError {
    QueryError::new("bad_sort", message, hint)
}

impl SortKey {
    pub fn is_score(&self) -> bool {
        self.by == By::Score
    }

    /// Whether it asks for nothing but the order that hits have anyway.
    pub fn is_usual(&self) -> bool {
        self.is_score() && self.order == SortOrder::Desc
    }

    fn compare<T: Ord>(&self, a: &Option<T>, b: &Option<T>) -> Ordering {
        match (a, b) {
            (None, None) => Ordering::Equal,
            (Some(a), Some(b)) => match self.order {
                SortOrder::Asc => a.cmp(b),
                SortOrder::Desc => b.cmp(a),
            },
            (one, _) => match (one.is_none(), self.missing) {
                (true, SortMissing::First) | (false, SortMissing::Last) => Ordering::Less,
                _ => Ordering::Greater,
            },
        }
    }

    /// The value that counts, of several that ascend.
    fn pick<T: Copy>(&self, values: &[T]) -> Option<T> {
        match self.order {
            SortOrder::Asc => values.first().copied(),
            SortOrder::Desc => values.last().copied(),
        }
    }
}

/// A document in its order.
pub(super) struct Sorted<'s> {
    pub document: &'s Document,
    /// By sort key; `None` where it is missing.
    pub values: Vec<Option<Datum>>,
}

impl Sorted<'_> {
    /// Whether it stands behind these values, and this key where ties go on behind one.
    pub fn is_behind(&self, keys: &[SortKey], after: &[Option<Datum>], after_key: Option<&str>) -> bool {
        let values = keys.iter().zip(self.values.iter().zip(after));
        let by_values = values.map(|(key, (value, after))| key.compare(value, after));
        match by_values.fold(Ordering::Equal, Ordering::then) {
            Ordering::Equal => after_key.is_some_and(|after| *self.document.key.text() > *after),
            order => order.is_gt(),
        }
    }
}

/// Ranked hits by document.
pub(super) struct Scores(FxHashMap<*const Document, (usize, f32)>);

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

    fn score(&self, document: &Document) -> Option<f32> {
        let (_, score) = self.0.get(&std::ptr::from_ref(document))?;
        Some(*score)
    }
}

/// The first `limit` documents of a result, ties by key. Without sort keys all are ties.
pub(super) fn sorted<'s>(
    snapshot: &'s Snapshot,
    whole: &Whole,
    keys: &[SortKey],
    scores: &Scores,
    limit: usize,
) -> Result<Vec<Sorted<'s>>, QueryError> {
    let mut all = Vec::new();
    for (shard, selection) in whole.selections(snapshot) {
        let document = |place: usize| {
            let slot = selection.slot(place)?;
            snapshot.document_at(shard, slot).map(|document| &**document)
        };
        let first = first(&selection, keys, scores, &document, limit).map_err(whole::read_failed)?;
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
    keys: &[SortKey],
    scores: &Scores,
    document: &dyn Fn(usize) -> Option<&'s Document>,
    limit: usize,
) -> Result<Vec<Sorted<'s>>, KeywordError> {
    let columns: Vec<Column<'_>> = keys
        .iter()
        .map(|key| Column::read(selection, key, scores, document))
        .collect();
    let mut places: Vec<usize> = (0..selection.size()).collect();
    if limit < places.len() {
        // Fetched at the first tie: all at once, as a sort asks for each again and again.
        let documents: OnceCell<Vec<Option<&Document>>> = OnceCell::new();
        let document_key = |place: usize| {
            let documents = documents.get_or_init(|| (0..selection.size()).map(document).collect());
            documents
                .get(place)
                .copied()
                .flatten()
                .map(|document| &document.key)
        };
        let compare = |a: &usize, b: &usize| {
            for (key, column) in keys.iter().zip(&columns) {
                let order = key.compare(&column.ranks[*a], &column.ranks[*b]);
                if order.is_ne() {
                    return order;
                }
            }
            match (document_key(*a), document_key(*b)) {
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

/// What a segment's documents are sorted by.
struct Column<'a> {
    /// By place: numbers with the order of the values, where there is one.
    ranks: Vec<Option<u64>>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    None,
    Text(TextValues<'a>),
    Int,
    Float,
    Bool,
}

impl<'a> Column<'a> {
    fn read<'s>(
        selection: &'a Selection<'s>,
        key: &SortKey,
        scores: &Scores,
        document: &dyn Fn(usize) -> Option<&'s Document>,
    ) -> Column<'a> {
        let mut ranks = vec![None; selection.size()];
        let By::Field(field) = key.by else {
            for (place, rank) in ranks.iter_mut().enumerate() {
                let score = document(place).and_then(|document| scores.score(document));
                *rank = Some(float_rank(f64::from(score.unwrap_or_default())));
            }
            let kind = Kind::Float;
            return Column { ranks, kind };
        };
        let kind = match selection.values(field) {
            Values::None => Kind::None,
            Values::Text(values) => {
                values.each(|place, ordinals| ranks[place] = key.pick(ordinals));
                Kind::Text(values)
            }
            Values::Int(values) => {
                values.each(|place, values| ranks[place] = key.pick(values).map(int_rank));
                Kind::Int
            }
            Values::Float(values) => {
                values.each(|place, values| ranks[place] = key.pick(values).map(float_rank));
                Kind::Float
            }
            Values::Bool(values) => {
                values.each(|place, values| ranks[place] = key.pick(values).map(u64::from));
                Kind::Bool
            }
        };
        Column { ranks, kind }
    }

    /// The values of some places, in their order.
    fn values(&self, places: &[usize]) -> Result<Vec<Option<Datum>>, KeywordError> {
        let mut texts = FxHashMap::default();
        if let Kind::Text(values) = &self.kind {
            let mut ordinals: Vec<u64> = places.iter().filter_map(|place| self.ranks[*place]).collect();
            ordinals.sort_unstable();
            ordinals.dedup();
            let mut rest = ordinals.iter();
            values.look_up(&ordinals, |text| {
                if let Some(ordinal) = rest.next() {
                    texts.insert(*ordinal, Datum::text(text));
                }
            })?;
        }
        let value = |rank: u64| match &self.kind {
            Kind::None => None,
            Kind::Text(_) => texts.get(&rank).cloned(),
            Kind::Int => Some(Datum::Int((rank ^ SIGN) as i64)),
            Kind::Float => Some(Datum::Float(Float(rank_float(rank)))),
            Kind::Bool => Some(Datum::Bool(rank != 0)),
        };
        let values = places.iter().map(|place| self.ranks[*place].and_then(value));
        Ok(values.collect())
    }
}

const SIGN: u64 = 1 << 63;

fn int_rank(value: i64) -> u64 {
    value as u64 ^ SIGN
}

/// The order of floats, as whole numbers: the bits of negative ones are turned round.
fn float_rank(value: f64) -> u64 {
    let bits = value.to_bits();
    match bits & SIGN {
        0 => bits | SIGN,
        _ => !bits,
    }
}

fn rank_float(rank: u64) -> f64 {
    f64::from_bits(match rank & SIGN {
        0 => !rank,
        _ => rank & !SIGN,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_have_the_order_of_their_values(a: f64, b: f64, c: i64, d: i64) {
            prop_assert_eq!(float_rank(a).cmp(&float_rank(b)), a.total_cmp(&b));
            prop_assert_eq!(rank_float(float_rank(a)).to_bits(), a.to_bits());
            prop_assert_eq!(int_rank(c).cmp(&int_rank(d)), c.cmp(&d));
        }
    }
}
