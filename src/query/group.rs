//! Hits by the value of a field: the best of each group, or the best of each value alone.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::field_named;
use super::{QueryError, SearchRequest};
use crate::change::{Datum, Row};
use crate::definition::Index;
use crate::index::keyword::KeywordSchema;

/// Hits of a group. A page is bounded by hits, whatever they are grouped by.
const SIZE_MAX: usize = 100;

/// Which groups the hits are put into. `limit` and `offset` then count groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupRequest {
    /// The field whose values are the groups. A document of several values is in the group of each; those without a value
    /// are one group.
    pub field: String,
    /// How many of its best hits a group shows: 1 to 100.
    #[serde(default = "usual_size")]
    pub size: usize,
}

fn usual_size() -> usize {
    3
}

/// What becomes of the list of hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    None,
    Groups { field: usize, size: usize },
    Distinct { field: usize },
}

impl Grouping {
    /// # Errors
    ///
    /// | code            | what is wrong                                                       |
    /// |-----------------|---------------------------------------------------------------------|
    /// | `unknown_field` | the field is not in the index's `fields`                            |
    /// | `bad_group`     | `size` out of range, groups of too many hits, or both ways asked for |
    pub fn plan(index: &Index, request: &SearchRequest, hits_max: usize) -> Result<Grouping, QueryError> {
        match (&request.group_by, &request.distinct) {
            (None, None) => Ok(Grouping::None),
            (None, Some(name)) => Ok(Grouping::Distinct {
                field: field_named(index, "distinct", name)?.0,
            }),
            (Some(GroupRequest { field, size }), None) => {
                let field = field_named(index, "group_by", field)?.0;
                let hits = request.offset.saturating_add(request.limit).saturating_mul(*size);
                if !(1..=SIZE_MAX).contains(size) || hits > hits_max {
                    return Err(bad(
                        format!(
                            "`group_by.size` is {size}, for a page of {} groups",
                            request.limit
                        ),
                        format!("give 1 to {SIZE_MAX}, and together no more than {hits_max} hits"),
                    ));
                }
                Ok(Grouping::Groups { field, size: *size })
            }
            (Some(_), Some(_)) => Err(bad(
                "both `group_by` and `distinct` are given".to_owned(),
                "`distinct` is one hit of each value; `group_by` shows several",
            )),
        }
    }
}

fn bad(message: String, hint: impl Into<String>) -> QueryError {
    QueryError::new("bad_group", message, hint)
}

/// What a list of hits comes to.
pub(super) struct Grouped {
    /// Places in the list by group; a group each where there are none.
    pub groups: Vec<GroupOf>,
    /// Whether a longer list would change none of them.
    pub is_complete: bool,
}

pub(super) struct GroupOf {
    pub value: Option<Datum>,
    pub hits: Vec<usize>,
}

/// The first `wanted` groups of a list of rows, best first. `None`: without a value.
pub(super) fn groups<'r>(
    schema: &KeywordSchema,
    rows: impl Iterator<Item = &'r Row>,
    (field, size): (usize, usize),
    wanted: usize,
) -> Grouped {
    let mut groups: Vec<GroupOf> = Vec::new();
    let mut places: FxHashMap<Option<Datum>, usize> = FxHashMap::default();
    for (hit, row) in rows.enumerate() {
        for value in values(schema, field, row) {
            let place = match places.get(&value) {
                Some(place) => *place,
                None if groups.len() < wanted => {
                    places.insert(value.clone(), groups.len());
                    groups.push(GroupOf {
                        value,
                        hits: Vec::new(),
                    });
                    groups.len() - 1
                }
                None => continue,
            };
            if groups[place].hits.len() < size {
                groups[place].hits.push(hit);
            }
        }
    }
    Grouped {
        is_complete: groups.len() >= wanted && groups.iter().all(|group| group.hits.len() == size),
        groups,
    }
}

/// The places of the first `wanted` hits that show a value which none before them shows.
pub(super) fn distinct<'r>(
    schema: &KeywordSchema,
    rows: impl Iterator<Item = &'r Row>,
    field: usize,
    wanted: usize,
) -> Vec<usize> {
    let mut seen: FxHashSet<Option<Datum>> = FxHashSet::default();
    let mut is_first = |row: &Row| {
        let mut any = false;
        for value in values(schema, field, row) {
            any |= seen.insert(value);
        }
        any
    };
    rows.enumerate()
        .filter_map(|(hit, row)| is_first(row).then_some(hit))
        .take(wanted)
        .collect()
}

/// The field's values, or one that stands for none.
fn values(schema: &KeywordSchema, field: usize, row: &Row) -> Vec<Option<Datum>> {
    let values = schema.values_of_row(field, row);
    match values.is_empty() {
        true => vec![None],
        false => values.into_iter().map(Some).collect(),
    }
}
