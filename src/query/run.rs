//! One search over one snapshot: filter, both legs, fusion, documents.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use roaring::RoaringBitmap;

use super::answer::{AsOf, FailedLeg, Hit, Leg, SearchAnswer, VectorState};
use super::fuse::{Fused, Scored, best_first, fuse, keyword_alone, vector_alone};
use super::plan::{Nearest, Search};
use super::request::VectorsWanted;
use super::{QueryError, SearchedField};
use crate::change::Span;
use crate::definition::{Expression, Metric};
use crate::index::keyword::{self, KeywordState};
use crate::index::{Deadline, LegState, Slot, Snapshot};

/// A leg's hits, best first, or why it cannot answer.
type LegAnswer<'a> = Result<Vec<Scored<'a>>, String>;

pub(super) fn run<'s>(snapshot: &'s Snapshot, search: &Search) -> Result<SearchAnswer, QueryError> {
    let condition = match (&search.population, &search.filter) {
        (None, filter) => filter.clone(),
        (population, None) => population.clone(),
        (Some(population), Some(filter)) => Some(Expression::And(
            Box::new(population.clone()),
            Box::new(filter.clone()),
        )),
    };
    let allowed = match &condition {
        Some(condition) => Some(guarded(snapshot, condition).map_err(filter_failed)?),
        None => None,
    };
    let (keyword, vector) = ask(snapshot, search, allowed.as_deref());

    let mut failed = Vec::new();
    let mut answered = |leg, answer: Option<LegAnswer<'s>>| match answer? {
        Ok(hits) => Some(hits),
        Err(reason) => {
            failed.push(FailedLeg { leg, reason });
            None
        }
    };
    let hits = match (answered(Leg::Keyword, keyword), answered(Leg::Vector, vector)) {
        (Some(keyword), Some(vector)) => fuse(&search.fusion, &keyword, &vector),
        (Some(keyword), None) => keyword_alone(&keyword),
        (None, Some(vector)) => vector_alone(&vector),
        (None, None) => return Err(unavailable(&failed)),
    };

    let hit = |hit: &Fused<'_>| {
        let vector_state = VectorState::of(snapshot, search.leg, &hit.document.key.text());
        let is_of_another_text = vector_state == Some(VectorState::Stale);
        let field = search.field.as_deref().filter(|_| !is_of_another_text);
        Hit {
            piece: field.and_then(|field| field.piece(hit)),
            ..Hit::new(hit, vector_state, &search.columns)
        }
    };
    let page = hits.iter().skip(search.offset).take(search.limit);
    Ok(SearchAnswer {
        hits: page.map(hit).collect(),
        as_of: AsOf::new(snapshot),
        took_ms: None,
        timed_out: search.deadline.was_met(),
        failed,
    })
}

/// The slots of each shard that the filter lets through; a panic is an error.
pub(super) fn guarded(snapshot: &Snapshot, filter: &Expression) -> Result<Vec<RoaringBitmap>, String> {
    guard(|| allowed(snapshot, filter))
}

fn allowed(snapshot: &Snapshot, filter: &Expression) -> Result<Vec<RoaringBitmap>, String> {
    let bitmaps = snapshot.shards.iter().map(|shard| {
        let document = |slot| shard.documents.get(slot).cloned();
        shard.keyword.filter(filter, &document)
    });
    bitmaps
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// Asks the legs that the search needs; where it needs both, in parallel. `None`: not asked.
///
/// A thread costs about 60 us: on 2 cores, two legs of 300 us take 400 us together, against 600 in turn.
fn ask<'s>(
    snapshot: &'s Snapshot,
    search: &Search,
    allowed: Option<&[RoaringBitmap]>,
) -> (Option<LegAnswer<'s>>, Option<LegAnswer<'s>>) {
    let by_words = |words| guard(|| keyword_leg(snapshot, words, allowed, search));
    let by_vector = |nearest| guard(|| vector_leg(snapshot, nearest, allowed, search));
    match (search.words, search.nearest) {
        (Some(words), Some(nearest)) => thread::scope(|scope| {
            let thread = thread::Builder::new().name("vector-leg".to_owned());
            let vector = thread.spawn_scoped(scope, || by_vector(nearest));
            let keyword = by_words(words);
            let vector = match vector {
                Ok(leg) => leg.join().unwrap_or_else(|_| Err(PANICKED.to_owned())),
                Err(error) => Err(format!("no thread to run on: {error}")),
            };
            (Some(keyword), Some(vector))
        }),
        (words, nearest) => (words.map(by_words), nearest.map(by_vector)),
    }
}

fn keyword_leg<'s>(
    snapshot: &'s Snapshot,
    words: &str,
    allowed: Option<&[RoaringBitmap]>,
    search: &Search,
) -> LegAnswer<'s> {
    let states: Vec<&KeywordState> = snapshot.shards.iter().map(|shard| &*shard.keyword).collect();
    let document = |shard, slot| snapshot.document_at(shard, slot).map(|document| &**document);
    let (depth, deadline) = (search.depth(), &search.deadline);
    let hits = keyword::search_until(&states, words, allowed, depth, &document, deadline)
        .map_err(|error| error.to_string())?;
    let hits = hits
        .iter()
        .filter_map(|hit| scored(snapshot, hit.shard, hit.slot, hit.score, Span::WHOLE));
    Ok(hits.collect())
}

fn vector_leg<'s>(
    snapshot: &'s Snapshot,
    nearest: Nearest,
    allowed: Option<&[RoaringBitmap]>,
    search: &Search,
) -> LegAnswer<'s> {
    let field = search.field.as_deref().ok_or("the index has no vectors")?;
    let embedded;
    let query = match nearest {
        Nearest::Vector(vector) => vector,
        // Nothing is near to nothing; as for documents, a text without words is not embedded.
        Nearest::Text(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Nearest::Text(text) => {
            embedded = embed(field, text, &search.deadline)?;
            &embedded
        }
    };
    if field.metric == Metric::Cosine && query.iter().all(|&number| number == 0.0) {
        // The model knows none of the words.
        return Ok(Vec::new());
    }
    let mut hits = Vec::new();
    for (number, shard) in snapshot.shards.iter().enumerate() {
        let Some(leg) = shard.legs.get(search.leg) else {
            continue;
        };
        let allowed = allowed.map(|allowed| &allowed[number]);
        let current;
        let allowed = match search.vectors {
            VectorsWanted::Current if !leg.stale.is_empty() => {
                current = without_stale(leg, allowed, shard.documents.slots());
                Some(&current)
            }
            VectorsWanted::Current | VectorsWanted::Any => allowed,
        };
        let found = leg.search(query, search.depth(), search.effort, allowed, &search.deadline);
        for hit in found {
            hits.extend(scored(snapshot, number, hit.slot, hit.score, hit.span));
        }
    }
    hits.sort_unstable_by(|a, b| best_first((a.score, a.document), (b.score, b.document)));
    hits.truncate(search.depth());
    Ok(hits)
}

/// The slots that are allowed, less those whose vector is that of a text before.
fn without_stale(leg: &LegState, allowed: Option<&RoaringBitmap>, slots: usize) -> RoaringBitmap {
    let all = || (0..slots as u32).collect();
    let mut current = allowed.cloned().unwrap_or_else(all);
    for slot in &leg.stale {
        current.remove(slot.0);
    }
    current
}

/// The vector of a query's text.
pub(super) fn embed(field: &SearchedField, text: &str, deadline: &Deadline) -> Result<Arc<[f32]>, String> {
    let Some(queries) = &field.queries else {
        return Err(
            "the index has ready-made vectors, and no model that embeds `query`: give `vector`".to_owned(),
        );
    };
    queries.embed(text, deadline)
}

/// A leg's hit with its document. The snapshot holds one for every slot that its legs know.
fn scored(snapshot: &Snapshot, shard: usize, slot: Slot, score: f32, span: Span) -> Option<Scored<'_>> {
    let document = snapshot.document_at(shard, slot).map(Arc::as_ref);
    debug_assert!(
        document.is_some(),
        "{slot:?} of shard {shard} was found and has no document"
    );
    document.map(|document| Scored {
        document,
        score,
        span,
    })
}

pub(super) const PANICKED: &str = "it panicked; the log says where";

/// Runs `part` so that its panic is its failure, not the node's. It only reads, so nothing is left half done.
fn guard<T>(part: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|_| Err(PANICKED.to_owned()))
}

fn filter_failed(reason: String) -> QueryError {
    QueryError::internal("filter_failed", format!("the filter could not be run: {reason}"))
}

fn unavailable(failed: &[FailedLeg]) -> QueryError {
    let legs: Vec<String> = failed
        .iter()
        .map(|failed| format!("{} leg: {}", failed.leg.name(), failed.reason))
        .collect();
    QueryError::internal("unavailable", format!("no leg could answer: {}", legs.join("; ")))
}
