//! The embedding lane of one worker: which texts are needed, which vectors are there, what is asked for.
//!
//! A fast embedder answers inside the tick, up to some hundred texts; everything else waits in the [`Backlog`], from
//! which it can be withdrawn until a thread of the embedder takes it.

mod arrivals;
mod backlog;
mod texts;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use arrivals::{Answer, Arrivals};
pub use backlog::{Backlog, Request, Taking, Urgency, backlog};
pub use texts::Texts;

use super::embed::Embedding;
use super::embed_batch::{Meter, Work};
use crate::change::{Span, TextHash};
use crate::checkpoint::TextVector;
use crate::embed::{Embedder, Recent};
use crate::index::snapshot::TextCounters;
use crate::index::{Document, Published, Snapshot};
use arrivals::Need;

/// Texts that a fast embedder computes inside one tick: about 3 ms of the built-in model.
const INLINE_TEXTS_MAX: usize = 256;

/// Told of each text that the embedder refuses for good, by a request that has it, and why.
#[derive(Clone, Default)]
pub struct Refused(Option<Arc<dyn Fn(&Request, &str) + Send + Sync>>);

impl Refused {
    pub fn new(tell: impl Fn(&Request, &str) + Send + Sync + 'static) -> Refused {
        Refused(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, request: &Request, reason: &str) {
        match &self.0 {
            Some(tell) => tell(request, reason),
            None => tracing::warn!(reason, "a text cannot be embedded"),
        }
    }
}

/// Where requests beyond a tick's own go.
#[derive(Clone)]
pub enum Beside {
    /// The embedder's threads take them from there.
    Threads(Backlog),
    /// There are no threads: each tick waits for its texts. For replays.
    Nothing,
}

/// What the vector leg shows of a vector field: documents that it lacks come first.
pub struct Shown {
    pub published: Arc<Published>,
    pub field: u16,
}

/// The state of the lane.
pub struct Lane {
    work: Work,
    beside: Beside,
    shown: Shown,
    /// Needed texts whose vectors are there, or failed.
    answered: FxHashMap<TextHash, Answered>,
    /// How many documents have each text that has been asked for.
    awaited: FxHashMap<TextHash, isize>,
    cache: Recent<TextHash, TextVector>,
    /// What has changed since the last cut in what is known of texts; `None` where nobody asks.
    changed: Option<TextChanges>,
    /// Nobody wants its vectors any more: it lets go of all, and takes no others.
    closed: bool,
}

/// What is known of texts now; `None`: nothing any more.
pub type TextChanges = BTreeMap<TextHash, Option<TextVector>>;

/// A lane, shared by its operator and who takes cuts of it between ticks.
pub type SharedLane = Rc<RefCell<Lane>>;

struct Answered {
    documents: isize,
    known: TextVector,
}

impl Lane {
    pub fn new(embedder: Arc<dyn Embedder>, texts: Texts, beside: Beside, shown: Shown) -> Lane {
        let meter = match &beside {
            Beside::Threads(backlog) => backlog.meter(),
            Beside::Nothing => Arc::<Meter>::default(),
        };
        Lane {
            work: Work {
                embedder,
                texts,
                refused: Refused::default(),
                meter,
            },
            beside,
            shown,
            answered: FxHashMap::default(),
            awaited: FxHashMap::default(),
            cache: Recent::new(0),
            changed: None,
            closed: false,
        }
    }

    /// Ends the embedder's threads, lets go of everything at the next call of [`Lane::settle`], and takes nothing in any
    /// more.
    pub fn close(&mut self) {
        self.closed = true;
        if let Beside::Threads(backlog) = &self.beside {
            // It may be held elsewhere too, such as by who builds workers.
            backlog.close();
        }
    }

    /// Has somebody told of each text that is refused for good.
    pub fn telling(mut self, refused: Refused) -> Lane {
        self.work.refused = refused;
        self
    }

    /// Keeps so many bytes of vectors of texts that no document has any more, in case one comes back.
    pub fn caching(self, bytes_max: usize) -> Lane {
        Lane {
            cache: Recent::new(bytes_max),
            ..self
        }
    }

    pub fn shared(self) -> SharedLane {
        Rc::new(RefCell::new(self))
    }

    /// Goes on from what was stored, and notes what changes from now on for [`Lane::cut`].
    ///
    /// Until the end of the first tick all of it is kept; what no document has asked for then is a cache.
    pub fn restore(&mut self, texts: impl IntoIterator<Item = (TextHash, TextVector)>) {
        self.changed = Some(TextChanges::new());
        for (hash, known) in texts {
            let bytes = bytes(&known);
            self.cache.put(hash, known, bytes);
        }
    }

    /// What has changed since the cut before. Called between ticks.
    pub fn cut(&mut self) -> TextChanges {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note(&mut self, hash: TextHash, known: Option<TextVector>) {
        if let Some(changed) = &mut self.changed {
            changed.insert(hash, known);
        }
    }

    pub fn texts(&self) -> &Texts {
        &self.work.texts
    }

    /// Texts that documents need and the embedder has not answered.
    pub fn backlog(&self) -> usize {
        self.awaited.len()
    }

    /// Texts that documents need and the embedder has answered.
    pub fn known(&self) -> usize {
        self.answered.len()
    }

    /// Takes in a tick's answers and needs; `emit` gets the differences of the collection of vectors.
    pub fn settle(
        &mut self,
        arrivals: Arrivals,
        emit: &mut impl FnMut(TextHash, Embedding, isize),
    ) -> TextCounters {
        let mut counted = TextCounters::default();
        if self.closed {
            self.let_go(emit);
            return counted;
        }
        for answer in arrivals.answers {
            if let Beside::Threads(backlog) = &self.beside {
                backlog.answered(answer.hash);
            }
            self.answer(answer, emit, &mut counted);
        }
        let snapshot = self.shown.published.snapshot();
        let mut new = Vec::new();
        for (hash, need) in arrivals.texts {
            new.extend(self.change_need(hash, &need, &snapshot, emit, &mut counted));
        }
        // The order of a hash map depends on nothing that a replay repeats.
        new.sort_by_key(|(request, _)| request.hash);
        self.embed_inline(&mut new, emit, &mut counted);
        if let Beside::Threads(backlog) = &self.beside {
            for (request, urgency) in new {
                // One that is not new was withdrawn when a thread had it already, and still has.
                counted.saved_cached += u64::from(!backlog.want(request, urgency));
            }
            counted.withdrawn += backlog.count_withdrawn();
        }
        let (micros, tokens) = self.work.meter.read();
        counted.micros += micros;
        counted.tokens += tokens;
        for hash in self.cache.trim() {
            self.note(hash, None);
        }
        counted
    }

    /// Gives back all that it has emitted.
    fn let_go(&mut self, emit: &mut impl FnMut(TextHash, Embedding, isize)) {
        for (hash, Answered { known, .. }) in std::mem::take(&mut self.answered) {
            emit(hash, known.into(), -1);
        }
        self.beside = Beside::Nothing;
        self.awaited = FxHashMap::default();
        self.cache = Recent::new(0);
        self.changed = None;
    }

    /// Notes how many documents need a text now; gives the request for its vector, if that must be computed.
    fn change_need(
        &mut self,
        hash: TextHash,
        need: &Need,
        snapshot: &Snapshot,
        emit: &mut impl FnMut(TextHash, Embedding, isize),
        counted: &mut TextCounters,
    ) -> Option<(Request, Urgency)> {
        let (arrived, unchanged) = (need.arrived.len() as u64, need.unchanged() as u64);
        counted.needed += arrived;
        counted.saved_unchanged += unchanged;
        let others = arrived - unchanged;
        if let Some(answered) = self.answered.get_mut(&hash) {
            counted.saved_shared += others;
            answered.documents += need.change();
            if answered.documents <= 0
                && let Some(Answered { known, .. }) = self.answered.remove(&hash)
            {
                emit(hash, known.clone().into(), -1);
                self.retire(hash, known);
            }
            return None;
        }
        if let Some(documents) = self.awaited.get_mut(&hash) {
            counted.saved_shared += others;
            *documents += need.change();
            let is_needed = *documents > 0;
            if !is_needed {
                self.awaited.remove(&hash);
            }
            if let Beside::Threads(backlog) = &self.beside {
                if !is_needed {
                    backlog.withdraw(hash);
                } else if others > 0
                    && let Some((request, urgency)) = self.request(hash, need, snapshot)
                {
                    // This document may be in a greater hurry than those before.
                    backlog.want(request, urgency);
                }
            }
            return None;
        }
        let documents = need.change();
        if documents <= 0 {
            return None;
        }
        counted.saved_shared += others.saturating_sub(1);
        if let Some(known) = self.cache.take(hash) {
            counted.saved_cached += 1;
            emit(hash, known.clone().into(), 1);
            self.answered.insert(hash, Answered { documents, known });
            return None;
        }
        self.awaited.insert(hash, documents);
        self.request(hash, need, snapshot)
    }

    /// The request for a text that documents came with, or `None` if they only went.
    fn request(&self, hash: TextHash, need: &Need, snapshot: &Snapshot) -> Option<(Request, Urgency)> {
        let (document, span) = need.arrived.last()?;
        let (row, span) = (document.row.clone(), *span);
        let is_shown =
            |(document, _): &(Arc<Document>, Span)| snapshot.shows(self.shown.field, &document.key.text());
        let urgency = match need.arrived.iter().all(is_shown) {
            true => Urgency::Update,
            false => Urgency::First,
        };
        Some((Request { hash, row, span }, urgency))
    }

    fn answer(
        &mut self,
        answer: Answer,
        emit: &mut impl FnMut(TextHash, Embedding, isize),
        counted: &mut TextCounters,
    ) {
        match answer.vector {
            Some(_) => counted.embedded += 1,
            None => counted.failed += 1,
        }
        if self.answered.contains_key(&answer.hash) {
            // It was withdrawn while a thread had it, and wanted again before that was done.
            return;
        }
        let known = answer.vector.map_or(TextVector::Failed, TextVector::Known);
        self.note(answer.hash, Some(known.clone()));
        match self.awaited.remove(&answer.hash) {
            Some(documents) => {
                emit(answer.hash, known.clone().into(), 1);
                self.answered.insert(answer.hash, Answered { documents, known });
            }
            // It was withdrawn when it was being computed already.
            None => self.retire(answer.hash, known),
        }
        if self.awaited.is_empty() {
            // A load has made room for as many as there are.
            self.awaited.shrink_to_fit();
        }
    }

    /// No document has the text any more. Should it come back, its vector is there, and a failure is tried again.
    fn retire(&mut self, hash: TextHash, known: TextVector) {
        match known {
            TextVector::Known(_) => {
                let bytes = bytes(&known);
                self.cache.put(hash, known, bytes);
            }
            TextVector::Failed => self.note(hash, None),
        }
    }

    /// Computes what belongs into this tick, and takes it out of `new`.
    fn embed_inline(
        &mut self,
        new: &mut Vec<(Request, Urgency)>,
        emit: &mut impl FnMut(TextHash, Embedding, isize),
        counted: &mut TextCounters,
    ) {
        let inline = match self.beside {
            Beside::Nothing => new.len(),
            Beside::Threads(_) if self.work.embedder.is_fast() => new.len().min(INLINE_TEXTS_MAX),
            Beside::Threads(_) => 0,
        };
        let rest = new.split_off(inline);
        let mut inline = std::mem::replace(new, rest).into_iter();
        loop {
            let chunk = inline.by_ref().take(INLINE_TEXTS_MAX);
            let (batch, urgencies): (Vec<Request>, Vec<Urgency>) = chunk.unzip();
            if batch.is_empty() {
                return;
            }
            let mut answers = Vec::with_capacity(batch.len());
            match self.beside {
                Beside::Nothing => self.work.embed_patiently(&batch, &mut answers),
                Beside::Threads(_) => {
                    if let Err(error) = self.work.embed(&batch, &mut answers) {
                        tracing::warn!(%error, texts = batch.len(), "embedding inside the tick failed");
                    }
                }
            }
            new.extend(batch.into_iter().zip(urgencies).skip(answers.len()));
            for answer in answers {
                self.answer(answer, emit, counted);
            }
        }
    }
}

fn bytes(known: &TextVector) -> usize {
    match known {
        TextVector::Known(vector) => size_of_val(&**vector),
        TextVector::Failed => 0,
    }
}

impl From<TextVector> for Embedding {
    fn from(known: TextVector) -> Embedding {
        match known {
            TextVector::Known(vector) => Embedding::Known(vector),
            TextVector::Failed => Embedding::Failed,
        }
    }
}
