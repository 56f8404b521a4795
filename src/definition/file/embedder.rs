//! `[embedder]` -> what makes the vectors.

use std::thread::available_parallelism;

use super::World;
use super::lane;
use super::model;
use super::written::Entry;
use crate::definition::fault::{quoted, suggestion};
use crate::definition::{EmbedderSettings, LaneSettings, Model};

const MODELS: [&str; 3] = ["default", "hash", "none"];

/// Of the model in the binary, and of `hash` unless the file says otherwise.
pub(super) const DIMENSIONS: usize = 256;

/// What `[embedder]` says; without the section, the model in the binary.
// There is one of a vector field.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub(super) enum Embedder {
    Model(EmbedderSettings),
    /// `model = "none"`: a column has the vectors.
    ReadyMade {
        dimensions: usize,
    },
}

impl Embedder {
    /// Of its vectors, where the file alone says it.
    pub fn dimensions(&self) -> Option<usize> {
        match self {
            Embedder::ReadyMade { dimensions } => Some(*dimensions),
            Embedder::Model(settings) => match &settings.model {
                Model::Default => Some(DIMENSIONS),
                Model::Hash { dimensions } => Some(*dimensions),
                Model::Local(_) => None,
                Model::Service(service) => Some(service.dimensions),
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

pub(super) fn read(entry: &Entry<'_>, world: &World<'_>) -> Option<Embedder> {
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
        None => Some(None),
        Some(entry) => entry
            .integer(1..4097, "a number of texts from 1 to 4096")
            .map(|batch| Some(batch as usize)),
    };
    let parallel = match section.optional("parallel") {
        None => Some(None),
        Some(entry) => entry
            .integer(1..65, "a number from 1 to 64")
            .map(|parallel| Some(parallel as usize)),
    };
    let lane = lane::read(&mut section);
    section.finish();

    // Whatever else is wrong, an unknown name is said too.
    let named = match &model {
        Some(model) if !model.is_section() => model_name(model),
        _ => Some(MODELS[0]),
    };
    let dimensions = Dimensions {
        entry: dimensions,
        given: given.flatten(),
    };
    let model = match &model {
        Some(model) if model.is_section() => {
            let of_its_own = "a model by `path` has those of its files, one by `url` names them beside it";
            dimensions.refuse_others(&[], of_its_own)?;
            model::read(model, world)?
        }
        _ => match named? {
            "hash" => Model::Hash {
                dimensions: dimensions.given.unwrap_or(DIMENSIONS),
            },
            "none" => {
                if given?.is_none() {
                    entry.wrong(
                        "`model = \"none\"` lacks `dimensions`",
                        "it must be the length of the ready-made vectors: `dimensions = 384`",
                    );
                }
                return Some(Embedder::ReadyMade {
                    dimensions: dimensions.given?,
                });
            }
            _ => {
                let hint = format!("it has {DIMENSIONS}; `dimensions` is for `none` and `hash`");
                dimensions.refuse_others(&[DIMENSIONS], &hint)?;
                Model::Default
            }
        },
    };
    // Its fault is told with those of the model.
    given?;
    let (usual_batch, usual_parallel) = usual(&model);
    Some(Embedder::Model(EmbedderSettings {
        model,
        batch: batch?.unwrap_or(usual_batch),
        parallel: parallel?.unwrap_or(usual_parallel),
        lane: lane?,
    }))
}

/// Texts a batch, and batches at once.
fn usual(model: &Model) -> (usize, usize) {
    match model {
        Model::Default | Model::Hash { .. } => (16, 1),
        // At low priority on a core each: they take what nobody else needs.
        Model::Local(_) => (32, available_parallelism().map_or(1, usize::from).min(64)),
        Model::Service(_) => (16, 4),
    }
}

/// `dimensions` of the section.
struct Dimensions<'a> {
    entry: Option<Entry<'a>>,
    given: Option<usize>,
}

impl Dimensions<'_> {
    /// Notes a fault where others are given than the model can have.
    fn refuse_others(&self, right: &[usize], hint: &str) -> Option<()> {
        let (Some(entry), Some(given)) = (&self.entry, self.given) else {
            return Some(());
        };
        if right.contains(&given) {
            return Some(());
        }
        let message = match right {
            [] => "`dimensions` does not belong here".to_owned(),
            _ => format!("the model in the binary has no {given} dimensions"),
        };
        entry.wrong(message, hint);
        None
    }
}

fn model_name<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let expected = format!(
        "one of `{}`, or `{{ path = ... }}` or `{{ url = ... }}`",
        MODELS.join("`, `")
    );
    let name = entry.text(&expected)?;
    if !MODELS.contains(&name) {
        let hint = suggestion(name, &MODELS).unwrap_or_default();
        entry.wrong(format!("unknown model {}", quoted(name)), hint);
        return None;
    }
    Some(name)
}
