//! What the node's searches know of its sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::change::PartitionId;
use crate::definition::{Definition, SourceSettings};
use crate::intake::Intake;
use crate::query::Sources;
use crate::source::{Status, StatusState};

/// How the sources of a node are doing, by table.
pub struct KnownSources {
    tables: BTreeMap<String, Source>,
    intake: Arc<Intake>,
}

struct Source {
    status: Status,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Others write to it: what waits there is known by asking.
    Kafka,
    /// Read once to its end.
    File,
    /// All that there is goes through this process, or is found as it is written.
    Other,
}

impl KnownSources {
    pub fn new(definition: &Definition, statuses: &[(String, Status)], intake: Arc<Intake>) -> KnownSources {
        let tables = definition.tables.iter().zip(statuses);
        let source = |(table, (name, status)): (&crate::definition::Table, &(String, Status))| {
            let kind = match &table.source {
                SourceSettings::Kafka(_) => Kind::Kafka,
                SourceSettings::File(file) if !file.follow => Kind::File,
                SourceSettings::File(_) | SourceSettings::Http => Kind::Other,
            };
            let status = status.clone();
            (name.clone(), Source { status, kind })
        };
        KnownSources {
            tables: tables.map(source).collect(),
            intake,
        }
    }
}

impl Source {
    fn is_read(&self, partition: &str) -> bool {
        let is_read = |state: &StatusState| {
            state.trouble.is_none()
                && match self.kind {
                    Kind::Kafka => state.lag.get(partition) == Some(&0),
                    Kind::File => state.finished,
                    Kind::Other => state.lag.get(partition).is_none_or(|lag| *lag == 0),
                }
        };
        self.status.look(is_read)
    }
}

impl Sources for KnownSources {
    fn partitions(&self) -> Vec<String> {
        self.intake.accepted().into_keys().collect()
    }

    fn is_shown(&self, name: &str, shown: Option<u64>) -> bool {
        let Some((table, partition)) = name.split_once('/') else {
            return false;
        };
        let accepted = self.intake.accepted_of(name);
        accepted <= shown
            && self
                .tables
                .get(table)
                .is_none_or(|source| source.is_read(partition))
    }

    fn are_known(&self) -> bool {
        self.tables.values().all(|source| match source.kind {
            Kind::Kafka => source.status.look(|state| !state.lag.is_empty()),
            Kind::File | Kind::Other => true,
        })
    }

    fn partition(&self, id: PartitionId) -> Option<String> {
        self.intake.partition(id)
    }
}
