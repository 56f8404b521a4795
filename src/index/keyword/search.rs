//! A question -> the best documents of all shards.
//!
//! Each segment is scored in windows of documents. Words whose weights together cannot lift a document
//! among the best are not walked through, but looked up for the documents that other words have found.
//! tantivy's own pruning is not used: its bounds hold for the statistics of one segment.

use std::collections::HashSet;

use tantivy::TERMINATED;

use super::best::Best;
use super::docs::Docs;
use super::evaluate::Evaluation;
use super::matching::within;
use super::postings::{self, Postings};
use super::query::KeywordQuery;
use super::scope::Scope;
use super::statistics::{Corpus, Found, Prepared};
use super::window::{WINDOW, Window};
use super::{KeywordError, question};
use crate::index::Slot;

/// A hit of the keyword leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeywordHit {
    /// Place in the list of states searched.
    pub shard: usize,
    pub slot: Slot,
    pub score: f32,
}

/// The best `limit` documents for a question over all shards, best first, ties by key.
///
/// Scores are BM25F with the statistics of the living documents of all shards: they do not depend on segments, shards
/// or merges, nor on `limit`. Documents that are found only by words with typing errors come behind all others.
///
/// # Errors
///
/// When a segment cannot be read; no query is wrong.
pub fn search(
    scope: &Scope<'_, '_>,
    query: &KeywordQuery,
    limit: usize,
) -> Result<Vec<KeywordHit>, KeywordError> {
    let Some(schema) = scope.schema().filter(|_| limit > 0) else {
        return Ok(Vec::new());
    };
    let corpus = Corpus::new(scope)?;
    let exact = question::exact(schema, &corpus, query)?;
    let mut hits = Search::new(scope, &corpus, &exact).best(limit)?;
    if hits.len() < scope.enough.unwrap_or(limit).min(limit)
        && !scope.deadline.is_over()
        && let Some(tolerant) = question::tolerant(schema, &corpus, query, &exact)?
    {
        let mut search = Search::new(scope, &corpus, &tolerant);
        search.known = hits.iter().map(|hit| (hit.shard, hit.slot)).collect();
        if let Some(worst) = hits.last() {
            search.shrink = shrink(&tolerant, worst.score);
        }
        hits.extend(search.best(limit - hits.len())?);
    }
    Ok(hits)
}

/// A factor that leaves every score below `floor`.
fn shrink(prepared: &Prepared, floor: f32) -> f32 {
    let greatest: f32 = prepared.weights.iter().sum();
    if greatest > 0.0 {
        (floor / 2.0 / greatest).min(1.0)
    } else {
        1.0
    }
}

/// A prepared question, on its way through the segments.
struct Search<'s, 'a> {
    scope: &'s Scope<'s, 'a>,
    corpus: &'s Corpus<'s>,
    prepared: &'s Prepared,
    /// Hits that are there already.
    known: HashSet<(usize, Slot)>,
    /// A factor of all scores.
    shrink: f32,
}

impl<'s, 'a> Search<'s, 'a> {
    fn new(scope: &'s Scope<'s, 'a>, corpus: &'s Corpus<'s>, prepared: &'s Prepared) -> Search<'s, 'a> {
        Search {
            scope,
            corpus,
            prepared,
            known: HashSet::new(),
            shrink: 1.0,
        }
    }

    fn best(&self, limit: usize) -> Result<Vec<KeywordHit>, KeywordError> {
        let document = |shard, slot| (self.scope.document)(shard, slot).map(|document| &**document);
        let mut best = Best::new(limit, &document);
        let Some(root) = &self.prepared.compiled.root else {
            return Ok(Vec::new());
        };
        // From the largest segment on: it raises the floor for the others.
        let mut parts: Vec<(usize, &Found)> = self.corpus.parts.iter().enumerate().collect();
        parts.sort_by_key(|(_, found)| std::cmp::Reverse(found.part.living));
        let mut window = Window::new();
        for (part, found) in parts {
            if self.scope.deadline.is_over() {
                break;
            }
            let evaluation = Evaluation::new(self.prepared, found, part, self.scope);
            let evaluated = evaluation.run(root, || within(self.scope, found))?;
            let postings = evaluated.postings(self.prepared, part, found, self.shrink)?;
            let postings = postings.into_iter().map(|(_, postings)| postings).collect();
            self.score(
                found,
                postings,
                evaluated.answers.as_ref(),
                &mut window,
                &mut best,
            );
        }
        Ok(best.into_hits())
    }

    /// Offers a segment's documents: the answers, or where there are none whatever scores.
    fn score(
        &self,
        found: &Found,
        mut postings: Vec<Postings>,
        answers: Option<&Docs>,
        window: &mut Window,
        best: &mut Best,
    ) {
        postings.sort_by_key(|postings| std::cmp::Reverse(postings.bound()));
        // What the words from each one on can add together.
        let mut rest = vec![0i64; postings.len() + 1];
        for (i, postings) in postings.iter().enumerate().rev() {
            rest[i] = rest[i + 1].saturating_add(postings.bound());
        }
        let mut from = 0;
        loop {
            let mut floor = postings::sum_at_least(best.floor());
            // An answer that nothing adds to has a score too, which is 0.
            let is_any_good = floor <= 0;
            let walked = rest
                .iter()
                .take_while(|rest| **rest >= floor)
                .count()
                .min(postings.len());
            let (walking, looked_up) = postings.split_at_mut(walked);
            let next = walking.iter().map(Postings::doc).min().unwrap_or(TERMINATED);
            let base = match answers {
                None => next,
                Some(answers) if is_any_good => answers.next(from).unwrap_or(TERMINATED),
                Some(answers) => answers.next(next.max(from)).unwrap_or(TERMINATED),
            };
            if base == TERMINATED || self.scope.deadline.is_over() {
                return;
            }
            walking
                .iter_mut()
                .for_each(|postings| postings.add_to(base, window));
            let behind = base.saturating_add(WINDOW as u32);
            let mut offer = |doc: u32, mut sum: i64| {
                if sum.saturating_add(rest[walked]) < floor {
                    return;
                }
                let Some(slot) = self.admitted(found, doc) else {
                    return;
                };
                for (postings, rest) in looked_up.iter_mut().zip(&rest[walked..]) {
                    // Most are given up before the last word.
                    if sum.saturating_add(*rest) < floor {
                        return;
                    }
                    sum = sum.saturating_add(postings.contribution_to(doc));
                }
                if sum >= floor {
                    best.offer(KeywordHit {
                        shard: found.shard,
                        slot,
                        score: postings::score(sum),
                    });
                    floor = postings::sum_at_least(best.floor());
                }
            };
            match answers {
                Some(answers) if is_any_good => {
                    for doc in answers.from(base).take_while(|doc| *doc < behind) {
                        offer(doc, window.sums.take(doc - base));
                    }
                    window.sums.drain(|_, _| ());
                }
                _ => window.sums.drain(|place, sum| {
                    let doc = base + place;
                    if sum != 0 && answers.is_none_or(|answers| answers.contains(doc)) {
                        offer(doc, sum);
                    }
                }),
            }
            from = behind;
        }
    }

    /// The slot of a document that may be found.
    fn admitted(&self, found: &Found, doc: u32) -> Option<Slot> {
        if !found.living().contains(doc) {
            return None;
        }
        let slot = found.part.segment.slot(doc);
        let filter = self.scope.filters.map(|filters| filters.get(found.shard));
        let is_admitted = filter.is_none_or(|filter| filter.is_some_and(|filter| filter.contains(slot.0)));
        let is_new = self.known.is_empty() || !self.known.contains(&(found.shard, slot));
        (is_admitted && is_new).then_some(slot)
    }
}
