//! Fusion against numbers worked out by hand, and against the script that measured the default weights.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::change::{Columns, Datum, Key, Row, Span};

const RRF: Fusion = Fusion::Rrf {
    k: 60.0,
    weights: LegAmounts {
        keyword: 1.0,
        vector: 0.5,
    },
    window: None,
};

/// A document of each key, as one snapshot has them.
fn documents<'k>(keys: impl IntoIterator<Item = &'k str>) -> BTreeMap<String, Document> {
    let row = Row::new(Columns::new([""; 0]), vec![]);
    let document = |key: &str| {
        (
            key.to_owned(),
            Document::new(Key::new([Datum::text(key)]), row.clone()),
        )
    };
    keys.into_iter().map(document).collect()
}

fn scored<'a, K: AsRef<str>>(
    documents: &'a BTreeMap<String, Document>,
    hits: &[(K, f32)],
) -> Vec<Scored<'a>> {
    hits.iter()
        .map(|(key, score)| Scored {
            document: &documents[key.as_ref()],
            score: *score,
            span: Span::WHOLE,
        })
        .collect()
}

/// Fuses lists of (key, score) and shows each hit as `key score keyword-rank vector-rank`.
fn check(fusion: Fusion, keyword: &[(&str, f32)], vector: &[(&str, f32)], expected: &[&str]) {
    let all = documents(keyword.iter().chain(vector).map(|hit| hit.0));
    let (fused, _) = fuse(&fusion, &scored(&all, keyword), &scored(&all, vector));
    let rank = |leg: Option<LegHit>| leg.map_or("-".to_owned(), |leg| leg.rank.to_string());
    let shown: Vec<String> = fused
        .iter()
        .map(|hit| {
            format!(
                "{} {:.4} {} {}",
                hit.document.key,
                hit.score,
                rank(hit.keyword),
                rank(hit.vector)
            )
        })
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn relative_scores_are_weighted_shares_of_each_legs_scale() {
    // Keyword over its maximum: a 1, b 0.5. Vector from worst to best: b 1, c 0.5, d 0.
    check(
        Fusion::Relative { weight: 0.2 },
        &[("a", 8.0), ("b", 4.0)],
        &[("b", 0.9), ("c", 0.7), ("d", 0.5)],
        &["a 0.8000 1 -", "b 0.6000 2 1", "c 0.1000 - 2", "d 0.0000 - 3"],
    );
}

#[test]
fn reciprocal_ranks_add_up_by_weight() {
    // a 1/61 + 0.5/62, b 1/62, c 0.5/61.
    check(
        RRF,
        &[("a", 8.0), ("b", 4.0)],
        &[("c", 0.9), ("a", 0.7)],
        &["a 0.0245 1 2", "b 0.0161 2 -", "c 0.0082 - 1"],
    );
}

#[test]
fn equal_scores_of_a_leg_count_in_full_and_ties_go_by_key() {
    let weight = Fusion::Relative { weight: 0.5 };
    let same = [("z", 0.3), ("m", 0.3)];
    check(weight.clone(), &[], &same, &["m 0.5000 - 2", "z 0.5000 - 1"]);
    check(weight.clone(), &[], &[("only", -3.0)], &["only 0.5000 - 1"]);
    check(
        weight.clone(),
        &[("b", 0.0), ("a", 0.0)],
        &[],
        &["a 0.5000 2 -", "b 0.5000 1 -"],
    );
    check(weight, &[], &[], &[]);
}

#[test]
fn negative_distances_are_normalised_like_any_score() {
    check(
        Fusion::Relative { weight: 1.0 },
        &[],
        &[("near", -1.0), ("middle", -2.0), ("far", -5.0)],
        &["near 1.0000 - 1", "middle 0.7500 - 2", "far 0.0000 - 3"],
    );
}

#[test]
fn hits_beyond_the_best_100_do_not_move_the_scale() {
    let keys: Vec<String> = (0..150).map(|n| format!("{n:03}")).collect();
    let all = documents(keys.iter().map(String::as_str));
    let hits: Vec<Scored> = all
        .values()
        .enumerate()
        .map(|(n, document)| Scored {
            document,
            score: 1.0 - n as f32 / 1000.0,
            span: Span::WHOLE,
        })
        .collect();
    let fusion = Fusion::Relative { weight: 1.0 };
    let (short, long) = (fuse(&fusion, &[], &hits[..100]).0, fuse(&fusion, &[], &hits).0);
    let scores = |fused: &[Fused]| fused.iter().map(|hit| hit.score).collect::<Vec<_>>();
    assert_eq!(scores(&short), scores(&long[..100]));
    assert!(scores(&long[100..]).iter().all(|&score| score == 0.0));
}

#[test]
fn scores_beyond_a_float_order_the_hits_without_a_panic() {
    let infinite = [("a", f32::INFINITY), ("b", 1.0), ("c", f32::NEG_INFINITY)];
    let all = documents(["a", "b", "c"]);
    for fusion in [
        Fusion::Relative { weight: 0.5 },
        Fusion::Distribution { weight: 0.5 },
    ] {
        for hit in fuse(&fusion, &scored(&all, &infinite), &scored(&all, &infinite)).0 {
            assert!(hit.score.is_finite(), "{hit:?}");
        }
    }
}

#[test]
fn distributions_are_compared_by_their_deviations() {
    // Keyword: mean 3, deviation 1: 2 is a third of the way from 0 to 6, 4 two thirds. Vector: one score has no spread.
    check(
        Fusion::Distribution { weight: 0.25 },
        &[("a", 4.0), ("b", 2.0)],
        &[("b", 0.9)],
        &["a 0.5000 1 -", "b 0.5000 2 1"],
    );
}

#[test]
fn scores_add_up_as_they_are_and_a_missing_one_is_no_better_than_the_worst() {
    let linear = Fusion::Linear(LegAmounts {
        keyword: 1.0,
        vector: 10.0,
    });
    check(
        linear.clone(),
        &[("a", 8.0), ("b", 4.0)],
        &[("b", 0.9), ("c", 0.5)],
        &["b 13.0000 2 1", "a 8.0000 1 -", "c 5.0000 - 2"],
    );
    // Distances: the farther, the less.
    check(
        linear,
        &[("a", 8.0)],
        &[("b", -0.5), ("c", -2.0)],
        &["b -5.0000 - 1", "a -12.0000 1 -", "c -20.0000 - 2"],
    );
}

#[test]
fn ranks_beyond_the_window_do_not_count() {
    let fusion = Fusion::Rrf {
        k: 1.0,
        weights: LegAmounts {
            keyword: 1.0,
            vector: 1.0,
        },
        window: Some(2),
    };
    check(
        fusion,
        &[("a", 3.0), ("b", 2.0), ("c", 1.0)],
        &[("d", 3.0), ("c", 2.0), ("a", 1.0), ("e", 0.5)],
        &["a 0.5000 1 3", "d 0.5000 - 1", "b 0.3333 2 -", "c 0.3333 3 2"],
    );
}

/// The script that measured the default weights, line by line: a dictionary, and one pass per leg.
fn reference(fusion: &Fusion, keyword: &[(String, f32)], vector: &[(String, f32)]) -> BTreeMap<String, f64> {
    let mut scores = BTreeMap::new();
    let mut add = |key: &str, score: f64| *scores.entry(key.to_owned()).or_insert(0.0) += score;
    match *fusion {
        Fusion::Relative { weight } => {
            let best = keyword.iter().map(|hit| hit.1 as f64).fold(0.0, f64::max);
            for (key, score) in keyword {
                add(key, (1.0 - weight as f64) * *score as f64 / best);
            }
            let top: Vec<f64> = vector.iter().take(100).map(|hit| hit.1 as f64).collect();
            let low = top.iter().copied().fold(f64::INFINITY, f64::min);
            let high = top.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for (key, score) in vector {
                let share = if high == low {
                    1.0
                } else {
                    (*score as f64 - low) / (high - low)
                };
                add(key, weight as f64 * share.max(0.0));
            }
        }
        Fusion::Rrf {
            k,
            weights:
                LegAmounts {
                    keyword: keyword_weight,
                    vector: vector_weight,
                },
            ..
        } => {
            for (place, (key, _)) in keyword.iter().enumerate() {
                add(key, keyword_weight as f64 / (k as f64 + 1.0 + place as f64));
            }
            for (place, (key, _)) in vector.iter().enumerate() {
                add(key, vector_weight as f64 / (k as f64 + 1.0 + place as f64));
            }
        }
        Fusion::Distribution { .. } | Fusion::Linear(_) | Fusion::Mean(_) => {
            unreachable!("worked out by hand above")
        }
    }
    scores
}

/// A leg's hits: distinct keys out of few, so that the legs overlap; coarse scores, so that ties occur.
fn leg(scores: std::ops::Range<i32>) -> impl Strategy<Value = Vec<(String, f32)>> {
    proptest::collection::btree_map(0..400_u32, scores, 0..160).prop_map(|hits| {
        let mut hits: Vec<(String, f32)> = hits
            .into_iter()
            .map(|(key, score)| (key.to_string(), score as f32 / 4.0))
            .collect();
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        hits
    })
}

fn by_key(hits: &[(String, f32)]) -> HashMap<&str, LegHit> {
    let ranked = hits.iter().zip(1..);
    ranked
        .map(|((key, score), rank)| (key.as_str(), LegHit { rank, score: *score }))
        .collect()
}

fn any_fusion() -> impl Strategy<Value = Fusion> {
    prop_oneof![
        (0.0..=1.0_f32).prop_map(|weight| Fusion::Relative { weight }),
        (0.0..100.0_f32, 0.0..2.0_f32, 0.0..2.0_f32).prop_map(|(k, keyword, vector)| {
            Fusion::Rrf {
                k,
                weights: LegAmounts { keyword, vector },
                window: None,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn fusion_agrees_with_the_script_that_measured_it(
        fusion in any_fusion(),
        keyword in leg(1..60),
        vector in leg(-40..40),
    ) {
        let all = documents(keyword.iter().chain(&vector).map(|hit| hit.0.as_str()));
        let (fused, _) = fuse(&fusion, &scored(&all, &keyword), &scored(&all, &vector));

        let expected = reference(&fusion, &keyword, &vector);
        prop_assert_eq!(fused.len(), expected.len());
        let (keyword, vector) = (by_key(&keyword), by_key(&vector));
        for hit in &fused {
            let key = &*hit.document.key.text();
            prop_assert!((f64::from(hit.score) - expected[key]).abs() < 1e-6, "{} {:?}", key, hit);
            prop_assert_eq!(hit.keyword, keyword.get(key).copied());
            prop_assert_eq!(hit.vector, vector.get(key).copied());
        }
        prop_assert!(fused.is_sorted_by(|a, b| {
            a.score > b.score || a.score == b.score && a.document.key < b.document.key
        }), "{:?}", fused);
    }
}
