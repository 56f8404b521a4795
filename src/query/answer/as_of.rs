//! The cut of the stream that an answer was read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::Tick;
use crate::index::Snapshot;

/// The cut of the stream that an answer was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsOf {
    #[schema(value_type = u64)]
    pub tick: Tick,
    /// The last position read of each partition, as `table/partition`.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub positions: Arc<BTreeMap<String, u64>>,
    /// How many milliseconds the answer is behind what the sources are known to hold: 0 where all that has been read,
    /// else the age of the newest commit shown of the partition that is farthest behind. Absent where that is not known, and in
    /// a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staleness_ms: Option<u64>,
    /// The oldest row that was read and is not shown yet, since its vector is not there; absent where there is none, and
    /// always unless `freshness = "together"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<OldestHeld>,
}

/// The oldest row that was read and is not shown yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OldestHeld {
    /// When it came.
    #[schema(value_type = u64)]
    pub tick: Tick,
    /// Everything up to these positions, as `table/partition`, is shown. Without any: of what was held back when the
    /// node started, no position is known.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub shown_through: Arc<BTreeMap<String, u64>>,
}

impl AsOf {
    pub(in crate::query) fn new(snapshot: &Snapshot) -> AsOf {
        AsOf {
            tick: snapshot.tick,
            positions: snapshot.positions.clone(),
            staleness_ms: None,
            held_back: snapshot.held_back.as_ref().map(|held| OldestHeld {
                tick: held.since,
                shown_through: held.positions.clone(),
            }),
        }
    }
}
