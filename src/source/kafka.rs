//! Kafka: all partitions of one or several topics, by `assign`. The only file that names rdkafka.
//!
//! One thread coordinates: it looks for new partitions, assigns them, measures the lag, and serves librdkafka's logs,
//! errors and commit answers. Each partition has a queue and a thread of its own, which decodes and blocks in its
//! receiver while the node is behind. A queue that is not read fills up, and then librdkafka fetches no more.
//!
//! | the broker                          | here                                                           |
//! |-------------------------------------|----------------------------------------------------------------|
//! | has removed the next position       | reading goes on at the earliest one there is, with a warning   |
//! | gives positions that were read      | they are skipped, and the status says so: positions only grow  |
//! | is gone                             | the status says so, and librdkafka connects again              |

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_message_headers};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientContext, Offset as At, TopicPartitionList};

use super::kafka_settings::{client_settings, refresh_interval, refused, without_secrets};
use super::{Partition, Receivers, SourceError, Status, Stop};
use crate::change::Offset;
use crate::decode::Message;
use crate::definition::{KafkaSettings, KafkaStart};

/// How long a broker may take to answer at the start, before it counts as absent.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one question to the broker may take. It is also how long stopping may take while no broker answers.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// How soon partitions are looked for again while something is wrong.
const RETRY: Duration = Duration::from_secs(1);

/// How long a thread waits for messages before it looks whether it should stop.
const POLL: Duration = Duration::from_millis(100);

/// How long stopping waits for the client to close. It takes a tenth of a second where the broker is there.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Messages and bytes handed over at once: enough to pay for a call, little enough to wait behind.
const BATCH_MESSAGES_MAX: usize = 1_024;
const BATCH_BYTES_MAX: usize = 1 << 20;

type Client = BaseConsumer<Context>;

/// A topic and the number of a partition of it.
type Place = (String, i32);

/// Starts to read the topics of a table. Returns the thread that ends last.
pub(super) fn start(
    table: &str,
    settings: &KafkaSettings,
    receivers: Arc<dyn Receivers>,
    status: Status,
    stop: Stop,
) -> Result<(JoinHandle<()>, Committer), SourceError> {
    // The limits of a client are fixed when it is made and depend on the partitions, so a first client asks for them.
    let partitions = count_partitions(&client(settings, 1, &status)?, settings, &stop)?;
    let client = Arc::new(client(settings, partitions, &status)?);
    let committer = Committer {
        client: client.clone(),
        topics: settings.topics.clone(),
    };
    let coordinator = Coordinator {
        client,
        table: table.to_owned(),
        settings: settings.clone(),
        receivers,
        status,
        stop,
        at_start: true,
        found: BTreeMap::new(),
        assigned: BTreeMap::new(),
    };
    let thread = thread::Builder::new()
        .name(format!("kafka {table}"))
        .spawn(move || coordinator.run())
        .map_err(|cause| SourceError::Thread {
            table: table.to_owned(),
            cause,
        })?;
    Ok((thread, committer))
}

fn client(settings: &KafkaSettings, partitions: usize, status: &Status) -> Result<Client, SourceError> {
    let mut config = ClientConfig::from_iter(client_settings(settings, partitions)?);
    config.set_log_level(RDKafkaLogLevel::Info);
    let context = Context {
        settings: settings.clone(),
        status: status.clone(),
        last_error: Mutex::default(),
        commits_fail: AtomicBool::new(false),
    };
    config.create_with_context(context).map_err(|error| match error {
        // Its own text names the value.
        KafkaError::ClientConfig(_, reason, name, _) if reason.contains(&name) => refused(settings, &reason),
        KafkaError::ClientConfig(_, reason, name, _) => refused(settings, &format!("`{name}`: {reason}")),
        KafkaError::ClientCreation(reason) => refused(settings, &reason),
        error => refused(settings, &error.to_string()),
    })
}

/// How many partitions the topics have, or why they cannot be read.
fn count_partitions(client: &Client, settings: &KafkaSettings, stop: &Stop) -> Result<usize, SourceError> {
    let deadline = Instant::now() + REACH_TIMEOUT;
    let brokers = &settings.brokers;
    let mut count = 0;
    for topic in &settings.topics {
        count += loop {
            let reason = match partitions_of(client, topic) {
                Ok(partitions) => break partitions.len(),
                Err(Unknown::Topic) => {
                    let (topic, brokers) = (topic.clone(), brokers.clone());
                    return Err(SourceError::NoTopic {
                        hint: other_topics(client, &topic),
                        topic,
                        brokers,
                    });
                }
                Err(Unknown::Refused(reason)) => {
                    let (topic, brokers) = (topic.clone(), brokers.clone());
                    return Err(SourceError::TopicRefused {
                        topic,
                        brokers,
                        reason,
                    });
                }
                Err(Unknown::Unreachable(reason)) => reason,
            };
            // Serves the errors that say more than "timed out".
            while client.poll(Duration::ZERO).is_some() {}
            if Instant::now() >= deadline || stop.wait(Duration::from_millis(100)) {
                let reason = client.context().last_error().clone().unwrap_or(reason);
                let seconds = REACH_TIMEOUT.as_secs();
                return Err(SourceError::KafkaUnreachable {
                    brokers: brokers.clone(),
                    seconds,
                    reason,
                });
            }
        };
    }
    Ok(count)
}

/// Why the partitions of a topic are not known.
enum Unknown {
    Unreachable(String),
    Topic,
    Refused(String),
}

/// The partitions of a topic, and whether each has a leader to read from.
fn partitions_of(client: &Client, topic: &str) -> Result<Vec<(i32, bool)>, Unknown> {
    let metadata = client
        .fetch_metadata(Some(topic), ASK_TIMEOUT)
        .map_err(|error| Unknown::Unreachable(reason(&error)))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Err(Unknown::Topic);
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Err(Unknown::Topic);
        }
        // A topic that was just made has no leaders for a moment.
        Some(code @ RDKafkaErrorCode::LeaderNotAvailable) => {
            return Err(Unknown::Unreachable(code.to_string()));
        }
        Some(code) => return Err(Unknown::Refused(code.to_string())),
    }
    Ok(found
        .partitions()
        .iter()
        .map(|partition| (partition.id(), partition.leader() >= 0))
        .collect())
}

/// Ends the sentence that a topic does not exist: what else there is.
fn other_topics(client: &Client, wanted: &str) -> String {
    const SHOWN_MAX: usize = 20;
    let Ok(metadata) = client.fetch_metadata(None, ASK_TIMEOUT) else {
        return String::new();
    };
    let internal = |name: &&str| name.starts_with("__");
    let mut names: Vec<&str> = metadata
        .topics()
        .iter()
        .map(|topic| topic.name())
        .filter(|n| !internal(n))
        .collect();
    names.sort_unstable();
    let close = names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let meant = match close {
        Some((likeness, name)) if likeness > 0.85 => format!("; did you mean `{name}`?"),
        _ => String::new(),
    };
    match names.len() {
        0 => "; there are no topics".to_owned(),
        1..=SHOWN_MAX => format!("{meant} (there are: {})", names.join(", ")),
        more => format!(
            "{meant} (there are: {}, and {} more)",
            names[..SHOWN_MAX].join(", "),
            more - SHOWN_MAX
        ),
    }
}

/// What librdkafka says, without our wrapper's words.
fn reason(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| error.to_string(), |code| code.to_string())
}

/// The name of a partition in the node: with one topic its number, with several the topic too.
fn partition_name(topics: &[String], (topic, partition): &Place) -> String {
    match topics {
        [_] => partition.to_string(),
        _ => format!("{topic}:{partition}"),
    }
}

/// The inverse of [`partition_name`]; `None` for a name that belongs to no topic of ours.
fn place_of<'a>(topics: &'a [String], name: &'a str) -> Option<(&'a str, i32)> {
    let (topic, partition) = match topics {
        [topic] => (topic.as_str(), name),
        _ => name
            .rsplit_once(':')
            .filter(|(topic, _)| topics.iter().any(|ours| ours == topic))?,
    };
    Some((topic, partition.parse().ok()?))
}

/// Answers librdkafka's callbacks, on the thread that polls the client.
struct Context {
    settings: KafkaSettings,
    status: Status,
    /// The last one that named a cause.
    last_error: Mutex<Option<String>>,
    commits_fail: AtomicBool,
}

impl Context {
    fn last_error(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trouble that no broker answers: the same text whoever notices it, so that it is logged once.
    fn no_broker(&self, reason: &str) -> String {
        let cause = self.last_error().clone().unwrap_or_else(|| reason.to_owned());
        format!("no broker of Kafka at {} answers: {cause}", self.settings.brokers)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = without_secrets(&self.settings, message);
        match level {
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::debug!(facility, "librdkafka: {message}")
            }
            RDKafkaLogLevel::Debug => tracing::trace!(facility, "librdkafka: {message}"),
            _ => tracing::warn!(facility, "librdkafka: {message}"),
        }
    }

    /// Errors that concern the whole client. One broker of several that is away is none: its partitions move.
    fn error(&self, error: KafkaError, reason: &str) {
        let reason = without_secrets(&self.settings, reason);
        // What follows are times and counts, which make the same cause look like another.
        let reason = reason.split(" (after ").next().unwrap_or_default();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.status.set_trouble(self.no_broker(reason));
        } else {
            tracing::debug!("librdkafka: {error}: {reason}");
            *self.last_error() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.commits_fail.store(false, Ordering::Relaxed),
            Err(error) if !self.commits_fail.swap(true, Ordering::Relaxed) => {
                let group = &self.settings.group;
                tracing::warn!(
                    group,
                    "offsets are not committed, the group's lag will look too large: {error}"
                );
            }
            Err(_) => {}
        }
    }
}

/// Commits offsets to the group, for who watches its lag.
pub(super) struct Committer {
    client: Arc<Client>,
    topics: Vec<String>,
}

impl Committer {
    /// Lets go of the client after its threads have ended. It closes on a thread of its own, because librdkafka waits
    /// without end for a commit whose broker went away meanwhile; nothing that is left to do is worth waiting for.
    pub(super) fn close(self) {
        let (closed, wait) = mpsc::channel::<()>();
        let close = move || {
            drop(self);
            drop(closed);
        };
        if thread::Builder::new()
            .name("kafka close".to_owned())
            .spawn(close)
            .is_ok()
            && wait.recv_timeout(CLOSE_TIMEOUT) == Err(RecvTimeoutError::Timeout)
        {
            tracing::info!("Kafka's client does not close while its broker is away: left behind");
        }
    }

    /// Commits the position after the last offset of each partition. Answers come to [`Context::commit_callback`].
    pub(super) fn commit(&self, positions: &BTreeMap<String, u64>) {
        let mut list = TopicPartitionList::new();
        for (name, last) in positions {
            let next = i64::try_from(*last).ok().and_then(|last| last.checked_add(1));
            if let (Some((topic, partition)), Some(next)) = (place_of(&self.topics, name), next) {
                // Refused only where the offset has a meaning of its own, and those are negative.
                let _ = list.add_partition_offset(topic, partition, At::Offset(next));
            }
        }
        if list.count() > 0
            && let Err(error) = self.client.commit(&list, CommitMode::Async)
        {
            self.client.context().commit_callback(Err(error), &list);
        }
    }
}

/// A partition that is being read.
struct Assigned {
    name: String,
    /// The offset that comes next, or a later one.
    next: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

struct Coordinator {
    client: Arc<Client>,
    table: String,
    settings: KafkaSettings,
    receivers: Arc<dyn Receivers>,
    status: Status,
    stop: Stop,
    /// Until the partitions that were there at the start are assigned; only they can start at the latest message.
    at_start: bool,
    /// Partitions that are not assigned yet.
    found: BTreeMap<Place, Partition>,
    assigned: BTreeMap<Place, Assigned>,
}

impl Coordinator {
    fn run(mut self) {
        let interval = refresh_interval(&self.settings);
        let mut due = Instant::now();
        while !self.stop.is_stopped() {
            if Instant::now() >= due {
                let wait = match self.refresh() {
                    Ok(()) => {
                        *self.client.context().last_error() = None;
                        self.status.clear_trouble();
                        interval
                    }
                    Err(trouble) => {
                        self.status.set_trouble(trouble);
                        interval.min(RETRY)
                    }
                };
                due = Instant::now() + wait;
            }
            // Here come logs, errors and answers to commits. A message would belong to no thread and be lost.
            if let Some(Ok(message)) = self.client.poll(POLL) {
                let (partition, offset) = (message.partition(), message.offset());
                tracing::error!(
                    partition,
                    offset,
                    "a message has come beside its partition's queue and is lost"
                );
            }
        }
        for (_, assigned) in self.assigned {
            super::join(assigned.thread);
        }
    }

    /// Looks for new partitions, reads them, and measures the lag of all. An error says what is wrong at the broker;
    /// what is well is read nevertheless.
    fn refresh(&mut self) -> Result<(), String> {
        let mut trouble = None;
        let mut complete = true;
        for topic in self.settings.topics.clone() {
            match partitions_of(&self.client, &topic) {
                Ok(partitions) => {
                    for (partition, has_leader) in partitions {
                        let place = (topic.clone(), partition);
                        if !has_leader {
                            trouble.get_or_insert(format!(
                                "partition {partition} of topic `{topic}` has no leader"
                            ));
                        }
                        self.find(place);
                    }
                }
                Err(Unknown::Unreachable(reason)) => return Err(self.client.context().no_broker(&reason)),
                Err(Unknown::Topic) => {
                    complete = false;
                    trouble.get_or_insert(format!("topic `{topic}` does not exist any more"));
                }
                Err(Unknown::Refused(reason)) => {
                    complete = false;
                    trouble.get_or_insert(format!("topic `{topic}` is refused: {reason}"));
                }
            }
        }
        self.assign_found()?;
        if complete && self.found.is_empty() {
            self.at_start = false;
        }
        self.measure_lag()?;
        trouble.map_or(Ok(()), Err)
    }

    fn find(&mut self, place: Place) {
        if !self.assigned.contains_key(&place) && !self.found.contains_key(&place) {
            let partition = self
                .receivers
                .partition(&partition_name(&self.settings.topics, &place));
            self.found.insert(place, partition);
        }
    }

    /// Gives each found partition whose start is known its queue and thread. The others wait for the next round.
    fn assign_found(&mut self) -> Result<(), String> {
        let starts = self.starts()?;
        for (place, start) in starts {
            let Some(partition) = self.found.remove(&place) else {
                continue;
            };
            let (topic, number) = (place.0.as_str(), place.1);
            let name = partition_name(&self.settings.topics, &place);
            // Split before the assignment: librdkafka leaves a queue alone that the application has taken, so no
            // message can go astray to the main queue in between.
            let Some(queue) = self.client.split_partition_queue(topic, number) else {
                self.found.insert(place, partition);
                continue;
            };
            let mut list = TopicPartitionList::new();
            let assigned = i64::try_from(start)
                .map_err(|_| "the start offset is too large".to_owned())
                .and_then(|start| {
                    list.add_partition_offset(topic, number, At::Offset(start))
                        .map_err(|e| reason(&e))
                })
                .and_then(|()| self.client.incremental_assign(&list).map_err(|e| reason(&e)));
            if let Err(reason) = assigned {
                self.found.insert(place, partition);
                return Err(format!("partition {name} cannot be assigned: {reason}"));
            }
            let next = Arc::new(AtomicU64::new(start));
            let reader = PartitionReader {
                topic: topic.to_owned(),
                name: name.clone(),
                queue,
                partition,
                next: next.clone(),
                status: self.status.clone(),
                stop: self.stop.clone(),
            };
            let thread = thread::Builder::new()
                .name(format!("kafka {}/{name}", self.table))
                .spawn(move || reader.run())
                .map_err(|cause| format!("partition {name} has no thread: {cause}"))?;
            tracing::info!(table = self.table, partition = name, start, "reading");
            self.assigned.insert(place, Assigned { name, next, thread });
        }
        Ok(())
    }

    /// Where reading starts in the found partitions, as far as that is known.
    fn starts(&self) -> Result<BTreeMap<Place, u64>, String> {
        let mut starts = BTreeMap::new();
        let (mut earliest, mut latest) = (Vec::new(), Vec::new());
        for (place, partition) in &self.found {
            match (partition.resume_after, &self.settings.start) {
                (Some(Offset(last)), _) => {
                    starts.insert(place.clone(), last.saturating_add(1));
                }
                (None, KafkaStart::Offset(offset)) => {
                    starts.insert(place.clone(), *offset);
                }
                (None, KafkaStart::Offsets(offsets)) if offsets.contains_key(&place.1) => {
                    starts.insert(place.clone(), offsets[&place.1]);
                }
                // All messages of a partition that was added later are later than the start.
                (None, KafkaStart::Latest) if self.at_start => latest.push(place),
                (None, _) => earliest.push(place),
            }
        }
        starts.extend(self.ask_offsets(&earliest, At::Beginning)?);
        starts.extend(self.ask_offsets(&latest, At::End)?);
        Ok(starts)
    }

    /// Tells how many messages wait at the broker, by partition.
    fn measure_lag(&self) -> Result<(), String> {
        // Before the broker is asked, so that the end is not smaller only because reading went on meanwhile.
        let next: Vec<u64> = self
            .assigned
            .values()
            .map(|assigned| assigned.next.load(Ordering::Relaxed))
            .collect();
        let ends = self.ask_offsets(&self.assigned.keys().collect::<Vec<_>>(), At::End)?;
        let mut trouble = None;
        for ((place, Assigned { name, .. }), next) in self.assigned.iter().zip(next) {
            let Some(end) = ends.get(place) else { continue };
            self.status.set_lag(name, end.saturating_sub(next));
            if *end < next {
                trouble.get_or_insert(format!(
                    "partition {name} ends at offset {end}, but has been read up to {next}: was the topic made anew? \
                     Messages before {next} are skipped"
                ));
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    /// The first or the next offset of partitions, in one question to each broker. Those without an answer are absent.
    fn ask_offsets(&self, places: &[&Place], at: At) -> Result<BTreeMap<Place, u64>, String> {
        if places.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in places {
            list.add_partition_offset(topic, *partition, at)
                .map_err(|error| reason(&error))?;
        }
        let answers = self
            .client
            .offsets_for_times(list, ASK_TIMEOUT)
            .map_err(|error| self.client.context().no_broker(&reason(&error)))?;
        let elements = answers.elements();
        let known = elements.iter().filter(|element| element.error().is_ok());
        let offsets = known.filter_map(|element| match element.offset() {
            At::Offset(offset) => Some(((element.topic().to_owned(), element.partition()), offset as u64)),
            _ => None,
        });
        Ok(offsets.collect())
    }
}

/// Reads one partition, on its own thread.
struct PartitionReader {
    topic: String,
    name: String,
    queue: PartitionQueue<Context>,
    partition: Partition,
    next: Arc<AtomicU64>,
    status: Status,
    stop: Stop,
}

impl PartitionReader {
    fn run(mut self) {
        while !self.stop.is_stopped() {
            let messages = drain(&self.queue, |error| {
                let reason = reason(&error);
                self.status
                    .set_trouble(format!("partition {} cannot be read: {reason}", self.name));
            });
            let headers: Vec<_> = messages.iter().map(headers).collect();
            let mut next = self.next.load(Ordering::Relaxed);
            let mut batch = Vec::with_capacity(messages.len());
            for (message, headers) in messages.iter().zip(&headers) {
                let Ok(offset) = u64::try_from(message.offset()) else {
                    continue;
                };
                if offset < next {
                    continue;
                }
                next = offset + 1;
                batch.push(Message {
                    topic: &self.topic,
                    partition: self.partition.id,
                    offset: Offset(offset),
                    key: message.key(),
                    value: message.payload(),
                    headers,
                    timestamp_ms: message.timestamp().to_millis(),
                });
            }
            if !batch.is_empty() && self.partition.receiver.receive(&batch).is_err() {
                return;
            }
            self.next.store(next, Ordering::Relaxed);
        }
    }
}

/// What a queue holds, up to a bound; waits for the first message only.
fn drain<'a>(
    queue: &'a PartitionQueue<Context>,
    mut failed: impl FnMut(KafkaError),
) -> Vec<BorrowedMessage<'a>> {
    let mut messages = Vec::new();
    let mut bytes = 0;
    let mut wait = POLL;
    while messages.len() < BATCH_MESSAGES_MAX && bytes < BATCH_BYTES_MAX {
        match queue.poll(wait) {
            None => break,
            Some(Ok(message)) => {
                bytes += message.key_len() + message.payload_len();
                messages.push(message);
            }
            Some(Err(error)) => failed(error),
        }
        wait = Duration::ZERO;
    }
    messages
}

/// A message's headers, a name that is not UTF-8 with replacement characters.
///
/// By the C functions, because rdkafka's own reading of them panics on such a name.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut list = ptr::null_mut();
    // SAFETY: the message is alive, and the list that librdkafka hands out belongs to it.
    if unsafe { rd_kafka_message_headers(message.ptr(), &mut list) } as i32 != 0 {
        return found;
    }
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: `list` is the message's list; an index behind its end is an error code.
    while unsafe { rd_kafka_header_get_all(list, found.len(), &mut name, &mut value, &mut size) } as i32 == 0
    {
        // SAFETY: the call succeeded, so `name` is a C string of the message.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        let value = match value.is_null() {
            true => &[],
            // SAFETY: as above, `value` has `size` bytes.
            false => unsafe { slice::from_raw_parts(value.cast::<u8>(), size) },
        };
        found.push((name, value.to_vec()));
    }
    found
}
