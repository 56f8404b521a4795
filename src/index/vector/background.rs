//! The thread that builds graphs: one, at the lowest priority, never waited for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::codes::Rows;
use super::graph::Graph;
use super::table::Table;
use super::{Metric, builder};

/// What there is to build from.
pub struct Job {
    pub young: imbl::Vector<Arc<Rows>>,
    pub graphs: Vec<Arc<Graph>>,
    /// Tells which rows are current. Some die while the graph is built; they are dead rows in it.
    pub table: Table,
}

/// The end of a job. `None`: it failed, and everything stays as it was.
pub type Outcome = Option<Built>;

/// A graph of all current rows of the young part, and of the graphs that it replaces.
pub struct Built {
    pub replaces: Vec<Arc<Graph>>,
    /// `None` if none of the rows was current.
    pub graph: Option<Arc<Graph>>,
}

/// The thread, seen from the writer. It ends when this is dropped.
pub struct Background {
    jobs: Sender<Job>,
    outcomes: Receiver<Outcome>,
    stop: Arc<AtomicBool>,
}

impl Background {
    /// Starts the thread. `wake` is called, on the thread, after each outcome.
    pub fn start(metric: Metric, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Background> {
        // The writer gives one job at a time.
        let (jobs, to_do) = bounded::<Job>(1);
        let (done, outcomes) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        thread::Builder::new()
            .name("vector-graphs".into())
            .spawn(move || {
                crate::priority::lower(19);
                for job in to_do {
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(job, metric, &stopped)));
                    let outcome = outcome.unwrap_or_else(|_| {
                        tracing::error!("building a graph panicked; its vectors are scanned instead");
                        None
                    });
                    if stopped.load(Ordering::Relaxed) || done.send(outcome).is_err() {
                        return;
                    }
                    wake();
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

fn run(job: Job, metric: Metric, stop: &AtomicBool) -> Outcome {
    let start = Instant::now();
    let (rows, replaces) = gather(job);
    if rows.len() == 0 {
        return Some(Built {
            replaces,
            graph: None,
        });
    }
    let lists = builder::build(&rows, metric, stop)?;
    tracing::debug!(rows = rows.len(), replaces = replaces.len(), elapsed = ?start.elapsed(), "built a graph");
    Some(Built {
        replaces,
        graph: Some(Arc::new(Graph::freeze(rows, lists))),
    })
}

/// Copies the current rows of the young part, and of the graphs that are to be merged with it.
///
/// A graph that holds no more than what has been gathered joins in: so each that is left has more than all
/// smaller ones together, and there are few, though a row is copied rarely. One that is a quarter dead joins too.
fn gather(job: Job) -> (Rows, Vec<Arc<Graph>>) {
    let current = |rows: &Rows| -> Vec<usize> {
        (0..rows.len())
            .filter(|&row| job.table.is_current(rows.slot(row), rows.stamp(row)))
            .collect()
    };
    let mut parts: Vec<(&Rows, Vec<usize>)> =
        job.young.iter().map(|block| (&**block, current(block))).collect();
    let mut gathered: usize = parts.iter().map(|(_, rows)| rows.len()).sum();
    let mut graphs: Vec<_> = job
        .graphs
        .iter()
        .map(|graph| (graph, current(graph.rows())))
        .collect();
    graphs.sort_by_key(|(_, rows)| rows.len());
    let mut replaces = Vec::new();
    for (graph, rows) in graphs {
        if rows.len() <= gathered || rows.len() * 4 < graph.rows().len() * 3 {
            gathered += rows.len();
            replaces.push(graph.clone());
            parts.push((graph.rows(), rows));
        }
    }
    let dimensions = parts.first().map_or(0, |(rows, _)| rows.dimensions());
    let mut all = Rows::with_capacity(dimensions, gathered);
    for (from, rows) in &parts {
        rows.iter().for_each(|&row| all.push_row(from, row));
    }
    (all, replaces)
}
