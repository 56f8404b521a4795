//! Rows that come and go on many threads, and chunks that are moved while others read.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use super::*;

/// The floats of a vector with this name.
fn expected(name: u32, length: usize) -> Vec<f32> {
    (0..length).map(|n| name as f32 + n as f32 / 1e4).collect()
}

fn vector(name: u32, length: usize) -> Floats {
    Floats::new(&expected(name, length))
}

#[track_caller]
fn check(floats: &Floats, name: u32) {
    let expected = expected(name, floats.len());
    assert_eq!(**floats, *expected);
    let mut room = vec![7.0; 3];
    assert_eq!(floats.read(&mut room), expected);
}

/// Each test has a length of its own, as chunks belong to the process.
fn chunks(length: usize) -> usize {
    slab::chunks(length).0
}

#[test]
fn floats_of_any_length_are_what_they_were_made_of() {
    let long = if cfg!(miri) { 100 } else { 40_000 };
    for length in [0, 1, 17, long] {
        let vectors: Vec<Floats> = (0..5).map(|name| vector(name, length)).collect();
        (0..).zip(&vectors).for_each(|(name, floats)| check(floats, name));
    }
    assert_eq!(size_of::<Floats>(), size_of::<usize>());
    assert_eq!(size_of::<Place>(), 2 * size_of::<usize>());
}

#[test]
fn floats_are_the_same_wherever_their_bytes_lie() {
    let bytes: Vec<u8> = [0].into_iter().chain((0..36).map(|n| n * 3)).collect();
    for start in 0..4 {
        let stored = Floats::stored(Bytes::copy_from_slice(&bytes).slice(start..start + 32));
        let floats = bytes[start..start + 32].as_chunks().0.iter();
        let floats: Vec<f32> = floats.map(|float| f32::from_le_bytes(*float)).collect();
        assert_eq!(*stored, *floats, "{start} bytes on");
    }
}

#[test]
fn rows_that_become_free_are_used_again_and_empty_chunks_go() {
    const LENGTH: usize = 1_001;
    const VECTORS: u32 = if cfg!(miri) { 40 } else { 3_000 };
    let mut vectors: BTreeMap<u32, Floats> = (0..VECTORS).map(|name| (name, vector(name, LENGTH))).collect();
    let full = chunks(LENGTH);
    assert!(full > 1);
    let mut next = VECTORS;
    for round in 0..if cfg!(miri) { 2 } else { 10 } {
        let gone: Vec<u32> = vectors
            .keys()
            .copied()
            .filter(|name| name % 3 == round % 3)
            .collect();
        for name in gone {
            vectors.remove(&name);
            vectors.insert(next, vector(next, LENGTH));
            next += 1;
        }
        vectors.iter().for_each(|(name, floats)| check(floats, *name));
        assert_eq!(chunks(LENGTH), full);
    }
    // One vector holds one chunk, and the others go.
    let (_, last) = vectors.pop_first().unwrap();
    vectors.clear();
    assert!(chunks(LENGTH) <= 2, "{} chunks", chunks(LENGTH));
    drop(last);
    assert_eq!(chunks(LENGTH), 0);
}

#[test]
fn vectors_come_and_go_on_all_threads() {
    const LENGTH: usize = 999;
    let (rounds, kept) = if cfg!(miri) { (12, 3) } else { (20_000, 300) };
    let begin = Barrier::new(4);
    thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::sync_channel::<(u32, Floats)>(kept);
        for thread in 0..3 {
            let (send, begin) = (send.clone(), &begin);
            scope.spawn(move || {
                begin.wait();
                for round in 0..rounds {
                    let name = thread * rounds + round;
                    let floats = vector(name, LENGTH);
                    check(&floats, name);
                    // Most are dropped by another thread.
                    send.send((name, floats.clone())).unwrap();
                }
            });
        }
        drop(send);
        begin.wait();
        let mut held: BTreeMap<u32, Floats> = BTreeMap::new();
        for (name, floats) in receive {
            held.insert(name, floats);
            if held.len() > kept {
                let (name, floats) = held.pop_first().unwrap();
                check(&floats, name);
            }
        }
        held.iter().for_each(|(name, floats)| check(floats, *name));
    });
    assert_eq!(chunks(LENGTH), 0);
}

/// Miri knows no mapped files.
#[cfg(not(miri))]
mod on_disk {
    use std::fs::File;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn full_chunks_lie_on_disk_whatever_comes_and_goes() {
        const LENGTH: usize = 997;
        let folder = tempfile::tempdir().unwrap();
        let before: Vec<Floats> = (0..2_000).map(|name| vector(name, LENGTH)).collect();
        let slices: Vec<&[f32]> = before.iter().map(|floats| &**floats).collect();
        assert_eq!(slab::chunks(LENGTH).1, 0);
        let spool = Spool::begin(LENGTH, folder.path()).unwrap();
        let (all, moved) = slab::chunks(LENGTH);
        assert_eq!(moved, all - 1, "the last is not full");
        // Who reads while chunks are moved goes on reading.
        (0..)
            .zip(&slices)
            .for_each(|(name, floats)| assert_eq!(**floats, *expected(name, LENGTH)));
        let mut vectors: BTreeMap<u32, Floats> = (0..).zip(before).collect();
        vectors.extend((2_000..3_000).map(|name| (name, vector(name, LENGTH))));
        let many = slab::chunks(LENGTH);
        // Rows on disk are used again.
        for name in (0..3_000).step_by(2) {
            vectors.remove(&name);
            vectors.insert(5_000 + name, vector(5_000 + name, LENGTH));
        }
        vectors.iter().for_each(|(name, floats)| check(floats, *name));
        assert_eq!(slab::chunks(LENGTH), many);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "the file has no name"
        );
        // What lies in the file does not need the spool.
        drop(spool);
        vectors.iter().for_each(|(name, floats)| check(floats, *name));
        drop(vectors);
        assert_eq!(slab::chunks(LENGTH), (0, 0));
    }

    #[test]
    fn chunks_are_moved_under_those_who_read_and_write_on_other_threads() {
        const LENGTH: usize = 991;
        const VECTORS: u32 = 6_000;
        let folder = tempfile::tempdir().unwrap();
        let _spool = Spool::begin(LENGTH, folder.path()).unwrap();
        let write = |thread: u32| {
            let mut held: Vec<(u32, Floats)> = Vec::new();
            for name in (thread * VECTORS)..((thread + 1) * VECTORS) {
                if name % 5 == 4 {
                    held.swap_remove(name as usize % held.len());
                }
                held.push((name, vector(name, LENGTH)));
                let (known, floats) = &held[name as usize * 31 % held.len()];
                check(floats, *known);
            }
            held.iter().for_each(|(name, floats)| check(floats, *name));
        };
        thread::scope(|scope| {
            for thread in 0..3 {
                scope.spawn(move || write(thread));
            }
        });
    }

    #[test]
    fn a_disk_that_takes_nothing_leaves_vectors_in_memory() {
        const LENGTH: usize = 983;
        // Every write to this file fails, as on a full disk.
        let full = || {
            Ok::<_, std::io::Error>(Spool::over(
                File::options().read(true).write(true).open("/dev/full")?,
            ))
        };
        let spool = slab::spool(LENGTH, full).unwrap();
        let vectors: Vec<Floats> = (0..1_000).map(|name| vector(name, LENGTH)).collect();
        let (all, moved) = slab::chunks(LENGTH);
        assert!(all > 3 && moved == 0, "{moved} of {all}");
        (0..).zip(&vectors).for_each(|(name, floats)| check(floats, name));
        drop((spool, vectors));
    }

    #[test]
    fn a_disk_that_becomes_full_takes_no_more_rows_and_loses_none() {
        const LENGTH: usize = 977;
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::begin(LENGTH, folder.path()).unwrap();
        let mut vectors: BTreeMap<u32, Floats> =
            (0..1_000).map(|name| (name, vector(name, LENGTH))).collect();
        let (all, moved) = slab::chunks(LENGTH);
        assert!(moved > 0);
        spool.0.is_full.store(true, Ordering::Relaxed);
        for name in (0..1_000).step_by(2) {
            vectors.remove(&name);
            vectors.insert(1_000 + name, vector(1_000 + name, LENGTH));
        }
        vectors.iter().for_each(|(name, floats)| check(floats, *name));
        assert!(slab::chunks(LENGTH).0 > all, "they are in new chunks");
        assert_eq!(slab::chunks(LENGTH).1, moved);
        drop(vectors);
        assert_eq!(slab::chunks(LENGTH).0, 0);
    }
}
