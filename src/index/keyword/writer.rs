//! The write side: a tick's changes become one segment, and marks in the segments they replace.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::compact::{Compactor, Finished};
use super::dead::TermHash;
use super::docs::Docs;
use super::plan;
use super::segment::Segment;
use super::state::Part;
use super::stored::{self, AliveWords, StoredKeyword};
use super::unread::Unread;
use super::{KeywordError, KeywordSchema, KeywordState};
use crate::change::Row;
use crate::index::{Document, Slot};
use crate::storage::{Damaged, PartReader};

/// A segment of up to so many documents is young: it keeps its rows until compaction rebuilds it from them.
pub(super) const YOUNG_DOCUMENTS_MAX: usize = 1_000;

/// Of what is added at once, a segment takes up to so many documents,
const CHUNK_DOCUMENTS_MAX: usize = 50_000;
/// and about so many bytes of text, which take some five times as much while they are indexed.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// A slot, the document that is there, and the document that shall be there.
pub type KeywordChange = (Slot, Option<Arc<Document>>, Option<Arc<Document>>);

/// Whether rebuilding and merging run beside the ticks or inside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// On threads of low priority.
    Background,
    /// Inside `apply`, for replays.
    Inline,
}

/// The write side of one shard; lives on its worker.
pub struct KeywordWriter {
    schema: KeywordSchema,
    compactor: Compactor,
    /// By age: their ids ascend.
    entries: Vec<Entry>,
    next_id: NonZeroU64,
    /// Where each slot's document is.
    places: Vec<Option<Place>>,
    documents: u64,
    tokens: Vec<u64>,
    state: Arc<KeywordState>,
}

/// A document that is in a segment, or shall be.
type SlotRow = (Slot, Arc<Document>);

/// A segment of this writer, in the order of their making.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SegmentId(NonZeroU64);

#[derive(Clone, Copy)]
struct Place {
    segment: SegmentId,
    doc: u32,
}

/// A segment, and what compaction needs to know of it.
pub(super) struct Entry {
    pub id: SegmentId,
    pub part: Part,
    /// The documents of a young segment, in order.
    pub rows: Option<Vec<SlotRow>>,
}

impl KeywordWriter {
    /// `wake` is called, from another thread, when a compaction has finished and waits for the next `apply`.
    pub fn new(
        schema: KeywordSchema,
        compaction: Compaction,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> KeywordWriter {
        let tokens = vec![0; schema.texts().len()];
        let state = KeywordState {
            schema: schema.clone(),
            parts: Vec::new(),
            documents: 0,
            tokens: tokens.clone(),
        };
        KeywordWriter {
            compactor: Compactor::new(schema.clone(), compaction, wake),
            schema,
            entries: Vec::new(),
            next_id: NonZeroU64::MIN,
            places: Vec::new(),
            documents: 0,
            tokens,
            state: Arc::new(state),
        }
    }

    /// The write side of a stored leg. `alive` was stored with it; all slots are less than `slots`.
    pub(in crate::index) fn open(
        schema: KeywordSchema,
        compaction: Compaction,
        wake: Arc<dyn Fn() + Send + Sync>,
        stored: &StoredKeyword,
        alive: AliveWords,
        slots: usize,
        parts: &PartReader<'_>,
    ) -> Result<KeywordWriter, Damaged> {
        let opened = stored::open(&schema, stored, alive, slots, parts)?;
        let mut writer = KeywordWriter::new(schema, compaction, wake);
        writer.tokens = opened.tokens;
        for part in opened.parts {
            let id = writer.next_id();
            writer.documents += u64::from(part.living);
            for doc in part.alive.iter() {
                writer.set_place(part.segment.slot(doc), Place { segment: id, doc });
            }
            writer.entries.push(Entry { id, part, rows: None });
        }
        writer.publish();
        Ok(writer)
    }

    /// Whether exactly these slots have a document each.
    pub(in crate::index) fn has_documents_at(&self, slots: impl Iterator<Item = Slot>) -> bool {
        let mut documents = 0;
        let mut is_there = |slot: Slot| {
            documents += 1;
            matches!(self.places.get(slot.0 as usize), Some(Some(_)))
        };
        slots.into_iter().all(&mut is_there) && documents == self.documents
    }

    /// Takes out documents whose rows are not known. For recovery: a compaction that runs would not hear of it.
    pub(in crate::index) fn forget(&mut self, slots: &[Slot]) -> Result<(), KeywordError> {
        let mut by_segment: BTreeMap<SegmentId, Vec<u32>> = BTreeMap::new();
        for slot in slots {
            if let Some(place) = self.places.get_mut(slot.0 as usize).and_then(Option::take) {
                by_segment.entry(place.segment).or_default().push(place.doc);
            }
        }
        for (id, docs) in by_segment {
            let Some(part) = self.part(id) else {
                continue;
            };
            let mut gone = Docs::none(part.segment.size());
            docs.iter().for_each(|doc| gone.insert(*doc));
            let unread = Unread::of(&part.segment, &gone)?;
            part.dead.add_counts(unread.terms);
            part.alive = Arc::new((*part.alive).clone().without(&gone));
            part.living = part.alive.count();
            self.documents -= docs.len() as u64;
            for (total, gone) in self.tokens.iter_mut().zip(unread.tokens) {
                *total = total.saturating_sub(gone);
            }
        }
        self.entries.retain(|entry| entry.part.living > 0);
        self.publish();
        Ok(())
    }

    /// Takes in finished compactions, marks what `changes` replace, and adds one segment of the new documents.
    ///
    /// A slot occurs once.
    ///
    /// # Errors
    ///
    /// When tantivy cannot build the segment; the state is then as before.
    pub fn apply(&mut self, changes: &[KeywordChange]) -> Result<(), KeywordError> {
        let changes = changes.iter().filter(|(_, old, new)| match (old, new) {
            (Some(old), Some(new)) => !self.schema.same(&old.row, &new.row),
            (old, new) => old.is_some() || new.is_some(),
        });
        let changes: Vec<_> = changes.collect();

        // What can fail comes before the first change of what is there.
        let rows = changes
            .iter()
            .filter_map(|(slot, _, new)| Some((*slot, new.clone()?)))
            .collect();
        let built = self.build(rows)?;

        let mut moved = !changes.is_empty();
        while let Some(finished) = self.compactor.finished() {
            self.enter(finished);
            moved = true;
        }
        let mut terms = BTreeMap::new();
        for (slot, old, _) in changes {
            if let Some(old) = old {
                self.bury(*slot, &old.row, &mut terms);
            }
        }
        for (segment, terms) in terms {
            self.compactor.died(segment, &terms);
            if let Some(part) = self.part(segment) {
                part.dead.add(terms);
            }
        }
        for (segment, rows) in built {
            self.add(segment, rows);
        }
        self.entries.retain(|entry| entry.part.living > 0);
        moved |= self.compact();
        if moved {
            self.publish();
        }
        Ok(())
    }

    /// Whether finished compactions wait for an `apply`, even an empty one.
    pub fn has_finished_work(&self) -> bool {
        self.compactor.has_finished()
    }

    /// The state after the last `apply`, for a snapshot.
    pub fn state(&self) -> Arc<KeywordState> {
        self.state.clone()
    }

    fn build(&self, rows: Vec<SlotRow>) -> Result<Vec<(Segment, Vec<SlotRow>)>, KeywordError> {
        let mut built = Vec::new();
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut chunk = Vec::new();
            let mut bytes = 0;
            while chunk.len() < CHUNK_DOCUMENTS_MAX && bytes < CHUNK_BYTES_MAX {
                let Some((slot, document)) = rows.next() else {
                    break;
                };
                bytes += self.schema.text_bytes(&document.row);
                chunk.push((slot, document));
            }
            built.push((Segment::build(&self.schema, &chunk)?, chunk));
        }
        Ok(built)
    }

    /// Adds a segment of documents which are new, or whose predecessors have been buried.
    fn add(&mut self, segment: Segment, rows: Vec<SlotRow>) {
        for (total, text) in self.tokens.iter_mut().zip(&segment.texts) {
            // tantivy estimates this number when it merges; in a segment just built it is exact.
            *total += text.total_num_tokens();
        }
        self.documents += u64::from(segment.size());
        let id = self.next_id();
        for (doc, slot) in (0..).zip(segment.slots()) {
            self.set_place(slot, Place { segment: id, doc });
        }
        let rows = (rows.len() <= YOUNG_DOCUMENTS_MAX).then_some(rows);
        self.entries.push(Entry {
            id,
            part: Part::new(segment),
            rows,
        });
    }

    fn set_place(&mut self, slot: Slot, place: Place) {
        let slot = slot.0 as usize;
        if slot >= self.places.len() {
            self.places.resize(slot + 1, None);
        }
        self.places[slot] = Some(place);
    }

    /// Marks a slot's document dead and takes its tokens off. Its terms go to `terms`.
    fn bury(&mut self, slot: Slot, row: &Row, terms: &mut BTreeMap<SegmentId, Vec<TermHash>>) {
        let Some(place) = self.places.get_mut(slot.0 as usize).and_then(Option::take) else {
            return;
        };
        let mut found = Vec::new();
        self.schema.tokens(row, &mut |text, token| {
            self.tokens[text] = self.tokens[text].saturating_sub(1);
            found.push(TermHash::new(text, token));
        });
        found.sort_unstable();
        found.dedup();
        terms.entry(place.segment).or_default().append(&mut found);
        self.documents -= 1;
        if let Some(part) = self.part(place.segment) {
            Arc::make_mut(&mut part.alive).remove(place.doc);
            part.living -= 1;
        }
    }

    /// Puts a compaction's segment in the place of its sources.
    fn enter(&mut self, finished: Finished) {
        let Finished {
            sources,
            segment,
            died,
        } = finished;
        self.entries.retain(|entry| !sources.contains(&entry.id));
        let id = self.next_id();
        let mut part = Part::new(segment);
        for (doc, slot) in (0..).zip(part.segment.slots()) {
            match self.places.get_mut(slot.0 as usize) {
                Some(Some(place)) if sources.contains(&place.segment) => *place = Place { segment: id, doc },
                // Replaced or deleted since the sources were read.
                _ => {
                    Arc::make_mut(&mut part.alive).remove(doc);
                    part.living -= 1;
                }
            }
        }
        part.dead = died;
        self.entries.push(Entry { id, part, rows: None });
        self.entries.retain(|entry| entry.part.living > 0);
    }

    /// Starts the compactions that are due, and does here what cannot wait. Says whether that was any.
    fn compact(&mut self) -> bool {
        self.compactor.tick();
        let mut any = false;
        while let Some(finished) = self.next_compaction() {
            self.enter(finished);
            any = true;
        }
        any
    }

    fn next_compaction(&mut self) -> Option<Finished> {
        if self.compactor.is_inline() {
            return self.compactor.run(plan::next(&self.entries, &self.compactor)?);
        }
        while let Some(plan) = plan::next(&self.entries, &self.compactor) {
            self.compactor.start(plan);
        }
        self.compactor.run(plan::overdue(&self.entries, &self.compactor)?)
    }

    fn publish(&mut self) {
        self.state = Arc::new(KeywordState {
            schema: self.schema.clone(),
            parts: self.entries.iter().map(|entry| entry.part.clone()).collect(),
            documents: self.documents,
            tokens: self.tokens.clone(),
        });
    }

    fn part(&mut self, id: SegmentId) -> Option<&mut Part> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        Some(&mut self.entries[at].part)
    }

    fn next_id(&mut self) -> SegmentId {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        SegmentId(id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::change::{Columns, Datum, Key, TableId};
    use crate::definition::plan::Node;
    use crate::definition::{Analyzer, Fusion, Index, Plan, TextField};

    #[test]
    fn segments_stay_few_when_the_compaction_thread_gets_no_time() {
        let text = TextField {
            name: "name".into(),
            column: 0,
            boost: 1.0,
            analyzer: Analyzer::SIMPLE,
        };
        let index = Index {
            plan: Plan {
                root: Node::Table(TableId(0)),
                columns: vec!["name".into()],
            },
            key: vec![0],
            vocabulary: Default::default(),
            text: vec![text],
            fields: Vec::new(),
            tenant: None,
            vectors: Vec::new(),
            freshness: Default::default(),
            fusion: Fusion::Relative { weight: 0.2 },
        };
        // The thread stands still in its first call.
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        let at_gate = gate.clone();
        let wake = Arc::new(move || drop(at_gate.lock()));
        let mut writer = KeywordWriter::new(KeywordSchema::new(&index), Compaction::Background, wake);
        let columns = Columns::new(["name"]);
        for slot in 0..3_000 {
            let row = Row::new(columns.clone(), [Datum::text("tea")]);
            let document = Arc::new(Document::new(Key::new([Datum::Int(slot.into())]), row));
            writer.apply(&[(Slot(slot), None, Some(document))]).unwrap();
            // 64 young ones at work and 64 waiting, and as many of the lowest level as may wait.
            assert!(
                writer.entries.len() <= 64 + 64 + 32,
                "{} segments at slot {slot}",
                writer.entries.len()
            );
        }
        assert_eq!(writer.state().documents, 3_000);
        drop(held);
    }
}
