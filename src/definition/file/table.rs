//! A section `[tables.NAME]` -> [`Table`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::written::Entry;
use super::{World, checked_name, source};
use crate::definition::fault::quoted;
use crate::definition::{ColumnType, Format, Table};

pub(super) fn read(entry: &Entry<'_>, world: &World<'_>) -> Option<Table> {
    let name = checked_name(entry.name, entry);
    let mut table = entry.section("a section with `source`, `format` and `key`")?;

    let source = table
        .required(
            "source",
            "a table such as `{ kind = \"file\", path = \"changes.ndjson\" }`",
        )
        .and_then(|entry| source::read(&entry, world));
    let formats = Format::ALL.map(|format| (format.name(), format));
    let format = table
        .required(
            "format",
            &format!("one of `{}`", Format::ALL.map(Format::name).join("`, `")),
        )
        .and_then(|entry| entry.choice("format", &formats));
    let expected = "the list of the key's columns: `[\"id\"]`";
    let key = table
        .required("key", expected)
        .and_then(|entry| names(&entry, expected));
    let select = match table.optional("select") {
        None => Some(Vec::new()),
        Some(entry) => names(
            &entry,
            "`\"database.table\"` as the messages name it, or a list of such names",
        ),
    };
    let columns = match table.optional("columns") {
        None => Some(BTreeMap::new()),
        Some(entry) => column_types(&entry),
    };
    let claim_check = match table.optional("claim_check") {
        None => Some(None),
        Some(entry) => claim_check(&entry, format, world).map(Some),
    };
    table.finish();

    Some(Table {
        name: name?,
        source: source?,
        format: format?,
        key: key?,
        select: select?,
        columns: columns?,
        claim_check: claim_check?,
        vectors: Vec::new(),
        needs: Vec::new(),
    })
}

fn names(entry: &Entry<'_>, expected: &str) -> Option<Vec<String>> {
    Some(
        entry
            .texts(expected)?
            .into_iter()
            .map(|(_, name)| name.to_owned())
            .collect(),
    )
}

fn column_types(entry: &Entry<'_>) -> Option<BTreeMap<String, ColumnType>> {
    let section = entry.section("a table such as `{ price = \"decimal(10,2)\" }`")?;
    let mut types = BTreeMap::new();
    let mut complete = true;
    for column in section.entries() {
        let Some(text) = column.text("a type as in SQL: `\"decimal(10,2)\"`, `\"date\"`") else {
            complete = false;
            continue;
        };
        match ColumnType::parse(text) {
            Some(kind) => {
                types.insert(column.name.to_owned(), kind);
            }
            None => {
                column.wrong(
                    format!("unknown type {} of column {}", quoted(text), quoted(column.name)),
                    "a type as in MySQL or PostgreSQL: `bigint`, `decimal(10,2)`, `datetime`, `enum('a','b')`",
                );
                complete = false;
            }
        }
    }
    complete.then_some(types)
}

fn claim_check(entry: &Entry<'_>, format: Option<Format>, world: &World<'_>) -> Option<PathBuf> {
    let directory = entry.text("the directory of TiCDC's claim-check files")?;
    if let Some(format) = format.filter(|format| *format != Format::CanalJson) {
        entry.wrong(
            format!("`{}` has no effect on `{}`", entry.path, format.name()),
            "claim-check files belong to TiCDC's `canal-json`",
        );
        return None;
    }
    Some(world.base.join(directory))
}
