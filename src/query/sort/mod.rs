//! The documents of a result in the order of their fields.

mod request;
mod key;
mod after;
mod column;
mod order;

pub(super) use after::After;
pub use after::SortValue;
pub(super) use key::{SortKey, plan};
pub(super) use order::{Scores, sorted};
pub use request::{
    DistanceRequest, SortHow, SortKeyRequest, SortMissing, SortOptions, SortOrder, SortRequest,
};
