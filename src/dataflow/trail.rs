//! How far everything is shown, where rows are held back for their vectors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::change::Tick;

/// Ticks whose positions are remembered. Of more, half are forgotten: what is said then is less than is shown, by a 250th
/// of the time that the oldest row has waited.
const STEPS_MAX: usize = 1_024;

pub type Positions = Arc<BTreeMap<String, u64>>;

/// The positions of past ticks, as far back as rows are held back.
#[derive(Default)]
pub struct Trail(VecDeque<(Tick, Positions)>);

impl Trail {
    /// Notes the positions of a tick that is published; gives those before `held_since`, where they are known.
    pub fn step(&mut self, tick: Tick, positions: Positions, held_since: Option<Tick>) -> Positions {
        self.0.push_back((tick, positions));
        // Rows that come with the next tick may be held back from then on.
        let before = held_since.unwrap_or(Tick(tick.0 + 1));
        while self.0.get(1).is_some_and(|(next, _)| *next < before) {
            self.0.pop_front();
        }
        if self.0.len() > STEPS_MAX {
            self.thin_out();
        }
        match self.0.front() {
            Some((tick, positions)) if *tick < before => positions.clone(),
            _ => Positions::default(),
        }
    }

    /// Leaves steps at even distances.
    fn thin_out(&mut self) {
        let (Some((first, _)), Some((last, _))) = (self.0.front(), self.0.back()) else {
            return;
        };
        let distance = (last.0 - first.0) / (STEPS_MAX as u64 / 2);
        let mut next = *first;
        self.0.retain(|(tick, _)| {
            let is_kept = *tick >= next;
            if is_kept {
                next = Tick(tick.0 + distance);
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(tick: u64) -> Positions {
        Arc::new(BTreeMap::from([("things/0".to_owned(), tick * 10)]))
    }

    #[test]
    fn positions_are_those_before_the_oldest_row_that_is_held_back() {
        let mut trail = Trail::default();
        let mut step = |tick, since: Option<u64>| trail.step(Tick(tick), positions(tick), since.map(Tick));
        assert_eq!(
            step(5, Some(5)),
            Positions::default(),
            "nothing is known from before the start"
        );
        for tick in 6..10 {
            step(tick, Some(5));
        }
        assert_eq!(step(10, Some(8)), positions(7));
        assert_eq!(step(12, Some(8)), positions(7));
        assert_eq!(step(13, None), positions(13));
        assert_eq!(step(20, Some(20)), positions(13));
    }

    #[test]
    fn a_long_wait_takes_bounded_memory_and_says_no_more_than_is_shown() {
        let mut trail = Trail::default();
        let since = |tick: u64| tick / 2 + 1;
        for tick in 1..20_000 {
            let known = trail.step(Tick(tick), positions(tick), Some(Tick(since(tick))));
            assert!(trail.0.len() <= STEPS_MAX);
            let position = known.get("things/0").copied().unwrap_or_default();
            assert!(position < since(tick) * 10, "tick {tick}: {position}");
            assert!(
                position + 2_000 > since(tick) * 10,
                "tick {tick}: {position} is far behind"
            );
        }
    }
}
