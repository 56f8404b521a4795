//! `canal-json`: what TiCDC and Alibaba Canal write. One message is one table, and many rows.
//!
//! All values are text; their types stand in the message, as SQL (`mysqlType`) and as JDBC numbers (`sqlType`).

use std::cell::{Cell, LazyCell};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::claim_check::{self, ClaimCheck};
use super::declared::{Declared, Known};
use super::json::{self, Fields, Text};
use super::outcome::{Body, Outcome, Reached, Refused, Stamp, origin};
use super::row::{Shape, Shapes};
use super::target::Target;
use super::value::{Kind, Wire};
use crate::change::SourceOrder;

pub(super) struct Canal {
    pub(super) target: Target,
    shapes: Shapes<Basis>,
    mysql_types: Known,
    sql_types: Known,
    reached: Reached,
    claim_check: ClaimCheck,
    /// The commit timestamps of TiDB are one order, whichever node sends them.
    origin: u64,
}

/// What the types of a row's columns were read from, by numbers in [`Known`].
struct Basis {
    mysql_type: u64,
    /// TiCDC's vary with the values, so they are compared only where a column needs them.
    sql_type: Option<u64>,
}

/// Sets of columns that the rows of one message may have and rows before did not. They are rows of one table, so one is
/// usual; each costs as much as all that the message declares.
const NEW_SHAPES_MAX: usize = 16;

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Event<'a> {
    #[serde(borrow, default)]
    database: Option<Text<'a>>,
    #[serde(borrow, default)]
    table: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    es: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<Vec<Fields<'a>>>,
    #[serde(borrow, default)]
    old: Option<Vec<Option<Fields<'a>>>>,
    #[serde(borrow, default, rename = "mysqlType")]
    mysql_type: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "sqlType")]
    sql_type: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_tidb")]
    tidb: Option<TiDb<'a>>,
}

/// TiCDC's extension.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
struct TiDb<'a> {
    commit_ts: Option<u64>,
    only_handle_key: Option<bool>,
    #[serde(borrow)]
    claim_check_location: Option<Text<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Upserted,
    Deleted,
}

impl Canal {
    pub fn new(target: Target, claim_check: ClaimCheck) -> Canal {
        Canal {
            target,
            shapes: Shapes::new(),
            mysql_types: Known::default(),
            sql_types: Known::default(),
            reached: Reached::default(),
            claim_check,
            origin: origin("tidb"),
        }
    }

    pub fn decode(&mut self, outcome: &mut Outcome<'_>) {
        let text = match outcome.body() {
            Body::Tombstone => return outcome.skip(),
            Body::Refused => return,
            Body::Text(text) => text,
        };
        if let Ok(event) = serde_json::from_str(text) {
            return self.event(event, outcome, true);
        }
        // Not one message: several of them, as sinks to storage write them, or none.
        for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
            match value.and_then(|value| serde_json::from_str(value.get())) {
                Ok(event) => self.event(event, outcome, true),
                Err(error) => outcome.refuse(format!("value: {error}: expected a canal-json object")),
            }
        }
    }

    fn event(&mut self, event: Event<'_>, outcome: &mut Outcome<'_>, may_be_claim_check: bool) {
        let (database, table) = (Text::or_empty(&event.database), Text::or_empty(&event.table));
        let kind = &*event.kind.0;
        let takes = || !table.is_empty() && self.target.takes(database, "", table);
        match kind {
            "INSERT" | "UPDATE" | "DELETE" | "INIT" | "TRUNCATE" | "ERASE" if takes() => {}
            _ => return outcome.skip(),
        }
        let rows = match kind {
            "DELETE" => Rows::Deleted,
            "TRUNCATE" | "ERASE" => {
                if self.target.is_merged() {
                    return outcome.refuse(format!(
                        "{kind} of `{database}.{table}`: other tables flow into this one, so its rows stay"
                    ));
                }
                let stamp = self.stamp(&event);
                return outcome.truncate(stamp);
            }
            _ => Rows::Upserted,
        };
        let tidb = event.tidb.as_ref();
        if let Some(location) = tidb
            .and_then(|tidb| tidb.claim_check_location.as_ref())
            .filter(|text| !text.0.is_empty())
        {
            return match may_be_claim_check {
                true => self.redeem(&location.0, outcome),
                false => outcome.refuse("`_tidb.claimCheckLocation`: the file holds another claim check"),
            };
        }
        if rows == Rows::Upserted && tidb.is_some_and(|tidb| tidb.only_handle_key == Some(true)) {
            return outcome.refuse("`_tidb.onlyHandleKey`: `data` has the key alone: expected the whole row");
        }
        self.rows(&event, rows, outcome);
    }

    fn redeem(&mut self, location: &str, outcome: &mut Outcome<'_>) {
        let text = match claim_check::redeem(location, &self.claim_check) {
            Ok(text) => text,
            Err(reason) => return outcome.refuse(reason),
        };
        match serde_json::from_str(&text) {
            Ok(event) => self.event(event, outcome, false),
            Err(error) => outcome.refuse(format!("claim-check file of `{location}`: {error}")),
        }
    }

    fn rows(&mut self, event: &Event<'_>, rows: Rows, outcome: &mut Outcome<'_>) {
        let stamp = self.stamp(event);
        let mysql_type = event.mysql_type.map_or("", RawValue::get);
        let sql_type = event.sql_type.map_or("", RawValue::get);
        let mysql_number = self.mysql_types.number(mysql_type);
        let sql_number = LazyCell::new(|| self.sql_types.number(sql_type));
        let mut new_shapes = 0;
        let Some(data) = &event.data else {
            return outcome.refuse("`data` is null: expected an array of rows");
        };
        let old = event.old.as_deref().unwrap_or_default();
        for (place, fields) in data.iter().enumerate() {
            let old = old.get(place).and_then(Option::as_ref);
            let same_basis = |basis: &Basis| {
                basis.mysql_type == mysql_number && basis.sql_type.is_none_or(|known| known == *sql_number)
            };
            let shape = self.shapes.of(fields, same_basis, || {
                new_shapes += 1;
                if new_shapes > NEW_SHAPES_MAX {
                    return Err(format!(
                        "the rows of the message have more than {NEW_SHAPES_MAX} different sets of columns: \
                         expected those of one table"
                    ));
                }
                let (shape, needs_sql_type) = shape(&self.target, fields, mysql_type, sql_type)?;
                let basis = Basis {
                    mysql_type: mysql_number,
                    sql_type: needs_sql_type.then(|| *sql_number),
                };
                Ok((basis, shape))
            });
            let result = shape.map_err(Refused::from).and_then(|shape| {
                if rows == Rows::Deleted {
                    outcome.delete(shape.key(&self.target, fields, fields)?, stamp);
                    return Ok(());
                }
                let (key, row) = shape.row(&self.target, fields)?;
                // `old` may name columns that did not change in this row, so the keys are compared.
                let moved = |old: &&Fields<'_>| self.target.key.iter().any(|name| old.get(name).is_some());
                let old_key = old
                    .filter(moved)
                    .and_then(|old| shape.key(&self.target, old, fields).ok());
                if let Some(old_key) = old_key.filter(|old_key| *old_key != key) {
                    outcome.delete(old_key, stamp);
                }
                outcome.upsert(key, row, None, stamp);
                Ok(())
            });
            match result {
                Ok(()) => outcome.row_done(),
                Err(refused) => outcome.refuse(refused),
            }
        }
    }

    fn stamp(&mut self, event: &Event<'_>) -> Stamp {
        let commit_ts = event.tidb.as_ref().and_then(|tidb| tidb.commit_ts);
        let order = commit_ts.map(|commit_ts| SourceOrder {
            origin: self.origin,
            order: (commit_ts, 0, 0),
        });
        let es = event.es.and_then(|es| json::integer(es.get()));
        // A timestamp of TiDB holds milliseconds above 18 bits of a counter.
        let committed_ms = es.or(commit_ts.map(|commit_ts| (commit_ts >> 18) as i64));
        Stamp {
            order: self.reached.order(order),
            committed_ms,
        }
    }
}

/// A column's type comes from the dataflow file, else from `mysqlType`, else from `sqlType`. Says also whether the
/// last was asked for any column.
fn shape(
    target: &Target,
    fields: &Fields<'_>,
    mysql_type: &str,
    sql_type: &str,
) -> Result<(Shape, bool), String> {
    let mysql = LazyCell::new(|| Declared::parse(mysql_type));
    let sql = LazyCell::new(|| Declared::parse(sql_type));
    let needs_sql_type = Cell::new(false);
    let shape = Shape::new(target, fields, Wire::Canal, |name| {
        let jdbc = || {
            needs_sql_type.set(true);
            sql.jdbc(name)
        };
        let declared = || mysql.sql(name).or_else(jdbc).map(Kind::Sql);
        target.kind(name).or_else(declared).unwrap_or(Kind::Untyped)
    })?;
    Ok((shape, needs_sql_type.get()))
}
