//! A worker's loop: when to tick, what to drain, when to sleep.
//!
//! Worker 0 decides. When the last tick is published and input waits, it sets the next tick; every worker drains
//! its share into that tick and lets go of it. At low load a change goes through alone; under load ticks grow by
//! themselves and collapse more.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;
use timely::worker::Worker;

use super::cut::{Cuts, Cutter};
use super::lane::Answer;
use super::publish::Publisher;
use super::upgrade::Orders;
use super::{Job, Parts};
use crate::change::Tick;
use crate::definition::CheckpointSettings;
use crate::intake::{Batch, Intake};
use crate::metrics::Metrics;

/// A tick starts no sooner than this after the last one started: 500 ticks a second would cost twice the
/// processor time of 100 for the same changes.
const TICK_MIN: Duration = Duration::from_millis(5);

/// What is sent together arrives over many partitions: a tick waits this long after the first of it for the rest,
/// which would wait for the next tick otherwise. It takes a sixth off the processor time of a node that reads Kafka.
const GATHER: Duration = Duration::from_millis(1);

/// Bytes of messages that one worker takes into one tick. More would delay its publication.
const TICK_BYTES_MAX: usize = 32 << 20;

/// How often worker 0 looks whether a cut is complete.
const CUT_POLL: Duration = Duration::from_micros(200);

/// How long a worker sleeps when nobody wakes it.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// What the workers of a node share: the tick they are at, and how to wake them.
#[derive(Default)]
pub struct Pace {
    tick: AtomicU64,
    /// A worker has finished background work, which enters with the next tick.
    wanted: AtomicBool,
    stopping: AtomicBool,
    /// Worker 0 has done its last work: all may end.
    finished: AtomicBool,
    failed: AtomicBool,
    threads: Mutex<Vec<Thread>>,
}

impl Pace {
    /// Wakes the workers: something waits for a tick.
    pub fn wake(&self) {
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            thread.unpark();
        }
    }

    /// Ends the workers after the tick they are at, and a cut of it.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }

    fn enlist(&self) {
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(std::thread::current());
    }

    fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.wake();
    }

    fn tick(&self) -> Tick {
        Tick(self.tick.load(Ordering::Acquire))
    }

    /// Asks worker 0 for a tick, though no input waits.
    fn want_tick(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    fn set_tick(&self, tick: Tick) {
        // What asks from now on may miss this tick, and gets another one.
        self.wanted.store(false, Ordering::Release);
        self.tick.store(tick.0, Ordering::Release);
        self.wake();
    }
}

/// Tells the other workers of a panic: without this one no tick would ever be done.
struct FailTogether<'a>(&'a Pace);

impl Drop for FailTogether<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Release);
            self.0.wake();
        }
    }
}

/// What a worker takes from.
#[derive(Clone)]
pub struct Feeds {
    pub intake: Arc<Intake>,
    pub batches: Receiver<Batch>,
    pub answers: Receiver<Vec<Answer>>,
    pub metrics: Metrics,
    /// Set when the first state is published: all workers have built the flow, and what was stored is back.
    pub ready: Arc<AtomicBool>,
    /// What is to be done about second sets of vectors.
    pub orders: Arc<Orders>,
    /// Where cuts go; `None` where nothing is to be kept.
    pub cuts: Option<(Cuts, CheckpointSettings)>,
}

/// Runs `work` on as many workers of this process and waits for all of them.
///
/// # Errors
/// A worker panicked: what it said.
pub fn execute(workers: usize, work: impl Fn(&mut Worker) + Send + Sync + 'static) -> Result<(), String> {
    let config = if workers <= 1 {
        timely::Config::thread()
    } else {
        timely::Config::process(workers)
    };
    let guards = timely::execute(config, move |worker| {
        catch_unwind(AssertUnwindSafe(|| work(worker))).map_err(|panic| {
            abandon(worker);
            said(&*panic)
        })
    })?;
    let mut outcomes = guards.join().into_iter();
    outcomes.try_for_each(|outcome| outcome.and_then(|outcome| outcome))
}

/// Ends the worker's part of the flow, undone: timely would go on stepping it.
fn abandon(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

/// Runs the flow on one worker until [`Pace::stop`] or the panic of any worker.
pub fn run(worker: &mut Worker, parts: Parts, pace: &Pace, feeds: &Feeds) {
    let _fails = FailTogether(pace);
    pace.enlist();
    let leader = (worker.index() == 0).then(|| Leader::new(&parts, worker.peers(), feeds));
    let mut leader = leader;
    let mut job = Job::build(worker, parts);
    let mut handed_in = Tick(0);
    while !pace.finished.load(Ordering::Acquire) {
        if pace.failed.load(Ordering::Acquire) {
            return abandon(worker);
        }
        if job.follow() {
            // What the second sets do belongs to the same tick.
            worker.step();
        }
        if job.has_finished_work() {
            pace.want_tick();
        }
        // A cut is opened when its tick is done, and no other tick begins before it is complete.
        if let Some((cuts, _)) = &feeds.cuts
            && cuts.open() == job.tick()
            && handed_in < job.tick()
        {
            handed_in = job.tick();
            cuts.hand_in(job.share());
            pace.wake();
        }
        let sleep = match &mut leader {
            Some(leader) => leader.lead(&job, pace, feeds),
            None => SLEEP_MAX,
        };
        let tick = pace.tick();
        if tick > job.tick() {
            if let Some(order) = feeds.orders.at(tick) {
                job.obey(worker, &order);
            }
            job.begin(tick);
            drain(&mut job, feeds);
            job.end();
            worker.step();
        } else {
            worker.step_or_park(Some(sleep));
        }
    }
}

/// Takes what waits, up to the bounds of a tick.
fn drain(job: &mut Job, feeds: &Feeds) {
    let mut bytes = 0;
    while bytes < TICK_BYTES_MAX
        && let Ok(batch) = feeds.batches.try_recv()
    {
        bytes += batch.bytes;
        feeds.intake.taken(&batch);
        job.give(batch);
    }
    if let Some((cuts, _)) = &feeds.cuts {
        cuts.took(bytes);
    }
    for answers in feeds.answers.try_iter().take(feeds.answers.len()) {
        job.give_answers(answers);
    }
}

/// What worker 0 does besides.
struct Leader {
    publisher: Arc<Publisher>,
    metrics: Metrics,
    ready: Arc<AtomicBool>,
    cutter: Option<Cutter>,
    /// The tick that brings back what was stored.
    resumed: Tick,
    published: Option<Tick>,
    started: Instant,
    /// When something was first seen to wait for the next tick.
    waiting_since: Option<Instant>,
}

impl Leader {
    fn new(parts: &Parts, workers: usize, feeds: &Feeds) -> Leader {
        let resumed = parts.resume.as_ref().map_or(Tick(0), |resume| resume.tick);
        let intake = feeds.intake.clone();
        let cuts = feeds.cuts.clone();
        Leader {
            publisher: parts.publisher.clone(),
            metrics: feeds.metrics.clone(),
            ready: feeds.ready.clone(),
            cutter: cuts.map(|(cuts, due)| Cutter::new(cuts, due, workers, move || intake.numbers())),
            resumed,
            published: None,
            started: Instant::now(),
            waiting_since: None,
        }
    }

    /// Publishes the tick that is done and sets the next one if anything waits for it; says how long to sleep.
    fn lead(&mut self, job: &Job, pace: &Pace, feeds: &Feeds) -> Duration {
        if !job.is_done() || job.tick() < pace.tick() {
            return SLEEP_MAX;
        }
        self.publish(job, feeds);
        let stopping = pace.stopping.load(Ordering::Acquire);
        if let Some(cutter) = &mut self.cutter
            && !cutter.step(job.tick(), &self.publisher, stopping)
        {
            // This worker's own share is missing, or another's, or the last cut is still being written.
            return CUT_POLL;
        }
        if stopping {
            pace.finish();
            return Duration::ZERO;
        }
        let waiting = !feeds.batches.is_empty()
            || !feeds.answers.is_empty()
            || feeds.orders.is_waiting()
            || pace.wanted.load(Ordering::Acquire);
        if !waiting {
            return SLEEP_MAX;
        }
        let now = Instant::now();
        let gathered = *self.waiting_since.get_or_insert(now) + GATHER;
        let due = gathered.max(self.started + TICK_MIN);
        if now < due {
            return due - now;
        }
        self.waiting_since = None;
        self.started = now;
        let clock = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_millis() as u64);
        let tick = Tick(clock.max(job.tick().0 + 1));
        feeds.orders.assign(tick);
        pace.set_tick(tick);
        SLEEP_MAX
    }

    fn publish(&mut self, job: &Job, feeds: &Feeds) {
        if self.published == Some(job.tick()) {
            return;
        }
        self.published = Some(job.tick());
        if job.tick() == self.resumed {
            self.publisher.uncount(self.resumed);
        }
        if let Some(order) = feeds.orders.at(job.tick()) {
            self.publisher.obey(&order);
        }
        self.publisher.publish(job.tick());
        feeds.orders.done(job.tick());
        self.ready.store(true, Ordering::Release);
        self.metrics.tick(self.started.elapsed());
    }
}
