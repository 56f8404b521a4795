//! The write side: takes in a tick's vectors, and graphs when they have been built.

use std::sync::Arc;

use super::background::{Background, Built, Job};
use super::census::Census;
use super::codes::Rows;
use super::graph::Graph;
use super::state::VectorState;
use super::stored::{self, StoredVectors};
use super::table::{Entry, Table};
use super::{SharedVector, Slot, VectorSettings};
use crate::storage::{Damaged, PartReader};

/// Rows of a young block. The last block is copied in each tick that adds to it.
const BLOCK_ROWS: usize = 256;

/// The write side of one shard; lives on its worker.
pub struct VectorWriter {
    /// What the next state is cloned from.
    next: VectorState,
    published: Arc<VectorState>,
    census: Census,
    /// Without graphs, or if the thread did not start, `None`.
    background: Option<Background>,
    /// Young blocks, from the first, that a graph is being built of; `None` if none is.
    building: Option<usize>,
}

impl VectorWriter {
    /// `wake` is called, from another thread, when a graph has been built and waits for the next `apply`.
    pub fn new(settings: VectorSettings, wake: Arc<dyn Fn() + Send + Sync>) -> VectorWriter {
        let background = settings
            .graphs
            .then(|| Background::start(settings.metric, wake))
            .and_then(|started| {
                started
                    .inspect_err(|error| tracing::error!(%error, "no thread for graphs: vectors are scanned"))
                    .ok()
            });
        let next = VectorState {
            settings,
            table: Table::default(),
            young: imbl::Vector::new(),
            graphs: Vec::new(),
            unbuilt: 0,
        };
        let published = Arc::new(next.clone());
        VectorWriter {
            next,
            published,
            census: Census::default(),
            background,
            building: None,
        }
    }

    /// The write side of a stored leg: with its graphs, and as yet without a vector.
    ///
    /// `next_stamp` is larger than that of any vector that will be restored.
    pub(in crate::index) fn open(
        settings: VectorSettings,
        wake: Arc<dyn Fn() + Send + Sync>,
        stored: &StoredVectors,
        next_stamp: u64,
        parts: &PartReader<'_>,
    ) -> Result<VectorWriter, Damaged> {
        let mut writer = VectorWriter::new(settings, wake);
        if writer.next.settings.graphs {
            writer.next.graphs = stored::open(&writer.next.settings, stored, parts)?;
        }
        let stamps = writer.graph_row_stamps().map(|(_, stamp)| stamp);
        let graphs_end = stamps.max().map_or(0, |newest| newest.saturating_add(1));
        writer.census = Census::resume(next_stamp.max(graphs_end), graphs_end);
        writer.published = Arc::new(writer.next.clone());
        Ok(writer)
    }

    /// Every row of a graph, current or not.
    pub(in crate::index) fn graph_row_stamps(&self) -> impl Iterator<Item = (Slot, u64)> + '_ {
        self.next.graphs.iter().flat_map(|graph| {
            let rows = graph.rows();
            rows.slots().iter().copied().zip(rows.stamps().iter().copied())
        })
    }

    /// Puts back the vector that an empty slot had. `in_graph` says whether a graph has its row.
    ///
    /// Shown from the next `apply` on.
    pub(in crate::index) fn restore(
        &mut self,
        slot: Slot,
        stamp: u64,
        vector: &SharedVector,
        in_graph: bool,
    ) {
        if in_graph != self.census.is_in_graphs(stamp) || vector.len() != self.next.settings.dimensions {
            // No state of ours was stored so: it is taken in like a new one.
            return self.set(slot, Some(vector));
        }
        if !in_graph && self.next.settings.graphs {
            self.append(slot, stamp, vector);
        }
        self.census.restore(stamp);
        let vector = vector.clone();
        self.next.table.set(slot, Some(Entry { stamp, vector }));
    }

    /// Takes in finished graphs, then the changes: (slot, vector that shall be there). A slot occurs once.
    ///
    /// A vector of other dimensions, or with a number that is not finite, is refused: its slot has none then.
    pub fn apply(&mut self, changes: &[(Slot, Option<SharedVector>)]) {
        self.take_finished();
        for (slot, vector) in changes {
            self.set(*slot, vector.as_ref());
        }
        self.build_if_due();
        self.next.unbuilt = match self.background {
            Some(_) => self.census.unbuilt(self.graph_rows()),
            None => 0,
        };
        self.published = Arc::new(self.next.clone());
    }

    /// Whether finished graphs wait for an `apply`, even an empty one.
    pub fn has_finished_work(&self) -> bool {
        self.background.as_ref().is_some_and(Background::has_outcome)
    }

    pub fn state(&self) -> Arc<VectorState> {
        self.published.clone()
    }

    fn set(&mut self, slot: Slot, vector: Option<&SharedVector>) {
        let vector = vector.filter(|vector| {
            let fits = self.next.settings.fits(vector);
            if !fits {
                tracing::error!(
                    slot = slot.0,
                    dimensions = vector.len(),
                    "refused a vector that does not fit the index"
                );
            }
            fits
        });
        let entry = vector.map(|vector| Entry {
            stamp: self.census.add(),
            vector: vector.clone(),
        });
        if let Some(Entry { stamp, vector }) = &entry
            && self.next.settings.graphs
        {
            self.append(slot, *stamp, vector);
        }
        if let Some(stamp) = self.next.table.set(slot, entry) {
            self.census.remove(stamp);
        }
    }

    /// Adds a row to the last young block, or to a new one if that is full or about to become part of a graph.
    fn append(&mut self, slot: Slot, stamp: u64, vector: &[f32]) {
        let VectorSettings {
            dimensions, metric, ..
        } = self.next.settings;
        let young = &mut self.next.young;
        let is_open = young.len() > self.building.unwrap_or(0);
        match young.back_mut() {
            Some(block) if is_open && block.len() < BLOCK_ROWS => {
                if Arc::get_mut(block).is_none() {
                    let mut copy = Rows::with_capacity(dimensions, BLOCK_ROWS);
                    copy.extend(block);
                    *block = Arc::new(copy);
                }
                if let Some(block) = Arc::get_mut(block) {
                    block.push(vector, metric, slot, stamp);
                }
            }
            _ => {
                let mut block = Rows::with_capacity(dimensions, BLOCK_ROWS);
                block.push(vector, metric, slot, stamp);
                young.push_back(Arc::new(block));
            }
        }
    }

    /// Rows of all graphs, dead or alive.
    fn graph_rows(&self) -> usize {
        self.next.graphs.iter().map(|graph| graph.rows().len()).sum()
    }

    fn build_if_due(&mut self) {
        let rows = self.graph_rows();
        let Some(background) = &self.background else {
            return;
        };
        if self.building.is_some() || !(self.census.are_young_due(rows) || self.census.are_graphs_due(rows)) {
            return;
        }
        let VectorState {
            young, graphs, table, ..
        } = &self.next;
        if background.begin(Job {
            young: young.clone(),
            graphs: graphs.clone(),
            table: table.clone(),
        }) {
            self.building = Some(young.len());
            self.census.build_begins();
        }
    }

    /// Puts a finished graph in the place of what it was built of.
    fn take_finished(&mut self) {
        let Some(outcome) = self.background.as_ref().and_then(Background::outcome) else {
            return;
        };
        let blocks = self.building.take().unwrap_or(0);
        match outcome {
            Some(Built { replaces, graph }) => {
                let is_replaced =
                    |graph: &Arc<Graph>| replaces.iter().any(|replaced| Arc::ptr_eq(replaced, graph));
                self.next.graphs.retain(|graph| !is_replaced(graph));
                self.next.graphs.extend(graph);
                self.next.young = self.next.young.split_off(blocks);
                self.census.build_succeeds();
            }
            None => self.census.build_fails(),
        }
    }
}
