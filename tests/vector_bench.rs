//! What `benches/vector` reads and reckons: runbooks, the patterns it writes itself, and speeds between measured ones.

#[path = "../benches/vector/curve.rs"]
mod curve;
#[path = "../benches/vector/patterns.rs"]
mod patterns;
#[path = "../benches/vector/runbook.rs"]
mod runbook;

use std::collections::BTreeMap;

use curve::{Curve, Point};
use runbook::{Step, read};

/// As PyYAML writes it, in the manner of `msturing-10M_slidingwindow_runbook.yaml` and its replacing kin.
const SORTED: &str = "\
msturingpq-10M:
  1:
    end: 50000
    operation: insert
    start: 0
  10:
    operation: search
  2:
    end: 100000
    operation: insert
    start: 50000
  3:
    operation: search
  4:
    end: 50000
    operation: delete
    start: 0
  5:
    ids_end: 3000
    ids_start: 2772
    operation: replace
    tags_end: 50228
    tags_start: 50000
  6:
    operation: search
  7:
    operation: search
  8:
    operation: search
  9:
    operation: search
  gt_url: \"https://example.org/gt/runbook.yaml\"
  max_pts: 100000
";

/// As people write it, in the manner of `simple_runbook.yaml` and `final_runbook.yaml`: two sets, quotes, comments.
const BY_HAND: &str = "\
# all in, half out
random-plus(40000,4000,20):
    max_pts: 40000

    1:
        operation: 'insert'   # everything
        start: 0
        end: 40000
    2:
        operation: \"search\"
    gt_url: none
sift-small:
  1:
    operation: search
";

#[test]
fn runbooks_are_read_in_the_order_of_their_numbers() {
    let books = read(SORTED).unwrap();
    assert_eq!(books.len(), 1);
    assert_eq!(
        (books[0].set.as_str(), books[0].points_max),
        ("msturingpq-10M", Some(100_000))
    );
    let changes = [
        Step::Insert(0..50_000),
        Step::Insert(50_000..100_000),
        Step::Search,
        Step::Delete(0..50_000),
        Step::Replace {
            slots: 50_000..50_228,
            rows: 2_772..3_000,
        },
    ];
    assert_eq!(books[0].steps[..5], changes);
    assert_eq!(books[0].steps.len(), 10);
    assert!(books[0].steps[5..].iter().all(|step| *step == Step::Search));
}

#[test]
fn quotes_comments_and_several_sets_are_understood() {
    let books = read(BY_HAND).unwrap();
    assert_eq!(books.len(), 2);
    assert_eq!(books[0].set, "random-plus(40000,4000,20)");
    assert_eq!(books[0].points_max, Some(40_000));
    assert_eq!(books[0].steps, [Step::Insert(0..40_000), Step::Search]);
    assert_eq!((books[1].points_max, books[1].steps.len()), (None, 1));
}

#[test]
fn faults_of_a_runbook_name_their_line() {
    let cases = [
        ("glove: 7\n", "line 1: expected a data set and below it its steps"),
        (
            "glove:\n  max_pts: many\n",
            "line 2: max_pts is not a count: `many`",
        ),
        (
            "glove:\n  1:\n    operation: batch_insert\n",
            "line 3: unknown operation `batch_insert`",
        ),
        (
            "glove:\n  1:\n    operation: insert\n    start: 0\n",
            "line 2: step 1 has no `end`",
        ),
        (
            "glove:\n  1:\n    operation: delete\n    start: 9\n    end: 8\n",
            "line 5: end is below start",
        ),
        (
            "glove:\n  1:\n    operation: insert\n    start: 0\n    end: -1\n",
            "line 5: end is not a count: `-1`",
        ),
        (
            "glove:\n  1:\n    operation: replace\n    tags_start: 0\n    tags_end: 2\n    ids_start: 5\n    ids_end: 6\n",
            "line 2: 2 tags and 1 ids",
        ),
        (
            "glove:\n  1:\n    operation: search\n  3:\n    operation: search\n",
            "line 4: step 2 is missing",
        ),
        (
            "glove:\n  1:\n    operation: search\n  1:\n    operation: search\n",
            "line 4: step 1 occurs twice",
        ),
        (
            "glove:\n  first:\n",
            "line 2: expected a step's number, max_pts or gt_url, found `first`",
        ),
        (
            "glove:\n  1: {operation: search}\n",
            "line 2: step 1 has no `operation`",
        ),
        (
            "glove:\n  - search\n",
            "line 2: expected `key: value`, found `- search`",
        ),
    ];
    for (text, expected) in cases {
        let fault = read(text).expect_err(text);
        assert_eq!(fault.to_string(), expected, "{text}");
    }
}

/// What a runbook does to a plain map.
struct Played {
    /// At the end.
    rows: BTreeMap<u32, u32>,
    /// The most slots that had a vector at once.
    most: usize,
    written: usize,
    deleted: usize,
}

fn play(steps: &[Step]) -> Played {
    let mut rows: BTreeMap<u32, u32> = BTreeMap::new();
    let (mut most, mut written, mut deleted) = (0, 0, 0);
    for step in steps {
        match step {
            Step::Insert(range) => {
                for row in range.clone() {
                    assert_eq!(rows.insert(row, row), None, "{step:?}: the slot is taken");
                }
                written += range.len();
            }
            Step::Delete(range) => {
                for slot in range.clone() {
                    assert!(rows.remove(&slot).is_some(), "{step:?}: the slot is empty");
                }
                deleted += range.len();
            }
            Step::Replace { slots, rows: new } => {
                for (slot, row) in slots.clone().zip(new.clone()) {
                    assert!(
                        !rows.contains_key(&row),
                        "{step:?}: the vector is in its own slot"
                    );
                    assert!(rows.insert(slot, row).is_some(), "{step:?}: the slot is empty");
                }
                written += slots.len();
            }
            Step::Search => assert!(!rows.is_empty()),
        }
        most = most.max(rows.len());
    }
    Played {
        rows,
        most,
        written,
        deleted,
    }
}

#[test]
fn a_sliding_window_keeps_half_of_the_vectors() {
    let books = read(&patterns::sliding_window("words", 1_000, 20)).unwrap();
    let played = play(&books[0].steps);
    assert_eq!((played.most, played.written, played.deleted), (500, 1_000, 500));
    assert!(played.rows.into_keys().eq(500..1_000), "the oldest are gone");
    let searches = books[0]
        .steps
        .iter()
        .filter(|step| **step == Step::Search)
        .count();
    assert_eq!(searches, 11);
}

#[test]
fn replacing_and_deleting_uses_every_kind_of_step_on_what_is_there() {
    // Every life and every share of a batch in turn.
    let mut number = 0;
    let text = patterns::replace_delete("words", 4_000, 40, |bound| {
        number += 7;
        number % bound
    });
    let books = read(&text).unwrap();
    let Played {
        most,
        written,
        deleted,
        ..
    } = play(&books[0].steps);
    assert!(
        most < 2_500 && written > 3_000 && deleted > 1_000,
        "{most} {written} {deleted}"
    );
    let replaces = books[0]
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Replace { .. }));
    assert!(replaces.count() > 20);
}

fn point(ef: usize, recall: f64, per_second: f64) -> Point {
    Point {
        ef,
        recall,
        per_second,
    }
}

#[test]
fn a_curve_keeps_the_points_that_no_other_beats() {
    let (slow, fast, exact) = (
        point(20, 0.93, 700.0),
        point(10, 0.95, 1_000.0),
        point(80, 0.999, 100.0),
    );
    let curve = Curve::new(vec![exact, slow, fast]);
    assert_eq!(curve.points(), [fast, exact]);
}

#[test]
fn a_speed_between_two_points_follows_the_logarithms() {
    let curve = Curve::new(vec![point(10, 0.9, 1_000.0), point(100, 0.99, 100.0)]);
    let speed = |recall| curve.speed_at(recall).unwrap();
    assert!((speed(0.9) - 1_000.0).abs() < 1e-6);
    assert!((speed(0.99) - 100.0).abs() < 1e-6);
    // A tenth of the misses costs a factor of ten: half of that way costs its root.
    let between = speed(1.0 - 0.1_f64.powf(1.5));
    assert!((between - 1e5_f64.sqrt()).abs() < 1e-6, "{between}");
}

#[test]
fn no_speed_is_given_beyond_what_was_measured() {
    let curve = Curve::new(vec![point(10, 0.96, 1_000.0), point(100, 0.99, 100.0)]);
    assert_eq!(curve.speed_at(0.95), Some(1_000.0));
    assert_eq!(curve.speed_at(0.999), None);
    assert_eq!(Curve::new(Vec::new()).speed_at(0.5), None);
}
