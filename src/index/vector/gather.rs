//! What the next graph is made of: the living rows of the last one, which stay linked, and the young ones.

use xxhash_rust::xxh3::xxh3_64;

use super::background::Job;
use super::build::{Layers, Memory};
use super::codes::Rows;
use super::graph::Graph;
use super::links::Links;
use super::threads;

/// Rows in the order that a graph has them: those of sparse layers first.
pub struct Gathered {
    pub rows: Rows,
    /// How many rows each layer has, from the lowest up.
    pub layers: Vec<usize>,
    /// Rows that have no links yet.
    pub fresh: Vec<u32>,
    /// By row of the last graph: what it is now, unless it is dead or all is to be linked anew.
    kept: Vec<Option<u32>>,
}

/// Each layer has a sixteenth of the rows below.
const LEVEL_BITS: u32 = 4;

/// More than any number of rows needs.
const LEVELS_MAX: u32 = 8;

/// The highest layer of a vector. It is drawn once, by its stamp.
fn level(stamp: u64) -> u32 {
    (hash(stamp).trailing_zeros() / LEVEL_BITS).min(LEVELS_MAX)
}

fn hash(stamp: u64) -> u64 {
    xxh3_64(&stamp.to_le_bytes())
}

/// Whether a graph has its layers by these levels, and not by another builder's.
pub fn is_levelled(graph: &Graph) -> bool {
    let layer_rows = graph.layers().iter().map(|layer| layer.rows());
    let rows = graph.rows();
    let levels: Vec<u32> = (0..rows.len()).map(|row| level(rows.stamp(row))).collect();
    levels.is_sorted_by(|a, b| a >= b)
        && layer_rows.eq((0..=levels.first().copied().unwrap_or(0))
            .map(|layer| levels.partition_point(|level| *level >= layer)))
}

/// Gathers the rows that are alive. With `keep_links`, those of the last graph stay in their order.
pub fn gather(job: &Job, keep_links: bool) -> Gathered {
    let mut blocks: Vec<&Rows> = Vec::new();
    // Level, whether it is new, what it is ordered by, and where it lies.
    let mut order = Vec::new();
    if let Some(linked) = &job.graph {
        let rows = linked.graph.rows();
        let is_alive = linked.marks.at(job.moment);
        let alive = (0..rows.len() as u32).filter(|&row| is_alive(row));
        order.extend(alive.map(|row| {
            let stamp = rows.stamp(row as usize);
            let rank = if keep_links {
                row.into()
            } else {
                hash(stamp).rotate_left(32)
            };
            (level(stamp), !keep_links, rank, (0, row))
        }));
        blocks.push(rows);
    }
    for block in job.young.blocks() {
        let is_alive = block.marks.at(job.moment);
        let alive = (0..block.rows.len() as u32).filter(|&row| is_alive(row));
        order.extend(alive.map(|row| {
            let stamp = block.rows.stamp(row as usize);
            // In no order of theirs: what came together is alike, and one batch would not see it.
            (
                level(stamp),
                true,
                hash(stamp).rotate_left(32),
                (blocks.len(), row),
            )
        }));
        blocks.push(&block.rows);
    }
    order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));

    let dimensions = blocks.first().map_or(0, |rows| rows.dimensions());
    let mut gathered = Gathered {
        rows: Rows::with_capacity(dimensions, order.len()),
        layers: Vec::new(),
        fresh: Vec::new(),
        kept: Vec::new(),
    };
    if keep_links {
        gathered.kept = vec![None; job.graph.as_ref().map_or(0, |linked| linked.graph.rows().len())];
    }
    for (place, &(_, is_new, _, (block, row))) in (0..).zip(&order) {
        gathered.rows.push_row(blocks[block], row as usize);
        if is_new {
            gathered.fresh.push(place);
        } else {
            gathered.kept[row as usize] = Some(place);
        }
    }
    let top = order.first().map_or(0, |first| first.0);
    gathered.layers = (0..=top)
        .map(|layer| order.partition_point(|row| row.0 >= layer))
        .collect();
    gathered
}

impl Gathered {
    /// Gives the rows that the last graph had the links that they had in it. A row that has lost neighbours is
    /// linked with the neighbours of those (FreshDiskANN: Singh et al., 2021).
    pub fn keep_links(&self, last: &Graph, into: &mut Layers, threads: usize) {
        for (layer, links) in last.layers().iter().enumerate() {
            let most = into.links_max(layer);
            let Some(lists) = into.layers.get_mut(layer) else {
                return;
            };
            let mut before = vec![None; lists.rows()];
            for row in 0..links.rows() as u32 {
                if let Some(place) = self.kept[row as usize] {
                    before[place as usize] = Some(row);
                }
            }
            let work = (0..).zip(lists.lists_mut()).zip(before);
            let work = work
                .filter_map(|((row, list), before)| Some((row, list, before?)))
                .collect();
            threads::for_each(
                work,
                threads,
                Memory::default,
                |memory, (row, mut list, before)| {
                    let now = |row: &u32| self.kept[*row as usize];
                    let neighbours = links.of(before);
                    let mut all: Vec<u32> = neighbours.iter().filter_map(now).collect();
                    if all.len() == neighbours.len() {
                        return list.set(all);
                    }
                    let dead = neighbours.iter().filter(|row| now(row).is_none());
                    all.extend(dead.flat_map(|&dead| links.of(dead)).filter_map(now));
                    all.sort_unstable();
                    all.dedup();
                    all.retain(|&other| other != row);
                    list.set(memory.best(&self.rows, row, all, most));
                },
            );
        }
    }
}
