//! A frozen graph: rows of codes, their links in one array, and the search along them.
//!
//! A graph never changes. Which of its rows are still current is the table's matter, so the search asks for
//! every row that would become a hit, and goes on through rows that may not.

use std::cell::RefCell;
use std::collections::BinaryHeap;

use xxhash_rust::xxh3::Xxh3;

use super::codes::{QueryCode, Rows, Scores};
use super::nearest::{Nearest, Scored};

/// A navigable graph over rows.
pub struct Graph {
    rows: Rows,
    /// Where every search begins.
    pub(super) entry: u32,
    /// Of each row, in order.
    pub(super) links: Links,
    /// Sparse layers, from the top down.
    pub(super) upper: Vec<Layer>,
}

/// The neighbours of numbered nodes, one node's after another's.
pub(super) struct Links {
    pub ends: Vec<u32>,
    pub neighbours: Vec<u32>,
}

/// A layer that has some of the rows only.
pub(super) struct Layer {
    /// Ascending.
    pub rows: Vec<u32>,
    pub links: Links,
}

/// What a builder found: the lists from which a graph is frozen.
pub struct Lists {
    pub entry: u32,
    /// Of each row, in order.
    pub base: Vec<Vec<u32>>,
    /// From the lowest up: rows ascending, with their neighbours.
    pub upper: Vec<Vec<(u32, Vec<u32>)>>,
}

thread_local! {
    /// The rows that a search has seen, a bit each: used again by the thread's next search.
    static SEEN: RefCell<Seen> = RefCell::default();
}

impl Graph {
    pub fn freeze(rows: Rows, mut lists: Lists) -> Graph {
        link_islands(lists.entry, &mut lists.base);
        let upper = lists.upper.into_iter().rev().map(|layer| {
            let (rows, neighbours): (Vec<u32>, Vec<Vec<u32>>) = layer.into_iter().unzip();
            Layer {
                rows,
                links: Links::new(neighbours),
            }
        });
        Graph {
            rows,
            entry: lists.entry,
            upper: upper.collect(),
            links: Links::new(lists.base),
        }
    }

    /// A graph that was read; `None` if a search could leave it.
    pub(super) fn from_parts(rows: Rows, entry: u32, links: Links, upper: Vec<Layer>) -> Option<Graph> {
        let nodes = rows.len();
        let is_row = |row: &u32| (*row as usize) < nodes;
        let sound = is_row(&entry)
            && links.fit(nodes, nodes)
            && upper.iter().all(|layer| {
                layer.rows.is_sorted()
                    && layer.rows.iter().all(is_row)
                    && layer.links.fit(layer.rows.len(), nodes)
            });
        sound.then_some(Graph {
            rows,
            entry,
            links,
            upper,
        })
    }

    /// What tells this graph from every other of its index: no two vectors ever have one stamp.
    pub fn name(&self) -> String {
        let mut hash = Xxh3::new();
        for stamp in self.rows.stamps() {
            hash.update(&stamp.to_le_bytes());
        }
        format!("{:032x}", hash.digest128())
    }

    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The about `width` best rows that `accept` lets pass, best first, by the scores of their codes.
    ///
    /// `None` if more than `rows_max` rows had to be seen: where few rows pass, something else is quicker.
    pub fn search(
        &self,
        query: &QueryCode,
        width: usize,
        rows_max: usize,
        mut accept: impl FnMut(usize) -> bool,
    ) -> Option<Vec<Scored>> {
        let mut scores = Scores::default();
        let mut rows_left = rows_max;
        let start = self.descend(query, &mut scores);
        SEEN.with_borrow_mut(|seen| {
            seen.reset(self.rows.len());
            seen.insert(start.id);
            let mut best = Nearest::new(width);
            if accept(start.id as usize) {
                best.push(start);
            }
            let mut ahead = BinaryHeap::from([start]);
            let mut fresh = Vec::new();
            while let Some(next) = ahead.pop() {
                if best.worst().is_some_and(|worst| next < worst) {
                    break;
                }
                fresh.clear();
                fresh.extend(
                    self.links
                        .of(next.id as usize)
                        .iter()
                        .copied()
                        .filter(|&row| seen.insert(row)),
                );
                rows_left = rows_left.checked_sub(fresh.len())?;
                self.rows.scores_at(query, &fresh, &mut scores);
                for (&id, &score) in fresh.iter().zip(&scores.values) {
                    let found = Scored { score, id };
                    if best.takes(found) {
                        ahead.push(found);
                        if accept(id as usize) {
                            best.push(found);
                        }
                    }
                }
            }
            Some(best.into_sorted())
        })
    }

    /// Walks the sparse layers to a row near the query.
    fn descend(&self, query: &QueryCode, scores: &mut Scores) -> Scored {
        self.rows.scores_at(query, &[self.entry], scores);
        let mut here = Scored {
            score: scores.values[0],
            id: self.entry,
        };
        for layer in &self.upper {
            loop {
                let neighbours = layer.links_of(here.id);
                self.rows.scores_at(query, neighbours, scores);
                let found = neighbours
                    .iter()
                    .zip(&scores.values)
                    .map(|(&id, &score)| Scored { score, id });
                match found.max() {
                    Some(better) if better > here => here = better,
                    _ => break,
                }
            }
        }
        here
    }
}

impl Layer {
    fn links_of(&self, row: u32) -> &[u32] {
        self.rows
            .binary_search(&row)
            .map_or(&[], |node| self.links.of(node))
    }
}

impl Links {
    fn new(lists: Vec<Vec<u32>>) -> Links {
        let mut links = Links {
            ends: Vec::with_capacity(lists.len()),
            neighbours: Vec::with_capacity(lists.iter().map(Vec::len).sum()),
        };
        for list in lists {
            links.neighbours.extend(list);
            links.ends.push(links.neighbours.len() as u32);
        }
        links
    }

    /// Whether these are the lists of so many nodes, of neighbours among so many rows.
    fn fit(&self, nodes: usize, rows: usize) -> bool {
        self.ends.len() == nodes
            && self.ends.is_sorted()
            && self.ends.last().map_or(0, |end| *end as usize) == self.neighbours.len()
            && self.neighbours.iter().all(|row| (*row as usize) < rows)
    }

    fn of(&self, node: usize) -> &[u32] {
        let start = if node == 0 { 0 } else { self.ends[node - 1] };
        &self.neighbours[start as usize..self.ends[node] as usize]
    }
}

/// Adds links until every row can be reached from the entry.
///
/// Builders cut long lists to the nearest neighbours, and so drop the only way to some row now and then.
fn link_islands(entry: u32, lists: &mut [Vec<u32>]) {
    let mut seen = Seen::default();
    seen.reset(lists.len());
    let mut ahead = Vec::new();
    let mut visit = |from: u32, lists: &[Vec<u32>], seen: &mut Seen| {
        ahead.push(from);
        seen.insert(from);
        while let Some(row) = ahead.pop() {
            ahead.extend(
                lists[row as usize]
                    .iter()
                    .copied()
                    .filter(|&row| seen.insert(row)),
            );
        }
    };
    visit(entry, lists, &mut seen);
    for row in 0..lists.len() as u32 {
        if !seen.contains(row) {
            let known = lists[row as usize]
                .iter()
                .copied()
                .find(|&row| seen.contains(row));
            lists[known.unwrap_or(entry) as usize].push(row);
            visit(row, lists, &mut seen);
        }
    }
}

/// A set of rows.
#[derive(Default)]
struct Seen {
    words: Vec<u64>,
}

impl Seen {
    fn reset(&mut self, rows: usize) {
        self.words.clear();
        self.words.resize(rows.div_ceil(64), 0);
    }

    fn contains(&self, row: u32) -> bool {
        self.words[row as usize / 64] & (1 << (row % 64)) != 0
    }

    /// Whether the row is new.
    fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.words[row as usize / 64], 1 << (row % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Metric, Slot};
    use super::*;

    /// Points on a line, each linked with the next one only, and one that no other points to.
    fn line() -> Graph {
        let mut rows = Rows::with_capacity(2, 10);
        for row in 0..10 {
            rows.push(&[row as f32, 1.0], Metric::L2, Slot(row), u64::from(row));
        }
        let mut base: Vec<Vec<u32>> = (0..9_u32)
            .map(|row| vec![row.saturating_sub(1), (row + 1).min(8)])
            .collect();
        base.push(vec![8]);
        Graph::freeze(
            rows,
            Lists {
                entry: 0,
                base,
                upper: vec![vec![(0, vec![5]), (5, vec![0])]],
            },
        )
    }

    fn rows(graph: &Graph, query: f32, width: usize, accept: impl FnMut(usize) -> bool) -> Vec<u32> {
        let found = graph.search(&QueryCode::new(&[query, 1.0]), width, 100, accept);
        found
            .expect("there are less than 100 rows")
            .iter()
            .map(|found| found.id)
            .collect()
    }

    #[test]
    fn a_search_goes_on_through_rows_that_may_not_be_hits() {
        assert_eq!(rows(&line(), 8.0, 2, |_| true)[0], 8);
        assert_eq!(rows(&line(), 8.0, 2, |row| row < 3), [2, 1]);
        assert!(rows(&line(), 8.0, 2, |_| false).is_empty());
    }

    #[test]
    fn a_search_that_sees_too_many_rows_gives_up() {
        let query = QueryCode::new(&[0.0, 1.0]);
        assert!(line().search(&query, 2, 5, |row| row > 6).is_none());
        assert!(line().search(&query, 2, 9, |row| row > 6).is_some());
    }

    #[test]
    fn a_row_that_no_list_named_is_found() {
        assert_eq!(rows(&line(), 9.0, 1, |_| true), [9]);
    }

    #[test]
    fn the_sparse_layers_are_a_way_to_a_near_row() {
        let graph = line();
        let start = graph.descend(&QueryCode::new(&[6.0, 1.0]), &mut Scores::default());
        assert_eq!(start.id, 5);
    }
}
