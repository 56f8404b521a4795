//! How a graph is searched where only some of its rows may be found.

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

/// What the cost of each way depends on.
pub struct Costs {
    /// Rows that may be found.
    pub eligible: usize,
    /// All rows.
    pub rows: usize,
    /// Links between them.
    pub links: usize,
    /// Whether a scan looks at sketches first.
    pub is_sketched: bool,
}

/// What a way costs, in nanoseconds: measured with `benches/vector` on 50,000 rows of 384 dimensions.
const SCAN_PER_ROW: f64 = 21.0;
const SKETCHED: f64 = 8_000.0;
const SKETCHED_PER_ROW: f64 = 8.0;
const ALONG: f64 = 19_000.0;
const ALONG_PER_KEPT: f64 = 440.0;
const AMONG: f64 = 25_000.0;
const AMONG_PER_KEPT: f64 = 1_100.0;
const AMONG_PER_ELIGIBLE: f64 = 5.0;

/// Eligible rows that two steps along links must lead to on average, or a search among them comes to a standstill.
const AMONG_REACH: f64 = 16.0;

impl Costs {
    /// The quickest way to `limit` rows.
    pub fn quickest(&self, width: usize, limit: usize) -> Way {
        let along = wide(self.eligible, self.rows, width, limit) as f64;
        let degree = self.links as f64 / self.rows.max(1) as f64;
        let (eligible, rows, width) = (self.eligible.max(1) as f64, self.rows as f64, width as f64);
        let scan = match self.is_sketched {
            true => SKETCHED + SKETCHED_PER_ROW * eligible,
            false => SCAN_PER_ROW * eligible,
        };
        let among = match eligible * degree * degree >= AMONG_REACH * rows {
            true => AMONG + AMONG_PER_KEPT * width + AMONG_PER_ELIGIBLE * eligible,
            false => f64::INFINITY,
        };
        let ways = [
            (Way::Scan, scan),
            (Way::Among, among),
            (Way::Along, ALONG + ALONG_PER_KEPT * along),
        ];
        let quickest = ways.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        quickest.map_or(Way::Scan, |(way, _)| way)
    }
}

/// The width of a search along all links that meets about `width` eligible rows; and the limit with two standard
/// deviations to spare, if they are met by chance.
pub fn wide(eligible: usize, rows: usize, width: usize, limit: usize) -> usize {
    let eligible = eligible.max(1);
    let wanted = match eligible < rows {
        true => width.max(limit + 2 * limit.isqrt()),
        false => width,
    };
    wanted
        .saturating_mul(rows)
        .div_ceil(eligible)
        .min(rows.max(wanted))
}

/// A set of rows, a bit each: asked many thousand times in a search.
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Of so many rows none.
    pub fn none(rows: usize) -> Bits {
        Bits {
            words: vec![0; rows.div_ceil(64)],
        }
    }

    pub fn insert(&mut self, row: u32) {
        self.words[row as usize / 64] |= 1 << (row % 64);
    }

    pub fn contains(&self, row: u32) -> bool {
        self.words[row as usize / 64] & (1 << (row % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_scanned_and_most_rows_are_met_along_the_way() {
        let costs = |eligible, is_sketched| Costs {
            eligible,
            rows: 1_000_000,
            links: 20_000_000,
            is_sketched,
        };
        let choose = |eligible, width| costs(eligible, false).quickest(width, 10);
        assert_eq!(choose(50, 100), Way::Scan);
        assert_eq!(choose(5_000, 100), Way::Scan);
        assert_eq!(choose(20_000, 100), Way::Scan, "two steps lead to eight of them");
        assert_eq!(choose(50_000, 100), Way::Among);
        assert_eq!(choose(12_000, 500), Way::Scan);
        assert_eq!(choose(60_000, 500), Way::Among);
        assert_eq!(costs(60_000, true).quickest(500, 10), Way::Scan);
        assert_eq!(choose(100_000, 100), Way::Along);
        assert_eq!(choose(900_000, 100), Way::Along);
        assert_eq!(choose(1_000_000, 50_000), Way::Scan);
    }

    #[test]
    fn a_search_along_links_is_wide_enough_for_what_does_not_pass() {
        assert_eq!(wide(1_000, 1_000, 40, 10), 40);
        assert_eq!(wide(500, 1_000, 40, 10), 80);
        assert_eq!(wide(500, 1_000, 10, 10), 32, "ten of twenty would often be nine");
        assert_eq!(wide(3, 1_000, 40, 10), 1_000);
    }

    #[test]
    fn bits_are_the_rows_that_were_put_in() {
        let mut bits = Bits::none(130);
        [0, 63, 64, 129].into_iter().for_each(|row| bits.insert(row));
        let rows: Vec<u32> = (0..130).filter(|&row| bits.contains(row)).collect();
        assert_eq!(rows, [0, 63, 64, 129]);
    }
}
