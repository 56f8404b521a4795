//! How fast an index is built, beside hnswlib with the same settings, and how good it is then.

use std::time::Instant;

use crate::common::{Goal, median};
use crate::data::Clustered;
use crate::engine::{Engine, Filter, Own, Question};
use crate::leg::Leg;
use crate::truth::{Contents, Grades};
use crate::{CLUSTERS, DIMENSIONS, Size, figure, judged, peers};

const ROUNDS: usize = 3;

/// The width at which graphs are compared: wide enough that a bad graph shows, and not hidden by a wide search.
const EF: usize = 64;

/// Vectors of a tick while a node loads.
const TICK_ROWS: usize = 1_000;

/// One build.
struct Built {
    per_second: f64,
    per_core_second: f64,
    recall: f64,
}

pub fn run(size: &Size) {
    let set = Clustered::new(DIMENSIONS, CLUSTERS, 1).set(size.rows, size.queries);
    let contents = Contents::all(&set.base);
    let grades = Grades::new(&contents, &set.queries);
    let changes: Vec<(u32, &[f32])> = contents.iter().collect();
    let (mut own, mut peer, mut in_ticks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.extend(build(&mut Own::new(&set.queries), &changes, &grades));
        if let Some(mut hnswlib) = peers::start(&["hnswlib"], &set.queries).pop() {
            peer.extend(build(&mut hnswlib, &changes, &grades));
        }
        let mut leg = Leg::new(DIMENSIONS);
        let began = Instant::now();
        for tick in changes.chunks(TICK_ROWS) {
            leg.tick(tick.iter().map(|(slot, vector)| (*slot, Some(*vector))));
        }
        leg.settle();
        in_ticks.push(changes.len() as f64 / began.elapsed().as_secs_f64());
    }
    let own = report("millpond, all at once", &own);
    figure(
        &format!("millpond, ticks of {TICK_ROWS}"),
        median(&in_ticks),
        "vectors/s",
    );
    if !peer.is_empty() {
        let peer = report("hnswlib, all at once", &peer);
        judged("build rate against hnswlib", own / peer, Goal::AtLeast(1.0));
    }
}

fn build(engine: &mut dyn Engine, changes: &[(u32, &[f32])], grades: &Grades<'_>) -> Option<Built> {
    let question = Question {
        ef: Some(EF),
        threads: 2,
        filter: Filter::None,
    };
    let outcome = engine
        .write(changes)
        .and_then(|work| Ok((work, engine.answer(&question)?)));
    match outcome {
        Ok((work, round)) => Some(Built {
            per_second: changes.len() as f64 / work.seconds,
            per_core_second: changes.len() as f64 / work.core_seconds,
            recall: grades.recall(&round.hits),
        }),
        Err(reason) => {
            println!("{}: {reason}", engine.name());
            None
        }
    }
}

/// Prints medians, and gives that of the rate.
fn report(name: &str, builds: &[Built]) -> f64 {
    let median = |value: fn(&Built) -> f64| median(&builds.iter().map(value).collect::<Vec<_>>());
    let rate = median(|built| built.per_second);
    figure(&format!("{name}, 2 threads"), rate, "vectors/s");
    // What a busy machine leaves as it is.
    figure(
        &format!("{name}, of processor time"),
        median(|built| built.per_core_second),
        "vectors/s",
    );
    figure(
        &format!("{name}: recall at ef {EF}"),
        median(|built| built.recall),
        "",
    );
    rate
}
