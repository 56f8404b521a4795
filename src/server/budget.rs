//! How much one holder of a key may ask: requests, and time of searches.
//!
//! Both are buckets that fill at a constant rate. A request takes one from the first, and where it holds several, one more for each
//! further search or document. How many those are, and what time they have taken, is known when the request is in, so both may be
//! overdrawn, and then nothing is let in until they are filled again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::definition::server::Budget;
use crate::query::Spent;

/// Search time that may be used at once after silence, in multiples of what comes in a second.
const COST_BURST_S: f64 = 10.0;

/// Subjects of tokens whose budgets are known one by one.
const SUBJECTS_MAX: usize = 10_000;

/// The budget of one holder.
pub struct Meter {
    buckets: Mutex<Buckets>,
    /// Of all requests of the holder.
    spent: Spent,
}

struct Buckets {
    requests: Option<Bucket>,
    search_ms: Option<Bucket>,
}

/// Why a request has to wait, and how long.
#[derive(Debug, PartialEq)]
pub struct Exceeded {
    pub what: &'static str,
    pub wait: Duration,
}

impl Meter {
    /// `None` where nothing is limited.
    pub fn of(budget: &Budget) -> Option<Meter> {
        let now = Instant::now();
        let requests = budget.rate.map(|rate| Bucket::new(rate, budget.burst, now));
        let search_ms = budget
            .cost_ms
            .map(|cost| Bucket::new(cost, cost * COST_BURST_S, now));
        (requests.is_some() || search_ms.is_some()).then(|| Meter {
            buckets: Mutex::new(Buckets { requests, search_ms }),
            spent: Spent::default(),
        })
    }

    /// What the holder's searches add their time to.
    pub fn spent(&self) -> Spent {
        self.spent.clone()
    }

    /// Takes one request, unless the budget is used up.
    pub fn take(&self) -> Result<(), Exceeded> {
        self.buckets().take(self.spent.take(), Instant::now())
    }

    /// Takes further requests, which came inside one that was let in.
    pub fn take_more(&self, requests: usize) {
        let now = Instant::now();
        if let Some(bucket) = &mut self.buckets().requests {
            bucket.fill(now);
            bucket.level -= requests as f64;
        }
    }

    fn is_full(&self) -> bool {
        self.buckets().is_full(Instant::now())
    }

    /// The buckets are whole even after a panic elsewhere.
    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn take(&mut self, spent: Duration, now: Instant) -> Result<(), Exceeded> {
        if let Some(bucket) = &mut self.search_ms {
            bucket.fill(now);
            bucket.level -= spent.as_secs_f64() * 1e3;
            bucket.wait_for(0.0).map_err(|wait| Exceeded {
                what: "search time",
                wait,
            })?;
        }
        if let Some(bucket) = &mut self.requests {
            bucket.fill(now);
            bucket.wait_for(1.0).map_err(|wait| Exceeded {
                what: "requests",
                wait,
            })?;
            bucket.level -= 1.0;
        }
        Ok(())
    }

    fn is_full(&mut self, now: Instant) -> bool {
        [&mut self.requests, &mut self.search_ms]
            .into_iter()
            .flatten()
            .all(|bucket| {
                bucket.fill(now);
                bucket.level >= bucket.level_max
            })
    }
}

/// Fills at a constant rate, up to a level.
struct Bucket {
    level: f64,
    level_max: f64,
    per_second: f64,
    filled: Instant,
}

impl Bucket {
    fn new(per_second: f64, level_max: f64, now: Instant) -> Bucket {
        Bucket {
            level: level_max,
            level_max,
            per_second,
            filled: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + seconds * self.per_second).min(self.level_max);
        self.filled = now;
    }

    /// How long until there is so much.
    fn wait_for(&self, level: f64) -> Result<(), Duration> {
        match level - self.level {
            missing if missing > 0.0 => {
                Err(Duration::from_secs_f64((missing / self.per_second).min(86_400.0)))
            }
            _ => Ok(()),
        }
    }
}

/// The budgets of the subjects of tokens.
pub struct Meters {
    budget: Budget,
    known: Mutex<HashMap<String, Arc<Meter>>>,
}

impl Meters {
    pub fn new(budget: Budget) -> Meters {
        Meters {
            budget,
            known: Mutex::default(),
        }
    }

    /// That of one subject; `None` where nothing is limited.
    ///
    /// A subject whose buckets are full again is forgotten when room is needed: it loses nothing. Where there are more
    /// than can be known, the others share one budget.
    pub fn of(&self, subject: &str) -> Option<Arc<Meter>> {
        const OTHERS: &str = "";
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(subject) {
            return Some(meter.clone());
        }
        if known.len() >= SUBJECTS_MAX {
            known.retain(|_, meter| Arc::strong_count(meter) > 1 || !meter.is_full());
        }
        let subject = match known.len() >= SUBJECTS_MAX {
            true => OTHERS,
            false => subject,
        };
        if let Some(meter) = known.get(subject) {
            return Some(meter.clone());
        }
        let meter = Arc::new(Meter::of(&self.budget)?);
        known.insert(subject.to_owned(), meter.clone());
        Some(meter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(budget: Budget) -> (Buckets, Instant) {
        let meter = Meter::of(&budget).unwrap();
        let buckets = meter.buckets.into_inner().unwrap();
        let now = Instant::now();
        (buckets, now)
    }

    #[test]
    fn requests_come_at_their_rate_after_a_burst() {
        let (mut buckets, start) = buckets(Budget {
            rate: Some(2.0),
            burst: 3.0,
            cost_ms: None,
        });
        let mut take = |ms| {
            buckets
                .take(Duration::ZERO, start + Duration::from_millis(ms))
                .is_ok()
        };
        assert_eq!([0, 0, 0, 0].map(&mut take), [true, true, true, false]);
        assert_eq!([400, 500, 500].map(&mut take), [false, true, false]);
        // However long the silence was, no more than the burst comes at once.
        assert_eq!([60_000; 4].map(&mut take), [true, true, true, false]);
        let refused = buckets
            .take(Duration::ZERO, start + Duration::from_secs(60))
            .unwrap_err();
        assert_eq!(refused.what, "requests");
        assert_eq!(refused.wait, Duration::from_millis(500));
    }

    #[test]
    fn a_request_that_holds_many_is_paid_for_afterwards() {
        let meter = Meter::of(&Budget {
            rate: Some(0.01),
            burst: 5.0,
            cost_ms: None,
        });
        let meter = meter.unwrap();
        assert_eq!(meter.take(), Ok(()));
        meter.take_more(9);
        // Ten were taken of five, and one more is asked for.
        let wait = meter.take().unwrap_err().wait.as_secs_f64();
        assert!((590.0..=600.0).contains(&wait), "{wait}");
    }

    #[test]
    fn searches_that_cost_more_than_there_is_are_paid_for_afterwards() {
        let (mut buckets, start) = buckets(Budget {
            cost_ms: Some(100.0),
            ..Budget::default()
        });
        let at = |ms| start + Duration::from_millis(ms);
        assert!(buckets.take(Duration::ZERO, at(0)).is_ok());
        // Ten seconds' worth was there, and half as much again is taken.
        let refused = buckets.take(Duration::from_millis(1_500), at(0)).unwrap_err();
        assert_eq!(
            (refused.what, refused.wait),
            ("search time", Duration::from_secs(5))
        );
        assert!(buckets.take(Duration::ZERO, at(4_900)).is_err());
        assert!(buckets.take(Duration::ZERO, at(5_100)).is_ok());
    }

    #[test]
    fn subjects_are_known_one_by_one_up_to_a_number() {
        let meters = Meters::new(Budget {
            rate: Some(0.001),
            burst: 1.0,
            cost_ms: None,
        });
        for subject in 0..SUBJECTS_MAX {
            assert!(meters.of(&subject.to_string()).unwrap().take().is_ok());
        }
        assert!(meters.of("7").unwrap().take().is_err(), "it has had its one");
        assert!(meters.of("new").unwrap().take().is_ok());
        assert!(
            meters.of("newer").unwrap().take().is_err(),
            "the others share one budget"
        );
        assert!(meters.known.lock().unwrap().len() <= SUBJECTS_MAX + 1);
    }
}
