use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::*;

fn letter(offset: u64, value: &str) -> Letter {
    let line = format!(
        r#"{{"reason":"r{offset}","table":"t","partition":"0","offset":{offset},"key":null,"value":{value:?}}}"#
    );
    Letter::parse(line.as_bytes()).unwrap()
}

fn open(path: &Path) -> Store {
    Store::open(path, &BTreeMap::new()).unwrap()
}

fn offsets(store: &Store) -> Vec<u64> {
    let (letters, more) = store.page(None, None, usize::MAX, u64::MAX).unwrap();
    assert!(!more);
    letters.iter().filter_map(|(letter, _)| letter.offset).collect()
}

#[test]
fn what_a_crash_left_of_a_line_is_cut_off_wherever_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    open(&path).keep([letter(1, "aaaa"), letter(2, "bbbb")]);
    let whole = fs::read(&path).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let mut store = open(&path);
        let mut expected: Vec<u64> = [(1, first), (2, whole.len())]
            .into_iter()
            .filter(|(_, end)| *end <= length)
            .map(|(offset, _)| offset)
            .collect();
        assert_eq!(offsets(&store), expected, "{length} bytes");
        // The stream goes on behind the cut.
        store.keep([letter(3, "cccc")]);
        expected.push(3);
        assert_eq!(offsets(&open(&path)), expected, "{length} bytes");
    }
}

#[test]
fn lines_that_are_no_letters_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    open(&path).keep([letter(1, "aaaa")]);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\0\0\0\n\xff\n{}\n").unwrap();
    let mut store = open(&path);
    store.keep([letter(2, "bbbb")]);
    assert_eq!(offsets(&open(&path)), [1, 2]);
}

/// A disk that refuses: the file's handle may not write.
fn refuse(store: &mut Store) -> std::fs::File {
    store.lines.swap_file(fs::File::open("/dev/null").unwrap())
}

#[test]
fn a_letter_that_the_disk_refuses_waits_and_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let mut store = open(&path);
    store.keep([letter(1, "aaaa")]);
    let writable = refuse(&mut store);
    let kept = store.keep([letter(2, "bbbb"), letter(3, "cccc")]);
    assert!(kept.refused.is_some() && kept.lost.is_empty());
    assert_eq!((kept.new.len(), store.waiting()), (2, 2));
    assert!(store.keep([letter(2, "bbbb")]).new.is_empty(), "it waits already");
    assert!(store.sync().is_err(), "a checkpoint may not cover them");

    store.lines.swap_file(writable);
    assert!(store.keep([letter(4, "dddd")]).refused.is_none());
    assert_eq!((store.waiting(), offsets(&store)), (0, vec![1, 2, 3, 4]));
    store.sync().unwrap();
    assert_eq!(offsets(&open(&path)), [1, 2, 3, 4]);
}

#[test]
fn what_waits_is_bounded_and_the_rest_is_said_to_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let mut store = open(&path);
    let writable = refuse(&mut store);
    let large = "x".repeat(WAITING_BYTES_MAX / 4);
    let mut lost = Vec::new();
    for offset in 0..6 {
        lost.extend(store.keep([letter(offset, &large)]).lost);
    }
    assert!(store.waiting_bytes <= WAITING_BYTES_MAX);
    let lost: Vec<u64> = lost.iter().filter_map(|letter| letter.offset).collect();
    assert_eq!((store.waiting(), lost), (3, vec![3, 4, 5]));
    store.lines.swap_file(writable);
    // Delivered again, a lost one is kept.
    store.keep([letter(4, &large)]);
    assert_eq!(offsets(&open(&path)), [0, 1, 2, 4]);
}

#[test]
fn a_file_that_is_mostly_waste_is_written_anew_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let mut store = open(&path);
    for offset in 0..100 {
        store.keep([letter(offset, "some bytes of a message")]);
    }
    let ids: Vec<String> = (0..90).map(|offset| format!("t/0/{offset}")).collect();
    assert_eq!(store.drop_letters(&ids).unwrap().done, 90);
    store.note_reason("t/0/95", "another").unwrap();
    drop(store);
    let before = fs::metadata(&path).unwrap().len();

    // Up to 49 nothing is delivered again.
    let store = Store::open(&path, &BTreeMap::from([("t/0".to_owned(), 49)])).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < before / 2);
    assert_eq!(offsets(&store), (90..100).collect::<Vec<_>>());
    assert_eq!(store.get("t/0/95").unwrap().unwrap().reason, "another");
    let mut store = open(&path);
    let again = store.keep((40..60).map(|offset| letter(offset, "some bytes of a message")));
    let again: Vec<u64> = again.new.iter().filter_map(|letter| letter.offset).collect();
    assert_eq!(
        again,
        (40..50).collect::<Vec<_>>(),
        "marks that may be needed are kept, the others forgotten"
    );
}
