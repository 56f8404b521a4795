//! What each leg finds, both at once where both are asked and a core is free.

use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use super::{PANICKED, Run, guard};
use crate::change::Span;
use crate::definition::{Effort, Metric};
use crate::index::keyword::{self, KeywordQuery};
use crate::index::snapshot::{LegHit, ShardState};
use crate::index::{Deadline, LegState, Slot, Snapshot};
use crate::query::fuse::{Scored, best_first};
use crate::query::helpers::Helpers;
use crate::query::plan::Nearest;
use crate::query::request::VectorsWanted;
use crate::query::whole::with_words;
use crate::query::{SearchedField, asked};

/// A leg's hits, best first, or why it cannot answer.
pub(super) type LegAnswer<'a> = Result<Vec<Scored<'a>>, String>;

/// The vector of a query's text, embedded once. `None`: near to nothing.
pub(super) type Meaning = Arc<OnceLock<Result<Option<Arc<[f32]>>, String>>>;

impl<'s> Run<'s, '_> {
    /// Asks the legs that the search needs. `None`: not asked.
    pub(super) fn ask(
        &self,
        ranked: Option<usize>,
        nearest: usize,
    ) -> (Option<LegAnswer<'s>>, Option<LegAnswer<'s>>) {
        let by_words = |(words, depth)| guard(|| self.keyword_leg(words, depth));
        let words = self.search.words.as_ref().zip(ranked);
        let Some(query) = self.search.nearest.as_ref() else {
            return (words.map(by_words), None);
        };
        let near = match guard(|| self.near(query, nearest)) {
            Ok(near) => near,
            Err(reason) => return (words.map(by_words), Some(Err(reason))),
        };
        let (keyword, found) = match words {
            Some(words) => {
                let by_vector = move || guard(|| near.search());
                let (keyword, found) = Helpers::of_process().join(|| by_words(words), by_vector);
                (Some(keyword), found.unwrap_or_else(|| Err(PANICKED.to_owned())))
            }
            None => (None, guard(|| near.search())),
        };
        (
            keyword,
            Some(found.and_then(|found| guard(|| Ok(self.nearest(found, nearest))))),
        )
    }

    fn keyword_leg(&self, words: &KeywordQuery, depth: usize) -> LegAnswer<'s> {
        let hits = self.in_scope(|scope| keyword::search(scope, words, depth));
        let hits = hits.map_err(|error| error.to_string())?;
        let hits = hits
            .iter()
            .filter_map(|hit| scored(self.snapshot, hit.shard, hit.slot, hit.score, Span::WHOLE));
        Ok(hits.collect())
    }

    fn near(&self, nearest: &Nearest, depth: usize) -> Result<Near, String> {
        let search = self.search;
        let field = search.field.clone().ok_or("the index has no vectors")?;
        let among = match search.asked_nearest().and_then(|near| near.among.as_ref()) {
            Some(among) => Some(self.in_scope(|scope| with_words(scope, among))?.into()),
            None => None,
        };
        Ok(Near {
            shards: self.snapshot.shards.clone(),
            leg: search.leg,
            field,
            query: match nearest {
                Nearest::Vector(vector) => Query::Vector(Arc::from(*vector)),
                Nearest::Like { vector, .. } => Query::Vector(Arc::from(&**vector)),
                Nearest::Text(text) => Query::Text(text.as_ref().into(), self.vector.clone()),
            },
            allowed: among.or_else(|| self.allowed.clone()),
            vectors: search.vectors,
            depth,
            effort: search.effort,
            deadline: search.deadline.clone(),
        })
    }

    /// The best of what all shards have found.
    fn nearest(&self, found: Vec<(usize, LegHit)>, depth: usize) -> Vec<Scored<'s>> {
        let metric = self.search.field.as_deref().map(|field| field.metric);
        let asked_metric = self.search.asked_nearest().and(metric);
        let hits = found.into_iter().filter_map(|(shard, hit)| {
            let score = match asked_metric {
                Some(metric) => asked::similarity(metric, hit.score),
                None => hit.score,
            };
            scored(self.snapshot, shard, hit.slot, score, hit.span)
        });
        let mut hits: Vec<Scored<'s>> = hits.collect();
        hits.sort_unstable_by(|a, b| best_first((a.score, a.document), (b.score, b.document)));
        hits.truncate(depth);
        hits
    }
}

/// What the vector leg is asked. All of it is its own, so that any thread can answer.
struct Near {
    shards: Vec<Arc<ShardState>>,
    leg: usize,
    field: Arc<SearchedField>,
    query: Query,
    /// By shard; `None`: all.
    allowed: Option<Arc<[RoaringBitmap]>>,
    vectors: VectorsWanted,
    depth: usize,
    effort: Effort,
    deadline: Deadline,
}

enum Query {
    Vector(Arc<[f32]>),
    /// To be embedded, unless it has been.
    Text(Box<str>, Meaning),
}

impl Near {
    /// What each shard finds, with its number.
    fn search(&self) -> Result<Vec<(usize, LegHit)>, String> {
        let query = match &self.query {
            Query::Vector(vector) => vector,
            Query::Text(text, known) => {
                match known.get_or_init(|| meaning(&self.field, text, &self.deadline)) {
                    Ok(Some(vector)) => vector,
                    Ok(None) => return Ok(Vec::new()),
                    Err(reason) => return Err(reason.clone()),
                }
            }
        };
        let mut hits = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let Some(leg) = shard.legs.get(self.leg) else {
                continue;
            };
            let allowed = match self.allowed.as_deref().map(|allowed| allowed.get(number)) {
                Some(None) => continue,
                Some(allowed) => allowed,
                None => None,
            };
            let current;
            let allowed = match self.vectors {
                VectorsWanted::Current if !leg.stale.is_empty() => {
                    current = without_stale(leg, allowed, shard.documents.slots());
                    Some(&current)
                }
                VectorsWanted::Current | VectorsWanted::Any => allowed,
            };
            let found = leg.search(query, self.depth, self.effort, allowed, &self.deadline);
            hits.extend(found.into_iter().map(|hit| (number, hit)));
        }
        Ok(hits)
    }
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

/// The vector of a query's text, or `None` where it is near to nothing.
fn meaning(field: &SearchedField, text: &str, deadline: &Deadline) -> Result<Option<Arc<[f32]>>, String> {
    // As for documents, a text without words is not embedded.
    if text.trim().is_empty() {
        return Ok(None);
    }
    let vector = embed(field, text, deadline)?;
    // The model may know none of the words.
    let has_no_direction = field.metric == Metric::Cosine && vector.iter().all(|&number| number == 0.0);
    Ok(Some(vector).filter(|_| !has_no_direction))
}

/// The vector of a query's text.
pub(in crate::query) fn embed(
    field: &SearchedField,
    text: &str,
    deadline: &Deadline,
) -> Result<Arc<[f32]>, String> {
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
