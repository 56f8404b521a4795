//! A request's sort keys -> keys that can be sorted by.

use std::cmp::Ordering;

use super::request::{DistanceRequest, SortHow, SortKeyRequest, SortMissing, SortOrder, SortRequest};
use crate::definition::point::Point;
use crate::definition::{FieldKind, Index};
use crate::query::QueryError;
use crate::query::plan::field_named;

/// What a result is sorted by that is not a field: how well a document fits the query.
const SCORE: &str = "_score";

/// The same: how far a document's place is from another.
const DISTANCE: &str = "_geo_distance";

/// Each key is a number for every document of the result.
const KEYS_MAX: usize = 8;

/// A key that can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::query) struct SortKey {
    pub by: By,
    pub order: SortOrder,
    pub missing: SortMissing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::query) enum By {
    /// By place in the index's fields; no field of places.
    Field {
        field: usize,
        kind: FieldKind,
    },
    /// From a place; the field is one of places.
    Distance {
        field: usize,
        from: Point,
    },
    Score,
}

/// # Errors
///
/// | code            | what is wrong                                                          |
/// |-----------------|------------------------------------------------------------------------|
/// | `unknown_field` | a key is neither `_score` nor one of the index's fields                |
/// | `bad_sort`      | no key or too many, several in one, or places without the one they are sorted from |
pub(in crate::query) fn plan(index: &Index, request: &SortRequest) -> Result<Vec<SortKey>, QueryError> {
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
            [(name, SortHow::Distance(asked))] if name == DISTANCE => return distance(index, asked),
            [(name, SortHow::Distance(_))] => {
                return Err(bad(
                    format!("`sort` gives `{name}` a place"),
                    format!("a place is for `{DISTANCE}`; a field has an order, \"asc\" or \"desc\""),
                ));
            }
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
        DISTANCE => return Err(bad("`sort` by distance names no place".to_owned(), FROM_A_PLACE)),
        name => match field_named(index, "sort", name)? {
            (_, FieldKind::Geo { .. }) => {
                let message = format!("`sort` names `{name}`, which holds places: they have no order");
                return Err(bad(message, FROM_A_PLACE));
            }
            (field, kind) => By::Field { field, kind },
        },
    };
    Ok(SortKey { by, order, missing })
}

const FROM_A_PLACE: &str =
    r#"sort by the distance from a place: {"_geo_distance": {"field": "place", "lat": 52.5, "lon": 13.4}}"#;

fn distance(index: &Index, asked: &DistanceRequest) -> Result<SortKey, QueryError> {
    let DistanceRequest {
        field,
        lat,
        lon,
        order,
    } = asked;
    let (place, kind) = field_named(index, "sort", field)?;
    if !matches!(kind, FieldKind::Geo { .. }) {
        return Err(bad(
            format!("`sort` by distance names `{field}`, which holds no places"),
            "name a field of the kind `geo`",
        ));
    }
    let Some(from) = Point::new(*lat, *lon) else {
        return Err(bad(
            format!("`sort` by distance is from latitude {lat}, longitude {lon}"),
            "give degrees: a latitude of -90 to 90 and a longitude of -180 to 180",
        ));
    };
    Ok(SortKey {
        by: By::Distance { field: place, from },
        order: *order,
        missing: SortMissing::Last,
    })
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

    pub fn compare<T: Ord>(&self, a: &Option<T>, b: &Option<T>) -> Ordering {
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
    pub fn pick<T: Copy>(&self, values: &[T]) -> Option<T> {
        match self.order {
            SortOrder::Asc => values.first().copied(),
            SortOrder::Desc => values.last().copied(),
        }
    }
}
