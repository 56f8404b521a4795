//! Pushed changes: one partition per table, whose offsets count lines, with a log that is its broker.
//!
//! A push is decoded and given room first, so that a node that is behind takes nothing; then it is appended to the
//! log; then it is handed on. All three happen under one lock, so the log has the order of the queue. A start
//! replays what no checkpoint covers before it takes pushes; a checkpoint cuts the log.

mod frame;
mod keys;
mod lines;
mod log;
mod segment;
mod syncer;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Closed, NotTaken, Partition, Receivers, Running, Status};
use crate::change::Offset;
use crate::storage::Storage;
use frame::Frame;
use keys::{Found, Keys};
use lines::messages;
use log::{Log, Opened, Replay};
pub use syncer::NotSynced;
use syncer::Syncer;

/// A segment that has reached this size is closed. Smaller ones are cut sooner; each costs a sync and a file.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// Bytes of frames that a replay hands on at once.
const REPLAY_BYTES: usize = 1 << 20;

/// Bytes that may be in the log without a sync, though nobody waits for it: so much a power cut may take, and so
/// little is left to be synced when a segment is full.
const UNSYNCED_BYTES_MAX: u64 = 4 << 20;

/// A table that takes pushes. Shared by all requests.
pub struct PushTable {
    table: String,
    /// Held while a push is taken.
    partition: Mutex<Partition>,
    kept: Arc<Kept>,
    syncer: Syncer,
    /// Held while the log is cut.
    cutting: Mutex<()>,
    is_replayed: AtomicBool,
    resume: u64,
    lost: u64,
}

/// What is kept of pushes; its lock is never held for a sync, but for one where a segment ends.
struct Kept(Mutex<(Log, Keys)>);

impl Kept {
    /// Each change is complete or marked as torn, so the state is whole even after a panic.
    fn lock(&self) -> MutexGuard<'_, (Log, Keys)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client names a push by, so that a retry of it is not taken twice: 1 to 255 visible characters of ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// `None` where it is empty, too long, or has other characters.
    pub fn new(key: &[u8]) -> Option<IdempotencyKey> {
        let is_right = (1..=255).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        let key = is_right.then(|| std::str::from_utf8(key).ok())??;
        Some(IdempotencyKey(key.to_owned()))
    }
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

/// Why nothing of a push was taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    #[error("the log of the table is being replayed")]
    Starting,
    #[error("the push cannot be written to the log of the table")]
    Log(#[source] io::Error),
    #[error("the idempotency key came before with another body")]
    OtherBody,
}

/// Why a replay ended.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error("cannot read the log")]
    Read(#[from] io::Error),
}

impl PushTable {
    /// Reads the log of a table, behind the position that its partition resumes after.
    ///
    /// It takes pushes when there is nothing to replay, or when [`PushTable::start`] has replayed it.
    ///
    /// # Errors
    /// The log cannot be read or synced, or a thread not be started. Damage is logged and counted, and no error.
    pub fn open(
        storage: Arc<dyn Storage>,
        table: &str,
        receivers: &dyn Receivers,
    ) -> io::Result<Arc<PushTable>> {
        PushTable::with_segments(storage, table, receivers, SEGMENT_BYTES_MAX)
    }

    /// The same, with segments of about so many bytes.
    pub fn with_segments(
        storage: Arc<dyn Storage>,
        table: &str,
        receivers: &dyn Receivers,
        segment_bytes_max: u64,
    ) -> io::Result<Arc<PushTable>> {
        let partition = receivers.partition("0");
        let resume = partition
            .resume_after
            .map_or(0, |Offset(last)| last.saturating_add(1));
        let Opened { log, keys, lost } = Log::open(storage, table, resume, segment_bytes_max)?;
        for offsets in &lost {
            tracing::error!(
                table,
                first = offsets.start,
                last = offsets.end - 1,
                "the push log is damaged: these offsets are lost"
            );
        }
        let is_replayed = log.end() <= resume;
        let kept = Arc::new(Kept(Mutex::new((log, keys))));
        Ok(Arc::new(PushTable {
            table: table.to_owned(),
            partition: Mutex::new(partition),
            syncer: Syncer::start(kept.clone(), table)?,
            kept,
            cutting: Mutex::new(()),
            is_replayed: AtomicBool::new(is_replayed),
            resume,
            lost: lost.iter().map(|offsets| offsets.end - offsets.start).sum(),
        }))
    }

    /// Replays the log on a thread of its own, which ends with it or when the node stops.
    pub fn start(self: &Arc<PushTable>, status: Status) -> io::Result<Running> {
        let table = self.clone();
        let replay = move || match table.replay(&status) {
            Ok(()) | Err(ReplayError::Closed(_)) => {}
            Err(ReplayError::Read(error)) => {
                status.set_trouble(format!(
                    "cannot read the push log of table `{}`: {error}",
                    table.table
                ));
            }
        };
        let name = format!("replay {}", self.table);
        let thread = std::thread::Builder::new().name(name).spawn(replay)?;
        Ok(Running {
            thread: Some(thread),
            committer: None,
        })
    }

    fn replay(&self, status: &Status) -> Result<(), ReplayError> {
        if self.is_replayed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut partition = self.partition();
        let (replay, end): (Replay, u64) = {
            let (log, _) = &*self.kept.lock();
            (log.replay(), log.end())
        };
        replay.run(self.resume, REPLAY_BYTES, &mut |frames: &[Frame<'_>]| {
            let Partition { id, receiver, .. } = &mut *partition;
            let messages: Vec<_> = frames
                .iter()
                .flat_map(|frame| messages(*id, frame.first, frame.body))
                .filter(|message| message.offset.0 >= self.resume)
                .collect();
            receiver.receive(&messages)?;
            let reached = frames.last().map_or(end, Frame::end);
            status.set_lag("0", end.saturating_sub(reached));
            Ok::<(), ReplayError>(())
        })?;
        self.is_replayed.store(true, Ordering::Release);
        tracing::info!(
            table = self.table,
            lines = end - self.resume,
            "replayed the push log"
        );
        Ok(())
    }

    /// Takes the lines of an NDJSON body, blank ones left out; all of them or, with an error, none.
    ///
    /// A retry, which has the key and the body of a push before, is not taken again and gets the same answer.
    ///
    /// # Errors
    /// The node is behind, and the same push may be sent again later; it is starting or stopping; the log cannot be
    /// written; or the key came before with another body.
    pub fn push(&self, body: &[u8], key: Option<&IdempotencyKey>) -> Result<Pushed, PushError> {
        if !self.is_replayed.load(Ordering::Acquire) {
            return Err(PushError::Starting);
        }
        let key = key.map_or("", |IdempotencyKey(key)| key);
        // A retry of a push that is under way waits here until that is answered. A decoder that panicked has taken
        // nothing.
        let mut partition = self.partition();
        let taken_ms = now_ms();
        let first = {
            let (log, keys) = &*self.kept.lock();
            match keys.find(key, body, taken_ms) {
                Found::New => log.end(),
                Found::Retry(first) => return Ok(pushed(first.lines, first.dead_letters, first.last + 1)),
                Found::OtherBody => return Err(PushError::OtherBody),
            }
        };
        let Partition { id, receiver, .. } = &mut *partition;
        let messages: Vec<_> = messages(*id, first, body).collect();
        if messages.is_empty() {
            return Ok(pushed(0, 0, first));
        }
        let room = receiver.reserve(&messages)?;
        let frame = Frame {
            first,
            // A body has at most 64 MiB, so these fit.
            lines: messages.len() as u32,
            dead_letters: room.taken().dead_letters as u32,
            taken_ms,
            key,
            body,
        };
        let unsynced = {
            let (log, keys) = &mut *self.kept.lock();
            log.append(&frame).map_err(PushError::Log)?;
            keys.keep(&frame);
            log.unsynced_bytes()
        };
        room.take();
        if unsynced >= UNSYNCED_BYTES_MAX {
            self.syncer.wake();
        }
        Ok(pushed(frame.lines, frame.dead_letters, frame.end()))
    }

    /// Waits until everything up to a position survives a crash: by a sync, which all who wait share, or by a
    /// checkpoint.
    ///
    /// # Errors
    /// The log can neither be synced nor be written again to a new segment. Both are tried again by whoever pushes
    /// or waits next, and nothing is taken before they succeed.
    pub async fn durable(&self, position: Offset) -> Result<(), NotSynced> {
        self.syncer.durable(position).await
    }

    /// Cuts the log: removes the segments that end at or before a position, after a checkpoint.
    ///
    /// Give the position of the oldest checkpoint that a start may fall back to. Answers to pushes with a key are
    /// carried over. What fails is logged, and tried again the next time.
    pub fn checkpointed(&self, position: Offset) {
        let covered = position.0.saturating_add(1);
        let _cutting = self.cutting.lock().unwrap_or_else(PoisonError::into_inner);
        // A checkpoint holds the rows; the keys are in the frames.
        self.syncer.sync(&self.kept);
        let (file, keys) = {
            let (log, keys) = &mut *self.kept.lock();
            log.cover(covered);
            self.syncer.tell(log);
            if !log.can_remove(covered) {
                return;
            }
            (log.keys_file(), keys.to_bytes())
        };
        // Written without the lock: keys that come meanwhile stand in a segment that stays.
        let carried = keys.map_or(Ok(()), |keys| file.write(&keys));
        if let Err(error) = carried.and_then(|()| self.kept.lock().0.remove(covered)) {
            tracing::warn!(table = self.table, %error, "the push log cannot be cut");
        }
    }

    /// The size of the log.
    pub fn log_bytes(&self) -> u64 {
        self.kept.lock().0.bytes()
    }

    /// Lines that damage took from the log before this start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn partition(&self) -> MutexGuard<'_, Partition> {
        self.partition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a push, of whose lines the last one ends before `end`.
fn pushed(lines: u32, dead_letters: u32, end: u64) -> Pushed {
    Pushed {
        // A line with several rows can give more dead letters than one.
        accepted: lines.saturating_sub(dead_letters).into(),
        dead_letters: dead_letters.into(),
        position: end.checked_sub(1).map(Offset),
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}
