//! How long a search may go on: until a moment, or until nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Told to a search, which looks at it between steps of some ten microseconds and stops with what it has. Clones share
/// what they know.
#[derive(Clone, Debug, Default)]
pub struct Deadline(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    began: Instant,
    /// None so far: only the end of the wait counts.
    at: Option<Instant>,
    nobody_waits: Arc<AtomicBool>,
    /// Whether something was left out.
    met: Arc<AtomicBool>,
}

impl Deadline {
    /// Never: a search comes to its end.
    pub fn never() -> Deadline {
        Deadline(None)
    }

    /// The same, for who lends it.
    pub const NEVER: &Deadline = {
        static NEVER: Deadline = Deadline(None);
        &NEVER
    };

    /// Time is counted from now on; [`Deadline::within`] says how much there is.
    pub fn begin() -> Deadline {
        Deadline(Some(Known {
            began: Instant::now(),
            at: None,
            nobody_waits: Arc::default(),
            met: Arc::default(),
        }))
    }

    /// The same, so long after it began. Never stays never.
    pub fn within(&self, time: Duration) -> Deadline {
        Deadline(self.0.as_ref().map(|known| Known {
            at: known.began.checked_add(time),
            ..known.clone()
        }))
    }

    /// For another search that the same one waits for: its time begins now, and nothing was left out of it.
    pub fn again(&self) -> Deadline {
        Deadline(self.0.as_ref().map(|known| Known {
            began: Instant::now(),
            at: None,
            met: Arc::default(),
            nobody_waits: known.nobody_waits.clone(),
        }))
    }

    pub fn is_never(&self) -> bool {
        self.0.is_none()
    }

    /// How much of the time is left, where it is limited.
    pub fn left(&self) -> Option<Duration> {
        let at = self.0.as_ref()?.at?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Whether it is time to stop. Whoever hears yes does so: the answer says that it is not all there is.
    pub fn is_over(&self) -> bool {
        let Some(known) = &self.0 else { return false };
        let over =
            known.nobody_waits.load(Ordering::Relaxed) || known.at.is_some_and(|at| Instant::now() >= at);
        if over {
            known.met.store(true, Ordering::Relaxed);
        }
        over
    }

    /// Whether something was left out because of it.
    pub fn was_met(&self) -> bool {
        let met = |known: &Known| known.met.load(Ordering::Relaxed);
        self.0.as_ref().is_some_and(met)
    }

    /// Whoever waits for the answer holds this: when it is dropped, the deadline is over.
    pub fn waiting(&self) -> Waiting {
        Waiting(self.0.as_ref().map(|known| known.nobody_waits.clone()))
    }
}

/// Somebody waits for a search.
pub struct Waiting(Option<Arc<AtomicBool>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(nobody_waits) = &self.0 {
            nobody_waits.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_over_when_its_time_has_come_or_nobody_waits() {
        assert!(!Deadline::never().within(Duration::ZERO).is_over());
        let deadline = Deadline::begin();
        let waiting = deadline.waiting();
        let far = deadline.within(Duration::from_secs(3_600));
        assert!(!deadline.is_over() && !far.is_over());
        assert!(!far.was_met());

        let now = deadline.within(Duration::ZERO);
        assert!(now.is_over() && now.was_met());
        assert!(!far.is_over(), "it has more time");

        let other = Deadline::begin();
        let waits = other.waiting();
        drop(waiting);
        assert!(far.is_over() && !other.is_over());
        drop(waits);
        assert!(other.is_over());
    }
}
