//! The keyword leg on disk: a part for each segment.
//!
//! Segments are immutable, so a part is written once. What changes is which of their documents live, and that is
//! kept with the slots. The counts of dead terms are not written: the segments themselves have them.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::docs::Docs;
use super::plan::Job;
use super::segment::Segment;
use super::state::Part as LivePart;
use super::unread::Unread;
use super::writer::YOUNG_DOCUMENTS_MAX;
use super::{KeywordError, KeywordSchema, KeywordState};
use crate::storage::{Damaged, Part, PartReader, PartWriter};

/// The parts of the keyword leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKeyword {
    /// By age.
    segments: Vec<StoredSegment>,
    /// Tokens of the living documents, by text.
    tokens: Vec<u64>,
}

/// A segment in a part of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSegment {
    /// Unique among all segments there ever were.
    name: String,
    /// The young segments that it was merged of to be stored, and how many of their documents lived.
    of: Option<String>,
    part: Part,
}

/// Which documents of each stored segment live, a bit each; `None`: all of them.
pub type AliveWords = Vec<Option<Vec<u64>>>;

impl StoredKeyword {
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.segments.iter().map(|segment| &segment.part)
    }
}

/// Writes the segments that `before` does not have.
///
/// Young segments become one: there are dozens, and they do not live long.
pub fn store(
    state: &KeywordState,
    before: &StoredKeyword,
    parts: &PartWriter<'_>,
) -> io::Result<(StoredKeyword, AliveWords)> {
    let mut stored = StoredKeyword {
        segments: Vec::new(),
        tokens: state.tokens.clone(),
    };
    let mut alive = Vec::new();
    let mut young = Vec::new();
    for live in &state.parts {
        let name = live.segment.name();
        let known = before.segments.iter().find(|segment| segment.name == name);
        if known.is_none() && live.segment.size() as usize <= YOUNG_DOCUMENTS_MAX {
            young.push(live);
            continue;
        }
        stored.segments.push(match known {
            Some(known) => known.clone(),
            None => write(&live.segment, None, parts)?,
        });
        alive.push((live.dead() > 0).then(|| live.alive.words().to_vec()));
    }
    if !young.is_empty() {
        let of = identity(&young);
        let known = before
            .segments
            .iter()
            .find(|segment| segment.of.as_ref() == Some(&of));
        stored.segments.push(match known {
            Some(known) => known.clone(),
            None => {
                let sources = young
                    .iter()
                    .map(|live| (live.segment.clone(), live.alive.clone()));
                let merged = Job::Merge(sources.collect())
                    .run(&state.schema)
                    .map_err(io::Error::other)?;
                write(&merged, Some(of), parts)?
            }
        });
        alive.push(None);
    }
    Ok((stored, alive))
}

fn write(segment: &Segment, of: Option<String>, parts: &PartWriter<'_>) -> io::Result<StoredSegment> {
    Ok(StoredSegment {
        name: segment.name(),
        of,
        part: parts.write("segment", |out| segment.write(out))?,
    })
}

/// What tells the living documents of these segments: a set that only shrinks is known by its size.
fn identity(young: &[&LivePart]) -> String {
    let mut hash = Xxh3::new();
    for live in young {
        hash.update(live.segment.name().as_bytes());
        hash.update(&live.living.to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

/// What a writer goes on with.
pub(super) struct Opened {
    pub parts: Vec<LivePart>,
    pub tokens: Vec<u64>,
}

/// Reads the segments back. `alive` has come from [`store`] together with `stored`; all slots are less than `slots`.
pub(super) fn open(
    schema: &KeywordSchema,
    stored: &StoredKeyword,
    alive: AliveWords,
    slots: usize,
    parts: &PartReader<'_>,
) -> Result<Opened, Damaged> {
    if stored.tokens.len() != schema.texts().len() {
        return Err(Damaged {
            path: "manifest".into(),
            reason: "it counts the tokens of other texts than the index has".into(),
        });
    }
    let mut opened = Opened {
        parts: Vec::with_capacity(stored.segments.len()),
        tokens: stored.tokens.clone(),
    };
    let mut alive = alive.into_iter();
    for StoredSegment { name, part, .. } in &stored.segments {
        let bytes = parts.read(part)?;
        let damaged = |error: KeywordError| part.damaged(error.0);
        let segment = Segment::read(schema, &bytes).map_err(damaged)?;
        if segment.name() != *name {
            return Err(part.damaged(format!("it is not segment {name}")));
        }
        if segment.slots().any(|slot| slot.0 as usize >= slots) {
            return Err(part.damaged("it has a slot that was never given out"));
        }
        let mut live = LivePart::new(segment);
        if let Some(words) = alive.next().flatten() {
            let size = live.segment.size();
            let docs = Docs::from_words(words, size)
                .ok_or_else(|| part.damaged("which of its documents live is not known"))?;
            let dead = Docs::all(size).without(&docs);
            let unread = Unread::of(&live.segment, &dead).map_err(damaged)?;
            live.dead.add_counts(unread.terms);
            live.living = docs.count();
            live.alive = Arc::new(docs);
        }
        opened.parts.push(live);
    }
    Ok(opened)
}
