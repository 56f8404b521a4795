//! Upgrades in the manifest: which models have made the stored vectors, where the dataflow file says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::index::{FieldOfFile, Phase, Sets, VectorSet};

/// What is kept of an index's sets of vectors; nothing where there was never an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredSets {
    /// By name of the vector field: which are answered by another model than the dataflow file named.
    pub answering: BTreeMap<String, StoredSet>,
    pub second: Option<StoredSecond>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredSet {
    pub model: String,
    /// What `[embedder]` says for it.
    pub settings: String,
    /// The model that the dataflow file named.
    pub instead_of: String,
}

/// A set that did not answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredSecond {
    pub field: String,
    pub model: String,
    /// `None`: those of the dataflow file.
    pub settings: Option<String>,
    /// Whether it is complete: then its leg is stored behind the others.
    pub complete: bool,
    /// Whether it has answered before.
    pub former: bool,
}

impl StoredSets {
    pub fn of(sets: &Sets) -> StoredSets {
        let fields = sets.fields.iter().zip(&sets.answering);
        let other = |(field, set): (&FieldOfFile, &VectorSet)| {
            let stored = StoredSet {
                model: set.model.to_string(),
                settings: set.settings.as_ref()?.to_string(),
                instead_of: field.model.clone(),
            };
            Some((field.name.clone(), stored))
        };
        let second = sets.second.as_ref().and_then(|second| {
            let field = sets.fields.get(usize::from(second.field))?;
            Some(StoredSecond {
                field: field.name.clone(),
                model: second.set.model.to_string(),
                settings: second.set.settings.as_ref().map(ToString::to_string),
                complete: second.phase != Phase::Building,
                former: second.phase == Phase::Former,
            })
        });
        StoredSets {
            answering: fields.filter_map(other).collect(),
            second,
        }
    }
}
