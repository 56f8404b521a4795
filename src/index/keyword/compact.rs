//! Compaction: which segments become one, and where that work is done.
//!
//! Young segments are rebuilt from their rows, which is cheaper than merging them; eight of a level are
//! merged; a segment with many dead documents is rewritten. Small work has a thread of its own, so that a
//! large merge does not let young segments pile up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::dead::{DeadTerms, TermHash};
use super::docs::Docs;
use super::segment::Segment;
use super::writer::{Entry, SegmentId};
use super::{Compaction, KeywordError, KeywordSchema};
use crate::index::{Document, Slot};

/// Young segments that become one. Fewer would be rebuilt more often, more would slow queries.
const YOUNG_MIN: usize = 16;
/// Rebuilding takes no more at once, however many have gathered.
const YOUNG_MAX: usize = 64;

/// Segments of a level that become one of the next. With eight, a document is copied once for each factor of
/// eight in the number of documents.
const MERGED: usize = 8;

/// A segment is rewritten when one of so many documents is dead.
const DEAD_SHARE: u32 = 4;

/// Work on more documents than this is large: about a quarter of a second.
const SMALL_DOCUMENTS_MAX: u32 = 20_000;

/// How many ticks compaction waits after a failure.
const PAUSE_TICKS: u32 = 1_000;

/// What becomes one segment.
pub(super) struct Plan {
    sources: Vec<SegmentId>,
    lane: Size,
    job: Job,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

enum Job {
    Rebuild(Vec<(Slot, Arc<Document>)>),
    Merge(Vec<(Arc<Segment>, Arc<Docs>)>),
}

/// The next thing to do, or `None` if there is nothing, or no lane for it free.
pub(super) fn plan(entries: &[Entry], compactor: &Compactor) -> Option<Plan> {
    let idle = || entries.iter().filter(|entry| !compactor.is_source(entry.id));
    let rebuild = || {
        if !compactor.is_free(Size::Small) {
            return None;
        }
        let young: Vec<_> = idle()
            .filter(|entry| entry.rows.is_some())
            .take(YOUNG_MAX)
            .collect();
        (young.len() >= YOUNG_MIN).then(|| Plan::rebuild(&young))
    };
    let old = || idle().filter(|entry| entry.rows.is_none());
    let merge = |level| {
        let equals: Vec<_> = old()
            .filter(|entry| self::level(entry) == level)
            .take(MERGED)
            .collect();
        (equals.len() == MERGED).then(|| Plan::merge(&equals))
    };
    let rewrite = || {
        let decayed = old().filter(|entry| entry.part.dead() * DEAD_SHARE >= entry.part.segment.size());
        decayed.map(|entry| Plan::merge(&[entry]))
    };
    let highest = old().map(level).max().unwrap_or(0);
    let candidates = rebuild()
        .into_iter()
        .chain((0..=highest).filter_map(merge))
        .chain(rewrite());
    candidates.into_iter().find(|plan| compactor.is_free(plan.lane))
}

/// Levels by living documents: below 128, below 1,024, and so on.
fn level(entry: &Entry) -> u32 {
    (entry.part.living / 16).max(1).ilog(MERGED as u32)
}

impl Plan {
    fn rebuild(entries: &[&Entry]) -> Plan {
        let rows = entries.iter().flat_map(|entry| {
            let rows = (0..).zip(entry.rows.iter().flatten());
            rows.filter(|(doc, _)| entry.part.alive.contains(*doc))
                .map(|(_, row)| row.clone())
        });
        Plan {
            sources: ids(entries),
            lane: Size::Small,
            job: Job::Rebuild(rows.collect()),
        }
    }

    fn merge(entries: &[&Entry]) -> Plan {
        let documents = entries
            .iter()
            .fold(0u32, |sum, entry| sum.saturating_add(entry.part.living));
        let lane = if documents > SMALL_DOCUMENTS_MAX {
            Size::Large
        } else {
            Size::Small
        };
        let parts = entries
            .iter()
            .map(|entry| (entry.part.segment.clone(), entry.part.alive.clone()));
        Plan {
            sources: ids(entries),
            lane,
            job: Job::Merge(parts.collect()),
        }
    }
}

fn ids(entries: &[&Entry]) -> Vec<SegmentId> {
    entries.iter().map(|entry| entry.id).collect()
}

impl Job {
    /// A panic of tantivy is an error like others: the segments that were to be one serve on.
    fn run(self, schema: &KeywordSchema) -> Result<Segment, KeywordError> {
        let work = AssertUnwindSafe(|| match self {
            Job::Rebuild(rows) => Segment::build(schema, &rows),
            Job::Merge(sources) => Segment::merge(schema, &sources),
        });
        catch_unwind(work).unwrap_or_else(|_| Err(KeywordError("compaction panicked".into())))
    }
}

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
            .for_each(|running| running.died.add(terms));
    }

    /// Shortens pauses.
    pub fn tick(&mut self) {
        self.lanes_mut()
            .into_iter()
            .for_each(|lane| lane.pause = lane.pause.saturating_sub(1));
    }

    pub fn start(&mut self, plan: Plan) {
        let (schema, mode, wake) = (self.schema.clone(), self.mode, self.wake.clone());
        let lane = match plan.lane {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        };
        lane.running = Some(Running {
            sources: plan.sources,
            died: DeadTerms::default(),
        });
        if mode == Compaction::Inline {
            // The channel holds one outcome, and a lane runs one job at a time.
            let _ = lane.done.0.send(plan.job.run(&schema));
        } else if let Err(error) = lane.send(plan.job, schema, wake) {
            lane.fail(&error);
        }
    }

    fn is_source(&self, id: SegmentId) -> bool {
        self.lanes().iter().any(|lane| {
            lane.running
                .as_ref()
                .is_some_and(|running| running.sources.contains(&id))
        })
    }

    fn is_free(&self, size: Size) -> bool {
        let lane = match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        };
        lane.running.is_none() && lane.pause == 0
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
                    lower_priority();
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
        tracing::warn!(%error, "compaction failed; the segments serve as they are, and it is tried again later");
        self.running = None;
        self.pause = PAUSE_TICKS;
    }
}

/// On Linux a thread has a priority of its own, by its id; elsewhere compaction competes.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19) {
        tracing::debug!(%error, "compaction runs at normal priority");
    }
}
