//! While an index is made anew, the one before answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use crate::change::Tick;
use crate::query::Searcher;

/// The index before, as of its last checkpoint.
pub struct Before {
    pub searcher: Searcher,
    /// The new index takes its place when both legs show everything up to there.
    pub tick: Tick,
}

/// How far a new index is, while the one before answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rebuilding {
    /// Documents that it has, with their vectors.
    pub documents: usize,
    /// Documents that it will have, as far as is known.
    pub of: usize,
}

impl App {
    /// The index before, as long as it is the one that answers: the snapshot published last decides, and from its tick on
    /// all later ones.
    pub fn before(&self) -> Option<Arc<Before>> {
        let before = self.before.load_full()?;
        let is_complete = self.published.snapshot().is_complete_through(before.tick);
        (!is_complete).then_some(before)
    }

    /// How far the index is that will take the place of the one before.
    pub fn rebuilding(&self) -> Option<Rebuilding> {
        let before = self.before()?;
        let new = self.published.snapshot();
        let of = match new.tick < before.tick {
            true => before.searcher.seen_by_operator().stats().documents,
            false => new.documents(),
        };
        Some(Rebuilding {
            documents: new.documents().saturating_sub(new.vectors_pending()),
            of,
        })
    }
}
