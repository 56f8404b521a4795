//! Filters of all widths, alike to the query and not: recall as the leg comes, and speed at a recall of 0.95.

use roaring::RoaringBitmap;

use crate::common::{Goal, Random, median};
use crate::data::{Clustered, Vectors};
use crate::engine::{Engine, Filter, Own, Question, all, curves, load};
use crate::truth::{Contents, Grades, dot};
use crate::{CLUSTERS, DIMENSIONS, ROUNDS, Size, common, figure, judged, peers};

/// Each has a filter of its own where filters follow the queries, and slow peers have to answer all of them.
const QUERIES: usize = 200;

const SHARES: [f64; 5] = [0.5, 0.1, 0.01, 0.001, 0.0001];

/// The recall that is compared.
const RECALL: f64 = 0.95;

/// Beyond it.
const UNTIL: f64 = 0.97;

pub fn run(size: &Size) {
    let mut source = Clustered::new(DIMENSIONS, CLUSTERS, 4);
    let (base, labels) = source.draw(size.rows);
    let (queries, _) = source.draw(QUERIES);
    let contents = Contents::all(&base);
    let changes: Vec<(u32, &[f32])> = contents.iter().collect();

    let mut own = Own::new(&queries);
    let mut peers = peers::start(&["hnswlib", "faiss"], &queries);
    let mut engines = all(&mut own, &mut peers);
    load(&mut engines, &changes);
    let all_grades = Grades::new(&contents, &queries);
    speeds(&mut engines, &all_grades, Filter::None, "no filter");

    let groups = Groups::new(&base, &labels);
    let mut random = Random(5);
    for share in SHARES {
        let slots = (share * size.rows as f64).round() as usize;
        let label = format!("filter {} %", share * 100.0);

        let filter = random_slots(slots, size.rows, &mut random);
        let grades = Grades::filtered(&contents, &queries, |_, slot| filter.contains(slot));
        speeds(&mut engines, &grades, Filter::Same(&filter), &label);
        if [0.1, 0.01].contains(&share) {
            // One right after the other: the machine is not the same for long.
            let against: Vec<f64> = (0..ROUNDS)
                .filter_map(|_| {
                    let filtered = speed(&mut engines[..1], &grades, Filter::Same(&filter))?;
                    Some(filtered / speed(&mut engines[..1], &all_grades, Filter::None)?)
                })
                .collect();
            judged(
                &format!("{label}: queries/s against unfiltered"),
                median(&against),
                Goal::AtLeast(0.5),
            );
        }
        for (kind, is_near) in [("alike to the query", true), ("unlike the query", false)] {
            let filters: Vec<RoaringBitmap> = queries
                .iter()
                .map(|query| groups.slots(query, slots, is_near))
                .collect();
            let grades = Grades::filtered(&contents, &queries, |query, slot| filters[query].contains(slot));
            let own = &mut engines[..1];
            speeds(own, &grades, Filter::Each(&filters), &format!("{label}, {kind}"));
        }
    }
}

/// Queries a second of one engine at the recall that is compared.
fn speed(engine: &mut [&mut dyn Engine], grades: &Grades<'_>, filter: Filter<'_>) -> Option<f64> {
    let curves = curves(engine, grades, question(filter), UNTIL);
    curves.first().and_then(|(_, curve)| curve.speed_at(RECALL))
}

fn question(filter: Filter<'_>) -> Question<'_> {
    Question {
        ef: None,
        threads: 1,
        filter,
    }
}

/// Prints what each engine does with a filter; of the first, the leg, also what it does by default.
fn speeds(engines: &mut [&mut dyn Engine], grades: &Grades<'_>, filter: Filter<'_>, label: &str) {
    let question = question(filter);
    let rounds: Vec<_> = (0..ROUNDS)
        .filter_map(|_| engines[0].answer(&question).ok())
        .collect();
    if let Some(round) = rounds.first() {
        let seconds: Vec<f64> = rounds.iter().map(|round| round.seconds).collect();
        figure(
            &format!("{label}: millpond by default"),
            grades.queries.len() as f64 / median(&seconds),
            "queries/s",
        );
        let recall = grades.recall(&round.hits);
        common::judged(
            "vector",
            &format!("{label}: its recall"),
            recall,
            "",
            Goal::AtLeast(0.95),
        );
        let short = grades.short_answers(&round.hits) as f64;
        common::judged(
            "vector",
            &format!("{label}: answers with too few hits"),
            short,
            "",
            Goal::AtMost(0.0),
        );
    }
    for (engine, curve) in curves(engines, grades, question, UNTIL) {
        match curve.speed_at(RECALL) {
            Some(speed) => figure(
                &format!("{label}: {engine} at recall {RECALL}"),
                speed,
                "queries/s",
            ),
            None => println!("{label}: {engine} does not reach a recall of {RECALL}"),
        }
    }
}

fn random_slots(count: usize, rows: usize, random: &mut Random) -> RoaringBitmap {
    let mut slots = RoaringBitmap::new();
    while slots.len() < count as u64 {
        slots.insert(random.below(rows) as u32);
    }
    slots
}

/// The clusters: their means, and the slots of each.
struct Groups(Vec<(Vec<f32>, Vec<u32>)>);

impl Groups {
    fn new(base: &Vectors, labels: &[u32]) -> Groups {
        let mut groups = vec![(vec![0.0; base.dimensions], Vec::new()); CLUSTERS];
        for (slot, (vector, label)) in base.iter().zip(labels).enumerate() {
            let (sum, slots) = &mut groups[*label as usize];
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            slots.push(slot as u32);
        }
        groups.retain(|(_, slots)| !slots.is_empty());
        Groups(groups)
    }

    /// So many slots of the clusters nearest to a query, or farthest from it.
    fn slots(&self, query: &[f32], count: usize, is_near: bool) -> RoaringBitmap {
        let score = |sum: &[f32]| dot(sum, query) / dot(sum, sum).sqrt();
        let mut order: Vec<(f32, &[u32])> = self
            .0
            .iter()
            .map(|(sum, slots)| (score(sum), slots.as_slice()))
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        if !is_near {
            order.reverse();
        }
        let slots = order.into_iter().flat_map(|(_, slots)| slots);
        slots.copied().take(count).collect()
    }
}
