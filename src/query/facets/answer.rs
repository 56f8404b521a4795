//! What was counted, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;

use super::request::RangeBound;

/// What one facet has counted. `missing`: documents of the result that have no value in the field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum FacetAnswer {
    Terms {
        terms: Vec<TermCount>,
        /// How many different values the result has.
        values: usize,
        /// The sum of the counts of values that are not shown.
        others: u64,
        missing: u64,
    },
    Ranges {
        ranges: Vec<RangeCount>,
        missing: u64,
    },
    /// Intervals without a document are left out.
    Histogram {
        histogram: Vec<Bucket>,
        missing: u64,
    },
    /// Intervals without a document are left out.
    DateHistogram {
        date_histogram: Vec<DateBucket>,
        missing: u64,
    },
    Stats {
        /// Values, of which a document may have several.
        count: u64,
        /// Absent where there is no value, like the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<f64>)]
        min: Option<Number>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<f64>)]
        max: Option<Number>,
        /// Exact, and then rounded once: it does not depend on the order of adding.
        #[schema(value_type = f64)]
        sum: Number,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mean: Option<f64>,
        missing: u64,
    },
    /// The same of a date, which adds up to nothing.
    DateStats {
        count: u64,
        /// ISO 8601, in UTC, like the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<String>,
        /// To the microsecond, rounded down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mean: Option<String>,
        missing: u64,
    },
}

/// A value, and in how many documents it occurs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TermCount {
    /// A text, a number or a boolean, as the field is; a date is text in ISO 8601.
    pub value: Value,
    pub count: u64,
}

/// A range as it was asked for, and how many documents have a value inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RangeCount {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RangeBound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RangeBound>,
    pub count: u64,
}

/// An interval by its least number, and how many documents have a value inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    pub from: f64,
    pub count: u64,
}

/// An interval of the calendar by its beginning, and how many documents have a value inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DateBucket {
    /// ISO 8601, in UTC.
    pub from: String,
    pub count: u64,
}
