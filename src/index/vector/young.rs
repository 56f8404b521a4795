//! The young part: rows that are in no graph yet, in blocks.

use std::sync::Arc;

use super::codes::Rows;
use super::marks::Marks;
use super::{Slot, VectorSettings};

/// Rows of a full block. The last block is copied in each tick that adds to it.
const BLOCK_ROWS: usize = 256;

/// Rows in the order in which their vectors came. A clone shares its blocks.
#[derive(Clone, Default)]
pub struct Young {
    blocks: imbl::Vector<Arc<Block>>,
}

/// Rows with consecutive stamps.
#[derive(Clone)]
pub struct Block {
    pub rows: Rows,
    pub marks: Marks,
}

impl Young {
    /// Of blocks with ascending stamps.
    pub fn of(blocks: impl Iterator<Item = Block>) -> Young {
        let blocks = blocks.map(Arc::new).collect();
        Young { blocks }
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
                block.rows.push(vector, settings.metric, slot, stamp);
                block.marks.push();
            }
            _ => {
                let mut rows = Rows::with_capacity(vector.len(), settings.quantization, BLOCK_ROWS);
                rows.push(vector, settings.metric, slot, stamp);
                let marks = Marks::alive(1, moment);
                self.blocks.push_back(Arc::new(Block { rows, marks }));
            }
        }
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
