//! `[embedder]` -> what makes the vectors.

use super::lane;
use super::written::Entry;
use crate::definition::fault::{quoted, suggestion};
use crate::definition::{EmbedderSettings, LaneSettings, Model};

const MODELS: [&str; 3] = ["default", "hash", "none"];

/// Of the model in the binary, and of `hash` unless the file says otherwise.
pub(super) const DIMENSIONS: usize = 256;

/// What `[embedder]` says; without the section, the model in the binary.
#[derive(Clone)]
pub(super) enum Embedder {
    Model(EmbedderSettings),
    /// `model = "none"`: a column has the vectors.
    ReadyMade {
        dimensions: usize,
    },
}

impl Embedder {
    /// Of its vectors.
    pub fn dimensions(&self) -> usize {
        match self {
            Embedder::ReadyMade { dimensions } => *dimensions,
            Embedder::Model(settings) => match settings.model {
                Model::Default => DIMENSIONS,
                Model::Hash { dimensions } => dimensions,
            },
        }
    }
}

impl Default for Embedder {
    fn default() -> Embedder {
        Embedder::Model(EmbedderSettings {
            model: Model::Default,
            batch: 16,
            parallel: 1,
            lane: LaneSettings::default(),
        })
    }
}

pub(super) fn read(entry: &Entry<'_>) -> Option<Embedder> {
    let mut section = entry.section("a section such as `model = \"default\"`")?;
    let model = section.optional("model");
    let dimensions = section.optional("dimensions");
    let given = match &dimensions {
        None => Some(None),
        Some(entry) => entry
            .integer(2..4097, "a number from 2 to 4096")
            .map(|dimensions| Some(dimensions as usize)),
    };
    let batch = match section.optional("batch") {
        None => Some(16),
        Some(entry) => entry
            .integer(1..4097, "a number of texts from 1 to 4096")
            .map(|batch| batch as usize),
    };
    let parallel = match section.optional("parallel") {
        None => Some(1),
        Some(entry) => entry
            .integer(1..65, "a number from 1 to 64")
            .map(|parallel| parallel as usize),
    };
    let lane = lane::read(&mut section);
    section.finish();

    let name = match &model {
        None => MODELS[0],
        Some(model) => model_name(model)?,
    };
    let model = match name {
        "hash" => Model::Hash {
            dimensions: given?.unwrap_or(DIMENSIONS),
        },
        "none" => {
            let dimensions = given?;
            if dimensions.is_none() {
                entry.wrong(
                    "`model = \"none\"` lacks `dimensions`",
                    "it must be the length of the ready-made vectors: `dimensions = 384`",
                );
            }
            return Some(Embedder::ReadyMade {
                dimensions: dimensions?,
            });
        }
        _ => {
            if let (Some(entry), Some(other)) = (&dimensions, given?.filter(|given| *given != DIMENSIONS)) {
                entry.wrong(
                    format!("the model in the binary has no {other} dimensions"),
                    format!("it has {DIMENSIONS}; `dimensions` is for `none` and `hash`"),
                );
                return None;
            }
            Model::Default
        }
    };
    Some(Embedder::Model(EmbedderSettings {
        model,
        batch: batch?,
        parallel: parallel?,
        lane: lane?,
    }))
}

fn model_name<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let here = format!("this one has `{}`", MODELS.join("`, `"));
    if entry.is_section() {
        entry.wrong("a model by `path` or `url` comes in a later version", here);
        return None;
    }
    let name = entry.text(&format!("one of `{}`", MODELS.join("`, `")))?;
    if !MODELS.contains(&name) {
        let hint = suggestion(name, &MODELS).unwrap_or_default();
        entry.wrong(format!("unknown model {}", quoted(name)), hint);
        return None;
    }
    Some(name)
}
