//! The broker of a pushed table: frames in segments, appended, synced, replayed at start, cut after a checkpoint.
//!
//! A segment is named by its first offset and ends where the next one begins. It is synced before the next one is
//! begun, so only the last one can be torn by a crash. What a start finds is never written to again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use super::frame::{Frame, frames};
use super::keys::Keys;
use super::segment::{LOGS, Pending, Segment, path};
use crate::storage::Storage;

/// Keys whose frames are no longer in a segment.
const KEYS: &str = "keys";

/// How the name of a file ends that is not complete yet.
const ASIDE: &str = ".new";

/// What the disk holds of a table's pushes.
pub struct Log {
    storage: Arc<dyn Storage>,
    folder: String,
    /// Synced, and not written to any more; oldest first.
    closed: VecDeque<Closed>,
    open: Option<Segment>,
    /// The offset of the next line.
    end: u64,
    /// What is before survives a crash.
    durable: u64,
    /// Appended since the last sync began, or more.
    unsynced_bytes: u64,
    segment_bytes_max: u64,
}

struct Closed {
    first: u64,
    bytes: u64,
}

/// What a start found.
pub struct Opened {
    pub log: Log,
    pub keys: Keys,
    /// Offsets behind the position to resume after that damage took.
    pub lost: Vec<Range<u64>>,
}

impl Log {
    /// Reads what there is of a table. The next line is neither before `resume` nor before the end of the log.
    pub fn open(
        storage: Arc<dyn Storage>,
        table: &str,
        resume: u64,
        segment_bytes_max: u64,
    ) -> io::Result<Opened> {
        let folder = format!("{LOGS}/{table}");
        let mut names = storage.list(&folder)?;
        for name in names.extract_if(.., |name| name.ends_with(ASIDE)) {
            storage.remove(&format!("{folder}/{name}"))?;
        }
        let mut keys = match names.iter().any(|name| name == KEYS) {
            false => Keys::default(),
            true => Keys::from_bytes(&storage.read(&format!("{folder}/{KEYS}"))?).unwrap_or_else(|| {
                tracing::error!(
                    table,
                    "the kept idempotency keys are damaged: a retry of a push before the last checkpoint is taken again"
                );
                Keys::default()
            }),
        };
        let firsts: Vec<u64> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
            .collect();
        let mut log = Log {
            storage,
            folder,
            closed: VecDeque::new(),
            open: None,
            end: resume,
            durable: resume,
            unsynced_bytes: 0,
            segment_bytes_max,
        };
        let mut lost = Vec::new();
        for (first, until) in with_ends(&firsts) {
            log.reach(first, &mut lost);
            let bytes = log.storage.read(&log.path(first))?;
            for frame in frames(&bytes).take_while(|frame| frame.first < until) {
                log.reach(frame.first, &mut lost);
                log.end = log.end.max(frame.end());
                keys.keep(&frame);
            }
            log.closed.push_back(Closed {
                first,
                bytes: bytes.len() as u64,
            });
        }
        // It holds no frame, and the next segment has its name.
        log.closed.pop_back_if(|last| last.first == log.end);
        // A crash of the process alone leaves frames that are read, and not synced.
        if let Some(last) = log.closed.back() {
            log.storage.append(&log.path(last.first))?.sync()?;
            log.storage.sync_folder(&log.folder)?;
        }
        log.durable = log.end;
        Ok(Opened { log, keys, lost })
    }

    /// Notes that the log goes on at an offset: what is missing before it is lost.
    fn reach(&mut self, first: u64, lost: &mut Vec<Range<u64>>) {
        if first > self.end {
            lost.push(self.end..first);
            self.end = first;
        }
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn durable(&self) -> u64 {
        self.durable
    }

    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        closed + self.open.as_ref().map_or(0, |segment| segment.bytes)
    }

    /// Bytes that a power cut could take, or more.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// The segments that there are, for [`Replay`].
    pub fn replay(&self) -> Replay {
        Replay {
            storage: self.storage.clone(),
            folder: self.folder.clone(),
            firsts: self.closed.iter().map(|segment| segment.first).collect(),
        }
    }

    /// Writes a frame that begins at [`Log::end`].
    ///
    /// # Errors
    /// Nothing of it is in the log, and no offset is used up; a later one may succeed.
    pub fn append(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        debug_assert_eq!(frame.first, self.end, "offsets go on");
        let bytes_max = self.segment_bytes_max;
        if self
            .open
            .as_ref()
            .is_some_and(|segment| segment.is_done(bytes_max))
        {
            self.close()?;
        }
        let segment = match &mut self.open {
            Some(segment) => segment,
            none => none.insert(Segment::create(&self.storage, &self.folder, self.end)?),
        };
        self.unsynced_bytes += segment.write(frame)?;
        self.end = frame.end();
        Ok(())
    }

    /// What is not durable yet, if anything.
    pub fn pending(&self) -> Option<Pending> {
        let segment = self.open.as_ref()?;
        (self.durable < self.end).then(|| segment.pending(self.end, self.unsynced_bytes))
    }

    /// Notes that a sync succeeded.
    pub fn synced(&mut self, pending: &Pending) {
        self.durable = self.durable.max(pending.end);
        self.unsynced_bytes = self.unsynced_bytes.saturating_sub(pending.bytes);
    }

    /// Makes everything durable and ends the segment; what a failed sync leaves in doubt is written again.
    pub fn close(&mut self) -> io::Result<()> {
        let Some(segment) = &self.open else {
            return Ok(());
        };
        // Without a frame, the next segment has its name.
        if segment.first < self.end {
            if self.durable < self.end && segment.pending(self.end, self.unsynced_bytes).sync().is_err() {
                return self.rescue();
            }
            self.closed.push_back(Closed {
                first: segment.first,
                bytes: segment.bytes,
            });
        }
        self.durable = self.end;
        self.unsynced_bytes = 0;
        self.open = None;
        Ok(())
    }

    /// Writes the frames that are not durable into a segment of their own, from which a start reads them then.
    fn rescue(&mut self) -> io::Result<()> {
        let Some(segment) = &self.open else {
            return Ok(());
        };
        let written = self.storage.read(&self.path(segment.first))?;
        let aside = format!("{}/rescue{ASIDE}", self.folder);
        let mut file = self.storage.create(&aside)?;
        let (mut reached, mut bytes) = (self.durable, 0);
        for frame in frames(&written).filter(|frame| frame.first >= self.durable) {
            if frame.first != reached {
                break;
            }
            reached = frame.end();
            let head = frame.head();
            file.write_all(&head)?;
            file.write_all(frame.body)?;
            bytes += (head.len() + frame.body.len()) as u64;
        }
        if reached != self.end {
            let reason = format!("offsets from {reached} on cannot be read back after a failed sync");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        file.sync()?;
        self.storage.rename(&aside, &self.path(self.durable))?;
        self.storage.sync_folder(&self.folder)?;
        if segment.first < self.durable {
            self.closed.push_back(Closed {
                first: segment.first,
                bytes: segment.bytes,
            });
        }
        self.closed.push_back(Closed {
            first: self.durable,
            bytes,
        });
        tracing::warn!(
            log = self.folder,
            offsets = ?(self.durable..self.end),
            "written again after a failed sync"
        );
        self.durable = self.end;
        self.unsynced_bytes = 0;
        self.open = None;
        Ok(())
    }

    /// Whether [`Log::remove`] would remove a segment.
    pub fn can_remove(&self, covered: u64) -> bool {
        let second = self.closed.get(1).map(|segment| segment.first);
        let end = second.or(self.open.as_ref().map(|segment| segment.first));
        !self.closed.is_empty() && end.unwrap_or(self.end) <= covered
    }

    /// Removes the segments that end at or before `covered`, oldest first.
    pub fn remove(&mut self, covered: u64) -> io::Result<()> {
        while self.can_remove(covered)
            && let Some(oldest) = self.closed.front()
        {
            self.storage.remove(&self.path(oldest.first))?;
            self.closed.pop_front();
        }
        Ok(())
    }

    /// Notes that a checkpoint holds everything before `covered`: it is durable, whatever became of its segment.
    pub fn cover(&mut self, covered: u64) {
        self.durable = self.durable.max(covered.min(self.end));
    }

    /// Where [`Keys`] are kept, as long as the log may be cut.
    pub fn keys_file(&self) -> KeysFile {
        KeysFile {
            storage: self.storage.clone(),
            folder: self.folder.clone(),
        }
    }

    fn path(&self, first: u64) -> String {
        path(&self.folder, first)
    }
}

/// Reads segments that are not written to any more.
pub struct Replay {
    storage: Arc<dyn Storage>,
    folder: String,
    firsts: Vec<u64>,
}

impl Replay {
    /// Gives `each` all frames that end behind `resume`, in order, some `bytes` at a time, until it fails.
    pub fn run<E: From<io::Error>>(
        &self,
        resume: u64,
        bytes: usize,
        each: &mut dyn FnMut(&[Frame<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (first, until) in with_ends(&self.firsts).filter(|(_, until)| *until > resume) {
            let segment = self.storage.read(&path(&self.folder, first))?;
            let (mut together, mut together_bytes) = (Vec::new(), 0);
            for frame in frames(&segment).take_while(|frame| frame.first < until) {
                if frame.end() <= resume {
                    continue;
                }
                together_bytes += frame.body.len();
                together.push(frame);
                if together_bytes >= bytes {
                    each(&together)?;
                    together.clear();
                    together_bytes = 0;
                }
            }
            if !together.is_empty() {
                each(&together)?;
            }
        }
        Ok(())
    }
}

/// Writes keys beside the log.
pub struct KeysFile {
    storage: Arc<dyn Storage>,
    folder: String,
}

impl KeysFile {
    /// Replaces what is kept.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let path = format!("{}/{KEYS}", self.folder);
        let aside = format!("{path}{ASIDE}");
        let mut file = self.storage.create(&aside)?;
        file.write_all(bytes)?;
        file.sync()?;
        self.storage.rename(&aside, &path)?;
        self.storage.sync_folder(&self.folder)
    }
}

/// Segments with the offset at which the next one begins.
fn with_ends(firsts: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let ends = firsts.iter().copied().skip(1).chain([u64::MAX]);
    firsts.iter().copied().zip(ends)
}
