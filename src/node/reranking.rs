//! The re-ranker of a node's index.

use crate::definition::Definition;
use crate::query::Searcher;
use crate::rerank::{self, RerankError};

/// The searcher with what the definition has for re-ranking.
pub(super) fn with_reranker(searcher: Searcher, definition: &Definition) -> Result<Searcher, RerankError> {
    match &definition.reranker {
        None => Ok(searcher),
        Some(settings) => {
            let reranker = rerank::open(&settings.model)?;
            Ok(searcher.with_reranker(reranker, settings.clone()))
        }
    }
}
