//! What happens when a partition does not have the next position any more: retention was faster than the node.
//!
//! librdkafka is told to report this (`auto.offset.reset = error`) rather than to jump, so a gap is known by the
//! broker's own word. Offsets that are missing inside the log (compaction, marks of transactions) are no gap: only
//! what lies below the first offset that the partition still has was removed unread.

use std::sync::atomic::Ordering;

use rdkafka::consumer::base_consumer::PartitionQueue;

use super::RETRY;
use super::broker::reach;
use super::client::{Context, leave, read_from};
use super::reader::PartitionReader;
use crate::definition::OnGap;
use crate::source::Lost;

/// Where a refused position stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The partition begins after it.
    Gone(Lost),
    /// The partition ends before it: it was made anew, or a leader has lost its end.
    Ahead,
    /// It is there after all.
    There,
}

/// `first` is the first offset that the partition has, `end` the one after its last.
fn judge(next: u64, (first, end): (u64, u64)) -> Refused {
    if next < first {
        Refused::Gone(Lost {
            first: next,
            last: first - 1,
        })
    } else if end < next {
        Refused::Ahead
    } else {
        Refused::There
    }
}

/// The trouble that a partition ends before the position, in the same words whoever notices it.
pub fn ahead(partition: &str, end: u64, next: u64) -> String {
    format!(
        "partition {partition} ends at offset {end}, but has been read up to {next}: was the topic made anew? \
         Messages before {next} are skipped"
    )
}

impl PartitionReader {
    /// Reads on after the broker has refused the next position. `None` where the source or the partition stops.
    pub fn after_refusal(&mut self) -> Option<PartitionQueue<Context>> {
        leave(&self.client, &self.place);
        loop {
            let next = self.progress.next.load(Ordering::Relaxed);
            let restarted = reach(&self.client, &self.place).and_then(|reach| match judge(next, reach) {
                Refused::Gone(lost) => match self.lose(lost) {
                    true => self.restart(reach.0).map(Some),
                    false => Ok(None),
                },
                Refused::There => self.restart(next).map(Some),
                Refused::Ahead => Err(ahead(&self.name, reach.1, next)),
            });
            match restarted {
                Ok(queue) => return queue,
                Err(trouble) => self.status.set_trouble(trouble),
            }
            // A broker that refuses again and again is not asked in a tight loop.
            if self.stop.wait(RETRY) {
                return None;
            }
        }
    }

    fn restart(&self, start: u64) -> Result<PartitionQueue<Context>, String> {
        // Also where the restart fails: what was told as lost is not lost again.
        self.progress.next.store(start, Ordering::Relaxed);
        read_from(&self.client, &self.place, start)
            .map_err(|reason| format!("partition {} cannot be assigned: {reason}", self.name))
    }

    /// Tells what is lost. Returns whether reading goes on after it.
    fn lose(&self, lost: Lost) -> bool {
        let Lost { first, last } = lost;
        let (table, partition) = (&self.table, &self.name);
        if !self.is_owed {
            tracing::info!(
                table,
                partition,
                start = last + 1,
                "the earliest message was removed meanwhile"
            );
            return true;
        }
        let goes_on = self.on_gap == OnGap::Continue;
        let then = if goes_on {
            "reading goes on after them"
        } else {
            "the partition stops"
        };
        tracing::error!(
            table,
            partition,
            first,
            last,
            "messages are lost: Kafka has removed them before they were read; {then}"
        );
        self.status.lost(&self.name, lost);
        if !goes_on {
            let trouble = format!(
                "partition {partition} has stopped: messages {first} to {last} were removed from Kafka before they were \
                 read; with `on_gap = \"continue\"` reading goes on after them"
            );
            // Set once: the thread ends with it.
            let _ = self.progress.stopped.set(trouble);
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_the_first_offset_is_lost() {
        let gone = |first, last| Refused::Gone(Lost { first, last });
        for (next, reach, expected) in [
            (0, (0, 0), Refused::There),
            (5, (5, 9), Refused::There),
            (7, (5, 9), Refused::There),
            (9, (5, 9), Refused::There),
            (4, (5, 9), gone(4, 4)),
            (0, (5, 9), gone(0, 4)),
            // All of it has expired.
            (3, (9, 9), gone(3, 8)),
            (10, (5, 9), Refused::Ahead),
            (1, (0, 0), Refused::Ahead),
        ] {
            assert_eq!(judge(next, reach), expected, "{next} in {reach:?}");
        }
    }
}
