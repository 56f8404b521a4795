//! The index before, brought back as it was stored, to answer while `--rebuild` makes the new one.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Embedders;
use super::embedding::open_embedders_by;
use super::reranking::with_reranker;
use super::upgrade::{Resolved, Resolver};
use crate::checkpoint::{self, Change, Shape, StoredSets};
use crate::dataflow::lane::{Beside, Refused, backlog};
use crate::dataflow::publish::Publisher;
use crate::dataflow::{Embed, Job, Parts, Resume, worker};
use crate::definition::Faults;
use crate::embed::{self, EmbedError, Embedder};
use crate::index::shard::ShardSettings;
use crate::index::{Published, Snapshot};
use crate::metrics::Metrics;
use crate::query::Searcher;
use crate::server;
use crate::storage::Storage;

/// How long a worker sleeps at most that waits for another.
const SLEEP_MAX: Duration = Duration::from_millis(1);

/// Why the index before cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeforeError {
    #[error("this version cannot read its dataflow file: {0}")]
    File(#[from] Faults),
    #[error("its embedder is not there any more")]
    Embedder(#[from] EmbedError),
    #[error("this version would make it anew: {reason}")]
    Other { reason: String },
    #[error("a worker failed: {0}")]
    Worker(String),
}

/// Runs the stored rows through the dataflow of their own definition, for one tick, and keeps what that publishes.
/// `None` where there was no index.
///
/// Texts that had no vector then have none now: nothing is embedded but queries.
pub(super) fn open(
    stored: checkpoint::Before,
    embedders: &Embedders,
    storage: Arc<dyn Storage>,
    folder: &Path,
) -> Result<Option<server::Before>, BeforeError> {
    let file = Arc::new(stored.file.parse()?);
    if file.index.is_none() {
        return Ok(None);
    }
    let upgrades = Resolver {
        file: &file,
        opened: &open_embedders_by(&file, embedders)?,
        open: embedders,
        last: RefCell::default(),
        failed: RefCell::default(),
    };
    let Resolved {
        answering: definition,
        embedders,
        sets,
        ..
    } = upgrades.resolve(&StoredSets {
        // It answers nobody.
        second: None,
        ..stored.sets
    })?;
    let workers = stored.shape.shards;
    match stored
        .shape
        .compare(&Shape::of(&definition, &embed::models(&embedders), workers))
    {
        Change::Same => {}
        Change::Reindex { reason } | Change::Rebuild { reason } => return Err(BeforeError::Other { reason }),
    }
    let (published, tick) = (Arc::new(Published::new(Snapshot::empty())), stored.tick);
    let publisher = Arc::new(Publisher::new(published.clone(), Metrics::default()));
    publisher.restore(stored.positions);
    publisher.begin_sets(sets, Vec::new());
    let mut tables = stored.tables;
    let rows = definition.tables.iter();
    let rows = rows.map(|table| tables.remove(&table.name).unwrap_or_default());
    let resume = Arc::new(Resume {
        tick,
        tables: Mutex::new(rows.collect()),
        texts: Mutex::new(stored.texts),
        shards: stored.shards,
        storage,
    });
    let folder = folder.to_owned();
    // Nobody takes from it: nothing is embedded.
    let (requests, _) = backlog();
    let embed = |embedder: &Arc<dyn Embedder>| Embed {
        embedder: embedder.clone(),
        beside: Beside::Threads(requests.clone()),
        refused: Refused::default(),
    };
    let embedding: Vec<_> = embedders
        .iter()
        .map(|embedder| embedder.as_ref().map(embed))
        .collect();
    let (of_all, publishing) = (definition.clone(), publisher.clone());
    let parts = move || Parts {
        definition: of_all.clone(),
        embedding: embedding.clone(),
        shard: ShardSettings {
            repeatable: false,
            wake: Arc::new(|| {}),
            folder: Some(folder.clone()),
        },
        publisher: publishing.clone(),
        resume: Some(resume.clone()),
        watched: Vec::new(),
    };
    let done = worker::execute(workers, move |timely| {
        let job = Job::build(timely, parts());
        while !job.is_done() {
            timely.step_or_park(Some(SLEEP_MAX));
        }
    });
    done.map_err(BeforeError::Worker)?;
    publisher.publish(tick);
    let searcher = Searcher::new(definition.clone(), published, embedders);
    // The node answers without: searches that ask for it are told.
    let searcher = with_reranker(searcher.clone(), &definition).unwrap_or_else(|error| {
        tracing::warn!(%error, "the index before has no re-ranker");
        searcher
    });
    Ok(Some(server::Before { searcher, tick }))
}
