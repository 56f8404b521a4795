//! What shown hits score in the vector leg: by the vectors themselves, where the leg has scored them by what its rows
//! keep of those.

use super::Run;
use crate::change::Span;
use crate::definition::Effort;
use crate::index::Document;
use crate::query::asked;
use crate::query::fuse::{Fused, Scored, best_first};
use crate::query::plan::Nearest;

impl Run<'_, '_> {
    /// Scores the hits of a page in full, and puts them into that order; best first, of the vector leg alone.
    pub(super) fn page_in_full(&self, hits: &mut [Scored<'_>]) {
        if !self.shows_a_page_of_nearest() {
            return;
        }
        let page = (self.search.offset + self.search.limit).min(hits.len());
        let page = &mut hits[..page];
        for hit in &mut *page {
            hit.score = self.in_full(hit.document, hit.span).unwrap_or(hit.score);
        }
        page.sort_unstable_by(|a, b| best_first((a.score, a.document), (b.score, b.document)));
    }

    /// A shown hit with its full score in the vector leg.
    pub(super) fn hit_in_full<'a>(&self, hit: &Fused<'a>) -> Fused<'a> {
        let mut hit = *hit;
        if let Some(leg) = &mut hit.vector
            && !self.shows_a_page_of_nearest()
            && let Some(score) = self.in_full(hit.document, hit.span)
        {
            leg.score = score;
            if self.search.words.is_none() {
                hit.score = score;
            }
        }
        hit
    }

    /// Whether what is shown is the best of the vector leg, in its order.
    fn shows_a_page_of_nearest(&self) -> bool {
        let search = self.search;
        search.words.is_none() && search.results.sort.is_none() && search.is_plain_page()
    }

    /// `None`: the score is full already.
    fn in_full(&self, document: &Document, span: Span) -> Option<f32> {
        let search = self.search;
        if search.effort == Effort::Exact {
            return None;
        }
        let query = match search.nearest.as_ref()? {
            Nearest::Vector(vector) => *vector,
            Nearest::Like { vector, .. } => vector,
            Nearest::Text(_) => self.vector.get()?.as_ref().ok()?.as_deref()?,
        };
        let (shard, slot, _) = self.snapshot.find(&document.key.text())?;
        let leg = self.snapshot.shards.get(shard)?.legs.get(search.leg)?;
        let score = leg.full_score(slot, span, query)?;
        Some(match search.asked_nearest().and(search.field.as_deref()) {
            Some(field) => asked::similarity(field.metric, score),
            None => score,
        })
    }
}
