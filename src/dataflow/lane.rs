//! The embedding lane of one worker: which texts are needed, which vectors are there, what is asked for.
//!
//! A fast embedder answers inside the tick, up to some hundred texts; everything else waits in a backlog, from
//! which it can be withdrawn, and goes through a short bounded channel to the embedder's threads.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Sender;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::embed::Embedding;
use super::embed_batch::{embed_batch, embed_patiently};
use crate::change::{Row, TextHash, Vector};
use crate::checkpoint::TextVector;
use crate::definition::{Template, VectorField, VectorSource};
use crate::embed::Embedder;

/// Texts that a fast embedder computes inside one tick: about 3 ms of the built-in model.
const INLINE_TEXTS_MAX: usize = 256;

/// Vectors of texts that no document needs any more, kept in case one comes back.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// How documents become texts and texts become hashes.
#[derive(Clone, Debug)]
pub struct Texts {
    template: Arc<Template>,
    /// Separates the texts of fields and models.
    seed: u64,
}

/// One text to embed, by a document that has it.
pub struct Request {
    pub hash: TextHash,
    pub row: Row,
}

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

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Answer {
    pub hash: TextHash,
    /// `None`: this text will never be embedded.
    pub vector: Option<Vector>,
}

/// What a tick brings to the lane.
#[derive(Default)]
pub struct Arrivals {
    texts: FxHashMap<TextHash, Need>,
    answers: Vec<Answer>,
}

/// How a tick changes the number of documents with one text.
struct Need {
    change: isize,
    /// Documents that came with this text, new or changed.
    arrived: u64,
    row: Row,
}

/// What a tick cost, and what it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub embedded: u64,
    pub saved: u64,
}

/// Where requests beyond a tick's own go.
#[derive(Clone)]
pub enum Beside {
    /// Batches of up to so many texts for the embedder's threads.
    Threads {
        requests: Sender<Vec<Request>>,
        batch: usize,
    },
    /// There are no threads: each tick waits for its texts. For replays.
    Nothing,
}

/// The state of the lane.
pub struct Lane {
    embedder: Arc<dyn Embedder>,
    texts: Texts,
    beside: Beside,
    refused: Refused,
    /// Needed texts whose vectors are there, or failed.
    answered: FxHashMap<TextHash, Answered>,
    /// Texts that wait in the backlog or are with the embedder's threads.
    awaited: FxHashMap<TextHash, Awaited>,
    backlog: BTreeMap<u64, Request>,
    next_place: u64,
    cache: Cache,
    /// What has changed since the last cut in what is known of texts; `None` where nobody asks.
    changed: Option<TextChanges>,
}

/// What is known of texts now; `None`: nothing any more.
pub type TextChanges = BTreeMap<TextHash, Option<TextVector>>;

/// A lane, shared by its operator and who takes cuts of it between ticks.
pub type SharedLane = Rc<RefCell<Lane>>;

struct Answered {
    documents: isize,
    known: TextVector,
}

struct Awaited {
    /// With the threads, none may be left.
    documents: isize,
    /// In the backlog; `None`: it has been asked for.
    place: Option<u64>,
}

impl Texts {
    /// The texts of a vector field, for its embedder; `None` where its vectors are ready-made.
    pub fn new(field: &VectorField, embedder: &dyn Embedder) -> Option<Texts> {
        let VectorSource::Embed { template, .. } = &field.source else {
            return None;
        };
        let lane = format!("{}\0{}", field.name, embedder.model());
        Some(Texts {
            template: Arc::new(template.clone()),
            seed: xxh3_64(lane.as_bytes()),
        })
    }

    /// What all hashes of these texts have in common.
    pub fn lane(&self) -> u32 {
        self.seed as u32
    }

    pub fn render(&self, row: &Row) -> Option<String> {
        self.template.render(row)
    }

    /// The hash of the row's text, or `None` where there is nothing to embed.
    pub fn hash(&self, row: &Row) -> Option<TextHash> {
        let text = self.render(row)?;
        let hash = xxh3_128_with_seed(text.as_bytes(), self.seed);
        Some(TextHash::new(self.lane(), hash))
    }
}

impl Arrivals {
    /// A document that has this text came (`diff` > 0) or went.
    pub fn document(&mut self, hash: TextHash, row: &Row, diff: isize) {
        let need = self.texts.entry(hash).or_insert_with(|| Need {
            change: 0,
            arrived: 0,
            row: row.clone(),
        });
        need.change += diff;
        if diff > 0 {
            need.arrived += diff as u64;
            need.row = row.clone();
        }
    }

    pub fn answers(&mut self, answers: impl Iterator<Item = Answer>) {
        self.answers.extend(answers);
    }
}

impl Lane {
    pub fn new(embedder: Arc<dyn Embedder>, texts: Texts, beside: Beside) -> Lane {
        Lane {
            embedder,
            texts,
            beside,
            refused: Refused::default(),
            answered: FxHashMap::default(),
            awaited: FxHashMap::default(),
            backlog: BTreeMap::new(),
            next_place: 0,
            cache: Cache::default(),
            changed: None,
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
            self.cache.put(hash, known);
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

    /// Has somebody told of each text that is refused for good.
    pub fn telling(self, refused: Refused) -> Lane {
        Lane { refused, ..self }
    }

    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Texts that the embedder's threads have not been asked for yet.
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Takes in a tick's answers and needs; `emit` gets the differences of the collection of vectors.
    pub fn settle(
        &mut self,
        arrivals: Arrivals,
        emit: &mut impl FnMut(TextHash, Embedding, isize),
    ) -> Counted {
        let mut counted = Counted::default();
        for answer in arrivals.answers {
            counted.embedded += u64::from(answer.vector.is_some());
            self.answer(answer, emit);
        }
        let mut new = Vec::new();
        for (hash, need) in arrivals.texts {
            counted.saved += need.arrived;
            if self.change_need(hash, &need, emit) {
                counted.saved -= need.arrived.min(1);
                new.push(Request { hash, row: need.row });
            }
        }
        // The order of a hash map depends on nothing that a replay repeats.
        new.sort_by_key(|request| request.hash);
        counted.embedded += self.embed_inline(&mut new, emit);
        for request in new {
            self.wait(request);
        }
        for hash in self.cache.trim() {
            self.note(hash, None);
        }
        counted
    }

    /// Notes how many documents need a text now, and says whether its vector must be computed.
    fn change_need(
        &mut self,
        hash: TextHash,
        need: &Need,
        emit: &mut impl FnMut(TextHash, Embedding, isize),
    ) -> bool {
        if let Some(answered) = self.answered.get_mut(&hash) {
            answered.documents += need.change;
            if answered.documents <= 0
                && let Some(Answered { known, .. }) = self.answered.remove(&hash)
            {
                emit(hash, known.clone().into(), -1);
                self.retire(hash, known);
            }
            return false;
        }
        if let Some(awaited) = self.awaited.get_mut(&hash) {
            awaited.documents += need.change;
            // Nobody has begun to compute it: the request is withdrawn.
            if awaited.documents <= 0
                && let Some(place) = awaited.place
            {
                self.backlog.remove(&place);
                self.awaited.remove(&hash);
            }
            return false;
        }
        if need.change <= 0 {
            return false;
        }
        if let Some(known) = self.cache.take(hash) {
            emit(hash, known.clone().into(), 1);
            let documents = need.change;
            self.answered.insert(hash, Answered { documents, known });
            return false;
        }
        let documents = need.change;
        self.awaited.insert(
            hash,
            Awaited {
                documents,
                place: None,
            },
        );
        true
    }

    fn answer(&mut self, answer: Answer, emit: &mut impl FnMut(TextHash, Embedding, isize)) {
        let known = answer.vector.map_or(TextVector::Failed, TextVector::Known);
        self.note(answer.hash, Some(known.clone()));
        match self.awaited.remove(&answer.hash) {
            Some(Awaited { documents, .. }) if documents > 0 => {
                emit(answer.hash, known.clone().into(), 1);
                self.answered.insert(answer.hash, Answered { documents, known });
            }
            _ => self.retire(answer.hash, known),
        }
        if self.awaited.is_empty() {
            // A load has made room for as many as there are.
            self.awaited.shrink_to_fit();
        }
    }

    /// No document has the text any more. Should it come back, its vector is there, and a failure is tried again.
    fn retire(&mut self, hash: TextHash, known: TextVector) {
        match known {
            TextVector::Known(_) => self.cache.put(hash, known),
            TextVector::Failed => self.note(hash, None),
        }
    }

    /// Computes what belongs into this tick, takes it out of `new`, and counts what was embedded.
    fn embed_inline(
        &mut self,
        new: &mut Vec<Request>,
        emit: &mut impl FnMut(TextHash, Embedding, isize),
    ) -> u64 {
        let inline = match self.beside {
            Beside::Nothing => new.len(),
            Beside::Threads { .. } if self.embedder.is_fast() => new.len().min(INLINE_TEXTS_MAX),
            Beside::Threads { .. } => 0,
        };
        let rest = new.split_off(inline);
        let mut embedded = 0;
        for batch in std::mem::replace(new, rest).chunks(INLINE_TEXTS_MAX) {
            let answers = match self.beside {
                Beside::Nothing => Ok(embed_patiently(
                    &*self.embedder,
                    &self.texts,
                    &self.refused,
                    batch,
                )),
                Beside::Threads { .. } => embed_batch(&*self.embedder, &self.texts, &self.refused, batch),
            };
            match answers {
                Ok(answers) => {
                    for answer in answers {
                        embedded += u64::from(answer.vector.is_some());
                        self.answer(answer, emit);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, texts = batch.len(), "embedding inside the tick failed");
                    new.extend(batch.iter().map(|request| Request {
                        hash: request.hash,
                        row: request.row.clone(),
                    }));
                }
            }
        }
        embedded
    }

    fn wait(&mut self, request: Request) {
        let place = self.next_place;
        self.next_place += 1;
        if let Some(awaited) = self.awaited.get_mut(&request.hash) {
            awaited.place = Some(place);
        }
        self.backlog.insert(place, request);
    }

    /// Gives the threads what they have room for.
    ///
    /// Called at every tick: the lanes of all workers share the queue, so room comes without an answer for this one.
    pub fn ask(&mut self) {
        let Beside::Threads { requests, batch } = &self.beside else {
            return;
        };
        while !self.backlog.is_empty() && !requests.is_full() {
            let mut texts = Vec::with_capacity(*batch);
            while texts.len() < *batch
                && let Some((_, request)) = self.backlog.pop_first()
            {
                if let Some(awaited) = self.awaited.get_mut(&request.hash) {
                    awaited.place = None;
                }
                texts.push(request);
            }
            if let Err(error) = requests.try_send(texts) {
                for request in error.into_inner() {
                    self.wait(request);
                }
                return;
            }
        }
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

/// What is known of texts out of use, the oldest dropped first, bounded by bytes.
#[derive(Default)]
struct Cache {
    known: FxHashMap<TextHash, (u64, TextVector)>,
    order: VecDeque<(u64, TextHash)>,
    next: u64,
    bytes: usize,
}

impl Cache {
    fn put(&mut self, hash: TextHash, known: TextVector) {
        self.bytes += size(&known);
        self.order.push_back((self.next, hash));
        if let Some((_, old)) = self.known.insert(hash, (self.next, known)) {
            self.bytes -= size(&old);
        }
        self.next += 1;
    }

    fn take(&mut self, hash: TextHash) -> Option<TextVector> {
        let (_, known) = self.known.remove(&hash)?;
        self.bytes -= size(&known);
        Some(known)
    }

    /// Drops what is beyond the bound, and says what that was.
    fn trim(&mut self) -> Vec<TextHash> {
        let mut dropped = Vec::new();
        // Places of what was taken out count too, so the order is bounded with the vectors.
        while self.bytes > CACHE_BYTES_MAX || self.order.len() > 2 * self.known.len() + 16 {
            let Some((place, oldest)) = self.order.pop_front() else {
                break;
            };
            match self.known.get(&oldest) {
                Some((at, known)) if *at == place && self.bytes > CACHE_BYTES_MAX => {
                    self.bytes -= size(known);
                    self.known.remove(&oldest);
                    dropped.push(oldest);
                }
                Some((at, _)) if *at == place => self.order.push_back((place, oldest)),
                _ => {}
            }
        }
        dropped
    }
}

fn size(known: &TextVector) -> usize {
    let vector = match known {
        TextVector::Known(vector) => std::mem::size_of_val(&**vector),
        TextVector::Failed => 0,
    };
    vector + 64
}
