//! Where messages come from: partitions, and positions in them that grow.
//!
//! | the broker has          | the source gives                                            |
//! |-------------------------|-------------------------------------------------------------|
//! | the next position       | every message after it, in order within its partition       |
//! | removed the next one    | tells the [`Lost`] range; then it stops there, or goes on    |
//! | nothing new             | nothing                                                     |
//! | gone away               | nothing; retries with back-off and says so in its [`Status`] |
//!
//! A source runs on its own threads. It hands messages to a [`Receiver`], which decodes them there and blocks
//! while the dataflow is behind: a source that waits reads no more, and that is the back-pressure.
//! NATS will be one more file here.

mod error;
mod status;
mod stop;
mod record;
mod pace;
mod follow;
pub mod file;
pub mod http;
pub mod kafka;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use error::SourceError;
pub use record::OwnedMessage;
pub use status::{Lost, Status, StatusState};
pub use stop::Stop;

use crate::change::{Offset, PartitionId};
use crate::decode::Message;
use crate::definition::{SourceSettings, Table};

/// Starts the threads that read a table's source. They end at the end of the input, when `stop` is set, or when a
/// receiver answers [`Closed`].
///
/// A table that is pushed to has no threads: requests go through its [`http::PushTable`].
///
/// # Errors
/// A file that cannot be opened, a broker that cannot be reached within 10 seconds, a topic that does not exist,
/// a setting that librdkafka refuses. After a start that succeeded such things are retried and told in `status`.
pub fn start(
    table: &Table,
    receivers: Arc<dyn Receivers>,
    status: Status,
    stop: Stop,
) -> Result<Running, SourceError> {
    match &table.source {
        SourceSettings::File(settings) => {
            let thread = follow::start(&table.name, settings, receivers, status, stop)?;
            Ok(Running {
                thread: Some(thread),
                committer: None,
            })
        }
        SourceSettings::Kafka(settings) => {
            let (thread, committer) = kafka::start(&table.name, settings, receivers, status, stop)?;
            Ok(Running {
                thread: Some(thread),
                committer: Some(committer),
            })
        }
        SourceSettings::Http => Ok(Running {
            thread: None,
            committer: None,
        }),
    }
}

/// A source that was started.
pub struct Running {
    /// The thread that ends last: it joins the others of its source.
    thread: Option<JoinHandle<()>>,
    committer: Option<kafka::Committer>,
}

impl Running {
    /// Tells the broker how far the table has been taken, for lag monitoring: partition name -> last offset.
    ///
    /// Returns at once. A failure is logged and costs nothing: recovery trusts the node's own positions.
    pub fn commit(&self, positions: &BTreeMap<String, u64>) {
        if let Some(committer) = &self.committer {
            committer.commit(positions);
        }
    }

    /// Waits until the source has ended; set its [`Stop`] before, or this waits for the end of the input.
    ///
    /// A Kafka client that was dropped without this may block for as long as its broker is away.
    pub fn join(self) {
        if let Some(thread) = self.thread {
            join(thread);
        }
        if let Some(committer) = self.committer {
            committer.close();
        }
    }
}

/// A panic of a source's thread is our own mistake: it is told, and the rest of the node goes on.
fn join(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or("source").to_owned();
    if thread.join().is_err() {
        tracing::error!(thread = name, "a source's thread panicked");
    }
}

/// Takes the messages of one partition, in its order.
pub trait Receiver: Send {
    /// Returns when the messages are on their way into the dataflow; waits while that is full.
    ///
    /// # Errors
    /// [`Closed`] when the node is stopping: the source ends.
    fn receive(&mut self, messages: &[Message<'_>]) -> Result<(), Closed>;

    /// Finds room for all messages, or takes nothing of them: for callers that can say "come back later".
    fn reserve<'a>(&'a mut self, messages: &[Message<'a>]) -> Result<Box<dyn Room + 'a>, NotTaken>;
}

/// Messages that are decoded and have room in the dataflow. Nothing of them is taken if it is dropped.
pub trait Room {
    /// What becomes of the messages when they are taken.
    fn taken(&self) -> Taken;

    /// Hands the messages on, which cannot fail: who keeps them has kept them before.
    fn take(self: Box<Self>);
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
