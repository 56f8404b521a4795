//! Commits offsets to the group, for who watches its lag.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext};
use rdkafka::{Offset as At, TopicPartitionList};

use super::client::Client;
use super::place::place_of;

/// How long stopping waits for the client to close. It takes a tenth of a second where the broker is there.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Commits offsets to the group. Recovery never reads them.
pub struct Committer {
    client: Arc<Client>,
    topics: Vec<String>,
}

impl Committer {
    pub(super) fn new(client: Arc<Client>, topics: Vec<String>) -> Committer {
        Committer { client, topics }
    }

    /// Lets go of the client after its threads have ended. It closes on a thread of its own, because librdkafka waits
    /// without end for a commit whose broker went away meanwhile; nothing that is left to do is worth waiting for.
    pub(in crate::source) fn close(self) {
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

    /// Commits the position after the last offset of each partition. Answers come to the client's context.
    pub(in crate::source) fn commit(&self, positions: &BTreeMap<String, u64>) {
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
