//! The thread of a file table: reads a file to its end, or follows it as it grows.
//!
//! A followed file may be rotated: when it is replaced or becomes shorter, what the old one still holds is read, and
//! reading goes on at the beginning of the new one with the line numbers that come next. After a restart the numbers
//! are those of the file as it is then, so a table of a rotated file should keep records, not values.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::file::{Compared, End, Reader};
use super::pace::Pacer;
use super::{Closed, OwnedMessage, Partition, Receivers, SourceError, Status, Stop};
use crate::decode::Message;
use crate::definition::FileSettings;

/// How often a followed file is looked at. Ten ticks of delay at most, and no cost that shows.
const POLL: Duration = Duration::from_millis(50);

/// Messages and bytes handed over at once: enough to pay for a call, little enough to wait behind.
const BATCH_MESSAGES_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Opens the file and starts the thread that reads it.
pub(super) fn start(
    table: &str,
    settings: &FileSettings,
    receivers: Arc<dyn Receivers>,
    status: Status,
    stop: Stop,
) -> Result<JoinHandle<()>, SourceError> {
    let reader = Reader::open(&settings.path, Some(settings.framing))?;
    if settings.follow && reader.is_compressed() {
        return Err(SourceError::FollowCompressed {
            path: reader.path().to_owned(),
        });
    }
    let feed = Feed {
        reader,
        follow: settings.follow,
        gone: false,
        pacer: settings.rate.map(|rate| Pacer::new(rate, Instant::now())),
        partitions: Partitions {
            receivers,
            known: Vec::new(),
            places: HashMap::new(),
        },
        status: status.clone(),
        stop,
    };
    thread::Builder::new()
        .name(format!("file {table}"))
        .spawn(move || match feed.run() {
            Ok(()) | Err(Ended::Closed(Closed)) => {}
            Err(Ended::Failed(error)) => status.set_trouble(with_cause(&error)),
        })
        .map_err(|cause| SourceError::Thread {
            table: table.to_owned(),
            cause,
        })
}

/// One line for the status: what failed, and why.
fn with_cause(error: &SourceError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Why a feed ends before the end of its input.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error(transparent)]
    Failed(#[from] SourceError),
}

struct Feed {
    reader: Reader,
    follow: bool,
    /// Whether nothing was found under the path the last time.
    gone: bool,
    pacer: Option<Pacer>,
    partitions: Partitions,
    status: Status,
    stop: Stop,
}

impl Feed {
    fn run(mut self) -> Result<(), Ended> {
        // Set while the old one of two files is read to its end, to what happened to it.
        let mut rotated = None;
        while !self.stop.is_stopped() {
            let allowed = self
                .pacer
                .as_mut()
                .map_or(BATCH_MESSAGES_MAX, |pacer| pacer.allowed(Instant::now()));
            if let (0, Some(pacer)) = (allowed, &self.pacer) {
                self.stop.wait(pacer.wait());
                continue;
            }
            let end = if self.follow && rotated.is_none() {
                End::MayGrow
            } else {
                End::Final
            };
            let at_end = self.hand_over(allowed.min(BATCH_MESSAGES_MAX), end)?;
            if !at_end {
                continue;
            }
            if !self.follow {
                self.status.finish();
                return Ok(());
            }
            match &rotated {
                None => rotated = self.look(),
                Some(what) if self.open_new(what) => rotated = None,
                Some(_) => {}
            }
            if rotated.is_none() || self.gone {
                self.stop.wait(POLL);
            }
        }
        Ok(())
    }

    /// Hands over what can be read without waiting, up to a bound. Returns whether the end was reached.
    fn hand_over(&mut self, messages_max: usize, end: End) -> Result<bool, Ended> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut ended = Ok(false);
        while batch.len() < messages_max && bytes < BATCH_BYTES_MAX {
            match self.reader.next_before(end) {
                Ok(Some(message)) => {
                    if let Some(place) = self.partitions.place_of_new(&message) {
                        bytes += message.size();
                        batch.push((place, message));
                    }
                }
                // What came before an error is handed over like any other message.
                other => {
                    ended = other.map(|_| true);
                    break;
                }
            }
        }
        if !batch.is_empty() {
            self.status.clear_trouble();
            self.partitions.receive(&batch)?;
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.spend(batch.len());
        }
        Ok(ended?)
    }

    /// Looks whether the file that is open still grows under its path; if not, says what happened.
    fn look(&mut self) -> Option<&'static str> {
        let compared = self.reader.compare();
        let was_gone = std::mem::replace(&mut self.gone, compared.is_err());
        match compared {
            Ok(Compared::Same) => {
                if was_gone {
                    self.status.clear_trouble();
                }
                None
            }
            Ok(Compared::Replaced) => Some("was replaced: reading goes on in the new file"),
            Ok(Compared::Cut) => Some("was cut: reading goes on at its beginning"),
            Err(cause) => {
                let path = self.reader.path().display();
                self.status
                    .set_trouble(format!("{path} is gone ({cause}): waiting until it is back"));
                None
            }
        }
    }

    /// Opens the file that is now under the path. Without one, the next round tries again.
    fn open_new(&mut self, what: &str) -> bool {
        let opened = self.reader.open_again();
        self.gone = opened.is_err();
        let path = self.reader.path().display();
        self.status.set_trouble(match &opened {
            Ok(()) => format!("{path} {what}"),
            Err(cause) => format!("{path} {what}, but it cannot be opened ({cause}): still trying"),
        });
        opened.is_ok()
    }
}

/// The partitions that the lines have named so far.
struct Partitions {
    receivers: Arc<dyn Receivers>,
    known: Vec<Partition>,
    /// Topic and partition -> place in `known`.
    places: HashMap<String, HashMap<i32, usize>>,
}

impl Partitions {
    /// The place in `known` of a message's partition; `None` where the message was taken before a restart.
    fn place_of_new(&mut self, message: &OwnedMessage) -> Option<usize> {
        let place = match self
            .places
            .get(&message.topic)
            .and_then(|of_topic| of_topic.get(&message.partition))
        {
            Some(place) => *place,
            None => {
                let place = self.known.len();
                self.known
                    .push(self.receivers.partition(&message.partition_name()));
                self.places
                    .entry(message.topic.clone())
                    .or_default()
                    .insert(message.partition, place);
                place
            }
        };
        let taken = self.known[place]
            .resume_after
            .is_some_and(|last| message.offset <= last.0);
        (!taken).then_some(place)
    }

    /// Hands over a batch in the order of the file, across partitions too.
    fn receive(&mut self, batch: &[(usize, OwnedMessage)]) -> Result<(), Closed> {
        for run in batch.chunk_by(|(one, _), (other, _)| one == other) {
            let Partition { id, receiver, .. } = &mut self.known[run[0].0];
            let messages: Vec<Message<'_>> = run.iter().map(|(_, message)| message.as_message(*id)).collect();
            receiver.receive(&messages)?;
        }
        Ok(())
    }
}
