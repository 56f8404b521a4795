//! Upgrades: which models the stored vectors are of, and what the port asks for while the node runs.

use std::cell::RefCell;
use std::sync::Arc;

use super::Embedders;
use super::embedding::Start;
use super::model_hosts::{ModelHost, admit};
use crate::checkpoint::{Change, Shape, StoredSecond, StoredSets};
use crate::dataflow::lane::Texts;
use crate::dataflow::upgrade::{Beginning, Order, Orders};
use crate::definition::{Definition, EmbedderSettings, Freshness, VectorField, VectorSource, parse_embedder};
use crate::embed::{self, EmbedError, Embedder, FieldEmbedders};
use crate::index::{FieldOfFile, Phase, Progress, Published, SecondSet, Sets, VectorSet};
use crate::query::Searcher;
use crate::server::{UpgradeError, Upgrades};

/// The definition as the stored upgrades have it.
#[derive(Clone)]
pub(super) struct Resolved {
    /// Each vector field is embedded by the model that answers.
    pub answering: Arc<Definition>,
    /// The same with the field of the second set behind the others, where there is one.
    pub with_second: Arc<Definition>,
    /// Of the fields of `with_second`.
    pub embedders: FieldEmbedders,
    pub sets: Sets,
    /// Lanes of texts that a stored upgrade has and nobody needs any more.
    pub forgotten: Vec<u32>,
}

impl Resolved {
    /// Embedders of the fields that answer.
    pub fn answering_embedders(&self) -> &[Option<Arc<dyn Embedder>>] {
        let fields = self
            .answering
            .index
            .as_ref()
            .map_or(0, |index| index.vectors.len());
        self.embedders.get(..fields).unwrap_or_default()
    }

    /// What is not there as it was stored is to be made first, before it can answer.
    pub fn after(mut self, change: &Change) -> Resolved {
        if let Some(second) = &mut self.sets.second
            && *change != Change::Same
        {
            second.phase = Phase::Building;
        }
        self
    }
}

/// Resolves stored upgrades; a second call with the same ones opens no embedder again.
pub(super) struct Resolver<'a> {
    pub file: &'a Arc<Definition>,
    /// Of the fields of the file.
    pub opened: &'a FieldEmbedders,
    pub open: &'a Embedders,
    pub last: RefCell<Option<(StoredSets, Resolved)>>,
    /// Why a model could not be opened that an upgrade has named.
    pub failed: RefCell<Option<EmbedError>>,
}

impl Resolver<'_> {
    /// # Errors
    /// A model that an upgrade has named cannot be opened.
    pub fn resolve(&self, stored: &StoredSets) -> Result<Resolved, EmbedError> {
        if let Some((same, resolved)) = &*self.last.borrow()
            && same == stored
        {
            return Ok(resolved.clone());
        }
        let resolved = self.resolve_anew(stored)?;
        *self.last.borrow_mut() = Some((stored.clone(), resolved.clone()));
        Ok(resolved)
    }

    fn resolve_anew(&self, stored: &StoredSets) -> Result<Resolved, EmbedError> {
        let mut resolved = Resolved {
            answering: self.file.clone(),
            with_second: self.file.clone(),
            embedders: self.opened.clone(),
            sets: sets(self.file, self.opened),
            forgotten: Vec::new(),
        };
        let mut definition = Definition::clone(self.file);
        let Some(index) = &mut definition.index else {
            return Ok(resolved);
        };
        for (number, field) in index.vectors.iter_mut().enumerate() {
            let (Some(other), Some(of_file)) = (
                stored.answering.get(&field.name),
                resolved.sets.fields.get(number),
            ) else {
                continue;
            };
            if of_file.model != other.instead_of {
                // The file names the new model by now, or a third one.
                continue;
            }
            let (settings, embedder) = self.open(&other.settings).map_err(|error| EmbedError {
                reason: format!(
                    "{}; an upgrade has this model answer for `{}`: make it available and go back with `millpond model \
                     rollback`, or write another model into the dataflow file and start with --rebuild",
                    error.reason, field.name
                ),
                ..error
            })?;
            tracing::warn!(
                vectors = field.name,
                model = other.model,
                "an upgrade has changed the model that answers: write `{}` into the dataflow file's [embedder]",
                other.settings.trim().replace('\n', "; ")
            );
            set_embedder(field, settings);
            if let Some(set) = resolved.sets.answering.get_mut(number) {
                set.model = embedder.model().into();
                set.dimensions = embedder.dimensions();
                set.settings = Some(other.settings.as_str().into());
            }
            if let Some(place) = resolved.embedders.get_mut(number) {
                *place = Some(embedder);
            }
        }
        resolved.answering = Arc::new(definition.clone());
        resolved.with_second = resolved.answering.clone();
        if let Some(second) = &stored.second {
            self.add_second(second, definition, stored, &mut resolved);
        }
        Ok(resolved)
    }

    /// Adds the second set, unless the dataflow file has settled what becomes of it, or its model is not there.
    fn add_second(
        &self,
        second: &StoredSecond,
        mut definition: Definition,
        stored: &StoredSets,
        resolved: &mut Resolved,
    ) {
        let Some(index) = &mut definition.index else {
            return;
        };
        let place = index.vectors.iter().position(|field| field.name == second.field);
        let sets = &mut resolved.sets;
        let of_place = place.and_then(|place| {
            let field = index.vectors.get(place)?.clone();
            Some((place, field, sets.answering.get(place)?, sets.fields.get(place)?))
        });
        let Some((place, mut field, answering, of_file)) = of_place else {
            return;
        };
        // The model that answered when this was stored still does, and the file says as it did then.
        let before = stored.answering.get(&second.field);
        let is_split = index.freshness == Freshness::Split;
        let is_as_before = is_split
            && match (before, &second.settings) {
                (Some(before), _) => *answering.model == *before.model && answering.settings.is_some(),
                (None, Some(_)) => *answering.model != *second.model,
                (None, None) => false,
            };
        if !is_as_before {
            tracing::warn!(
                vectors = second.field,
                model = of_file.model,
                "the dataflow file names this model, or has rows wait for vectors: the other set of vectors is dropped"
            );
            let gone = [
                Some(second.model.as_str()),
                before.map(|before| before.model.as_str()),
            ];
            let gone = gone
                .into_iter()
                .flatten()
                .filter(|model| **model != *answering.model);
            resolved.forgotten = gone.map(|model| Texts::lane_of(&second.field, model)).collect();
            return;
        }
        let (settings, embedder) = match second.settings.as_ref().map(|settings| self.open(settings)) {
            Some(Ok((read, embedder))) => (Some(read), Some(embedder)),
            // It answers nobody, so the node does without.
            Some(Err(error)) => {
                tracing::error!(
                    vectors = second.field,
                    model = second.model,
                    %error,
                    "the second set of vectors is dropped, since its model cannot be opened: begin the upgrade again"
                );
                resolved
                    .forgotten
                    .push(Texts::lane_of(&second.field, &second.model));
                return;
            }
            None => (None, self.opened.get(place).cloned().flatten()),
        };
        let Some(embedder) = embedder else { return };
        match settings {
            Some(settings) => set_embedder(&mut field, settings),
            None => {
                let of_file = self
                    .file
                    .index
                    .as_ref()
                    .and_then(|index| index.vectors.get(place));
                field.source = of_file.map_or(field.source, |field| field.source.clone());
            }
        }
        let phase = match (second.complete, second.former) {
            (false, _) => Phase::Building,
            (true, false) => Phase::Complete,
            (true, true) => Phase::Former,
        };
        sets.second = Some(SecondSet {
            field: place as u16,
            set: VectorSet {
                leg: index.vectors.len() as u16,
                model: embedder.model().into(),
                dimensions: embedder.dimensions(),
                settings: second.settings.as_deref().map(Arc::from),
            },
            phase,
            progress: Progress::default(),
        });
        index.vectors.push(field);
        resolved.embedders.push(Some(embedder));
        resolved.with_second = Arc::new(definition);
    }

    fn open(&self, settings: &str) -> Result<(EmbedderSettings, Arc<dyn Embedder>), EmbedError> {
        let settings = parse_embedder(settings, &self.file.folder).map_err(|faults| EmbedError {
            model: "of an upgrade".to_owned(),
            reason: format!("its settings cannot be read: {faults}"),
            retry: false,
        })?;
        let embedder = (self.open)(&settings)?;
        Ok((settings, embedder))
    }

    /// The shape of what is stored by these upgrades; where a model is not there, that of the file, and `failed` says so.
    pub fn shape(&self, stored: &StoredSets, shards: usize) -> Shape {
        match self.resolve(stored) {
            Ok(resolved) => {
                let models = embed::models(resolved.answering_embedders());
                Shape::of(&resolved.answering, &models, shards)
            }
            Err(error) => {
                *self.failed.borrow_mut() = Some(error);
                Shape::of(self.file, &embed::models(self.opened), shards)
            }
        }
    }
}

fn set_embedder(field: &mut VectorField, settings: EmbedderSettings) {
    if let VectorSource::Embed { embedder, .. } = &mut field.source {
        *embedder = settings;
    }
}

/// The sets of a dataflow file: one for each field.
fn sets(file: &Definition, opened: &FieldEmbedders) -> Sets {
    let fields = file.index.iter().flat_map(|index| &index.vectors);
    let mut sets = Sets::default();
    let mut of_file = Vec::new();
    for (leg, (field, embedder)) in (0..).zip(fields.zip(opened)) {
        let model = embedder.as_ref().map_or("", |embedder| embedder.model());
        of_file.push(FieldOfFile {
            name: field.name.clone(),
            model: model.to_owned(),
        });
        sets.answering.push(VectorSet {
            leg,
            model: model.into(),
            dimensions: embedder.as_ref().map_or(0, |embedder| embedder.dimensions()),
            settings: None,
        });
    }
    sets.fields = of_file.into();
    sets
}

/// What the port asks for.
pub(super) struct Upgrader {
    pub definition: Arc<Definition>,
    pub searcher: Searcher,
    pub published: Arc<Published>,
    pub orders: Arc<Orders>,
    pub open: Arc<Embedders>,
    pub model_hosts: Vec<ModelHost>,
    pub start: Start,
    /// Wakes the workers.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Upgrades for Upgrader {
    fn begin(&self, field: u16, settings: &str) -> Result<(), UpgradeError> {
        let snapshot = self.published.snapshot();
        if snapshot.sets.second.is_some() {
            return Err(UpgradeError::Running);
        }
        let index = self.definition.index.as_ref();
        if index.is_some_and(|index| index.freshness == Freshness::Together) {
            return Err(UpgradeError::Together);
        }
        let number = usize::from(field);
        let fields = index.map(|index| &index.vectors);
        let Some(before) = fields.and_then(|fields| fields.get(number)) else {
            return Err(UpgradeError::NoVectors);
        };
        if !matches!(before.source, VectorSource::Embed { .. }) {
            return Err(UpgradeError::ReadyMade);
        }
        let read = parse_embedder(settings, &self.definition.folder)
            .map_err(|faults| UpgradeError::Settings(faults.to_string()))?;
        admit(&read.model, &self.definition, &self.model_hosts)?;
        let embedder = (self.open)(&read).map_err(|error| UpgradeError::Model(error.to_string()))?;
        let answering = snapshot.sets.answering.get(number);
        if answering.is_some_and(|set| *set.model == *embedder.model()) {
            return Err(UpgradeError::SameModel(embedder.model().to_owned()));
        }
        let mut field_of_second = before.clone();
        set_embedder(&mut field_of_second, read);
        let embed = self.start.embedder(&field_of_second, embedder.clone());
        let embed = embed.map_err(|error| UpgradeError::Model(error.to_string()))?;
        let Some(embed) = embed else {
            return Err(UpgradeError::ReadyMade);
        };
        // The file names this model by now, or did when an upgrade led away from it.
        let is_of_file = snapshot
            .sets
            .fields
            .get(number)
            .is_some_and(|of_file| of_file.model == embedder.model());
        let set = VectorSet {
            leg: self.searcher.legs() as u16,
            model: embedder.model().into(),
            dimensions: embedder.dimensions(),
            settings: (!is_of_file).then(|| settings.into()),
        };
        let order = Order::Begin(Box::new(Beginning {
            number: field,
            field: field_of_second.clone(),
            set,
            embed,
        }));
        self.give(order)?;
        self.searcher.add_leg(&field_of_second, embedder);
        Ok(())
    }

    fn switch(&self) -> Result<(), UpgradeError> {
        self.give(Order::Switch)
    }

    fn drop_second(&self) -> Result<(), UpgradeError> {
        self.give(Order::Drop)
    }
}

impl Upgrader {
    fn give(&self, order: Order) -> Result<(), UpgradeError> {
        if !self.orders.give(order) {
            return Err(UpgradeError::Busy);
        }
        (self.wake)();
        Ok(())
    }
}
