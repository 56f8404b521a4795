//! SQL text -> [`Plan`](super::Plan) and [`Expression`], by the `sqlparser` crate.

use super::{Expression, Fault};

/// Parses the query port's `filter`: a boolean expression over columns.
pub fn parse_filter(text: &str) -> Result<Expression, Fault> {
    let _ = text;
    todo!()
}
