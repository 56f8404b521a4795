//! A request -> what is to be run. Every fault of a request is found here; past this door nobody asks again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::filter;
use super::filter::FilterRequest;
use super::fuse::LEG_DEPTH_MIN;
use super::group::Grouping;
use super::language::{self, Options, Parsed};
use super::request::{
    FusionRequest, Fuzzy, LegWeights, MinimumMatchRequest, Mode, Operator, SearchRequest, VectorsWanted,
};
use super::rerank::{self, Rerank};
use super::results::Results;
use super::{Asked, AskedNearest, MmrRequest, QueryError, SearchedField, Searcher, Sources, diverse, like};
use crate::definition::{
    Effort, Expression, FieldKind, Fusion, Index, LegAmounts, Metric, VectorField, VectorSource,
};
use crate::index::keyword::{KeywordQuery, MinimumMatch, TextFields, Typos};
use crate::index::{Deadline, Slot, Snapshot};

/// How deep a search may page: both legs rank this many hits for the deepest page.
pub(super) const HITS_MAX: usize = 10_000;

/// How much of a query's text is searched: some ten thousand words, each looked up in every segment.
/// `query` never fails, so a longer one is cut.
const QUERY_BYTES_MAX: usize = 64 << 10;

/// The greatest `k` and weight of a fusion, as in a dataflow file: scores stay far inside an `f32`.
const AMOUNT_MAX: f32 = 1e6;

/// A search that can be run. Where no leg is asked, it lists what the filter lets through.
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
    /// What the caller may see: whatever is found, counted or scored is of these documents. Over fields of the index only.
    pub population: Option<Expression>,
    /// Over fields of the index only.
    pub filter: Option<Expression>,
    pub fusion: Fusion,
    pub effort: Effort,
    pub vectors: VectorsWanted,
    pub offset: usize,
    pub limit: usize,
    /// All pages come from one ranking: the legs are asked for as much for each of them.
    pub by_pages: bool,
    pub min_score: Option<f32>,
    pub mmr: Option<MmrRequest>,
    pub rerank: Option<Rerank>,
    pub explain: bool,
    /// What hits say of their origin, where they are asked to.
    pub origin: Option<Arc<dyn Sources>>,
    /// The columns of the hits' documents: places in the rows of the index, ascending.
    pub columns: Vec<usize>,
    pub deadline: Deadline,
    /// What is highlighted, whichever leg is asked.
    pub highlighted: Option<KeywordQuery>,
    /// What another query language says beyond `words` and `nearest`.
    pub asked: Option<&'a Asked>,
    pub results: Results,
}

/// What the vector leg looks for.
#[derive(Clone, Debug)]
pub(super) enum Nearest<'a> {
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

impl Search<'_> {
    /// How many hits each leg is asked for.
    pub fn depth(&self) -> usize {
        match self.by_pages || self.counts_by_score() {
            true => HITS_MAX,
            false => {
                let window = self.rerank.as_ref().map_or(0, |rerank| rerank.window);
                LEG_DEPTH_MIN.max(self.offset + self.limit).max(window)
            }
        }
    }

    /// Whether a page is the beginning of every longer one, whatever is behind it.
    pub fn is_plain_page(&self) -> bool {
        let is_grouped = self.results.grouping != Grouping::None;
        let is_reordered = self.rerank.is_some() || self.mmr.is_some();
        !(self.by_pages || is_grouped || is_reordered || self.counts_by_score())
    }

    /// How many hits the vector leg is asked for.
    pub fn depth_nearest(&self) -> usize {
        self.asked_nearest().map_or(self.depth(), |near| near.k)
    }

    /// What another query language says of the vector leg.
    pub fn asked_nearest(&self) -> Option<&AskedNearest> {
        self.asked?.nearest.as_ref()
    }

    /// Whether what has less than `min_score` is no part of the result.
    pub fn counts_by_score(&self) -> bool {
        self.asked.is_some() && self.min_score.is_some()
    }
}

/// # Errors
///
/// | code               | what is wrong                                                             |
/// |--------------------|---------------------------------------------------------------------------|
/// | `no_tenant`        | documents belong to tenants, and the caller is of none                    |
/// | `missing_query`    | the legs asked need `query`, or `query` or `vector`, and nothing is listed |
/// | `missing_vector`   | ready-made vectors are searched, and nothing embeds `query`               |
/// | `no_text`          | the index has no text columns, and the keyword leg is asked               |
/// | `no_vectors`       | the index has no vectors, and the vector leg is asked, or `vector` given  |
/// | `unknown_vector`   | `using` names no vector field                                             |
/// | `wrong_model`      | the vectors searched are not of `model`                                   |
/// | `wrong_dimensions` | `vector` is not as long as the index's vectors                            |
/// | `bad_vector`       | `vector` has a number that is not finite, or no direction under cosine    |
/// | `bad_filter`       | `filter` is no condition, too long, of too many conditions, or compares a field with another kind |
/// | `unknown_field`    | `filter` names what is not in the index's `fields`                        |
/// | `unknown_text_field` | `text_fields` names what is not in the index's `text`                   |
/// | `bad_text_fields`  | `text_fields` names none                                                  |
/// | `bad_boost`        | a boost in `text_fields` is no number that is more than 0                 |
/// | `bad_minimum_match` | `minimum_match` is 0 or no number or share, or `operator` is given too   |
/// | `unknown_column`   | `fields` names what the index's query does not select                     |
/// | `bad_fusion`       | a weight or `k` out of range                                              |
/// | `bad_limit`        | `offset + limit` is too large                                             |
/// | `unknown_document` | `like` names no document                                                  |
/// | `no_vector`        | the document of `like` has no vector                                      |
/// | `bad_like`         | `like` and `vector` are both given                                        |
/// | `bad_min_score`    | `min_score` is no number, or `sort` is given                              |
/// | `bad_mmr`          | `mmr` is out of range, or cannot be                                       |
/// | `unknown_table`    | `consistency` names a partition of no table                               |
/// | `no_origin`        | `origin` is asked for where nothing is known of sources                   |
/// | `bad_timeout`      | `timeout_ms` is zero, or longer than the node takes                       |
/// | `bad_ef`           | `ef` is zero or too large                                                 |
/// | `bad_accuracy`     | `accuracy` is not between 0 and 1                                         |
/// | `bad_effort`       | more than one of `ef`, `accuracy` and `exact`                             |
///
/// and those of [`rerank::plan`] and [`Results::plan`].
pub(super) fn plan<'a>(
    searcher: &Searcher,
    snapshot: &Snapshot,
    request: &'a SearchRequest,
) -> Result<Search<'a>, QueryError> {
    let index = &*searcher.index;
    let leg = snapshot.sets.leg(field(index, request.using.as_deref())?);
    let field = searcher.legs.load().get(leg).cloned();
    of_model(field.as_deref(), request)?;
    let has_vectors = field.is_some();
    let options = options(index, request)?;
    let parsed = request
        .query
        .as_deref()
        .map(|query| language::parse(cut(query), &index.text, &options));
    let asked = request.asked.as_deref();
    let (asks_words, nearest) = match asked {
        Some(Asked { nearest: None, .. }) => (false, None),
        Some(Asked {
            nearest: Some(near), ..
        }) => {
            let field = field.as_deref().ok_or_else(no_vectors)?;
            (false, Some(Nearest::Vector(checked(field, &near.vector)?)))
        }
        None => legs(
            searcher,
            snapshot,
            (leg, field.as_deref()),
            request,
            parsed.as_ref(),
        )?,
    };
    let highlighted = match asked {
        Some(asked) => asked.highlighted.as_ref().and(asked.words.clone()),
        None => parsed.as_ref().map(|parsed| parsed.query.clone()),
    };
    let highlighted = highlighted.filter(|_| request.highlight.is_some());
    let required = parsed.as_ref().and_then(|parsed| parsed.required.clone());
    // Without signs of syntax, as for the vector leg.
    let plain = parsed.as_ref().and_then(|parsed| parsed.plain.as_deref());
    let rerank = rerank::plan(searcher, request, plain.or(request.query.as_deref()))?;
    Ok(Search {
        words: match asked {
            Some(asked) => asked.words.clone(),
            None => parsed.map(|parsed| parsed.query).filter(|_| asks_words),
        },
        required: required.filter(|_| !index.text.is_empty()),
        nearest,
        leg,
        field,
        population: searcher.sight.population()?,
        filter: match &request.filter {
            Some(asked) => Some(filter(searcher, asked)?),
            None => None,
        },
        fusion: match (asked.and_then(|asked| asked.fusion.as_ref()), &request.fusion) {
            (Some(fusion), _) => fusion.clone(),
            (None, Some(asked)) => fusion(asked)?,
            (None, None) => index.fusion.clone(),
        },
        effort: effort(request)?,
        vectors: request.vectors,
        offset: request.offset,
        limit: limit(searcher.limits.hits, request.offset, request.limit)?,
        by_pages: false,
        min_score: min_score(request)?,
        mmr: diverse::plan(request, has_vectors)?,
        rerank,
        explain: request.explain,
        origin: origin(searcher, request)?,
        columns: match &request.fields {
            Some(names) => columns(index, names)?,
            None => usual_columns(index),
        },
        deadline: deadline(searcher, request.timeout_ms)?,
        highlighted,
        asked,
        results: Results::plan(index, request, HITS_MAX)?,
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

/// A search never waits for a partition that cannot be.
pub(super) fn of_tables(searcher: &Searcher, request: &SearchRequest) -> Result<(), QueryError> {
    let is_of_table = |partition: &&str| {
        let mut tables = searcher.tables.iter();
        tables.any(|table| {
            partition
                .strip_prefix(&**table)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    };
    match request
        .consistency
        .partitions()
        .find(|partition| !is_of_table(partition))
    {
        None => Ok(()),
        Some(partition) => Err(QueryError::new(
            "unknown_table",
            format!("`consistency` names {partition:?}, which is no partition of a table"),
            format!(
                "name partitions as `as_of.positions` does, or `commit_ts`; {}",
                among("the tables are", &*searcher.tables)
            ),
        )),
    }
}

fn min_score(request: &SearchRequest) -> Result<Option<f32>, QueryError> {
    match request.min_score {
        Some(score) if score.is_nan() => Err(QueryError::new(
            "bad_min_score",
            "`min_score` is not a number",
            "give a score as hits have it",
        )),
        Some(_) if request.sort.is_some() => Err(QueryError::new(
            "bad_min_score",
            "`min_score` and `sort` do not go together: sorted hits need no score",
            "leave one of them out",
        )),
        score => Ok(score),
    }
}

fn origin(searcher: &Searcher, request: &SearchRequest) -> Result<Option<Arc<dyn Sources>>, QueryError> {
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

/// Vectors of different models are never compared.
fn of_model(field: Option<&SearchedField>, request: &SearchRequest) -> Result<(), QueryError> {
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
fn legs<'a>(
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

pub(super) fn filter(searcher: &Searcher, asked: &FilterRequest) -> Result<Expression, QueryError> {
    let filter = filter::plan(asked, &searcher.index.fields, searcher.clock)?;
    let (mut clauses, clauses_max) = (0, searcher.limits.clauses);
    filter.visit_columns(&mut |_| clauses += 1);
    if clauses > clauses_max {
        return Err(QueryError::new(
            "bad_filter",
            format!("`filter` names fields {clauses} times, more than {clauses_max}"),
            "a list of values names its field once: `id IN (1, 2, 3)`",
        ));
    }
    Ok(filter)
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
    let bad = |message: String, hint: &str| QueryError::new("bad_fusion", message, hint);
    let share = |weight: f32| match (0.0..=1.0).contains(&weight) {
        true => Ok(weight),
        false => Err(bad(
            format!("`fusion.weight` is {weight}"),
            "give 0 (keyword leg only) to 1 (vector leg only)",
        )),
    };
    let is_amount = |number: f32| (0.0..=AMOUNT_MAX).contains(&number);
    let amounts = |LegWeights { keyword, vector }: LegWeights| match is_amount(keyword)
        && is_amount(vector)
        && keyword + vector > 0.0
    {
        true => Ok(LegAmounts { keyword, vector }),
        false => Err(bad(
            format!("`fusion.weights` are {keyword} for `keyword` and {vector} for `vector`"),
            "give 0 to 1000000, and more than 0 for one of them",
        )),
    };
    match *request {
        FusionRequest::Relative { weight } => Ok(Fusion::Relative {
            weight: share(weight)?,
        }),
        FusionRequest::Distribution { weight } => Ok(Fusion::Distribution {
            weight: share(weight)?,
        }),
        FusionRequest::Linear { weights } => Ok(Fusion::Linear(amounts(weights)?)),
        FusionRequest::Rrf { k, .. } if !is_amount(k) => Err(bad(
            format!("`fusion.k` is {k}"),
            "give 0 to 1000000; 60 is usual",
        )),
        FusionRequest::Rrf {
            window: Some(window), ..
        } if !(1..=HITS_MAX).contains(&window) => Err(bad(
            format!("`fusion.window` is {window}"),
            "give 1 to 10000, or leave it out",
        )),
        FusionRequest::Rrf { k, weights, window } => Ok(Fusion::Rrf {
            k,
            weights: amounts(weights)?,
            window,
        }),
    }
}

fn limit(hits_max: usize, offset: usize, limit: usize) -> Result<usize, QueryError> {
    if offset.saturating_add(limit) > hits_max {
        return Err(QueryError::new(
            "bad_limit",
            format!("`offset` {offset} and `limit` {limit} add up to more than {hits_max}"),
            "narrow the search by a `filter` instead of paging that far",
        ));
    }
    Ok(limit)
}

fn deadline(searcher: &Searcher, timeout_ms: Option<u64>) -> Result<Deadline, QueryError> {
    let longest = searcher.limits.timeout_max;
    let timeout = match timeout_ms.map(Duration::from_millis) {
        None => searcher.limits.timeout,
        Some(timeout) if !timeout.is_zero() && timeout <= longest => timeout,
        Some(timeout) => {
            return Err(QueryError::new(
                "bad_timeout",
                format!("`timeout_ms` is {}", timeout.as_millis()),
                format!("give 1 to {}, or leave it out", longest.as_millis()),
            ));
        }
    };
    Ok(searcher.deadline.within(timeout))
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
        sources.any(|source| matches!(source, VectorSource::Column(ready_made) if ready_made.column == place))
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

/// A field of the index by its name: its place there, and its kind.
pub(super) fn field_named(index: &Index, key: &str, name: &str) -> Result<(usize, FieldKind), QueryError> {
    let place = index.fields.iter().position(|field| field.name == name);
    place
        .map(|place| (place, index.fields[place].kind))
        .ok_or_else(|| {
            QueryError::new(
                "unknown_field",
                format!("`{key}` names `{name}`, which is not a field of the index"),
                among("the fields are", index.fields.iter().map(|field| &field.name)),
            )
        })
}

pub(super) fn among<'a>(what: &str, names: impl IntoIterator<Item = &'a String>) -> String {
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
    use crate::definition::{Freshness, Plan, ReadyMade, Tuning, plan::Node};

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

    #[test]
    fn a_query_of_any_length_is_cut_between_characters() {
        assert_eq!(cut("shoe"), "shoe");
        let long = format!("x{}", "é".repeat(QUERY_BYTES_MAX));
        assert_eq!(cut(&long), &long[..QUERY_BYTES_MAX - 1]);
    }
}
