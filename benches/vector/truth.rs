//! What is right: exact search in full precision, and the share of it that hits have.

use multiversion::multiversion;

use crate::LIMIT;
use crate::data::Vectors;

/// Stands for a hit that is missing.
pub const NO_HIT: u32 = u32::MAX;

/// Which vector of a pool each slot has.
#[derive(Clone)]
pub struct Contents<'a> {
    pub pool: &'a Vectors,
    pub rows: Vec<Option<u32>>,
}

/// What grades answers: for each query the score of the last of its nearest, and how many nearest there are.
pub struct Grades<'a> {
    contents: &'a Contents<'a>,
    pub queries: &'a Vectors,
    nearest: Vec<Nearest>,
}

struct Nearest {
    worst: f32,
    count: usize,
}

/// Rounding may put one neighbour before another that is as near.
const TOLERANCE: f32 = 1e-6;

/// Queries that are compared with a vector while both are in the cache.
const BLOCK: usize = 64;

impl<'a> Contents<'a> {
    /// Every vector in the slot of its own number.
    pub fn all(pool: &'a Vectors) -> Contents<'a> {
        let rows = (0..pool.len() as u32).map(Some).collect();
        Contents { pool, rows }
    }

    pub fn get(&self, slot: u32) -> Option<&'a [f32]> {
        let row = *self.rows.get(slot as usize)?;
        row.map(|row| self.pool.at(row as usize))
    }

    /// Slots with their vectors, the empty ones left out.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'a [f32])> {
        (0..self.rows.len() as u32).filter_map(|slot| Some((slot, self.get(slot)?)))
    }
}

impl<'a> Grades<'a> {
    /// Searches all vectors for all queries.
    pub fn new(contents: &'a Contents<'a>, queries: &'a Vectors) -> Grades<'a> {
        Grades::filtered(contents, queries, |_, _| true)
    }

    /// Compares each query with every vector whose slot is eligible to it.
    pub fn filtered(
        contents: &'a Contents<'a>,
        queries: &'a Vectors,
        is_eligible: impl Fn(usize, u32) -> bool + Sync,
    ) -> Grades<'a> {
        let numbers: Vec<usize> = (0..queries.len()).collect();
        let is_eligible = &is_eligible;
        let nearest = std::thread::scope(|scope| {
            let halves = numbers.chunks(numbers.len().div_ceil(2).max(1));
            let search = |half: &[usize]| -> Vec<Nearest> {
                let blocks = half.chunks(BLOCK);
                blocks
                    .flat_map(|block| nearest(contents, queries, block, is_eligible))
                    .collect()
            };
            let workers: Vec<_> = halves.map(|half| scope.spawn(move || search(half))).collect();
            let found = workers.into_iter().map(|worker| worker.join().expect("no panic"));
            found.flatten().collect()
        });
        Grades {
            contents,
            queries,
            nearest,
        }
    }

    /// The share of the nearest that are among the hits: `LIMIT` slots a query. What is as near as the last counts.
    pub fn recall(&self, hits: &[u32]) -> f64 {
        let (mut right, mut all) = (0, 0);
        let answers = self.queries.iter().zip(hits.chunks_exact(LIMIT));
        for (nearest, (query, hits)) in self.nearest.iter().zip(answers) {
            let mut slots = hits.to_vec();
            slots.sort_unstable();
            slots.dedup();
            let scores = slots
                .iter()
                .filter_map(|slot| Some(dot(query, self.contents.get(*slot)?)));
            let near = scores.filter(|score| *score >= nearest.worst - TOLERANCE).count();
            right += near.min(nearest.count);
            all += nearest.count;
        }
        right as f64 / all as f64
    }

    /// How many queries got fewer hits than there are.
    pub fn short_answers(&self, hits: &[u32]) -> usize {
        let answers = self.nearest.iter().zip(hits.chunks_exact(LIMIT));
        answers
            .filter(|(nearest, hits)| hits.iter().filter(|slot| **slot != NO_HIT).count() < nearest.count)
            .count()
    }
}

fn nearest(
    contents: &Contents,
    queries: &Vectors,
    block: &[usize],
    is_eligible: &impl Fn(usize, u32) -> bool,
) -> Vec<Nearest> {
    // Of each query the best scores, the worst of them first.
    let mut best = vec![[f32::NEG_INFINITY; LIMIT]; block.len()];
    let mut counts = vec![0; block.len()];
    for (slot, vector) in contents.iter() {
        for ((query, best), count) in block.iter().zip(&mut best).zip(&mut counts) {
            if !is_eligible(*query, slot) {
                continue;
            }
            *count += 1;
            let score = dot(queries.at(*query), vector);
            if score > best[0] {
                let place = best.partition_point(|other| *other < score);
                best[..place].rotate_left(1);
                best[place - 1] = score;
            }
        }
    }
    let found = best.into_iter().zip(counts);
    found
        .map(|(best, count)| Nearest {
            worst: best[LIMIT - count.min(LIMIT)..]
                .first()
                .copied()
                .unwrap_or(f32::INFINITY),
            count: count.min(LIMIT),
        })
        .collect()
}

/// The product of two vectors of one length.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 32];
    let (a_lanes, a_rest) = a.as_chunks::<32>();
    let (b_lanes, b_rest) = b.as_chunks::<32>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..32 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}
