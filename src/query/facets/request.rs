//! What is to be counted, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

/// What is counted over the whole result: exactly one of `terms`, `ranges`, `histogram`, `date_histogram` and `stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FacetRequest {
    /// The field whose values are counted; the name of the facet where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The documents of each value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<TermsRequest>,
    /// The documents of each of these ranges of a number or a date: at most 100, which may overlap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<RangeRequest>>,
    /// The documents of each interval of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<HistogramRequest>,
    /// The documents of each day, month and so on, of a date, or of whole numbers that are milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_histogram: Option<DateHistogramRequest>,
    /// The least, the greatest and the mean of a number or a date, and the sum of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<StatsRequest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TermsRequest {
    /// How many values are shown: 1 to 10,000.
    pub size: usize,
    pub order: TermsOrder,
}

impl Default for TermsRequest {
    fn default() -> TermsRequest {
        TermsRequest {
            size: 10,
            order: TermsOrder::default(),
        }
    }
}

/// Which values come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TermsOrder {
    /// Those of the most documents; of equals the least.
    #[default]
    Count,
    /// The least.
    Value,
}

/// A range of numbers or dates; without an end it is open there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RangeRequest {
    /// The least value inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<RangeBound>,
    /// The least value above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RangeBound>,
}

/// An end of a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "`from` and `to` of a range are numbers, or dates as text"
)]
pub enum RangeBound {
    /// Of a date: milliseconds since 1970.
    #[schema(value_type = f64)]
    Number(Number),
    /// A date in ISO 8601, in UTC where it has no zone.
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HistogramRequest {
    /// How wide an interval is: more than 0. Wide enough for at most 10,000 that hold a document.
    pub interval: f64,
    /// Where an interval begins, and so all others.
    #[serde(default)]
    pub offset: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DateHistogramRequest {
    /// Such that at most 10,000 intervals hold a document.
    pub interval: CalendarInterval,
}

/// An interval of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CalendarInterval {
    Minute,
    Hour,
    Day,
    /// From Monday on.
    Week,
    Month,
    Quarter,
    Year,
}

/// Statistics have no options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsRequest {}
