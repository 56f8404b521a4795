//! Reads one partition, on its own thread: from its queue to its receiver.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::POLL;
use super::client::{Client, Context, reason};
use super::headers::headers;
use super::place::Place;
use crate::change::Offset;
use crate::decode::Message;
use crate::definition::OnGap;
use crate::source::{Closed, Partition, Status, Stop};

/// Messages and bytes handed over at once: enough to pay for a call, little enough to wait behind.
const BATCH_MESSAGES_MAX: usize = 1_024;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// How far a partition has been read, as others see it.
pub struct Progress {
    /// The offset that comes next, or a later one.
    pub next: AtomicU64,
    /// Why it is read no more.
    pub stopped: OnceLock<String>,
}

pub struct PartitionReader {
    pub client: Arc<Client>,
    pub table: String,
    pub place: Place,
    pub name: String,
    pub partition: Partition,
    pub progress: Arc<Progress>,
    pub on_gap: OnGap,
    /// Whether a message that was removed before it was read is a loss. From the earliest message on, what is read
    /// first is the first.
    pub is_owed: bool,
    pub status: Status,
    pub stop: Stop,
}

impl PartitionReader {
    /// Returns when the source or the partition stops, or the receiver is closed.
    pub fn run(mut self, mut queue: PartitionQueue<Context>) {
        while !self.stop.is_stopped() {
            let (messages, error) = drain(&queue);
            if self.give(&messages).is_err() {
                return;
            }
            drop(messages);
            match error {
                None => {}
                Some(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    match self.after_refusal() {
                        Some(restarted) => queue = restarted,
                        None => return,
                    }
                }
                Some(error) => {
                    let reason = reason(&error);
                    self.status
                        .set_trouble(format!("partition {} cannot be read: {reason}", self.name));
                }
            }
        }
    }

    /// Gives the receiver what it has not had.
    fn give(&mut self, messages: &[BorrowedMessage<'_>]) -> Result<(), Closed> {
        let headers: Vec<_> = messages.iter().map(headers).collect();
        let mut next = self.progress.next.load(Ordering::Relaxed);
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
                topic: &self.place.0,
                partition: self.partition.id,
                offset: Offset(offset),
                key: message.key(),
                value: message.payload(),
                headers,
                timestamp_ms: message.timestamp().to_millis(),
            });
        }
        if !batch.is_empty() {
            self.partition.receiver.receive(&batch)?;
            self.progress.next.store(next, Ordering::Relaxed);
            self.is_owed = true;
        }
        Ok(())
    }
}

/// What a queue holds, up to a bound or an error; waits for the first message only.
fn drain(queue: &PartitionQueue<Context>) -> (Vec<BorrowedMessage<'_>>, Option<KafkaError>) {
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
            Some(Err(error)) => return (messages, Some(error)),
        }
        wait = Duration::ZERO;
    }
    (messages, None)
}
