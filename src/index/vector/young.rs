//! The young part: rows that are in no graph yet, in blocks.

use std::sync::Arc;

use super::codes::{Rows, Scores};
use super::kernel::bits;
use super::linked::Asked;
use super::marks::Marks;
use super::nearest::{Nearest, Scored};
use super::sketch::{Frame, LUCK_YOUNG, SketchQuery, Sketches};
use super::{Slot, VectorSettings};

/// Rows of a full block. The last block is copied in each tick that adds to it.
const BLOCK_ROWS: usize = 256;

/// Rows in the order in which their vectors came. A clone shares its blocks.
#[derive(Clone, Default)]
pub struct Young {
    blocks: imbl::Vector<Arc<Block>>,
    /// What the sketches of new blocks are drawn by.
    frame: Option<Arc<Frame>>,
}

/// Rows with consecutive stamps.
#[derive(Clone)]
pub struct Block {
    pub rows: Rows,
    pub marks: Marks,
    /// If there was a graph, and it had sketches, when the block was begun.
    pub sketches: Option<Sketches>,
}

impl Young {
    /// Of blocks with ascending stamps, of any size: to build of, not to be scanned.
    pub fn of(blocks: impl Iterator<Item = Block>) -> Young {
        Young {
            blocks: blocks.map(Arc::new).collect(),
            frame: None,
        }
    }

    /// New blocks get sketches, by the frame of the graph that there is now, if it has one.
    pub fn draw_by(&mut self, frame: Option<&Arc<Frame>>) {
        self.frame = frame.cloned();
    }

    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().map(|block| &**block)
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Blocks so far.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Adds a row, to a new block if there are `closed` ones only. `stamp` is the one after the last.
    pub fn push(
        &mut self,
        vector: &[f32],
        settings: &VectorSettings,
        (slot, stamp): (Slot, u64),
        moment: u64,
        closed: usize,
    ) {
        let is_open = self.blocks.len() > closed;
        match self.blocks.back_mut() {
            Some(block) if is_open && block.rows.len() < BLOCK_ROWS => {
                let block = Arc::make_mut(block);
                block.push(vector, settings, (slot, stamp));
            }
            _ => {
                let mut block = Block {
                    rows: Rows::with_capacity(vector.len(), settings.quantization, BLOCK_ROWS),
                    marks: Marks::alive(0, moment),
                    sketches: self.frame.clone().map(|frame| Sketches::new(frame, BLOCK_ROWS)),
                };
                block.push(vector, settings, (slot, stamp));
                self.blocks.push_back(Arc::new(block));
            }
        }
    }

    /// The nearest of the rows that are alive and allowed, best first: those with at least this score.
    pub fn scan(&self, asked: &Asked<'_>, moment: u64, mut least: f32) -> Vec<Scored> {
        let mut nearest = Nearest::new(asked.kept);
        let mut scores = Scores::default();
        let mut bounded = Bounded::new(asked);
        for block in self.blocks() {
            if asked.deadline.is_over() {
                break;
            }
            let sketches = block.sketches.as_ref().filter(|_| least > f32::NEG_INFINITY);
            let rows = match sketches {
                Some(sketches) => {
                    let rows = bounded.rows(sketches, block.rows.len(), least);
                    block.rows.scores_at(asked.code, rows, &mut scores);
                    rows
                }
                None => {
                    block.rows.scores(asked.code, &mut scores);
                    &bounded.all[..block.rows.len()]
                }
            };
            let is_alive = block.marks.at(moment);
            for (&row, &score) in rows.iter().zip(&scores.values) {
                // Hardly any is among the best.
                if score < least {
                    continue;
                }
                let id = block.rows.slot(row as usize).0;
                if is_alive(row) && asked.allows(id) {
                    nearest.push(Scored { score, id });
                    least = nearest.worst().map_or(least, |worst| worst.score);
                }
            }
        }
        nearest.into_sorted()
    }

    /// The block that has a stamp's row, and the row.
    pub fn find(&self, stamp: u64) -> Option<(&Block, usize)> {
        let after = |block: &Arc<Block>| block.rows.stamp(0).cmp(&stamp);
        let place = match self.blocks.binary_search_by(after) {
            Ok(place) => Some(place),
            Err(place) => place.checked_sub(1),
        };
        let block = self.blocks.get(place?)?;
        let row = (stamp - block.rows.stamp(0)) as usize;
        (row < block.rows.len()).then_some((block, row))
    }

    /// Marks the row of a stamp as dead from a moment on.
    pub fn kill(&self, stamp: u64, moment: u64) {
        if let Some((block, row)) = self.find(stamp) {
            block.marks.kill(row, moment);
        }
    }

    /// Drops the first blocks.
    pub fn drop_first(&mut self, blocks: usize) {
        self.blocks = self.blocks.split_off(blocks.min(self.blocks.len()));
    }
}

impl Block {
    fn push(&mut self, vector: &[f32], settings: &VectorSettings, (slot, stamp): (Slot, u64)) {
        self.rows.push(vector, settings.metric, slot, stamp);
        self.marks.push();
        if let Some(sketches) = &mut self.sketches {
            sketches.push(&self.rows, self.rows.len() - 1, &mut Vec::new());
        }
    }
}

/// Bounds of the rows of one block after another, in memory that is used again.
struct Bounded<'a> {
    asked: &'a Asked<'a>,
    /// The query to the sketches of a frame, which is mostly that of the next block, too.
    query: Option<(Arc<Frame>, SketchQuery)>,
    all: [u32; BLOCK_ROWS],
    bounds: [f32; BLOCK_ROWS],
    near: Vec<u32>,
}

impl<'a> Bounded<'a> {
    fn new(asked: &'a Asked<'a>) -> Bounded<'a> {
        Bounded {
            asked,
            query: None,
            all: std::array::from_fn(|row| row as u32),
            bounds: [0.0; BLOCK_ROWS],
            near: Vec::new(),
        }
    }

    /// The rows of a block that may have at least this score.
    fn rows(&mut self, sketches: &Sketches, rows: usize, least: f32) -> &[u32] {
        let frame = sketches.frame();
        let known = self.query.take().filter(|(known, _)| Arc::ptr_eq(known, frame));
        let (_, query) = self.query.insert(known.unwrap_or_else(|| {
            let query = frame.query(self.asked.code, LUCK_YOUNG);
            (frame.clone(), query)
        }));
        let (all, bounds) = (&self.all[..rows], &mut self.bounds[..rows]);
        sketches.bounds(query, all, bounds);
        bits::reaching(bounds, least, &mut self.near);
        &self.near
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::super::codes::QueryCode;
    use super::super::sketch::tests::numbers;
    use super::super::{Metric, Quantization};
    use super::*;
    use crate::index::Deadline;

    const DIMENSIONS: usize = 130;
    const ROWS: u32 = 700;

    /// Rows of which each third has sketches by another frame, or none.
    fn young(settings: &VectorSettings, vectors: &[Vec<f32>]) -> Young {
        let mut young = Young::default();
        for (third, vectors) in vectors.chunks(vectors.len() / 3 + 1).enumerate() {
            let sketches = (third > 0).then(|| {
                let mut rows = Rows::with_capacity(DIMENSIONS, settings.quantization, vectors.len());
                for vector in vectors {
                    rows.push(vector, settings.metric, Slot(0), 0);
                }
                Sketches::of(&rows, None).unwrap()
            });
            young.draw_by(sketches.as_ref().map(Sketches::frame));
            let (before, closed) = (young.rows(), young.len());
            for (row, vector) in (before..).zip(vectors) {
                young.push(vector, settings, (Slot(row), row.into()), 0, closed);
            }
        }
        assert_eq!(young.rows(), ROWS);
        assert!(young.blocks().any(|block| block.sketches.is_none()));
        young
    }

    impl Young {
        fn rows(&self) -> u32 {
            self.blocks().map(|block| block.rows.len() as u32).sum()
        }
    }

    #[test]
    fn a_scan_of_sketches_finds_what_a_scan_of_all_codes_finds() {
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let settings = VectorSettings::new(DIMENSIONS, metric);
            assert_eq!(settings.quantization, Quantization::Int16);
            let mut numbers = numbers(11);
            let mut vector = || -> Vec<f32> { numbers.by_ref().take(DIMENSIONS).collect() };
            let centres: Vec<Vec<f32>> = (0..20).map(|_| vector()).collect();
            let vectors: Vec<Vec<f32>> = (0..ROWS as usize)
                .map(|row| {
                    let parts = centres[row % centres.len()].iter().zip(vector());
                    parts.map(|(centre, part)| centre + 0.6 * part).collect()
                })
                .collect();
            let young = young(&settings, &vectors);
            young.kill(40, 5);
            let odd: RoaringBitmap = (0..ROWS).filter(|row| row % 2 == 1).collect();
            let deadline = Deadline::never();
            let (mut there, mut missed) = (0, 0);
            for (row, vector) in vectors.iter().enumerate().step_by(7) {
                let code = QueryCode::new(vector, settings.quantization);
                for filter in [None, Some(&odd)] {
                    let asked = Asked {
                        code: &code,
                        limit: 10,
                        kept: 30,
                        width: 10,
                        filter,
                        eligible: 0,
                        deadline: &deadline,
                    };
                    let all = scan_codes(&young, &asked, 9);
                    let is_found = all[0].id == row as u32;
                    assert_eq!(
                        is_found,
                        row != 40 && asked.allows(row as u32),
                        "{metric:?} {row}"
                    );
                    for (least, expected) in [(f32::NEG_INFINITY, &all[..]), (all[4].score, &all[..5])] {
                        let found = young.scan(&asked, 9, least);
                        assert_eq!(found[0], all[0]);
                        let is_expected = |row: &&Scored| expected.contains(row);
                        there += expected.len();
                        missed += expected.len() - found.iter().filter(is_expected).count();
                        assert!(found.is_sorted_by(|a, b| a > b));
                        assert!(found.iter().all(|found| found.score >= least));
                    }
                }
            }
            assert!(missed * 400 < there, "{metric:?}: {missed} of {there}");
        }
    }

    fn scan_codes(young: &Young, asked: &Asked<'_>, moment: u64) -> Vec<Scored> {
        let mut nearest = Nearest::new(asked.kept);
        for block in young.blocks() {
            for row in 0..block.rows.len() as u32 {
                let id = block.rows.slot(row as usize).0;
                if block.marks.at(moment)(row) && asked.allows(id) {
                    let score = block.rows.score(asked.code, row).score;
                    nearest.push(Scored { score, id });
                }
            }
        }
        nearest.into_sorted()
    }
}
