//! A shard is stored, opened, and given its documents again: it is as before, and does no work for it.

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use millpond::index::DocumentVector;
use millpond::index::stored::StoredShard;
use millpond::index::vector::Effort;
use millpond::index::{Slot, VectorStatus};
use millpond::storage::Part;

use self::rig::{Change, DIMENSIONS, Folder, Rig, answers, row, vector};
use crate::shared::Random;

/// What happens to some keys in a tick.
fn changes(random: &mut Random, keys: usize, count: usize) -> Vec<Change> {
    let mut changes = BTreeMap::new();
    for _ in 0..count {
        let key = format!("k{}", random.below(keys));
        let document = (!random.percent(20)).then(|| {
            let title = format!("tea w{} w{}", random.below(6), random.below(6));
            let note = format!("note{} pot pot", random.below(9));
            let hidden = random.below(3) as i64;
            let vector = match random.below(10) {
                0 => DocumentVector::Absent,
                1 => DocumentVector::Failed,
                2 | 3 => DocumentVector::Pending,
                _ => DocumentVector::Known(vector(random)),
            };
            (row(&key, &title, &note, random.below(90) as i64, hidden), vector)
        });
        changes.insert(key, document);
    }
    changes.into_iter().collect()
}

/// Documents with a vector of their own.
fn documents(random: &mut Random, keys: std::ops::Range<usize>) -> Vec<Change> {
    keys.map(|n| {
        let key = format!("k{n}");
        let row = row(
            &key,
            &format!("tea w{}", n % 7),
            &format!("note{}", n % 11),
            n as i64 % 90,
            0,
        );
        let vector = DocumentVector::Known(vector(random));
        (key, Some((row, vector)))
    })
    .collect()
}

#[test]
fn a_shard_that_was_stored_is_as_before_and_goes_on_so() {
    for seed in Random::seeds(4) {
        let random = &mut Random::new(seed);
        let folder = Folder::new();
        let mut rig = Rig::new();
        let mut stored = StoredShard::default();
        for round in 0..6 {
            for _ in 0..1 + random.below(40) {
                let count = 1 + random.below(30);
                rig.apply(changes(random, 300, count));
            }
            stored = folder.store(&rig.state(), &stored);
            let mut opened = rig.reopen(&folder, &stored);
            let at = format!("seed {seed}, round {round}");
            assert_eq!(opened.shard.corrections(), 0, "{at}");
            assert_eq!(opened.answers(), rig.answers(), "{at}");
            for (slot, document) in rig.state().documents.iter() {
                let again = opened
                    .state()
                    .documents
                    .by_key(&document.key.text())
                    .map(|(slot, _)| slot);
                assert_eq!(again, Some(slot), "{at}: a document keeps its slot");
            }
            for step in 0..30 {
                let changes = changes(random, 300, 20);
                rig.apply(changes.clone());
                opened.apply(changes);
                assert_eq!(opened.answers(), rig.answers(), "{at}, step {step} after");
            }
            // The next round goes on with the one that was opened.
            rig = opened;
        }
    }
}

#[test]
fn what_comes_again_otherwise_than_it_was_stored_is_corrected() {
    for seed in Random::seeds(4) {
        let random = &mut Random::new(seed);
        let folder = Folder::new();
        let mut rig = Rig::new();
        for _ in 0..40 {
            rig.apply(changes(random, 200, 20));
        }
        let stored = folder.store(&rig.state(), &StoredShard::default());
        // Rows that the stored shard has not seen, or has seen differently.
        let before = rig.held.clone();
        let later = changes(random, 260, 25);
        rig.apply(later);
        let mut expected = Rig::new();
        expected.apply(
            rig.held
                .iter()
                .map(|(key, document)| (key.clone(), Some(document.clone()))),
        );

        let opened = rig.reopen(&folder, &stored);
        let is_other = |key: &String| match (before.get(key), rig.held.get(key)) {
            (Some((row, _)), Some((other, _))) => row != other,
            (before, now) => before.is_some() || now.is_some(),
        };
        let keys: BTreeSet<_> = before.keys().chain(rig.held.keys()).collect();
        let others = keys.into_iter().filter(|key| is_other(key)).count() as u64;
        let at = format!("seed {seed}, {others} others");
        assert!(
            opened.shard.corrections() >= others && others > 0,
            "{at}: {}",
            opened.shard.corrections()
        );
        // A shard that never was stored shows no old vector where one is pending.
        let pending = |rig: &Rig| rig.state().legs[0].pending;
        assert_eq!(pending(&opened), pending(&expected), "{at}");
        let keyword = |rig: &Rig| -> Vec<String> {
            let lines = rig.answers().into_iter();
            lines
                .filter(|line| {
                    !line.starts_with('k') && !line.starts_with("near") && !line.ends_with("vectors")
                })
                .collect()
        };
        assert_eq!(keyword(&opened), keyword(&expected), "{at}");
        let mut opened = opened;
        // Once all have their vectors, nothing of what was stored is left to be seen.
        let all = documents(random, 0..260);
        opened.apply(all.clone());
        expected.apply(all);
        assert_eq!(opened.answers(), expected.answers(), "{at}");
    }
}

#[test]
fn a_document_stands_with_its_vector_as_before() {
    let random = &mut Random::new(5);
    let folder = Folder::new();
    let mut rig = Rig::new();
    let statuses = [
        ("absent", vec![DocumentVector::Absent], VectorStatus::Absent),
        (
            "current",
            vec![DocumentVector::Known(vector(random))],
            VectorStatus::Current,
        ),
        ("pending", vec![DocumentVector::Pending], VectorStatus::Pending),
        (
            "failed",
            vec![DocumentVector::Known(vector(random)), DocumentVector::Failed],
            VectorStatus::Failed,
        ),
        (
            "stale",
            vec![DocumentVector::Known(vector(random)), DocumentVector::Pending],
            VectorStatus::Stale,
        ),
    ];
    for (key, vectors, _) in &statuses {
        for (n, vector) in vectors.iter().enumerate() {
            rig.apply([(
                key.to_string(),
                Some((row(key, &format!("tea w{n}"), "", 1, 0), vector.clone())),
            )]);
        }
    }
    let stored = folder.store(&rig.state(), &StoredShard::default());
    let mut opened = rig.reopen(&folder, &stored);
    for rig in [&rig, &opened] {
        let state = rig.state();
        for (key, _, status) in &statuses {
            let (slot, _) = state.documents.by_key(key).unwrap();
            assert_eq!(state.legs[0].status(slot), *status, "{key}");
        }
        assert_eq!(state.legs[0].pending, 2);
        assert_eq!(state.legs[0].status(Slot(99)), VectorStatus::Absent);
    }
    assert_eq!(opened.answers(), rig.answers());
    assert_eq!(opened.shard.corrections(), 0);

    // A vector that is there by the first tick is no correction: it was awaited.
    for (key, (row, vector)) in rig.held.clone() {
        if matches!(vector, DocumentVector::Pending) {
            rig.held
                .insert(key, (row, DocumentVector::Known(rig::vector(random))));
        }
    }
    opened = rig.reopen(&folder, &stored);
    assert_eq!(opened.shard.corrections(), 0);
    assert_eq!(opened.state().legs[0].pending, 0);
    assert_eq!(opened.state().legs[0].vectors.len(), 3);
}

#[test]
fn graphs_and_segments_are_written_once_and_never_built_again() {
    let random = &mut Random::new(7);
    let folder = Folder::new();
    let mut rig = Rig::new();
    rig.apply(documents(random, 0..5_000));
    rig.settle();
    rig.apply(documents(random, 4_950..5_150));
    let graph_rows = |rig: &Rig| rig.state().legs[0].vectors.len() - 200;
    assert_eq!(graph_rows(&rig), 4_950);

    let first = folder.store(&rig.state(), &StoredShard::default());
    assert_eq!(folder.kinds(), ["graph", "segment", "segment", "slots"]);
    let second = folder.store(&rig.state(), &first);
    assert_eq!(folder.kinds(), ["graph", "segment", "segment", "slots", "slots"]);
    assert_eq!(second.parts().count(), 4);

    let mut opened = rig.reopen(&folder, &second);
    assert_eq!(opened.shard.corrections(), 0);
    assert_eq!(opened.state().legs[0].vectors.unbuilt(), 0);
    assert_eq!(opened.answers(), rig.answers());
    let near = |rig: &Rig, query: &[f32]| rig.state().legs[0].vectors.search(query, 10, Effort::Usual, None);
    for _ in 0..20 {
        let query = vector(random);
        assert_eq!(
            near(&opened, &query),
            near(&rig, &query),
            "the same graph, the same rows"
        );
    }
    let third = folder.store(&opened.state(), &second);
    assert_eq!(folder.kinds().len(), 6, "only slots are new");
    assert_eq!(third.parts().count(), 4);

    // It goes on: the young part becomes a graph, the old rows die, and what is stored then is opened again.
    opened.apply(documents(random, 5_000..10_000));
    opened.settle();
    opened.apply((0..2_000).map(|n| (format!("k{n}"), None)));
    opened.settle();
    let fourth = folder.store(&opened.state(), &third);
    let again = opened.reopen(&folder, &fourth);
    assert_eq!(again.shard.corrections(), 0);
    assert_eq!(again.answers(), opened.answers());
    assert_eq!(again.state().legs[0].vectors.len(), 8_000);
}

#[test]
fn a_graph_in_the_making_is_made_again() {
    let random = &mut Random::new(8);
    let folder = Folder::new();
    let mut rig = Rig::new();
    rig.apply(documents(random, 0..6_000));
    let state = rig.state();
    let stored = folder.store(&state, &StoredShard::default());
    let mut opened = rig.reopen(&folder, &stored);
    assert_eq!(opened.state().legs[0].vectors.unbuilt(), 6_000);
    assert_eq!(opened.answers(), answers(&state));
    opened.settle();
    assert_eq!(opened.answers(), answers(&state));
}

/// The parts of a stored shard, and the shard with other bytes in one of them, its checksum right.
fn with_bytes(stored: &StoredShard, part: &Part, bytes: &[u8]) -> StoredShard {
    let mut other = part.clone();
    other.bytes = bytes.len() as u64;
    other.checksum = xxhash_rust::xxh3::xxh3_64(bytes);
    let json = |part: &Part| serde_json::to_string(part).unwrap();
    let manifest = serde_json::to_string(stored).unwrap();
    assert!(manifest.contains(&json(part)));
    serde_json::from_str(&manifest.replace(&json(part), &json(&other))).unwrap()
}

#[test]
fn a_part_with_a_wrong_bit_is_refused() {
    let random = &mut Random::new(9);
    let folder = Folder::new();
    let mut rig = Rig::new();
    rig.apply(documents(random, 0..4_200));
    rig.settle();
    rig.apply(changes(random, 60, 60));
    let stored = folder.store(&rig.state(), &StoredShard::default());
    let settings = rig::settings();
    let open = |stored: &StoredShard| rig::open(&folder, stored, &settings);
    for part in stored.parts() {
        let path = folder.path(&part.name);
        let whole = fs::read(&path).unwrap();
        let refuse = |bytes: &[u8]| {
            // A mapped file must not be written to: another takes its place.
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            let damaged = open(&stored).err().expect("a damaged part is refused");
            assert_eq!(damaged.path, format!("parts/{}", part.name), "{damaged}");
        };
        for _ in 0..40 {
            let mut bytes = whole.clone();
            bytes[random.below(whole.len())] ^= 1 << random.below(8);
            refuse(&bytes);
            refuse(&whole[..random.below(whole.len())]);
        }
        refuse(&[]);
        fs::remove_file(&path).unwrap();
        assert!(open(&stored).is_err(), "{} is missing", part.name);
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(rig.reopen(&folder, &stored).answers(), rig.answers());
}

#[test]
fn slots_that_say_something_else_are_refused_or_corrected_but_panic_nowhere() {
    let random = &mut Random::new(10);
    let folder = Folder::new();
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.apply(changes(random, 30, 20));
    }
    let stored = folder.store(&rig.state(), &StoredShard::default());
    let slots = stored
        .parts()
        .find(|part| part.name.starts_with("slots"))
        .unwrap();
    let path = folder.path(&slots.name);
    let packed = fs::read(&path).unwrap();
    let settings = rig::settings();
    let plain = zstd::decode_all(&packed[..]).unwrap();
    let mut opened = 0;
    for byte in 0..plain.len() {
        let mut bytes = plain.clone();
        bytes[byte] ^= 1 << random.below(8);
        let bytes = zstd::encode_all(&bytes[..], 1).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        let other = with_bytes(&stored, slots, &bytes);
        let Ok(_) = rig::open(&folder, &other, &settings) else {
            continue;
        };
        opened += 1;
        let mut again = rig.reopen(&folder, &other);
        assert_eq!(again.state().documents.len(), rig.held.len(), "byte {byte}");
        again.answers();
        again.apply(changes(random, 30, 20));
        again.answers();
    }
    assert!(opened > 100, "{opened} opened");
}

#[test]
fn an_index_of_another_shape_is_refused() {
    let random = &mut Random::new(11);
    let folder = Folder::new();
    let mut rig = Rig::new();
    rig.apply(documents(random, 0..4_200));
    rig.settle();
    let stored = folder.store(&rig.state(), &StoredShard::default());
    let settings = rig::settings();
    let parts = millpond::storage::PartReader::new(&folder.disk);
    let refused = |index: &millpond::definition::Index, dimensions: &[usize]| {
        millpond::index::stored::open(index, dimensions, &settings, &stored, &parts).is_err()
    };
    let mut index = rig::index();
    assert!(!refused(&index, &[DIMENSIONS]));
    assert!(refused(&index, &[DIMENSIONS + 1]));
    index.vectors.clear();
    assert!(refused(&index, &[]));
    index = rig::index();
    index.fields.clear();
    assert!(refused(&index, &[DIMENSIONS]));
    index = rig::index();
    index.text.pop();
    assert!(refused(&index, &[DIMENSIONS]));
}
