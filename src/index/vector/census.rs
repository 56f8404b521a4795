//! How many current vectors are in the graph, in the one being built, and in neither.
//!
//! Stamps grow, and rows are taken for a graph in the order of their stamps: so a stamp alone tells which of
//! the three a row is in, and counting costs nothing of the size of the index.

/// Young rows, dead or alive, that make a graph due. Fewer are scanned in 2 us by their sketches, in 5 by codes.
const DUE_ROWS_MIN: u64 = 512;

/// Young rows at which a graph is due however large it is. A scan takes 0.1 ms then, or 0.4.
const DUE_ROWS_MAX: u64 = 32_768;

/// The share of the graph's rows that may be young: its rows are copied once for so many that are added.
const DUE_SHARE: u64 = 64;

/// Counts of the three kinds, told apart by two stamps.
#[derive(Clone, Debug, Default)]
pub struct Census {
    next_stamp: u64,
    /// Rows with smaller stamps are in the graph.
    graph_end: u64,
    /// Rows with smaller stamps, but not in the graph, are in the graph being built.
    building_end: u64,
    in_graph: usize,
    in_building: usize,
    in_young: usize,
    /// After a failure: the stamp before which no graph is due.
    retry_at: u64,
}

impl Census {
    /// Where a writer goes on: no vector is counted yet.
    ///
    /// A graph is built of all rows, so whatever is current and older than its newest row is in it.
    pub fn resume(next_stamp: u64, graph_end: u64) -> Census {
        Census {
            next_stamp,
            graph_end,
            building_end: graph_end,
            ..Census::default()
        }
    }

    /// A vector that has kept its stamp, while nothing is being built.
    pub fn restore(&mut self, stamp: u64) {
        if stamp < self.graph_end {
            self.in_graph += 1;
        } else {
            self.in_young += 1;
        }
    }

    /// Whether a row with this stamp is in the graph, if it is current.
    pub fn is_in_graph(&self, stamp: u64) -> bool {
        stamp < self.graph_end
    }

    /// The stamp of a vector that is taken in.
    pub fn add(&mut self) -> u64 {
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        self.in_young += 1;
        stamp
    }

    /// Whether a row with this stamp will be in the graph that is being built, if it is current.
    pub fn is_in_building(&self, stamp: u64) -> bool {
        stamp < self.building_end
    }

    /// A vector was deleted or replaced.
    pub fn remove(&mut self, stamp: u64) {
        if stamp < self.graph_end {
            self.in_graph -= 1;
        } else if stamp < self.building_end {
            self.in_building -= 1;
        } else {
            self.in_young -= 1;
        }
    }

    /// Young rows are taken for a graph, all of them.
    pub fn build_begins(&mut self) {
        self.in_building += std::mem::take(&mut self.in_young);
        self.building_end = self.next_stamp;
    }

    pub fn build_succeeds(&mut self) {
        self.in_graph += std::mem::take(&mut self.in_building);
        self.graph_end = self.building_end;
    }

    /// What was to be built stays young. The next attempt waits until as many rows have arrived again, so that
    /// a fault that repeats itself does not take a core for good.
    pub fn build_fails(&mut self) {
        self.in_young += std::mem::take(&mut self.in_building);
        self.building_end = self.graph_end;
        let young = self.next_stamp - self.graph_end;
        self.retry_at = self.next_stamp + young.clamp(DUE_ROWS_MIN, DUE_ROWS_MAX);
    }

    /// Whether the young rows are due, `rows` being those of the graph, dead or alive.
    ///
    /// The more the graph holds, the more may be young: copying it grows less.
    pub fn are_young_due(&self, rows: usize) -> bool {
        self.next_stamp >= self.retry_at && self.are_young_many(rows)
    }

    fn are_young_many(&self, rows: usize) -> bool {
        let due_rows = (rows as u64 / DUE_SHARE).clamp(DUE_ROWS_MIN, DUE_ROWS_MAX);
        self.next_stamp - self.building_end >= due_rows
    }

    /// Current vectors that are in the graph.
    pub fn in_graph(&self) -> usize {
        self.in_graph
    }

    /// Whether more than a quarter of the graph's rows is dead.
    pub fn is_graph_due(&self, rows: usize) -> bool {
        self.next_stamp >= self.retry_at && (rows - self.in_graph) * 4 > rows
    }

    /// Current vectors that are due for a graph and not in one yet.
    pub fn unbuilt(&self, rows: usize) -> usize {
        self.in_building
            + if self.are_young_many(rows) {
                self.in_young
            } else {
                0
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(census: &mut Census, vectors: usize) -> Vec<u64> {
        (0..vectors).map(|_| census.add()).collect()
    }

    #[test]
    fn every_vector_is_counted_where_it_is() {
        let mut census = Census::default();
        let stamps = add(&mut census, 5_000);
        assert!(census.are_young_due(0));
        assert_eq!(census.unbuilt(0), 5_000);
        census.build_begins();
        census.remove(stamps[0]);
        let late = census.add();
        assert_eq!(
            (census.in_graph, census.in_building, census.in_young),
            (0, 4_999, 1)
        );
        assert_eq!(census.unbuilt(0), 4_999);
        census.build_succeeds();
        census.remove(stamps[1]);
        census.remove(late);
        assert_eq!(
            (census.in_graph, census.in_building, census.in_young),
            (4_998, 0, 0)
        );
        assert_eq!(census.unbuilt(5_000), 0);
        assert!(!census.is_graph_due(5_000));
        (2..1_300).for_each(|stamp| census.remove(stamps[stamp]));
        assert!(census.is_graph_due(5_000));
    }

    #[test]
    fn a_failed_build_is_tried_again_when_as_many_rows_have_come() {
        let mut census = Census::default();
        add(&mut census, 5_000);
        census.build_begins();
        census.build_fails();
        assert_eq!((census.in_building, census.in_young), (0, 5_000));
        add(&mut census, 4_999);
        assert!(!census.are_young_due(0));
        census.add();
        assert!(census.are_young_due(0));
    }
}
