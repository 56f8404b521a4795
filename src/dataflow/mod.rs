//! Changes -> collapse -> view -> embed -> maintain, on timely workers. The only folder that names timely and differential.
//!
//! [`Job`] is the whole flow on one worker. A node gives it batches at its ticks ([`worker`]); a replay steps it
//! by hand; a larger timely job uses the operators by themselves.

pub mod collapse;
pub mod cut;
pub mod embed;
mod embed_batch;
pub mod embedders;
pub mod lane;
pub mod latest;
pub mod maintain;
pub mod publish;
mod tick;
mod trail;
pub mod upgrade;
pub mod view;
pub mod worker;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use timely::dataflow::operators::vec::Input;
use timely::dataflow::{InputHandle, ProbeHandle, Stream};
use timely::worker::Worker;

use collapse::{Rows, collapse};
use cut::Share;
use embed::{documents, embed, ready_made, without_vectors};
use lane::{Answer, Beside, Lane, Refused, SharedLane, Shown, Texts};
use latest::{Keep, Latest, SharedLatest, restoring};
use maintain::maintain;
use publish::{Publisher, Reading};
use upgrade::{Beginning, Order, SecondFlow};
use view::view;

use crate::change::{Change, Key, Row, TextHash, Tick};
use crate::checkpoint::{TableCut, TextVector};
use crate::definition::{Definition, Format, Index, VectorField, VectorSource};
use crate::embed::{Embedder, dimensions};
use crate::index::Shard;
use crate::index::shard::ShardSettings;
use crate::index::stored::{self, StoredShard};
use crate::intake::Batch;
use crate::storage::{PartReader, Storage};

/// What the flow of one worker is built from.
pub struct Parts {
    pub definition: Arc<Definition>,
    /// By vector field of the index; `None` where vectors are ready-made.
    pub embedding: Vec<Option<Embed>>,
    pub shard: ShardSettings,
    pub publisher: Arc<Publisher>,
    /// What the run before has left; `None` where nothing is to be kept.
    pub resume: Option<Arc<Resume>>,
    /// Makes the rows of the first tables readable from outside, one for each entry.
    pub watched: Vec<Watched>,
}

/// How a vector field's texts are embedded.
#[derive(Clone)]
pub struct Embed {
    pub embedder: Arc<dyn Embedder>,
    /// Where texts go that a tick does not embed itself.
    pub beside: Beside,
    /// Told of texts that will never be embedded.
    pub refused: Refused,
}

/// The rows of a table as they stand: what [`Parts::watched`] fills.
pub type Watched = Rc<RefCell<BTreeMap<Key, Row>>>;

/// What the workers of a node go on from. Each takes its share.
pub struct Resume {
    pub tick: Tick,
    /// By table of the definition.
    pub tables: Mutex<Vec<TableCut>>,
    pub texts: Mutex<BTreeMap<TextHash, TextVector>>,
    /// By worker; empty where the index is to be made anew of the rows.
    pub shards: Vec<StoredShard>,
    pub storage: Arc<dyn Storage>,
}

impl Resume {
    /// The beginning: from here on changes are noted.
    pub fn nothing(tables: usize, storage: Arc<dyn Storage>) -> Resume {
        Resume {
            tick: Tick(0),
            tables: Mutex::new((0..tables).map(|_| TableCut::default()).collect()),
            texts: Mutex::default(),
            shards: Vec::new(),
            storage,
        }
    }
}

/// The flow on one worker: takes batches at one tick after the other.
pub struct Job {
    tick: Tick,
    tables: Vec<InputHandle<Tick, timely::container::CapacityContainerBuilder<Vec<Change>>>>,
    answers: InputHandle<Tick, timely::container::CapacityContainerBuilder<Vec<Answer>>>,
    probe: ProbeHandle<Tick>,
    states: Vec<SharedLatest>,
    lanes: Vec<Option<SharedLane>>,
    shard: Option<Rc<RefCell<Shard>>>,
    settings: ShardSettings,
    /// Sets of vectors that were begun after the flow was built.
    seconds: Vec<SecondFlow>,
    /// What closed lanes are called with in the next tick.
    closing: Vec<Answer>,
    /// The shard has another leg, or one less: its state is to be registered.
    legs_changed: bool,
    number: usize,
    publisher: Arc<Publisher>,
}

impl Job {
    /// Builds the flow on a worker; all workers build the same.
    ///
    /// Where there is something to go on from, that is the first tick, which this begins and ends.
    pub fn build(worker: &mut Worker, parts: Parts) -> Job {
        let number = worker.index();
        let publisher = parts.publisher.clone();
        let resume = parts.resume.clone();
        let shard = parts.definition.index.as_ref().map(|index| {
            let shard = open_shard(number, index, &parts);
            publisher.register(Tick(0), number, shard.state());
            Rc::new(RefCell::new(shard))
        });
        let states = parts.definition.tables.iter().map(|table| {
            Latest::shared(Keep {
                unavailable_values: table.format == Format::DebeziumJson,
                forget_tombstones: !parts.shard.repeatable,
            })
        });
        let states: Vec<_> = states.collect();
        let lanes = open_lanes(&parts, worker.peers());
        if let Some(resume) = &resume {
            note_changes(&states, &lanes, resume, (number, worker.peers()));
        }
        let mut tables: Vec<_> = states.iter().map(|_| InputHandle::new()).collect();
        let mut answers = InputHandle::new();
        let probe = ProbeHandle::new();
        let settings = parts.shard.clone();
        worker.dataflow::<Tick, _, _>(|scope| {
            let changes = tables.iter_mut().map(|table| scope.input_from(table)).collect();
            let answers = scope.input_from(&mut answers);
            let state = (states.clone(), lanes.clone(), shard.clone());
            flow(changes, answers, parts, state, &probe);
        });
        let mut job = Job {
            tick: Tick(0),
            tables,
            answers,
            probe,
            states,
            lanes,
            shard,
            settings,
            seconds: Vec::new(),
            closing: Vec::new(),
            legs_changed: false,
            number,
            publisher,
        };
        // Tick 0 is the empty state, and done.
        job.end();
        if let Some(resume) = resume.filter(|resume| resume.tick > Tick(0)) {
            job.recover(&resume);
        }
        job
    }

    /// The first tick: all rows that were kept, on worker 0, from where each goes to its owner.
    fn recover(&mut self, resume: &Resume) {
        self.tick = resume.tick;
        self.advance_to(resume.tick);
        if self.number == 0 {
            for (input, table) in self.tables.iter_mut().zip(&mut *lock(&resume.tables)) {
                for (key, stored) in std::mem::take(&mut table.keys) {
                    let changes = stored
                        .into_iter()
                        .flat_map(|stored| restoring(key.clone(), stored));
                    changes.for_each(|change| input.send(change));
                }
            }
        }
        self.end();
    }

    /// What has changed since the share before. Called between ticks.
    pub fn share(&mut self) -> Share {
        Share {
            tables: self.states.iter().map(|state| state.borrow_mut().cut()).collect(),
            texts: self
                .lanes
                .iter()
                .flatten()
                .chain(self.seconds.iter().map(SecondFlow::lane))
                .flat_map(|lane| lane.borrow_mut().cut())
                .collect(),
        }
    }

    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Begins a tick, which is later than the last one. Background work that has finished enters now.
    pub fn begin(&mut self, tick: Tick) {
        assert!(tick > self.tick, "ticks grow: {tick} after {}", self.tick);
        self.tick = tick;
        self.advance_to(tick);
        self.seconds.iter_mut().for_each(|second| second.begin(tick));
        self.answers.send_batch(&mut self.closing);
        let legs_changed = std::mem::take(&mut self.legs_changed);
        if let Some(shard) = &self.shard {
            let mut shard = shard.borrow_mut();
            // A recovered shard that got no documents at all learns here that there are none.
            if shard.has_finished_work() || shard.is_recovering() || legs_changed {
                if let Err(error) = shard.apply(tick, Vec::new()) {
                    panic!("tick {tick}: {error}");
                }
                self.publisher.register(tick, self.number, shard.state());
            }
        }
    }

    /// Takes a batch into the tick.
    pub fn give(&mut self, mut batch: Batch) {
        self.publisher.count(self.tick, |counts| {
            counts.messages += batch.messages;
            counts.changes += batch.changes.len() as u64;
            counts.dead_letters += batch.dead_letters;
        });
        if let Some(last) = batch.last {
            let reading = Reading {
                partition: batch.partition,
                last,
                committed_ms: batch.committed_ms,
                newest_ms: batch.newest_ms,
                arrived: batch.arrived,
            };
            self.publisher.read(self.tick, reading);
        }
        if let Some(entered) = batch.entered {
            // Who asked may have gone away.
            let _ = entered.send(self.tick);
        }
        self.tables[usize::from(batch.table.0)].send_batch(&mut batch.changes);
    }

    /// Takes what the embedder's threads have computed into the tick.
    pub fn give_answers(&mut self, mut answers: Vec<Answer>) {
        for second in &mut self.seconds {
            second.take_answers(&mut answers);
        }
        self.answers.send_batch(&mut answers);
    }

    /// Does what is to be done about second sets of vectors. Called between two ticks, by all workers between the same.
    pub fn obey(&mut self, worker: &mut Worker, order: &Order) {
        match order {
            Order::Begin(beginning) => self.begin_second(worker, beginning),
            Order::Switch => {}
            Order::Drop => self.drop_second(),
        }
    }

    fn begin_second(&mut self, worker: &mut Worker, beginning: &Beginning) {
        let Beginning {
            field, set, embed, ..
        } = beginning;
        let Some(shard) = &self.shard else { return };
        let lane = open_lane(set.leg, field, embed, &self.publisher, worker.peers());
        let Some(lane) = lane else { return };
        lane.borrow_mut().restore([]);
        {
            let mut shard = shard.borrow_mut();
            shard.add_leg(field, set.dimensions, &self.settings);
            shard.note_changes(true);
            self.publisher.note_unfed(self.number, shard.documents().slots());
        }
        self.legs_changed = true;
        let publisher = self.publisher.clone();
        let second = SecondFlow::build(worker, self.tick, set.leg, lane, shard.clone(), publisher);
        self.seconds.push(second);
    }

    fn drop_second(&mut self) {
        let (Some(shard), Some(second)) = (&self.shard, self.publisher.second()) else {
            return;
        };
        let leg = second.set.leg;
        let mut shard = shard.borrow_mut();
        shard.close_leg(leg);
        self.legs_changed = true;
        self.seconds.retain(|second| second.leg() != leg);
        if self.seconds.is_empty() {
            shard.note_changes(false);
        }
        if let Some(lane) = self.lanes.get(usize::from(leg)).and_then(Option::as_ref) {
            // It is called where there is something for it: here an answer to nothing, which finds its way to this worker.
            lane.borrow_mut().close();
            let lane = lane.borrow().texts().lane();
            let hash = TextHash::new(lane, self.number as u128);
            self.closing.push(Answer { hash, vector: None });
        }
    }

    /// Hands a tick that the flow has done to the second sets, once; whether it did.
    pub fn follow(&mut self) -> bool {
        let Some(shard) = &self.shard else { return false };
        if self.seconds.iter().all(|second| second.is_fed(self.tick)) || self.is_first_undone() {
            return false;
        }
        let mut shard = shard.borrow_mut();
        let changes = shard.noted();
        for second in &mut self.seconds {
            second.feed(self.tick, &changes, &shard);
        }
        let left = self.seconds.iter().map(|second| second.left(&shard)).sum();
        self.publisher.note_unfed(self.number, left);
        true
    }

    /// Whether some worker has not done everything in the flow itself up to the last tick begun.
    fn is_first_undone(&self) -> bool {
        self.probe.less_than(&Tick(self.tick.0 + 1))
    }

    /// Ends the tick: no more is given to it.
    pub fn end(&mut self) {
        self.advance_to(Tick(self.tick.0 + 1));
    }

    /// Whether all workers have done everything up to the last tick begun.
    pub fn is_done(&self) -> bool {
        !self.is_first_undone() && self.seconds.iter().all(|second| second.is_done(self.tick))
    }

    /// Whether a tick is wanted though no input waits.
    pub fn has_finished_work(&self) -> bool {
        self.shard.as_ref().is_some_and(|shard| {
            let shard = shard.borrow();
            shard.has_finished_work() || self.seconds.iter().any(|second| second.left(&shard) > 0)
        })
    }

    fn advance_to(&mut self, tick: Tick) {
        for table in &mut self.tables {
            table.advance_to(tick);
            table.flush();
        }
        self.answers.advance_to(tick);
        self.answers.flush();
    }
}

/// The flow, in the order in which data moves.
fn flow<'scope>(
    changes: Vec<Stream<'scope, Tick, Vec<Change>>>,
    answers: Stream<'scope, Tick, Vec<Answer>>,
    parts: Parts,
    (states, lanes, shard): (
        Vec<SharedLatest>,
        Vec<Option<SharedLane>>,
        Option<Rc<RefCell<Shard>>>,
    ),
    probe: &ProbeHandle<Tick>,
) {
    let publisher = &parts.publisher;
    let rows: Vec<Rows<'scope>> = changes
        .into_iter()
        .zip(states.clone())
        .map(|(changes, state)| collapse(changes, state, publisher.clone()).probe_with(probe))
        .collect();
    for (rows, watched) in rows.iter().zip(parts.watched) {
        watch(rows, watched);
    }
    let (Some(index), Some(shard)) = (&parts.definition.index, shard) else {
        return;
    };
    let latest = states[usize::from(index.plan.table().0)].clone();
    let documents = documents(view(&rows, &index.plan), latest);
    let fields = (0..).zip(index.vectors.iter().zip(lanes));
    let vectors = fields.map(|(number, (field, lane))| match (&field.source, lane) {
        (VectorSource::Embed { .. }, Some(lane)) => embed(
            documents.clone(),
            number,
            answers.clone(),
            lane,
            publisher.clone(),
        ),
        (VectorSource::Column(source), _) => ready_made(documents.clone(), number, source.clone()),
        (VectorSource::Embed { .. }, None) => unreachable!("a field that embeds has an embedder"),
    });
    let embedded = vectors
        .reduce(|all, of_field| all.concat(of_field))
        .unwrap_or_else(|| without_vectors(documents.clone()));
    maintain(embedded, shard, publisher.clone(), probe);
}

/// The worker's shard as it was stored, or an empty one.
fn open_shard(number: usize, index: &Index, parts: &Parts) -> Shard {
    let embedders: Vec<_> = parts
        .embedding
        .iter()
        .map(|embed| Some(embed.as_ref()?.embedder.clone()))
        .collect();
    let dimensions = dimensions(index, &embedders);
    let stored = parts.resume.as_ref().and_then(|resume| {
        let shard = resume.shards.get(number)?;
        let parts_read = PartReader::new(&*resume.storage);
        stored::open(index, &dimensions, &parts.shard, shard, &parts_read)
            .inspect_err(|error| tracing::warn!(%error, "the stored index is made anew of its rows"))
            .ok()
    });
    stored.unwrap_or_else(|| Shard::new(index, &dimensions, &parts.shard))
}

/// The lanes of the vector fields that embed texts, by field.
fn open_lanes(parts: &Parts, workers: usize) -> Vec<Option<SharedLane>> {
    let fields = parts.definition.index.iter().flat_map(|index| &index.vectors);
    let lane = |(number, (field, embed)): (u16, (&VectorField, &Option<Embed>))| {
        open_lane(number, field, embed.as_ref()?, &parts.publisher, workers)
    };
    (0..).zip(fields.zip(&parts.embedding)).map(lane).collect()
}

/// The lane of a vector field for the leg of this number; `None` where vectors are ready-made.
fn open_lane(
    leg: u16,
    field: &VectorField,
    embed: &Embed,
    publisher: &Publisher,
    workers: usize,
) -> Option<SharedLane> {
    let VectorSource::Embed {
        embedder: settings, ..
    } = &field.source
    else {
        return None;
    };
    let texts = Texts::new(field, &*embed.embedder)?;
    let shown = Shown {
        published: publisher.published().clone(),
        field: leg,
    };
    let lane = Lane::new(embed.embedder.clone(), texts, embed.beside.clone(), shown)
        .telling(embed.refused.clone())
        .caching(settings.lane.cache_bytes / workers);
    Some(lane.shared())
}

/// Gives the worker its share of what was stored, and has it note what changes from now on.
fn note_changes(
    states: &[SharedLatest],
    lanes: &[Option<SharedLane>],
    resume: &Resume,
    (number, workers): (usize, usize),
) {
    for (number, state) in states.iter().enumerate() {
        let truncated = lock(&resume.tables).get(number).and_then(|table| table.truncated);
        state.borrow_mut().note_changes(truncated);
    }
    let is_here = |hash: &TextHash| hash.0 as u64 % workers as u64 == number as u64;
    for lane in lanes.iter().flatten() {
        let mut lane = lane.borrow_mut();
        let of_lane = lane.texts().lane();
        let is_mine = |hash: &TextHash, _: &mut TextVector| hash.lane() == of_lane && is_here(hash);
        let mine: Vec<_> = lock(&resume.texts).extract_if(.., is_mine).collect();
        lane.restore(mine);
    }
}

/// What is behind it is whole even after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a table's rows readable from outside the dataflow.
fn watch(rows: &Rows<'_>, watched: Watched) {
    rows.clone().inspect(move |((key, row), _, diff)| {
        let mut watched = watched.borrow_mut();
        if *diff > 0 {
            watched.insert(key.clone(), row.clone());
        } else if watched.get(key) == Some(row) {
            watched.remove(key);
        }
    });
}
