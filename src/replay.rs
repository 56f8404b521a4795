//! Drives the flow by hand, tick after tick, on the caller's thread: same messages, same answers.
//!
//! A tick is what is fed between two calls of [`Replay::tick`]. There are no threads and no clock: compaction and
//! embedding happen inside the tick, vector search is exact.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::worker::Worker;

use crate::change::{Key, Offset, PartitionId, Row, TableId, Tick};
use crate::dataflow::publish::Publisher;
use crate::dataflow::{Job, Parts, Watched};
use crate::decode::{Decoder, Message};
use crate::definition::Definition;
use crate::embed::FieldEmbedders;
use crate::index::shard::ShardSettings;
use crate::index::{Published, Snapshot};
use crate::intake::{DeadLetters, decode_batch};
use crate::metrics::Metrics;
use crate::node::embed_inside;
use crate::query::Searcher;

/// A flow that the caller steps.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use millpond::{change::TableId, definition, intake::DeadLetters, query::SearchRequest, replay::Replay};
///
/// let definition = definition::parse(
///     r#"
///     name = "notes"
///     tables.notes = { source = { kind = "http" }, format = "upsert-json", key = ["id"] }
///     index = { query = "SELECT id, text FROM notes", key = "id", text = { text = {} } }
///     "#,
///     "notes",
///     Path::new("."),
/// )?;
/// let mut replay = Replay::new(Arc::new(definition), Vec::new(), DeadLetters::discard());
/// replay.feed_values(TableId(0), 0, &[br#"{"id": 1, "text": "calm water"}"#]);
/// replay.tick();
/// let request = SearchRequest { query: Some("waters".into()), ..SearchRequest::default() };
/// let answer = replay.searcher().unwrap().search_in(&replay.snapshot(), &request)?;
/// assert_eq!(&*answer.hits[0].key, "1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replay {
    definition: Arc<Definition>,
    job: Job,
    worker: Worker,
    published: Arc<Published>,
    publisher: Arc<Publisher>,
    searcher: Option<Searcher>,
    partitions: BTreeMap<(TableId, String), PartitionState>,
    tables: Vec<Watched>,
    dead_letters: DeadLetters,
}

struct PartitionState {
    id: PartitionId,
    name: Arc<str>,
    decoder: Decoder,
}

impl Replay {
    /// A flow without messages, with the embedders of the index's vector fields.
    pub fn new(definition: Arc<Definition>, embedders: FieldEmbedders, dead_letters: DeadLetters) -> Replay {
        let published = Arc::new(Published::new(Snapshot::empty()));
        let metrics = Metrics::default();
        let publisher = Arc::new(Publisher::new(published.clone(), metrics.clone()));
        let tables: Vec<Watched> = definition.tables.iter().map(|_| Watched::default()).collect();
        let parts = Parts {
            definition: definition.clone(),
            embedding: embed_inside(&definition, &embedders, &dead_letters, &metrics),
            shard: ShardSettings {
                repeatable: true,
                wake: Arc::new(|| {}),
                folder: None,
            },
            publisher: publisher.clone(),
            resume: None,
            watched: tables.clone(),
        };
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(WorkerConfig::default(), allocator, None);
        let mut job = Job::build(&mut worker, parts);
        job.begin(Tick(1));
        let searcher = definition
            .index
            .is_some()
            .then(|| Searcher::new(definition.clone(), published.clone(), embedders).patient());
        Replay {
            definition,
            job,
            worker,
            published,
            publisher,
            searcher,
            partitions: BTreeMap::new(),
            tables,
            dead_letters,
        }
    }

    /// Gives messages of one partition to the tick; their partition ids are set here.
    pub fn feed(&mut self, table: TableId, partition: &str, messages: &[Message<'_>]) {
        let definition = self.definition.clone();
        let table_definition = &definition.tables[usize::from(table.0)];
        let next = PartitionId(self.partitions.len() as u32);
        let state = self
            .partitions
            .entry((table, partition.to_owned()))
            .or_insert_with(|| PartitionState {
                id: next,
                name: Arc::from(format!("{}/{partition}", table_definition.name)),
                decoder: Decoder::new(table_definition),
            });
        let messages: Vec<Message<'_>> = messages
            .iter()
            .map(|message| Message {
                partition: state.id,
                ..*message
            })
            .collect();
        let decoded = decode_batch(
            &mut state.decoder,
            table_definition,
            table,
            &state.name,
            &messages,
        );
        if let Some((batch, dead)) = decoded {
            self.dead_letters.keep(&dead);
            self.job.give(batch);
        }
    }

    /// Gives message values to the tick, with offsets that go on from `first`.
    pub fn feed_values(&mut self, table: TableId, first: u64, values: &[&[u8]]) {
        let messages: Vec<Message<'_>> = values
            .iter()
            .zip(first..)
            .map(|(value, offset)| Message {
                topic: "",
                partition: PartitionId(0),
                offset: Offset(offset),
                key: None,
                value: Some(value),
                headers: &[],
                timestamp_ms: None,
            })
            .collect();
        self.feed(table, "0", &messages);
    }

    /// Ends the tick: afterwards everything fed so far is searchable.
    pub fn tick(&mut self) -> Tick {
        let tick = self.job.tick();
        self.job.end();
        while !self.job.is_done() {
            self.worker.step();
        }
        self.publisher.publish(tick);
        self.job.begin(Tick(tick.0 + 1));
        tick
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.snapshot()
    }

    /// `None` where the definition has no index.
    pub fn searcher(&self) -> Option<&Searcher> {
        self.searcher.as_ref()
    }

    /// The rows of a table after the last tick, by key.
    pub fn rows(&self, table: TableId) -> Vec<(Key, Row)> {
        let rows = self.tables[usize::from(table.0)].borrow();
        rows.iter().map(|(key, row)| (key.clone(), row.clone())).collect()
    }

    /// The rows of all tables after the last tick.
    pub fn row_count(&self) -> usize {
        self.tables.iter().map(|table| table.borrow().len()).sum()
    }
}
