//! What hits show: their columns and their origin.

use std::sync::Arc;

use super::named::among;
use crate::definition::{Index, VectorSource};
use crate::query::request::SearchRequest;
use crate::query::{QueryError, Searcher, Sources};

pub(super) fn origin(
    searcher: &Searcher,
    request: &SearchRequest,
) -> Result<Option<Arc<dyn Sources>>, QueryError> {
    match (request.origin, searcher.sources.get()) {
        (false, _) => Ok(None),
        (true, Some(sources)) => Ok(Some(sources.clone())),
        (true, None) => Err(QueryError::new(
            "no_origin",
            "nothing is known of the sources here",
            "leave `origin` out: a running node knows its sources, a replay does not",
        )),
    }
}

/// All columns but the ready-made vectors: a hit's answer would be mostly vector.
pub(super) fn usual_columns(index: &Index) -> Vec<usize> {
    let is_vector = |place: usize| {
        let mut sources = index.vectors.iter().map(|field| &field.source);
        sources.any(|source| matches!(source, VectorSource::Column(ready_made) if ready_made.column == place))
    };
    (0..index.plan.columns.len())
        .filter(|&column| !is_vector(column))
        .collect()
}

pub(super) fn columns(index: &Index, names: &[String]) -> Result<Vec<usize>, QueryError> {
    let known = &index.plan.columns;
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(QueryError::new(
            "unknown_column",
            format!("`fields` names `{name}`, which is not a column of the index"),
            among("the columns are", known),
        ));
    }
    Ok((0..known.len())
        .filter(|&column| names.contains(&known[column]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::TableId;
    use crate::definition::{Freshness, Fusion, Metric, Plan, ReadyMade, Tuning, VectorField, plan::Node};

    fn index(source: Option<VectorSource>) -> Index {
        let field = |source| VectorField {
            name: VectorField::DEFAULT.to_owned(),
            source,
            metric: Metric::Cosine,
            tuning: Tuning::default(),
        };
        let columns = ["name", "embedding", "id"].map(str::to_owned).to_vec();
        Index {
            plan: Plan {
                root: Node::Table(TableId(0)),
                columns,
            },
            key: vec![2],
            vocabulary: Default::default(),
            text: vec![],
            fields: vec![],
            tenant: None,
            vectors: source.map(field).into_iter().collect(),
            freshness: Freshness::Split,
            fusion: Fusion::Relative { weight: 0.2 },
        }
    }

    #[test]
    fn hits_show_ready_made_vectors_only_when_asked() {
        let ready_made = index(Some(VectorSource::Column(ReadyMade {
            column: 1,
            dimensions: 2,
            model: None,
        })));
        assert_eq!(usual_columns(&ready_made), [0, 2]);
        assert_eq!(usual_columns(&index(None)), [0, 1, 2]);
        assert_eq!(columns(&ready_made, &["embedding".to_owned()]), Ok(vec![1]));
    }

    #[test]
    fn columns_keep_the_order_of_the_query_whatever_that_of_fields() {
        let names = ["id", "name", "id"].map(str::to_owned);
        assert_eq!(columns(&index(None), &names), Ok(vec![0, 2]));
        assert_eq!(columns(&index(None), &[]), Ok(vec![]));
    }
}
