//! The tables that take pushes: their logs are opened at the start, and cut behind checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::NodeError;
use crate::change::{Offset, TableId};
use crate::checkpoint::Checkpointed;
use crate::definition::{Definition, SourceSettings};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::source::http::PushTable;
use crate::storage::Storage;

/// The tables that take pushes, by name.
pub(super) type PushTables = BTreeMap<String, Arc<PushTable>>;

/// Opens the logs of the tables that take pushes.
pub(super) fn push_tables(
    definition: &Definition,
    intake: &Arc<Intake>,
    storage: &Arc<dyn Storage>,
    metrics: &Metrics,
) -> Result<PushTables, NodeError> {
    let tables = definition.tables.iter().zip(0..);
    tables
        .filter(|(table, _)| matches!(table.source, SourceSettings::Http))
        .map(|(table, number)| {
            let receivers = intake.receivers(TableId(number));
            let opened = PushTable::open(storage.clone(), &table.name, &*receivers);
            let pushes = opened.map_err(|cause| NodeError::PushLog {
                table: table.name.clone(),
                cause,
            })?;
            metrics.push_lost(&table.name, pushes.lost());
            Ok((table.name.clone(), pushes))
        })
        .collect()
}

/// Takes off the logs what no start replays any more.
pub(super) fn cut_logs(logs: &PushTables, oldest: &Checkpointed) {
    for (table, log) in logs {
        if let Some(position) = oldest.positions.get(&format!("{table}/0")) {
            log.checkpointed(Offset(*position));
        }
    }
}
