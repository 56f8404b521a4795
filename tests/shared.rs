//! What several tests need.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use millpond::change::{Offset, PartitionId};
use millpond::decode::Message;

/// Public data that is not in the repository, or `None` with the reason printed.
pub fn public_data(path: &str) -> Option<PathBuf> {
    let found = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: {} is absent", found.display());
    None
}

/// A message as a push of one line makes it.
pub fn message(offset: u64, value: &str) -> Message<'_> {
    Message {
        topic: "",
        partition: PartitionId(0),
        offset: Offset(offset),
        key: None,
        value: Some(value.as_bytes()),
        headers: &[],
        timestamp_ms: None,
    }
}

/// A small generator of random numbers: splitmix64, the same on every machine.
pub struct Random(u64);

impl Random {
    /// Seeds for a test: `MILLPOND_SEED`, or `count` fixed ones. Failures must name the seed.
    pub fn seeds(count: u64) -> Vec<u64> {
        match std::env::var("MILLPOND_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
        {
            Some(seed) => vec![seed],
            None => (1..=count).collect(),
        }
    }

    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Tells a thread beside the test to stop, also when the test fails: a scope waits for its threads.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
