//! The hits of a search in their order, to some depth: what the legs found, fused, or the whole result sorted.

use super::Run;
use super::legs::LegAnswer;
use crate::change::{Datum, Float, Span};
use crate::index::Snapshot;
use crate::query::QueryError;
use crate::query::answer::{FailedLeg, Leg};
use crate::query::diverse::diversify;
use crate::query::fuse::{Fused, Scored, Shares, fuse, keyword_alone, vector_alone};
use crate::query::plan::Search;
use crate::query::rerank::Reranked;
use crate::query::sort::{After, Scores, SortKey, sorted};
use crate::query::whole::{Whole, with_words};

/// How many hits are ranked.
#[derive(Clone, Copy)]
pub(super) struct Depth {
    /// By words, or in the order of fields.
    pub listed: usize,
    /// By the vector leg.
    pub nearest: usize,
}

impl Depth {
    pub fn first(search: &Search) -> Depth {
        Depth {
            listed: search.depth(),
            nearest: search.depth_nearest(),
        }
    }
}

/// What a search has found to some depth.
pub(super) struct Found<'s> {
    pub list: Vec<Listed<'s>>,
    /// Where it is needed.
    pub whole: Option<Whole>,
    /// Where both legs answered.
    pub shares: Option<Shares>,
    /// Where it was asked for.
    pub reranked: Option<Reranked>,
    pub failed: Vec<FailedLeg>,
    /// Whether more could be found by words or in the order of fields, and whether by the vector leg.
    pub is_listed_cut: bool,
    pub is_nearest_cut: bool,
}

/// A hit in its place.
pub(super) struct Listed<'s> {
    pub hit: Fused<'s>,
    /// What it is sorted by.
    pub values: Vec<Option<Datum>>,
    /// Where it was re-ranked: its rank before, and the score as the model gives it.
    pub reranked: Option<(usize, f32)>,
}

impl<'s> Run<'s, '_> {
    pub(super) fn find(&self, depth: Depth) -> Result<Found<'s>, QueryError> {
        let (snapshot, results) = (self.snapshot, &self.search.results);
        let (words, nearest) = (self.search.words.as_ref(), self.search.nearest.as_ref());
        let is_filter_only = words.is_none() && nearest.is_none();
        let is_sorted = results.sort.is_some() || is_filter_only;
        let is_counted_only =
            self.search.limit == 0 && results.need_whole() && !self.search.counts_by_score();
        let ranked_to = match (is_sorted, results.need_scores()) {
            (false, _) => Some(depth.listed).filter(|_| !is_counted_only),
            (true, true) => Some(snapshot.documents()),
            (true, false) => None,
        };
        let (keyword, vector) = self.ask(ranked_to, depth.nearest);
        let mut failed = Vec::new();
        let mut answered = |leg, answer: Option<LegAnswer<'s>>| match answer? {
            Ok(hits) => Some(hits),
            Err(reason) => {
                failed.push(FailedLeg { leg, reason });
                None
            }
        };
        let (keyword, vector) = (answered(Leg::Keyword, keyword), answered(Leg::Vector, vector));

        let near = vector.as_deref().unwrap_or_default();
        let mut whole = None;
        if is_filter_only {
            whole = Some(Whole::of_filter(self.allowed.as_deref()));
        } else if results.need_whole() {
            let with_words = match words {
                Some(words) => self.in_scope(|scope| with_words(scope, words)),
                None => Ok(Vec::new()),
            };
            let with_words = match with_words {
                Ok(slots) => slots,
                Err(reason) => {
                    if failed.iter().all(|failed| failed.leg != Leg::Keyword) {
                        let leg = Leg::Keyword;
                        failed.push(FailedLeg { leg, reason });
                    }
                    Vec::new()
                }
            };
            whole = Some(Whole::of_legs(snapshot, with_words, near));
        }
        if failed.len() == usize::from(words.is_some()) + usize::from(nearest.is_some()) && !failed.is_empty()
        {
            return Err(unavailable(&failed));
        }

        let is_cut = |hits: Option<&[Scored<'_>]>, depth| hits.is_some_and(|hits| hits.len() >= depth);
        let is_nearest_cut = is_cut(vector.as_deref(), depth.nearest);
        let mut is_listed_cut = is_cut(keyword.as_deref(), depth.listed);
        let mut shares = None;
        let mut ranked = match (&keyword, &vector) {
            (Some(keyword), Some(vector)) => {
                let (fused, of_legs) = fuse(&self.search.fusion, keyword, vector);
                shares = Some(of_legs);
                fused
            }
            (Some(keyword), None) => keyword_alone(keyword),
            (None, Some(vector)) => vector_alone(vector),
            (None, None) => Vec::new(),
        };
        if let Some(min_score) = self.search.min_score {
            ranked.retain(|hit| hit.score >= min_score);
        }
        if let Some(mmr) = self.search.mmr {
            diversify(&mut ranked, mmr, snapshot, self.search.leg);
        }
        let list: Vec<Listed<'s>> = match &whole {
            Some(whole) if is_sorted => {
                let ranked = if results.need_scores() { ranked } else { Vec::new() };
                let keys = results.sort.as_deref().unwrap_or_default();
                let list = in_order(
                    snapshot,
                    whole,
                    (keys, results.after.as_ref()),
                    &ranked,
                    depth.listed,
                )?;
                is_listed_cut = list.len() >= depth.listed;
                list
            }
            _ => ranked
                .into_iter()
                .map(|hit| Listed {
                    values: match results.shows_scores {
                        true => vec![Some(Datum::Float(Float(hit.score.into())))],
                        false => Vec::new(),
                    },
                    hit,
                    reranked: None,
                })
                .collect(),
        };
        Ok(Found {
            list,
            whole,
            shares,
            reranked: None,
            failed,
            is_listed_cut,
            is_nearest_cut,
        })
    }
}

/// The first `limit` documents of a result by their fields. Those that were ranked keep what the legs say of them.
fn in_order<'s>(
    snapshot: &'s Snapshot,
    whole: &Whole,
    (keys, after): (&[SortKey], Option<&After>),
    ranked: &[Fused<'s>],
    limit: usize,
) -> Result<Vec<Listed<'s>>, QueryError> {
    let scores = Scores::of(ranked);
    let sorted = sorted(snapshot, whole, (keys, after), &scores, limit)?;
    let listed = sorted.into_iter().map(|sorted| Listed {
        hit: match scores.place(sorted.document).and_then(|place| ranked.get(place)) {
            Some(hit) => *hit,
            None => Fused {
                document: sorted.document,
                score: 0.0,
                keyword: None,
                vector: None,
                span: Span::WHOLE,
            },
        },
        values: sorted.values,
        reranked: None,
    });
    Ok(listed.collect())
}

fn unavailable(failed: &[FailedLeg]) -> QueryError {
    let legs: Vec<String> = failed
        .iter()
        .map(|failed| format!("{} leg: {}", failed.leg.name(), failed.reason))
        .collect();
    QueryError::unavailable("unavailable", format!("no leg could answer: {}", legs.join("; ")))
}
