//! The write side of one vector field in a shard: what each document's vector is, and how it stands with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::documents::Slot;
use super::snapshot::{LegState, VectorStatus};
use super::vector::{SharedVector, VectorSettings, VectorWriter};
use crate::change::Tick;
use crate::definition::Metric;

/// What is known of a document's vector.
#[derive(Clone, Debug)]
pub enum DocumentVector {
    /// There is nothing to embed.
    Absent,
    /// It is being computed: until then the vector leg keeps the one before.
    Pending,
    /// It will never be there.
    Failed,
    Known(SharedVector),
}

/// What is known of a document's vectors, by the number of the vector field; each occurs at most once.
pub type DocumentVectors = Vec<(u16, DocumentVector)>;

/// One vector field of a shard.
pub(super) struct Leg {
    pub writer: VectorWriter,
    /// What is shown, by slot; nothing beyond the end.
    shown: Vec<Option<SharedVector>>,
    statuses: imbl::Vector<VectorStatus>,
    pending: Pending,
    /// What the tick does so far. A slot occurs once.
    changes: Vec<(Slot, Option<SharedVector>)>,
    /// It shows nothing, whatever comes.
    closed: bool,
}

impl Leg {
    pub fn new(writer: VectorWriter) -> Leg {
        Leg {
            writer,
            shown: Vec::new(),
            statuses: imbl::Vector::new(),
            pending: Pending::default(),
            changes: Vec::new(),
            closed: false,
        }
    }

    /// In the place of one whose vectors nobody wants any more.
    pub fn closed() -> Leg {
        let settings = VectorSettings {
            graphs: false,
            ..VectorSettings::new(0, Metric::Cosine)
        };
        Leg {
            closed: true,
            ..Leg::new(VectorWriter::new(settings, Arc::new(|| {})))
        }
    }

    /// Takes in what is known of a document's vector now.
    pub fn put(&mut self, tick: Tick, slot: Slot, vector: DocumentVector) {
        if self.closed {
            return;
        }
        let shown = self.shown_at(slot);
        let (wanted, status) = match vector {
            DocumentVector::Pending => {
                let status = match shown {
                    Some(_) => VectorStatus::Stale,
                    None => VectorStatus::Pending,
                };
                self.pending.begin(slot, tick);
                return self.set_status(slot, status);
            }
            DocumentVector::Known(vector) => (Some(vector), VectorStatus::Current),
            DocumentVector::Absent => (None, VectorStatus::Absent),
            DocumentVector::Failed => (None, VectorStatus::Failed),
        };
        // The same vector again leaves the graph alone.
        if *shown != wanted {
            shown.clone_from(&wanted);
            self.changes.push((slot, wanted));
        }
        self.pending.end(slot);
        self.set_status(slot, status);
    }

    /// The document in a slot is gone.
    pub fn remove(&mut self, slot: Slot) {
        if self.closed {
            return;
        }
        if self.shown_at(slot).take().is_some() {
            self.changes.push((slot, None));
        }
        self.pending.end(slot);
        self.set_status(slot, VectorStatus::Absent);
    }

    /// Puts back what was shown before a restart, as the writer has it already.
    pub fn restore(&mut self, slot: Slot, stamp: u64, vector: SharedVector, in_graph: bool) {
        self.writer.restore(slot, stamp, &vector, in_graph);
        *self.shown_at(slot) = Some(vector);
    }

    /// Hands the tick's changes to the graph's writer.
    pub fn apply(&mut self) {
        self.writer.apply(&self.changes);
        self.changes.clear();
    }

    pub fn state(&self) -> LegState {
        LegState {
            vectors: self.writer.state(),
            pending: self.pending.since.len(),
            pending_since: self.pending.oldest(),
            statuses: self.statuses.clone(),
        }
    }

    /// Documents without vectors take up nothing.
    pub fn set_status(&mut self, slot: Slot, status: VectorStatus) {
        let place = slot.0 as usize;
        if self.statuses.get(place).copied().unwrap_or_default() == status {
            return;
        }
        while self.statuses.len() <= place {
            self.statuses.push_back(VectorStatus::Absent);
        }
        self.statuses.set(place, status);
    }

    fn shown_at(&mut self, slot: Slot) -> &mut Option<SharedVector> {
        let place = slot.0 as usize;
        if place >= self.shown.len() {
            self.shown.resize(place + 1, None);
        }
        &mut self.shown[place]
    }
}

/// Which documents wait for a vector, and since when.
#[derive(Default)]
struct Pending {
    since: HashMap<Slot, Tick>,
    ticks: BTreeMap<Tick, usize>,
}

impl Pending {
    /// A document that waits already goes on waiting since then: who waits for the older tick sees a newer text.
    fn begin(&mut self, slot: Slot, tick: Tick) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.since.entry(slot) {
            entry.insert(tick);
            *self.ticks.entry(tick).or_default() += 1;
        }
    }

    fn end(&mut self, slot: Slot) {
        let Some(tick) = self.since.remove(&slot) else {
            return;
        };
        if self.since.is_empty() {
            // A load has made room for as many as there are.
            self.since.shrink_to_fit();
        }
        if let Some(waiting) = self.ticks.get_mut(&tick) {
            *waiting -= 1;
            if *waiting == 0 {
                self.ticks.remove(&tick);
            }
        }
    }

    fn oldest(&self) -> Option<Tick> {
        self.ticks.first_key_value().map(|(tick, _)| *tick)
    }
}
