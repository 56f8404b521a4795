//! What is measured: the leg of this crate and its peers answer the same questions and are graded by the same function.

use std::time::{Duration, Instant};

use roaring::RoaringBitmap;

use crate::common::{median, processor_time, thread_time};
use crate::curve::{Curve, Point};
use crate::data::Vectors;
use crate::leg::{Leg, View};
use crate::peers::Peer;
use crate::truth::{Grades, NO_HIT};
use crate::{LIMIT, ROUNDS};

/// Widths of the search, as far as a recall of 0.9999 needs them.
pub const WIDTHS: [usize; 14] = [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896];

/// Something that finds nearest neighbours among the vectors that it was given.
pub trait Engine {
    fn name(&self) -> &str;

    /// Answers all queries of its set once.
    ///
    /// # Errors
    ///
    /// What the engine cannot do, in its own words.
    fn answer(&mut self, question: &Question) -> Result<Round, String>;

    /// Gives slots their vectors, in one call, with two threads.
    ///
    /// # Errors
    ///
    /// What the engine cannot do, in its own words.
    fn write(&mut self, changes: &[(u32, &[f32])]) -> Result<Work, String>;
}

/// How all queries are to be asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The width of the search, or left to the engine.
    pub ef: Option<usize>,
    pub threads: usize,
    pub filter: Filter<'a>,
}

/// Which slots a query may find.
#[derive(Clone, Copy)]
pub enum Filter<'a> {
    None,
    Same(&'a RoaringBitmap),
    /// One for each query.
    Each(&'a [RoaringBitmap]),
}

/// What a write took.
pub struct Work {
    pub seconds: f64,
    /// Processor time of the whole process: what the seconds would be on one quiet core.
    pub core_seconds: f64,
}

/// All queries, answered once.
pub struct Round {
    /// Processor time over the number of threads. A search waits for nothing, so on a quiet machine the clock shows the
    /// same, and a busy one does not disturb it.
    pub seconds: f64,
    /// `LIMIT` slots a query, `NO_HIT` where there were fewer.
    pub hits: Vec<u32>,
}

/// The leg of this crate.
pub struct Own<'a> {
    pub leg: Leg,
    pub queries: &'a Vectors,
}

impl<'a> Own<'a> {
    /// An empty leg that will be asked these queries.
    pub fn new(queries: &'a Vectors) -> Own<'a> {
        Own {
            leg: Leg::new(queries.dimensions),
            queries,
        }
    }
}

impl Engine for Own<'_> {
    fn name(&self) -> &str {
        "millpond"
    }

    fn answer(&mut self, question: &Question) -> Result<Round, String> {
        Ok(answer(&self.leg.view(), self.queries, question))
    }

    fn write(&mut self, changes: &[(u32, &[f32])]) -> Result<Work, String> {
        let (began, spent) = (Instant::now(), processor_time());
        self.leg
            .tick(changes.iter().map(|(slot, vector)| (*slot, Some(*vector))));
        self.leg.settle();
        Ok(Work {
            seconds: began.elapsed().as_secs_f64(),
            core_seconds: (processor_time() - spent).as_secs_f64(),
        })
    }
}

/// The leg, and its peers after it.
pub fn all<'a>(own: &'a mut Own<'_>, peers: &'a mut [Peer]) -> Vec<&'a mut dyn Engine> {
    let own: &mut dyn Engine = own;
    std::iter::once(own)
        .chain(peers.iter_mut().map(|peer| peer as &mut dyn Engine))
        .collect()
}

/// Gives all engines the same vectors: their names, and what it took. One that cannot take them says why and goes.
pub fn load(engines: &mut Vec<&mut dyn Engine>, changes: &[(u32, &[f32])]) -> Vec<(String, Work)> {
    let mut loaded = Vec::new();
    engines.retain_mut(|engine| match engine.write(changes) {
        Ok(work) => {
            loaded.push((engine.name().to_owned(), work));
            true
        }
        Err(reason) => {
            println!("{}: {reason}", engine.name());
            false
        }
    });
    loaded
}

/// Answers all queries from one state, each thread its share of them.
fn answer(view: &View, queries: &Vectors, question: &Question<'_>) -> Round {
    let Question { ef, threads, filter } = *question;
    let numbers: Vec<usize> = (0..queries.len()).collect();
    let mut hits = vec![NO_HIT; queries.len() * LIMIT];
    let share = queries.len().div_ceil(threads);
    let mut spent = vec![Duration::ZERO; threads];
    std::thread::scope(|scope| {
        let shares = numbers.chunks(share).zip(hits.chunks_mut(share * LIMIT));
        for ((numbers, hits), spent) in shares.zip(&mut spent) {
            scope.spawn(move || {
                let began = thread_time();
                for (number, hits) in numbers.iter().zip(hits.chunks_exact_mut(LIMIT)) {
                    let filter = match filter {
                        Filter::None => None,
                        Filter::Same(filter) => Some(filter),
                        Filter::Each(filters) => Some(&filters[*number]),
                    };
                    let found = view.search(queries.at(*number), ef, filter);
                    hits.iter_mut().zip(found).for_each(|(hit, slot)| *hit = slot);
                }
                *spent = thread_time() - began;
            });
        }
    });
    Round {
        seconds: spent.iter().sum::<Duration>().as_secs_f64() / threads as f64,
        hits,
    }
}

/// Measures the curves of all engines side by side: each width in turn by each, five times, and medians.
///
/// An engine goes on until its recall is above `until`. A width that it cannot answer is left out; one that has no
/// answer at all is left out too, and says why.
pub fn curves(
    engines: &mut [&mut dyn Engine],
    grades: &Grades<'_>,
    question: Question<'_>,
    until: f64,
) -> Vec<(String, Curve)> {
    let mut runs: Vec<Run> = engines.iter().map(|_| Run::default()).collect();
    for ef in WIDTHS {
        let mut rounds: Vec<Vec<Round>> = engines.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for ((engine, run), rounds) in engines.iter_mut().zip(&mut runs).zip(&mut rounds) {
                if run.is_done {
                    continue;
                }
                match engine.answer(&Question {
                    ef: Some(ef),
                    ..question
                }) {
                    Ok(round) => rounds.push(round),
                    Err(reason) => run.reason = reason,
                }
            }
        }
        for (run, rounds) in runs.iter_mut().zip(&rounds) {
            let Some(first) = rounds.first() else { continue };
            let recall = grades.recall(&first.hits);
            let seconds: Vec<f64> = rounds.iter().map(|round| round.seconds).collect();
            run.points.push(Point {
                ef,
                recall,
                per_second: grades.queries.len() as f64 / median(&seconds),
            });
            run.is_done = recall > until;
        }
    }
    let mut curves = Vec::new();
    for (engine, run) in engines.iter().zip(runs) {
        if run.points.is_empty() {
            println!("{}: {}", engine.name(), run.reason);
        } else {
            curves.push((engine.name().to_owned(), Curve::new(run.points)));
        }
    }
    curves
}

/// One engine's part in [`curves`].
#[derive(Default)]
struct Run {
    points: Vec<Point>,
    is_done: bool,
    /// Why a width has no answer.
    reason: String,
}
