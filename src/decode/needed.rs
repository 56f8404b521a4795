//! Whether a row still has what the index needs: columns that were dropped or have another type now.
//!
//! A row of a change stream has all columns of its table, so a column that rows had and this one lacks was dropped. A
//! stream that is read from its beginning may begin before a column was added: until rows have had it, it is null.

use std::cell::Cell;

use super::outcome::Refused;
use crate::change::{Columns, Datum};
use crate::definition::{Need, Table};

/// The columns that the index needs.
pub(super) struct Needed(Vec<Expected>);

struct Expected {
    need: Need,
    /// Whether rows have had the column.
    seen: Cell<bool>,
}

/// Where the needed columns stand in rows of one shape.
pub(super) type Places = Box<[Option<usize>]>;

impl Needed {
    pub fn new(table: &Table) -> Needed {
        let needs = table.needs.iter().filter(|_| table.format.has_whole_rows());
        let expected = needs.map(|need| Expected {
            need: need.clone(),
            seen: Cell::new(false),
        });
        Needed(expected.collect())
    }

    /// Notes that rows have had these columns.
    pub fn expect<'a>(&self, columns: impl IntoIterator<Item = &'a str>) {
        for column in columns {
            for expected in self.0.iter().filter(|expected| expected.need.column == column) {
                expected.seen.set(true);
            }
        }
    }

    pub fn places(&self, columns: &Columns) -> Places {
        let place = |expected: &Expected| columns.position(&expected.need.column);
        self.0.iter().map(place).collect()
    }

    /// # Errors
    /// The row lacks a column that rows had, or a filter field cannot hold a value. The reason is the same for all
    /// rows that a change of the table affects.
    pub fn check(&self, places: &Places, values: &[Datum]) -> Result<(), Refused> {
        for (expected, place) in self.0.iter().zip(places) {
            let column = &expected.need.column;
            match place.and_then(|place| values.get(place)) {
                None if expected.seen.get() => {
                    return Err(Refused::schema_change(format!(
                        "column `{column}` is missing, which the index needs: it was dropped or renamed; \
                         the dataflow's query must do without it"
                    )));
                }
                None => {}
                Some(value) => {
                    if let Some(kind) = expected.need.unfit(value) {
                        return Err(Refused::schema_change(format!(
                            "column `{column}` is {} now, which the filter field of kind {} cannot hold",
                            name(value),
                            kind.name()
                        )));
                    }
                    expected.seen.set(true);
                }
            }
        }
        Ok(())
    }
}

/// What a value is, in the words of the dataflow file.
fn name(value: &Datum) -> &'static str {
    match value {
        Datum::Null | Datum::Unavailable => "absent",
        Datum::Bool(_) => "a truth value",
        Datum::Int(_) => "an integer",
        Datum::Float(_) | Datum::Decimal(_) => "a number with a fraction, or a very large one,",
        Datum::Text(_) => "text",
        Datum::Bytes(_) => "bytes",
        Datum::Vector(_) => "a vector",
        Datum::Json(_) => "an array or object",
    }
}
