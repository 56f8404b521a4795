//! `Tick` as a timestamp of timely and differential: a total order that only addition moves.

use differential_dataflow::lattice::Lattice;
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::timestamp::{PathSummary, Refines, Timestamp};

use crate::change::Tick;

impl PartialOrder for Tick {
    fn less_equal(&self, other: &Self) -> bool {
        self <= other
    }
}

impl TotalOrder for Tick {}

impl Timestamp for Tick {
    type Summary = Tick;

    fn minimum() -> Self {
        Tick(0)
    }
}

impl PathSummary<Tick> for Tick {
    fn results_in(&self, source: &Tick) -> Option<Tick> {
        self.0.checked_add(source.0).map(Tick)
    }

    fn followed_by(&self, other: &Tick) -> Option<Tick> {
        self.0.checked_add(other.0).map(Tick)
    }
}

impl Refines<()> for Tick {
    fn to_inner(_: ()) -> Self {
        Tick(0)
    }

    fn to_outer(self) {}

    fn summarize(_: Tick) {}
}

impl Lattice for Tick {
    fn join(&self, other: &Self) -> Self {
        *self.max(other)
    }

    fn meet(&self, other: &Self) -> Self {
        *self.min(other)
    }
}
