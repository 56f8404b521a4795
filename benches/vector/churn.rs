//! Queries while rows are replaced all the time, against the same queries in peace.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::common::{Goal, Random, median, quantile};
use crate::data::{Clustered, Vectors};
use crate::engine::{Engine, Filter, Own, Question, WIDTHS};
use crate::leg::{Leg, View};
use crate::truth::{Contents, Grades, NO_HIT};
use crate::{CLUSTERS, DIMENSIONS, LIMIT, Size, figure, judged};

/// Rows replaced in a second.
const RATES: [usize; 3] = [0, 500, 1_000];

const ROUNDS: usize = 3;

const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_SECOND: usize = 100;

/// One query in so many is graded afterwards, by what its state held.
const GRADED: usize = 499;

/// What the writer has published, with the number of rows that had been replaced by then.
struct Published {
    view: View,
    replaced: usize,
}

/// An answer to be graded.
struct Answer {
    query: usize,
    replaced: usize,
    hits: Vec<u32>,
}

#[derive(Default)]
struct Figures {
    per_second: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    recall: Vec<f64>,
}

pub fn run(size: &Size) {
    let mut source = Clustered::new(DIMENSIONS, CLUSTERS, 2);
    let set = source.set(size.rows, size.queries);
    let seconds = size.churn.as_secs() as usize;
    let replaced_max = 2 * ROUNDS * seconds * RATES.iter().sum::<usize>();
    let (fresh, _) = source.draw(replaced_max);
    let pool = Vectors {
        dimensions: DIMENSIONS,
        floats: [set.base.floats.clone(), fresh.floats].concat(),
    };
    let mut contents = Contents::all(&pool);
    contents.rows.truncate(size.rows);
    let mut own = Own::new(&set.queries);
    let loaded: Vec<(u32, &[f32])> = contents.iter().collect();
    if let Err(reason) = own.write(&loaded) {
        return println!("{reason}");
    }
    let ef = width(&mut own, &Grades::new(&contents, &set.queries));
    println!("ef {ef}, the narrowest with a recall of 0.95 in peace");

    let mut random = Random(3);
    let mut next_row = size.rows as u32;
    for threads in [1, 2] {
        let mut figures = RATES.map(|_| Figures::default());
        for _ in 0..ROUNDS {
            for (rate, figures) in RATES.into_iter().zip(&mut figures) {
                let changes: Vec<(u32, u32)> = (next_row..)
                    .take(rate * seconds)
                    .map(|row| (random.below(size.rows) as u32, row))
                    .collect();
                next_row += changes.len() as u32;
                let storm = Storm {
                    queries: &set.queries,
                    ef,
                    threads,
                    pool: &pool,
                    changes: &changes,
                    ticks: seconds * TICKS_PER_SECOND,
                };
                own.leg.settle();
                let answers = storm.measure(&mut own.leg, figures);
                figures.recall.push(storm.recall(&mut contents, answers));
            }
        }
        report(threads, &figures);
    }
}

fn width(own: &mut Own<'_>, grades: &Grades<'_>) -> usize {
    let reaches = |ef: &usize| {
        let question = Question {
            ef: Some(*ef),
            threads: 1,
            filter: Filter::None,
        };
        let round = own.answer(&question);
        round.is_ok_and(|round| grades.recall(&round.hits) >= 0.95)
    };
    WIDTHS
        .into_iter()
        .find(reaches)
        .unwrap_or(WIDTHS[WIDTHS.len() - 1])
}

/// Changes that go in, the same number in each tick, and queries that are asked without a pause meanwhile.
struct Storm<'a> {
    queries: &'a Vectors,
    ef: usize,
    threads: usize,
    pool: &'a Vectors,
    /// Slots, and the row of the pool that each gets.
    changes: &'a [(u32, u32)],
    ticks: usize,
}

impl Storm<'_> {
    fn measure(&self, leg: &mut Leg, figures: &mut Figures) -> Vec<Answer> {
        let published = ArcSwap::from_pointee(Published {
            view: leg.view(),
            replaced: 0,
        });
        let stop = AtomicBool::new(false);
        let began = Instant::now();
        let asked: Vec<(Vec<Answer>, Vec<f64>)> = std::thread::scope(|scope| {
            let start = |thread| {
                let (published, stop) = (&published, &stop);
                scope.spawn(move || self.ask(published, thread * self.queries.len() / self.threads, stop))
            };
            let askers: Vec<_> = (0..self.threads).map(start).collect();
            self.write(leg, &published, began);
            stop.store(true, Ordering::Relaxed);
            askers
                .into_iter()
                .map(|asker| asker.join().expect("no panic"))
                .collect()
        });
        let seconds = began.elapsed().as_secs_f64();
        let (answers, times): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let mut times = times.concat();
        figures.per_second.push(times.len() as f64 / seconds);
        figures.p50.push(quantile(&mut times, 0.5));
        figures.p99.push(quantile(&mut times, 0.99));
        answers.into_iter().flatten().collect()
    }

    fn write(&self, leg: &mut Leg, published: &ArcSwap<Published>, began: Instant) {
        let mut replaced = 0;
        for tick in 1..=self.ticks {
            let until = self.changes.len() * tick / self.ticks;
            let mut changes: Vec<(u32, u32)> = self.changes[replaced..until].to_vec();
            // A slot occurs once in a tick; of two changes the last counts.
            changes.reverse();
            changes.sort_by_key(|(slot, _)| *slot);
            changes.dedup_by_key(|(slot, _)| *slot);
            let changes = changes.iter();
            leg.tick(changes.map(|(slot, row)| (*slot, Some(self.pool.at(*row as usize)))));
            replaced = until;
            let view = leg.view();
            published.store(Published { view, replaced }.into());
            std::thread::sleep((TICK * tick as u32).saturating_sub(began.elapsed()));
        }
    }

    /// Asks until told to stop: some of the answers, and the milliseconds of all.
    fn ask(
        &self,
        published: &ArcSwap<Published>,
        first: usize,
        stop: &AtomicBool,
    ) -> (Vec<Answer>, Vec<f64>) {
        let (mut answers, mut times) = (Vec::new(), Vec::new());
        for number in first.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let query = number % self.queries.len();
            let began = Instant::now();
            let state = published.load();
            let hits = state.view.search(self.queries.at(query), Some(self.ef), None);
            times.push(began.elapsed().as_secs_f64() * 1e3);
            if number % GRADED == 0 {
                answers.push(Answer {
                    query,
                    replaced: state.replaced,
                    hits,
                });
            }
        }
        (answers, times)
    }

    /// The recall of answers, each against what was there when it was given; then all changes are in the contents.
    fn recall(&self, contents: &mut Contents<'_>, mut answers: Vec<Answer>) -> f64 {
        answers.sort_by_key(|answer| answer.replaced);
        let mut done = 0;
        let mut replace = |contents: &mut Contents<'_>, until: usize| {
            for (slot, row) in &self.changes[done..until] {
                contents.rows[*slot as usize] = Some(*row);
            }
            done = until;
        };
        let mut recalls = Vec::new();
        for mut answer in answers {
            replace(contents, answer.replaced);
            let query = Vectors {
                dimensions: self.queries.dimensions,
                floats: self.queries.at(answer.query).to_vec(),
            };
            answer.hits.resize(LIMIT, NO_HIT);
            recalls.push(Grades::new(contents, &query).recall(&answer.hits));
        }
        replace(contents, self.changes.len());
        recalls.iter().sum::<f64>() / recalls.len() as f64
    }
}

fn report(threads: usize, figures: &[Figures; 3]) {
    let [still, ..] = figures;
    for (rate, churned) in RATES.iter().zip(figures) {
        let label = format!("{rate} rows/s replaced, threads {threads}");
        figure(&label, median(&churned.per_second), "queries/s");
        figure(&format!("{label}: p50"), median(&churned.p50), "ms");
        figure(&format!("{label}: p99"), median(&churned.p99), "ms");
        figure(&format!("{label}: recall"), median(&churned.recall), "");
        if *rate > 0 {
            let speed = median(&churned.per_second) / median(&still.per_second);
            judged(
                &format!("{label}: queries/s against peace"),
                speed,
                Goal::AtLeast(0.7),
            );
            let slower = median(&churned.p99) / median(&still.p99);
            judged(&format!("{label}: p99 against peace"), slower, Goal::AtMost(1.5));
        }
    }
}
