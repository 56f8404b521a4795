//! The write side of one vector field in a shard: what each document's vector is, and how it stands with it.

use super::documents::Slot;
use super::snapshot::{LegState, VectorStatus};
use super::vector::{SharedVector, VectorWriter};
use super::waiting::Waiting;
use crate::change::Tick;

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

impl DocumentVector {
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, DocumentVector::Pending)
    }
}

/// What is known of a document's vectors, by the number of the vector field; each occurs at most once.
pub type DocumentVectors = Vec<(u16, DocumentVector)>;

/// One vector field of a shard.
pub(super) struct Leg {
    pub writer: VectorWriter,
    /// What is shown, by slot; nothing beyond the end.
    shown: Vec<Option<SharedVector>>,
    statuses: imbl::Vector<VectorStatus>,
    pending: Waiting<Slot>,
    stale: imbl::OrdSet<Slot>,
    failed: usize,
    /// What the tick does so far. A slot occurs once.
    changes: Vec<(Slot, Option<SharedVector>)>,
}

impl Leg {
    pub fn new(writer: VectorWriter) -> Leg {
        Leg {
            writer,
            shown: Vec::new(),
            statuses: imbl::Vector::new(),
            pending: Waiting::default(),
            stale: imbl::OrdSet::new(),
            failed: 0,
            changes: Vec::new(),
        }
    }

    /// Takes in what is known of a document's vector now.
    pub fn put(&mut self, tick: Tick, slot: Slot, vector: DocumentVector) {
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
        self.pending.end(&slot);
        self.set_status(slot, status);
    }

    /// The document in a slot is gone.
    pub fn remove(&mut self, slot: Slot) {
        if self.shown_at(slot).take().is_some() {
            self.changes.push((slot, None));
        }
        self.pending.end(&slot);
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
            pending: self.pending.len(),
            pending_since: self.pending.oldest(),
            stale: self.stale.clone(),
            failed: self.failed,
            statuses: self.statuses.clone(),
        }
    }

    /// Documents without vectors take up nothing.
    pub fn set_status(&mut self, slot: Slot, status: VectorStatus) {
        let place = slot.0 as usize;
        let before = self.statuses.get(place).copied().unwrap_or_default();
        if before == status {
            return;
        }
        self.failed -= usize::from(before == VectorStatus::Failed);
        self.failed += usize::from(status == VectorStatus::Failed);
        if before == VectorStatus::Stale {
            self.stale.remove(&slot);
        }
        if status == VectorStatus::Stale {
            self.stale.insert(slot);
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
