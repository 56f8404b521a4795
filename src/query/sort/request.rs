//! What a result is sorted by, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the result is sorted by: a key, or several in the order of their weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "`sort` is a key or a list of keys, such as \"-price\"")]
pub enum SortRequest {
    One(SortKeyRequest),
    Several(Vec<SortKeyRequest>),
}

/// One key: a field, `_score` or `_geo_distance`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = r#"a key of `sort` is "price", "-price", {"price": "desc"}, {"price": {"order": "desc", "missing": "first"}} or {"_geo_distance": {"field": "place", "lat": 52.5, "lon": 13.4}}"#
)]
pub enum SortKeyRequest {
    /// `price`: the least first; `-price`: the greatest first; `_score`: the best first.
    Name(String),
    /// One field and its order.
    How(BTreeMap<String, SortHow>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = r#"the order of a key is "asc", "desc" or {"order": .., "missing": ..}"#
)]
pub enum SortHow {
    Order(SortOrder),
    Full(SortOptions),
    /// Of `_geo_distance` alone.
    Distance(DistanceRequest),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SortOptions {
    pub order: SortOrder,
    /// Where documents without a value stand, whatever the order: last where left out.
    #[serde(default)]
    pub missing: SortMissing,
}

/// How far a place is from another, in metres, to the millimetre: `{"_geo_distance": {"field": "place", "lat": 52.5, "lon": 13.4}}`.
/// Documents without a place come last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DistanceRequest {
    /// A field of places.
    pub field: String,
    /// Degrees, -90 to 90.
    pub lat: f64,
    /// Degrees, -180 to 180.
    pub lon: f64,
    /// The nearest first where left out.
    #[serde(default)]
    pub order: SortOrder,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// The least first; of a document with several values the least counts.
    #[default]
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
