//! Which legs are asked, and what the vector leg looks for.

use std::borrow::Cow;

use crate::definition::{Index, Metric, VectorField};
use crate::index::{Slot, Snapshot};
use crate::query::language::Parsed;
use crate::query::request::{Mode, SearchRequest};
use crate::query::{QueryError, SearchedField, Searcher, like};

/// How much of a query's text is searched: some ten thousand words, each looked up in every segment.
/// `query` never fails, so a longer one is cut.
const QUERY_BYTES_MAX: usize = 64 << 10;

/// What the vector leg looks for.
#[derive(Clone, Debug)]
pub(in crate::query) enum Nearest<'a> {
    /// The vector of the document in this slot of a shard, which is left out.
    Like {
        vector: Vec<f32>,
        shard: usize,
        slot: Slot,
    },
    /// Of the index's dimensions and finite.
    Vector(&'a [f32]),
    /// To be embedded. The index may be one of ready-made vectors, where no embedder is there for it.
    Text(Cow<'a, str>),
}

/// The number of the vector field that is searched; the first where there is none.
pub(in crate::query) fn field(index: &Index, using: Option<&str>) -> Result<usize, QueryError> {
    let Some(name) = using else { return Ok(0) };
    let named = |field: &VectorField| field.name == *name;
    index.vectors.iter().position(named).ok_or_else(|| {
        let names: Vec<&str> = index.vectors.iter().map(|field| field.name.as_str()).collect();
        QueryError::new(
            "unknown_vector",
            format!("the index has no vectors named {name:?}"),
            match &names[..] {
                [] => "it has none at all: leave `using` out".to_owned(),
                names => format!("`using` names one of: {}", names.join(", ")),
            },
        )
    })
}

/// Vectors of different models are never compared.
pub(super) fn of_model(field: Option<&SearchedField>, request: &SearchRequest) -> Result<(), QueryError> {
    let (Some(asked), Some(field)) = (&request.model, field) else {
        return Ok(());
    };
    match &field.model {
        Some(model) if model == asked => Ok(()),
        Some(model) => Err(QueryError::new(
            "wrong_model",
            format!("`model` is {asked:?}, and the vectors are of {model:?}"),
            format!("give a vector of {model:?}"),
        )),
        None => Err(QueryError::new(
            "wrong_model",
            "the index does not know what model its ready-made vectors are of",
            "leave `model` out, or name it in the dataflow file: `vector_model = { column = ..., name = ... }`",
        )),
    }
}

/// Whether the keyword leg is asked, and for what the vector leg. `hybrid` asks those that the index has and the request can use.
pub(super) fn legs<'a>(
    searcher: &Searcher,
    snapshot: &Snapshot,
    (leg, field): (usize, Option<&SearchedField>),
    request: &'a SearchRequest,
    parsed: Option<&Parsed>,
) -> Result<(bool, Option<Nearest<'a>>), QueryError> {
    let query = request.query.as_deref().map(cut);
    let plain = parsed.and_then(|parsed| parsed.plain.clone());
    let nearest = match (&request.vector, &request.like) {
        (Some(_), Some(_)) => {
            return Err(QueryError::new(
                "bad_like",
                "`like` and `vector` both say what the vector leg looks for",
                "give one of them",
            ));
        }
        (Some(vector), None) => Some(Nearest::Vector(checked(field.ok_or_else(no_vectors)?, vector)?)),
        (None, Some(key)) => {
            let field = field.ok_or_else(no_vectors)?;
            let (shard, slot, _) = searcher.find(snapshot, key).ok_or_else(|| like::unknown(key))?;
            let vector = like::vector(snapshot, leg, field, (shard, slot), key)?;
            Some(Nearest::Like { vector, shard, slot })
        }
        (None, None) => query.map(|query| Nearest::Text(plain.map_or(Cow::Borrowed(query), Cow::Owned))),
    };
    let has_text = !searcher.index.text.is_empty();
    match request.mode {
        Mode::Hybrid if query.is_none() && nearest.is_none() && request.lists() => Ok((false, None)),
        Mode::Keyword if query.is_none() => Err(QueryError::new(
            "missing_query",
            "mode `keyword` searches for words",
            "give `query`",
        )),
        Mode::Keyword if !has_text => Err(QueryError::new(
            "no_text",
            "the index has no text columns to search for words",
            "use mode `vector`, or name columns in `[index] text`",
        )),
        Mode::Keyword => Ok((true, None)),
        Mode::Vector if field.is_none() => Err(no_vectors()),
        Mode::Vector | Mode::Hybrid if nearest.is_none() => Err(QueryError::new(
            "missing_query",
            format!("mode `{}` has nothing to search for", request.mode.name()),
            "give `query`, `vector`, `like` or several; to list documents, a `filter`, `sort`, `facets` or `total`",
        )),
        Mode::Vector => Ok((false, Some(answerable(field, nearest)?))),
        Mode::Hybrid => match (query.is_some() && has_text, nearest.filter(|_| field.is_some())) {
            (false, nearest) => Ok((false, Some(answerable(field, nearest)?))),
            legs => Ok(legs),
        },
    }
}

/// Where the vector leg is the only one, it must not depend on an embedder that is not there.
fn answerable<'a>(
    field: Option<&SearchedField>,
    nearest: Option<Nearest<'a>>,
) -> Result<Nearest<'a>, QueryError> {
    match (field, nearest) {
        (Some(field), Some(Nearest::Text(_))) if field.queries.is_none() => Err(QueryError::new(
            "missing_vector",
            "the index has ready-made vectors, and no model that embeds `query`",
            format!("give `vector`, {} numbers", field.dimensions),
        )),
        (Some(_), Some(nearest)) => Ok(nearest),
        _ => Err(no_vectors()),
    }
}

pub(super) fn no_vectors() -> QueryError {
    QueryError::new(
        "no_vectors",
        "the index has no vectors",
        "search by `query` with mode `keyword` or `hybrid`, or give the index `embed` or `vector`",
    )
}

/// The first part of a query's text that is searched.
pub(super) fn cut(query: &str) -> &str {
    let mut end = query.len().min(QUERY_BYTES_MAX);
    while !query.is_char_boundary(end) {
        end -= 1;
    }
    &query[..end]
}

pub(super) fn checked<'a>(field: &SearchedField, vector: &'a [f32]) -> Result<&'a [f32], QueryError> {
    let dimensions = field.dimensions;
    if vector.len() != dimensions {
        return Err(QueryError::new(
            "wrong_dimensions",
            format!(
                "`vector` has {} numbers, the vectors of the index have {dimensions}",
                vector.len()
            ),
            "embed queries with the model that embedded the documents",
        ));
    }
    if let Some(place) = vector.iter().position(|number| !number.is_finite()) {
        return Err(QueryError::new(
            "bad_vector",
            format!("`vector[{place}]` is out of the range of a 32-bit float"),
            "give finite numbers",
        ));
    }
    if field.metric == Metric::Cosine && vector.iter().all(|&number| number == 0.0) {
        return Err(QueryError::new(
            "bad_vector",
            "`vector` is all zeros: it has no direction, and the index compares directions",
            "give a vector with a number that is not zero",
        ));
    }
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_of_any_length_is_cut_between_characters() {
        assert_eq!(cut("shoe"), "shoe");
        let long = format!("x{}", "é".repeat(QUERY_BYTES_MAX));
        assert_eq!(cut(&long), &long[..QUERY_BYTES_MAX - 1]);
    }
}
