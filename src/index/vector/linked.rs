//! A graph in use: which of its rows are dead, and the ways to those near a query.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Slot;
use super::beam::{Beam, Breadth};
use super::codes::QueryCode;
use super::graph::Graph;
use super::marks::Marks;
use super::nearest::Scored;
use super::scan::is_sketched;
use super::way::{self, Bits, Costs, Way};
use crate::index::Deadline;

/// A graph, and which of its rows are dead.
#[derive(Clone)]
pub struct Linked {
    pub graph: Arc<Graph>,
    pub marks: Arc<Marks>,
}

/// A question to the codes.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub code: &'a QueryCode,
    pub limit: usize,
    /// Candidates for the score by the vectors.
    pub kept: usize,
    pub width: usize,
    pub filter: Option<&'a RoaringBitmap>,
    /// Rows of the graph that are alive and, about, allowed.
    pub eligible: usize,
    pub deadline: &'a Deadline,
}

/// Rows with the code of the query that are looked at: where rows are reduced, they may have many vectors.
const TWINS: usize = 128;

/// Rows of a filter from which a search among it begins.
const SEEDS: usize = 16;

/// Slots of a filter between two looks at the deadline. `next_many` of roaring 0.12 leaves out a run of all 65,536 slots
/// of a container: half of them at a time are no such run.
const SLOTS: u32 = 1 << 15;

/// Slots whose rows are looked up at once.
const BATCH: usize = 1 << 10;

impl Asked<'_> {
    fn breadth(&self, width: usize) -> Breadth {
        Breadth {
            width,
            kept: self.kept.max(width),
        }
    }

    pub fn allows(&self, slot: u32) -> bool {
        self.filter.is_none_or(|filter| filter.contains(slot))
    }
}

impl Linked {
    /// Marks the row of a slot as dead from a moment on, if its vector is that of the stamp.
    pub fn kill(&self, slot: Slot, stamp: u64, moment: u64) {
        let row = self.graph.row_of(slot).map(|row| row as usize);
        if let Some(row) = row.filter(|&row| self.graph.rows().stamp(row) == stamp) {
            self.marks.kill(row, moment);
        }
    }

    /// Slots near to the query, best first.
    pub fn search(&self, asked: &Asked<'_>, moment: u64, beam: &mut Beam) -> Vec<Scored> {
        let mut near = match self.follow(asked, moment, beam) {
            Some(near) => near,
            None => {
                let mut near = self.scan(asked, moment);
                self.add_twins(&mut near, asked, moment);
                near
            }
        };
        let rows = self.graph.rows();
        near.iter_mut()
            .for_each(|near| near.id = rows.slot(near.id as usize).0);
        near
    }

    /// Rows near to the query, found along links. `None` where all are to be looked at.
    fn follow(&self, asked: &Asked<'_>, moment: u64, beam: &mut Beam) -> Option<Vec<Scored>> {
        let Asked {
            eligible,
            width,
            limit,
            ..
        } = *asked;
        let rows = self.graph.rows();
        let costs = Costs {
            eligible,
            rows: rows.len(),
            links: self.graph.links(),
            is_sketched: self.graph.sketches().is_some() && is_sketched(eligible, limit),
        };
        let way = costs.quickest(width, limit);
        let mut near = match (way, asked.filter) {
            (Way::Scan, _) => return None,
            (Way::Among, Some(filter)) => self.among(filter, asked, moment, beam)?,
            _ => {
                let wide = way::wide(eligible, rows.len(), width, limit);
                self.graph.search(asked.code, asked.breadth(wide), beam)
            }
        };
        let is_alive = self.marks.at(moment);
        near.retain(|near| is_alive(near.id) && asked.allows(rows.slot(near.id as usize).0));
        self.add_twins(&mut near, asked, moment);
        // Where there are fewer, most that are near the query do not pass: those that do are elsewhere.
        (near.len() >= limit.max(width / 4).min(eligible)).then_some(near)
    }

    /// Adds rows with the very code of the query: links and sketches may pass by a row, and must not if it is asked for.
    fn add_twins(&self, near: &mut Vec<Scored>, asked: &Asked<'_>, moment: u64) {
        let rows = self.graph.rows();
        let is_alive = self.marks.at(moment);
        let twins = self
            .graph
            .twins(asked.code)
            .filter(|&row| is_alive(row) && asked.allows(rows.slot(row as usize).0));
        for twin in twins.take(asked.limit.max(TWINS)) {
            if near.iter().all(|near| near.id != twin) {
                near.insert(0, rows.score(asked.code, twin));
            }
        }
    }

    /// A search among the living rows of a filter's slots, from a few that are spread over it and from the row nearest
    /// to the query. `None` where they are all far from the query, and so about as far as each other: no link leads on.
    fn among(
        &self,
        filter: &RoaringBitmap,
        asked: &Asked<'_>,
        moment: u64,
        beam: &mut Beam,
    ) -> Option<Vec<Scored>> {
        let mut eligible = Bits::none(self.graph.rows().len());
        let rows = self.rows_of(filter, moment, asked.deadline);
        rows.iter().for_each(|&row| eligible.insert(row));
        let nearest = self.graph.descend(asked.code, beam).id;
        if !self.graph.is_amidst(nearest, &eligible, asked.eligible) {
            return None;
        }
        let spread = rows.iter().step_by(rows.len() / SEEDS + 1);
        let seeds: Vec<u32> = spread.copied().chain([nearest]).collect();
        let breadth = asked.breadth(asked.width);
        let graph = &self.graph;
        Some(graph.search_among(asked.code, &seeds, breadth, &eligible, beam))
    }

    /// The living rows that are allowed.
    pub(super) fn eligible(&self, asked: &Asked<'_>, moment: u64) -> Vec<u32> {
        match asked.filter {
            Some(filter) => self.rows_of(filter, moment, asked.deadline),
            None => {
                let is_alive = self.marks.at(moment);
                let rows = 0..self.graph.rows().len() as u32;
                rows.filter(|&row| is_alive(row)).collect()
            }
        }
    }

    /// The living rows of a filter's slots; not all when the deadline is over.
    fn rows_of(&self, filter: &RoaringBitmap, moment: u64, deadline: &Deadline) -> Vec<u32> {
        let is_alive = self.marks.at(moment);
        let mut rows = Vec::with_capacity(self.graph.rows().len().min(filter.len() as usize));
        let mut batch = [0; BATCH];
        for start in (0..self.graph.slots()).step_by(SLOTS as usize) {
            if deadline.is_over() {
                break;
            }
            let mut left = filter.range(start..start.saturating_add(SLOTS));
            loop {
                let slots = left.next_many(&mut batch);
                if slots.is_empty() {
                    break;
                }
                self.graph.add_rows_of(slots, is_alive, &mut rows);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::codes::Rows;
    use super::super::links::Open;
    use super::super::{Metric, Quantization};
    use super::*;

    #[test]
    fn filters_of_all_kinds_of_containers_have_the_rows_of_their_slots() {
        const ROWS: u32 = 300;
        const APART: u32 = 1_000;
        let mut rows = Rows::with_capacity(2, Quantization::Int8, ROWS as usize);
        for row in 0..ROWS {
            rows.push(&[1.0, row as f32], Metric::Dot, Slot(row * APART), u64::from(row));
        }
        let none = [Open::new(ROWS as usize, 8)];
        let graph = Graph::freeze(rows, &none, None, &AtomicBool::new(false)).unwrap();
        let linked = Linked {
            graph: graph.into(),
            marks: Marks::alive(ROWS as usize, 0).into(),
        };
        linked.marks.kill(7, 1);
        let mut run = RoaringBitmap::new();
        run.insert_range(0..=200 * APART);
        let mut bits: RoaringBitmap = (0..200_000).filter(|slot| slot % 5 != 0).collect();
        bits.insert(9 * APART);
        let few: RoaringBitmap = [0, 3 * APART, 7 * APART, 3 * APART + 1, 10 * ROWS * APART]
            .into_iter()
            .collect();
        for (filter, expected) in [
            (&run, (0..=200).collect::<Vec<u32>>()),
            (&RoaringBitmap::full(), (0..ROWS).collect()),
            (&bits, vec![9]),
            (&few, vec![0, 3, 7]),
        ] {
            let deadline = Deadline::never();
            assert_eq!(linked.rows_of(filter, 0, &deadline), expected);
            let alive: Vec<u32> = expected.into_iter().filter(|row| *row != 7).collect();
            assert_eq!(linked.rows_of(filter, 1, &deadline), alive, "a row is dead");
        }
    }
}
