//! What `[embedder]` says of any model: what may be kept, how long searches wait, what a token costs.

use super::written::Section;
use super::{duration, size};
use crate::definition::LaneSettings;

pub(super) fn read(section: &mut Section<'_>) -> Option<LaneSettings> {
    let default = LaneSettings::default();
    let cache = section.optional("cache");
    let query_timeout = section.optional("query_timeout");
    let price = section.optional("price_per_million_tokens");
    let cache = cache.map_or(Some(default.cache_bytes), |entry| {
        size(&entry).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    });
    let query_timeout = query_timeout.map_or(Some(default.query_timeout), |entry| duration(&entry));
    let price = match price {
        None => Some(None),
        Some(entry) => entry
            .number(|price| (0.0..=1e6).contains(&price), "a price from 0 to 1000000")
            .map(Some),
    };
    Some(LaneSettings {
        cache_bytes: cache?,
        query_timeout: query_timeout?,
        price_per_million_tokens: price?,
    })
}
