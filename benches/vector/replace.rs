//! Recall after half of the vectors have been replaced at random: against before, and against a fresh build.

use crate::common::{Goal, Random};
use crate::data::{Clustered, Vectors};
use crate::engine::{Engine, Filter, Own, Question, WIDTHS};
use crate::truth::{Contents, Grades};
use crate::{CLUSTERS, DIMENSIONS, Size, common, figure, peers};

/// Each engine is asked with the narrowest width that reaches this before.
const RECALL: f64 = 0.98;

/// Rows replaced at a time.
const TICK_ROWS: usize = 500;

/// Graphs differ from build to build by about so much.
const CHANCE: f64 = 0.002;

/// What the issue allows against a fresh build.
const FALL_MAX: f64 = 0.005;

pub fn run(size: &Size) {
    let mut source = Clustered::new(DIMENSIONS, CLUSTERS, 6);
    let set = source.set(size.rows, size.queries);
    let (fresh, _) = source.draw(size.rows / 2);
    let pool = Vectors {
        dimensions: DIMENSIONS,
        floats: [set.base.floats.clone(), fresh.floats].concat(),
    };
    let mut before = Contents::all(&pool);
    before.rows.truncate(size.rows);
    let mut slots: Vec<u32> = (0..size.rows as u32).collect();
    shuffle(&mut slots, &mut Random(7));
    let replaced: Vec<(u32, u32)> = slots
        .into_iter()
        .zip(size.rows as u32..pool.len() as u32)
        .collect();
    let mut after = before.clone();
    for (slot, row) in &replaced {
        after.rows[*slot as usize] = Some(*row);
    }
    let half = Half {
        before: Grades::new(&before, &set.queries),
        after: Grades::new(&after, &set.queries),
        first: before.iter().collect(),
        last: after.iter().collect(),
        changes: replaced
            .iter()
            .map(|(slot, row)| (*slot, pool.at(*row as usize)))
            .collect(),
    };
    let mut own = Own::new(&set.queries);
    let fresh = Own::new(&set.queries);
    if let Some(fall) = half.measure(&mut own, fresh) {
        let bound = Goal::AtLeast(-CHANCE);
        common::judged(
            "vector",
            "recall after replacing half, less before",
            -fall.since_before,
            "",
            bound,
        );
        let bound = Goal::AtLeast(-FALL_MAX);
        common::judged(
            "vector",
            "recall after replacing half, less a fresh build",
            -fall.below_fresh,
            "",
            bound,
        );
        figure(
            "vectors that do not find themselves first",
            lost(&own, &after),
            "",
        );
    }
    for name in ["hnswlib", "usearch-f32"] {
        let [mut peer, fresh] = [(); 2].map(|()| peers::start(&[name], &set.queries).pop());
        if let (Some(peer), Some(fresh)) = (&mut peer, fresh) {
            half.measure(peer, fresh);
        }
    }
}

/// What is there before and after, and what turns the one into the other.
struct Half<'a> {
    before: Grades<'a>,
    after: Grades<'a>,
    first: Vec<(u32, &'a [f32])>,
    last: Vec<(u32, &'a [f32])>,
    changes: Vec<(u32, &'a [f32])>,
}

struct Fall {
    since_before: f64,
    below_fresh: f64,
}

impl Half<'_> {
    /// Prints an engine's three recalls; what it cannot do, it says.
    fn measure(&self, engine: &mut impl Engine, fresh: impl Engine) -> Option<Fall> {
        let name = engine.name().to_owned();
        self.try_measure(engine, fresh)
            .inspect_err(|reason| println!("{name}: {reason}"))
            .ok()
    }

    fn try_measure(&self, engine: &mut impl Engine, mut fresh: impl Engine) -> Result<Fall, String> {
        engine.write(&self.first)?;
        let mut chosen = None;
        for ef in WIDTHS {
            let recall = recall(engine, ef, &self.before)?;
            chosen = Some((ef, recall));
            if recall >= RECALL {
                break;
            }
        }
        let (ef, before) = chosen.ok_or("no width")?;
        for tick in self.changes.chunks(TICK_ROWS) {
            engine.write(tick)?;
        }
        let after = recall(engine, ef, &self.after)?;
        fresh.write(&self.last)?;
        let anew = recall(&mut fresh, ef, &self.after)?;
        let name = engine.name();
        figure(&format!("{name}, ef {ef}: recall before"), before, "");
        figure(
            &format!("{name}, ef {ef}: recall after replacing half"),
            after,
            "",
        );
        figure(&format!("{name}, ef {ef}: recall of a fresh build"), anew, "");
        Ok(Fall {
            since_before: before - after,
            below_fresh: anew - after,
        })
    }
}

fn recall(engine: &mut impl Engine, ef: usize, grades: &Grades<'_>) -> Result<f64, String> {
    let question = Question {
        ef: Some(ef),
        threads: 2,
        filter: Filter::None,
    };
    Ok(grades.recall(&engine.answer(&question)?.hits))
}

/// How many vectors are not the first hit of a search for themselves, nor equal to it.
fn lost(own: &Own<'_>, contents: &Contents<'_>) -> f64 {
    let view = own.leg.view();
    let is_lost = |(slot, vector): &(u32, &[f32])| {
        let first = view.search(vector, None, None).first().copied();
        first != Some(*slot) && first.and_then(|slot| contents.get(slot)) != Some(*vector)
    };
    contents.iter().filter(is_lost).count() as f64
}

/// In random order (Fisher and Yates).
fn shuffle(slots: &mut [u32], random: &mut Random) {
    for place in (1..slots.len()).rev() {
        slots.swap(place, random.below(place + 1));
    }
}
