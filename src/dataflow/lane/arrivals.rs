//! What a tick brings to the lane: documents that come and go with their texts, and answers.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::change::{Span, TextHash, Vector};
use crate::index::Document;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Answer {
    pub hash: TextHash,
    /// `None`: this text will never be embedded.
    pub vector: Option<Vector>,
}

/// What a tick brings to the lane.
#[derive(Default)]
pub struct Arrivals {
    pub(super) texts: FxHashMap<TextHash, Need>,
    pub(super) answers: Vec<Answer>,
}

/// How a tick changes which documents have one text.
#[derive(Default)]
pub(super) struct Need {
    /// New, or changed, be it elsewhere than in this text.
    pub arrived: Vec<(Arc<Document>, Span)>,
    /// Deleted, or as they were before they changed.
    pub gone: usize,
}

impl Need {
    /// Of the number of documents with the text.
    pub fn change(&self) -> isize {
        self.arrived.len() as isize - self.gone as isize
    }

    /// Documents that came with a text that another, most likely they themselves, has let go of.
    pub fn unchanged(&self) -> usize {
        self.arrived.len().min(self.gone)
    }
}

impl Arrivals {
    /// A document that has this text, as a part of its own, came (`diff` > 0) or went.
    pub fn document(&mut self, hash: TextHash, document: &Arc<Document>, span: Span, diff: isize) {
        let need = self.texts.entry(hash).or_default();
        for _ in 0..diff {
            need.arrived.push((document.clone(), span));
        }
        need.gone += diff.min(0).unsigned_abs();
    }

    pub fn answers(&mut self, answers: impl Iterator<Item = Answer>) {
        self.answers.extend(answers);
    }
}
