//! A small model of collapse: the latest row per key, by version, completed where values are unavailable.

use std::collections::BTreeMap;

use millpond::change::{Change, DatumRef, Key, Operation, Row, Version};
use serde_json::{Map, Value};

#[derive(Default)]
pub struct Rows {
    /// The latest version of each key, and its row unless that was a delete.
    latest: BTreeMap<Key, (Version, Option<Row>)>,
    /// The last row that each key had, also of deleted keys: a moved row's values come from there.
    known: BTreeMap<Key, Row>,
    truncated: Option<Version>,
}

impl Rows {
    pub fn apply(&mut self, change: &Change) {
        let version = change.version;
        if change.operation == Operation::Truncate {
            assert_eq!(change.key, Key::new([]), "the key of a truncate");
            for (at, row) in self.latest.values_mut().filter(|(at, _)| version.replaces(at)) {
                (*at, *row) = (version, None);
            }
            self.truncated = Some(version);
            return;
        }
        let older = self
            .latest
            .get(&change.key)
            .map(|(at, _)| at)
            .or(self.truncated.as_ref());
        if older.is_some_and(|at| !version.replaces(at)) {
            return;
        }
        let row = match &change.operation {
            Operation::Upsert(row) => Some(self.complete(row, change)),
            _ => None,
        };
        if let Some(row) = &row {
            self.known.insert(change.key.clone(), row.clone());
        }
        self.latest.insert(change.key.clone(), (version, row));
    }

    fn complete(&self, row: &Row, change: &Change) -> Row {
        let before = self.known.get(change.moved_from.as_ref().unwrap_or(&change.key));
        row.map(|(name, value)| match value {
            DatumRef::Unavailable => {
                let known = before.and_then(|before| before.get(name)).map(DatumRef::to_datum);
                known.unwrap_or_else(|| panic!("nothing completes `{name}` of {}", change.key))
            }
            value => value.to_datum(),
        })
    }

    /// The rows that are left, as JSON objects.
    pub fn into_json(self) -> Vec<Map<String, Value>> {
        let rows = self.latest.into_values().filter_map(|(_, row)| row);
        let json = |row: Row| {
            let mut out = Vec::new();
            row.write_json(&mut out);
            serde_json::from_slice(&out).expect("a row is written as JSON")
        };
        rows.map(json).collect()
    }
}
