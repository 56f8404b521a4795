//! The graph on disk: one part.
//!
//! A graph is immutable, so a part is written once. Which of its rows are current comes from the slots, and the
//! young rows are made again of the vectors that come back.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::{VectorSettings, VectorState, layout};
use crate::storage::{Damaged, Part, PartReader, PartWriter};

/// The parts of the vector leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVectors {
    graph: Option<StoredGraph>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredGraph {
    /// Unique among all graphs of the index.
    name: String,
    part: Part,
}

impl StoredVectors {
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.graph.iter().map(|graph| &graph.part)
    }
}

/// Writes the graph, unless `before` has it.
pub fn store(
    state: &VectorState,
    before: Option<&StoredVectors>,
    parts: &PartWriter<'_>,
) -> io::Result<StoredVectors> {
    let Some(linked) = &state.graph else {
        return Ok(StoredVectors::default());
    };
    let name = linked.graph.name();
    let known = before.and_then(|before| before.graph.as_ref().filter(|known| known.name == name));
    let graph = match known {
        Some(known) => known.clone(),
        None => StoredGraph {
            name,
            part: parts.write("graph", |out| layout::write(&linked.graph, out))?,
        },
    };
    Ok(StoredVectors { graph: Some(graph) })
}

/// Reads the graph back.
pub(super) fn open(
    settings: &VectorSettings,
    stored: &StoredVectors,
    slots: usize,
    parts: &PartReader<'_>,
) -> Result<Option<Arc<Graph>>, Damaged> {
    let Some(StoredGraph { name, part }) = &stored.graph else {
        return Ok(None);
    };
    let graph = layout::read(&parts.read(part)?, slots).ok_or_else(|| part.damaged("it is no graph"))?;
    let reduction = graph.reduction();
    let found = reduction.map_or(graph.rows().dimensions(), |reduction| reduction.whole);
    if found != settings.dimensions {
        let wanted = settings.dimensions;
        return Err(part.damaged(format!("its vectors have {found} dimensions instead of {wanted}")));
    }
    if graph.name() != *name {
        return Err(part.damaged("it is another graph"));
    }
    // Rows that are made otherwise cannot take in new ones: the graph is built anew from the vectors.
    let is_current = reduction.map(|reduction| reduction.how) == settings.reduce
        && graph.rows().quantization() == settings.quantization;
    if !is_current {
        tracing::info!(
            part = part.name,
            "its rows are reduced or quantised otherwise than wanted: the graph is built anew"
        );
    }
    Ok(is_current.then(|| Arc::new(graph)))
}
