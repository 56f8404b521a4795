//! One collection in several parts: a base, and what has changed since, the oldest first.

use serde::{Deserialize, Serialize};

use crate::storage::Part;

/// A new reader opens all layers of a collection, so there are few; each is written again a few times in its life.
const LAYERS_MAX: usize = 8;

/// More entries than any disk holds: sums of a few of them are still numbers.
const ENTRIES_MAX: u64 = 1 << 40;

/// The parts that hold one collection together: an entry of a later one stands for that of an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layers(pub Vec<Layer>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    pub part: Part,
    pub entries: u64,
}

impl Layers {
    /// Whether it counts entries as they can be.
    pub fn is_sound(&self) -> bool {
        self.0.iter().all(|layer| layer.entries <= ENTRIES_MAX)
    }

    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.0.iter().map(|layer| &layer.part)
    }

    /// How many of the oldest layers stay as they are when so many entries come; the others become one with them.
    ///
    /// All become a new base when the changes outgrow half of it. Else the newest are merged once there are too many: as
    /// far down as a layer is smaller than twice what lies on it, so that sizes grow as powers of two.
    pub fn keep(&self, added: u64) -> usize {
        let above = |place: usize| -> u64 {
            let above = self.0.iter().skip(place + 1).map(|layer| layer.entries);
            above.sum::<u64>() + added
        };
        let is_outgrown = |place: usize| self.0[place].entries < 2 * above(place);
        let layers = self.0.len();
        if layers > 0 && is_outgrown(0) {
            return 0;
        }
        if layers < LAYERS_MAX {
            return layers;
        }
        (1..layers)
            .find(|place| is_outgrown(*place))
            .unwrap_or(layers - 1)
    }

    /// These layers with all but the oldest `keep` replaced by one.
    pub fn with(&self, keep: usize, layer: Layer) -> Layers {
        let kept = self.0.iter().take(keep).cloned();
        Layers(kept.chain([layer]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(layers: &Layers, entries: u64) -> Layers {
        let keep = layers.keep(entries);
        let merged: u64 = layers.0[keep..].iter().map(|layer| layer.entries).sum();
        let part = Part {
            name: String::new(),
            bytes: 0,
            checksum: 0,
        };
        layers.with(
            keep,
            Layer {
                part,
                entries: merged + entries,
            },
        )
    }

    #[test]
    fn layers_stay_few_and_an_entry_is_written_again_seldom() {
        for step in [1, 7, 300, 10_000] {
            let mut layers = add(&Layers::default(), 200_000);
            let mut written = 0;
            for _ in 0..1_000 {
                layers = add(&layers, step);
                written += layers.0.last().unwrap().entries;
                assert!(layers.0.len() <= LAYERS_MAX, "{layers:?}");
                let changes: u64 = layers.0[1..].iter().map(|layer| layer.entries).sum();
                assert!(2 * changes <= layers.0[0].entries, "{layers:?}");
            }
            assert_eq!(
                layers.0.iter().map(|layer| layer.entries).sum::<u64>(),
                200_000 + 1_000 * step
            );
            assert!(written < 1_000 * step * 12, "{written} for {}", 1_000 * step);
        }
    }

    #[test]
    fn the_base_is_written_again_when_the_changes_outgrow_half_of_it() {
        let layers = add(&add(&Layers::default(), 100), 50);
        assert_eq!(layers.0.len(), 2);
        assert_eq!(layers.keep(0), 2);
        assert_eq!(layers.keep(1), 0);
    }
}
