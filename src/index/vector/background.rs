//! The thread that builds graphs: one, at a low priority, never waited for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::build::Layers;
use super::gather::{gather, is_levelled};
use super::graph::Graph;
use super::linked::Linked;
use super::marks::Marks;
use super::reduce::{self, Reduced};
use super::table::Table;
use super::young::Young;
use super::{Builder, VectorSettings, reference};

/// What there is to build from: the rows that are alive at a moment. Some die while the graph is built.
pub struct Job {
    pub young: Young,
    pub graph: Option<Linked>,
    /// The vectors themselves, at that moment.
    pub table: Table,
    pub moment: u64,
}

/// The end of a job. `None`: it failed.
pub type Outcome = Option<Built>;

/// What takes the place of the last graph and the young rows: nothing, if no row was alive.
pub struct Built(pub Option<Linked>);

/// New rows from which on all cores build. Fewer take a moment, and leave the other cores to those who wait.
const MANY_ROWS: usize = 8_192;

/// Those who ask and those who write come first; at 19 a busy machine would leave all to be scanned.
const NICENESS: i32 = 5;

/// The thread, seen from the writer. It ends when this is dropped.
pub struct Background {
    jobs: Sender<Job>,
    outcomes: Receiver<Outcome>,
    stop: Arc<AtomicBool>,
}

impl Background {
    /// Starts the thread. `wake` is called, on the thread, after each outcome.
    pub fn start(settings: VectorSettings, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Background> {
        // The writer gives one job at a time.
        let (jobs, to_do) = bounded::<Job>(1);
        let (done, outcomes) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        thread::Builder::new()
            .name("vector-graphs".into())
            .spawn(move || {
                crate::priority::lower(NICENESS);
                for job in to_do {
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(&job, &settings, &stopped)));
                    drop(job);
                    let outcome = outcome.unwrap_or_else(|_| {
                        tracing::error!("building a graph panicked; its vectors are scanned instead");
                        None
                    });
                    if stopped.load(Ordering::Relaxed) || done.send(outcome).is_err() {
                        return;
                    }
                    // The next change takes the graph in, even if nobody was woken.
                    if catch_unwind(AssertUnwindSafe(|| wake())).is_err() {
                        tracing::error!("the worker was not woken for a graph");
                    }
                }
            })?;
        Ok(Background { jobs, outcomes, stop })
    }

    /// Gives the thread a job; whether it took it.
    pub fn begin(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    pub fn has_outcome(&self) -> bool {
        !self.outcomes.is_empty()
    }

    pub fn outcome(&self) -> Option<Outcome> {
        self.outcomes.try_recv().ok()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(job: &Job, settings: &VectorSettings, stop: &AtomicBool) -> Outcome {
    let start = Instant::now();
    let last = job
        .graph
        .as_ref()
        .filter(|last| is_worth_keeping(last, job, settings));
    let reduced = settings
        .reduce
        .map(|how| Reduced::new(job, last.map(|last| &*last.graph), how, settings));
    let job = reduced.as_ref().map_or(job, |reduced| &reduced.job);
    let gathered = gather(job, last.is_some());
    let (rows, new) = (gathered.rows.len(), gathered.fresh.len());
    if rows == 0 {
        return Some(Built(None));
    }
    let marks = Marks::alive(rows, job.moment);
    for &row in &gathered.dead {
        marks.kill(row as usize, job.moment);
    }
    let graph = match settings.builder {
        Builder::HnswRs => reference::build(gathered.rows, settings, stop)?,
        Builder::Millpond => {
            let threads = match new {
                MANY_ROWS.. => thread::available_parallelism().map_or(1, usize::from),
                _ => 1,
            };
            let mut layers = Layers::new(&gathered.layers, settings.graph);
            if let Some(last) = last {
                gathered.keep_links(&last.graph, &mut layers);
            }
            if !layers.insert(&gathered.rows, &gathered.fresh, threads, stop) {
                return None;
            }
            Graph::freeze(gathered.rows, &layers.layers, last.map(|last| &*last.graph), stop)?
        }
    };
    let graph = graph.with_reduction(reduced.map(|reduced| reduced.reduction));
    tracing::debug!(rows, new, elapsed = ?start.elapsed(), "built a graph");
    Some(Built(Some(Linked {
        graph: Arc::new(graph),
        marks: Arc::new(marks),
    })))
}

/// Whether new rows are inserted into the last graph, rather than all linked anew: not if they are more than it has, or
/// if a quarter of it is dead, as it is found through those.
fn is_worth_keeping(last: &Linked, job: &Job, settings: &VectorSettings) -> bool {
    let new: usize = job.young.blocks().map(|block| block.rows.len()).sum();
    let rows = last.graph.rows().len();
    let is_alive = last.marks.at(job.moment);
    let dead = (0..rows as u32).filter(|&row| !is_alive(row)).count();
    settings.builder == Builder::Millpond
        && new < rows
        && dead * 4 <= rows
        && is_levelled(&last.graph)
        && reduce::holds(&last.graph, rows + new)
}
