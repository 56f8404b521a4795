//! Where an index's vectors come from, and how both legs become one list.

use super::embedder::{self, Embedder};
use super::index::View;
use super::written::{Entry, Section};
use super::{checked_name, graph};
use crate::definition::fault::quoted;
use crate::definition::{
    Chunk, EmbedderSettings, Fusion, LegAmounts, Metric, Model, ReadyMade, Template, Tuning, VectorColumn,
    VectorField, VectorModel, VectorSource,
};

/// Each has a lane, threads and graphs of its own.
const FIELDS_MAX: usize = 16;

const READY_MADE: &str =
    "ready-made vectors are `vector = COLUMN` with `[embedder] model = \"none\", dimensions = N`";

/// The vector fields of an index, and the columns of its table that hold ready-made vectors.
#[derive(Default)]
pub(super) struct Vectors {
    pub fields: Vec<VectorField>,
    pub columns: Vec<VectorColumn>,
}

/// A field, and its column where its vectors are ready-made.
type Read = (VectorField, Option<VectorColumn>);

/// Reads what `[index]` itself says of vectors, then each `[index.vectors.NAME]`.
pub(super) fn vectors(
    section: &mut Section<'_>,
    index: &Entry<'_>,
    embedder: Option<Embedder>,
    view: &View<'_>,
) -> Option<Vectors> {
    let first = field(VectorField::DEFAULT, section, embedder.as_ref(), view);
    let named = section.optional("vectors");
    if first.is_none() && named.is_none() && matches!(embedder, Some(Embedder::ReadyMade { .. })) {
        index.wrong("`[embedder]` is `none`, and no column has vectors", READY_MADE);
        return None;
    }
    let mut all = vec![first];
    if let Some(entry) = named {
        let expected = "a section `[index.vectors.NAME]` for each further vector of a document";
        let entries = entry.section(expected)?.entries();
        if entries.len() >= FIELDS_MAX {
            entry.wrong(
                format!("there are more than {} further vectors", FIELDS_MAX - 1),
                "each is an index of its own: leave some out",
            );
        }
        all.extend(
            entries
                .iter()
                .map(|entry| named_field(entry, embedder.as_ref(), view)),
        );
    }
    let mut vectors = Vectors::default();
    for (field, column) in all.into_iter().flatten().collect::<Option<Vec<Read>>>()? {
        vectors.fields.push(field);
        match column {
            Some(column) if vectors.columns.iter().any(|other| other.name == column.name) => {
                let name = quoted(&column.name);
                index.wrong(
                    format!("column {name} is named twice for vectors"),
                    "once is enough",
                );
                return None;
            }
            column => vectors.columns.extend(column),
        }
    }
    Some(vectors)
}

/// `[index.vectors.NAME]`. The outer option is always there: a name without vectors is a fault.
fn named_field(entry: &Entry<'_>, usual: Option<&Embedder>, view: &View<'_>) -> Option<Option<Read>> {
    let faulty = Some(None);
    let Some(name) = checked_name(entry.name, entry) else {
        return faulty;
    };
    if name == VectorField::DEFAULT {
        entry.wrong(
            format!("`{name}` is the name of the vector that `[index]` itself describes"),
            "give this one another name, or say in `[index]` what is said here",
        );
        return faulty;
    }
    let Some(mut section) = entry.section("a section with `embed` or `vector`") else {
        return faulty;
    };
    let own = section
        .optional("embedder")
        .map(|entry| embedder::read(&entry, view.world));
    let embedder = match &own {
        Some(own) => own.as_ref(),
        None => usual,
    };
    let read = field(&name, &mut section, embedder, view);
    section.finish();
    if read.is_none() {
        entry.wrong(
            format!("`{}` says nothing of where its vectors come from", entry.path),
            "it must have `embed = \"{column}\"` or `vector = \"column\"`",
        );
        return faulty;
    }
    read
}

/// What a section says of one vector field; `None` if there is none, `Some(None)` if it is at fault.
fn field(
    name: &str,
    section: &mut Section<'_>,
    embedder: Option<&Embedder>,
    view: &View<'_>,
) -> Option<Option<Read>> {
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
    let (embed, vector, graph) = (
        section.optional("embed"),
        section.optional("vector"),
        section.optional("graph"),
    );
    let chunk = match section.optional("chunk") {
        None => Some(None),
        Some(entry) => {
            if embed.is_none() {
                entry.wrong(
                    format!("`{}` is for texts that are embedded", entry.path),
                    "give `embed`, or leave this out",
                );
            }
            chunk(&entry).map(Some)
        }
    };
    let model = match section.optional("vector_model") {
        None => Some(None),
        Some(entry) => {
            if vector.is_none() {
                entry.wrong(
                    format!("`{}` is for ready-made vectors", entry.path),
                    "give `vector`, or leave this out",
                );
            }
            vector_model(&entry, view).map(Some)
        }
    };
    let tuning = match graph {
        None => Some(Tuning::default()),
        Some(entry) => {
            if embed.is_none() && vector.is_none() {
                entry.wrong(
                    format!("`{}` is for vectors, and `{}` has none", entry.path, section.path),
                    "give `embed` or `vector`, or leave this out",
                );
            }
            graph::read(&entry, embedder.and_then(Embedder::dimensions))
        }
    };
    let source = match (embed, vector) {
        (None, None) => return None,
        (Some(_), Some(vector)) => {
            vector.wrong(
                format!("`{}` has `embed` and `vector`", section.path),
                "either texts are embedded or vectors are ready-made",
            );
            None
        }
        (Some(entry), None) => embedded(&entry, embedder, chunk, view).map(|source| (source, None)),
        (None, Some(entry)) => ready_made(&entry, embedder, model, view),
    };
    Some(source.and_then(|(source, column)| {
        let (metric, tuning) = (metric?, tuning?);
        let column = column.map(|(name, dimensions)| VectorColumn {
            name,
            dimensions,
            metric,
            is_mixed: matches!(&source, VectorSource::Column(ready_made) if ready_made.model.is_some()),
        });
        let field = VectorField {
            name: name.to_owned(),
            source,
            metric,
            tuning,
        };
        Some((field, column))
    }))
}

/// Pieces that are longer have lost what pieces are for; shorter ones say nothing.
const CHUNK_TOKENS: std::ops::Range<u64> = 8..8_193;

fn chunk(entry: &Entry<'_>) -> Option<Chunk> {
    let mut section = entry.section("a table: `{ tokens = 200, overlap = 40 }`")?;
    let tokens = section
        .required("tokens", "a number of tokens, from 8 to 8192")
        .and_then(|entry| entry.integer(CHUNK_TOKENS, "a number of tokens, from 8 to 8192"));
    let most = tokens.unwrap_or(CHUNK_TOKENS.end) / 2;
    let overlap = match section.optional("overlap") {
        None => Some(0),
        Some(entry) => entry.integer(
            0..most + 1,
            &format!("a number of tokens, at most half of `tokens`: {most}"),
        ),
    };
    section.finish();
    Some(Chunk {
        tokens: tokens? as usize,
        overlap: overlap? as usize,
    })
}

fn embedded(
    entry: &Entry<'_>,
    embedder: Option<&Embedder>,
    chunk: Option<Option<Chunk>>,
    view: &View<'_>,
) -> Option<VectorSource> {
    let template = template(entry, view);
    match embedder? {
        Embedder::Model(embedder) => Some(VectorSource::Embed {
            template: template?,
            embedder: EmbedderSettings::clone(embedder),
            chunk: chunk?,
        }),
        Embedder::ReadyMade { .. } => {
            entry.wrong("`embed` needs a model, and `[embedder]` has `none`", READY_MADE);
            None
        }
    }
}

/// The source, with the table's column and its dimensions.
fn ready_made(
    entry: &Entry<'_>,
    embedder: Option<&Embedder>,
    model: Option<Option<VectorModel>>,
    view: &View<'_>,
) -> Option<(VectorSource, Option<(String, usize)>)> {
    let column = vector_column(entry, view);
    match *embedder? {
        Embedder::ReadyMade { dimensions } => {
            let (column, origin) = column?;
            let source = ReadyMade {
                column,
                dimensions,
                model: model?,
            };
            Some((VectorSource::Column(source), Some((origin, dimensions))))
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

fn vector_model(entry: &Entry<'_>, view: &View<'_>) -> Option<VectorModel> {
    let mut section = entry.section("a table: `{ column = \"model\", name = \"e5-large-v2\" }`")?;
    let column = section
        .required("column", "the column that names the model of a row's vector")
        .and_then(|entry| {
            view.place(
                entry.text("the column that names the model of a row's vector")?,
                &entry,
            )
        });
    let name = section
        .required("name", "the model whose vectors are searched")
        .and_then(|entry| entry.text("the model whose vectors are searched"));
    section.finish();
    Some(VectorModel {
        column: column?,
        name: name?.to_owned(),
    })
}

fn template(entry: &Entry<'_>, view: &View<'_>) -> Option<Template> {
    let columns = view.query.map(|query| {
        let columns = query.columns.iter();
        columns.map(|column| column.name.clone()).collect::<Vec<_>>()
    });
    template_over(entry, columns.as_deref())
}

/// A template over columns, which are not known where the query is at fault.
pub(super) fn template_over(entry: &Entry<'_>, columns: Option<&[String]>) -> Option<Template> {
    let text = entry.text("a template such as `\"{name}\\n{description}\"`")?;
    let columns = columns?;
    match Template::parse(text, columns) {
        Ok(template) => Some(template),
        Err(faults) => {
            for fault in faults {
                entry.wrong(
                    format!("`{}`: {}", entry.path, fault.message),
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
pub(super) fn default_weight(embedder: Option<&Embedder>) -> f32 {
    match embedder {
        Some(Embedder::Model(settings)) if settings.model != Model::Default => 0.35,
        Some(Embedder::ReadyMade { .. }) => 0.5,
        _ => 0.2,
    }
}

pub(super) fn fusion(entry: &Entry<'_>, default_weight: f32) -> Option<Fusion> {
    let expected = "`{ method = \"relative\", weight = 0.2 }` or `{ method = \"rrf\", k = 60 }`";
    let mut section = entry.section(expected)?;
    let method = section.required(
        "method",
        "`\"relative\"`, `\"distribution\"`, `\"linear\"` or `\"rrf\"`",
    )?;
    type Method = fn(&mut Section<'_>, f32) -> Option<Fusion>;
    let methods: [(&str, Method); 4] = [
        ("relative", |section, usual| {
            weight(section, usual).map(|weight| Fusion::Relative { weight })
        }),
        ("distribution", |section, usual| {
            weight(section, usual).map(|weight| Fusion::Distribution { weight })
        }),
        ("linear", |section, _| weights(section).map(Fusion::Linear)),
        ("rrf", |section, _| rrf(section)),
    ];
    let read = method.choice("method", &methods)?;
    let fusion = read(&mut section, default_weight);
    section.finish();
    fusion
}

fn weight(section: &mut Section<'_>, usual: f32) -> Option<f32> {
    let Some(entry) = section.optional("weight") else {
        return Some(usual);
    };
    let weight = entry.number(
        |weight| (0.0..=1.0).contains(&weight),
        "the vector leg's part, from 0 to 1",
    )?;
    Some(weight as f32)
}

fn weights(section: &mut Section<'_>) -> Option<LegAmounts> {
    let Some(entry) = section.optional("weights") else {
        return Some(LegAmounts {
            keyword: 1.0,
            vector: 1.0,
        });
    };
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
    Some(LegAmounts {
        keyword: keyword? as f32,
        vector: vector? as f32,
    })
}

fn rrf(section: &mut Section<'_>) -> Option<Fusion> {
    let k = match section.optional("k") {
        None => Some(60.0),
        Some(entry) => entry.number(|k| k > 0.0 && k <= 1e6, "more than 0, at most 1000000"),
    };
    let window = match section.optional("window") {
        None => Some(None),
        Some(entry) => entry
            .integer(1..10_001, "how many of each leg's best count, from 1 to 10000")
            .map(|window| Some(window as usize)),
    };
    let weights = weights(section);
    Some(Fusion::Rrf {
        k: k? as f32,
        weights: weights?,
        window: window?,
    })
}
