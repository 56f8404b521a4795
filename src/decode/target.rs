//! What every format needs of its table: which messages are for it, what its key is, how its columns are typed.

use std::collections::BTreeMap;

use super::json::Cell;
use super::needed::Needed;
use super::value::{self, Kind, Wire};
use super::{number, vector};
use crate::change::{Datum, Float, Key};
use crate::definition::{ColumnType, Table, VectorColumn};

pub(super) struct Target {
    pub key: Vec<String>,
    select: Vec<String>,
    types: BTreeMap<String, ColumnType>,
    pub vectors: Vec<VectorColumn>,
    pub needed: Needed,
}

impl Target {
    pub fn new(table: &Table) -> Target {
        Target {
            key: table.key.clone(),
            select: table.select.clone(),
            types: table.columns.clone(),
            vectors: table.vectors.clone(),
            needed: Needed::new(table),
        }
    }

    /// Whether a message of this source table is for us. `schema` is empty where the database has none.
    pub fn takes(&self, database: &str, schema: &str, table: &str) -> bool {
        self.select.is_empty()
            || self.select.iter().any(|selected| {
                selected
                    .strip_suffix(table)
                    .and_then(|rest| rest.strip_suffix('.'))
                    .is_some_and(|rest| {
                        let both = || {
                            rest.strip_prefix(database)
                                .and_then(|rest| rest.strip_prefix('.'))
                                == Some(schema)
                        };
                        !rest.is_empty()
                            && (rest == schema || rest == database || !schema.is_empty() && both())
                    })
            })
    }

    /// Whether this source table was selected by its name.
    pub fn selects(&self, database: &str, schema: &str, table: &str) -> bool {
        !self.select.is_empty() && self.takes(database, schema, table)
    }

    /// Whether a message that names no table is for us: by its topic, if it has one.
    pub fn takes_topic(&self, topic: &str) -> bool {
        self.select.is_empty()
            || topic.is_empty()
            || self.select.iter().any(|selected| {
                let prefix = topic.strip_suffix(selected.as_str());
                prefix == Some("")
                    || selected.contains('.') && prefix.is_some_and(|prefix| prefix.ends_with('.'))
            })
    }

    /// Whether several source tables flow into this one: the end of one of them is not the end of all rows.
    pub fn is_merged(&self) -> bool {
        self.select.len() > 1
    }

    /// The type that the dataflow file gives a column.
    pub fn kind(&self, column: &str) -> Option<Kind> {
        self.types.get(column).cloned().map(Kind::Sql)
    }

    /// The value of a column from its JSON text.
    ///
    /// # Errors
    /// Names the column, and what would be right.
    pub fn read(&self, column: &str, json: &str, kind: &Kind, wire: Wire) -> Result<Datum, String> {
        let cell = Cell::read(json).map_err(|error| format!("column `{column}`: {error}"))?;
        match self.vectors.iter().find(|vector| vector.name == column) {
            Some(vector) if !value::is_unavailable(&cell, wire) => {
                vector::read(&cell, vector).map_err(|why| format!("vector `{column}` {why}"))
            }
            _ => Ok(value::read(cell, kind, wire)),
        }
    }

    /// The key from its parts, each in the form that equal keys share.
    ///
    /// # Errors
    /// Names the column that is missing or cannot be in a key.
    pub fn key(
        &self,
        mut part: impl FnMut(usize, &str) -> Result<Option<Datum>, String>,
    ) -> Result<Key, String> {
        let mut parts = Vec::with_capacity(self.key.len());
        for (place, name) in self.key.iter().enumerate() {
            let datum = part(place, name)?.ok_or_else(|| format!("key column `{name}` is missing"))?;
            parts.push(match datum {
                Datum::Unavailable | Datum::Vector(_) => {
                    return Err(format!(
                        "key column `{name}` has no value of its own: expected text or a number"
                    ));
                }
                Datum::Decimal(text) => number::canonical_decimal(&text),
                Datum::Float(Float(float)) => number::canonical_float(float),
                datum => datum,
            });
        }
        if parts.iter().all(Datum::is_null) {
            return Err(format!(
                "key column `{}` is null: expected a value",
                self.key.join("`, `")
            ));
        }
        Ok(Key::new(parts))
    }
}
