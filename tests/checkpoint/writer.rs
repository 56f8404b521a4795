//! What the thread that writes says is durable: a checkpoint that is in place, and whose dead letters were synced before.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use millpond::change::Tick;
use millpond::checkpoint::{Checkpointed, Durable, Writer};
use millpond::metrics::Metrics;
use millpond::storage::{Fault, Memory};

use super::support::{Model, Random, open};

#[test]
fn durable_is_what_is_in_place_and_nothing_else() {
    let memory = Memory::new();
    let (store, _) = open(&memory).unwrap();
    let durable = Arc::new(Durable::default());
    let letters_fail = Arc::new(AtomicBool::new(false));
    let (cuts, queue) = crossbeam_channel::unbounded();
    let (tell, told) = channel();
    let writer = Writer {
        store,
        cuts: queue,
        durable: durable.clone(),
        sync_others: Box::new({
            let (durable, memory, letters_fail) = (durable.clone(), memory.clone(), letters_fail.clone());
            move || {
                let found = open(&memory).unwrap().1.map_or(Tick(0), |model| model.tick);
                assert!(durable.newest().tick <= found, "durable before it was written");
                match letters_fail.load(Ordering::Acquire) {
                    true => Err(io::Error::other("the disk takes no letters")),
                    false => Ok(()),
                }
            }
        }),
        written: Box::new(move |oldest: Option<&Checkpointed>| tell.send(oldest.cloned()).unwrap()),
        metrics: Metrics::default(),
    };
    let thread = writer.start().unwrap();
    let mut random = Random::new(3);
    let mut model = Model::default();
    let mut write = |model: &mut Model| {
        cuts.send(model.step(&mut random, 20)).unwrap();
        told.recv().expect("the writer goes on")
    };

    assert_eq!(write(&mut model), Some(model.checkpointed()));
    let first = model.clone();
    assert_eq!(durable.newest(), first.checkpointed());

    letters_fail.store(true, Ordering::Release);
    assert_eq!(write(&mut model), Some(first.checkpointed()));
    assert_eq!(
        durable.newest(),
        first.checkpointed(),
        "a letter it covers could be lost"
    );
    letters_fail.store(false, Ordering::Release);

    memory.inject(Fault::FailedSync { nth: 0 });
    assert_eq!(write(&mut model), Some(first.checkpointed()));
    assert_eq!(durable.newest(), first.checkpointed(), "its parts could be lost");

    // Logs must go on from the older of two.
    assert_eq!(write(&mut model), Some(first.checkpointed()));
    assert_eq!(durable.newest(), model.checkpointed());
    let second = model.clone();
    assert_eq!(write(&mut model), Some(second.checkpointed()));
    assert_eq!(open(&memory).unwrap().1, Some(model));
    drop(cuts);
    thread.join().unwrap();
}
