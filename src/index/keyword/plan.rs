//! Which segments become one.
//!
//! Young segments are rebuilt from their rows, which is cheaper than merging them; eight of a level are
//! merged; a segment with many dead documents is rewritten.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::compact::Compactor;
use super::docs::Docs;
use super::segment::Segment;
use super::writer::{Entry, SegmentId};
use super::{KeywordError, KeywordSchema};
use crate::index::{Document, Slot};

/// Young segments that become one. Fewer would be rebuilt more often, more would slow queries.
const YOUNG_MIN: usize = 16;
/// Rebuilding takes no more at once, however many have gathered.
const YOUNG_MAX: usize = 64;

/// Segments of a level that become one of the next. With eight, a document is copied once for each factor of
/// eight in the number of documents.
const MERGED: usize = 8;
/// So many segments of a level cannot wait, as `YOUNG_MAX` young ones cannot.
const MERGED_MAX: usize = 32;

/// A segment is rewritten when one of so many documents is dead.
const DEAD_SHARE: u32 = 4;

/// Work on more documents than this is large: about a quarter of a second.
const SMALL_DOCUMENTS_MAX: u32 = 20_000;

/// What becomes one segment.
pub(super) struct Plan {
    pub sources: Vec<SegmentId>,
    pub lane: Size,
    pub job: Job,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

pub(super) enum Job {
    Rebuild(Vec<(Slot, Arc<Document>)>),
    Merge(Vec<(Arc<Segment>, Arc<Docs>)>),
}

/// The next thing to do, or `None` if there is nothing, or no lane for it free.
pub(super) fn next(entries: &[Entry], compactor: &Compactor) -> Option<Plan> {
    let rebuild = || {
        compactor
            .is_free(Size::Small)
            .then(|| rebuild(entries, compactor, YOUNG_MIN))
            .flatten()
    };
    let merges = (0..=highest_level(entries)).filter_map(|level| merge(entries, compactor, level, MERGED));
    let decayed = idle(entries, compactor).filter(|entry| {
        entry.rows.is_none() && entry.part.dead().saturating_mul(DEAD_SHARE) >= entry.part.segment.size()
    });
    let rewrites = decayed.map(|entry| Plan::merge(&[entry]));
    rebuild()
        .into_iter()
        .chain(merges)
        .chain(rewrites)
        .find(|plan| compactor.is_free(plan.lane))
}

/// What has gathered because a thread of low priority gets no time. A tick does this itself: else segments, and
/// with them the time of queries, would grow without bound.
pub(super) fn overdue(entries: &[Entry], compactor: &Compactor) -> Option<Plan> {
    let merges =
        (0..=highest_level(entries)).filter_map(|level| merge(entries, compactor, level, MERGED_MAX));
    let rebuild = rebuild(entries, compactor, YOUNG_MAX);
    let small = rebuild
        .into_iter()
        .chain(merges)
        .find(|plan| plan.lane == Size::Small);
    small.filter(|_| !compactor.is_paused(Size::Small))
}

fn idle<'a>(entries: &'a [Entry], compactor: &Compactor) -> impl Iterator<Item = &'a Entry> {
    entries.iter().filter(|entry| !compactor.is_source(entry.id))
}

/// The oldest young segments, if there are at least so many.
fn rebuild(entries: &[Entry], compactor: &Compactor, least: usize) -> Option<Plan> {
    let young: Vec<_> = idle(entries, compactor)
        .filter(|entry| entry.rows.is_some())
        .take(YOUNG_MAX)
        .collect();
    (young.len() >= least).then(|| Plan::rebuild(&young))
}

/// The oldest segments of a level, if it has at least so many.
fn merge(entries: &[Entry], compactor: &Compactor, level: u32, least: usize) -> Option<Plan> {
    let equals = idle(entries, compactor).filter(|entry| entry.rows.is_none() && self::level(entry) == level);
    let equals: Vec<_> = equals.collect();
    (equals.len() >= least).then(|| Plan::merge(&equals[..MERGED]))
}

fn highest_level(entries: &[Entry]) -> u32 {
    entries.iter().map(level).max().unwrap_or(0)
}

/// Levels by living documents: below 128, below 1,024, and so on.
fn level(entry: &Entry) -> u32 {
    (entry.part.living / 16).max(1).ilog(MERGED as u32)
}

impl Plan {
    fn rebuild(entries: &[&Entry]) -> Plan {
        let rows = entries.iter().flat_map(|entry| {
            let rows = (0..).zip(entry.rows.iter().flatten());
            rows.filter(|(doc, _)| entry.part.alive.contains(*doc))
                .map(|(_, row)| row.clone())
        });
        Plan {
            sources: ids(entries),
            lane: Size::Small,
            job: Job::Rebuild(rows.collect()),
        }
    }

    fn merge(entries: &[&Entry]) -> Plan {
        let documents = entries
            .iter()
            .fold(0u32, |sum, entry| sum.saturating_add(entry.part.living));
        let lane = if documents > SMALL_DOCUMENTS_MAX {
            Size::Large
        } else {
            Size::Small
        };
        let parts = entries
            .iter()
            .map(|entry| (entry.part.segment.clone(), entry.part.alive.clone()));
        Plan {
            sources: ids(entries),
            lane,
            job: Job::Merge(parts.collect()),
        }
    }
}

fn ids(entries: &[&Entry]) -> Vec<SegmentId> {
    entries.iter().map(|entry| entry.id).collect()
}

impl Job {
    /// A panic of tantivy is an error like others: the segments that were to be one serve on.
    pub fn run(self, schema: &KeywordSchema) -> Result<Segment, KeywordError> {
        let work = AssertUnwindSafe(|| match self {
            Job::Rebuild(rows) => Segment::build(schema, &rows),
            Job::Merge(sources) => Segment::merge(schema, &sources),
        });
        catch_unwind(work).unwrap_or_else(|_| Err(KeywordError("compaction panicked".into())))
    }
}
