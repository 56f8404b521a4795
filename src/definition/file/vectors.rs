//! Where an index's vectors come from, and how both legs become one list.

use super::embedder::Embedder;
use super::index::View;
use super::written::{Entry, Section};
use crate::definition::fault::quoted;
use crate::definition::{Fusion, Model, Template, VectorSource};

/// The vectors' source and, of ready-made ones, the table's column and its dimensions.
pub(super) type Vectors = (VectorSource, Option<(String, usize)>);

pub(super) fn vectors(
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
    let method = section.required("method", "`\"relative\"` or `\"rrf\"`")?;
    type Method = fn(&mut Section<'_>, f32) -> Option<Fusion>;
    let methods: [(&str, Method); 2] = [("relative", relative), ("rrf", rrf)];
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
