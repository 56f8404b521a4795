//! A second set of vectors, made by another model while the flow goes on: what the workers are told, and what they do.
//!
//! The second set has a dataflow of its own, `SecondFlow`: the same steps as in the first, `embed` and `maintain`, over
//! documents that come out of the shard instead of a view. It runs behind the first one within each tick, so both
//! sets belong to the tick that is published. The documents that were there before go in by and by, in the order of
//! their slots; a change goes in with its tick where its slot has gone in already.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use differential_dataflow::AsCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use super::Embed;
use super::embed::embed;
use super::lane::{Answer, SharedLane};
use super::maintain::maintain;
use super::publish::Publisher;
use crate::change::Tick;
use crate::definition::VectorField;
use crate::index::shard::DocumentChange;
use crate::index::{Document, Shard, VectorSet};

/// Documents that were there before, and go in with one tick: rendering and hashing their texts delays it.
const SLICE: usize = 500;

/// What the workers are told about second sets. Each order is obeyed at one tick, by all.
pub enum Order {
    Begin(Box<Beginning>),
    /// From the tick on the second set answers, and the first is the second.
    Switch,
    /// The second set goes, whichever that is.
    Drop,
}

/// A set to be made.
pub struct Beginning {
    /// The number of the vector field.
    pub number: u16,
    /// The field, embedded by the new model.
    pub field: VectorField,
    pub set: VectorSet,
    pub embed: Embed,
}

/// Hands orders to the workers, one at a time.
#[derive(Default)]
pub struct Orders(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    None,
    Waiting(Arc<Order>),
    /// It is obeyed at this tick.
    At(Tick, Arc<Order>),
}

impl Orders {
    /// Has an order obeyed at the next tick; whether it is taken: there is no other one under way.
    pub fn give(&self, order: Order) -> bool {
        let mut state = self.state();
        let is_free = matches!(*state, State::None);
        if is_free {
            *state = State::Waiting(Arc::new(order));
        }
        is_free
    }

    /// Whether an order waits for a tick.
    pub fn is_waiting(&self) -> bool {
        matches!(*self.state(), State::Waiting(_))
    }

    /// `tick` is the next one: what waits belongs to it.
    pub fn assign(&self, tick: Tick) {
        let mut state = self.state();
        if let State::Waiting(order) = &*state {
            *state = State::At(tick, order.clone());
        }
    }

    /// What is to be obeyed at a tick.
    pub fn at(&self, tick: Tick) -> Option<Arc<Order>> {
        match &*self.state() {
            State::At(at, order) if *at == tick => Some(order.clone()),
            _ => None,
        }
    }

    /// Everything up to `tick` is published.
    pub fn done(&self, tick: Tick) {
        let mut state = self.state();
        if matches!(*state, State::At(at, _) if at <= tick) {
            *state = State::None;
        }
    }

    /// Each method leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type DocumentUpdate = (Arc<Document>, Tick, isize);

/// One worker's share of a second set's dataflow. It ends when this is dropped on all workers.
pub(super) struct SecondFlow {
    leg: u16,
    documents: InputHandle<Tick, CapacityContainerBuilder<Vec<DocumentUpdate>>>,
    answers: InputHandle<Tick, CapacityContainerBuilder<Vec<Answer>>>,
    probe: ProbeHandle<Tick>,
    lane: SharedLane,
    fed: Fed,
    /// The last tick whose documents have gone in.
    tick: Tick,
}

/// Which documents have gone in.
#[derive(Clone, Copy)]
enum Fed {
    /// Those in lower slots.
    To(usize),
    All,
}

impl SecondFlow {
    /// Builds it between two ticks, of which `last` is done; all workers build the same.
    pub fn build(
        worker: &mut Worker,
        last: Tick,
        leg: u16,
        lane: SharedLane,
        shard: Rc<RefCell<Shard>>,
        publisher: Arc<Publisher>,
    ) -> SecondFlow {
        let (mut documents, mut answers) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        worker.dataflow::<Tick, _, _>(|scope| {
            let documents = scope.input_from(&mut documents).as_collection();
            let answers = scope.input_from(&mut answers);
            let embedded = embed(documents, leg, answers, lane.clone(), publisher.clone());
            maintain(embedded, shard, publisher, &probe);
        });
        let mut flow = SecondFlow {
            leg,
            documents,
            answers,
            probe,
            lane,
            fed: Fed::To(0),
            tick: last,
        };
        flow.advance_to(Tick(last.0 + 1));
        flow
    }

    pub fn leg(&self) -> u16 {
        self.leg
    }

    pub fn lane(&self) -> &SharedLane {
        &self.lane
    }

    /// Takes the answers that are for it.
    pub fn take_answers(&mut self, answers: &mut Vec<Answer>) {
        let lane = self.lane.borrow().texts().lane();
        let mut mine: Vec<Answer> = answers
            .extract_if(.., |answer| answer.hash.lane() == lane)
            .collect();
        self.answers.send_batch(&mut mine);
    }

    /// Begins a tick: what came before goes no further.
    pub fn begin(&mut self, tick: Tick) {
        self.advance_to(tick);
    }

    /// Feeds what the first flow has done with a tick, and a further slice of what was there before; ends the tick.
    pub fn feed(&mut self, tick: Tick, changes: &[DocumentChange], shard: &Shard) {
        let documents = shard.documents();
        let is_in = |slot: usize| match self.fed {
            Fed::All => true,
            Fed::To(end) => slot < end,
        };
        let mut updates = Vec::new();
        for (slot, old, new) in changes {
            if is_in(slot.0 as usize) {
                updates.extend(old.iter().map(|old| (old.clone(), tick, -1)));
                updates.extend(new.iter().map(|new| (new.clone(), tick, 1)));
            }
        }
        if let Fed::To(begin) = self.fed {
            let end = documents.slots().min(begin.saturating_add(SLICE));
            let slice = (begin..end).filter_map(|slot| documents.get(crate::index::Slot(slot as u32)));
            updates.extend(slice.map(|document| (document.clone(), tick, 1)));
            self.fed = match end == documents.slots() {
                true => Fed::All,
                false => Fed::To(end),
            };
        }
        self.documents.send_batch(&mut updates);
        self.tick = tick;
        self.advance_to(Tick(tick.0 + 1));
    }

    /// Whether the tick has gone in.
    pub fn is_fed(&self, tick: Tick) -> bool {
        self.tick >= tick
    }

    /// Whether all workers have done everything up to `tick`.
    pub fn is_done(&self, tick: Tick) -> bool {
        self.is_fed(tick) && !self.probe.less_than(&Tick(tick.0 + 1))
    }

    /// Documents that have not gone in yet.
    pub fn left(&self, shard: &Shard) -> usize {
        match self.fed {
            Fed::All => 0,
            Fed::To(end) => shard.documents().slots() - end,
        }
    }

    fn advance_to(&mut self, tick: Tick) {
        self.documents.advance_to(tick);
        self.documents.flush();
        self.answers.advance_to(tick);
        self.answers.flush();
    }
}
