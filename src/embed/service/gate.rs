//! When a service may be asked, and by how many at once.
//!
//! All who ask share one gate, so a service that has had enough is left alone by all of them: after 429 it is asked
//! by half as many, and not before it says; after a failure, after a while that doubles with each; after several in a
//! row the breaker opens, and whoever comes is told so at once. Knows no clock and no chance but what it is given.

use std::time::{Duration, Instant};

use crate::embed::{Breaker, Health};

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 5;

/// The first and the longest wait after a failure, after 429 without `Retry-After`, and of an open breaker. A service
/// that is back is in use again after the longest one.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The service answered, be it that it refuses a text.
    Answered,
    /// 429: it has too much to do.
    Busy { retry_after: Option<Duration> },
    /// No answer, or none that makes sense.
    Failed { reason: String },
}

/// Whether to go in.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Go,
    /// Others are inside, as many as may be.
    Full,
    /// Not for so long.
    Wait(Duration),
    /// The breaker is open.
    Closed,
}

/// The state of the gate.
pub struct Gate {
    requests_max: usize,
    /// Requests at once now. A fraction is what has been won back of the next one.
    limit: f64,
    running: usize,
    /// When `limit` was halved: requests from before say nothing new.
    halved: Option<Instant>,
    /// 429s in a row.
    busy: u32,
    failures: u32,
    not_before: Option<Instant>,
    breaker: Breaker,
    reason: Option<String>,
}

impl Gate {
    pub fn new(requests_max: usize) -> Gate {
        let requests_max = requests_max.max(1);
        Gate {
            requests_max,
            limit: requests_max as f64,
            running: 0,
            halved: None,
            busy: 0,
            failures: 0,
            not_before: None,
            breaker: Breaker::Closed,
            reason: None,
        }
    }

    /// Asks to go in; `urgent` needs no place of its own. Who goes must say [`Gate::leave`] or [`Gate::abandon`].
    pub fn enter(&mut self, now: Instant, urgent: bool) -> Entry {
        let wait = self
            .not_before
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        match self.breaker {
            Breaker::Open if wait.is_zero() => self.breaker = Breaker::HalfOpen,
            // Somebody is finding out.
            Breaker::Open | Breaker::HalfOpen => return Entry::Closed,
            // Who waits for an answer does not wait because of another's failures, but as long as the service asks for it.
            Breaker::Closed if !wait.is_zero() && (!urgent || self.busy > 0) => return Entry::Wait(wait),
            Breaker::Closed if self.running >= self.limit as usize && !urgent => return Entry::Full,
            Breaker::Closed => {}
        }
        self.running += 1;
        Entry::Go
    }

    /// Says what became of a request that went in at `begun`. `chance` is from 0 to 1: pauses differ by it, so that
    /// those who failed together do not come back together.
    pub fn leave(&mut self, now: Instant, begun: Instant, chance: f64, outcome: Outcome) {
        self.running = self.running.saturating_sub(1);
        match outcome {
            Outcome::Answered => {
                self.limit = (self.limit + 1.0 / self.limit).min(self.requests_max as f64);
                self.busy = 0;
                self.alive();
                self.reason = None;
            }
            Outcome::Busy { retry_after } => {
                if self.halved.is_none_or(|halved| begun >= halved) {
                    self.limit = (self.limit / 2.0).max(1.0);
                    self.halved = Some(now);
                }
                let pause = match retry_after {
                    Some(asked) => asked.min(RETRY_AFTER_MAX).mul_f64(1.0 + chance / 10.0),
                    None => pause(self.busy, chance),
                };
                self.busy = self.busy.saturating_add(1);
                self.alive();
                self.pause_until(now + pause);
                self.reason = Some("it has too much to do (429)".to_owned());
            }
            // Others have found out before; one that was still on its way says nothing new.
            Outcome::Failed { .. } if self.breaker == Breaker::Open => {}
            Outcome::Failed { reason } => {
                self.pause_until(now + pause(self.failures, chance));
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILURES_MAX || self.breaker == Breaker::HalfOpen {
                    if self.breaker == Breaker::Closed {
                        tracing::warn!(
                            reason,
                            "a service fails again and again: it is left alone for a while"
                        );
                    }
                    self.breaker = Breaker::Open;
                }
                self.reason = Some(reason);
            }
        }
    }

    /// A request that has said nothing of the service, because whoever asked broke down.
    pub fn abandon(&mut self) {
        self.running = self.running.saturating_sub(1);
        if self.breaker == Breaker::HalfOpen {
            self.breaker = Breaker::Open;
        }
    }

    pub fn health(&self) -> Health {
        Health {
            breaker: self.breaker,
            requests_max: self.limit as usize,
            reason: self.reason.clone(),
        }
    }

    fn alive(&mut self) {
        if self.breaker != Breaker::Closed {
            tracing::info!("a service is back");
        }
        self.breaker = Breaker::Closed;
        self.failures = 0;
    }

    fn pause_until(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }
}

/// Doubles with each time before, up to a bound, and is less by up to half.
fn pause(before: u32, chance: f64) -> Duration {
    let longest = PAUSE_FIRST.saturating_mul(1 << before.min(16)).min(PAUSE_MAX);
    longest.mul_f64(1.0 - chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn failed() -> Outcome {
        Outcome::Failed {
            reason: "down".to_owned(),
        }
    }

    /// A gate, the time, and who went in.
    struct Story {
        gate: Gate,
        now: Instant,
    }

    impl Story {
        fn new(requests_max: usize) -> Story {
            Story {
                gate: Gate::new(requests_max),
                now: Instant::now(),
            }
        }

        fn enter(&mut self) -> Entry {
            self.gate.enter(self.now, false)
        }

        fn leave(&mut self, outcome: Outcome) {
            self.gate.leave(self.now, self.now, 0.0, outcome);
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }

        /// How many go in before it is full.
        fn room(&mut self) -> usize {
            let mut room = 0;
            while self.enter() == Entry::Go {
                room += 1;
            }
            (0..room).for_each(|_| self.gate.abandon());
            room
        }
    }

    #[test]
    fn no_more_go_in_at_once_than_may_but_one_for_whom_somebody_waits() {
        let mut story = Story::new(2);
        assert_eq!(
            [story.enter(), story.enter(), story.enter()],
            [Entry::Go, Entry::Go, Entry::Full]
        );
        assert_eq!(story.gate.enter(story.now, true), Entry::Go);
        story.leave(Outcome::Answered);
        story.leave(Outcome::Answered);
        assert_eq!(story.enter(), Entry::Go);
    }

    #[test]
    fn a_busy_service_is_asked_by_half_as_many_after_the_time_it_names_and_slowly_by_more() {
        let mut story = Story::new(8);
        // All eight are told the same: that is one piece of news.
        (0..8).for_each(|_| assert_eq!(story.enter(), Entry::Go));
        let begun = story.now;
        story.pass(ms(5));
        for _ in 0..8 {
            let busy = Outcome::Busy {
                retry_after: Some(ms(2000)),
            };
            story.gate.leave(story.now, begun, 0.0, busy);
        }
        assert_eq!(story.enter(), Entry::Wait(ms(2000)));
        assert_eq!(story.gate.health().breaker, Breaker::Closed);
        story.pass(ms(2000));
        assert_eq!(story.room(), 4);
        for _ in 0..4 {
            assert_eq!(story.enter(), Entry::Go);
            story.leave(Outcome::Answered);
        }
        assert_eq!(story.room(), 4, "a round of answers wins back not quite one");
        for _ in 0..40 {
            assert_eq!(story.enter(), Entry::Go);
            story.leave(Outcome::Answered);
        }
        assert_eq!(story.room(), 8);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_an_answer_ends_them() {
        let mut story = Story::new(1);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(story.enter(), Entry::Go);
            story.leave(Outcome::Busy { retry_after: None });
            let Entry::Wait(pause) = story.enter() else {
                panic!("it waits")
            };
            pauses.push(pause.as_millis());
            story.pass(pause);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(story.enter(), Entry::Go);
        story.leave(Outcome::Answered);
        assert_eq!(story.enter(), Entry::Go);
        story.leave(Outcome::Busy { retry_after: None });
        assert_eq!(story.enter(), Entry::Wait(ms(100)));
        assert!((0..100).all(|part| (ms(50)..=ms(100)).contains(&pause(0, f64::from(part) / 100.0))));
    }

    #[test]
    fn a_service_that_fails_again_and_again_is_left_alone_then_tried_by_one() {
        let mut story = Story::new(4);
        for _ in 0..FAILURES_MAX {
            assert_eq!(story.enter(), Entry::Go);
            story.leave(failed());
            story.pass(PAUSE_MAX);
        }
        let health = story.gate.health();
        assert_eq!(
            (health.breaker, health.reason.as_deref()),
            (Breaker::Open, Some("down"))
        );
        // Its pause has passed.
        assert_eq!([story.enter(), story.enter()], [Entry::Go, Entry::Closed]);
        assert_eq!(story.gate.health().breaker, Breaker::HalfOpen);
        assert_eq!(story.gate.enter(story.now, true), Entry::Closed);
        story.leave(failed());
        assert_eq!(story.enter(), Entry::Closed);
        story.pass(PAUSE_MAX);
        assert_eq!(story.enter(), Entry::Go);
        story.leave(Outcome::Answered);
        assert_eq!(story.gate.health().breaker, Breaker::Closed);
        assert_eq!(story.gate.health().reason, None);
        assert_eq!(story.room(), 4);
    }

    #[test]
    fn one_who_breaks_down_while_finding_out_leaves_it_to_the_next() {
        let mut story = Story::new(1);
        for _ in 0..FAILURES_MAX {
            story.enter();
            story.leave(failed());
            story.pass(PAUSE_MAX);
        }
        assert_eq!(story.enter(), Entry::Go);
        story.gate.abandon();
        assert_eq!(story.enter(), Entry::Go);
        // 429 is an answer too: it is there.
        story.leave(Outcome::Busy { retry_after: None });
        assert_eq!(story.gate.health().breaker, Breaker::Closed);
    }
}
