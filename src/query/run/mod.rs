//! One search over one snapshot: filter, both legs, fusion or sorting, groups, the whole result, documents.

mod legs;
mod full;
mod list;
mod page;
mod rerank;
mod hydrate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use roaring::RoaringBitmap;

use super::answer::{AsOf, SearchAnswer};
use super::plan::{Nearest, Search};
use super::whole::{Total, states, with_words};
use super::{QueryError, facets};
use crate::definition::Expression;
use crate::index::Snapshot;
use crate::index::keyword::Scope;
use legs::Meaning;
pub(super) use legs::embed;
use list::Depth;

pub(super) fn run(snapshot: &Snapshot, search: &Search) -> Result<SearchAnswer, QueryError> {
    let slots = |condition: &Option<Expression>| match condition {
        Some(condition) => guarded(snapshot, condition).map(Some).map_err(filter_failed),
        None => Ok(None),
    };
    let (population, filtered) = (slots(&search.population)?, slots(&search.filter)?);
    let mut allowed = intersection(population.clone(), filtered);
    if let Some(Nearest::Like { shard, slot, .. }) = &search.nearest {
        let all = snapshot
            .shards
            .iter()
            .map(|shard| (0..shard.documents.slots() as u32).collect());
        let allowed = allowed.get_or_insert_with(|| all.collect());
        if let Some(slots) = allowed.get_mut(*shard) {
            slots.remove(slot.0);
        }
    }
    let allowed = match &search.required {
        Some(required) => {
            let states = states(snapshot);
            let document = |shard, slot| snapshot.document_at(shard, slot);
            let scope = Scope {
                filters: allowed.as_deref(),
                population: population.as_deref(),
                deadline: &search.deadline,
                ..Scope::new(&states, &document)
            };
            // For either leg.
            Some(with_words(&scope, required).map_err(filter_failed)?)
        }
        None => allowed,
    };
    let run = Run {
        snapshot,
        search,
        allowed: allowed.map(Arc::from),
        population: population.as_deref(),
        vector: Meaning::default(),
    };
    let mut depth = Depth::first(search);
    let mut waited = Duration::ZERO;
    let (found, page) = loop {
        let mut found = run.find(depth)?;
        run.rerank(&mut found, &mut waited);
        let page = run.page(&found.list);
        match run.deeper(depth, &found, &page) {
            Some(deeper) => depth = deeper,
            None => break (found, page),
        }
    };

    let results = &search.results;
    let is_partial = !found.failed.is_empty();
    let total = match &found.whole {
        Some(_) if search.counts_by_score() => {
            let is_partial = is_partial || found.is_listed_cut;
            Total::new(found.list.len() as u64, results.total, is_partial)
        }
        Some(whole) => Total::new(whole.size(snapshot), results.total, is_partial),
        None => None,
    };
    let facets = match &found.whole {
        Some(whole) if !results.facets.is_empty() => {
            let selections = whole.selections(snapshot);
            let selections: Vec<_> = selections.into_iter().map(|(_, selection)| selection).collect();
            facets::tally(&selections, &results.facets)?
        }
        _ => Default::default(),
    };
    let (hits, groups) = run.hydrate(&found, page);
    Ok(SearchAnswer {
        hits,
        groups,
        total,
        facets,
        as_of: AsOf::new(snapshot),
        took_ms: None,
        cursor: None,
        timed_out: search.deadline.was_met(),
        reranked: found.reranked,
        failed: found.failed,
    })
}

/// A search at work.
struct Run<'s, 'r> {
    snapshot: &'s Snapshot,
    search: &'r Search<'r>,
    /// By shard.
    allowed: Option<Arc<[RoaringBitmap]>>,
    /// By shard: what there is for who asks.
    population: Option<&'r [RoaringBitmap]>,
    vector: Meaning,
}

impl<'s> Run<'s, '_> {
    /// Asks the keyword leg something, of the documents that are allowed.
    fn in_scope<T>(&self, ask: impl FnOnce(&Scope<'_, 's>) -> T) -> T {
        let states = states(self.snapshot);
        let document = |shard, slot| self.snapshot.document_at(shard, slot);
        let page = self.search.offset + self.search.limit;
        ask(&Scope {
            // Pages of one ranking are of all that can be found.
            enough: Some(page).filter(|_| self.search.is_plain_page()),
            filters: self.allowed.as_deref(),
            population: self.population,
            deadline: &self.search.deadline,
            ..Scope::new(&states, &document)
        })
    }
}

/// The slots that are in both, by shard; `None`: all.
pub(super) fn intersection(
    one: Option<Vec<RoaringBitmap>>,
    other: Option<Vec<RoaringBitmap>>,
) -> Option<Vec<RoaringBitmap>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(
            one.into_iter()
                .zip(other)
                .map(|(one, other)| one & other)
                .collect(),
        ),
        (one, other) => one.or(other),
    }
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

pub(super) const PANICKED: &str = "it panicked; the log says where";

/// Runs `part` so that its panic is its failure, not the node's. It only reads, so nothing is left half done.
pub(super) fn guard<T>(part: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|_| Err(PANICKED.to_owned()))
}

pub(super) fn filter_failed(reason: String) -> QueryError {
    QueryError::unavailable("filter_failed", format!("the filter could not be run: {reason}"))
}
