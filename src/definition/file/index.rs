//! `[index]` -> [`Index`]: the query, and what its columns are for.

use super::World;
use super::embedder::Embedder;
use super::vectors::{default_weight, fusion, vectors};
use super::written::Entry;
use crate::change::TableId;
use crate::definition::fault::{closest, listed, quoted};
use crate::definition::sql::{self, Query};
use crate::definition::{
    Analyzer, Field, FieldKind, Freshness, Fusion, Index, Table, TextField, VectorColumn,
};

/// An index, and what its table must know of it.
pub(super) struct Read {
    pub index: Index,
    pub table: TableId,
    /// The table's columns that have ready-made vectors.
    pub vectors: Vec<VectorColumn>,
}

/// The tables of the file by name; absent where they are at fault.
type Tables = [(String, Option<Table>)];

pub(super) fn read(
    entry: &Entry<'_>,
    embedder: Option<Embedder>,
    tables: &Tables,
    world: &World<'_>,
) -> Option<Read> {
    let mut section = entry.section("a section with `query` and `key`")?;
    let expected = "SQL such as `\"SELECT id, name FROM products WHERE status = 'published'\"`";
    let query = section
        .required("query", expected)
        .and_then(|entry| query(&entry, expected, tables));
    // Without a query nothing is known of its columns, but the rest of the section is still read.
    let view = View {
        query: query.as_ref(),
        tables,
        world,
    };

    let key = section.required("key", KEY).and_then(|entry| key(&entry, &view));
    let text = match section.optional("text") {
        None => Some(Vec::new()),
        Some(entry) => text_fields(&entry, &view),
    };
    let fields = match section.optional("fields") {
        None => Some(Vec::new()),
        Some(entry) => fields(&entry, &view),
    };
    let weight = default_weight(embedder.as_ref());
    let vectors = vectors(&mut section, entry, embedder, &view);
    let has_vectors = vectors.as_ref().is_none_or(|vectors| !vectors.fields.is_empty());
    let searchable = has_vectors || !text.as_ref().is_some_and(Vec::is_empty);
    let fusion = match section.optional("fusion") {
        None => Some(Fusion::Relative { weight }),
        Some(entry) => fusion(&entry, weight),
    };
    let freshness = match section.optional("freshness") {
        None => Some(Freshness::default()),
        Some(entry) => entry.choice(
            "freshness",
            &[("split", Freshness::Split), ("together", Freshness::Together)],
        ),
    };
    section.finish();
    if !searchable {
        entry.wrong(
            "the index has nothing to search",
            "it must have `text`, `embed` or `vector`; without `[index]` only the tables are kept",
        );
        return None;
    }

    let (plan, table, vectors) = (query.as_ref()?.plan.clone()?, query?.table?, vectors?);
    let index = Index {
        plan,
        key: key?,
        text: text?,
        fields: fields?,
        vectors: vectors.fields,
        freshness: freshness?,
        fusion: fusion?,
    };
    Some(Read {
        index,
        table,
        vectors: vectors.columns,
    })
}

fn query(entry: &Entry<'_>, expected: &str, tables: &Tables) -> Option<Query> {
    let text = entry.text(expected)?;
    let names: Vec<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
    let (query, faults) = sql::parse_query(text, &names);
    for fault in faults {
        let line = entry.line_within(fault.line.unwrap_or(1));
        entry
            .report
            .add(Some(line), fault.message, fault.hint.unwrap_or_default());
    }
    query
}

/// What is known of the query's columns.
pub(super) struct View<'a> {
    pub query: Option<&'a Query>,
    tables: &'a Tables,
    pub world: &'a World<'a>,
}

impl View<'_> {
    /// The place of a column, or a fault; neither where the query itself is at fault.
    pub fn place(&self, name: &str, entry: &Entry<'_>) -> Option<usize> {
        let query = self.query?;
        let place = query.columns.iter().position(|column| column.name == name);
        if place.is_none() {
            let names: Vec<&str> = query.columns.iter().map(|column| column.name.as_str()).collect();
            let nearest = closest(name, &names).map(|name| format!("did you mean {}? ", quoted(name)));
            entry.wrong(
                format!(
                    "{} in `{}` is not a column of the query",
                    quoted(name),
                    entry.path
                ),
                format!("{}it selects {}", nearest.unwrap_or_default(), listed(&names)),
            );
        }
        place
    }

    /// The table's column that a column of the query passes on unchanged.
    pub fn origin(&self, place: usize) -> Option<&str> {
        self.query?.columns.get(place)?.origin.as_deref()
    }
}

const KEY: &str = "the key of the query's table: `\"id\"`, or a list of columns";

/// Documents have the keys of their rows, so the index's key is the table's, column by column.
fn key(entry: &Entry<'_>, view: &View<'_>) -> Option<Vec<usize>> {
    let places: Vec<Option<usize>> = entry
        .texts(KEY)?
        .iter()
        .map(|(entry, name)| view.place(name, entry))
        .collect();
    let places = places.into_iter().collect::<Option<Vec<usize>>>()?;
    let (query, (table_name, table)) = (view.query?, view.tables.get(usize::from(view.query?.table?.0))?);
    let table_key = &table.as_ref()?.key;
    if places
        .iter()
        .map(|place| view.origin(*place))
        .eq(table_key.iter().map(|name| Some(name.as_str())))
    {
        return Some(places);
    }
    let selected_as = |origin: &String| {
        query
            .columns
            .iter()
            .find(|column| column.origin.as_ref() == Some(origin))
            .map(|column| &column.name)
    };
    let hint = match table_key
        .iter()
        .map(selected_as)
        .collect::<Option<Vec<_>>>()
        .as_deref()
    {
        Some([name]) => format!("it must be {name:?}"),
        Some(names) => format!("it must be {names:?}"),
        None => format!(
            "the query must select the columns of that key as they are: {}",
            listed(&table_key.iter().map(String::as_str).collect::<Vec<_>>())
        ),
    };
    entry.wrong(
        format!("`{}` is not the key of table {}", entry.path, quoted(table_name)),
        hint,
    );
    None
}

fn text_fields(entry: &Entry<'_>, view: &View<'_>) -> Option<Vec<TextField>> {
    let section = entry.section("a table such as `{ name = { boost = 2.0 }, description = {} }`")?;
    let read = |entry: &Entry<'_>| {
        let column = view.place(entry.name, entry);
        let mut section = entry.section("a table: `{}`, or `{ boost = 2.0, analyzer = \"english\" }`")?;
        let boost = match section.optional("boost") {
            None => Some(1.0),
            Some(entry) => entry.number(
                |boost| boost > 0.0 && boost <= 1e6,
                "more than 0, at most 1000000",
            ),
        };
        let analyzer = match section.optional("analyzer") {
            None => Some(Analyzer::English),
            Some(entry) => entry.choice(
                "analyzer",
                &[("english", Analyzer::English), ("simple", Analyzer::Simple)],
            ),
        };
        section.finish();
        Some(TextField {
            name: entry.name.to_owned(),
            column: column?,
            boost: boost? as f32,
            analyzer: analyzer?,
        })
    };
    all(section.entries().iter().map(read))
}

const KINDS: [(&str, FieldKind); 6] = [
    ("keyword", FieldKind::Keyword),
    ("i64", FieldKind::I64),
    ("f64", FieldKind::F64),
    ("bool", FieldKind::Bool),
    ("date", FieldKind::Date),
    ("geo", FieldKind::Geo { lon: None }),
];

fn fields(entry: &Entry<'_>, view: &View<'_>) -> Option<Vec<Field>> {
    let section = entry.section("a table such as `{ category = \"keyword\", price = \"f64\" }`")?;
    let read = |entry: &Entry<'_>| match entry.is_section() {
        true => place(entry, view),
        false => {
            let column = view.place(entry.name, entry);
            let kind = entry.choice("kind of field", &KINDS);
            Some(Field {
                name: entry.name.to_owned(),
                column: column?,
                kind: kind?,
            })
        }
    };
    all(section.entries().iter().map(read))
}

/// A geo field whose latitude and longitude are in columns of their own.
fn place(entry: &Entry<'_>, view: &View<'_>) -> Option<Field> {
    const EXPECTED: &str = "a column of degrees: `{ kind = \"geo\", lat = \"lat\", lon = \"lon\" }`";
    let mut section = entry.section(EXPECTED)?;
    let geo = ("geo", ());
    let kind = section
        .required("kind", EXPECTED)
        .and_then(|entry| entry.choice("kind of field of two columns", &[geo]));
    let mut column = |name| {
        let entry = section.required(name, EXPECTED)?;
        view.place(entry.text(EXPECTED)?, &entry)
    };
    let (lat, lon) = (column("lat"), column("lon"));
    section.finish();
    kind?;
    Some(Field {
        name: entry.name.to_owned(),
        column: lat?,
        kind: FieldKind::Geo { lon: Some(lon?) },
    })
}

/// All of them, each read so that each notes its faults, or nothing.
fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    read.collect::<Vec<_>>().into_iter().collect()
}
