//! Puts the parts together: sources, workers, the query port; starts them in order and stops them in reverse.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::change::TableId;
use crate::dataflow::Parts;
use crate::dataflow::embedders::Threads;
use crate::dataflow::lane::{Answer, Beside, Request, Texts};
use crate::dataflow::publish::Publisher;
use crate::dataflow::worker::{self, Feeds, Pace};
use crate::definition::{Definition, SourceSettings, VectorSource};
use crate::embed::{self, EmbedError, Embedder};
use crate::index::shard::ShardSettings;
use crate::index::{Published, Snapshot};
use crate::intake::{DeadLetters, Intake};
use crate::metrics::Metrics;
use crate::query::Searcher;
use crate::server::{self, App};
use crate::source::http::PushTable;
use crate::source::{self, Running, SourceError, Status, Stop};
use crate::storage::{Disk, Storage};

/// Batches of texts between the lanes and a fast embedder's threads: it is asked again only when a tick runs.
const FAST_REQUESTS_MAX: usize = 64;

/// Texts in one such batch.
const FAST_BATCH: usize = 256;

/// How often positions are committed to Kafka and sources' states go to the metrics.
const HOUSEKEEPING: Duration = Duration::from_secs(2);

/// What the command line says about a node.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Timely workers; without, one up to four cores and half the cores beyond.
    pub workers: Option<usize>,
    /// Where dead letters go, other than `dead-letters.ndjson` in the data directory.
    pub dead_letters: Option<PathBuf>,
}

/// Why a node did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("cannot listen on {address} (is another node running there? `--listen` names another address)")]
    Listen {
        address: SocketAddr,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot create the data directory {} (`--data-dir` names another)", path.display())]
    DataDirectory {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot write dead letters to {}", path.display())]
    DeadLetters {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error(transparent)]
    Embedder(#[from] EmbedError),
    #[error("table `{table}`")]
    Source {
        table: String,
        #[source]
        cause: SourceError,
    },
    #[error("cannot open the push log of table `{table}`")]
    PushLog {
        table: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    #[error("cannot answer requests on {address}")]
    Serve {
        address: SocketAddr,
        #[source]
        cause: std::io::Error,
    },
    #[error("a worker failed, and the node cannot go on without it: {0}")]
    Worker(String),
}

/// Runs a node until it is told to stop by Ctrl-C or SIGTERM.
pub fn serve(definition: Definition, options: &ServeOptions) -> Result<(), NodeError> {
    let runtime = Runtime::new().map_err(NodeError::Thread)?;
    let listener = runtime
        .block_on(TcpListener::bind(options.listen))
        .map_err(|cause| NodeError::Listen {
            address: options.listen,
            cause,
        })?;
    let node = Node::start(definition, options)?;
    let served = runtime.block_on(node.serve(listener));
    let stopped = node.stop();
    served.and(stopped)
}

/// A running node without its port.
pub struct Node {
    app: Arc<App>,
    pace: Arc<Pace>,
    intake: Arc<Intake>,
    stop_sources: Stop,
    sources: Mutex<Vec<(String, Running)>>,
    workers: Mutex<Option<JoinHandle<Result<(), String>>>>,
    worker_ended: Arc<Notify>,
}

impl Node {
    /// Starts the workers, then the sources.
    pub fn start(definition: Definition, options: &ServeOptions) -> Result<Node, NodeError> {
        let definition = Arc::new(definition);
        let metrics = Metrics::default();
        let dead_letters = open_dead_letters(options)?;
        let embedder = open_embedder(&definition)?;
        let published = Arc::new(Published::new(Snapshot::empty()));
        let pace = Arc::new(Pace::default());
        let wake: Arc<dyn Fn() + Send + Sync> = {
            let pace = pace.clone();
            Arc::new(move || pace.wake())
        };
        let (intake, batches) = Intake::new(definition.clone(), dead_letters, metrics.clone(), wake.clone());
        let (lanes, answers) = start_embedders(&definition, embedder.clone(), wake.clone())?;
        let app = Arc::new(App {
            searcher: definition
                .index
                .is_some()
                .then(|| Searcher::new(definition.clone(), published.clone(), embedder.clone())),
            published: published.clone(),
            pushes: push_tables(&definition, &intake, &options.data_dir, &metrics)?,
            sources: definition
                .tables
                .iter()
                .map(|table| (table.name.clone(), Status::default()))
                .collect(),
            metrics: metrics.clone(),
            ready: Arc::new(AtomicBool::new(false)),
            definition: definition.clone(),
        });
        let feeds = Feeds {
            intake: intake.clone(),
            batches,
            answers,
            metrics: metrics.clone(),
            ready: app.ready.clone(),
        };
        let publisher = Arc::new(Publisher::new(published, metrics));
        let build = move || Parts {
            definition: definition.clone(),
            embedder: embedder.clone(),
            beside: lanes.beside(),
            shard: ShardSettings {
                repeatable: false,
                wake: wake.clone(),
            },
            publisher: publisher.clone(),
            watched: Vec::new(),
        };
        let count = options.workers.unwrap_or_else(default_workers);
        let worker_ended = Arc::new(Notify::new());
        let workers = start_workers(count, build, pace.clone(), feeds, worker_ended.clone())?;
        let node = Node {
            app,
            pace,
            intake,
            stop_sources: Stop::default(),
            sources: Mutex::default(),
            workers: Mutex::new(Some(workers)),
            worker_ended,
        };
        if let Err(error) = node.start_sources() {
            let _ = node.stop();
            return Err(error);
        }
        Ok(node)
    }

    /// What the query port and tests use.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Answers requests until Ctrl-C, SIGTERM, or the end of a worker.
    pub async fn serve(&self, listener: TcpListener) -> Result<(), NodeError> {
        let address = listener.local_addr().map_err(NodeError::Thread)?;
        let ended = self.worker_ended.clone();
        let stop = async move {
            tokio::select! {
                () = told_to_stop() => tracing::info!("stopping"),
                () = ended.notified() => {}
            }
        };
        tracing::info!(%address, index = self.app.definition.name, "serving");
        let serving = server::serve(listener, self.app.clone(), stop);
        tokio::select! {
            served = serving => served.map_err(|cause| NodeError::Serve { address, cause }),
            () = self.housekeeping() => Ok(()),
        }
    }

    /// Stops the sources, finishes the tick, and ends the workers.
    pub fn stop(&self) -> Result<(), NodeError> {
        self.app.ready.store(false, Ordering::Release);
        self.stop_sources.stop();
        // Sources that wait for room are let go of before they are waited for.
        self.intake.close();
        for (_, running) in std::mem::take(&mut *lock(&self.sources)) {
            running.join();
        }
        self.pace.stop();
        match lock(&self.workers).take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(reason))) => Err(NodeError::Worker(reason)),
            Some(Err(_)) => Err(NodeError::Worker("its thread panicked".into())),
        }
    }

    fn start_sources(&self) -> Result<(), NodeError> {
        let tables = self.app.definition.tables.iter().zip(&self.app.sources).zip(0..);
        for ((table, (_, status)), number) in tables {
            if let Some(pushes) = self.app.pushes.get(&table.name) {
                let running = pushes.start(status.clone()).map_err(NodeError::Thread)?;
                lock(&self.sources).push((table.name.clone(), running));
                continue;
            }
            let receivers = self.intake.receivers(TableId(number));
            let running = source::start(table, receivers, status.clone(), self.stop_sources.clone())
                .map_err(|cause| NodeError::Source {
                    table: table.name.clone(),
                    cause,
                })?;
            lock(&self.sources).push((table.name.clone(), running));
        }
        Ok(())
    }

    /// Commits what is published, for lag monitoring, and shows how the sources are doing.
    async fn housekeeping(&self) {
        let mut interval = tokio::time::interval(HOUSEKEEPING);
        let mut read_to_the_end = BTreeSet::new();
        loop {
            interval.tick().await;
            let snapshot = self.app.published.snapshot();
            for (table, running) in &*lock(&self.sources) {
                let prefix = format!("{table}/");
                let of_table = snapshot.positions.range(prefix.clone()..);
                let positions = of_table.map_while(|(partition, offset)| {
                    Some((partition.strip_prefix(&prefix)?.to_owned(), *offset))
                });
                running.commit(&positions.collect());
            }
            for (table, status) in &self.app.sources {
                let state = status.state();
                let lag = state
                    .lag
                    .iter()
                    .map(|(partition, lag)| (partition.as_str(), *lag));
                self.app.metrics.set_source(table, state.trouble.is_none(), lag);
                if state.finished && read_to_the_end.insert(table) {
                    tracing::info!(table, documents = snapshot.documents(), "read to its end");
                }
            }
        }
    }
}

/// The tables that take pushes, by name.
fn push_tables(
    definition: &Definition,
    intake: &Arc<Intake>,
    data_dir: &Path,
    metrics: &Metrics,
) -> Result<BTreeMap<String, Arc<PushTable>>, NodeError> {
    let storage: Arc<dyn Storage> = Arc::new(Disk::new(data_dir));
    let tables = definition.tables.iter().zip(0..);
    tables
        .filter(|(table, _)| matches!(table.source, SourceSettings::Http))
        .map(|(table, number)| {
            let receivers = intake.receivers(TableId(number));
            let opened = PushTable::open(storage.clone(), &table.name, &*receivers);
            let pushes = opened.map_err(|cause| NodeError::PushLog {
                table: table.name.clone(),
                cause,
            })?;
            metrics.push_lost(&table.name, pushes.lost());
            Ok((table.name.clone(), pushes))
        })
        .collect()
}

/// Runs the workers on threads of their own; `ended` is told when they are done, for whatever reason.
fn start_workers(
    count: usize,
    build: impl Fn() -> Parts + Send + Sync + 'static,
    pace: Arc<Pace>,
    feeds: Feeds,
    ended: Arc<Notify>,
) -> Result<JoinHandle<Result<(), String>>, NodeError> {
    let run = move || {
        let outcome = worker::execute(count, move |timely| worker::run(timely, build(), &pace, &feeds));
        ended.notify_one();
        outcome
    };
    let thread = std::thread::Builder::new().name("workers".into());
    thread.spawn(run).map_err(NodeError::Thread)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the lanes reach the embedder's threads.
#[derive(Clone)]
enum Lanes {
    Nothing,
    Threads {
        requests: crossbeam_channel::Sender<Vec<Request>>,
        batch: usize,
    },
}

impl Lanes {
    fn beside(&self) -> Beside {
        match self {
            Lanes::Nothing => Beside::Nothing,
            Lanes::Threads { requests, batch } => Beside::Threads {
                requests: requests.clone(),
                batch: *batch,
            },
        }
    }
}

/// Starts the threads that embed beside the dataflow, if the index embeds texts.
fn start_embedders(
    definition: &Definition,
    embedder: Option<Arc<dyn Embedder>>,
    wake: Arc<dyn Fn() + Send + Sync>,
) -> Result<(Lanes, crossbeam_channel::Receiver<Vec<Answer>>), NodeError> {
    let source = definition.index.as_ref().map(|index| &index.vectors);
    let (
        Some(VectorSource::Embed {
            template,
            embedder: settings,
        }),
        Some(embedder),
    ) = (source, embedder)
    else {
        return Ok((Lanes::Nothing, crossbeam_channel::never()));
    };
    // Texts in the channel cannot be withdrawn any more, which matters where each one is dear.
    let (batches, batch) = if embedder.is_fast() {
        (FAST_REQUESTS_MAX, FAST_BATCH)
    } else {
        (2 * settings.parallel, settings.batch)
    };
    let (requests, requested) = crossbeam_channel::bounded(batches);
    let (answers, answered) = crossbeam_channel::bounded(batches);
    let texts = Texts::new(template.clone(), &*embedder);
    Threads {
        embedder,
        texts,
        requests: requested,
        answers,
        wake,
    }
    .start(settings.parallel)
    .map_err(NodeError::Thread)?;
    Ok((Lanes::Threads { requests, batch }, answered))
}

/// The embedder of the definition's index, where it embeds texts.
pub fn open_embedder(definition: &Definition) -> Result<Option<Arc<dyn Embedder>>, EmbedError> {
    match definition.index.as_ref().map(|index| &index.vectors) {
        Some(VectorSource::Embed { embedder, .. }) => embed::open(embedder).map(Some),
        _ => Ok(None),
    }
}

fn open_dead_letters(options: &ServeOptions) -> Result<DeadLetters, NodeError> {
    let path = match &options.dead_letters {
        Some(path) => path.clone(),
        None => {
            let path = options.data_dir.clone();
            std::fs::create_dir_all(&path).map_err(|cause| NodeError::DataDirectory {
                path: path.clone(),
                cause,
            })?;
            path.join("dead-letters.ndjson")
        }
    };
    DeadLetters::append_to(&path).map_err(|cause| NodeError::DeadLetters { path, cause })
}

/// One worker up to four cores: the others decode, compact and answer.
fn default_workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores <= 4 { 1 } else { cores / 2 }
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
