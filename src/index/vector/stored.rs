//! The graphs on disk: a part for each.
//!
//! Graphs are immutable, so a part is written once. Which of their rows are current comes from the slots, and the
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
    graphs: Vec<StoredGraph>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredGraph {
    /// Unique among all graphs of the index.
    name: String,
    part: Part,
}

impl StoredVectors {
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.graphs.iter().map(|graph| &graph.part)
    }
}

/// Writes the graphs that `before` does not have.
pub fn store(
    state: &VectorState,
    before: Option<&StoredVectors>,
    parts: &PartWriter<'_>,
) -> io::Result<StoredVectors> {
    let graphs = state.graphs.iter().map(|graph| {
        let name = graph.name();
        let known = before.and_then(|before| before.graphs.iter().find(|known| known.name == name));
        match known {
            Some(known) => Ok(known.clone()),
            None => Ok(StoredGraph {
                name,
                part: parts.write("graph", |out| layout::write(graph, out))?,
            }),
        }
    });
    Ok(StoredVectors {
        graphs: graphs.collect::<io::Result<_>>()?,
    })
}

/// Reads the graphs back.
pub(super) fn open(
    settings: &VectorSettings,
    stored: &StoredVectors,
    parts: &PartReader<'_>,
) -> Result<Vec<Arc<Graph>>, Damaged> {
    let graphs = stored.graphs.iter().map(|StoredGraph { name, part }| {
        let graph = layout::read(&parts.read(part)?).ok_or_else(|| part.damaged("it is no graph"))?;
        if graph.rows().dimensions() != settings.dimensions {
            let (found, wanted) = (graph.rows().dimensions(), settings.dimensions);
            return Err(part.damaged(format!("its vectors have {found} dimensions instead of {wanted}")));
        }
        if graph.name() != *name {
            return Err(part.damaged("it is another graph"));
        }
        Ok(Arc::new(graph))
    });
    graphs.collect()
}
