//! How a graph is searched where only some of its rows may be found.

use roaring::RoaringBitmap;

/// The ways, each the quickest for some share of eligible rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Along all links; what is not eligible is left out at the end.
    Along,
    /// Along links between eligible rows, stepping over others.
    Among,
    /// No links: all eligible rows are scored.
    Scan,
}

/// What a way costs, in the time in which a scan scores a row: estimates, of the order that `benches/vector` shows on
/// 50,000 rows of 384 dimensions.
const ALONG_PER_KEPT: f64 = 25.0;
const AMONG_PER_KEPT: f64 = 110.0;
const AMONG_PER_ELIGIBLE: f64 = 0.1;

/// Eligible rows that two steps along links must lead to on average, or a search among them comes to a standstill.
const AMONG_REACH: f64 = 16.0;

impl Way {
    /// The quickest way to about `width` of `eligible` rows out of `rows`, which have so many links.
    pub fn choose(eligible: usize, rows: usize, links: usize, width: usize) -> Way {
        let degree = links as f64 / rows.max(1) as f64;
        let (eligible, rows, width) = (eligible.max(1) as f64, rows as f64, width as f64);
        let among = match eligible * degree * degree >= AMONG_REACH * rows {
            true => AMONG_PER_KEPT * width + AMONG_PER_ELIGIBLE * eligible,
            false => f64::INFINITY,
        };
        let ways = [
            (Way::Scan, eligible),
            (Way::Among, among),
            (Way::Along, ALONG_PER_KEPT * width * rows / eligible),
        ];
        let quickest = ways.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        quickest.map_or(Way::Scan, |(way, _)| way)
    }
}

/// A set of slots, a bit each: asked many thousand times in a search.
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    pub fn new(slots: &RoaringBitmap) -> Bits {
        let end = slots.max().map_or(0, |last| last as usize / 64 + 1);
        let mut words = vec![0; end];
        for slot in slots {
            words[slot as usize / 64] |= 1 << (slot % 64);
        }
        Bits { words }
    }

    pub fn contains(&self, slot: u32) -> bool {
        let word = self.words.get(slot as usize / 64);
        word.is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_scanned_and_most_rows_are_met_along_the_way() {
        let choose = |eligible, width| Way::choose(eligible, 1_000_000, 20_000_000, width);
        assert_eq!(choose(50, 100), Way::Scan);
        assert_eq!(choose(5_000, 100), Way::Scan);
        assert_eq!(choose(20_000, 100), Way::Scan, "two steps lead to eight of them");
        assert_eq!(choose(100_000, 100), Way::Among);
        assert_eq!(choose(900_000, 100), Way::Along);
        assert_eq!(choose(1_000_000, 50_000), Way::Scan);
    }

    #[test]
    fn bits_are_the_slots_of_the_filter() {
        let filter: RoaringBitmap = [0, 63, 64, 1_000].into_iter().collect();
        let bits = Bits::new(&filter);
        assert!((0..2_000).all(|slot| bits.contains(slot) == filter.contains(slot)));
    }
}
