//! From a source's thread into the dataflow: decode, keep what cannot be decoded, hand on in bounded batches.
//!
//! Decoding runs on the thread that reads. The queue behind it is bounded by bytes and by batches; a source
//! whose batch finds no room waits, and reads no more: that is the back-pressure.

mod budget;
mod dead_letters;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver as Queue, Sender};
use tokio::sync::oneshot;

use budget::Budget;
pub use dead_letters::{
    Also, DeadLetter, DeadLetters, Dropped, Letter, LetterDocument, Page, ReplayError, Replayed,
    UnembeddedText,
};

use crate::change::{Change, Offset, PartitionId, TableId, Tick};
use crate::decode::{Cause, Decoded, Decoder, Message};
use crate::definition::{Definition, Table};
use crate::metrics::{Metrics, TableMetrics};
use crate::source::{Closed, NotTaken, Partition, Receiver, Receivers, Room, Taken};

/// Bytes of messages between sources and workers, at a node. More would only make a tick wait behind older ones.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Batches between sources and workers.
const QUEUE_BATCHES_MAX: usize = 1024;

/// Decoded messages of one partition, in order.
#[derive(Debug)]
pub struct Batch {
    pub table: TableId,
    /// `table/partition`.
    pub partition: Arc<str>,
    /// The position of the last message; `None` where messages are replayed, which moves no position.
    pub last: Option<Offset>,
    pub messages: u64,
    pub dead_letters: u64,
    /// When the source committed the oldest change, in milliseconds since 1970, where messages say.
    pub committed_ms: Option<i64>,
    /// The same of the newest.
    pub newest_ms: Option<i64>,
    pub arrived: Instant,
    pub bytes: usize,
    pub changes: Vec<Change>,
    /// Told the tick that the batch enters, where somebody wants to know.
    pub entered: Option<oneshot::Sender<Tick>>,
}

impl Batch {
    /// What became of its messages.
    fn becomes(&self) -> Taken {
        Taken {
            changes: self.changes.len() as u64,
            dead_letters: self.dead_letters,
        }
    }
}

/// The door into the dataflow, shared by all sources of a node.
pub struct Intake {
    definition: Arc<Definition>,
    batches: Sender<Batch>,
    budget: Budget,
    dead_letters: DeadLetters,
    metrics: Metrics,
    wake: Arc<dyn Fn() + Send + Sync>,
    partitions: Mutex<Partitions>,
    /// What rows of a table are known to have had before this start.
    columns: Mutex<BTreeMap<TableId, BTreeSet<String>>>,
    /// Changes of tables that have been told.
    told: Mutex<BTreeSet<(TableId, String)>>,
}

/// The partitions seen so far, by `table/partition`.
#[derive(Default)]
struct Partitions {
    numbers: BTreeMap<String, PartitionId>,
    /// Where the run before has come to.
    positions: BTreeMap<String, u64>,
    /// The last position of each that is on its way to the workers, or there.
    accepted: BTreeMap<String, u64>,
}

impl Intake {
    /// The intake, and the queue that the workers drain with [`Intake::taken`].
    pub fn new(
        definition: Arc<Definition>,
        dead_letters: DeadLetters,
        metrics: Metrics,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> (Arc<Intake>, Queue<Batch>) {
        Intake::with_queue(definition, dead_letters, metrics, wake, QUEUE_BYTES_MAX)
    }

    /// The same, with room for so many bytes of messages in the queue.
    pub fn with_queue(
        definition: Arc<Definition>,
        dead_letters: DeadLetters,
        metrics: Metrics,
        wake: Arc<dyn Fn() + Send + Sync>,
        bytes_max: usize,
    ) -> (Arc<Intake>, Queue<Batch>) {
        let (batches, queue) = crossbeam_channel::bounded(QUEUE_BATCHES_MAX);
        dead_letters.count_in(&metrics);
        let intake = Intake {
            definition,
            batches,
            budget: Budget::new(bytes_max, QUEUE_BATCHES_MAX),
            dead_letters,
            metrics,
            wake,
            partitions: Mutex::default(),
            columns: Mutex::default(),
            told: Mutex::default(),
        };
        (Arc::new(intake), queue)
    }

    /// What the source of a table gives its messages to.
    pub fn receivers(self: &Arc<Intake>, table: TableId) -> Arc<dyn Receivers> {
        Arc::new(TableReceivers {
            intake: self.clone(),
            table,
        })
    }

    /// Notes that a worker has taken a batch: there is room for others.
    pub fn taken(&self, batch: &Batch) {
        self.budget.release(batch.bytes);
        self.metrics.set_intake(self.batches.len(), self.budget.used());
    }

    /// Waits until the queue has room; the time shows in the metrics.
    fn wait_for_room(&self, bytes: usize) -> Result<(), Closed> {
        match self.budget.try_acquire(bytes) {
            Ok(()) => Ok(()),
            Err(NotTaken::Closed) => Err(Closed),
            Err(NotTaken::Full) => {
                let began = Instant::now();
                let acquired = self.budget.acquire(bytes);
                self.metrics.intake_waited(began.elapsed());
                acquired.map_err(|_| Closed)
            }
        }
    }

    /// Lets no more messages in; who waits for room is told so.
    pub fn close(&self) {
        self.budget.close();
    }

    /// Goes on from the partitions of the run before. Called before the first source starts.
    pub fn restore(&self, numbers: BTreeMap<String, PartitionId>, positions: BTreeMap<String, u64>) {
        *lock(&self.partitions) = Partitions {
            numbers,
            positions,
            accepted: BTreeMap::new(),
        };
    }

    /// The numbers of all partitions seen so far, by `table/partition`.
    pub fn numbers(&self) -> BTreeMap<String, PartitionId> {
        lock(&self.partitions).numbers.clone()
    }

    /// The partition of this number, as `table/partition`.
    pub fn partition(&self, id: PartitionId) -> Option<String> {
        let partitions = lock(&self.partitions);
        let mut numbers = partitions.numbers.iter();
        numbers.find_map(|(name, number)| (*number == id).then(|| name.clone()))
    }

    /// How far each partition has been taken in since the start, by `table/partition`.
    pub fn accepted(&self) -> BTreeMap<String, u64> {
        lock(&self.partitions).accepted.clone()
    }

    /// The same of one partition.
    pub fn accepted_of(&self, partition: &str) -> Option<u64> {
        lock(&self.partitions).accepted.get(partition).copied()
    }

    /// Notes a batch before it is on its way.
    fn accept(&self, batch: &Batch) {
        if let Some(Offset(last)) = batch.last {
            let mut partitions = lock(&self.partitions);
            match partitions.accepted.get_mut(&*batch.partition) {
                Some(accepted) => *accepted = last.max(*accepted),
                None => drop(partitions.accepted.insert(batch.partition.to_string(), last)),
            }
        }
    }

    /// Where what cannot be decoded is kept.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    /// Says that kept rows of a table have these columns: one that the index needs and a new row lacks was dropped.
    ///
    /// For recovered rows, before the sources start.
    pub fn expect_columns<'a>(&self, table: TableId, columns: impl IntoIterator<Item = &'a str>) {
        let mut known = lock(&self.columns);
        known
            .entry(table)
            .or_default()
            .extend(columns.into_iter().map(str::to_owned));
    }

    fn table(&self, table: TableId) -> &Table {
        &self.definition.tables[usize::from(table.0)]
    }

    /// The number of a partition, as `table/partition`: a new one where it was not known.
    fn partition_number(&self, name: &str) -> PartitionId {
        lock(&self.partitions).find(name).0
    }

    fn decoder(&self, table: TableId) -> Decoder {
        let decoder = Decoder::new(self.table(table));
        if let Some(columns) = lock(&self.columns).get(&table) {
            decoder.expect_columns(columns.iter().map(String::as_str));
        }
        decoder
    }

    /// Sends a batch when there is room for it.
    fn send(&self, batch: Batch) -> Result<(), Closed> {
        self.wait_for_room(batch.bytes)?;
        self.accept(&batch);
        self.batches.send(batch).map_err(|_| Closed)?;
        (self.wake)();
        Ok(())
    }

    /// Counts rows that a change of their table made dead letters, and says so once a change.
    fn tell_schema_changes(&self, table: TableId, metrics: &TableMetrics, dead: &[DeadLetter<'_>]) {
        let affected = dead.iter().filter(|letter| letter.cause == Cause::SchemaChange);
        for letter in affected {
            metrics.schema_refused();
            if lock(&self.told).insert((table, letter.reason.clone())) {
                tracing::warn!(
                    table = letter.table,
                    partition = &*letter.partition,
                    offset = letter.message.offset.0,
                    "the source table has changed: {}; such rows are kept as dead letters, and what was indexed of \
                     them before stays",
                    letter.reason
                );
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partitions {
    /// The number of a partition, a new one for a new partition, and where it was left.
    fn find(&mut self, name: &str) -> (PartitionId, Option<Offset>) {
        let unused = self.numbers.values().map(|PartitionId(number)| number + 1).max();
        let unused = PartitionId(unused.unwrap_or(0));
        let number = *self.numbers.entry(name.to_owned()).or_insert(unused);
        (number, self.positions.get(name).copied().map(Offset))
    }
}

struct TableReceivers {
    intake: Arc<Intake>,
    table: TableId,
}

impl Receivers for TableReceivers {
    fn partition(&self, name: &str) -> Partition {
        let table = self.intake.table(self.table);
        let name = format!("{}/{name}", table.name);
        let (id, resume_after) = lock(&self.intake.partitions).find(&name);
        let receiver = PartitionReceiver {
            intake: self.intake.clone(),
            decoder: self.intake.decoder(self.table),
            table: self.table,
            partition: Arc::from(name),
            metrics: self.intake.metrics.table(&table.name),
        };
        Partition {
            id,
            resume_after,
            receiver: Box::new(receiver),
        }
    }
}

/// Decodes one partition on its source's thread.
struct PartitionReceiver {
    intake: Arc<Intake>,
    decoder: Decoder,
    table: TableId,
    partition: Arc<str>,
    metrics: TableMetrics,
}

impl Receiver for PartitionReceiver {
    fn receive(&mut self, messages: &[Message<'_>]) -> Result<(), Closed> {
        let Some((batch, dead)) = self.decode(messages) else {
            return Ok(());
        };
        self.intake.wait_for_room(batch.bytes)?;
        self.take(batch, &dead);
        Ok(())
    }

    fn reserve<'a>(&'a mut self, messages: &[Message<'a>]) -> Result<Box<dyn Room + 'a>, NotTaken> {
        let decoded = self.decode(messages);
        if let Some((batch, _)) = &decoded {
            self.intake.budget.try_acquire(batch.bytes)?;
        }
        Ok(Box::new(Reserved {
            receiver: self,
            decoded,
        }))
    }
}

/// A batch that has its part of the budget.
struct Reserved<'a> {
    receiver: &'a PartitionReceiver,
    /// `None` where there were no messages, or when they are taken.
    decoded: Option<(Batch, Vec<DeadLetter<'a>>)>,
}

impl Room for Reserved<'_> {
    fn taken(&self) -> Taken {
        self.decoded
            .as_ref()
            .map(|(batch, _)| batch.becomes())
            .unwrap_or_default()
    }

    fn take(mut self: Box<Self>) {
        if let Some((batch, dead)) = self.decoded.take() {
            self.receiver.take(batch, &dead);
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some((batch, _)) = &self.decoded {
            self.receiver.intake.budget.release(batch.bytes);
        }
    }
}

impl PartitionReceiver {
    fn decode<'m>(&mut self, messages: &[Message<'m>]) -> Option<(Batch, Vec<DeadLetter<'m>>)> {
        decode_batch(
            &mut self.decoder,
            self.intake.table(self.table),
            self.table,
            &self.partition,
            messages,
        )
    }

    /// Puts a batch that has its part of the budget into the queue, which has room for it then.
    fn take(&self, batch: Batch, dead: &[DeadLetter<'_>]) {
        // Kept before the batch is on its way: what cannot be decoded never leaves the stream silently.
        self.intake.dead_letters.keep(dead);
        self.metrics.read(batch.messages, batch.becomes().changes);
        self.metrics.dead_letters(batch.dead_letters);
        self.intake.tell_schema_changes(self.table, &self.metrics, dead);
        // Without workers the node is ending: what has come is read again by the next one.
        self.intake.accept(&batch);
        let _ = self.intake.batches.send(batch);
        (self.intake.wake)();
    }
}

/// Decodes messages of one partition into a batch; `None` where there are none.
pub fn decode_batch<'m>(
    decoder: &mut Decoder,
    table: &Table,
    id: TableId,
    partition: &Arc<str>,
    messages: &[Message<'m>],
) -> Option<(Batch, Vec<DeadLetter<'m>>)> {
    let last = messages.last()?.offset;
    let mut decoded = Decoded::default();
    let mut dead = Vec::new();
    for message in messages {
        decoder.decode(message, &mut decoded);
        dead.extend(decoded.refusals.drain(..).map(|refusal| DeadLetter {
            reason: refusal.reason,
            cause: refusal.cause,
            table: table.name.clone(),
            partition: partition.clone(),
            row: refusal.row,
            message: *message,
        }));
    }
    let bytes = messages
        .iter()
        .map(|message| size(message.key) + size(message.value))
        .sum();
    let committed = || decoded.changes.iter().filter_map(|change| change.committed_ms);
    let batch = Batch {
        table: id,
        partition: partition.clone(),
        last: Some(last),
        messages: messages.len() as u64,
        dead_letters: dead.len() as u64,
        committed_ms: committed().min(),
        newest_ms: committed().max(),
        arrived: Instant::now(),
        bytes,
        changes: decoded.changes,
        entered: None,
    };
    Some((batch, dead))
}

fn size(part: Option<&[u8]>) -> usize {
    part.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_found_also_where_messages_are_delivered_again() {
        let toml = r#"
name = "things"
[tables.things]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
"#;
        let definition = crate::definition::parse(toml, "things", std::path::Path::new(".")).unwrap();
        let table = &definition.tables[0];
        let messages: Vec<Message<'_>> = [
            (7, r#"{"id":7}"#),
            (8, "broken"),
            (9, "also broken"),
            (7, r#"{"id":7}"#),
            (8, "broken"),
        ]
        .into_iter()
        .map(|(offset, value)| Message {
            topic: "",
            partition: PartitionId(0),
            offset: Offset(offset),
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
            timestamp_ms: None,
        })
        .collect();
        let (batch, dead) = decode_batch(
            &mut Decoder::new(table),
            table,
            TableId(0),
            &"things/0".into(),
            &messages,
        )
        .unwrap();
        let offsets: Vec<u64> = dead.iter().map(|letter| letter.message.offset.0).collect();
        assert_eq!(offsets, [8, 9, 8]);
        assert_eq!((batch.dead_letters, batch.changes.len()), (3, 2));
    }
}
