//! The vector leg: a young part that is scanned, and a frozen graph.
//!
//! [`VectorWriter`] takes in a tick's vectors, [`VectorState`] is what a reader sees of them. In reading order:
//!
//! - `table`: which vector each slot has now; what is exact comes from here alone
//! - `encode`, `codes`, `kernel`: codes of the vectors, of bytes or f16, which choose candidates
//! - `marks`: which rows of codes are dead, at which moment
//! - `young`: the rows that are in no graph yet
//! - `graph`, `links`, `twins`, `sketch`: a frozen graph, and `beam`, the search in it
//! - `reduce`, `pca`: rows of a graph with fewer dimensions than their vectors
//! - `calibrate`, `way`: how wide a search must be, and how a filter is honoured
//! - `linked`, `scan`: a graph and its dead rows, searched along links or row by row
//! - `state`: young part and graph searched, candidates scored (`score`) by their vectors or what rows keep (`original`)
//! - `writer`, `census`: what a tick changes, and when a graph is due
//! - `background`, `gather`, `build`: the thread that builds it out of the last one and the young rows
//! - `reference`: hnsw_rs in its place
//! - `stored`, `layout`: the graph on disk
//!
//! A vector's floats are shared with whoever made them and never copied; where there are many (`crate::floats`), they may
//! lie on disk, and are read from there without becoming resident.

mod table;
mod column;
mod kernel;
mod nearest;
mod encode;
mod codes;
mod score;
mod original;
mod marks;
mod young;
mod links;
mod pool;
mod beam;
mod twins;
mod sketch;
mod pca;
mod reduce;
mod graph;
mod calibrate;
mod way;
mod linked;
mod scan;
mod state;
mod census;
mod threads;
mod build;
mod gather;
mod reference;
mod background;
mod layout;
mod stored;
mod writer;

pub use build::GraphSettings;
pub use state::{VectorHit, VectorState};
pub use stored::StoredVectors;
pub(super) use stored::store;
pub use writer::VectorWriter;

use std::path::PathBuf;

use super::Slot;
use crate::definition::{Builder, Metric, Quantization, Reduce};

pub use crate::definition::Effort;

/// A vector as the index holds it, shared with the embedding lane.
pub type SharedVector = crate::change::Vector;

#[derive(Clone, Debug)]
pub struct VectorSettings {
    pub dimensions: usize,
    pub metric: Metric,
    /// Without graphs every search is exact: for replays.
    pub graphs: bool,
    pub graph: GraphSettings,
    pub builder: Builder,
    /// Of searches that do not say.
    pub effort: Effort,
    /// What rows keep of each component; with `reduce`, `Int16` is `Int8`.
    pub quantization: Quantization,
    /// The folder on whose disk vectors are, rather than in memory.
    pub on_disk: Option<PathBuf>,
    /// How rows of the graph have fewer dimensions, at least 2, than the vectors.
    pub reduce: Option<Reduce>,
}

impl VectorSettings {
    pub fn new(dimensions: usize, metric: Metric) -> VectorSettings {
        VectorSettings {
            dimensions,
            metric,
            graphs: true,
            graph: GraphSettings::default(),
            builder: Builder::default(),
            effort: Effort::default(),
            quantization: Quantization::default(),
            on_disk: None,
            reduce: None,
        }
    }
}
