//! Changes -> collapse -> view -> embed -> maintain, on timely workers. The only folder that names timely and differential.
//!
//! [`Job`] is the whole flow on one worker. A node gives it batches at its ticks ([`worker`]); a replay steps it
//! by hand; a larger timely job uses the operators by themselves.

pub mod collapse;
pub mod embed;
mod embed_batch;
pub mod embedders;
pub mod lane;
pub mod latest;
pub mod maintain;
pub mod publish;
mod tick;
pub mod view;
pub mod worker;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use timely::dataflow::operators::vec::Input;
use timely::dataflow::{InputHandle, ProbeHandle, Stream};
use timely::worker::Worker;

use collapse::{Rows, collapse};
use embed::{embed, ready_made};
use lane::{Answer, Beside, Lane, Refused, Texts};
use latest::Keep;
use maintain::maintain;
use publish::{Publisher, Reading};
use view::view;

use crate::change::{Change, Key, Row, Tick};
use crate::definition::{Definition, Format, Index, VectorSource};
use crate::embed::Embedder;
use crate::index::Shard;
use crate::index::shard::ShardSettings;
use crate::intake::Batch;

/// What the flow of one worker is built from.
pub struct Parts {
    pub definition: Arc<Definition>,
    /// Where the index embeds texts.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// Where texts go that a tick does not embed itself.
    pub beside: Beside,
    /// Told of texts that will never be embedded.
    pub refused: Refused,
    pub shard: ShardSettings,
    pub publisher: Arc<Publisher>,
    /// Makes the rows of the first tables readable from outside, one for each entry.
    pub watched: Vec<Watched>,
}

/// The rows of a table as they stand: what [`Parts::watched`] fills.
pub type Watched = Rc<RefCell<BTreeMap<Key, Arc<Row>>>>;

/// The flow on one worker: takes batches at one tick after the other.
pub struct Job {
    tick: Tick,
    tables: Vec<InputHandle<Tick, timely::container::CapacityContainerBuilder<Vec<Change>>>>,
    answers: InputHandle<Tick, timely::container::CapacityContainerBuilder<Vec<Answer>>>,
    probe: ProbeHandle<Tick>,
    shard: Option<Rc<RefCell<Shard>>>,
    number: usize,
    publisher: Arc<Publisher>,
}

impl Job {
    /// Builds the flow on a worker; all workers build the same.
    pub fn build(worker: &mut Worker, parts: Parts) -> Job {
        let number = worker.index();
        let publisher = parts.publisher.clone();
        let index = parts.definition.index.as_ref();
        let shard = index.map(|index| {
            let dimensions = dimensions(index, parts.embedder.as_deref());
            Rc::new(RefCell::new(Shard::new(index, dimensions, &parts.shard)))
        });
        if let Some(shard) = &shard {
            publisher.register(Tick(0), number, shard.borrow().state());
        }
        let mut tables: Vec<_> = parts
            .definition
            .tables
            .iter()
            .map(|_| InputHandle::new())
            .collect();
        let mut answers = InputHandle::new();
        let probe = ProbeHandle::new();
        worker.dataflow::<Tick, _, _>(|scope| {
            let changes = tables.iter_mut().map(|table| scope.input_from(table)).collect();
            let answers = scope.input_from(&mut answers);
            flow(changes, answers, parts, shard.clone(), &probe);
        });
        let mut job = Job {
            tick: Tick(0),
            tables,
            answers,
            probe,
            shard,
            number,
            publisher,
        };
        // Tick 0 is the empty state, and done.
        job.end();
        job
    }

    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Begins a tick, which is later than the last one. Background work that has finished enters now.
    pub fn begin(&mut self, tick: Tick) {
        assert!(tick > self.tick, "ticks grow: {tick} after {}", self.tick);
        self.tick = tick;
        self.advance_to(tick);
        if let Some(shard) = &self.shard {
            let mut shard = shard.borrow_mut();
            if shard.has_finished_work() {
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
        self.answers.send_batch(&mut answers);
    }

    /// Ends the tick: no more is given to it.
    pub fn end(&mut self) {
        self.advance_to(Tick(self.tick.0 + 1));
    }

    /// Whether all workers have done everything up to the last tick begun.
    pub fn is_done(&self) -> bool {
        !self.probe.less_than(&Tick(self.tick.0 + 1))
    }

    pub fn has_finished_work(&self) -> bool {
        self.shard
            .as_ref()
            .is_some_and(|shard| shard.borrow().has_finished_work())
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
    shard: Option<Rc<RefCell<Shard>>>,
    probe: &ProbeHandle<Tick>,
) {
    let publisher = &parts.publisher;
    let rows: Vec<Rows<'scope>> = changes
        .into_iter()
        .zip(&parts.definition.tables)
        .map(|(changes, table)| {
            let keep = Keep {
                unavailable_values: table.format == Format::DebeziumJson,
                forget_tombstones: !parts.shard.repeatable,
            };
            collapse(changes, keep, publisher.clone()).probe_with(probe)
        })
        .collect();
    for (rows, watched) in rows.iter().zip(parts.watched) {
        watch(rows, watched);
    }
    let (Some(index), Some(shard)) = (&parts.definition.index, shard) else {
        return;
    };
    let documents = view(&rows, &index.plan);
    let embedded = match (&index.vectors, parts.embedder) {
        (VectorSource::Embed { template, .. }, Some(embedder)) => {
            let texts = Texts::new(template.clone(), &*embedder);
            embed(
                documents,
                answers,
                Lane::new(embedder, texts, parts.beside).telling(parts.refused),
                publisher.clone(),
            )
        }
        (source, _) => ready_made(documents, source),
    };
    maintain(embedded, shard, publisher.clone(), probe);
}

fn dimensions(index: &Index, embedder: Option<&dyn Embedder>) -> Option<usize> {
    match &index.vectors {
        VectorSource::Embed { .. } => embedder.map(|embedder| embedder.dimensions()),
        VectorSource::Column { dimensions, .. } => Some(*dimensions),
        VectorSource::Absent => None,
    }
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
