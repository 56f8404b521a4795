//! What is stored goes back to whom it belongs, before workers and sources start.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use super::upgrade::{Resolved, Resolver};
use super::{Node, NodeError, before};
use crate::change::{Row, TableId, Tick};
use crate::checkpoint::{self, Change, Checkpointed, Recovered, Rekey, Store, StoredSets, TableCut};
use crate::dataflow::Resume;
use crate::dataflow::publish::Publisher;
use crate::decode::key_of;
use crate::definition::Table;
use crate::embed::FieldEmbedders;
use crate::storage::Storage;

/// What the workers and the thread that writes checkpoints go on from.
pub(super) struct Recovery {
    pub store: Store,
    pub resume: Arc<Resume>,
    /// The tick that is on disk as it will be shown.
    pub stored: Tick,
    /// The definition as upgrades have it.
    pub resolved: Resolved,
}

impl Node {
    /// Opens the data directory, and has the index before a rebuild answer.
    pub(super) fn recover(
        &self,
        embedders: &FieldEmbedders,
        workers: usize,
        storage: &Arc<dyn Storage>,
        publisher: &Publisher,
    ) -> Result<Recovery, NodeError> {
        let definition = &self.app.definition;
        let rekey = |table: &str, row: &Row| {
            let (_, table) = definition.table(table)?;
            key_of(table, row).ok()
        };
        let rebuild: Option<Rekey<'_>> = if self.options.rebuild { Some(&rekey) } else { None };
        let upgrades = Resolver {
            file: definition,
            opened: embedders,
            open: &*self.embedders,
            last: RefCell::default(),
            failed: RefCell::default(),
        };
        let shape = |stored: &StoredSets| upgrades.shape(stored, workers);
        let opened = Store::open_with(storage.clone(), &shape, rebuild);
        if let Some(error) = upgrades.failed.take() {
            return Err(error.into());
        }
        let (mut store, mut recovered) = opened?;
        store.keep_file(definition.kept.clone());
        let stored = match &recovered {
            Some(recovered) if recovered.change == Change::Same => recovered.tick,
            // What is made anew of the rows is not on disk yet.
            _ => Tick(0),
        };
        if let Some(before) = recovered.as_mut().and_then(|recovered| recovered.before.take()) {
            self.serve_before(before, storage);
        }
        if let Some(recovered) = &recovered {
            self.app.durable.advance(Checkpointed {
                tick: stored,
                positions: Arc::new(recovered.positions.clone()),
            });
        }
        let (sets, change) = match &recovered {
            Some(recovered) => (recovered.sets.clone(), recovered.change.clone()),
            None => (StoredSets::default(), Change::Same),
        };
        let resolved = upgrades.resolve(&sets)?.after(&change);
        publisher.begin_sets(resolved.sets.clone(), resolved.forgotten.clone());
        let resume = self.restore(recovered, publisher, storage.clone());
        Ok(Recovery {
            store,
            resume,
            stored,
            resolved,
        })
    }

    /// Has the index before answer until the one that is made anew is complete.
    fn serve_before(&self, before: checkpoint::Before, storage: &Arc<dyn Storage>) {
        if self.app.searcher.is_none() {
            return;
        }
        match before::open(before, &*self.embedders, storage.clone(), &self.options.data_dir) {
            Ok(None) => {}
            Ok(Some(before)) => {
                let documents = before.searcher.stats().documents;
                tracing::info!(
                    documents,
                    "rebuilding; until that is done, the index before answers"
                );
                self.app.before.store(Some(Arc::new(before)));
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the index before cannot be served: what is rebuilt so far answers"
            ),
        }
    }

    /// Hands what was stored to whom it belongs; the workers' part is returned.
    fn restore(
        &self,
        recovered: Option<Recovered>,
        publisher: &Publisher,
        storage: Arc<dyn Storage>,
    ) -> Arc<Resume> {
        let tables = &self.app.definition.tables;
        let Some(mut recovered) = recovered else {
            return Arc::new(Resume::nothing(tables.len(), storage));
        };
        let rows: usize = recovered.tables.values().map(|table| table.keys.len()).sum();
        tracing::info!(rows, tick = recovered.tick.0, "recovering");
        publisher.restore(recovered.positions.clone());
        self.intake.restore(recovered.partitions, recovered.positions);
        let stored = |table: &Table| recovered.tables.remove(&table.name).unwrap_or_default();
        let stored: Vec<TableCut> = tables.iter().map(stored).collect();
        for (number, table) in (0..).zip(&stored) {
            // A column that the newest rows have, and the next ones lack, was dropped.
            if let Some(row) = table.newest_row() {
                let columns = row.columns().names().iter().map(|name| &**name);
                self.intake.expect_columns(TableId(number), columns);
            }
        }
        Arc::new(Resume {
            tick: recovered.tick,
            tables: Mutex::new(stored),
            texts: Mutex::new(recovered.texts),
            shards: recovered.shards,
            storage,
        })
    }
}
