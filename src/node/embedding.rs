//! The embedders of a node's index, their threads, and who is told of what they refuse.

use std::sync::Arc;

use super::NodeError;
use crate::change::{Datum, DatumRef, Key};
use crate::dataflow::Embed;
use crate::dataflow::embedders::Threads;
use crate::dataflow::lane::{Answer, Beside, Refused, Texts, backlog};
use crate::definition::{Definition, EmbedderSettings, VectorField, VectorSource};
use crate::embed::{self, EmbedError, Embedder, FieldEmbedders};
use crate::intake::{DeadLetters, UnembeddedText};
use crate::metrics::Metrics;

/// Batches of vectors that wait for a tick: more would make the threads wait.
const ANSWERS_MAX: usize = 64;

/// Texts that a fast embedder is given at once.
const FAST_BATCH: usize = 256;

/// How each vector field is embedded, the answers for all of them, and what starts a further one.
pub(super) type Started = (
    Vec<Option<Embed>>,
    crossbeam_channel::Receiver<Vec<Answer>>,
    Start,
);

/// Starts the threads that embed beside the dataflow, for each vector field that embeds texts.
pub(super) fn start_embedders(
    definition: &Arc<Definition>,
    embedders: &[Option<Arc<dyn Embedder>>],
    dead_letters: &DeadLetters,
    metrics: &Metrics,
    wake: Arc<dyn Fn() + Send + Sync>,
) -> Result<Started, NodeError> {
    let (answers, answered) = crossbeam_channel::bounded(ANSWERS_MAX);
    let start = Start {
        definition: definition.clone(),
        dead_letters: dead_letters.clone(),
        metrics: metrics.clone(),
        answers,
        wake,
    };
    let embedding = vector_fields(definition).enumerate().map(|(number, field)| {
        let embedder = embedders.get(number).cloned().flatten();
        embedder.map_or(Ok(None), |embedder| start.embedder(field, embedder))
    });
    Ok((embedding.collect::<Result<_, _>>()?, answered, start))
}

/// What it takes to start the threads of a further embedder.
pub(super) struct Start {
    definition: Arc<Definition>,
    dead_letters: DeadLetters,
    metrics: Metrics,
    answers: crossbeam_channel::Sender<Vec<Answer>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Start {
    /// Starts the threads that embed the texts of a vector field; `None` where its vectors are ready-made.
    pub fn embedder(
        &self,
        field: &VectorField,
        embedder: Arc<dyn Embedder>,
    ) -> Result<Option<Embed>, NodeError> {
        let VectorSource::Embed {
            embedder: settings, ..
        } = &field.source
        else {
            return Ok(None);
        };
        let batch = if embedder.is_fast() {
            FAST_BATCH
        } else {
            settings.batch
        };
        let (requests, taking) = backlog();
        let Some(texts) = Texts::new(field, &*embedder) else {
            return Ok(None);
        };
        let refused = refused_texts(&self.definition, texts.clone(), &self.dead_letters, &self.metrics);
        Threads {
            embedder: embedder.clone(),
            texts,
            refused: refused.clone(),
            requests: taking,
            batch,
            answers: self.answers.clone(),
            wake: self.wake.clone(),
        }
        .start(settings.parallel)
        .map_err(NodeError::Thread)?;
        Ok(Some(Embed {
            embedder,
            beside: Beside::Threads(requests),
            refused,
        }))
    }
}

/// Opens the embedder that a definition names.
pub type Embedders = dyn Fn(&EmbedderSettings) -> Result<Arc<dyn Embedder>, EmbedError> + Send + Sync;

/// The embedders of the definition's vector fields.
pub fn open_embedders(definition: &Definition) -> Result<FieldEmbedders, EmbedError> {
    open_embedders_by(definition, &embed::open)
}

/// Fields with the same settings share one embedder.
pub(super) fn open_embedders_by(
    definition: &Definition,
    open: &Embedders,
) -> Result<FieldEmbedders, EmbedError> {
    let mut opened: Vec<(&EmbedderSettings, Arc<dyn Embedder>)> = Vec::new();
    let mut embedders = Vec::new();
    for field in vector_fields(definition) {
        let VectorSource::Embed {
            embedder: settings, ..
        } = &field.source
        else {
            embedders.push(None);
            continue;
        };
        let same = opened.iter().find(|(other, _)| *other == settings);
        let embedder = match same {
            Some((_, embedder)) => embedder.clone(),
            None => open(settings)?,
        };
        opened.push((settings, embedder.clone()));
        embedders.push(Some(embedder));
    }
    Ok(embedders)
}

/// One answer for each vector field of the definition, for replays: texts are embedded inside the tick.
pub(crate) fn embed_inside(
    definition: &Definition,
    embedders: &[Option<Arc<dyn Embedder>>],
    dead_letters: &DeadLetters,
    metrics: &Metrics,
) -> Vec<Option<Embed>> {
    let embed = |(field, embedder): (&VectorField, &Option<Arc<dyn Embedder>>)| {
        let embedder = embedder.as_ref()?;
        let texts = Texts::new(field, &**embedder)?;
        Some(Embed {
            embedder: embedder.clone(),
            beside: Beside::Nothing,
            refused: refused_texts(definition, texts, dead_letters, metrics),
        })
    };
    vector_fields(definition).zip(embedders).map(embed).collect()
}

fn vector_fields(definition: &Definition) -> impl Iterator<Item = &VectorField> {
    definition.index.iter().flat_map(|index| &index.vectors)
}

/// Keeps a text that its embedder refuses as a dead letter, with a document that has it.
fn refused_texts(
    definition: &Definition,
    texts: Texts,
    dead_letters: &DeadLetters,
    metrics: &Metrics,
) -> Refused {
    let key = definition.index.iter().flat_map(|index| {
        let columns = index.key.iter();
        columns.filter_map(|&column| index.plan.columns.get(column).cloned())
    });
    let key: Vec<String> = key.collect();
    let (name, dead_letters, metrics) = (definition.name.clone(), dead_letters.clone(), metrics.clone());
    Refused::new(move |request, reason| {
        metrics.text_refused();
        let row = &request.row;
        let values = key.iter().filter_map(|column| row.get(column));
        let parts: Vec<Datum> = values.map(DatumRef::to_datum).collect();
        dead_letters.keep_text(&UnembeddedText {
            index: &name,
            hash: request.hash,
            text: &texts.part(row, request.span).unwrap_or_default(),
            key: Key::new(parts).to_string(),
            row,
            reason,
        });
    })
}
