//! The embedder of a node's index, its threads, and who is told of what it refuses.

use std::sync::Arc;

use super::NodeError;
use crate::change::{Datum, DatumRef, Key};
use crate::dataflow::embedders::Threads;
use crate::dataflow::lane::{Answer, Beside, Refused, Texts, backlog};
use crate::definition::{Definition, EmbedderSettings, VectorSource};
use crate::embed::{self, EmbedError, Embedder};
use crate::intake::{DeadLetters, UnembeddedText};
use crate::metrics::Metrics;

/// Batches of vectors that wait for a tick: more would make the threads wait.
const ANSWERS_MAX: usize = 64;

/// Texts that a fast embedder is given at once.
const FAST_BATCH: usize = 256;

/// Starts the threads that embed beside the dataflow, if the index embeds texts.
pub(super) fn start_embedders(
    definition: &Definition,
    embedder: Option<Arc<dyn Embedder>>,
    refused: Refused,
    wake: Arc<dyn Fn() + Send + Sync>,
) -> Result<(Beside, crossbeam_channel::Receiver<Vec<Answer>>), NodeError> {
    let source = definition.index.as_ref().map(|index| &index.vectors);
    let (
        Some(VectorSource::Embed {
            template,
            embedder: settings,
        }),
        Some(embedder),
    ) = (source, embedder)
    else {
        return Ok((Beside::Nothing, crossbeam_channel::never()));
    };
    let batch = if embedder.is_fast() {
        FAST_BATCH
    } else {
        settings.batch
    };
    let (requests, taking) = backlog();
    let (answers, answered) = crossbeam_channel::bounded(ANSWERS_MAX);
    let texts = Texts::new(template.clone(), &*embedder);
    Threads {
        embedder,
        texts,
        refused,
        requests: taking,
        batch,
        answers,
        wake,
    }
    .start(settings.parallel)
    .map_err(NodeError::Thread)?;
    Ok((Beside::Threads(requests), answered))
}

/// Opens the embedder that a definition names.
pub type Embedders = dyn Fn(&EmbedderSettings) -> Result<Arc<dyn Embedder>, EmbedError> + Send + Sync;

/// The embedder of the definition's index, where it embeds texts.
pub fn open_embedder(definition: &Definition) -> Result<Option<Arc<dyn Embedder>>, EmbedError> {
    open_embedder_by(definition, &embed::open)
}

pub(super) fn open_embedder_by(
    definition: &Definition,
    embedders: &Embedders,
) -> Result<Option<Arc<dyn Embedder>>, EmbedError> {
    match definition.index.as_ref().map(|index| &index.vectors) {
        Some(VectorSource::Embed { embedder, .. }) => embedders(embedder).map(Some),
        _ => Ok(None),
    }
}

/// Keeps a text that its embedder refuses as a dead letter, with a document that has it.
pub(crate) fn refused_texts(
    definition: &Definition,
    embedder: Option<&dyn Embedder>,
    dead_letters: &DeadLetters,
    metrics: &Metrics,
) -> Refused {
    let (Some(index), Some(embedder)) = (&definition.index, embedder) else {
        return Refused::default();
    };
    let VectorSource::Embed { template, .. } = &index.vectors else {
        return Refused::default();
    };
    let texts = Texts::new(template.clone(), embedder);
    let key: Vec<String> = index
        .key
        .iter()
        .filter_map(|&column| index.plan.columns.get(column).cloned())
        .collect();
    let (name, dead_letters, metrics) = (definition.name.clone(), dead_letters.clone(), metrics.clone());
    Refused::new(move |request, reason| {
        metrics.text_refused();
        let row = &request.row;
        let values = key.iter().filter_map(|column| row.get(column));
        let parts: Vec<Datum> = values.map(DatumRef::to_datum).collect();
        dead_letters.keep_text(&UnembeddedText {
            index: &name,
            hash: request.hash,
            text: &texts.render(row).unwrap_or_default(),
            key: Key::new(parts).to_string(),
            row,
            reason,
        });
    })
}
