//! What each leg finds, both at once where both are asked.

use std::sync::Arc;
use std::thread;

use roaring::RoaringBitmap;

use super::{PANICKED, Run, guard};
use crate::change::Span;
use crate::definition::Metric;
use crate::index::keyword::{self, KeywordQuery};
use crate::index::{Deadline, LegState, Slot, Snapshot};
use crate::query::fuse::{Scored, best_first};
use crate::query::plan::Nearest;
use crate::query::request::VectorsWanted;
use crate::query::whole::with_words;
use crate::query::{SearchedField, asked};

/// A leg's hits, best first, or why it cannot answer.
pub(super) type LegAnswer<'a> = Result<Vec<Scored<'a>>, String>;

impl<'s> Run<'s, '_> {
    /// Asks the legs that the search needs; where it needs both, in parallel. `None`: not asked.
    ///
    /// A thread costs about 60 us: on 2 cores, two legs of 300 us take 400 us together, against 600 in turn.
    pub(super) fn ask(
        &self,
        ranked: Option<usize>,
        nearest: usize,
    ) -> (Option<LegAnswer<'s>>, Option<LegAnswer<'s>>) {
        let by_words = |(words, depth)| guard(|| self.keyword_leg(words, depth));
        let by_vector = |query| guard(|| self.vector_leg(query, nearest));
        match (
            self.search.words.as_ref().zip(ranked),
            self.search.nearest.as_ref(),
        ) {
            (Some(words), Some(query)) => thread::scope(|scope| {
                let thread = thread::Builder::new().name("vector-leg".to_owned());
                let vector = thread.spawn_scoped(scope, || by_vector(query));
                let keyword = by_words(words);
                let vector = match vector {
                    Ok(leg) => leg.join().unwrap_or_else(|_| Err(PANICKED.to_owned())),
                    Err(error) => Err(format!("no thread to run on: {error}")),
                };
                (Some(keyword), Some(vector))
            }),
            (words, query) => (words.map(by_words), query.map(by_vector)),
        }
    }

    fn keyword_leg(&self, words: &KeywordQuery, depth: usize) -> LegAnswer<'s> {
        let hits = self.in_scope(|scope| keyword::search(scope, words, depth));
        let hits = hits.map_err(|error| error.to_string())?;
        let hits = hits
            .iter()
            .filter_map(|hit| scored(self.snapshot, hit.shard, hit.slot, hit.score, Span::WHOLE));
        Ok(hits.collect())
    }

    fn vector_leg(&self, nearest: &Nearest, depth: usize) -> LegAnswer<'s> {
        let (snapshot, search) = (self.snapshot, self.search);
        let field = search.field.as_deref().ok_or("the index has no vectors")?;
        let query = match nearest {
            Nearest::Vector(vector) => *vector,
            Nearest::Like { vector, .. } => vector,
            Nearest::Text(text) => match self.vector.get_or_init(|| meaning(field, text, &search.deadline)) {
                Ok(Some(vector)) => vector,
                Ok(None) => return Ok(Vec::new()),
                Err(reason) => return Err(reason.clone()),
            },
        };
        let asked = search.asked_nearest();
        let among = match asked.and_then(|near| near.among.as_ref()) {
            Some(among) => Some(self.in_scope(|scope| with_words(scope, among))?),
            None => None,
        };
        let allowed_by_shard = among.as_deref().or(self.allowed);
        let mut hits = Vec::new();
        for (number, shard) in snapshot.shards.iter().enumerate() {
            let Some(leg) = shard.legs.get(search.leg) else {
                continue;
            };
            let allowed = allowed_by_shard.map(|allowed| &allowed[number]);
            let current;
            let allowed = match search.vectors {
                VectorsWanted::Current if !leg.stale.is_empty() => {
                    current = without_stale(leg, allowed, shard.documents.slots());
                    Some(&current)
                }
                VectorsWanted::Current | VectorsWanted::Any => allowed,
            };
            let found = leg.search(query, depth, search.effort, allowed, &search.deadline);
            for hit in found {
                let score = match asked {
                    Some(_) => asked::similarity(field.metric, hit.score),
                    None => hit.score,
                };
                hits.extend(scored(snapshot, number, hit.slot, score, hit.span));
            }
        }
        hits.sort_unstable_by(|a, b| best_first((a.score, a.document), (b.score, b.document)));
        hits.truncate(depth);
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
