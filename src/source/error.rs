//! Why a source cannot be read: what was tried, and what can be done.

use std::io;
use std::path::PathBuf;

/// Why a source could not be started, or a file not be read on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot open {}{}", path.display(), open_hint(cause))]
    Open {
        /// Absolute, because a relative one hides which directory was meant.
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot follow {}: it is compressed; set `follow = false` or give the plain file", path.display())]
    FollowCompressed { path: PathBuf },
    #[error("cannot read line {line} of {}", path.display())]
    Read {
        path: PathBuf,
        /// Counted from 1, as editors do.
        line: u64,
        #[source]
        cause: io::Error,
    },
    #[error("line {line} of {} is too long: a line may have 64 MiB; are the messages separated by newlines?", path.display())]
    LineTooLong { path: PathBuf, line: u64 },
    #[error("kafka setting refused: {reason}")]
    KafkaSetting {
        /// Without the values of secrets.
        reason: String,
    },
    #[error(
        "cannot reach Kafka at {brokers} (tried for {seconds} s): {reason}; is it running? check `brokers`"
    )]
    KafkaUnreachable {
        brokers: String,
        seconds: u64,
        reason: String,
    },
    #[error("topic `{topic}` does not exist in Kafka at {brokers}{hint}")]
    NoTopic {
        topic: String,
        brokers: String,
        /// The topics there are, or the one that was perhaps meant.
        hint: String,
    },
    #[error("Kafka at {brokers} refuses topic `{topic}`: {reason}")]
    TopicRefused {
        topic: String,
        brokers: String,
        reason: String,
    },
    #[error("cannot start a thread for table `{table}`")]
    Thread {
        table: String,
        #[source]
        cause: io::Error,
    },
}

fn open_hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => {
            ": there is no such file; check `path`, which is relative to the dataflow file"
        }
        io::ErrorKind::PermissionDenied => ": this user may not read it",
        io::ErrorKind::IsADirectory => ": it is a directory, and one file is needed",
        _ => "",
    }
}
