//! Plays runbooks on real vectors: recall at each search, with the settings a leg has by default.

use std::path::Path;
use std::time::Instant;

use crate::common::Goal;
use crate::data::{Set, glove, icecat};
use crate::engine::{Engine, Filter, Own, Question};
use crate::runbook::{self, Runbook, Step};
use crate::truth::{Contents, Grades};
use crate::{common, figure, patterns};

/// Batches in which a set is inserted.
const STEPS: usize = 40;

/// The recall of the goal.
const RECALL: f64 = 0.99;

/// Plays our own runbooks on both real sets, or instead the given files on the word vectors.
pub fn run<'a>(files: impl Iterator<Item = &'a Path>) {
    let files: Vec<&Path> = files.collect();
    if files.is_empty() {
        for set in [icecat(), glove()].into_iter().flatten() {
            let rows = set.base.len();
            let name = set.name.replace(' ', "-");
            let books = [
                ("sliding window", patterns::sliding_window(&name, rows, STEPS)),
                (
                    "replace and delete",
                    patterns::replace_delete(&name, rows, STEPS, 8),
                ),
            ];
            for (pattern, text) in books {
                play_all(&format!("{}, {pattern}", set.name), &text, &set);
            }
        }
    } else if let Some(set) = glove() {
        for file in files {
            match std::fs::read_to_string(file) {
                Ok(text) => play_all(&file.display().to_string(), &text, &set),
                Err(error) => println!("{}: {error}", file.display()),
            }
        }
    }
}

fn play_all(label: &str, text: &str, set: &Set) {
    match runbook::read(text) {
        Ok(books) => books.iter().for_each(|book| play(label, book, set)),
        Err(fault) => println!("{label}: {fault}"),
    }
}

fn play(label: &str, book: &Runbook, set: &Set) {
    let mut own = Own::new(&set.queries);
    let mut contents = Contents {
        pool: &set.base,
        rows: vec![None; set.base.len()],
    };
    let mut recalls = Vec::new();
    let (mut queries, mut seconds, mut written, mut points) = (0, 0.0, 0, 0);
    let began = Instant::now();
    let mut searching = 0.0;
    for step in &book.steps {
        let Some(changes) = changes(step, set.base.len()) else {
            println!(
                "{label}: {} has {} vectors, and {step:?} wants others",
                set.name,
                set.base.len()
            );
            return;
        };
        if changes.is_empty() {
            let began = Instant::now();
            // Graphs, not the young part, are what is to be judged.
            own.leg.settle();
            let question = Question {
                ef: None,
                threads: 1,
                filter: Filter::None,
            };
            if let Ok(round) = own.answer(&question) {
                recalls.push(Grades::new(&contents, &set.queries).recall(&round.hits));
                queries += set.queries.len();
                seconds += round.seconds;
            }
            searching += began.elapsed().as_secs_f64();
            continue;
        }
        for (slot, row) in &changes {
            contents.rows[*slot as usize] = *row;
        }
        own.leg.tick(
            changes
                .iter()
                .map(|(slot, row)| (*slot, row.map(|row| set.base.at(row as usize)))),
        );
        written += changes.len();
        points = points.max(contents.iter().count());
    }
    let mean = recalls.iter().sum::<f64>() / recalls.len() as f64;
    let least = recalls.iter().copied().fold(f64::INFINITY, f64::min);
    let about = format!(
        "{} ({}): {} searches, {points} vectors at most",
        label,
        book.set,
        recalls.len()
    );
    println!(
        "{about}, {:.1} s of writing",
        began.elapsed().as_secs_f64() - searching
    );
    common::judged(
        "vector",
        &format!("{label}: recall, mean"),
        mean,
        "",
        Goal::AtLeast(RECALL),
    );
    figure(&format!("{label}: recall, least"), least, "");
    figure(
        &format!("{label}: speed by default"),
        f64::from(queries as u32) / seconds,
        "queries/s",
    );
    figure(&format!("{label}: changes"), f64::from(written as u32), "");
}

/// What a step writes: slots, and the row of the set that each gets; `None` if the set has no such row.
fn changes(step: &Step, rows: usize) -> Option<Vec<(u32, Option<u32>)>> {
    let (slots, vectors) = match step {
        Step::Insert(range) => (range.clone(), Some(range.clone())),
        Step::Delete(range) => (range.clone(), None),
        Step::Replace { slots, rows } => (slots.clone(), Some(rows.clone())),
        Step::Search => return Some(Vec::new()),
    };
    let fits = slots.end as usize <= rows && vectors.as_ref().is_none_or(|range| range.end as usize <= rows);
    let vectors = vectors
        .into_iter()
        .flatten()
        .map(Some)
        .chain(std::iter::repeat(None));
    fits.then(|| slots.zip(vectors).collect())
}
