//! Kafka: all partitions of one or several topics, by `assign`. The only folder that names rdkafka.
//!
//! One thread coordinates: it looks for new partitions, assigns them, measures the lag, and serves librdkafka's logs,
//! errors and commit answers. Each partition has a queue and a thread of its own, which decodes and blocks in its
//! receiver while the node is behind. A queue that is not read fills up, and then librdkafka fetches no more.
//!
//! No node is a member of the group: each reads everything, and its name serves to commit offsets to.
//!
//! | the broker                          | here                                                                |
//! |-------------------------------------|---------------------------------------------------------------------|
//! | has removed the next position       | the lost range is told; the partition stops or goes on (`on_gap`)   |
//! | gives positions that were read      | they are skipped, and the status says so: positions only grow       |
//! | is gone                             | the status says so, and librdkafka connects again                   |

mod settings;
mod place;
mod client;
mod broker;
mod committer;
mod coordinator;
mod reader;
mod gap;
mod headers;
mod dead_letters;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(super) use committer::Committer;
pub use dead_letters::DeadLetterProducer;

use coordinator::Coordinator;

use super::{Receivers, SourceError, Status, Stop};
use crate::definition::KafkaSettings;

/// How long one question to the broker may take. It is also how long stopping may take while no broker answers.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// How soon the broker is asked again while something is wrong.
const RETRY: Duration = Duration::from_secs(1);

/// How long a thread waits for messages before it looks whether it should stop.
const POLL: Duration = Duration::from_millis(100);

/// Starts to read the topics of a table. Returns the thread that ends last.
pub(super) fn start(
    table: &str,
    settings: &KafkaSettings,
    receivers: Arc<dyn Receivers>,
    status: Status,
    stop: Stop,
) -> Result<(JoinHandle<()>, Committer), SourceError> {
    // The limits of a client are fixed when it is made and depend on the partitions, so a first client asks for them.
    let partitions = broker::count_partitions(&client::open(settings, 1, &status)?, settings, &stop)?;
    let client = Arc::new(client::open(settings, partitions, &status)?);
    let committer = Committer::new(client.clone(), settings.topics.clone());
    let coordinator = Coordinator::new(client, table, settings, receivers, status, stop);
    let thread = thread::Builder::new()
        .name(format!("kafka {table}"))
        .spawn(move || coordinator.run())
        .map_err(|cause| SourceError::Thread {
            table: table.to_owned(),
            cause,
        })?;
    Ok((thread, committer))
}
