//! Graphs whose rows have fewer dimensions than their vectors, against brute force.

use std::collections::BTreeSet;

use millpond::definition::{Builder, Metric, Reduce};
use millpond::index::vector::{Effort, SharedVector, VectorSettings};
use roaring::RoaringBitmap;

use super::{Leg, METRICS, QUANTIZATIONS, Random, halves};
use crate::shared::public_data;

fn leg(metric: Metric, dimensions: usize, reduce: Reduce) -> Leg {
    Leg::with(VectorSettings {
        reduce: Some(reduce),
        ..VectorSettings::new(dimensions, metric)
    })
}

/// A vector that lies near a plane of eight dimensions among its 32, most of it in the first 20.
fn vector(random: &mut Random, directions: &[SharedVector]) -> SharedVector {
    let mut vector: Vec<f32> = (0..32).map(|_| 0.03 * random.normal()).collect();
    for direction in directions {
        let factor = 2.0 * random.normal();
        let along = vector.iter_mut().zip(direction.iter()).enumerate();
        along.for_each(|(n, (value, along))| {
            *value += factor * along * if n < 20 { 1.0 } else { 0.1 };
        });
    }
    vector.into()
}

fn directions(random: &mut Random) -> Vec<SharedVector> {
    (0..8)
        .map(|_| (0..32).map(|_| random.normal()).collect())
        .collect()
}

/// The share of the nearest that is found for some vectors, and that each of some in the leg finds itself.
#[track_caller]
fn check(leg: &Leg, queries: &[SharedVector], share: f64, context: &str) {
    let (mut found, mut of) = (0, 0);
    for query in queries {
        let hits = leg.check(query, 10, None, context);
        (found, of) = (found + hits.0, of + hits.1);
    }
    println!("{context}: {found} of {of}");
    assert!(found as f64 >= of as f64 * share, "{context}: {found} of {of}");
    if leg.metric == Metric::Dot {
        // Longer vectors may be nearer to a vector than itself.
        return;
    }
    for (slot, vector) in leg.model.iter().step_by(7) {
        let nearest = leg.state().search(vector, 1, Effort::Usual, None)[0];
        assert!(
            nearest.slot.0 == *slot || leg.model[&nearest.slot.0] == *vector,
            "{context}: {slot} finds {nearest:?}"
        );
    }
}

#[test]
fn reduced_graphs_find_what_is_near_while_vectors_come_and_go() {
    for metric in METRICS {
        for reduce in [Reduce::Pca(10), Reduce::Truncate(20)] {
            let context = |step: &str| format!("{metric:?}, {reduce:?}, {step}");
            let mut random = Random(5);
            let directions = directions(&mut random);
            let mut next = || vector(&mut random, &directions);
            let queries: Vec<SharedVector> = (0..40).map(|_| next()).collect();
            let mut leg = leg(metric, 32, reduce);
            leg.apply((0..1_500).map(|slot| (slot, Some(next()))));
            leg.settle();
            check(&leg, &queries, 0.97, &context("the first graph"));

            // The next graphs take in new rows; one learns anew, of more rows.
            for first in [1_500, 3_000, 4_200] {
                leg.apply((first..first + 1_200).map(|slot| (slot, Some(next()))));
                leg.settle();
            }
            let replaced = (0..5_400).filter(|slot| slot % 3 == 0);
            leg.apply(replaced.map(|slot| (slot, (slot % 2 == 0).then(&mut next))));
            leg.settle();
            check(&leg, &queries, 0.97, &context("after a third was replaced"));

            let filter: RoaringBitmap = (0..5_400).filter(|slot| slot % 50 == 1).collect();
            let (found, of) = leg.check(&queries[0], 10, Some(&filter), &context("filtered"));
            assert!(found + 1 >= of, "{}: {found} of {of}", context("filtered"));
        }
    }
}

#[test]
fn hnsw_rs_builds_reduced_graphs_too() {
    let mut random = Random(6);
    let directions = directions(&mut random);
    let mut next = || vector(&mut random, &directions);
    for quantization in QUANTIZATIONS {
        let mut leg = Leg::with(VectorSettings {
            reduce: Some(Reduce::Pca(10)),
            builder: Builder::HnswRs,
            quantization,
            ..VectorSettings::new(32, Metric::Cosine)
        });
        for first in [0, 1_100] {
            leg.apply((first..first + 1_100).map(|slot| (slot, Some(next()))));
            leg.settle();
        }
        let queries: Vec<SharedVector> = (0..40).map(|_| next()).collect();
        check(&leg, &queries, 0.97, &format!("hnsw_rs, {quantization:?}"));
    }
}

#[test]
fn vectors_that_are_alike_once_reduced_are_told_apart() {
    // The first four numbers, all that is kept, are those of one of fourteen vectors.
    let mut random = Random(8);
    let mut leg = leg(Metric::L2, 8, Reduce::Truncate(4));
    let vectors = (0..1_120).map(|slot| {
        let mut crowd = Random(1 + u64::from(slot) % 14);
        let kept = (0..4).map(|_| crowd.normal());
        let vector: Vec<f32> = kept.chain((0..4).map(|_| 0.01 * random.normal())).collect();
        (slot, Some(vector.into()))
    });
    leg.apply(vectors.collect::<Vec<_>>());
    leg.settle();
    let nearest: BTreeSet<u32> = leg
        .model
        .values()
        .filter_map(|vector| Some(leg.state().search(vector, 1, Effort::Usual, None).first()?.slot.0))
        .collect();
    assert_eq!(nearest.len(), 1_120, "each finds itself");
}

#[test]
fn recall_holds_on_real_embeddings_of_a_third_of_the_dimensions() {
    let Some(folder) = public_data("search/chorus-icecat") else {
        return;
    };
    let documents = halves(&folder.join("minilm384_docs.f16"), 384, 5_000);
    let queries = halves(&folder.join("minilm384_queries.f16"), 384, usize::MAX);
    for metric in METRICS {
        let mut leg = leg(metric, 384, Reduce::Pca(128));
        leg.apply((0..).zip(documents.iter().cloned().map(Some)));
        leg.settle();
        check(&leg, &queries, 0.97, &format!("{metric:?}"));
    }
}
