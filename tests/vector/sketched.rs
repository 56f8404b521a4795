//! Scans that look at sketches first, against brute force: vectors of so many dimensions have them, and a filter that
//! passes a part of a few thousand rows is a scan.

use millpond::definition::{Metric, Quantization};
use millpond::index::vector::{Effort, VectorHit};
use roaring::RoaringBitmap;

use super::{Leg, METRICS, QUANTIZATIONS, Random, score};

const DIMENSIONS: usize = 160;
const SLOTS: u32 = 4_000;

/// A leg of which some vectors are dead and some are young.
fn leg(metric: Metric, quantization: Quantization, random: &mut Random) -> Leg {
    let mut leg = Leg::of(metric, DIMENSIONS, quantization);
    leg.apply((0..SLOTS).map(|slot| (slot, Some(random.vector(DIMENSIONS)))));
    leg.settle();
    leg.apply((0..SLOTS).step_by(11).map(|slot| (slot, None)));
    leg.apply(
        (0..SLOTS)
            .step_by(13)
            .map(|slot| (slot, Some(random.vector(DIMENSIONS)))),
    );
    leg
}

/// The slots of the share of all vectors that is nearest to about a query, or farthest from it. (If it were just the query,
/// all vectors at the edge of what passes would have nearly one score.)
fn by_distance(leg: &Leg, query: &[f32], random: &mut Random, share: f64, is_near: bool) -> RoaringBitmap {
    let other = random.vector(DIMENSIONS);
    let about: Vec<f32> = query.iter().zip(&*other).map(|(a, b)| a + 0.5 * b).collect();
    let scored = leg.model.iter();
    let mut scored: Vec<_> = scored
        .map(|(slot, vector)| (score(leg.metric, &about, vector), *slot))
        .collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    if is_near {
        scored.reverse();
    }
    let count = (share * scored.len() as f64) as usize;
    scored.into_iter().take(count).map(|(_, slot)| slot).collect()
}

#[test]
fn a_scan_by_sketches_finds_what_brute_force_finds() {
    for (seed, metric) in METRICS.into_iter().enumerate() {
        for quantization in QUANTIZATIONS {
            let mut random = Random(seed as u64);
            let leg = leg(metric, quantization, &mut random);
            for share in [0.5, 0.2, 0.1] {
                for kind in ["by chance", "alike", "unlike"] {
                    let (mut found, mut of) = (0, 0);
                    let context = format!("{metric:?}, {quantization:?}, {share} {kind}");
                    for _ in 0..20 {
                        let query = random.vector(DIMENSIONS);
                        let filter = match kind {
                            "by chance" => (0..(share * f64::from(SLOTS)) as u32)
                                .map(|_| random.below(SLOTS + 500))
                                .collect(),
                            kind => by_distance(&leg, &query, &mut random, share, kind == "alike"),
                        };
                        for limit in [1, 10, 30] {
                            let hits = leg.check(&query, limit, Some(&filter), &context);
                            (found, of) = (found + hits.0, of + hits.1);
                        }
                    }
                    assert!(found * 1_000 >= of * 990, "{context}: {found} of {of}");
                }
            }
        }
    }
}

#[test]
fn a_vector_finds_itself_by_its_sketch() {
    for quantization in QUANTIZATIONS {
        let mut random = Random(53);
        let leg = leg(Metric::Cosine, quantization, &mut random);
        for (slot, vector) in leg.model.iter().step_by(5) {
            let others = (0..1_500).map(|_| random.below(SLOTS));
            let filter = others.chain([*slot]).collect();
            let hits = leg.state().search(vector, 1, Effort::Usual, Some(&filter));
            assert_eq!(hits[0].slot.0, *slot, "{quantization:?}: {hits:?}");
        }
    }
}

#[test]
fn a_crowd_with_one_sketch_is_found_as_far_as_it_is_asked_for() {
    let mut random = Random(59);
    let crowd = random.vector(DIMENSIONS);
    let mut leg = Leg::new(Metric::L2, DIMENSIONS, true);
    leg.apply((0..SLOTS).map(|slot| {
        let vector = match slot % 3 {
            0 => crowd.clone(),
            _ => random.vector(DIMENSIONS),
        };
        (slot, Some(vector))
    }));
    leg.settle();
    let filter: RoaringBitmap = (0..SLOTS).filter(|slot| slot % 2 == 0).collect();
    for limit in [1, 10, 100, 500] {
        let hits = leg.state().search(&crowd, limit, Effort::Usual, Some(&filter));
        let state = leg.state();
        let is_equal = |hit: &VectorHit| state.score_of(hit.slot, &crowd) == Some(0.0);
        assert!(hits.iter().all(is_equal), "{limit}: {hits:?}");
        leg.check(&random.vector(DIMENSIONS), limit, Some(&filter), "beside a crowd");
    }
    // A query that no row has: the crowd is equally far for every row of it.
    let mut near = crowd.to_vec();
    near[3] += 0.01;
    let hits = leg.state().search(&near, 50, Effort::Usual, Some(&filter));
    let slots: Vec<u32> = hits.iter().map(|hit| hit.slot.0).collect();
    assert!(slots.iter().all(|slot| slot % 6 == 0), "{slots:?}");
}
