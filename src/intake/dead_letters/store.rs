//! The letters of a file, found by their ids. In memory there is only where each of them stands.
//!
//! A letter that is dropped gets a mark behind it, so that it is not kept again when its message is delivered again;
//! one that fails again with another reason gets another line. Opening rewrites a file most of which is such waste.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::file::{Lines, Place};
use super::letter::{self, Letter};

/// Letters that a disk refuses wait in memory, up to so many bytes; of more, the newest are lost.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Marks that are written at once.
const MARKS_AT_ONCE: usize = 1_000;

pub(super) struct Store {
    lines: Lines,
    by_id: FxHashMap<IdHash, Known>,
    /// The kept ones, in the order in which they first came.
    order: BTreeMap<u64, IdHash>,
    next: u64,
    tables: Vec<String>,
    /// Letters that are not on disk yet, oldest first.
    waiting: VecDeque<(IdHash, Vec<u8>)>,
    waiting_bytes: usize,
}

/// The hash of an id.
type IdHash = u128;

struct Known {
    /// Its place in the order.
    number: u64,
    content: u64,
    state: State,
}

enum State {
    Kept {
        place: Place,
        table: usize,
        /// Its changes are in the dataflow, and not yet in a checkpoint.
        replayed: bool,
    },
    /// Not on disk yet.
    Waiting,
    /// The mark's place.
    Dropped(Place),
}

/// What became of letters.
#[derive(Default)]
pub(super) struct Kept {
    /// Those that were not known.
    pub new: Vec<Letter>,
    /// Those for which there was no room.
    pub lost: Vec<Letter>,
    /// Why they are not on disk.
    pub refused: Option<io::Error>,
}

/// What became of letters that were to be dropped.
#[derive(Debug, Default)]
pub struct Dropped {
    pub done: usize,
    /// Ids of no kept letter.
    pub unknown: Vec<String>,
}

/// What a line says of itself: a letter or a mark.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    partition: Cow<'a, str>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    row: u32,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(default)]
    dropped: bool,
    #[serde(default)]
    content: u64,
}

/// The line that drops a letter.
#[derive(Serialize)]
struct Mark<'a> {
    id: &'a str,
    dropped: bool,
    at: u64,
    table: &'a str,
    partition: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    content: u64,
}

impl Store {
    /// Opens or makes a file. `covered` are the last positions, by `table/partition`, that are not delivered again:
    /// their marks may be forgotten.
    pub fn open(path: &Path, covered: &BTreeMap<String, u64>) -> io::Result<Store> {
        let store = Store::scan(path)?;
        let needed = store.still_needed(covered)?;
        let bytes: u64 = needed.iter().map(|place| place.bytes).sum();
        if store.lines.end() <= 2 * bytes {
            return Ok(store);
        }
        store.lines.keep_only(needed)?;
        Store::scan(path)
    }

    fn scan(path: &Path) -> io::Result<Store> {
        let mut by_id = FxHashMap::default();
        let mut order = BTreeMap::new();
        let mut tables = Vec::new();
        let (mut next, mut odd) = (0, 0u64);
        let lines = Lines::open(path, |place, line| {
            let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
                odd += 1;
                return;
            };
            let id = match &*line.id {
                "" => letter::id(
                    &line.table,
                    &line.partition,
                    line.offset.unwrap_or_default(),
                    line.row,
                ),
                id => id.to_owned(),
            };
            let content = match line.dropped {
                true => line.content,
                false => letter::content(line.key.as_deref(), line.value.as_deref()),
            };
            let id = xxh3_128(id.as_bytes());
            let number = by_id.get(&id).map_or(next, |known: &Known| known.number);
            next = next.max(number + 1);
            let state = match line.dropped {
                true => {
                    order.remove(&number);
                    State::Dropped(place)
                }
                false => {
                    order.insert(number, id);
                    State::Kept {
                        place,
                        table: numbered(&mut tables, &line.table),
                        replayed: false,
                    }
                }
            };
            by_id.insert(
                id,
                Known {
                    number,
                    content,
                    state,
                },
            );
        })?;
        if odd > 0 {
            tracing::warn!(path = %path.display(), lines = odd, "lines of the dead letters cannot be read and are passed over");
        }
        Ok(Store {
            lines,
            by_id,
            order,
            next,
            tables,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        })
    }

    /// Where those lines stand that still count: kept letters in their order, and marks of what may be delivered again.
    fn still_needed(&self, covered: &BTreeMap<String, u64>) -> io::Result<Vec<Place>> {
        let mut needed = Vec::new();
        for known in self.by_id.values() {
            match known.state {
                State::Kept { place, .. } => needed.push((known.number, place)),
                State::Dropped(place) => {
                    let mark = self.lines.read(place)?;
                    let is_covered = serde_json::from_slice::<Line<'_>>(&mark).is_ok_and(|mark| {
                        let partition = format!("{}/{}", mark.table, mark.partition);
                        mark.offset.is_some() && covered.get(&partition).copied() >= mark.offset
                    });
                    if !is_covered {
                        needed.push((known.number, place));
                    }
                }
                State::Waiting => {}
            }
        }
        needed.sort_unstable_by_key(|(number, _)| *number);
        Ok(needed.into_iter().map(|(_, place)| place).collect())
    }

    /// Keeps those that are not known yet. A letter that cannot be written waits for the next attempt.
    pub fn keep(&mut self, letters: impl IntoIterator<Item = Letter>) -> Kept {
        let mut kept = Kept::default();
        for mut letter in letters {
            let content = letter.content();
            let Some(id) = self.free_id(&mut letter, content) else {
                continue;
            };
            let line = letter.to_line();
            if self.waiting_bytes > 0 && self.waiting_bytes + line.len() > WAITING_BYTES_MAX {
                // What waits may have become writable in the meantime.
                if let Err(error) = self.write_waiting() {
                    kept.refused = Some(error);
                    kept.lost.push(letter);
                    continue;
                }
            }
            self.waiting_bytes += line.len();
            self.waiting.push_back((id, line));
            let number = self.next;
            self.next += 1;
            let state = State::Waiting;
            self.by_id.insert(
                id,
                Known {
                    number,
                    content,
                    state,
                },
            );
            kept.new.push(letter);
        }
        if let Err(error) = self.write_waiting() {
            kept.refused = Some(error);
        }
        kept
    }

    /// The letter's id, changed where another message has it; `None` where this very letter is known.
    fn free_id(&self, letter: &mut Letter, content: u64) -> Option<IdHash> {
        let base = letter.id.clone();
        for copy in 2u64.. {
            let id = xxh3_128(letter.id.as_bytes());
            match self.by_id.get(&id) {
                None => return Some(id),
                Some(known) if known.content == content => return None,
                Some(_) => letter.id = format!("{base}~{copy}"),
            }
        }
        None
    }

    /// Writes what waits, in its order.
    pub fn write_waiting(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            // Many small ones in one write, and large ones by themselves.
            let mut together = Vec::new();
            let mut count = 0;
            while let Some((_, line)) = self.waiting.get(count)
                && (count == 0 || together.len() + line.len() <= 1 << 20)
            {
                together.extend_from_slice(line);
                count += 1;
            }
            let mut at = self.lines.append(&together)?;
            for (id, line) in self.waiting.drain(..count) {
                let bytes = line.len() as u64;
                self.waiting_bytes -= line.len();
                if let (Some(known), Ok(letter)) =
                    (self.by_id.get_mut(&id), serde_json::from_slice::<Line<'_>>(&line))
                {
                    known.state = State::Kept {
                        place: Place { at, bytes },
                        table: numbered(&mut self.tables, &letter.table),
                        replayed: false,
                    };
                    self.order.insert(known.number, id);
                }
                at += bytes;
            }
        }
        Ok(())
    }

    /// Makes everything durable that was kept so far.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write_waiting()?;
        self.lines.sync()
    }

    /// How many letters are kept, of one table or of all.
    pub fn count(&self, table: Option<&str>) -> usize {
        match table {
            None => self.order.len(),
            Some(_) => self.places(table, None).count(),
        }
    }

    /// How many wait for the disk.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Where an id stands in the order, also if it was dropped since.
    pub fn number(&self, id: &str) -> Option<u64> {
        self.by_id.get(&xxh3_128(id.as_bytes())).map(|known| known.number)
    }

    /// Reads kept letters after one in the order; up to `limit` of them and, but for the first, of `bytes`. Says whether
    /// there are more.
    pub fn page(
        &self,
        table: Option<&str>,
        after: Option<u64>,
        limit: usize,
        bytes: u64,
    ) -> io::Result<(Vec<(Letter, bool)>, bool)> {
        let mut letters = Vec::new();
        let mut read = 0;
        for (place, replayed) in self.places(table, after) {
            read += place.bytes;
            if letters.len() == limit || !letters.is_empty() && read > bytes {
                return Ok((letters, true));
            }
            letters.push((self.read(place)?, replayed));
        }
        Ok((letters, false))
    }

    /// The kept letter with this id.
    pub fn get(&self, id: &str) -> io::Result<Option<Letter>> {
        match self.by_id.get(&xxh3_128(id.as_bytes())).map(|known| &known.state) {
            Some(State::Kept { place, .. }) => self.read(*place).map(Some),
            _ => Ok(None),
        }
    }

    /// Drops letters.
    pub fn drop_letters(&mut self, ids: &[String]) -> io::Result<Dropped> {
        let mut dropped = Dropped::default();
        for ids in ids.chunks(MARKS_AT_ONCE) {
            let mut marks = Vec::new();
            let mut places = Vec::new();
            for id in ids {
                let Some(letter) = self.get(id)? else {
                    dropped.unknown.push(id.clone());
                    continue;
                };
                let before = marks.len();
                marks.extend(mark(&letter));
                places.push((xxh3_128(id.as_bytes()), before, marks.len() - before));
            }
            let start = self.lines.append(&marks)?;
            for (id, before, bytes) in places {
                if let Some(known) = self.by_id.get_mut(&id)
                    && self.order.remove(&known.number).is_some()
                {
                    known.state = State::Dropped(Place {
                        at: start + before as u64,
                        bytes: bytes as u64,
                    });
                    dropped.done += 1;
                }
            }
        }
        Ok(dropped)
    }

    /// Notes that the changes of a letter are in the dataflow.
    pub fn note_replayed(&mut self, id: &str) {
        if let Some(Known {
            state: State::Kept { replayed, .. },
            ..
        }) = self.by_id.get_mut(&xxh3_128(id.as_bytes()))
        {
            *replayed = true;
        }
    }

    /// Notes why a kept letter has failed again.
    pub fn note_reason(&mut self, id: &str, reason: &str) -> io::Result<()> {
        let Some(mut letter) = self.get(id)?.filter(|letter| letter.reason != reason) else {
            return Ok(());
        };
        reason.clone_into(&mut letter.reason);
        let line = letter.to_line();
        let at = self.lines.append(&line)?;
        if let Some(Known {
            state: State::Kept { place, .. },
            ..
        }) = self.by_id.get_mut(&xxh3_128(id.as_bytes()))
        {
            *place = Place {
                at,
                bytes: line.len() as u64,
            };
        }
        Ok(())
    }

    fn places(&self, table: Option<&str>, after: Option<u64>) -> impl Iterator<Item = (Place, bool)> {
        let table = table.map(|table| self.tables.iter().position(|known| known == table));
        let from = after.map_or(0, |after| after.saturating_add(1));
        let kept = self
            .order
            .range(from..)
            .filter_map(|(_, id)| match self.by_id.get(id)?.state {
                State::Kept {
                    place,
                    table,
                    replayed,
                } => Some((table, (place, replayed))),
                State::Waiting | State::Dropped(_) => None,
            });
        kept.filter(move |(of, _)| table.is_none_or(|table| table == Some(*of)))
            .map(|(_, found)| found)
    }

    fn read(&self, place: Place) -> io::Result<Letter> {
        Letter::parse(&self.lines.read(place)?).map_err(io::Error::other)
    }
}

fn mark(letter: &Letter) -> Vec<u8> {
    let mark = Mark {
        id: &letter.id,
        dropped: true,
        at: letter::now_ms(),
        table: &letter.table,
        partition: &letter.partition,
        offset: letter.offset,
        content: letter.content(),
    };
    let mut line = serde_json::to_vec(&mark).expect("a mark serialises into memory");
    line.push(b'\n');
    line
}

/// The number of a table's name; there are as many as tables.
fn numbered(tables: &mut Vec<String>, name: &str) -> usize {
    tables.iter().position(|known| known == name).unwrap_or_else(|| {
        tables.push(name.to_owned());
        tables.len() - 1
    })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
