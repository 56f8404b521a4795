//! A request -> what is to be run. Every fault of a request is found here; past this door nobody asks again.

use std::borrow::Cow;
use std::sync::Arc;

use super::fuse::LEG_DEPTH_MIN;
use super::language::{self, Options, Parsed};
use super::request::{
    FusionRequest, Fuzzy, LegWeights, MinimumMatchRequest, Mode, Operator, SearchRequest, VectorsWanted,
};
use super::{QueryError, SearchedField, Searcher};
use crate::definition::{Effort, Expression, Fusion, Index, Metric, VectorField, VectorSource, parse_filter};
use crate::index::Snapshot;
use crate::index::keyword::{KeywordQuery, MinimumMatch, TextFields, Typos};

/// How deep a search may page: both legs rank this many hits for the deepest page.
const HITS_MAX: usize = 10_000;

/// How much of a query's text is searched: some ten thousand words, each looked up in every segment.
/// `query` never fails, so a longer one is cut.
const QUERY_BYTES_MAX: usize = 64 << 10;

/// The greatest `k` and weight of a fusion, as in a dataflow file: scores stay far inside an `f32`.
const AMOUNT_MAX: f32 = 1e6;

/// The longest filter: room for a list of thousands of values.
const FILTER_BYTES_MAX: usize = 64 << 10;

/// A search that can be run. At least one leg is asked.
pub(super) struct Search<'a> {
    /// What the keyword leg looks for, where it is asked.
    pub words: Option<KeywordQuery>,
    /// What every hit must or must not have, whichever leg finds it.
    pub required: Option<KeywordQuery>,
    /// What the vector leg looks for, where it is asked.
    pub nearest: Option<Nearest<'a>>,
    /// The number of the leg that answers for the vector field, and what is known of it, where the index has vectors.
    pub leg: usize,
    pub field: Option<Arc<SearchedField>>,
    /// Over fields of the index only.
    pub filter: Option<Expression>,
    pub fusion: Fusion,
    pub effort: Effort,
    pub vectors: VectorsWanted,
    pub offset: usize,
    pub limit: usize,
    /// The columns of the hits' documents: places in the rows of the index, ascending.
    pub columns: Vec<usize>,
}

/// What the vector leg looks for.
#[derive(Clone, Debug)]
pub(super) enum Nearest<'a> {
    /// Of the index's dimensions and finite.
    Vector(&'a [f32]),
    /// To be embedded. The index may be one of ready-made vectors, where no embedder is there for it.
    Text(Cow<'a, str>),
}

impl Search<'_> {
    /// How many hits each leg is asked for.
    pub fn depth(&self) -> usize {
        LEG_DEPTH_MIN.max(self.offset + self.limit)
    }
}

/// # Errors
///
/// | code               | what is wrong                                                             |
/// |--------------------|---------------------------------------------------------------------------|
/// | `missing_query`    | the legs asked need `query`, or `query` or `vector`                       |
/// | `missing_vector`   | ready-made vectors are searched, and nothing embeds `query`               |
/// | `no_text`          | the index has no text columns, and the keyword leg is asked               |
/// | `no_vectors`       | the index has no vectors, and the vector leg is asked, or `vector` given  |
/// | `unknown_vector`   | `using` names no vector field                                             |
/// | `wrong_dimensions` | `vector` is not as long as the index's vectors                            |
/// | `bad_vector`       | `vector` has a number that is not finite, or no direction under cosine    |
/// | `bad_filter`       | `filter` is not an expression, or too long                                |
/// | `unknown_field`    | `filter` names what is not in the index's `fields`                        |
/// | `unknown_text_field` | `text_fields` names what is not in the index's `text`                   |
/// | `bad_text_fields`  | `text_fields` names none                                                  |
/// | `bad_boost`        | a boost in `text_fields` is no number that is more than 0                 |
/// | `bad_minimum_match` | `minimum_match` is 0 or no number or share, or `operator` is given too   |
/// | `unknown_column`   | `fields` names what the index's query does not select                     |
/// | `bad_fusion`       | a weight or `k` out of range                                              |
/// | `bad_limit`        | `offset + limit` is too large                                             |
/// | `bad_ef`           | `ef` is zero or too large                                                 |
/// | `bad_accuracy`     | `accuracy` is not between 0 and 1                                         |
/// | `bad_effort`       | more than one of `ef`, `accuracy` and `exact`                             |
pub(super) fn plan<'a>(
    searcher: &Searcher,
    snapshot: &Snapshot,
    request: &'a SearchRequest,
) -> Result<Search<'a>, QueryError> {
    let index = &*searcher.index;
    let leg = snapshot.sets.leg(field(index, request.using.as_deref())?);
    let field = searcher.legs.load().get(leg).cloned();
    let options = options(index, request)?;
    let parsed = request
        .query
        .as_deref()
        .map(|query| language::parse(cut(query), &index.text, &options));
    let (asks_words, nearest) = legs(searcher, field.as_deref(), request, parsed.as_ref())?;
    let required = parsed.as_ref().and_then(|parsed| parsed.required.clone());
    Ok(Search {
        words: parsed.map(|parsed| parsed.query).filter(|_| asks_words),
        required: required.filter(|_| !index.text.is_empty()),
        nearest,
        leg,
        field,
        filter: match &request.filter {
            Some(text) => Some(filter(index, text)?),
            None => None,
        },
        fusion: match &request.fusion {
            Some(asked) => fusion(asked)?,
            None => index.fusion.clone(),
        },
        effort: effort(request)?,
        vectors: request.vectors,
        offset: request.offset,
        limit: limit(request.offset, request.limit)?,
        columns: match &request.fields {
            Some(names) => columns(index, names)?,
            None => usual_columns(index),
        },
    })
}

/// The number of the vector field that is searched; the first where there is none.
pub(super) fn field(index: &Index, using: Option<&str>) -> Result<usize, QueryError> {
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

/// Whether the keyword leg is asked, and for what the vector leg. `hybrid` asks those that the index has and the request can use.
fn legs<'a>(
    searcher: &Searcher,
    field: Option<&SearchedField>,
    request: &'a SearchRequest,
    parsed: Option<&Parsed>,
) -> Result<(bool, Option<Nearest<'a>>), QueryError> {
    let query = request.query.as_deref().map(cut);
    let plain = parsed.and_then(|parsed| parsed.plain.clone());
    let nearest = match &request.vector {
        Some(vector) => Some(Nearest::Vector(checked(field.ok_or_else(no_vectors)?, vector)?)),
        None => query.map(|query| Nearest::Text(plain.map_or(Cow::Borrowed(query), Cow::Owned))),
    };
    let has_text = !searcher.index.text.is_empty();
    match request.mode {
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
            "give `query`, `vector` or both",
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

fn no_vectors() -> QueryError {
    QueryError::new(
        "no_vectors",
        "the index has no vectors",
        "search by `query` with mode `keyword` or `hybrid`, or give the index `embed` or `vector`",
    )
}

/// The first part of a query's text that is searched.
fn cut(query: &str) -> &str {
    let mut end = query.len().min(QUERY_BYTES_MAX);
    while !query.is_char_boundary(end) {
        end -= 1;
    }
    &query[..end]
}

fn checked<'a>(field: &SearchedField, vector: &'a [f32]) -> Result<&'a [f32], QueryError> {
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

fn filter(index: &Index, text: &str) -> Result<Expression, QueryError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(QueryError::new(
            "bad_filter",
            format!("`filter` has {} bytes, more than {FILTER_BYTES_MAX}", text.len()),
            "select the documents by fewer values",
        ));
    }
    let filter = parse_filter(text).map_err(|fault| QueryError {
        code: "bad_filter",
        message: fault.message,
        hint: fault.hint,
        internal: false,
    })?;
    let mut unknown = None;
    filter.visit_columns(&mut |name| {
        if !index.fields.iter().any(|field| field.name == name) {
            unknown.get_or_insert_with(|| name.to_owned());
        }
    });
    match unknown {
        None => Ok(filter),
        Some(name) => Err(QueryError::new(
            "unknown_field",
            format!("`filter` names `{name}`, which is not a field of the index"),
            among("the fields are", index.fields.iter().map(|field| &field.name)),
        )),
    }
}

/// How the words of `query` are searched.
fn options(index: &Index, request: &SearchRequest) -> Result<Options, QueryError> {
    Ok(Options {
        minimum: minimum(request)?,
        typos: match request.fuzzy {
            None | Some(Fuzzy::Auto) => Typos::Auto,
            Some(Fuzzy::Off) => Typos::Off,
        },
        fields: match &request.text_fields {
            None => None,
            Some(names) => text_fields(index, names)?,
        },
    })
}

fn minimum(request: &SearchRequest) -> Result<MinimumMatch, QueryError> {
    let wrong = |message: String| {
        let hint = "give a number of words from 1 on, or a share such as \"75%\"";
        Err(QueryError::new("bad_minimum_match", message, hint))
    };
    match (request.operator, &request.minimum_match) {
        (None | Some(Operator::Or), None) => Ok(MinimumMatch::Any),
        (Some(Operator::And), None) => Ok(MinimumMatch::All),
        (Some(_), Some(_)) => wrong("both `operator` and `minimum_match` say how many words".to_owned()),
        (None, Some(MinimumMatchRequest::Words(0))) => wrong("`minimum_match` is 0".to_owned()),
        (None, Some(MinimumMatchRequest::Words(words))) => Ok(MinimumMatch::Words(*words)),
        (None, Some(MinimumMatchRequest::Share(share))) => {
            let percent = share
                .strip_suffix('%')
                .and_then(|share| share.trim().parse::<u8>().ok());
            match percent.filter(|percent| (1..=100).contains(percent)) {
                Some(percent) => Ok(MinimumMatch::Percent(percent)),
                None => wrong(format!("`minimum_match` is {share:?}")),
            }
        }
    }
}

fn text_fields(index: &Index, names: &[String]) -> Result<TextFields, QueryError> {
    let mut fields = Vec::new();
    for written in names {
        let named = |name: &str| index.text.iter().position(|field| field.name == name);
        let (name, boost) = match named(written) {
            Some(_) => (written.as_str(), None),
            None => language::field_with_boost(written),
        };
        let Some(number) = named(name) else {
            return Err(QueryError::new(
                "unknown_text_field",
                format!("`text_fields` names `{name}`, which is not a text field of the index"),
                among("the text fields are", index.text.iter().map(|field| &field.name)),
            ));
        };
        let own = index.text.get(number).map_or(1.0, |field| field.boost);
        let boost = match boost {
            None => own,
            Some(written) => language::field_boost(written).ok_or_else(|| {
                QueryError::new(
                    "bad_boost",
                    format!("`text_fields` gives `{name}` the boost {written:?}"),
                    "give a number more than 0 and at most 1000000, such as `name^2`",
                )
            })?,
        };
        fields.push((number, boost));
    }
    match fields.is_empty() {
        true => Err(QueryError::new(
            "bad_text_fields",
            "`text_fields` is empty",
            among(
                "name some, or leave it out for all; the text fields are",
                index.text.iter().map(|field| &field.name),
            ),
        )),
        false => Ok(Some(fields)),
    }
}

fn fusion(request: &FusionRequest) -> Result<Fusion, QueryError> {
    let is_amount = |number: f32| (0.0..=AMOUNT_MAX).contains(&number);
    let wrong = |message: String, hint: &str| Err(QueryError::new("bad_fusion", message, hint));
    match *request {
        FusionRequest::Relative { weight } if !(0.0..=1.0).contains(&weight) => wrong(
            format!("`fusion.weight` is {weight}"),
            "give 0 (keyword leg only) to 1 (vector leg only)",
        ),
        FusionRequest::Relative { weight } => Ok(Fusion::Relative { weight }),
        FusionRequest::Rrf { k, .. } if !is_amount(k) => {
            wrong(format!("`fusion.k` is {k}"), "give 0 to 1000000; 60 is usual")
        }
        FusionRequest::Rrf {
            k,
            weights: LegWeights { keyword, vector },
        } => {
            if !is_amount(keyword) || !is_amount(vector) || keyword + vector == 0.0 {
                return wrong(
                    format!("`fusion.weights` are {keyword} for `keyword` and {vector} for `vector`"),
                    "give 0 to 1000000, and more than 0 for one of them",
                );
            }
            Ok(Fusion::Rrf {
                k,
                keyword_weight: keyword,
                vector_weight: vector,
            })
        }
    }
}

fn limit(offset: usize, limit: usize) -> Result<usize, QueryError> {
    if offset.saturating_add(limit) > HITS_MAX {
        return Err(QueryError::new(
            "bad_limit",
            format!("`offset` {offset} and `limit` {limit} add up to more than {HITS_MAX}"),
            "narrow the search by a `filter` instead of paging that far",
        ));
    }
    Ok(limit)
}

fn effort(request: &SearchRequest) -> Result<Effort, QueryError> {
    match (request.ef, request.accuracy, request.exact) {
        (None, None, false) => Ok(Effort::Usual),
        (None, None, true) => Ok(Effort::Exact),
        (Some(width), None, false) if (1..=Effort::WIDTH_MAX).contains(&width) => Ok(Effort::Width(width)),
        (Some(width), None, false) => Err(QueryError::new(
            "bad_ef",
            format!("`ef` is {width}"),
            format!("give 1 to {}, or leave it out", Effort::WIDTH_MAX),
        )),
        (None, Some(share), false) if Effort::is_accuracy(share) => Ok(Effort::Accuracy(share)),
        (None, Some(share), false) => Err(QueryError::new(
            "bad_accuracy",
            format!("`accuracy` is {share}"),
            "give the share of the nearest to be found, such as 0.99, or `exact` for all of them",
        )),
        _ => Err(QueryError::new(
            "bad_effort",
            "more than one of `ef`, `accuracy` and `exact` says how hard to search",
            "give one of them, or none",
        )),
    }
}

/// All columns but the ready-made vectors: a hit's answer would be mostly vector.
fn usual_columns(index: &Index) -> Vec<usize> {
    let is_vector = |place: usize| {
        let mut sources = index.vectors.iter().map(|field| &field.source);
        sources.any(|source| matches!(source, VectorSource::Column { column, .. } if *column == place))
    };
    (0..index.plan.columns.len())
        .filter(|&column| !is_vector(column))
        .collect()
}

fn columns(index: &Index, names: &[String]) -> Result<Vec<usize>, QueryError> {
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

fn among<'a>(what: &str, names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => "there are none: name some in the dataflow file".to_owned(),
        false => format!("{what} {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::TableId;
    use crate::definition::{Freshness, Plan, Tuning, plan::Node};

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
            vectors: source.map(field).into_iter().collect(),
            freshness: Freshness::Split,
            fusion: Fusion::Relative { weight: 0.2 },
        }
    }

    #[test]
    fn hits_show_ready_made_vectors_only_when_asked() {
        let ready_made = index(Some(VectorSource::Column {
            column: 1,
            dimensions: 2,
        }));
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

    #[test]
    fn a_query_of_any_length_is_cut_between_characters() {
        assert_eq!(cut("shoe"), "shoe");
        let long = format!("x{}", "é".repeat(QUERY_BYTES_MAX));
        assert_eq!(cut(&long), &long[..QUERY_BYTES_MAX - 1]);
    }
}
