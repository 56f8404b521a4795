//! Two lists of hits -> one. Pure.
//!
//! Ranks compare what scores cannot, but they treat both legs as equally good; normalised scores with a
//! weight that fits the model were better on every set measured, so they are the default.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::answer::LegHit;
use crate::change::Span;
use crate::definition::{Fusion, LegAmounts};
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

/// One list of both legs' hits, best first, ties by key, and how their scores came about. Each leg's hits come best first.
///
/// A document that a leg did not find gets nothing from that leg; by `linear`, no more than the worst that it did find.
pub(super) fn fuse<'a>(
    fusion: &Fusion,
    keyword: &[Scored<'a>],
    vector: &[Scored<'a>],
) -> (Vec<Fused<'a>>, Shares) {
    let shares = Shares::new(fusion, keyword, vector);
    let mut fused = join(keyword, vector);
    for hit in &mut fused {
        hit.score = shares.score(hit);
    }
    if let Some(window) = shares.window {
        let is_inside = |leg: Option<LegHit>| leg.is_some_and(|leg| leg.rank <= window);
        fused.retain(|hit| is_inside(hit.keyword) || is_inside(hit.vector));
    }
    fused.sort_unstable_by(|a, b| best_first((a.score, a.document), (b.score, b.document)));
    (fused, shares)
}

/// What each leg adds to the score of a hit.
pub(super) struct Shares {
    pub method: &'static str,
    keyword: LegShare,
    vector: LegShare,
    window: Option<usize>,
}

struct LegShare {
    weight: f64,
    worth: Worth,
}

/// What a leg's hit is worth before its weight.
enum Worth {
    Scaled(Scale),
    /// The score itself; for what the leg did not find, this.
    Score {
        absent: f64,
    },
    /// One over rank and this.
    Rank {
        k: f64,
    },
}

/// What one leg adds to the score of a hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    /// What the leg's score or rank is worth.
    pub worth: f64,
    pub weight: f64,
}

impl Shares {
    fn new(fusion: &Fusion, keyword: &[Scored], vector: &[Scored]) -> Shares {
        let near = &vector[..vector.len().min(LEG_DEPTH_MIN)];
        let convex = |method, weight: f32, keyword, vector| Shares {
            method,
            keyword: LegShare {
                weight: 1.0 - f64::from(weight),
                worth: Worth::Scaled(keyword),
            },
            vector: LegShare {
                weight: f64::from(weight),
                worth: Worth::Scaled(vector),
            },
            window: None,
        };
        let weighted = |method, weights: &LegAmounts, worth: [Worth; 2], window| {
            let [of_keyword, of_vector] = worth;
            let share = |weight: f32, worth| LegShare {
                weight: f64::from(weight),
                worth,
            };
            Shares {
                method,
                keyword: share(weights.keyword, of_keyword),
                vector: share(weights.vector, of_vector),
                window,
            }
        };
        match fusion {
            Fusion::Relative { weight } => convex(
                "relative",
                *weight,
                Scale::of_maximum(keyword),
                Scale::of_range(near),
            ),
            Fusion::Distribution { weight } => {
                let best = &keyword[..keyword.len().min(LEG_DEPTH_MIN)];
                let scales = (Scale::of_distribution(best), Scale::of_distribution(near));
                convex("distribution", *weight, scales.0, scales.1)
            }
            Fusion::Mean(weights) => {
                let weight = weights.vector / (weights.keyword + weights.vector);
                convex("mean", weight, Scale::of_range(keyword), Scale::of_range(vector))
            }
            Fusion::Linear(weights) => {
                // Minus a distance is never more than nothing.
                let absent =
                    |hits: &[Scored]| hits.last().map_or(0.0, |worst| f64::from(worst.score).min(0.0));
                let worth = [keyword, vector].map(|hits| Worth::Score { absent: absent(hits) });
                weighted("linear", weights, worth, None)
            }
            Fusion::Rrf { k, weights, window } => {
                let worth = || Worth::Rank { k: f64::from(*k) };
                weighted("rrf", weights, [worth(), worth()], *window)
            }
        }
    }

    fn score(&self, hit: &Fused) -> f32 {
        let [keyword, vector] = self.of(hit);
        (keyword.worth * keyword.weight + vector.worth * vector.weight) as f32
    }

    /// What the keyword leg, and the vector leg, add to the score of a hit.
    pub fn of(&self, hit: &Fused) -> [Share; 2] {
        let legs = [(&self.keyword, hit.keyword), (&self.vector, hit.vector)];
        legs.map(|(leg, hit)| {
            let hit = hit.filter(|hit| self.window.is_none_or(|window| hit.rank <= window));
            Share {
                worth: leg.worth.of(hit),
                weight: leg.weight,
            }
        })
    }
}

impl Worth {
    fn of(&self, hit: Option<LegHit>) -> f64 {
        match (self, hit) {
            (Worth::Scaled(scale), Some(hit)) => scale.apply(hit.score),
            (Worth::Score { .. }, Some(hit)) => f64::from(hit.score),
            (Worth::Score { absent }, None) => *absent,
            (Worth::Rank { k }, Some(hit)) => 1.0 / (k + hit.rank as f64),
            (Worth::Scaled(_) | Worth::Rank { .. }, None) => 0.0,
        }
    }
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
///
/// Both lists are of one snapshot, where a document is in one place: to look at its key would cost a walk through memory.
fn join<'a>(keyword: &[Scored<'a>], vector: &[Scored<'a>]) -> Vec<Fused<'a>> {
    let mut fused = keyword_alone(keyword);
    let places: FxHashMap<*const Document, usize> = keyword
        .iter()
        .enumerate()
        .map(|(place, hit)| (std::ptr::from_ref(hit.document), place))
        .collect();
    for hit in vector_alone(vector) {
        match places.get(&std::ptr::from_ref(hit.document)) {
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

/// Maps a leg's scores to 0 to 1: `low` and below to 0, `high` and above to 1.
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

    /// From three standard deviations below the mean to three above: one score that stands out leaves the others apart.
    fn of_distribution(hits: &[Scored]) -> Scale {
        let count = hits.len().max(1) as f64;
        let scores = || hits.iter().map(|hit| f64::from(hit.score));
        let mean = scores().sum::<f64>() / count;
        let deviation = (scores().map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt();
        Scale {
            low: mean - 3.0 * deviation,
            high: mean + 3.0 * deviation,
        }
    }

    fn apply(&self, score: f32) -> f64 {
        let score = f64::from(score);
        if self.high > self.low {
            let share = (score - self.low) / (self.high - self.low);
            // Of infinite scores there is no share.
            if share.is_nan() {
                0.0
            } else {
                share.clamp(0.0, 1.0)
            }
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
