//! This crate's vector leg, as the bench uses it: the only file here that names its types.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use millpond::definition::{Metric, Quantization};
use millpond::index::Slot;
use millpond::index::vector::{Effort, SharedVector, VectorSettings, VectorState, VectorWriter};
use roaring::RoaringBitmap;

use crate::LIMIT;

/// The write side, and what wakes it when a graph is finished.
pub struct Leg {
    writer: VectorWriter,
    woken: Receiver<()>,
}

/// What a leg keeps of its vectors, and where.
#[derive(Clone, Copy)]
pub struct Kept {
    pub quantization: Quantization,
    /// The vectors themselves are on disk, not in memory.
    pub on_disk: bool,
}

impl Kept {
    /// What a node with a data directory keeps by default.
    pub const USUAL: Kept = Kept {
        quantization: Quantization::Int16,
        on_disk: true,
    };
}

/// What a reader sees: one state, which does not change.
#[derive(Clone)]
pub struct View(Arc<VectorState>);

impl Leg {
    /// A leg with the settings that a dataflow file has by default.
    pub fn new(dimensions: usize) -> Leg {
        Leg::kept(dimensions, Kept::USUAL)
    }

    /// The same, but for what it keeps of its vectors, and where.
    pub fn kept(dimensions: usize, kept: Kept) -> Leg {
        let (wake, woken) = channel();
        let wake = Arc::new(move || {
            // The part of the bench may be over.
            let _ = wake.send(());
        });
        let settings = VectorSettings {
            quantization: kept.quantization,
            on_disk: kept.on_disk.then(std::env::temp_dir),
            ..VectorSettings::new(dimensions, Metric::Cosine)
        };
        Leg {
            writer: VectorWriter::new(settings, wake),
            woken,
        }
    }

    /// One tick: each slot gets its vector, or none. Graphs that are finished enter.
    pub fn tick<'a>(&mut self, changes: impl IntoIterator<Item = (u32, Option<&'a [f32]>)>) {
        let changes: Vec<_> = changes
            .into_iter()
            .map(|(slot, vector)| (Slot(slot), vector.map(SharedVector::from)))
            .collect();
        self.writer.apply(&changes);
    }

    /// Waits until all that is due is in graphs.
    pub fn settle(&mut self) {
        while self.view().0.unbuilt() > 0 {
            self.woken.recv().expect("the thread that builds lives");
            if self.writer.has_finished_work() {
                self.tick([]);
            }
        }
    }

    pub fn view(&self) -> View {
        View(self.writer.state())
    }
}

impl View {
    /// The slots of the best hits, best first; `ef` is the width of the search, or left to the leg.
    pub fn search(&self, query: &[f32], ef: Option<usize>, filter: Option<&RoaringBitmap>) -> Vec<u32> {
        let hits = self
            .0
            .search(query, LIMIT, ef.map_or(Effort::Usual, Effort::Width), filter);
        hits.into_iter().map(|hit| hit.slot.0).collect()
    }
}
