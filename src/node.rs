//! Puts the parts together: sources, workers, the query port; starts them in order and stops them in reverse.

mod before;
mod embedding;
mod error;
mod letters;
mod model_hosts;
mod pushes;
mod recover;
mod reranking;
mod signals;
mod sources;
mod upgrade;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
pub(crate) use embedding::embed_inside;
pub use embedding::{Embedders, open_embedders};
use embedding::{open_embedders_by, start_embedders};
pub use error::NodeError;
use letters::{open_dead_letters, produce_dead_letters};
pub use model_hosts::ModelHost;
use pushes::{PushTables, cut_logs, push_tables};
use recover::Recovery;
use reranking::with_reranker;
use signals::Signals;
use sources::KnownSources;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use upgrade::Upgrader;

use crate::change::{TableId, Tick};
use crate::checkpoint::snapshots::Snapshots;
use crate::checkpoint::{Store, Writer};
use crate::dataflow::Parts;
use crate::dataflow::cut::Cuts;
use crate::dataflow::publish::Publisher;
use crate::dataflow::upgrade::Orders;
use crate::dataflow::worker::{self, Feeds, Pace};
use crate::definition::Definition;
use crate::embed::{self, FieldEmbedders};
use crate::index::shard::ShardSettings;
use crate::index::{Published, Snapshot};
use crate::intake::{Batch, DeadLetters, Intake};
use crate::metrics::Metrics;
use crate::query::Searcher;
use crate::server::{self, App};
use crate::source::{self, Running, Status, Stop};
use crate::storage::{Disk, Storage};

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
    /// Makes the index anew where what is stored does not fit the definition; the one before answers meanwhile.
    pub rebuild: bool,
    /// Hosts of embedding services that upgrades may name besides those of the dataflow file.
    pub model_hosts: Vec<ModelHost>,
}

/// Runs a node until it is told to stop by Ctrl-C or SIGTERM.
///
/// The port is open while the node recovers: `/readyz` says so, and searches are told to come back.
pub fn serve(definition: Definition, options: &ServeOptions) -> Result<(), NodeError> {
    server::may_listen(&definition, options.listen)?;
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
    embedders: FieldEmbedders,
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
        let opened = open_embedders_by(&definition, &*embedders)?;
        let published = Arc::new(Published::new(Snapshot::empty()));
        let pace = Arc::new(Pace::default());
        let wake = waker(&pace);
        let (intake, batches) = Intake::new(definition.clone(), dead_letters.clone(), metrics.clone(), wake);
        let sources: Vec<(String, Status)> = definition
            .tables
            .iter()
            .map(|table| (table.name.clone(), Status::default()))
            .collect();
        let searcher = match definition.index {
            None => None,
            Some(_) => {
                let searcher = Searcher::new(definition.clone(), published.clone(), opened.clone());
                let known = KnownSources::new(&definition, &sources, intake.clone());
                searcher.set_sources(Arc::new(known));
                Some(with_reranker(searcher, &definition)?)
            }
        };
        let app = Arc::new(App {
            searcher,
            published,
            pushes: OnceLock::new(),
            sources,
            metrics,
            ready: Arc::new(AtomicBool::new(false)),
            caught_up: AtomicBool::new(false),
            intake: intake.clone(),
            durable: Arc::default(),
            upgrades: OnceLock::new(),
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
                embedders: opened,
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
            embedders,
            dead_letters,
        }) = closed.take()
        else {
            return Ok(());
        };
        let app = &self.app;
        let definition = app.definition.clone();
        let count = self.options.workers.unwrap_or_else(default_workers);
        let storage: Arc<dyn Storage> = Arc::new(Disk::new(&self.options.data_dir));
        let publisher = Arc::new(Publisher::new(app.published.clone(), app.metrics.clone()));
        let Recovery {
            store,
            resume,
            stored,
            resolved,
        } = self.recover(&embedders, count, &storage, &publisher)?;
        let pushes = push_tables(&definition, &self.intake, &storage, &app.metrics)?;
        let _ = app.pushes.set(pushes.clone());
        let cuts = self.start_checkpoints(store, stored, pushes, &dead_letters)?;
        let wake = waker(&self.pace);
        let built = resolved.with_second.clone();
        let (embedding, answers, start) = start_embedders(
            &built,
            &resolved.embedders,
            &dead_letters,
            &app.metrics,
            wake.clone(),
        )?;
        let orders = Arc::<Orders>::default();
        if let (Some(searcher), Some(index)) = (&app.searcher, &built.index) {
            searcher.set_legs(index, resolved.embedders);
            let _ = app.upgrades.set(Box::new(Upgrader {
                definition: definition.clone(),
                searcher: searcher.clone(),
                published: app.published.clone(),
                orders: orders.clone(),
                open: self.embedders.clone(),
                model_hosts: self.options.model_hosts.clone(),
                start,
                wake: wake.clone(),
            }));
        }
        let feeds = Feeds {
            intake: self.intake.clone(),
            batches,
            answers,
            metrics: app.metrics.clone(),
            ready: app.ready.clone(),
            orders,
            cuts: Some((cuts, definition.checkpoint)),
        };
        let folder = self.options.data_dir.clone();
        let build = move || Parts {
            definition: built.clone(),
            embedding: embedding.clone(),
            shard: ShardSettings {
                repeatable: false,
                wake: wake.clone(),
                folder: Some(folder.clone()),
            },
            publisher: publisher.clone(),
            resume: Some(resume.clone()),
            watched: Vec::new(),
        };
        let workers = start_workers(count, build, self.pace.clone(), feeds, self.worker_ended.clone())?;
        *lock(&self.workers) = Some(workers);
        self.start_sources()
    }

    /// Starts the thread that writes checkpoints; the cuts for it are made by the workers.
    fn start_checkpoints(
        &self,
        store: Store,
        stored: Tick,
        pushes: PushTables,
        dead_letters: &DeadLetters,
    ) -> Result<Cuts, NodeError> {
        let (whole, writing) = crossbeam_channel::bounded(1);
        let mut cuts = Cuts::new(whole, stored);
        if let Some(before) = &*self.app.before.load() {
            cuts = cuts.complete_through(before.tick);
        }
        let (ask, wake) = (cuts.ask(), waker(&self.pace));
        self.app.durable.asked_by(move || {
            ask();
            wake();
        });
        let (app, written, dead_letters) = (self.app.clone(), cuts.when_written(), dead_letters.clone());
        let writer = Writer {
            store,
            cuts: writing,
            durable: self.app.durable.clone(),
            sync_others: Box::new(move || dead_letters.sync()),
            written: Box::new(move |oldest| {
                oldest.into_iter().for_each(|oldest| cut_logs(&pushes, oldest));
                // There is no cut before the new index is complete: the one before answers no more.
                app.before.store(None);
                written();
            }),
            metrics: self.app.metrics.clone(),
        };
        *lock(&self.checkpoints) = Some(writer.start().map_err(NodeError::Thread)?);
        Ok(cuts)
    }

    /// What the query port and tests use.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Answers requests until Ctrl-C, SIGTERM, or the end of a worker.
    pub async fn serve(&self, listener: TcpListener) -> Result<(), NodeError> {
        let address = listener.local_addr().map_err(NodeError::Thread)?;
        let ended = self.worker_ended.clone();
        let mut signals = Signals::new().map_err(NodeError::Thread)?;
        let stop = async move {
            tokio::select! {
                () = signals.next() => {
                    tracing::info!("stopping; a second signal ends at once");
                    signals.end_at_the_next();
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
            for (vector, health) in self.app.searcher.iter().flat_map(|searcher| searcher.embedders()) {
                self.app.metrics.set_embedder(&vector, &health.breaker);
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
