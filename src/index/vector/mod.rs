//! The vector leg: a young part that is scanned exactly, and frozen graphs that hnsw_rs built.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Slot;
use crate::definition::Metric;

/// A vector as the index holds it, shared with the embedding lane.
pub type SharedVector = Arc<[f32]>;

#[derive(Clone, Debug)]
pub struct VectorSettings {
    pub dimensions: usize,
    pub metric: Metric,
    /// Without graphs every search is exact: for replays.
    pub graphs: bool,
}

/// The write side of one shard; lives on its worker.
pub struct VectorWriter {}

impl VectorWriter {
    /// `wake` is called, from another thread, when a graph has been built and waits for the next `apply`.
    pub fn new(settings: VectorSettings, wake: Arc<dyn Fn() + Send + Sync>) -> VectorWriter {
        let _ = (settings, wake);
        todo!()
    }

    /// Takes in finished graphs, then the changes: (slot, vector that shall be there). A slot occurs once.
    pub fn apply(&mut self, changes: &[(Slot, Option<SharedVector>)]) {
        let _ = changes;
        todo!()
    }

    /// Whether finished graphs wait for an `apply`, even an empty one.
    pub fn has_finished_work(&self) -> bool {
        todo!()
    }

    pub fn state(&self) -> Arc<VectorState> {
        todo!()
    }
}

/// The read side: one shard's vectors at one tick. Immutable.
pub struct VectorState {}

/// A hit of the vector leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VectorHit {
    pub slot: Slot,
    /// Cosine, dot product, or minus the squared distance; in full precision.
    pub score: f32,
}

impl VectorState {
    /// Vectors that are searchable.
    pub fn len(&self) -> usize {
        todo!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Searchable vectors that are not in a graph yet and due to be.
    pub fn unbuilt(&self) -> usize {
        todo!()
    }

    /// The `limit` vectors nearest to `query` among the slots of `filter`, best first, ties by slot.
    ///
    /// Never fewer than exist up to `limit`. `ef` is the width of the graph search; `exact` scans everything.
    pub fn search(
        &self,
        query: &[f32],
        limit: usize,
        ef: Option<usize>,
        filter: Option<&RoaringBitmap>,
        exact: bool,
    ) -> Vec<VectorHit> {
        let _ = (query, limit, ef, filter, exact);
        todo!()
    }
}
