//! The documents of a segment with a value in one of some ranges.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use tantivy::columnar::Column;

use super::docs::Docs;

/// Ranges for each of which the column is walked, by blocks. For more of them it is walked once, value by value: a list of
/// a thousand dates would hold a core for a tenth of a second.
const WALKS_MAX: usize = 16;

/// Adds the documents that have a value in one of the ranges.
pub(super) fn add_ranges<T>(column: &Column<T>, ranges: Vec<RangeInclusive<T>>, passing: &mut Docs)
where
    T: PartialOrd + Copy + Debug + Send + Sync + 'static,
{
    if ranges.len() <= WALKS_MAX {
        ranges
            .into_iter()
            .for_each(|range| add_range(column, range, passing));
        return;
    }
    let ranges = Disjoint::new(ranges);
    (0..passing.size())
        .filter(|doc| column.values_for_doc(*doc).any(|value| ranges.contain(value)))
        .for_each(|doc| passing.insert(doc));
}

/// Adds the documents that have a value in the range.
pub(super) fn add_range<T>(column: &Column<T>, range: RangeInclusive<T>, passing: &mut Docs)
where
    T: PartialOrd + Copy + Debug + Send + Sync + 'static,
{
    // tantivy takes a range that ends below the least value to hold the least value.
    let (least, greatest) = (column.min_value(), column.max_value());
    let low = if *range.start() < least {
        least
    } else {
        *range.start()
    };
    let high = if *range.end() > greatest {
        greatest
    } else {
        *range.end()
    };
    if low > high {
        return;
    }
    let mut docs = Vec::new();
    column.get_docids_for_value_range(low..=high, 0..passing.size(), &mut docs);
    docs.into_iter().for_each(|doc| passing.insert(doc));
}

/// Ranges of which none touches another, ascending.
struct Disjoint<T>(Vec<RangeInclusive<T>>);

impl<T: PartialOrd + Copy> Disjoint<T> {
    fn new(mut ranges: Vec<RangeInclusive<T>>) -> Disjoint<T> {
        // What is left compares, whatever the type.
        ranges.retain(|range| range.start() <= range.end());
        ranges.sort_unstable_by(|a, b| a.start().partial_cmp(b.start()).unwrap_or(Ordering::Equal));
        let mut disjoint: Vec<RangeInclusive<T>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match disjoint.last_mut() {
                Some(last) if range.start() <= last.end() => {
                    if range.end() > last.end() {
                        *last = *last.start()..=*range.end();
                    }
                }
                _ => disjoint.push(range),
            }
        }
        Disjoint(disjoint)
    }

    fn contain(&self, value: T) -> bool {
        let behind = self.0.partition_point(|range| *range.start() <= value);
        let last = behind.checked_sub(1).and_then(|last| self.0.get(last));
        last.is_some_and(|range| value <= *range.end())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_in_disjoint_ranges_if_it_is_in_one_of_those_given(
            given in proptest::collection::vec((0..60i64, -3..9i64), 0..20),
        ) {
            let given: Vec<_> = given.into_iter().map(|(low, more)| low..=low + more).collect();
            let disjoint = Disjoint::new(given.clone());
            for value in -2..75 {
                let expected = given.iter().any(|range| range.contains(&value));
                prop_assert_eq!(disjoint.contain(value), expected, "{} in {:?}", value, given);
            }
        }
    }

    #[test]
    fn what_is_no_number_is_in_no_range() {
        let ranges = Disjoint::new(vec![
            f64::NAN..=1.0,
            2.0..=f64::NAN,
            0.0..=0.5,
            f64::NEG_INFINITY..=-1.0,
        ]);
        let are_in = [f64::NAN, 1.0, 2.0, 0.25, -7.0].map(|value| ranges.contain(value));
        assert_eq!(are_in, [false, false, false, true, true]);
    }
}
