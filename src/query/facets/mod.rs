//! Counts over the whole result of a search: by value, range or interval, and what numbers add up to.
//!
//! Every count is exact, over all documents of the result and not over the page. A document of several values counts once
//! for each that is different.

mod request;
mod answer;
mod plan;
mod tally;
mod terms;
mod numbers;
mod calendar;
mod sum;

pub use answer::{Bucket, DateBucket, FacetAnswer, RangeCount, TermCount};
pub(super) use plan::{Facet, plan};
pub use request::{
    CalendarInterval, DateHistogramRequest, FacetRequest, HistogramRequest, RangeBound, RangeRequest,
    StatsRequest, TermsOrder, TermsRequest,
};
pub(super) use tally::tally;
