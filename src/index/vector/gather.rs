//! What the next graph is made of: the rows of the last one, which stay linked, and the young ones.

use xxhash_rust::xxh3::xxh3_64;

use super::Quantization;
use super::background::Job;
use super::build::Layers;
use super::codes::Rows;
use super::graph::Graph;
use super::links::Links;

/// Rows in the order that a graph has them: those of sparse layers first.
pub struct Gathered {
    pub rows: Rows,
    /// How many rows each layer has, from the lowest up.
    pub layers: Vec<usize>,
    /// Rows that have no links yet.
    pub fresh: Vec<u32>,
    /// Rows of the last graph that are dead, and kept since others are found through them.
    pub dead: Vec<u32>,
    /// By row of the last graph: what it is now. Empty if all is to be linked anew.
    place_of: Vec<u32>,
}

/// Each layer has a sixteenth of the rows below.
const LEVEL_BITS: u32 = 4;

/// More than any number of rows needs.
const LEVELS_MAX: u32 = 8;

/// The highest layer of a vector. It is drawn once, by its stamp.
fn level(stamp: u64) -> u32 {
    (hash(stamp).trailing_zeros() / LEVEL_BITS).min(LEVELS_MAX)
}

/// A place in no order of the stamps: what came together is alike, and one batch would not see it.
fn shuffled(stamp: u64) -> u64 {
    hash(stamp).rotate_left(32)
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

/// Gathers the rows that are alive. With `keep_links` those of the last graph stay in their order, also the dead.
pub fn gather(job: &Job, keep_links: bool) -> Gathered {
    let mut blocks: Vec<&Rows> = Vec::new();
    // Level, whether it is new, what it is ordered by, and where it lies.
    let mut order = Vec::new();
    let mut is_dead = Vec::new();
    if let Some(linked) = &job.graph {
        let rows = linked.graph.rows();
        let is_alive = linked.marks.at(job.moment);
        is_dead.extend((0..rows.len() as u32).map(|row| !is_alive(row)));
        let kept = (0..rows.len() as u32).filter(|&row| keep_links || is_alive(row));
        order.extend(kept.map(|row| {
            let stamp = rows.stamp(row as usize);
            let rank = if keep_links { row.into() } else { shuffled(stamp) };
            (level(stamp), !keep_links, rank, (0, row))
        }));
        blocks.push(rows);
    }
    for block in job.young.blocks() {
        let is_alive = block.marks.at(job.moment);
        let alive = (0..block.rows.len() as u32).filter(|&row| is_alive(row));
        order.extend(alive.map(|row| {
            let stamp = block.rows.stamp(row as usize);
            (level(stamp), true, shuffled(stamp), (blocks.len(), row))
        }));
        blocks.push(&block.rows);
    }
    order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));

    let (dimensions, quantization) = blocks.first().map_or((0, Quantization::default()), |rows| {
        (rows.dimensions(), rows.quantization())
    });
    let mut gathered = Gathered {
        rows: Rows::with_capacity(dimensions, quantization, order.len()),
        layers: Vec::new(),
        fresh: Vec::new(),
        dead: Vec::new(),
        place_of: vec![0; if keep_links { is_dead.len() } else { 0 }],
    };
    for (place, &(_, is_new, _, (block, row))) in (0..).zip(&order) {
        gathered.rows.push_row(blocks[block], row as usize);
        if is_new {
            gathered.fresh.push(place);
        } else {
            gathered.place_of[row as usize] = place;
            if is_dead[row as usize] {
                gathered.dead.push(place);
            }
        }
    }
    let top = order.first().map_or(0, |first| first.0);
    gathered.layers = (0..=top)
        .map(|layer| order.partition_point(|row| row.0 >= layer))
        .collect();
    gathered
}

impl Gathered {
    /// Gives the rows that the last graph had the links that they had in it.
    pub fn keep_links(&self, last: &Graph, into: &mut Layers) {
        for (links, open) in last.layers().iter().zip(&mut into.layers) {
            for row in 0..links.rows() as u32 {
                let neighbours = links.of(row).iter().map(|&other| self.place_of[other as usize]);
                open.list_mut(self.place_of[row as usize]).set(neighbours);
            }
        }
    }
}
