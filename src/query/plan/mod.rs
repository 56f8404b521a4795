//! A request -> what is to be run. Every fault of a request is found here; past this door nobody asks again.

mod legs;
mod words;
mod fusion;
mod shown;
mod cost;
mod named;

use std::sync::Arc;

use super::asked::{Asked, AskedNearest};
use super::fuse::LEG_DEPTH_MIN;
use super::group::Grouping;
use super::language;
use super::request::{SearchRequest, VectorsWanted};
use super::rerank::{self, Rerank};
use super::results::Results;
use super::{MmrRequest, QueryError, SearchedField, Searcher, Sources, diverse};
use crate::definition::{Effort, Expression, Fusion};
use crate::index::keyword::KeywordQuery;
use crate::index::{Deadline, Snapshot};
pub(super) use cost::{HITS_MAX, filter};
use cost::{deadline, effort, limit, looked_up};
use fusion::{fusion, min_score};
pub(super) use legs::{Nearest, field};
use legs::{checked, cut, legs, no_vectors, of_model};
pub(super) use named::{among, field_named, of_tables};
use shown::{columns, origin, usual_columns};
use words::options;

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
/// | `too_many_words`   | another query language asks for more words, phrases or prefixes than are looked up |
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
    if let Some(asked) = asked {
        let among = asked.nearest.as_ref().and_then(|near| near.among.as_ref());
        asked.words.iter().chain(among).try_for_each(looked_up)?;
    }
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
