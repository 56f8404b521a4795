//! Texts that wait for the embedder: the lanes put them in and withdraw them, the embedder's threads take them out.
//!
//! A thread takes a batch when it has nothing to do, and a batch that fails comes back. So whatever is not being
//! computed at this moment waits here, where it can be withdrawn, also while the embedder is down.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::change::{Row, Span, TextHash};
use crate::dataflow::embed_batch::Meter;

/// One text to embed, by a document that has it.
pub struct Request {
    pub hash: TextHash,
    pub row: Row,
    /// Which part of the row's text it is.
    pub span: Span,
}

/// What a text is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A document that the vector leg does not have at all.
    First,
    /// Documents whose former vectors are shown.
    Update,
}

/// The lanes' end. When the last one is gone, the threads end.
#[derive(Clone)]
pub struct Backlog(Arc<LastOne>);

/// The threads' end.
#[derive(Clone)]
pub struct Taking(Arc<Shared>);

struct LastOne(Arc<Shared>);

impl Drop for LastOne {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    meter: Arc<Meter>,
    /// For threads without work.
    wanted: Condvar,
    /// For threads that rest after a failure.
    recovered: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Place, Request>,
    /// Each text from its request to its answer.
    texts: FxHashMap<TextHash, Stage>,
    /// How often a text has failed while the embedder was well.
    faults: FxHashMap<TextHash, u32>,
    next: u64,
    withdrawn: u64,
    /// Batches that were embedded.
    done: u64,
    closed: bool,
}

#[derive(Clone, Copy)]
enum Stage {
    Waiting(Place),
    /// A thread has it, or the lane has not seen its answer yet.
    Taken {
        place: Place,
        withdrawn: bool,
    },
}

/// The least is taken first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// A text that makes its batch fail holds up no other.
    failures: u32,
    urgency: Urgency,
    newest: Reverse<u64>,
}

/// A backlog without texts.
pub fn backlog() -> (Backlog, Taking) {
    let shared = Arc::<Shared>::default();
    (Backlog(Arc::new(LastOne(shared.clone()))), Taking(shared))
}

impl Backlog {
    /// Has a text embedded, or, where it waits already, makes it as urgent as this; whether it is new.
    pub fn want(&self, request: Request, urgency: Urgency) -> bool {
        let mut state = self.0.0.state();
        let state = &mut *state;
        if state.closed {
            return false;
        }
        match state.texts.get_mut(&request.hash) {
            Some(Stage::Waiting(place)) => {
                if urgency < place.urgency
                    && let Some(request) = state.waiting.remove(place)
                {
                    place.urgency = urgency;
                    state.waiting.insert(*place, request);
                }
                false
            }
            Some(Stage::Taken { place, withdrawn }) => {
                place.urgency = place.urgency.min(urgency);
                *withdrawn = false;
                false
            }
            None => {
                let place = Place {
                    failures: 0,
                    urgency,
                    newest: Reverse(state.next),
                };
                state.next += 1;
                state.texts.insert(request.hash, Stage::Waiting(place));
                state.waiting.insert(place, request);
                self.0.0.wanted.notify_one();
                true
            }
        }
    }

    /// No document has the text any more. What is being computed is let go of if it fails.
    pub fn withdraw(&self, hash: TextHash) {
        let mut state = self.0.0.state();
        match state.texts.get_mut(&hash) {
            Some(Stage::Waiting(place)) => {
                let place = *place;
                state.waiting.remove(&place);
                state.forget(hash);
                state.withdrawn += 1;
            }
            Some(Stage::Taken { withdrawn, .. }) => *withdrawn = true,
            None => {}
        }
    }

    /// The lane has the answer. Until then the text is not asked for again.
    pub fn answered(&self, hash: TextHash) {
        self.0.0.state().forget(hash);
    }

    /// Lets go of all texts, for all lanes: the threads end, though others may still have the backlog.
    pub fn close(&self) {
        self.0.0.close();
    }

    /// What the threads' work has cost.
    pub fn meter(&self) -> Arc<Meter> {
        self.0.0.meter.clone()
    }

    /// How many texts were withdrawn since this was asked last.
    pub fn count_withdrawn(&self) -> u64 {
        std::mem::take(&mut self.0.0.state().withdrawn)
    }
}

impl Taking {
    /// Where the threads note what their work costs.
    pub fn meter(&self) -> Arc<Meter> {
        self.0.meter.clone()
    }

    /// The most urgent texts, as soon as there are any, one that has failed before alone; `None` when the lanes are gone.
    pub fn take(&self, texts_max: usize) -> Option<Vec<Request>> {
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let waited = self.0.wanted.wait_while(self.0.state(), nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        let mut batch = Vec::with_capacity(texts_max.min(state.waiting.len()));
        while batch.len() < texts_max
            && let Some(first) = state.waiting.first_entry()
        {
            let has_failed = first.key().failures > 0;
            if has_failed && !batch.is_empty() {
                break;
            }
            let (place, request) = first.remove_entry();
            let withdrawn = false;
            state
                .texts
                .insert(request.hash, Stage::Taken { place, withdrawn });
            batch.push(request);
            if has_failed {
                break;
            }
        }
        Some(batch)
    }

    /// How often a text that was taken has failed, for whatever reason.
    pub fn failures(&self, hash: TextHash) -> u32 {
        match self.0.state().texts.get(&hash) {
            Some(Stage::Taken { place, .. } | Stage::Waiting(place)) => place.failures,
            None => 0,
        }
    }

    /// Notes that a text has failed alone while the embedder was well, and says how often that was so.
    pub fn count_fault(&self, hash: TextHash) -> u32 {
        let mut state = self.0.state();
        let faults = state.faults.entry(hash).or_default();
        *faults += 1;
        *faults
    }

    /// Takes back what was not embedded and may be tried again, less what nobody needs any more.
    pub fn give_back(&self, batch: impl IntoIterator<Item = Request>) {
        let mut state = self.0.state();
        for request in batch {
            match state.texts.get(&request.hash).copied() {
                Some(Stage::Taken {
                    mut place,
                    withdrawn: false,
                }) => {
                    place.failures = place.failures.saturating_add(1);
                    state.texts.insert(request.hash, Stage::Waiting(place));
                    state.waiting.insert(place, request);
                }
                _ => {
                    state.forget(request.hash);
                    state.withdrawn += 1;
                }
            }
        }
    }

    /// A batch was embedded: threads that rest go on.
    pub fn succeeded(&self) {
        let mut state = self.0.state();
        state.done += 1;
        self.0.recovered.notify_all();
        if !state.waiting.is_empty() {
            // What came back has woken nobody.
            self.0.wanted.notify_all();
        }
    }

    /// Waits for so long, or until another thread's batch is embedded, or the lanes are gone.
    pub fn rest(&self, duration: Duration) {
        let state = self.0.state();
        let done = state.done;
        let tired = |state: &mut State| state.done == done && !state.closed;
        drop(self.0.recovered.wait_timeout_while(state, duration, tired));
    }
}

impl State {
    fn forget(&mut self, hash: TextHash) {
        self.texts.remove(&hash);
        self.faults.remove(&hash);
        if self.texts.is_empty() {
            // A load has made room for as many as there are.
            self.texts.shrink_to_fit();
        }
    }
}

impl Shared {
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting = BTreeMap::new();
        state.texts = FxHashMap::default();
        state.faults = FxHashMap::default();
        self.wanted.notify_all();
        self.recovered.notify_all();
    }

    /// The state is whole even after a panic elsewhere: each method leaves it so.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Columns, Datum};

    fn request(text: u128) -> Request {
        Request {
            hash: TextHash(text),
            row: Row::new(Columns::new([""]), [Datum::Null]),
            span: Span::WHOLE,
        }
    }

    fn hashes(batch: &[Request]) -> Vec<u128> {
        batch.iter().map(|request| request.hash.0).collect()
    }

    /// Takes without waiting.
    fn taken(taking: &Taking, texts_max: usize) -> Vec<Request> {
        assert!(!taking.0.state().waiting.is_empty(), "taking would wait");
        taking.take(texts_max).unwrap()
    }

    #[test]
    fn texts_of_documents_without_a_vector_come_first_then_the_newest() {
        let (backlog, taking) = backlog();
        for (text, urgency) in [
            (1, Urgency::Update),
            (2, Urgency::First),
            (3, Urgency::Update),
            (4, Urgency::First),
        ] {
            assert!(backlog.want(request(text), urgency));
        }
        // Another document has the text too, and no vector.
        assert!(!backlog.want(request(1), Urgency::First));
        assert_eq!(hashes(&taken(&taking, 9)), [4, 2, 1, 3]);
    }

    #[test]
    fn a_closed_backlog_ends_its_threads_though_somebody_has_it_still() {
        let (backlog, taking) = backlog();
        let kept = backlog.clone();
        for text in 1..=3 {
            backlog.want(request(text), Urgency::First);
        }
        let batch = taken(&taking, 1);
        backlog.close();
        assert!(taking.take(9).is_none());
        // Neither what fails now nor what another lane wants is waited for.
        taking.give_back(batch);
        assert!(!kept.want(request(4), Urgency::First));
        assert!(taking.0.state().waiting.is_empty() && taking.0.state().texts.is_empty());
    }

    #[test]
    fn what_is_withdrawn_is_not_taken_and_does_not_come_back() {
        let (backlog, taking) = backlog();
        for text in 1..=4 {
            backlog.want(request(text), Urgency::First);
        }
        backlog.withdraw(TextHash(4));
        let batch = taken(&taking, 2);
        assert_eq!(hashes(&batch), [3, 2]);
        // One of them is wanted again before its batch fails.
        backlog.withdraw(TextHash(3));
        backlog.withdraw(TextHash(2));
        assert!(
            !backlog.want(request(2), Urgency::Update),
            "it is with a thread already"
        );
        taking.give_back(batch);
        assert_eq!(backlog.count_withdrawn(), 2);
        assert_eq!(hashes(&taken(&taking, 9)), [1], "what has failed goes behind");
        assert_eq!(hashes(&taken(&taking, 9)), [2], "and alone");
        assert!(backlog.want(request(3), Urgency::First), "nothing is left of it");
    }

    #[test]
    fn a_text_is_not_asked_for_again_before_its_answer_has_come() {
        let (backlog, taking) = backlog();
        backlog.want(request(1), Urgency::First);
        taken(&taking, 1);
        backlog.withdraw(TextHash(1));
        assert!(!backlog.want(request(1), Urgency::First));
        backlog.answered(TextHash(1));
        assert!(backlog.want(request(1), Urgency::First));
    }

    #[test]
    fn threads_that_wait_end_with_the_lanes() {
        let (backlog, taking) = backlog();
        let other = backlog.clone();
        let resting = taking.clone();
        let waits = std::thread::spawn(move || taking.take(1).is_none());
        let rests = std::thread::spawn(move || resting.rest(Duration::from_secs(3600)));
        drop(backlog);
        drop(other);
        assert!(waits.join().unwrap());
        rests.join().unwrap();
    }
}
