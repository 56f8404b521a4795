//! Where messages come from: partitions, and positions in them that grow.
//!
//! | the broker has          | the source gives                                            |
//! |-------------------------|-------------------------------------------------------------|
//! | the next position       | every message after it, in order within its partition       |
//! | nothing new             | nothing                                                     |
//! | gone away               | nothing; retries with back-off and says so in its [`Status`] |
//!
//! A source runs on its own threads. It hands messages to a [`Receiver`], which decodes them there and blocks
//! while the dataflow is behind: a source that waits reads no more, and that is the back-pressure.
//! NATS will be one more file here.

pub mod file;
pub mod http;
pub mod kafka;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::change::{Offset, PartitionId};
use crate::decode::Message;

/// Takes the messages of one partition, in its order.
pub trait Receiver: Send {
    /// Returns when the messages are on their way into the dataflow; waits while that is full.
    ///
    /// # Errors
    /// [`Closed`] when the node is stopping: the source ends.
    fn receive(&mut self, messages: &[Message<'_>]) -> Result<(), Closed>;

    /// Takes all messages at once, or nothing of them: for callers that can say "come back later".
    fn try_receive(&mut self, messages: &[Message<'_>]) -> Result<Taken, NotTaken>;
}

/// What became of messages that were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Row changes decoded.
    pub changes: u64,
    /// Messages or rows that could not be decoded.
    pub dead_letters: u64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    #[error("the node is behind: its queue is full")]
    Full,
    #[error("the node is stopping")]
    Closed,
}

/// Gives out a receiver for each partition that a source finds.
pub trait Receivers: Send + Sync {
    /// `name` is unique in the table and stays the same over restarts: `0`, or `topic:0` where there are several topics.
    fn partition(&self, name: &str) -> Partition;
}

/// A partition as the node knows it.
pub struct Partition {
    pub id: PartitionId,
    /// The last position already taken; reading goes on after it.
    pub resume_after: Option<Offset>,
    pub receiver: Box<dyn Receiver>,
}

/// The node takes no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping")]
pub struct Closed;

/// How a source is doing, for `/readyz` and the log. Clones share the state.
#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<StatusState>>);

#[derive(Clone, Debug, Default)]
pub struct StatusState {
    /// Why the source gives nothing at the moment: the broker does not answer, the file is gone.
    pub trouble: Option<String>,
    /// Whether the input has been read to its end (a file that is not followed).
    pub finished: bool,
    /// Messages known to be waiting at the source, by partition name.
    pub lag: BTreeMap<String, u64>,
}
