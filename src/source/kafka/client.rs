//! librdkafka's client, and what it tells on its own: logs, errors, answers to commits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset as At, TopicPartitionList};

use super::place::Place;
use super::settings::{Secrets, client_settings, refused};
use crate::definition::KafkaSettings;
use crate::source::{SourceError, Status};

pub type Client = BaseConsumer<Context>;

/// A client that reads so many partitions.
pub fn open(settings: &KafkaSettings, partitions: usize, status: &Status) -> Result<Client, SourceError> {
    let mut config = ClientConfig::from_iter(client_settings(settings, partitions)?);
    config.set_log_level(RDKafkaLogLevel::Info);
    let context = Context {
        brokers: settings.brokers.clone(),
        group: settings.group.clone(),
        secrets: Secrets::of(&settings.options),
        status: status.clone(),
        last_error: Mutex::default(),
        commits_fail: AtomicBool::new(false),
    };
    config
        .create_with_context(context)
        .map_err(|error| refused(&Secrets::of(&settings.options), error))
}

/// What librdkafka says, without our wrapper's words.
pub fn reason(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| error.to_string(), |code| code.to_string())
}

/// Passes librdkafka's log on, without secrets.
pub fn log(secrets: &Secrets, level: RDKafkaLogLevel, facility: &str, message: &str) {
    let message = secrets.hidden_in(message);
    match level {
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::debug!(facility, "librdkafka: {message}")
        }
        RDKafkaLogLevel::Debug => tracing::trace!(facility, "librdkafka: {message}"),
        _ => tracing::warn!(facility, "librdkafka: {message}"),
    }
}

/// Answers librdkafka's callbacks, on the thread that polls the client.
pub struct Context {
    brokers: String,
    group: String,
    secrets: Secrets,
    status: Status,
    /// The last one that named a cause.
    last_error: Mutex<Option<String>>,
    commits_fail: AtomicBool,
}

impl Context {
    pub fn last_error(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trouble that no broker answers: the same text whoever notices it, so that it is logged once.
    pub fn no_broker(&self, reason: &str) -> String {
        let cause = self.last_error().clone().unwrap_or_else(|| reason.to_owned());
        format!("no broker of Kafka at {} answers: {cause}", self.brokers)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(&self.secrets, level, facility, message);
    }

    /// Errors that concern the whole client. One broker of several that is away is none: its partitions move.
    fn error(&self, error: KafkaError, reason: &str) {
        let reason = self.secrets.hidden_in(reason);
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
                tracing::warn!(
                    group = self.group,
                    "offsets are not committed, the group's lag will look too large: {error}"
                );
            }
            Err(_) => {}
        }
    }
}

/// Reads a partition from an offset on, into a queue of its own.
///
/// # Errors
/// Why it is not read; it can be tried again.
pub fn read_from(
    client: &Arc<Client>,
    (topic, partition): &Place,
    start: u64,
) -> Result<PartitionQueue<Context>, String> {
    let start = i64::try_from(start).map_err(|_| "its start is too large".to_owned())?;
    // Split before the assignment: librdkafka leaves a queue alone that the application has taken, so no message can
    // go astray to the main queue in between.
    let queue = client
        .split_partition_queue(topic, *partition)
        .ok_or("it has no queue")?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, *partition, At::Offset(start))
        .map_err(|error| reason(&error))?;
    client.incremental_assign(&list).map_err(|error| reason(&error))?;
    Ok(queue)
}

/// Lets go of a partition, and drops what was fetched of it.
pub fn leave(client: &Client, (topic, partition): &Place) {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, *partition);
    // Refused only where it is not read anyway.
    let _ = client.incremental_unassign(&list);
}
