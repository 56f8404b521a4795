//! The write side of one vector field in a shard: what each document's vector is, and how it stands with it.

use std::sync::Arc;

use super::documents::Slot;
use super::pieces::{PiecesWriter, Settled};
use super::snapshot::{LegState, VectorStatus};
use super::vector::{SharedVector, VectorSettings, VectorWriter};
use super::waiting::Waiting;
use crate::change::{Span, Tick};
use crate::definition::{Metric, VectorField, VectorSource};

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

/// What has become known of a document's vectors: by the number of the vector field and the part of the text.
#[derive(Clone, Debug, Default)]
pub struct DocumentVectors {
    /// Each at most once.
    pub known: Vec<(u16, Span, DocumentVector)>,
    /// Parts that the text has no more; some of them may be known again.
    pub gone: Vec<(u16, Span)>,
}

impl DocumentVectors {
    /// Vectors of whole documents.
    pub fn whole(known: impl IntoIterator<Item = (u16, DocumentVector)>) -> DocumentVectors {
        let known = known
            .into_iter()
            .map(|(field, vector)| (field, Span::WHOLE, vector));
        DocumentVectors::from(known.collect::<Vec<_>>())
    }

    pub(super) fn are_pending(&self) -> bool {
        self.known.iter().any(|(.., vector)| vector.is_pending())
    }
}

impl From<Vec<(u16, Span, DocumentVector)>> for DocumentVectors {
    fn from(known: Vec<(u16, Span, DocumentVector)>) -> DocumentVectors {
        let gone = Vec::new();
        DocumentVectors { known, gone }
    }
}

/// One set of vectors of a shard.
pub(super) struct Leg {
    pub writer: VectorWriter,
    /// What is shown, by place, which is the document's slot unless there are pieces; nothing beyond the end.
    shown: Vec<Option<SharedVector>>,
    /// Where texts are embedded in pieces.
    pieces: Option<PiecesWriter>,
    statuses: imbl::Vector<VectorStatus>,
    pending: Waiting<Slot>,
    stale: imbl::OrdSet<Slot>,
    failed: usize,
    /// What the tick does so far. A place occurs once.
    changes: Vec<(Slot, Option<SharedVector>)>,
    /// Nobody here computes what is pending: it comes with a change, or never.
    is_ready_made: bool,
    /// It shows nothing, whatever comes.
    closed: bool,
}

impl Leg {
    pub fn new(field: &VectorField, writer: VectorWriter) -> Leg {
        let chunk = match &field.source {
            VectorSource::Embed { chunk, .. } => *chunk,
            VectorSource::Column(_) => None,
        };
        Leg {
            is_ready_made: matches!(field.source, VectorSource::Column(_)),
            ..Leg::without_vectors(writer, chunk.map(|_| PiecesWriter::default()))
        }
    }

    fn without_vectors(writer: VectorWriter, pieces: Option<PiecesWriter>) -> Leg {
        Leg {
            writer,
            shown: Vec::new(),
            pieces,
            statuses: imbl::Vector::new(),
            pending: Waiting::default(),
            stale: imbl::OrdSet::new(),
            failed: 0,
            changes: Vec::new(),
            is_ready_made: false,
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
            ..Leg::without_vectors(VectorWriter::new(settings, Arc::new(|| {})), None)
        }
    }

    /// Takes in what has become known of a document's vectors in this field.
    pub fn put(&mut self, tick: Tick, slot: Slot, field: u16, vectors: &DocumentVectors) {
        if self.closed {
            return;
        }
        let known = vectors.known.iter().filter(|(of, ..)| *of == field);
        let Some(pieces) = &mut self.pieces else {
            for (_, _, vector) in known {
                self.put_whole(tick, slot, vector.clone());
            }
            return;
        };
        let mut gone = vectors.gone.iter().filter(|(of, _)| *of == field).peekable();
        let mut known = known.peekable();
        if known.peek().is_none() && gone.peek().is_none() {
            return;
        }
        let shown = &self.shown;
        let settled = pieces.settle(
            slot,
            gone.map(|(_, span)| *span),
            known.map(|(_, span, vector)| (*span, vector.clone())),
            |place| shown.get(place.0 as usize)?.as_ref(),
        );
        match settled {
            None => {
                let is_shown = !pieces.shown().of(slot).is_empty();
                self.wait(tick, slot, is_shown);
            }
            Some(Settled { status, changes }) => {
                for (place, vector) in changes {
                    self.show(place, vector);
                }
                self.pending.end(&slot);
                self.set_status(slot, status);
            }
        }
    }

    /// The current vectors of a document are being computed.
    fn wait(&mut self, tick: Tick, slot: Slot, is_shown: bool) {
        let status = match is_shown {
            true => VectorStatus::Stale,
            false => VectorStatus::Pending,
        };
        self.pending.begin(slot, tick);
        self.set_status(slot, status);
    }

    /// The same vector again leaves the graph alone.
    fn show(&mut self, place: Slot, vector: Option<SharedVector>) {
        let shown = self.shown_at(place);
        if *shown != vector {
            shown.clone_from(&vector);
            self.changes.push((place, vector));
        }
    }

    fn put_whole(&mut self, tick: Tick, slot: Slot, vector: DocumentVector) {
        let (wanted, status) = match vector {
            DocumentVector::Pending => {
                let is_shown = self.shown_at(slot).is_some();
                return self.wait(tick, slot, is_shown);
            }
            DocumentVector::Known(vector) => (Some(vector), VectorStatus::Current),
            DocumentVector::Absent => (None, VectorStatus::Absent),
            DocumentVector::Failed => (None, VectorStatus::Failed),
        };
        self.show(slot, wanted);
        self.pending.end(&slot);
        self.set_status(slot, status);
    }

    /// The document in a slot is another one, of which all is to come.
    pub fn forget(&mut self, slot: Slot) {
        if let Some(pieces) = &mut self.pieces {
            pieces.forget(slot);
        }
    }

    /// The document in a slot is gone.
    pub fn remove(&mut self, slot: Slot) {
        if self.closed {
            return;
        }
        let places = match &mut self.pieces {
            None => vec![slot],
            Some(pieces) => pieces.remove(slot),
        };
        for place in places {
            self.show(place, None);
        }
        self.pending.end(&slot);
        self.set_status(slot, VectorStatus::Absent);
    }

    /// Puts back what was shown before a restart, as the writer has it already.
    pub fn restore(&mut self, place: Slot, stamp: u64, vector: SharedVector, in_graph: bool) {
        self.writer.restore(place, stamp, &vector, in_graph);
        *self.shown_at(place) = Some(vector);
    }

    /// A place that was shown before a restart, and is not now.
    pub fn release(&mut self, place: Slot) {
        if let Some(pieces) = &mut self.pieces {
            pieces.release(place);
        }
    }

    pub fn pieces(&mut self) -> Option<&mut PiecesWriter> {
        self.pieces.as_mut()
    }

    /// Hands the tick's changes to the graph's writer.
    pub fn apply(&mut self) {
        self.writer.apply(&self.changes);
        self.changes.clear();
        if let Some(pieces) = &mut self.pieces {
            pieces.end_tick();
        }
    }

    pub fn state(&self) -> LegState {
        LegState {
            vectors: self.writer.state(),
            pending: self.pending.len(),
            pending_since: self.pending.oldest().filter(|_| !self.is_ready_made),
            stale: self.stale.clone(),
            failed: self.failed,
            statuses: self.statuses.clone(),
            pieces: self.pieces.as_ref().map(|pieces| pieces.shown().clone()),
        }
    }

    pub fn status(&self, slot: Slot) -> VectorStatus {
        self.statuses.get(slot.0 as usize).copied().unwrap_or_default()
    }

    /// Documents without vectors take up nothing.
    pub fn set_status(&mut self, slot: Slot, status: VectorStatus) {
        let place = slot.0 as usize;
        let before = self.status(slot);
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

    fn shown_at(&mut self, place: Slot) -> &mut Option<SharedVector> {
        let place = place.0 as usize;
        if place >= self.shown.len() {
            self.shown.resize(place + 1, None);
        }
        &mut self.shown[place]
    }
}
