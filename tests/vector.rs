//! The vector leg against brute force, while it is written to and while graphs are built; and the embedders.

mod reduced;
mod sketched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use millpond::definition::{Metric, Quantization};
use millpond::embed::{BuiltIn, Embedder, HashEmbedder};
use millpond::index::Slot;
use millpond::index::vector::{Effort, SharedVector, VectorHit, VectorSettings, VectorState, VectorWriter};
use roaring::RoaringBitmap;

use crate::shared::public_data;

/// No graph of a test takes nearly as long, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(300);

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

const QUANTIZATIONS: [Quantization; 3] = [Quantization::Int16, Quantization::Int8, Quantization::F16];

// ---- the leg, and the model it is compared with

/// A writer, and a plain map of what it should hold.
struct Leg {
    writer: VectorWriter,
    woken: Receiver<()>,
    metric: Metric,
    model: BTreeMap<u32, SharedVector>,
}

impl Leg {
    fn new(metric: Metric, dimensions: usize, graphs: bool) -> Leg {
        Leg::with(VectorSettings {
            graphs,
            ..VectorSettings::new(dimensions, metric)
        })
    }

    /// With graphs, of rows that are quantised so.
    fn of(metric: Metric, dimensions: usize, quantization: Quantization) -> Leg {
        Leg::with(VectorSettings {
            quantization,
            ..VectorSettings::new(dimensions, metric)
        })
    }

    fn with(settings: VectorSettings) -> Leg {
        let metric = settings.metric;
        let (wake, woken) = channel();
        let wake = Arc::new(move || {
            // The test may be over.
            let _ = wake.send(());
        });
        let writer = VectorWriter::new(settings, wake);
        Leg {
            writer,
            woken,
            metric,
            model: BTreeMap::new(),
        }
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = (u32, Option<SharedVector>)>) {
        let changes: Vec<_> = changes
            .into_iter()
            .map(|(slot, vector)| (Slot(slot), vector))
            .collect();
        self.writer.apply(&changes);
        for (Slot(slot), vector) in changes {
            match vector {
                Some(vector) => self.model.insert(slot, vector),
                None => self.model.remove(&slot),
            };
        }
        assert_eq!(self.state().len(), self.model.len());
    }

    fn state(&self) -> Arc<VectorState> {
        self.writer.state()
    }

    /// Waits until all that is due is in graphs.
    fn settle(&mut self) {
        while self.state().unbuilt() > 0 {
            self.woken
                .recv_timeout(DEADLINE)
                .expect("a graph is built in time");
            // A graph that entered with changes has left its wake behind.
            if self.writer.has_finished_work() {
                self.apply([]);
            }
        }
    }

    /// What brute force finds, in double precision.
    fn expected(&self, query: &[f32], limit: usize, filter: Option<&RoaringBitmap>) -> Vec<(u32, f64)> {
        let eligible = self
            .model
            .iter()
            .filter(|(slot, _)| filter.is_none_or(|filter| filter.contains(**slot)));
        let mut hits: Vec<_> = eligible
            .map(|(slot, vector)| (*slot, score(self.metric, query, vector)))
            .collect();
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        hits.truncate(limit);
        hits
    }

    /// Checks what holds for every answer, and returns how many of the nearest are among the hits, with how
    /// many there are.
    fn check(
        &self,
        query: &[f32],
        limit: usize,
        filter: Option<&RoaringBitmap>,
        context: &str,
    ) -> (usize, usize) {
        let hits = self.state().search(query, limit, Effort::Usual, filter);
        let expected = self.expected(query, limit, filter);
        assert_eq!(
            hits.len(),
            expected.len(),
            "{context}: as many hits as exist, up to {limit}"
        );
        let slots: BTreeSet<u32> = hits.iter().map(|hit| hit.slot.0).collect();
        assert_eq!(slots.len(), hits.len(), "{context}: a slot twice");
        for hit in &hits {
            assert!(
                filter.is_none_or(|filter| filter.contains(hit.slot.0)),
                "{context}: {hit:?} is filtered out"
            );
            let vector = self
                .model
                .get(&hit.slot.0)
                .unwrap_or_else(|| panic!("{context}: {hit:?} is deleted"));
            let current = score(self.metric, query, vector);
            let length = |vector: &[f32]| score(Metric::Dot, vector, vector).sqrt();
            let reach = (length(query) + length(vector)).powi(2);
            assert!(
                (f64::from(hit.score) - current).abs() <= ROUNDING * (1.0 + reach),
                "{context}: {hit:?} should have the score {current}"
            );
            let in_full = self.state().score_of(hit.slot, query);
            assert!(
                in_full.is_some_and(|score| is_close(score, current)),
                "{context}: {in_full:?} should be {current}"
            );
        }
        for pair in hits.windows(2) {
            let is_ordered = pair[0].score > pair[1].score
                || (pair[0].score == pair[1].score && pair[0].slot < pair[1].slot);
            assert!(is_ordered, "{context}: {pair:?}");
        }
        (
            expected.iter().filter(|(slot, _)| slots.contains(slot)).count(),
            expected.len(),
        )
    }

    /// Checks that an exact search gives what brute force gives.
    fn check_exact(&self, query: &[f32], limit: usize, filter: Option<&RoaringBitmap>, context: &str) {
        let hits = self.state().search(query, limit, Effort::Exact, filter);
        let expected = self.expected(query, limit, filter);
        assert_eq!(hits.len(), expected.len(), "{context}");
        for (hit, (slot, score)) in hits.iter().zip(&expected) {
            assert!(
                is_close(hit.score, *score),
                "{context}: {hit:?} instead of {score}"
            );
            // Scores that agree to single precision may change places.
            let is_tie = expected
                .iter()
                .filter(|(_, other)| is_close(hit.score, *other))
                .count()
                > 1;
            assert!(
                hit.slot.0 == *slot || is_tie,
                "{context}: {hit:?} instead of slot {slot}"
            );
        }
    }
}

fn score(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let sum =
        |term: fn(f64, f64) -> f64| -> f64 { a.iter().zip(b).map(|(&a, &b)| term(a.into(), b.into())).sum() };
    match metric {
        Metric::Cosine => sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt(),
        Metric::Dot => sum(|a, b| a * b),
        Metric::L2 => -sum(|a, b| (a - b) * (a - b)),
    }
}

/// What 16 bits of a component may change of a score, by the lengths of both vectors, where dimensions are few.
const ROUNDING: f64 = 5e-5;

fn is_close(score: f32, expected: f64) -> bool {
    (f64::from(score) - expected).abs() <= 1e-5 * (1.0 + expected.abs())
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }

    /// About normally distributed.
    fn normal(&mut self) -> f32 {
        (0..6)
            .map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32 - 0.5)
            .sum()
    }

    /// Of one of forty clusters, with a length between a half and two.
    fn vector(&mut self, dimensions: usize) -> SharedVector {
        let mut centre = Random(u64::from(self.below(40)));
        let length = 0.5 + self.below(1_500) as f32 / 1_000.0;
        (0..dimensions)
            .map(|_| length * (centre.normal() + 0.7 * self.normal()))
            .collect()
    }
}

// ---- tests of the leg

#[test]
fn a_random_stream_agrees_with_brute_force_at_every_step() {
    for (seed, (metric, graphs)) in METRICS
        .iter()
        .flat_map(|metric| [(*metric, false), (*metric, true)])
        .enumerate()
    {
        let mut random = Random(seed as u64);
        let mut leg = Leg::new(metric, 7, graphs);
        for step in 0..150 {
            let slots: BTreeSet<u32> = (0..random.below(8)).map(|_| random.below(60)).collect();
            let changes: Vec<_> = slots
                .into_iter()
                .map(|slot| (slot, (random.below(3) > 0).then(|| random.vector(7))))
                .collect();
            leg.apply(changes);
            let context = format!("{metric:?}, graphs {graphs}, seed {seed}, step {step}");
            let query = random.vector(7);
            let filter: RoaringBitmap = (0..10).map(|_| random.below(70)).collect();
            for filter in [None, Some(&filter)] {
                for limit in [0, 1, 10, 100] {
                    leg.check_exact(&query, limit, filter, &context);
                    let (found, of) = leg.check(&query, limit, filter, &context);
                    assert_eq!(found, of, "{context}: so few are searched exactly");
                }
            }
        }
    }
}

#[test]
fn graphs_are_built_while_vectors_come_and_go() {
    let on_disk = VectorSettings {
        quantization: Quantization::F16,
        on_disk: Some(std::env::temp_dir()),
        ..VectorSettings::new(24, Metric::Cosine)
    };
    let usual = METRICS.map(|metric| VectorSettings::new(24, metric));
    for (seed, settings) in usual.into_iter().chain([on_disk]).enumerate() {
        let metric = settings.metric;
        let mut random = Random(100 + seed as u64);
        let mut leg = Leg::with(settings);
        leg.apply((0..5_000).map(|slot| (slot, Some(random.vector(24)))));
        assert_eq!(leg.state().unbuilt(), 5_000);

        // While the first graph is built, and others after it.
        let (mut found, mut of) = (0, 0);
        for step in 0..60 {
            let slots: BTreeSet<u32> = (0..80).map(|_| random.below(6_000)).collect();
            let changes: Vec<_> = slots
                .into_iter()
                .map(|slot| (slot, (random.below(4) > 0).then(|| random.vector(24))))
                .collect();
            leg.apply(changes);
            let query = random.vector(24);
            let context = format!("{metric:?}, seed {}, step {step}", 100 + seed);
            let hits = leg.check(&query, 10, None, &context);
            (found, of) = (found + hits.0, of + hits.1);
        }
        assert!(
            found * 100 >= of * 95,
            "{metric:?}: {found} of {of} while graphs are built"
        );

        leg.settle();
        check_recall(&leg, &mut random, &format!("{metric:?}, settled"));
        let self_found = leg.model.iter().step_by(10).filter(|(slot, vector)| {
            leg.state()
                .search(vector, 10, Effort::Usual, None)
                .iter()
                .any(|hit| hit.slot.0 == **slot)
        });
        let (self_found, of) = (self_found.count(), leg.model.len().div_ceil(10));
        // Under the dot product longer vectors may be nearer to a vector than itself.
        assert!(
            metric == Metric::Dot || self_found == of,
            "{metric:?}: {self_found} of {of} find themselves"
        );

        // Most are deleted: the graphs are rebuilt, and what is left is found.
        leg.apply((0..6_000).filter(|slot| slot % 5 > 1).map(|slot| (slot, None)));
        check_recall(&leg, &mut random, &format!("{metric:?}, mostly deleted"));
        leg.woken
            .recv_timeout(DEADLINE)
            .expect("a graph that is mostly dead is rebuilt");
        leg.apply([]);
        check_recall(&leg, &mut random, &format!("{metric:?}, rebuilt"));
        leg.apply((0..6_000).map(|slot| (slot, None)));
        assert!(leg.state().is_empty());
        assert_eq!(
            leg.state().search(&random.vector(24), 10, Effort::Usual, None),
            []
        );
    }
}

/// Vectors near one direction.
fn alike(random: &mut Random, centre: &[f32]) -> SharedVector {
    let noise = random.vector(centre.len());
    centre.iter().zip(&*noise).map(|(a, b)| 5.0 * a + b).collect()
}

/// How many of the nearest to queries of a group are found, in a thousand.
fn recall_near(leg: &Leg, random: &mut Random, centre: &[f32], context: &str) -> usize {
    let (mut found, mut of) = (0, 0);
    for _ in 0..30 {
        let hits = leg.check(&alike(random, centre), 10, None, context);
        (found, of) = (found + hits.0, of + hits.1);
    }
    found * 1_000 / of
}

#[test]
fn a_group_that_is_deleted_leaves_no_hole() {
    let mut random = Random(31);
    let mut leg = Leg::new(Metric::Cosine, 16, true);
    let centre = random.vector(16);
    leg.apply((0..4_000).map(|slot| (slot, Some(random.vector(16)))));
    leg.apply((4_000..4_600).map(|slot| (slot, Some(alike(&mut random, &centre)))));
    leg.settle();
    leg.apply((4_000..4_600).map(|slot| (slot, None)));
    // These alone would do for an answer.
    leg.apply((5_000..5_100).map(|slot| (slot, Some(random.vector(16)))));
    let recall = recall_near(&leg, &mut random, &centre, "where a group was");
    assert!(recall >= 950, "{recall} of 1,000");
}

#[test]
fn vectors_of_a_new_topic_find_each_other() {
    let mut random = Random(37);
    let mut leg = Leg::new(Metric::Cosine, 16, true);
    leg.apply((0..6_000).map(|slot| (slot, Some(random.vector(16)))));
    leg.settle();
    let centre = random.vector(16);
    leg.apply((6_000..7_200).map(|slot| (slot, Some(alike(&mut random, &centre)))));
    leg.settle();
    let recall = recall_near(&leg, &mut random, &centre, "a new topic");
    assert!(recall >= 970, "{recall} of 1,000");
}

#[test]
fn a_crowd_of_equal_vectors_is_found_and_hides_nobody() {
    for quantization in QUANTIZATIONS {
        check_crowd(Leg::of(Metric::L2, 16, quantization));
    }
}

fn check_crowd(mut leg: Leg) {
    let mut random = Random(41);
    let crowd = random.vector(16);
    leg.apply((0..3_000).map(|slot| (slot, Some(random.vector(16)))));
    leg.apply((3_000..6_000).map(|slot| (slot, Some(crowd.clone()))));
    leg.settle();
    let equal = |filter: Option<&RoaringBitmap>, limit| {
        let hits = leg.state().search(&crowd, limit, Effort::Usual, filter);
        let state = leg.state();
        let is_equal = |hit: &&VectorHit| state.score_of(hit.slot, &crowd) == Some(0.0);
        hits.iter().filter(is_equal).count()
    };
    assert_eq!(equal(None, 20), 20);
    // A few of the crowd, and all others.
    let some = (0..3_000).chain([3_007, 4_500, 5_999]).collect();
    assert_eq!(equal(Some(&some), 10), 3);
    check_recall_in(&leg, &mut random, 16, "beside a crowd");
}

fn check_recall(leg: &Leg, random: &mut Random, context: &str) {
    check_recall_in(leg, random, 24, context);
}

fn check_recall_in(leg: &Leg, random: &mut Random, dimensions: usize, context: &str) {
    let (mut found, mut of) = (0, 0);
    for _ in 0..40 {
        let hits = leg.check(&random.vector(dimensions), 10, None, context);
        (found, of) = (found + hits.0, of + hits.1);
    }
    assert!(found * 100 >= of * 95, "{context}: {found} of {of}");
}

#[test]
fn a_filter_never_leaves_fewer_hits_than_there_are() {
    let mut random = Random(7);
    let mut leg = Leg::new(Metric::Cosine, 16, true);
    leg.apply((0..6_000).map(|slot| (slot, Some(random.vector(16)))));
    leg.settle();
    // Some in the graph are dead, some live ones are young, and filters name slots without a vector.
    leg.apply((0..500).map(|slot| (slot * 11, None)));
    leg.apply((6_000..6_300).map(|slot| (slot, Some(random.vector(16)))));
    let one_in = |n: u32| {
        (0..8_000)
            .filter(move |slot| slot % n == 1)
            .collect::<RoaringBitmap>()
    };
    let filters: Vec<RoaringBitmap> = [1, 2, 3, 4, 6, 10, 30, 100, 1_000, 7_000]
        .into_iter()
        .map(one_in)
        .chain([
            (0..8_000).collect(),
            (0..3_000).collect(),
            (5_900..9_000).collect(),
            (7_000..9_000).collect(),
        ])
        .chain([RoaringBitmap::new(), RoaringBitmap::from([0, 11, 22, u32::MAX])])
        .collect();
    for (number, filter) in filters.iter().enumerate() {
        let (mut found, mut of) = (0, 0);
        for limit in [1, 10, 10, 10, 10, 300, 9_000] {
            let query = random.vector(16);
            let context = format!("filter {number}, limit {limit}");
            leg.check_exact(&query, limit, Some(filter), &context);
            let hits = leg.check(&query, limit, Some(filter), &context);
            (found, of) = (found + hits.0, of + hits.1);
        }
        assert!(found * 100 >= of * 95, "filter {number}: {found} of {of}");
    }
}

#[test]
fn a_state_does_not_change_while_others_are_written() {
    let mut random = Random(11);
    let queries: Vec<SharedVector> = (0..20).map(|_| random.vector(12)).collect();
    let answers = |state: &VectorState| -> Vec<Vec<VectorHit>> {
        let filter: RoaringBitmap = (0..6_000).step_by(2).collect();
        let searches = queries.iter().flat_map(|query| {
            [None, Some(&filter)].map(|filter| {
                [Effort::Exact, Effort::Usual].map(|effort| state.search(query, 10, effort, filter))
            })
        });
        searches.flatten().collect()
    };
    let mut leg = Leg::new(Metric::L2, 12, true);
    let mut kept = Vec::new();
    for step in 0..40 {
        let changes: BTreeMap<u32, _> = (0..if step == 0 { 5_000 } else { 200 })
            .map(|_| {
                (
                    random.below(6_000),
                    (random.below(4) > 0).then(|| random.vector(12)),
                )
            })
            .collect();
        leg.apply(changes);
        if step == 20 {
            leg.settle();
        }
        kept.push((leg.state(), leg.state().len(), answers(&leg.state())));
    }
    leg.settle();
    for (step, (state, len, before)) in kept.iter().enumerate() {
        assert_eq!(state.len(), *len, "step {step}");
        assert!(
            answers(state) == *before,
            "step {step}: the state answers differently now"
        );
    }
}

#[test]
fn a_storm_on_few_slots_leaves_few_vectors_and_nothing_to_do() {
    let mut random = Random(13);
    let mut leg = Leg::new(Metric::Cosine, 8, true);
    for step in 0..200 {
        leg.apply((0..100).map(|slot| (slot, Some(random.vector(8)))));
        leg.check(&random.vector(8), 5, None, &format!("step {step}"));
    }
    leg.settle();
    assert_eq!((leg.state().len(), leg.state().unbuilt()), (100, 0));
    leg.check_exact(&random.vector(8), 100, None, "after the storm");
}

#[test]
fn the_thread_ends_with_its_writer() {
    let mut random = Random(17);
    let mut leg = Leg::new(Metric::Cosine, 64, true);
    leg.apply((0..20_000).map(|slot| (slot, Some(random.vector(64)))));
    assert!(leg.state().unbuilt() > 0, "a graph is being built");
    let Leg { writer, woken, .. } = leg;
    drop(writer);
    // The thread owns what wakes; when it ends, the channel is closed. The graph would have taken longer.
    assert_eq!(woken.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn what_does_not_fit_the_index_is_refused() {
    let mut leg = Leg::new(Metric::Cosine, 3, true);
    leg.apply([
        (0, Some([1.0, 0.0, 0.0].into())),
        (1, Some([0.0, 1.0, 0.0].into())),
    ]);
    let refused: [SharedVector; 3] = [
        [1.0, 0.0].into(),
        [f32::NAN, 0.0, 0.0].into(),
        [f32::INFINITY, 0.0, 0.0].into(),
    ];
    for vector in refused {
        leg.writer.apply(&[(Slot(1), Some(vector))]);
        assert_eq!(
            leg.state().len(),
            1,
            "the old vector is gone, and no new one is there"
        );
    }
    for query in [&[1.0, 0.0][..], &[], &[f32::NAN, 0.0, 0.0]] {
        assert_eq!(leg.state().search(query, 10, Effort::Usual, None), []);
    }
}

#[test]
fn recall_holds_on_real_embeddings() {
    let Some(folder) = public_data("search/chorus-icecat") else {
        return;
    };
    // All 19,406 take a minute without optimisation.
    let documents = halves(&folder.join("minilm384_docs.f16"), 384, 5_000);
    let queries = halves(&folder.join("minilm384_queries.f16"), 384, usize::MAX);
    check_recall_of(Leg::new(Metric::Cosine, 384, true), &documents, &queries, 0.98);
    let halves = Leg::of(Metric::Cosine, 384, Quantization::F16);
    check_recall_of(halves, &documents, &queries, 0.99);

    let mut random = Random(19);
    let mut stretch = |vector: &SharedVector| -> SharedVector {
        let length = (1.5 * random.normal()).exp();
        vector.iter().map(|value| value * length).collect()
    };
    let documents: Vec<SharedVector> = documents.iter().map(&mut stretch).collect();
    check_recall_of(Leg::new(Metric::Dot, 384, true), &documents, &queries, 0.98);
}

fn check_recall_of(mut leg: Leg, documents: &[SharedVector], queries: &[SharedVector], share: f64) {
    let metric = leg.metric;
    leg.apply((0..).zip(documents.iter().cloned().map(Some)));
    leg.settle();
    let state = leg.state();
    let (mut found, mut of) = (0, 0);
    for query in queries {
        let exact = state.search(query, 10, Effort::Exact, None);
        let hits = state.search(query, 10, Effort::Usual, None);
        // Some products have the same text: those are equally near.
        let last = exact.last().expect("there are documents").score;
        let is_near = |hit: &&VectorHit| state.score_of(hit.slot, query) >= Some(last);
        found += hits.iter().filter(is_near).count();
        of += exact.len();
    }
    let recall = found as f64 / of as f64;
    println!("{metric:?}: recall@10 {recall:.4}");
    assert!(recall >= share, "{metric:?}: {found} of {of}");
}

/// Little-endian half-precision numbers, in rows.
pub fn halves(path: &std::path::Path, dimensions: usize, rows_max: usize) -> Vec<SharedVector> {
    let half = |bytes: &[u8]| {
        let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1_023) / 1_024.0);
        match exponent {
            0 => sign * fraction * 2_f32.powi(-14),
            _ => sign * (1.0 + fraction) * 2_f32.powi(exponent - 15),
        }
    };
    let bytes = std::fs::read(path).expect("the file is read");
    let rows = bytes.chunks_exact(2 * dimensions).take(rows_max);
    rows.map(|row| row.chunks_exact(2).map(half).collect()).collect()
}

// ---- tests of the embedders

const TEXTS: [&str; 7] = [
    "A warm woollen jumper for cold winter days",
    "Thick knitted sweater, keeps you cosy in the snow",
    "USB-C charging cable, 2 m",
    "naïve café — 東京",
    "x",
    "",
    "🦄🦄",
];

fn embed(embedder: &dyn Embedder, texts: &[&str]) -> Vec<Vec<f32>> {
    embedder.embed(texts).expect("texts are embedded")
}

#[test]
fn a_text_has_one_vector_whatever_it_is_embedded_with() {
    let embedders: [Box<dyn Embedder>; 2] = [
        Box::new(BuiltIn::load().expect("the model is whole")),
        Box::new(HashEmbedder::new(48)),
    ];
    for embedder in &embedders {
        let together = embed(&**embedder, &TEXTS);
        let mut reversed = TEXTS;
        reversed.reverse();
        let mut backwards = embed(&**embedder, &reversed);
        backwards.reverse();
        assert_eq!(together, backwards, "{}", embedder.model());
        for (text, vector) in TEXTS.iter().zip(&together) {
            assert_eq!(
                embed(&**embedder, &[text]),
                std::slice::from_ref(vector),
                "{}: {text:?}",
                embedder.model()
            );
            assert_eq!(vector.len(), embedder.dimensions());
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!(
                (length - 1.0).abs() < 1e-5,
                "{}: {text:?} has length {length}",
                embedder.model()
            );
        }
        let distinct: BTreeSet<_> = together
            .iter()
            .map(|vector| vector.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            .collect();
        assert_eq!(
            distinct.len(),
            TEXTS.len(),
            "{}: different texts have different vectors",
            embedder.model()
        );
        assert_eq!(embed(&**embedder, &[]), Vec::<Vec<f32>>::new());
    }
}

#[test]
fn the_built_in_model_gives_what_model2vec_gives() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/models/static-256-int8");
    let reference =
        model2vec_rs::model::StaticModel::from_pretrained(folder, None, None, None).expect("it is a model");
    let built_in = BuiltIn::load().expect("the model is whole");
    assert_eq!(built_in.dimensions(), 256);
    for text in &TEXTS[..5] {
        assert_eq!(
            embed(&built_in, &[text])[0],
            reference.encode_single(text),
            "{text:?}"
        );
    }
}

#[test]
fn texts_of_like_meaning_are_nearer_than_others() {
    let built_in = BuiltIn::load().expect("the model is whole");
    let cosine = |a: &str, b: &str| {
        let vectors = embed(&built_in, &[a, b]);
        score(Metric::Cosine, &vectors[0], &vectors[1])
    };
    for [text, like, unlike] in [
        [TEXTS[0], TEXTS[1], TEXTS[2]],
        [
            "gift for a child who likes trains",
            "wooden railway set, toy for kids",
            "stainless steel kitchen knife",
        ],
        [
            "the heart pumps blood",
            "cardiac circulation",
            "the stock market fell",
        ],
    ] {
        let (near, far) = (cosine(text, like), cosine(text, unlike));
        assert!(
            near > far + 0.1,
            "{text:?}: {near} to {like:?}, {far} to {unlike:?}"
        );
    }
}

#[test]
fn five_hundred_and_twelve_tokens_count() {
    let built_in = BuiltIn::load().expect("the model is whole");
    let text = |words: usize| "tree ".repeat(words);
    let with_end = |words: usize| embed(&built_in, &[&(text(words) + "ocean")]);
    assert_ne!(
        with_end(511),
        embed(&built_in, &[&text(511)]),
        "the last token that counts"
    );
    assert_eq!(
        with_end(512),
        embed(&built_in, &[&text(512)]),
        "the first that does not"
    );
}

#[test]
fn a_pseudo_vector_never_changes() {
    let vector = &embed(&HashEmbedder::new(4), &["red shoe"])[0];
    assert_eq!(vector, &[-0.511778, -0.42778283, -0.6386262, -0.38372084]);
    // Unrelated texts are about orthogonal.
    let texts: Vec<String> = (0..50).map(|number| format!("text {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embed(&HashEmbedder::new(256), &texts);
    for (number, vector) in vectors.iter().enumerate() {
        for other in &vectors[..number] {
            assert!(score(Metric::Cosine, vector, other).abs() < 0.35);
        }
    }
}
