//! Two lists of hits -> one. Pure.
//!
//! Ranks compare what scores cannot, but they treat both legs as equally good; normalised scores with a
//! weight that fits the model were better on every set measured, so they are the default.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::answer::LegHit;
use crate::change::{Key, Span};
use crate::definition::Fusion;
use crate::index::Document;

/// How many of the vector leg's best hits the normalisation of its scores spans, and the least that a leg is
/// asked for. More would let far-off documents set the scale.
pub(super) const LEG_DEPTH_MIN: usize = 100;

/// A hit of one leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored<'a> {
    pub document: &'a Document,
    pub score: f32,
    /// The part of the document's text that the vector leg has found.
    pub span: Span,
}

/// A hit of the search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fused<'a> {
    pub document: &'a Document,
    pub score: f32,
    pub keyword: Option<LegHit>,
    pub vector: Option<LegHit>,
    /// The part of the document's text that the vector leg has found.
    pub span: Span,
}

/// One list of both legs' hits, best first, ties by key. Each leg's hits come best first.
///
/// A document that a leg did not find gets nothing from that leg.
pub(super) fn fuse<'a>(fusion: &Fusion, keyword: &[Scored<'a>], vector: &[Scored<'a>]) -> Vec<Fused<'a>> {
    let mut fused = join(keyword, vector);
    match *fusion {
        Fusion::Relative { weight } => {
            let by_keyword = Scale::of_maximum(keyword);
            let by_vector = Scale::of_range(&vector[..vector.len().min(LEG_DEPTH_MIN)]);
            let weight = f64::from(weight);
            for hit in &mut fused {
                let keyword = hit.keyword.map_or(0.0, |leg| by_keyword.apply(leg.score));
                let vector = hit.vector.map_or(0.0, |leg| by_vector.apply(leg.score));
                hit.score = (weight * vector + (1.0 - weight) * keyword) as f32;
            }
        }
        Fusion::Rrf {
            k,
            keyword_weight,
            vector_weight,
        } => {
            let share = |weight: f32, leg: LegHit| f64::from(weight) / (f64::from(k) + leg.rank as f64);
            for hit in &mut fused {
                let keyword = hit.keyword.map_or(0.0, |leg| share(keyword_weight, leg));
                let vector = hit.vector.map_or(0.0, |leg| share(vector_weight, leg));
                hit.score = (keyword + vector) as f32;
            }
        }
    }
    fused.sort_unstable_by(|a, b| best_first((a.score, a.document), (b.score, b.document)));
    fused
}

/// The order of hits: the greater score first, ties by key.
pub(super) fn best_first(a: (f32, &Document), b: (f32, &Document)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| a.1.key.cmp_text(&b.1.key))
}

/// The hits of the keyword leg where it answers alone: its order, its scores.
pub(super) fn keyword_alone<'a>(hits: &[Scored<'a>]) -> Vec<Fused<'a>> {
    ranked(hits)
        .map(|(hit, leg)| Fused {
            keyword: Some(leg),
            ..unranked(hit)
        })
        .collect()
}

/// The hits of the vector leg where it answers alone: its order, its scores.
pub(super) fn vector_alone<'a>(hits: &[Scored<'a>]) -> Vec<Fused<'a>> {
    ranked(hits)
        .map(|(hit, leg)| Fused {
            vector: Some(leg),
            ..unranked(hit)
        })
        .collect()
}

/// The documents of both lists, each once, with what each leg says of it.
fn join<'a>(keyword: &[Scored<'a>], vector: &[Scored<'a>]) -> Vec<Fused<'a>> {
    let mut fused = keyword_alone(keyword);
    let places: FxHashMap<&Key, usize> = keyword
        .iter()
        .enumerate()
        .map(|(place, hit)| (&hit.document.key, place))
        .collect();
    for hit in vector_alone(vector) {
        match places.get(&hit.document.key) {
            Some(&place) => {
                fused[place].vector = hit.vector;
                fused[place].span = hit.span;
            }
            None => fused.push(hit),
        }
    }
    fused
}

fn ranked<'h, 'a>(hits: &'h [Scored<'a>]) -> impl Iterator<Item = (&'h Scored<'a>, LegHit)> {
    hits.iter().enumerate().map(|(place, hit)| {
        (
            hit,
            LegHit {
                rank: place + 1,
                score: hit.score,
            },
        )
    })
}

fn unranked<'a>(hit: &Scored<'a>) -> Fused<'a> {
    Fused {
        document: hit.document,
        score: hit.score,
        keyword: None,
        vector: None,
        span: hit.span,
    }
}

/// Maps a leg's scores to 0 to 1: `low` and below to 0, `high` to 1.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// From zero to the best score: BM25 has a natural zero.
    fn of_maximum(hits: &[Scored]) -> Scale {
        Scale {
            low: 0.0,
            high: hits.first().map_or(0.0, |hit| f64::from(hit.score)),
        }
    }

    /// From the worst to the best score: those of vectors have no natural zero.
    fn of_range(hits: &[Scored]) -> Scale {
        let score = |hit: Option<&Scored>| hit.map_or(0.0, |hit| f64::from(hit.score));
        Scale {
            low: score(hits.last()),
            high: score(hits.first()),
        }
    }

    fn apply(&self, score: f32) -> f64 {
        let score = f64::from(score);
        if self.high > self.low {
            ((score - self.low) / (self.high - self.low)).max(0.0)
        } else if score < self.low {
            0.0
        } else {
            // All are equally good, and the leg did find them.
            1.0
        }
    }
}

#[cfg(test)]
#[path = "fuse_tests.rs"]
mod tests;
