//! The vector leg: a young part that is scanned, and frozen graphs that hnsw_rs built.
//!
//! [`VectorWriter`] takes in a tick's vectors, [`VectorState`] is what a reader sees of them. In reading order:
//!
//! - `table`: which vector each slot has now; what is exact comes from here alone
//! - `codes`, `kernel`: int8 codes of the vectors, which choose candidates
//! - `graph`: a frozen graph over codes, and the search in it
//! - `state`: young part and graphs searched, candidates scored (`score`) by their vectors
//! - `writer`, `census`: what a tick changes, and when a graph is due
//! - `background`, `builder`: the thread that builds it, through hnsw_rs
//! - `stored`, `layout`: the graphs on disk
//!
//! A vector's floats are shared with whoever made them and never copied.

mod table;
mod kernel;
mod codes;
mod nearest;
mod score;
mod graph;
mod state;
mod census;
mod builder;
mod background;
mod writer;
mod layout;
mod stored;

pub use state::{VectorHit, VectorState};
pub use stored::StoredVectors;
pub(super) use stored::store;
pub use writer::VectorWriter;

use super::Slot;
use crate::definition::Metric;

/// A vector as the index holds it, shared with the embedding lane.
pub type SharedVector = crate::change::Vector;

#[derive(Clone, Debug)]
pub struct VectorSettings {
    pub dimensions: usize,
    pub metric: Metric,
    /// Without graphs every search is exact: for replays.
    pub graphs: bool,
}
