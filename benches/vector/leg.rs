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
#[derive(Clone, Copy, Default)]
pub struct Kept {
    /// Rows of the graph are of f16, not int8.
    pub halves: bool,
    /// The vectors themselves are on disk, not in memory.
    pub on_disk: bool,
}

/// What a reader sees: one state, which does not change.
#[derive(Clone)]
pub struct View(Arc<VectorState>);

impl Leg {
    /// A leg with the settings that a dataflow file has by default.
    pub fn new(dimensions: usize) -> Leg {
        Leg::kept(dimensions, Kept::default())
    }

    /// The same, but for what it keeps of its vectors, and where.
    pub fn kept(dimensions: usize, kept: Kept) -> Leg {
        let (wake, woken) = channel();
        let wake = Arc::new(move || {
            // The part of the bench may be over.
            let _ = wake.send(());
        });
        let settings = VectorSettings {
            quantization: if kept.halves {
                Quantization::F16
            } else {
                Quantization::Int8
            },
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
