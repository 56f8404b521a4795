//! The part of a list that is shown, and whether the list is long enough for it.

use super::Run;
use super::list::{Depth, Found, Listed};
use crate::query::group::{Grouped, Grouping, distinct, groups};

/// The part of a list that is shown, as places in it.
pub(super) enum Page {
    Hits { places: Vec<usize>, is_complete: bool },
    Groups(Grouped),
}

impl Page {
    /// Places in the list, some of them several times where there are groups.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        let (hits, groups) = match self {
            Page::Hits { places, .. } => (&places[..], &[][..]),
            Page::Groups(grouped) => (&[][..], &grouped.groups[..]),
        };
        let of_groups = groups.iter().flat_map(|group| &group.hits);
        hits.iter().chain(of_groups).copied()
    }
}

impl Run<'_, '_> {
    pub(super) fn page(&self, list: &[Listed<'_>]) -> Page {
        let (offset, limit) = (self.search.offset, self.search.limit);
        let rows = list.iter().map(|listed| &listed.hit.document.row);
        // Without a shard there is no row either.
        let schema = self.snapshot.shards.first().map(|shard| shard.keyword.schema());
        match (self.search.results.grouping, schema) {
            (Grouping::Groups { field, size }, Some(schema)) => {
                let mut grouped = groups(schema, rows, (field, size), offset + limit);
                grouped.groups.drain(..offset.min(grouped.groups.len()));
                Page::Groups(grouped)
            }
            (Grouping::Groups { .. }, None) => Page::Groups(Grouped {
                groups: Vec::new(),
                is_complete: true,
            }),
            (Grouping::Distinct { field }, Some(schema)) => {
                let mut places = distinct(schema, rows, field, offset + limit);
                let is_complete = places.len() == offset + limit;
                places.drain(..offset.min(places.len()));
                Page::Hits { places, is_complete }
            }
            _ => Page::Hits {
                places: (offset.min(list.len())..(offset + limit).min(list.len())).collect(),
                is_complete: true,
            },
        }
    }

    /// How deep to look next, where groups are not full and there is more.
    ///
    /// By words and by fields all is found at once; near vectors are asked for only until there are enough groups.
    pub(super) fn deeper(&self, depth: Depth, found: &Found<'_>, page: &Page) -> Option<Depth> {
        let (is_complete, lacks_groups) = match page {
            Page::Hits { is_complete, .. } => (*is_complete, true),
            Page::Groups(grouped) => (grouped.is_complete, grouped.groups.len() < self.search.limit),
        };
        let all = self.snapshot.documents();
        let more_listed = found.is_listed_cut && depth.listed < all;
        let has_more_nearest = self.search.asked_nearest().is_none() && found.is_nearest_cut;
        let more_nearest = has_more_nearest && depth.nearest < all && lacks_groups;
        (!is_complete && (more_listed || more_nearest)).then(|| Depth {
            listed: if more_listed { all } else { depth.listed },
            nearest: match more_nearest {
                true => depth.nearest.saturating_mul(4),
                false => depth.nearest,
            },
        })
    }
}
