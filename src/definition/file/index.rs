//! `[index]` -> [`Index`]: the query, and what its columns are for.

use super::embedder::Embedder;
use super::written::{Entry, Section};
use crate::change::TableId;
use crate::definition::fault::{closest, listed, quoted};
use crate::definition::sql::{self, Query};
use crate::definition::{
    Analyzer, Field, FieldKind, Fusion, Index, Metric, Model, Table, Template, TextField, VectorColumn,
    VectorSource,
};

/// An index, and what its table must know of it.
pub(super) struct Read {
    pub index: Index,
    pub table: TableId,
    /// The table's column that has ready-made vectors.
    pub vector: Option<VectorColumn>,
}

/// The tables of the file by name; absent where they are at fault.
type Tables = [(String, Option<Table>)];

pub(super) fn read(entry: &Entry<'_>, embedder: Option<Embedder>, tables: &Tables) -> Option<Read> {
    let mut section = entry.section("a section with `query` and `key`")?;
    let expected = "SQL such as `\"SELECT id, name FROM products WHERE status = 'published'\"`";
    let query = section
        .required("query", expected)
        .and_then(|entry| query(&entry, expected, tables));
    // Without a query nothing is known of its columns, but the rest of the section is still read.
    let view = View {
        query: query.as_ref(),
        tables,
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
    let metric = match section.optional("metric") {
        None => Some(Metric::Cosine),
        Some(entry) => entry.choice(
            "metric",
            &[
                ("cosine", Metric::Cosine),
                ("dot", Metric::Dot),
                ("l2", Metric::L2),
            ],
        ),
    };
    let (embed, vector) = (section.optional("embed"), section.optional("vector"));
    let searchable = embed.is_some() || vector.is_some() || !text.as_ref().is_some_and(Vec::is_empty);
    let weight = default_weight(embedder.as_ref());
    let vectors = vectors(embed, vector, embedder, &view, entry);
    let fusion = match section.optional("fusion") {
        None => Some(Fusion::Relative { weight }),
        Some(entry) => fusion(&entry, weight),
    };
    section.finish();
    if !searchable {
        entry.wrong(
            "the index has nothing to search",
            "it must have `text`, `embed` or `vector`; without `[index]` only the tables are kept",
        );
        return None;
    }

    let (vectors, vector) = vectors?;
    let (plan, table, metric) = (query.as_ref()?.plan.clone()?, query?.table?, metric?);
    let vector = vector.map(|(name, dimensions)| VectorColumn {
        name,
        dimensions,
        metric,
    });
    let index = Index {
        plan,
        key: key?,
        text: text?,
        fields: fields?,
        vectors,
        metric,
        fusion: fusion?,
    };
    Some(Read { index, table, vector })
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
struct View<'a> {
    query: Option<&'a Query>,
    tables: &'a Tables,
}

impl View<'_> {
    /// The place of a column, or a fault; neither where the query itself is at fault.
    fn place(&self, name: &str, entry: &Entry<'_>) -> Option<usize> {
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
    fn origin(&self, place: usize) -> Option<&str> {
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

fn fields(entry: &Entry<'_>, view: &View<'_>) -> Option<Vec<Field>> {
    const KINDS: [(&str, FieldKind); 4] = [
        ("keyword", FieldKind::Keyword),
        ("i64", FieldKind::I64),
        ("f64", FieldKind::F64),
        ("bool", FieldKind::Bool),
    ];
    let section = entry.section("a table such as `{ category = \"keyword\", price = \"f64\" }`")?;
    let read = |entry: &Entry<'_>| {
        let column = view.place(entry.name, entry);
        let kind = entry.choice("kind of field", &KINDS);
        Some(Field {
            name: entry.name.to_owned(),
            column: column?,
            kind: kind?,
        })
    };
    all(section.entries().iter().map(read))
}

/// All of them, each read so that each notes its faults, or nothing.
fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    read.collect::<Vec<_>>().into_iter().collect()
}

/// The vectors' source and, of ready-made ones, the table's column and its dimensions.
type Vectors = (VectorSource, Option<(String, usize)>);

fn vectors(
    embed: Option<Entry<'_>>,
    vector: Option<Entry<'_>>,
    embedder: Option<Embedder>,
    view: &View<'_>,
    index: &Entry<'_>,
) -> Option<Vectors> {
    const READY_MADE: &str =
        "ready-made vectors are `vector = COLUMN` with `[embedder] model = \"none\", dimensions = N`";
    match (embed, vector) {
        (Some(_), Some(vector)) => {
            vector.wrong(
                "the index has `embed` and `vector`",
                "either texts are embedded or vectors are ready-made",
            );
            None
        }
        (Some(entry), None) => {
            let template = template(&entry, view);
            match embedder? {
                Embedder::Model(embedder) => Some((
                    VectorSource::Embed {
                        template: template?,
                        embedder,
                    },
                    None,
                )),
                Embedder::ReadyMade { .. } => {
                    entry.wrong("`embed` needs a model, and `[embedder]` has `none`", READY_MADE);
                    None
                }
            }
        }
        (None, Some(entry)) => {
            let column = vector_column(&entry, view);
            match embedder? {
                Embedder::ReadyMade { dimensions } => {
                    let (column, origin) = column?;
                    Some((
                        VectorSource::Column { column, dimensions },
                        Some((origin, dimensions)),
                    ))
                }
                Embedder::Model(_) => {
                    entry.wrong(
                        "`vector` needs an embedder that is `none`",
                        "it must be `[embedder] model = \"none\", dimensions = N`, N the length of the vectors",
                    );
                    None
                }
            }
        }
        (None, None) => match embedder? {
            Embedder::Model(_) => Some((VectorSource::Absent, None)),
            Embedder::ReadyMade { .. } => {
                index.wrong("`[embedder]` is `none`, and no column has vectors", READY_MADE);
                None
            }
        },
    }
}

fn template(entry: &Entry<'_>, view: &View<'_>) -> Option<Template> {
    let text = entry.text("a template such as `\"{name}\\n{description}\"`")?;
    let columns: Vec<String> = view
        .query?
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    match Template::parse(text, &columns) {
        Ok(template) => Some(template),
        Err(faults) => {
            for fault in faults {
                entry.wrong(
                    format!("{}: {}", entry.path, fault.message),
                    fault.hint.unwrap_or_default(),
                );
            }
            None
        }
    }
}

/// The place of the column in the query, and its name in the table.
fn vector_column(entry: &Entry<'_>, view: &View<'_>) -> Option<(usize, String)> {
    let name = entry.text("the column that has the vectors")?;
    let place = view.place(name, entry)?;
    match view.origin(place) {
        Some(origin) => Some((place, origin.to_owned())),
        None => {
            entry.wrong(
                format!("{} is computed, and a vector is not", quoted(name)),
                "the query must select a column of the table as it is; `AS` may rename it",
            );
            None
        }
    }
}

/// Measured for the model in the binary; see `data/README.md`.
fn default_weight(embedder: Option<&Embedder>) -> f32 {
    match embedder {
        Some(Embedder::Model(settings)) if settings.model != Model::Default => 0.35,
        Some(Embedder::ReadyMade { .. }) => 0.5,
        _ => 0.2,
    }
}

fn fusion(entry: &Entry<'_>, default_weight: f32) -> Option<Fusion> {
    let expected = "`{ method = \"relative\", weight = 0.2 }` or `{ method = \"rrf\", k = 60 }`";
    let mut section = entry.section(expected)?;
    let method = section.required("method", "`\"relative\"` or `\"rrf\"`")?;
    let methods: [(&str, fn(&mut Section<'_>, f32) -> Option<Fusion>); 2] =
        [("relative", relative), ("rrf", rrf)];
    let read = method.choice("method", &methods)?;
    let fusion = read(&mut section, default_weight);
    section.finish();
    fusion
}

fn relative(section: &mut Section<'_>, default_weight: f32) -> Option<Fusion> {
    let Some(entry) = section.optional("weight") else {
        return Some(Fusion::Relative {
            weight: default_weight,
        });
    };
    let weight = entry.number(
        |weight| (0.0..=1.0).contains(&weight),
        "the vector leg's part, from 0 to 1",
    )?;
    Some(Fusion::Relative {
        weight: weight as f32,
    })
}

fn rrf(section: &mut Section<'_>, _: f32) -> Option<Fusion> {
    let k = match section.optional("k") {
        None => Some(60.0),
        Some(entry) => entry.number(|k| k > 0.0 && k <= 1e6, "more than 0, at most 1000000"),
    };
    let (keyword, vector) = match section.optional("weights") {
        None => (Some(1.0), Some(1.0)),
        Some(entry) => {
            let mut weights = entry.section("a table: `{ keyword = 1, vector = 1 }`")?;
            let mut weight = |leg| match weights.optional(leg) {
                None => Some(1.0),
                Some(entry) => entry.number(|weight| (0.0..=1e6).contains(&weight), "from 0 to 1000000"),
            };
            let (keyword, vector) = (weight("keyword"), weight("vector"));
            weights.finish();
            if (keyword, vector) == (Some(0.0), Some(0.0)) {
                entry.wrong("both weights are 0", "one leg at least must count");
                return None;
            }
            (keyword, vector)
        }
    };
    Some(Fusion::Rrf {
        k: k? as f32,
        keyword_weight: keyword? as f32,
        vector_weight: vector? as f32,
    })
}
