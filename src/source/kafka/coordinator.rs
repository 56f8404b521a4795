//! One thread for a table: looks for new partitions, has them read, and measures how many messages wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rdkafka::Offset as At;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message as _;

use super::broker::{Unknown, ask_offsets, partitions_of};
use super::client::{Client, read_from};
use super::gap::ahead;
use super::place::{Place, partition_name};
use super::reader::{PartitionReader, Progress};
use super::settings::refresh_interval;
use super::{POLL, RETRY};
use crate::change::Offset;
use crate::definition::{KafkaSettings, KafkaStart};
use crate::source::{self, Partition, Receivers, Status, Stop};

/// A partition that is being read.
struct Assigned {
    name: String,
    progress: Arc<Progress>,
    thread: JoinHandle<()>,
}

/// Where reading starts in a partition.
struct Start {
    offset: u64,
    /// Whether something is lost if this offset is not there.
    is_owed: bool,
}

pub struct Coordinator {
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
    pub fn new(
        client: Arc<Client>,
        table: &str,
        settings: &KafkaSettings,
        receivers: Arc<dyn Receivers>,
        status: Status,
        stop: Stop,
    ) -> Coordinator {
        Coordinator {
            client,
            table: table.to_owned(),
            settings: settings.clone(),
            receivers,
            status,
            stop,
            at_start: true,
            found: BTreeMap::new(),
            assigned: BTreeMap::new(),
        }
    }

    /// Returns when the source is stopped and its partitions' threads have ended.
    pub fn run(mut self) {
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
            source::join(assigned.thread);
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
        let stopped = self
            .assigned
            .values()
            .find_map(|assigned| assigned.progress.stopped.get().cloned());
        let skipped = self.measure_lag()?;
        trouble.or(stopped).or(skipped).map_or(Ok(()), Err)
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
        for (place, start) in self.starts()? {
            let Some(partition) = self.found.remove(&place) else {
                continue;
            };
            let name = partition_name(&self.settings.topics, &place);
            let queue = match read_from(&self.client, &place, start.offset) {
                Ok(queue) => queue,
                Err(reason) => {
                    self.found.insert(place, partition);
                    return Err(format!("partition {name} cannot be assigned: {reason}"));
                }
            };
            let progress = Arc::new(Progress {
                next: AtomicU64::new(start.offset),
                stopped: OnceLock::new(),
            });
            let reader = PartitionReader {
                client: self.client.clone(),
                table: self.table.clone(),
                place: place.clone(),
                name: name.clone(),
                partition,
                progress: progress.clone(),
                on_gap: self.settings.on_gap,
                is_owed: start.is_owed,
                status: self.status.clone(),
                stop: self.stop.clone(),
            };
            let thread = thread::Builder::new()
                .name(format!("kafka {}/{name}", self.table))
                .spawn(move || reader.run(queue))
                .map_err(|cause| format!("partition {name} has no thread: {cause}"))?;
            tracing::info!(
                table = self.table,
                partition = name,
                start = start.offset,
                "reading"
            );
            self.assigned.insert(
                place,
                Assigned {
                    name,
                    progress,
                    thread,
                },
            );
        }
        Ok(())
    }

    /// Where reading starts in the found partitions, as far as that is known. A position taken comes before all settings.
    fn starts(&self) -> Result<BTreeMap<Place, Start>, String> {
        let mut starts = BTreeMap::new();
        let (mut earliest, mut latest) = (Vec::new(), Vec::new());
        for (place, partition) in &self.found {
            let offset = match (partition.resume_after, &self.settings.start) {
                (Some(Offset(last)), _) => last.saturating_add(1),
                (None, KafkaStart::Offset(offset)) => *offset,
                (None, KafkaStart::Offsets(offsets)) if offsets.contains_key(&place.1) => offsets[&place.1],
                // All messages of a partition that was added later are later than the start.
                (None, KafkaStart::Latest) if self.at_start => {
                    latest.push(place);
                    continue;
                }
                (None, _) => {
                    earliest.push(place);
                    continue;
                }
            };
            starts.insert(
                place.clone(),
                Start {
                    offset,
                    is_owed: true,
                },
            );
        }
        for (places, at) in [(earliest, At::Beginning), (latest, At::End)] {
            let is_owed = at == At::End;
            let offsets = ask_offsets(&self.client, &places, at)?;
            starts.extend(
                offsets
                    .into_iter()
                    .map(|(place, offset)| (place, Start { offset, is_owed })),
            );
        }
        Ok(starts)
    }

    /// Tells how many messages wait at the broker, by partition. Returns what is wrong with the positions.
    fn measure_lag(&self) -> Result<Option<String>, String> {
        // Before the broker is asked, so that the end is not smaller only because reading went on meanwhile.
        let next: Vec<u64> = self
            .assigned
            .values()
            .map(|assigned| assigned.progress.next.load(Ordering::Relaxed))
            .collect();
        let ends = ask_offsets(&self.client, &self.assigned.keys().collect::<Vec<_>>(), At::End)?;
        let mut trouble = None;
        for ((place, Assigned { name, .. }), next) in self.assigned.iter().zip(next) {
            let Some(end) = ends.get(place) else { continue };
            self.status.set_lag(name, end.saturating_sub(next));
            if *end < next {
                trouble.get_or_insert(ahead(name, *end, next));
            }
        }
        Ok(trouble)
    }
}
