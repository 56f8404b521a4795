//! What a query costs as the index grows from 50,000 to 800,000 vectors, at one recall.

use crate::common::{Goal, median};
use crate::data::Clustered;
use crate::engine::{Engine, Filter, Own, Question, curves};
use crate::truth::{Contents, Grades};
use crate::{CLUSTERS, ROUNDS, Size, figure, judged, peers};

const DIMENSIONS: usize = 64;

const RECALL: f64 = 0.95;

/// Fewer than elsewhere: each is compared with all vectors, five times.
const QUERIES: usize = 300;

/// Beyond the recall that is compared.
const UNTIL: f64 = 0.97;

/// Vectors of a tick while the index grows.
const TICK_ROWS: usize = 10_000;

pub fn run(size: &Size) {
    let set = Clustered::new(DIMENSIONS, CLUSTERS, 9).set(size.grown[4], QUERIES);
    let mut own = Own::new(&set.queries);
    let mut speeds = vec![Vec::new(); 2];
    let mut hnswlib = peers::start(&["hnswlib"], &set.queries).pop();
    let mut present = 0;
    for rows in size.grown {
        let slots = present as u32..rows as u32;
        let changes: Vec<(u32, &[f32])> = slots.map(|slot| (slot, set.base.at(slot as usize))).collect();
        for tick in changes.chunks(TICK_ROWS) {
            own.leg
                .tick(tick.iter().map(|(slot, vector)| (*slot, Some(*vector))));
        }
        own.leg.settle();
        present = rows;
        let base = set.base.head(rows);
        let contents = Contents::all(&base);
        let grades = Grades::new(&contents, &set.queries);
        measure(&mut own, rows, &grades, &mut speeds[0]);
        let grown = hnswlib.as_mut().map(|peer| peer.write(&changes));
        match grown {
            Some(Ok(_)) => {
                if let Some(peer) = &mut hnswlib {
                    measure(peer, rows, &grades, &mut speeds[1]);
                }
            }
            Some(Err(reason)) => println!("hnswlib: {reason}"),
            None => {}
        }
    }
    for (name, speeds) in ["millpond", "hnswlib"].into_iter().zip(&speeds) {
        if let ([first, ..], [.., last]) = (speeds.as_slice(), speeds.as_slice())
            && speeds.len() == size.grown.len()
        {
            let label = format!("{name}: cost of a query, 16 times as many vectors");
            match name {
                "millpond" => judged(&label, first / last, Goal::AtMost(2.0)),
                _ => figure(&label, first / last, "times"),
            }
        }
    }
}

fn measure(engine: &mut impl Engine, rows: usize, grades: &Grades<'_>, speeds: &mut Vec<f64>) {
    let name = engine.name().to_owned();
    let question = Question {
        ef: None,
        threads: 1,
        filter: Filter::None,
    };
    // All queries together take some milliseconds, in which anything may happen on the machine.
    let measured: Vec<f64> = (0..ROUNDS)
        .filter_map(|_| {
            let curves = curves(&mut [engine], grades, question, UNTIL);
            curves.first().and_then(|(_, curve)| curve.speed_at(RECALL))
        })
        .collect();
    if measured.is_empty() {
        return println!("{name}, {rows}: a recall of {RECALL} is not reached");
    }
    let speed = median(&measured);
    figure(
        &format!("{name}, {rows} x {DIMENSIONS}, recall {RECALL}"),
        speed,
        "queries/s",
    );
    speeds.push(speed);
}
