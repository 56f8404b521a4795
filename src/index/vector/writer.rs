//! The write side: takes in a tick's vectors, and a graph when it has been built.

use std::sync::Arc;

use super::background::{Background, Built, Job};
use super::census::Census;
use super::linked::Linked;
use super::marks::Marks;
use super::state::VectorState;
use super::stored::{self, StoredVectors};
use super::table::{Entry, Table};
use super::young::Young;
use super::{Quantization, SharedVector, Slot, VectorSettings};
use crate::floats::Spool;
use crate::storage::{Damaged, PartReader};

/// The write side of one shard; lives on its worker.
pub struct VectorWriter {
    /// What the next state is cloned from.
    next: VectorState,
    published: Arc<VectorState>,
    census: Census,
    /// Without graphs, or if the thread did not start, `None`.
    background: Option<Background>,
    /// The graph that is being built.
    building: Option<Building>,
    /// Where a vector is read to.
    room: Vec<f32>,
    /// As long as it is there, vectors go to disk.
    _spool: Option<Spool>,
}

#[derive(Default)]
struct Building {
    /// Young blocks, from the first, that it is built of.
    blocks: usize,
    /// What has died since it was begun.
    died: Vec<(Slot, u64)>,
}

impl VectorWriter {
    /// `wake` is called, from another thread, when a graph has been built and waits for the next `apply`.
    pub fn new(mut settings: VectorSettings, wake: Arc<dyn Fn() + Send + Sync>) -> VectorWriter {
        if settings.reduce.is_some() && settings.quantization == Quantization::Int16 {
            settings.quantization = Quantization::Int8;
        }
        let background = settings
            .graphs
            .then(|| Background::start(settings.clone(), wake))
            .and_then(|started| {
                started
                    .inspect_err(|error| tracing::error!(%error, "no thread for graphs: vectors are scanned"))
                    .ok()
            });
        let spool = settings.on_disk.as_ref().and_then(|folder| {
            let begun = Spool::begin(settings.dimensions, folder);
            begun
                .inspect_err(|error| {
                    tracing::warn!(%error, folder = %folder.display(), "no file for vectors: they stay in memory");
                })
                .ok()
        });
        let next = VectorState {
            settings,
            moment: 0,
            table: Table::default(),
            young: Young::default(),
            graph: None,
            in_graph: 0,
            unbuilt: 0,
        };
        let published = Arc::new(next.clone());
        VectorWriter {
            next,
            published,
            census: Census::default(),
            background,
            building: None,
            room: Vec::new(),
            _spool: spool,
        }
    }

    /// The write side of a stored leg: with its graph, and as yet without a vector.
    ///
    /// `next_stamp` is larger than that of any vector that will be restored, and all have lower slots than `slots`.
    pub(in crate::index) fn open(
        settings: VectorSettings,
        wake: Arc<dyn Fn() + Send + Sync>,
        stored: &StoredVectors,
        next_stamp: u64,
        slots: usize,
        parts: &PartReader<'_>,
    ) -> Result<VectorWriter, Damaged> {
        let mut writer = VectorWriter::new(settings, wake);
        if writer.next.settings.graphs
            && let Some(graph) = stored::open(&writer.next.settings, stored, slots, parts)?
        {
            let marks = Arc::new(Marks::dead(graph.rows().len(), 0));
            writer.next.young.draw_by(graph.frame());
            writer.next.graph = Some(Linked { graph, marks });
        }
        let stamps = writer.graph_row_stamps().map(|(_, stamp)| stamp);
        let graph_end = stamps.max().map_or(0, |newest| newest.saturating_add(1));
        writer.census = Census::resume(next_stamp.max(graph_end), graph_end);
        writer.published = Arc::new(writer.next.clone());
        Ok(writer)
    }

    /// Every row of the graph, current or not.
    pub(in crate::index) fn graph_row_stamps(&self) -> impl Iterator<Item = (Slot, u64)> + '_ {
        self.next.graph.iter().flat_map(|linked| {
            let rows = linked.graph.rows();
            (0..rows.len()).map(|row| (rows.slot(row), rows.stamp(row)))
        })
    }

    /// Puts back the vector that an empty slot had. `in_graph` says whether the graph has its row.
    ///
    /// Shown from the next `apply` on.
    pub(in crate::index) fn restore(
        &mut self,
        slot: Slot,
        stamp: u64,
        vector: &SharedVector,
        in_graph: bool,
    ) {
        let row = self.next.graph.as_ref().filter(|_| in_graph).and_then(|linked| {
            let row = linked.graph.row_of(slot)?;
            Some((linked, row as usize))
        });
        match row {
            Some((linked, row))
                if linked.graph.rows().stamp(row) == stamp
                    && self.next.settings.fits(vector.read(&mut self.room)) =>
            {
                linked.marks.revive(row);
                self.census.restore(stamp);
                let vector = vector.clone();
                self.next.table.set(slot, Some(Entry { stamp, vector }));
            }
            // It was young, or no state of ours was stored so: it is taken in like a new one.
            _ => self.set(slot, Some(vector)),
        }
    }

    /// Takes in a finished graph, then the changes: (slot, vector that shall be there). A slot occurs once.
    ///
    /// A vector of other dimensions, or with a number that is not finite, is refused: its slot has none then.
    pub fn apply(&mut self, changes: &[(Slot, Option<SharedVector>)]) {
        self.next.moment += 1;
        self.take_finished();
        for (slot, vector) in changes {
            self.set(*slot, vector.as_ref());
        }
        self.build_if_due();
        self.next.unbuilt = match self.background {
            Some(_) => self.census.unbuilt(self.graph_rows()),
            None => 0,
        };
        self.next.in_graph = self.census.in_graph();
        self.published = Arc::new(self.next.clone());
    }

    /// Whether a finished graph waits for an `apply`, even an empty one.
    pub fn has_finished_work(&self) -> bool {
        self.background.as_ref().is_some_and(Background::has_outcome)
    }

    pub fn state(&self) -> Arc<VectorState> {
        self.published.clone()
    }

    fn set(&mut self, slot: Slot, vector: Option<&SharedVector>) {
        let vector = vector.filter(|vector| {
            let fits = self.next.settings.fits(vector.read(&mut self.room));
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
        let VectorState {
            settings,
            moment,
            young,
            ..
        } = &mut self.next;
        if let Some(Entry { stamp, vector }) = &entry
            && settings.graphs
        {
            let closed = self.building.as_ref().map_or(0, |building| building.blocks);
            young.push(
                vector.read(&mut self.room),
                settings,
                (slot, *stamp),
                *moment,
                closed,
            );
        }
        if let Some(stamp) = self.next.table.set(slot, entry) {
            self.kill(slot, stamp);
            self.census.remove(stamp);
        }
    }

    /// Marks the row of a vector that is no longer current.
    fn kill(&mut self, slot: Slot, stamp: u64) {
        if let Some(building) = &mut self.building
            && self.census.is_in_building(stamp)
        {
            building.died.push((slot, stamp));
        }
        if self.census.is_in_graph(stamp) {
            if let Some(linked) = &self.next.graph {
                linked.kill(slot, stamp, self.next.moment);
            }
        } else {
            self.next.young.kill(stamp, self.next.moment);
        }
    }

    /// Rows of the graph, dead or alive.
    fn graph_rows(&self) -> usize {
        let linked = self.next.graph.as_ref();
        linked.map_or(0, |linked| linked.graph.rows().len())
    }

    fn build_if_due(&mut self) {
        let rows = self.graph_rows();
        let Some(background) = &self.background else {
            return;
        };
        if self.building.is_some() || !(self.census.are_young_due(rows) || self.census.is_graph_due(rows)) {
            return;
        }
        let VectorState {
            young,
            graph,
            table,
            moment,
            ..
        } = &self.next;
        if background.begin(Job {
            young: young.clone(),
            graph: graph.clone(),
            table: table.clone(),
            moment: *moment,
        }) {
            self.building = Some(Building {
                blocks: young.len(),
                died: Vec::new(),
            });
            self.census.build_begins();
        }
    }

    /// Puts a finished graph in the place of what it was built of.
    fn take_finished(&mut self) {
        let Some(outcome) = self.background.as_ref().and_then(Background::outcome) else {
            return;
        };
        let Building { blocks, died } = self.building.take().unwrap_or_default();
        match outcome {
            Some(Built(linked)) => {
                if let Some(linked) = &linked {
                    for (slot, stamp) in died {
                        linked.kill(slot, stamp, self.next.moment);
                    }
                }
                self.next.young.drop_first(blocks);
                let frame = linked.as_ref().and_then(|linked| linked.graph.frame());
                self.next.young.draw_by(frame);
                self.next.graph = linked;
                self.census.build_succeeds();
            }
            None => self.census.build_fails(),
        }
    }
}
