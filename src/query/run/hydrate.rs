//! The hits of a page with what they show: their documents, how they were found, and where they have the words.

use roaring::RoaringBitmap;

use super::list::{Found, Listed};
use super::page::Page;
use super::{Run, guard};
use crate::change::Datum;
use crate::index::Deadline;
use crate::index::keyword::{self, KeywordHit, Marker, Scope};
use crate::query::answer::{Group, Hit, HitOrigin, VectorState};
use crate::query::explain::{Explanation, RerankExplained, explain};
use crate::query::fuse::{Fused, Shares};
use crate::query::group::GroupOf;
use crate::query::highlight::Highlighter;
use crate::query::rerank::HitRerank;
use crate::query::value;

impl Run<'_, '_> {
    pub(super) fn hydrate(&self, found: &Found<'_>, page: Page) -> (Vec<Hit>, Option<Vec<Group>>) {
        let mut highlighter = self.highlighter(found, &page);
        let mut hit = |place: &usize| {
            let listed = found.list.get(*place)?;
            let mut hit = self.hit(listed, found.shares.as_ref());
            let values = listed.values.iter();
            let json = |value: &Option<Datum>| value.as_ref().map_or(serde_json::Value::Null, value::json);
            hit.sort = values.map(json).collect();
            if let Some(highlighter) = &mut highlighter {
                hit.highlight = highlighter.of(listed.hit.document);
            }
            Some(hit)
        };
        match page {
            Page::Hits { places, .. } => (places.iter().filter_map(hit).collect(), None),
            Page::Groups(grouped) => {
                let groups = grouped.groups.iter().map(|GroupOf { value, hits }| Group {
                    value: value.as_ref().map_or(serde_json::Value::Null, value::json),
                    hits: hits.iter().filter_map(&mut hit).collect(),
                });
                (Vec::new(), Some(groups.collect()))
            }
        }
    }

    fn hit(&self, listed: &Listed<'_>, shares: Option<&Shares>) -> Hit {
        let hit = &self.hit_in_full(&listed.hit);
        let vector_state = VectorState::of(self.snapshot, self.search.leg, &hit.document.key.text());
        let is_of_another_text = vector_state == Some(VectorState::Stale);
        let field = self.search.field.as_deref().filter(|_| !is_of_another_text);
        let reranked = self.search.rerank.as_ref().zip(listed.reranked);
        let explanation = || {
            // What it was fused by, and what it shows.
            let mut explanation = self.explain(&listed.hit, shares);
            if let (Some(explained), Some(shown)) = (&mut explanation.vector, hit.vector) {
                explained.score = shown.score;
            }
            explanation.rerank = reranked.map(|(rerank, (_, score))| {
                let (model, text) = rerank.explain(&hit.document.row);
                RerankExplained {
                    model,
                    text: text.unwrap_or_default(),
                    score,
                }
            });
            explanation
        };
        Hit {
            rerank: reranked.map(|(rerank, (rank_before, score))| HitRerank {
                score: rerank.shown(score),
                rank_before,
            }),
            piece: field.and_then(|field| field.piece(hit)),
            explain: self.search.explain.then(explanation),
            origin: self.search.origin.as_deref().and_then(|sources| {
                let searched = hit.vector.and(self.search.field.as_deref());
                let model = searched.and_then(|field| field.model.as_deref());
                HitOrigin::new(hit.document, sources, model)
            }),
            ..Hit::new(hit, vector_state, &self.search.columns)
        }
    }

    fn explain(&self, hit: &Fused<'_>, shares: Option<&Shares>) -> Explanation {
        let place = || {
            let leg = hit.keyword?;
            let (shard, slot, _) = self.snapshot.find(&hit.document.key.text())?;
            let score = leg.score;
            Some(KeywordHit { shard, slot, score })
        };
        // A part of an explanation that cannot be read is left out.
        let keyword = self.search.words.as_ref().zip(place()).and_then(|(words, hit)| {
            let explained = || {
                self.in_scope(|scope| keyword::explain(scope, words, &hit))
                    .ok()
                    .flatten()
            };
            guard(|| Ok(explained())).ok().flatten()
        });
        explain(hit, shares, keyword, self.search.field.as_deref())
    }

    /// `None`: nothing is highlighted, or what is looked for cannot be read.
    fn highlighter(&self, found: &Found<'_>, page: &Page) -> Option<Highlighter<'_>> {
        let highlight = self.search.results.highlight.as_ref()?;
        let query = self.search.highlighted.as_ref()?;
        let mut shown = vec![RoaringBitmap::new(); self.snapshot.shards.len()];
        for listed in page.places().filter_map(|place| found.list.get(place)) {
            if let Some((shard, slot, _)) = self.snapshot.find(&listed.hit.document.key.text())
                && let Some(slots) = shown.get_mut(shard)
            {
                slots.insert(slot.0);
            }
        }
        let marker = || {
            self.in_scope(|scope| {
                let scope = Scope {
                    filters: Some(&shown),
                    deadline: Deadline::NEVER,
                    ..*scope
                };
                Marker::new(&scope, query).map_err(|error| error.to_string())
            })
        };
        Some(Highlighter::new(self.snapshot, highlight, guard(marker).ok()??))
    }
}
