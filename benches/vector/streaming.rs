//! Plays runbooks on real vectors: recall at each search, with the settings a leg has by default.

use std::path::Path;

use crate::common::{Goal, Random, median};
use crate::data::{Set, glove, icecat};
use crate::engine::{Engine, Filter, Own, Question};
use crate::runbook::{self, Runbook, Step};
use crate::truth::{Contents, Grades};
use crate::{Size, common, figure, patterns};

/// Batches in which a set is inserted.
const STEPS: usize = 40;

/// The recall of the goal.
const RECALL: f64 = 0.99;

const BY_DEFAULT: Question<'static> = Question {
    ef: None,
    threads: 1,
    filter: Filter::None,
};

/// Plays our own runbooks on both real sets, or instead the given files on the word vectors.
pub fn run<'a>(size: &Size, files: impl Iterator<Item = &'a Path>) {
    let files: Vec<&Path> = files.collect();
    if files.is_empty() {
        for mut set in [icecat(), glove()].into_iter().flatten() {
            set.base = set.base.head(set.base.len().min(2 * size.rows));
            let rows = set.base.len();
            let name = set.name.replace(' ', "-");
            let mut random = Random(8);
            let books = [
                ("sliding window", patterns::sliding_window(&name, rows, STEPS)),
                (
                    "replace and delete",
                    patterns::replace_delete(&name, rows, STEPS, |bound| random.below(bound)),
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
    let (mut recalls, mut seconds, mut points_max) = (Vec::new(), Vec::new(), 0);
    for step in &book.steps {
        let Some(changes) = changes(step, set.base.len()) else {
            println!(
                "{label}: {} has {} vectors only: {step:?}",
                set.name,
                set.base.len()
            );
            return;
        };
        for (slot, row) in &changes {
            contents.rows[*slot as usize] = *row;
        }
        own.leg.tick(
            changes
                .iter()
                .map(|(slot, row)| (*slot, row.map(|row| set.base.at(row as usize)))),
        );
        if *step != Step::Search {
            points_max = points_max.max(contents.iter().count());
            continue;
        }
        // What is due for a graph is in it: graphs are to be judged, and not the part that is scanned.
        own.leg.settle();
        match own.answer(&BY_DEFAULT) {
            Ok(round) => {
                recalls.push(Grades::new(&contents, &set.queries).recall(&round.hits));
                seconds.push(round.seconds);
            }
            Err(reason) => println!("{label}: {reason}"),
        }
    }
    println!(
        "{label} ({}): {} searches, {points_max} vectors at most",
        book.set,
        recalls.len()
    );
    if let Some(promised) = book.points_max.filter(|promised| points_max > *promised as usize) {
        println!("{label}: the file says {promised} at most");
    }
    let mean = recalls.iter().sum::<f64>() / recalls.len() as f64;
    let least = recalls.iter().copied().fold(f64::INFINITY, f64::min);
    let goal = Goal::AtLeast(RECALL);
    common::judged("vector", &format!("{label}: recall, mean"), mean, "", goal);
    figure(&format!("{label}: recall, least"), least, "");
    let speed = set.queries.len() as f64 / median(&seconds);
    figure(&format!("{label}: by default"), speed, "queries/s");
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
