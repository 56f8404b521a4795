//! What a search wants of its result beside the best hits.

use super::facets::{self, Facet};
use super::group::Grouping;
use super::highlight::Highlight;
use super::sort::{self, After, SortKey};
use super::whole::TotalRequest;
use super::{QueryError, SearchRequest};
use crate::definition::Index;

pub(super) struct Results {
    pub total: TotalRequest,
    pub facets: Vec<Facet>,
    /// `None`: the best first.
    pub sort: Option<Vec<SortKey>>,
    /// The best first, and `sort` says so: hits show what they are sorted by.
    pub shows_scores: bool,
    /// Where the list begins, of a sorted result.
    pub after: Option<After>,
    pub grouping: Grouping,
    pub highlight: Option<Highlight>,
}

impl Results {
    /// `hits_max` bounds a page. The tables of what is refused stand where each part is planned.
    pub fn plan(index: &Index, request: &SearchRequest, hits_max: usize) -> Result<Results, QueryError> {
        let sort = match &request.sort {
            Some(sort) => Some(sort::plan(index, sort)?),
            None => None,
        };
        let of_asked = || {
            let asked = request.asked.as_ref()?;
            Some(After {
                values: asked.after.clone()?,
                key: asked.after_key.clone(),
            })
        };
        let after = After::plan(request, sort.as_deref())?.or_else(of_asked);
        // The best first is no order of its own, but where a page begins in it.
        let is_usual = |keys: &[SortKey]| matches!(keys, [key] if key.is_usual()) && after.is_none();
        Ok(Results {
            total: request.total.unwrap_or(TotalRequest::Wanted(false)),
            facets: facets::plan(index, &request.facets)?,
            shows_scores: sort.as_deref().is_some_and(is_usual),
            sort: sort.filter(|keys| !is_usual(keys)),
            after,
            grouping: Grouping::plan(index, request, hits_max)?,
            highlight: Highlight::plan(index, request)?,
        })
    }

    /// Whether it is asked for more than a list of hits.
    pub fn need_whole(&self) -> bool {
        self.sort.is_some() || !self.facets.is_empty() || self.total != TotalRequest::Wanted(false)
    }

    /// Whether every document of the result needs its score.
    pub fn need_scores(&self) -> bool {
        self.sort
            .as_ref()
            .is_some_and(|keys| keys.iter().any(SortKey::is_score))
    }
}

impl SearchRequest {
    /// Whether it means something without anything to search for: then it lists what the filter lets through.
    pub(super) fn lists(&self) -> bool {
        self.filter.is_some()
            || self.sort.is_some()
            || self.total.is_some()
            || self.group_by.is_some()
            || self.distinct.is_some()
            || !self.facets.is_empty()
    }
}
