//! Spreads messages evenly over time, for demonstrations.

use std::time::{Duration, Instant};

/// How much may be caught up at once after a wait; more would be a burst that nobody asked for.
const BURST: Duration = Duration::from_millis(50);

/// Shorter sleeps cost more than they smooth.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// Says how many messages may go now so that `per_second` are not exceeded.
pub(super) struct Pacer {
    per_second: f64,
    /// Messages that may go, with the fraction that has grown towards the next.
    credit: f64,
    counted: Instant,
}

impl Pacer {
    pub(super) fn new(per_second: f64, now: Instant) -> Pacer {
        Pacer {
            per_second,
            credit: 0.0,
            counted: now,
        }
    }

    /// How many messages may go at this moment.
    pub(super) fn allowed(&mut self, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(self.counted);
        self.counted = now;
        let burst = (self.per_second * BURST.as_secs_f64()).max(1.0);
        self.credit = (self.credit + elapsed.as_secs_f64() * self.per_second).min(burst);
        self.credit as usize
    }

    /// Counts messages that went.
    pub(super) fn spend(&mut self, messages: usize) {
        self.credit -= messages as f64;
    }

    /// How long to wait until one more may go.
    pub(super) fn wait(&self) -> Duration {
        let seconds = (1.0 - self.credit).max(0.0) / self.per_second;
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(Duration::MAX)
            .max(WAIT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a pacer for `seconds` by a clock of its own; returns what went, and the most at once.
    fn run(per_second: f64, seconds: u64) -> (usize, usize) {
        let start = Instant::now();
        let mut now = start;
        let mut pacer = Pacer::new(per_second, start);
        let (mut total, mut most) = (0, 0);
        while now < start + Duration::from_secs(seconds) {
            let allowed = pacer.allowed(now);
            pacer.spend(allowed);
            total += allowed;
            most = most.max(allowed);
            now += pacer.wait();
        }
        (total, most)
    }

    #[test]
    fn a_rate_is_kept_without_bursts() {
        for (rate, seconds, most_at_once) in [
            (0.5, 100, 1),
            (30.0, 10, 1),
            (2_000.0, 10, 10),
            (100_000.0, 2, 300),
        ] {
            let (total, most) = run(rate, seconds);
            let expected = rate * seconds as f64;
            assert!(
                (total as f64 - expected).abs() <= expected * 0.02 + 1.0,
                "{rate}/s gave {total} in {seconds} s"
            );
            assert!(most <= most_at_once, "{rate}/s gave {most} at once");
        }
    }

    #[test]
    fn time_lost_to_a_slow_receiver_is_not_made_up_in_one_burst() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1_000.0, start);
        assert_eq!(pacer.allowed(start + Duration::from_secs(60)), 50);
    }
}
