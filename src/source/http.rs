//! Pushed changes: one partition per table, whose offsets count lines.

use std::sync::{Mutex, PoisonError};

use super::{NotTaken, Partition, Receivers};
use crate::change::Offset;
use crate::decode::Message;

/// A table that takes pushes. Shared by all requests.
pub struct PushTable(Mutex<Log>);

struct Log {
    partition: Partition,
    /// The last line taken. Offsets are given while the lock is held, so that they grow in the order of taking.
    last: Option<Offset>,
}

/// What a push led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Lines taken and not dead-lettered.
    pub accepted: u64,
    pub dead_letters: u64,
    /// Of the last line taken. Without lines, the position before.
    pub position: Option<Offset>,
}

impl PushTable {
    pub fn new(receivers: &dyn Receivers) -> PushTable {
        let partition = receivers.partition("0");
        let last = partition.resume_after;
        PushTable(Mutex::new(Log { partition, last }))
    }

    /// Takes the lines of an NDJSON body, blank ones left out; all of them or, with an error, none.
    ///
    /// # Errors
    /// The node is behind, and the same push may be sent again later; or it is stopping.
    pub fn push(&self, body: &[u8]) -> Result<Pushed, NotTaken> {
        // A decoder that panicked has taken nothing, and `last` was not moved: the table is as before.
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Log { partition, last } = &mut *log;
        let first = last.map_or(0, |Offset(last)| last + 1);
        let messages: Vec<Message<'_>> = lines(body)
            .zip(first..)
            .map(|(line, offset)| message(partition, offset, line))
            .collect();
        let Some(end) = messages.last().map(|message| message.offset) else {
            return Ok(Pushed {
                accepted: 0,
                dead_letters: 0,
                position: *last,
            });
        };
        let taken = partition.receiver.try_receive(&messages)?;
        *last = Some(end);
        // A line with several rows can give more dead letters than one.
        let accepted = (messages.len() as u64).saturating_sub(taken.dead_letters);
        Ok(Pushed {
            accepted,
            dead_letters: taken.dead_letters,
            position: Some(end),
        })
    }
}

fn message<'a>(partition: &Partition, offset: u64, line: &'a [u8]) -> Message<'a> {
    Message {
        topic: "",
        partition: partition.id,
        offset: Offset(offset),
        key: None,
        value: Some(line),
        headers: &[],
        timestamp_ms: None,
    }
}

/// The lines of a body that are not blank.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', body)
        .chain([body.len()])
        .map(move |end| {
            let line = body[start..end].trim_ascii();
            start = (end + 1).min(body.len());
            line
        })
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn a_body_is_split_as_a_text_file_is() {
        let check = |body: &str, expected: &[&str]| {
            let found: Vec<&str> = lines(body.as_bytes())
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            assert_eq!(found, expected, "{body:?}");
        };
        check("", &[]);
        check("\n \r\n\n", &[]);
        check("a", &["a"]);
        check("a\n", &["a"]);
        check("a\r\nb\n\n c ", &["a", "b", "c"]);
        check("\na\nb", &["a", "b"]);
    }
}
