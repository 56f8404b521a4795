//! Where compactions are done: beside the ticks, on threads of low priority.
//!
//! Small work has a thread of its own, so that a large merge does not let young segments pile up.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::dead::{DeadTerms, TermHash};
use super::plan::{Job, Plan, Size};
use super::segment::Segment;
use super::writer::SegmentId;
use super::{Compaction, KeywordError, KeywordSchema};

/// The threads' niceness: beside busy workers, about a tenth of a core. At 19 it would be next to nothing.
const NICENESS: i32 = 10;

/// How many ticks compaction waits after a failure.
const PAUSE_TICKS: u32 = 1_000;

/// A compaction that is done.
pub(super) struct Finished {
    pub sources: Vec<SegmentId>,
    pub segment: Segment,
    /// The terms of documents that died meanwhile.
    pub died: DeadTerms,
}

/// Runs one small and one large compaction at a time.
pub(super) struct Compactor {
    schema: KeywordSchema,
    mode: Compaction,
    wake: Arc<dyn Fn() + Send + Sync>,
    small: Lane,
    large: Lane,
}

type Outcome = Result<Segment, KeywordError>;

struct Lane {
    /// To the lane's thread, which ends when this is dropped. There is none before the first job.
    jobs: Option<Sender<Job>>,
    done: (Sender<Outcome>, Receiver<Outcome>),
    running: Option<Running>,
    /// Ticks until the lane is used again.
    pause: u32,
}

struct Running {
    sources: Vec<SegmentId>,
    died: DeadTerms,
}

impl Compactor {
    pub fn new(schema: KeywordSchema, mode: Compaction, wake: Arc<dyn Fn() + Send + Sync>) -> Compactor {
        Compactor {
            schema,
            mode,
            wake,
            small: Lane::new(),
            large: Lane::new(),
        }
    }

    pub fn is_inline(&self) -> bool {
        self.mode == Compaction::Inline
    }

    pub fn has_finished(&self) -> bool {
        self.lanes().iter().any(|lane| !lane.done.1.is_empty())
    }

    /// The next compaction that is done. One that failed is logged, and tried again after a pause.
    pub fn finished(&mut self) -> Option<Finished> {
        self.lanes_mut().into_iter().find_map(Lane::finished)
    }

    /// Notes the terms of a document that died, in case a compaction is copying it.
    pub fn died(&mut self, segment: SegmentId, terms: &[TermHash]) {
        let running = self
            .lanes_mut()
            .into_iter()
            .filter_map(|lane| lane.running.as_mut());
        running
            .filter(|running| running.sources.contains(&segment))
            .for_each(|running| running.died.add(terms.to_vec()));
    }

    /// Shortens pauses.
    pub fn tick(&mut self) {
        self.lanes_mut()
            .into_iter()
            .for_each(|lane| lane.pause = lane.pause.saturating_sub(1));
    }

    /// Starts a plan, whose lane is free, on the lane's thread.
    pub fn start(&mut self, plan: Plan) {
        let (schema, wake) = (self.schema.clone(), self.wake.clone());
        let lane = self.lane_mut(plan.lane);
        lane.running = Some(Running {
            sources: plan.sources,
            died: DeadTerms::default(),
        });
        if let Err(error) = lane.send(plan.job, schema, wake) {
            lane.fail(&error);
        }
    }

    /// Does a plan here and now.
    pub fn run(&mut self, plan: Plan) -> Option<Finished> {
        match plan.job.run(&self.schema) {
            Ok(segment) => Some(Finished {
                sources: plan.sources,
                segment,
                died: DeadTerms::default(),
            }),
            Err(error) => {
                self.lane_mut(plan.lane).pause(&error);
                None
            }
        }
    }

    fn lane_mut(&mut self, size: Size) -> &mut Lane {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }

    /// Whether a running compaction reads this segment.
    pub fn is_source(&self, id: SegmentId) -> bool {
        let mut running = self.lanes().into_iter().filter_map(|lane| lane.running.as_ref());
        running.any(|running| running.sources.contains(&id))
    }

    pub fn is_free(&self, size: Size) -> bool {
        self.lane(size).running.is_none() && !self.is_paused(size)
    }

    pub fn is_paused(&self, size: Size) -> bool {
        self.lane(size).pause > 0
    }

    fn lane(&self, size: Size) -> &Lane {
        match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        }
    }

    fn lanes(&self) -> [&Lane; 2] {
        [&self.small, &self.large]
    }

    fn lanes_mut(&mut self) -> [&mut Lane; 2] {
        [&mut self.small, &mut self.large]
    }
}

impl Lane {
    fn new() -> Lane {
        Lane {
            jobs: None,
            done: bounded(1),
            running: None,
            pause: 0,
        }
    }

    fn send(
        &mut self,
        job: Job,
        schema: KeywordSchema,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<(), KeywordError> {
        if self.jobs.is_none() {
            let (jobs, received) = bounded::<Job>(1);
            let done = self.done.0.clone();
            thread::Builder::new()
                .name("keyword-compact".into())
                .spawn(move || {
                    crate::priority::lower(NICENESS);
                    for job in received {
                        if done.send(job.run(&schema)).is_err() {
                            return;
                        }
                        wake();
                    }
                })?;
            self.jobs = Some(jobs);
        }
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent {
            Ok(())
        } else {
            Err(KeywordError("the compaction thread has ended".into()))
        }
    }

    fn finished(&mut self) -> Option<Finished> {
        let outcome = self.done.1.try_recv().ok()?;
        match outcome {
            Ok(segment) => {
                let Running { sources, died } = self.running.take()?;
                Some(Finished {
                    sources,
                    segment,
                    died,
                })
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn fail(&mut self, error: &KeywordError) {
        self.running = None;
        self.pause(error);
    }

    fn pause(&mut self, error: &KeywordError) {
        tracing::warn!(%error, "compaction failed; the segments serve as they are, and it is tried again later");
        self.pause = PAUSE_TICKS;
    }
}
