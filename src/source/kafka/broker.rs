//! What the broker is asked: which partitions there are, and from where to where they reach.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset as At, TopicPartitionList};

use super::ASK_TIMEOUT;
use super::client::{Client, reason};
use super::place::Place;
use crate::definition::KafkaSettings;
use crate::source::{SourceError, Stop};

/// How long a broker may take to answer at the start, before it counts as absent.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

/// How many partitions the topics have, or why they cannot be read.
pub fn count_partitions(
    client: &Client,
    settings: &KafkaSettings,
    stop: &Stop,
) -> Result<usize, SourceError> {
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
pub enum Unknown {
    Unreachable(String),
    Topic,
    Refused(String),
}

/// The partitions of a topic, and whether each has a leader to read from.
pub fn partitions_of(client: &Client, topic: &str) -> Result<Vec<(i32, bool)>, Unknown> {
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

/// The first or the next offset of partitions, in one question to each broker. Those without an answer are absent.
///
/// # Errors
/// What is wrong, for the status.
pub fn ask_offsets(client: &Client, places: &[&Place], at: At) -> Result<BTreeMap<Place, u64>, String> {
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        list.add_partition_offset(topic, *partition, at)
            .map_err(|error| reason(&error))?;
    }
    let answers = client
        .offsets_for_times(list, ASK_TIMEOUT)
        .map_err(|error| client.context().no_broker(&reason(&error)))?;
    let elements = answers.elements();
    let known = elements.iter().filter(|element| element.error().is_ok());
    let offsets = known.filter_map(|element| match element.offset() {
        At::Offset(offset) => Some((
            (element.topic().to_owned(), element.partition()),
            u64::try_from(offset).ok()?,
        )),
        _ => None,
    });
    Ok(offsets.collect())
}

/// The first offset that a partition still has, and the next that it will have.
///
/// # Errors
/// What is wrong, for the status.
pub fn reach(client: &Client, (topic, partition): &Place) -> Result<(u64, u64), String> {
    let (first, next) = client
        .fetch_watermarks(topic, *partition, ASK_TIMEOUT)
        .map_err(|error| client.context().no_broker(&reason(&error)))?;
    match (u64::try_from(first), u64::try_from(next)) {
        (Ok(first), Ok(next)) => Ok((first, next)),
        _ => Err(format!(
            "partition {partition} of topic `{topic}` does not say what it holds"
        )),
    }
}
