//! The best hits in the order of the re-ranker.

use std::time::{Duration, Instant};

use super::Run;
use super::list::{Found, Listed};
use crate::query::rerank::Reranked;

impl Run<'_, '_> {
    /// Puts the best hits into the order of the re-ranker, where that is asked for. `waited` is for how long this
    /// search has waited for it, and grows.
    pub(super) fn rerank(&self, found: &mut Found<'_>, waited: &mut Duration) {
        let search = self.search;
        let Some(rerank) = &search.rerank else { return };
        let window = rerank.window.min(found.list.len());
        let (offset, limit) = (search.offset, search.limit);
        if window == 0 || !rerank.is_seen(offset, limit, search.results.grouping) {
            found.reranked = Some(Reranked::default());
            return;
        }
        let began = Instant::now();
        let best = found.list.iter().take(window);
        let rows = best.map(|listed| &listed.hit.document.row);
        let order = rerank.order(rows, *waited, &search.deadline);
        *waited += began.elapsed();
        let reranked = match order {
            Err(reason) => Reranked::skipped(reason),
            Ok(order) => {
                let mut before: Vec<Option<Listed<'_>>> = found.list.drain(..window).map(Some).collect();
                let best = order.iter().filter_map(|&(place, score)| {
                    let listed = before.get_mut(place)?.take()?;
                    let reranked = score.map(|score| (place + 1, score));
                    Some(Listed { reranked, ..listed })
                });
                found.list.splice(..0, best);
                Reranked {
                    hits: order.iter().filter(|(_, score)| score.is_some()).count(),
                    ..Reranked::default()
                }
            }
        };
        found.reranked = Some(Reranked {
            took: *waited,
            ..reranked
        });
    }
}
