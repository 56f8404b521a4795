//! Pushed changes: one partition per table, whose offsets count lines.

use super::{NotTaken, Receivers};
use crate::change::Offset;

/// A table that takes pushes. Shared by all requests.
pub struct PushTable {}

/// What a push led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Lines taken and not dead-lettered.
    pub accepted: u64,
    pub dead_letters: u64,
    /// Of the last line taken. Without lines, the position before.
    pub position: Option<Offset>,
}

impl PushTable {
    pub fn new(receivers: &dyn Receivers) -> PushTable {
        let _ = receivers;
        todo!()
    }

    /// Takes the lines of an NDJSON body, blank ones left out; all of them or, with an error, none.
    pub fn push(&self, body: &[u8]) -> Result<Pushed, NotTaken> {
        let _ = body;
        todo!()
    }
}
