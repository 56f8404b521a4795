//! Puts the parts together: sources, workers, the query port; starts them in order and stops them in reverse.

mod before;
mod embedding;
mod letters;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use embedding::{Embedders, open_embedder};
pub(crate) use embedding::refused_texts;
use embedding::{open_embedder_by, start_embedders};
use letters::{open_dead_letters, produce_dead_letters};
use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::change::{Offset, Row, TableId, Tick};
use crate::checkpoint;
use crate::checkpoint::snapshots::Snapshots;
use crate::checkpoint::{Change, Checkpointed, OpenError, Recovered, Rekey, Shape, Store, TableCut, Writer};
use crate::dataflow::cut::Cuts;
use crate::dataflow::publish::Publisher;
use crate::dataflow::worker::{self, Feeds, Pace};
use crate::dataflow::{Parts, Resume};
use crate::decode::key_of;
use crate::definition::{Definition, SourceSettings, Table};
use crate::embed::{self, EmbedError, Embedder};
use crate::index::shard::ShardSettings;
use crate::index::{Published, Snapshot};
use crate::intake::{Batch, DeadLetters, Intake};
use crate::metrics::Metrics;
use crate::query::Searcher;
use crate::server::{self, App};
use crate::source::http::PushTable;
use crate::source::{self, Running, SourceError, Status, Stop};
use crate::storage::{Disk, LockError, Storage};

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
    /// Makes the index anew where what is stored does not fit the definition.
    pub rebuild: bool,
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
    Locked(#[from] LockError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Embedder(#[from] EmbedError),
    #[error("the topic of dead letters")]
    DeadLetterTopic(#[source] SourceError),
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
///
/// The port is open while the node recovers: `/readyz` says so, and searches are told to come back.
pub fn serve(definition: Definition, options: &ServeOptions) -> Result<(), NodeError> {
    let runtime = Runtime::new().map_err(NodeError::Thread)?;
    let listener = runtime
        .block_on(TcpListener::bind(options.listen))
        .map_err(|cause| NodeError::Listen {
            address: options.listen,
            cause,
        })?;
    let node = Arc::new(Node::new(definition, options, Arc::new(embed::open))?);
    let opening = {
        let node = node.clone();
        runtime.spawn_blocking(move || node.open())
    };
    let served = runtime.block_on(async {
        let failed = async {
            match opening.await {
                Ok(Err(error)) => error,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            served = node.serve(listener) => served,
            error = failed => Err(error),
        }
    });
    let stopped = node.stop();
    served.and(stopped)
}

/// A running node without its port.
pub struct Node {
    app: Arc<App>,
    pace: Arc<Pace>,
    intake: Arc<Intake>,
    options: ServeOptions,
    embedders: Arc<Embedders>,
    /// What [`Node::open`] takes; locked while it is at work.
    closed: Mutex<Option<Closed>>,
    stop_sources: Stop,
    sources: Mutex<Vec<(String, Running)>>,
    workers: Mutex<Option<JoinHandle<Result<(), String>>>>,
    checkpoints: Mutex<Option<JoinHandle<()>>>,
    worker_ended: Arc<Notify>,
    /// Keeps other processes off the data directory until all is stopped.
    locked: Mutex<Option<Disk>>,
}

/// What a node has before it is opened.
struct Closed {
    batches: crossbeam_channel::Receiver<Batch>,
    embedder: Option<Arc<dyn Embedder>>,
    dead_letters: DeadLetters,
}

impl Node {
    /// Brings back what is stored, then starts workers and sources.
    pub fn start(definition: Definition, options: &ServeOptions) -> Result<Node, NodeError> {
        Node::start_with(definition, options, Arc::new(embed::open))
    }

    /// The same, with embedders of the caller's own.
    pub fn start_with(
        definition: Definition,
        options: &ServeOptions,
        embedders: Arc<Embedders>,
    ) -> Result<Node, NodeError> {
        let node = Node::new(definition, options, embedders)?;
        if let Err(error) = node.open() {
            let _ = node.stop();
            return Err(error);
        }
        Ok(node)
    }

    /// A node that answers requests, most of them with "recovering".
    fn new(
        definition: Definition,
        options: &ServeOptions,
        embedders: Arc<Embedders>,
    ) -> Result<Node, NodeError> {
        let definition = Arc::new(definition);
        let metrics = Metrics::default();
        let locked = lock_data_dir(&options.data_dir)?;
        let dead_letters = open_dead_letters(options)?;
        if let Some(topic) = &definition.dead_letters {
            produce_dead_letters(topic, &dead_letters, &metrics)?;
        }
        let embedder = open_embedder_by(&definition, &*embedders)?;
        let published = Arc::new(Published::new(Snapshot::empty()));
        let pace = Arc::new(Pace::default());
        let wake = waker(&pace);
        let (intake, batches) = Intake::new(definition.clone(), dead_letters.clone(), metrics.clone(), wake);
        let app = Arc::new(App {
            searcher: definition
                .index
                .is_some()
                .then(|| Searcher::new(definition.clone(), published.clone(), embedder.clone())),
            published,
            pushes: OnceLock::new(),
            sources: definition
                .tables
                .iter()
                .map(|table| (table.name.clone(), Status::default()))
                .collect(),
            metrics,
            ready: Arc::new(AtomicBool::new(false)),
            caught_up: AtomicBool::new(false),
            intake: intake.clone(),
            durable: Arc::default(),
            snapshots: Snapshots::new(Arc::new(Disk::new(&options.data_dir))),
            before: ArcSwapOption::empty(),
            definition,
        });
        Ok(Node {
            app,
            pace,
            intake,
            options: options.clone(),
            embedders,
            closed: Mutex::new(Some(Closed {
                batches,
                embedder,
                dead_letters,
            })),
            stop_sources: Stop::default(),
            sources: Mutex::default(),
            workers: Mutex::default(),
            checkpoints: Mutex::default(),
            worker_ended: Arc::new(Notify::new()),
            locked: Mutex::new(Some(locked)),
        })
    }

    /// Brings back what is stored, then starts workers and sources.
    fn open(&self) -> Result<(), NodeError> {
        let mut closed = lock(&self.closed);
        let Some(Closed {
            batches,
            embedder,
            dead_letters,
        }) = closed.take()
        else {
            return Ok(());
        };
        let app = &self.app;
        let definition = app.definition.clone();
        let count = self.options.workers.unwrap_or_else(default_workers);
        let storage: Arc<dyn Storage> = Arc::new(Disk::new(&self.options.data_dir));
        let model = embedder
            .as_deref()
            .map(|embedder| (embedder.model(), embedder.dimensions()));
        let rekey = |table: &str, row: &Row| {
            let (_, table) = definition.table(table)?;
            key_of(table, row).ok()
        };
        let rebuild: Option<Rekey<'_>> = if self.options.rebuild { Some(&rekey) } else { None };
        let shape = Shape::of(&definition, model, count);
        let (mut store, mut recovered) = Store::open(storage.clone(), shape, rebuild)?;
        store.keep_file(definition.kept.clone());
        let stored = match &recovered {
            // What is made anew of the rows is on disk when it is written again.
            Some(recovered) if recovered.change == Change::Same => recovered.tick,
            _ => Tick(0),
        };
        if let Some(before) = recovered.as_mut().and_then(|recovered| recovered.before.take()) {
            self.serve_before(before, &storage);
        }
        let publisher = Arc::new(Publisher::new(app.published.clone(), app.metrics.clone()));
        let resume = self.restore(recovered, &publisher, storage.clone());
        let pushes = push_tables(&definition, &self.intake, &storage, &app.metrics)?;
        let logs = pushes.clone();
        let _ = app.pushes.set(pushes);
        let (cuts, writing) = crossbeam_channel::bounded(1);
        let mut cuts = Cuts::new(cuts, stored);
        if let Some(before) = &*app.before.load() {
            cuts = cuts.complete_through(before.tick);
        }
        let written = cuts.when_written();
        let (ask, wake) = (cuts.ask(), waker(&self.pace));
        app.durable.asked_by(move || {
            ask();
            wake();
        });
        let answering = app.clone();
        let writer = Writer {
            store,
            cuts: writing,
            durable: app.durable.clone(),
            sync_others: {
                let dead_letters = dead_letters.clone();
                Box::new(move || dead_letters.sync())
            },
            written: Box::new(move |oldest| {
                oldest.into_iter().for_each(|oldest| cut_logs(&logs, oldest));
                // There is no checkpoint before the new index is complete: the old one answers no more.
                answering.before.store(None);
                written();
            }),
            metrics: app.metrics.clone(),
        };
        *lock(&self.checkpoints) = Some(writer.start().map_err(NodeError::Thread)?);

        let wake = waker(&self.pace);
        let refused = refused_texts(&definition, embedder.as_deref(), &dead_letters, &app.metrics);
        let (lanes, answers) = start_embedders(&definition, embedder.clone(), refused.clone(), wake.clone())?;
        let feeds = Feeds {
            intake: self.intake.clone(),
            batches,
            answers,
            metrics: app.metrics.clone(),
            ready: app.ready.clone(),
            cuts: Some((cuts, definition.checkpoint)),
        };
        let build = move || Parts {
            definition: definition.clone(),
            embedder: embedder.clone(),
            beside: lanes.clone(),
            refused: refused.clone(),
            shard: ShardSettings {
                repeatable: false,
                wake: wake.clone(),
            },
            publisher: publisher.clone(),
            resume: Some(resume.clone()),
            watched: Vec::new(),
        };
        let workers = start_workers(count, build, self.pace.clone(), feeds, self.worker_ended.clone())?;
        *lock(&self.workers) = Some(workers);
        self.start_sources()
    }

    /// Has the index before answer until the one that is made anew is complete.
    fn serve_before(&self, before: checkpoint::Before, storage: &Arc<dyn Storage>) {
        if self.app.searcher.is_none() {
            return;
        }
        match before::open(before, &*self.embedders, storage.clone()) {
            Ok(None) => {}
            Ok(Some(before)) => {
                let documents = before.searcher.stats().documents;
                tracing::info!(documents, "rebuilding; until that is done, the index before answers");
                self.app.before.store(Some(Arc::new(before)));
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the index before cannot be served: what is rebuilt so far answers"
            ),
        }
    }

    /// Hands what was stored to whom it belongs; the workers' part is returned.
    fn restore(
        &self,
        recovered: Option<Recovered>,
        publisher: &Publisher,
        storage: Arc<dyn Storage>,
    ) -> Arc<Resume> {
        let tables = &self.app.definition.tables;
        let Some(mut recovered) = recovered else {
            return Arc::new(Resume::nothing(tables.len(), storage));
        };
        let rows: usize = recovered.tables.values().map(|table| table.keys.len()).sum();
        tracing::info!(rows, tick = recovered.tick.0, "recovering");
        publisher.restore(recovered.positions.clone());
        self.app.durable.advance(Checkpointed {
            tick: recovered.tick,
            positions: Arc::new(recovered.positions.clone()),
        });
        self.intake.restore(recovered.partitions, recovered.positions);
        let stored = |table: &Table| recovered.tables.remove(&table.name).unwrap_or_default();
        let stored: Vec<TableCut> = tables.iter().map(stored).collect();
        for (number, table) in (0..).zip(&stored) {
            // A column that the newest rows have, and the next ones lack, was dropped.
            if let Some(row) = table.newest_row() {
                let columns = row.columns().names().iter().map(|name| &**name);
                self.intake.expect_columns(TableId(number), columns);
            }
        }
        Arc::new(Resume {
            tick: recovered.tick,
            tables: Mutex::new(stored),
            texts: Mutex::new(recovered.texts),
            shards: recovered.shards,
            storage,
        })
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
                () = told_to_stop() => {
                    tracing::info!("stopping; a second signal ends at once");
                    end_at_the_next_signal();
                }
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

    /// Stops the sources, finishes the tick, and ends the workers with a last checkpoint.
    pub fn stop(&self) -> Result<(), NodeError> {
        self.stop_sources.stop();
        // An opening under way comes to its end first.
        lock(&self.closed).take();
        self.app.ready.store(false, Ordering::Release);
        if self.app.rebuilding().is_some() {
            tracing::warn!("the rebuild is not complete: the checkpoint before stays in force");
        }
        // Sources that wait for room are let go of before they are waited for.
        self.intake.close();
        for (_, running) in std::mem::take(&mut *lock(&self.sources)) {
            running.join();
        }
        self.pace.stop();
        let worked = lock(&self.workers).take().map(JoinHandle::join);
        // The workers have let go of the cuts: the thread ends when it has written the last one.
        if let Some(checkpoints) = lock(&self.checkpoints).take()
            && checkpoints.join().is_err()
        {
            tracing::error!("the thread that writes checkpoints panicked");
        }
        lock(&self.locked).take();
        match worked {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(reason))) => Err(NodeError::Worker(reason)),
            Some(Err(_)) => Err(NodeError::Worker("its thread panicked".into())),
        }
    }

    fn start_sources(&self) -> Result<(), NodeError> {
        let tables = self.app.definition.tables.iter().zip(&self.app.sources).zip(0..);
        for ((table, (_, status)), number) in tables {
            if let Some(pushes) = self.app.push_table(&table.name) {
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

    /// Commits what is durable, for lag monitoring, and shows how the sources are doing.
    async fn housekeeping(&self) {
        let mut interval = tokio::time::interval(HOUSEKEEPING);
        let mut read_to_the_end = BTreeSet::new();
        loop {
            interval.tick().await;
            let snapshot = self.app.published.snapshot();
            let durable = self.app.durable.newest();
            for (table, running) in &*lock(&self.sources) {
                let prefix = format!("{table}/");
                let of_table = durable.positions.range(prefix.clone()..);
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
                let (up, lost) = (state.trouble.is_none(), state.lost_messages);
                self.app.metrics.set_source(table, up, lost, lag);
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
    storage: &Arc<dyn Storage>,
    metrics: &Metrics,
) -> Result<BTreeMap<String, Arc<PushTable>>, NodeError> {
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

/// Takes off the logs what no start replays any more.
fn cut_logs(logs: &BTreeMap<String, Arc<PushTable>>, oldest: &Checkpointed) {
    for (table, log) in logs {
        if let Some(position) = oldest.positions.get(&format!("{table}/0")) {
            log.checkpointed(Offset(*position));
        }
    }
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

/// What wakes the workers.
fn waker(pace: &Arc<Pace>) -> Arc<dyn Fn() + Send + Sync> {
    let pace = pace.clone();
    Arc::new(move || pace.wake())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the data directory if it is absent, and locks it.
fn lock_data_dir(path: &Path) -> Result<Disk, NodeError> {
    std::fs::create_dir_all(path).map_err(|cause| NodeError::DataDirectory {
        path: path.to_owned(),
        cause,
    })?;
    Ok(Disk::lock(path)?)
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

/// Ends the process at the next signal: what is acknowledged is on disk at any moment.
fn end_at_the_next_signal() {
    tokio::spawn(async {
        told_to_stop().await;
        tracing::warn!("told twice: ending at once");
        std::process::exit(130);
    });
}
