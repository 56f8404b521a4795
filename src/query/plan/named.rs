//! What a request names: fields and tables, and what there is where it names none of them.

use crate::definition::{FieldKind, Index};
use crate::query::request::SearchRequest;
use crate::query::{QueryError, Searcher};

/// A search never waits for a partition that cannot be.
pub(in crate::query) fn of_tables(searcher: &Searcher, request: &SearchRequest) -> Result<(), QueryError> {
    let is_of_table = |partition: &&str| {
        let mut tables = searcher.tables.iter();
        tables.any(|table| {
            partition
                .strip_prefix(&**table)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    };
    match request
        .consistency
        .partitions()
        .find(|partition| !is_of_table(partition))
    {
        None => Ok(()),
        Some(partition) => Err(QueryError::new(
            "unknown_table",
            format!("`consistency` names {partition:?}, which is no partition of a table"),
            format!(
                "name partitions as `as_of.positions` does, or `commit_ts`; {}",
                among("the tables are", &*searcher.tables)
            ),
        )),
    }
}

/// A field of the index by its name: its place there, and its kind.
pub(in crate::query) fn field_named(
    index: &Index,
    key: &str,
    name: &str,
) -> Result<(usize, FieldKind), QueryError> {
    let place = index.fields.iter().position(|field| field.name == name);
    place
        .map(|place| (place, index.fields[place].kind))
        .ok_or_else(|| {
            QueryError::new(
                "unknown_field",
                format!("`{key}` names `{name}`, which is not a field of the index"),
                among("the fields are", index.fields.iter().map(|field| &field.name)),
            )
        })
}

pub(in crate::query) fn among<'a>(what: &str, names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => "there are none: name some in the dataflow file".to_owned(),
        false => format!("{what} {}", names.join(", ")),
    }
}
