//! The `filter` of a request, as SQL or as JSON -> one expression over the fields of the index.

mod json;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Clock, ErrorKind, QueryError};
use crate::definition::{Expression, Field, FilterFault, Filters};

/// The longest SQL filter: room for a list of thousands of values.
const SQL_BYTES_MAX: usize = 64 << 10;

/// Which documents a search may find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "SQL text, or an object of one operator")]
pub enum FilterRequest {
    /// A boolean SQL expression: `category = 'shoes' AND price < 50`.
    Sql(String),
    /// One operator and what it takes: `{"and": [{"eq": {"category": "shoes"}}, {"range": {"price": {"lt": 50}}}]}`. There are
    /// `and`, `or`, `not`; `eq`, `ne`, `in`, `contains_all`, `range`, `exists`, `prefix`; `geo_distance` and `geo_box`.
    /// SQL text may stand for a condition inside.
    Json(Map<String, Value>),
}

impl From<&str> for FilterRequest {
    fn from(sql: &str) -> FilterRequest {
        FilterRequest::Sql(sql.to_owned())
    }
}

impl From<String> for FilterRequest {
    fn from(sql: String) -> FilterRequest {
        FilterRequest::Sql(sql)
    }
}

/// The filter that is asked for.
///
/// # Errors
/// `unknown_field` names what is no field of the index, `bad_filter` all else that is wrong.
pub(super) fn plan(asked: &FilterRequest, fields: &[Field], clock: Clock) -> Result<Expression, QueryError> {
    let filters = Filters {
        fields,
        now: clock.now(),
    };
    let filter = match asked {
        FilterRequest::Sql(text) => sql(text, &filters),
        FilterRequest::Json(condition) => json::filter(condition, &filters),
    };
    filter.map_err(fault)
}

/// What is wrong with a filter, as a search says it.
pub(super) fn fault(fault: FilterFault) -> QueryError {
    QueryError {
        code: match fault {
            FilterFault::UnknownField(_) => "unknown_field",
            FilterFault::Wrong(_) => "bad_filter",
        },
        message: fault.fault().message.clone(),
        hint: fault.fault().hint.clone(),
        kind: ErrorKind::Request,
    }
}

fn sql(text: &str, filters: &Filters<'_>) -> Result<Expression, FilterFault> {
    if text.len() > SQL_BYTES_MAX {
        return Err(FilterFault::wrong(
            format!("`filter` has {} bytes, more than {SQL_BYTES_MAX}", text.len()),
            "select the documents by fewer values",
        ));
    }
    filters.parse(text)
}

impl Clock {
    /// Microseconds since 1970. Whole seconds: searches within one share the answers to its filters.
    fn now(self) -> Option<i64> {
        match self {
            Clock::Replay => None,
            Clock::Node => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
                i64::try_from(since.as_secs()).ok()?.checked_mul(1_000_000)
            }
        }
    }
}
