//! Ranges of values: those that compare so with a literal, and what two have in common.

use std::cmp::Ordering;
use std::ops::{Bound, RangeInclusive};

use super::values;
use crate::change::{Datum, Float};
use crate::definition::expression::{Comparison, compare};

pub(super) type Texts<'a> = (Bound<&'a str>, Bound<&'a str>);

/// The integers that compare so with a number; there may be none. `None` if no range says which.
pub(super) fn ints(op: Comparison, number: &Datum) -> Option<Option<RangeInclusive<i64>>> {
    let (floor, ceiling) = values::int_neighbours(number)?;
    Some(match op {
        Comparison::Equal => (floor == ceiling).then_some(floor..=floor),
        Comparison::NotEqual => return None,
        Comparison::Less => ceiling.checked_sub(1).map(|below| i64::MIN..=below),
        Comparison::LessOrEqual => Some(i64::MIN..=floor),
        Comparison::Greater => floor.checked_add(1).map(|above| above..=i64::MAX),
        Comparison::GreaterOrEqual => Some(ceiling..=i64::MAX),
    })
}

/// The floats that compare so with a number, if a float stands for it: between two of them no range says which.
pub(super) fn floats(op: Comparison, number: &Datum) -> Option<RangeInclusive<f64>> {
    let value = values::float(number)
        .filter(|value| compare(&Datum::Float(Float(*value)), number) == Some(Ordering::Equal))?;
    Some(match op {
        Comparison::Equal => value..=value,
        Comparison::NotEqual => return None,
        Comparison::Less => f64::NEG_INFINITY..=value.next_down(),
        Comparison::LessOrEqual => f64::NEG_INFINITY..=value,
        Comparison::Greater => value.next_up()..=f64::INFINITY,
        Comparison::GreaterOrEqual => value..=f64::INFINITY,
    })
}

pub(super) fn texts(op: Comparison, text: &str) -> Texts<'_> {
    match op {
        Comparison::Equal | Comparison::NotEqual => (Bound::Included(text), Bound::Included(text)),
        Comparison::Less => (Bound::Unbounded, Bound::Excluded(text)),
        Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(text)),
        Comparison::Greater => (Bound::Excluded(text), Bound::Unbounded),
        Comparison::GreaterOrEqual => (Bound::Included(text), Bound::Unbounded),
    }
}

/// What is in one of the ranges on the left and in one on the right.
pub(super) fn both<R>(left: &[R], right: &[R], meet: fn(&R, &R) -> R) -> Vec<R> {
    let pairs = left
        .iter()
        .flat_map(|left| right.iter().map(move |right| (left, right)));
    pairs.map(|(left, right)| meet(left, right)).collect()
}

pub(super) fn meet<T: PartialOrd + Copy>(
    left: &RangeInclusive<T>,
    right: &RangeInclusive<T>,
) -> RangeInclusive<T> {
    let low = if left.start() < right.start() {
        right.start()
    } else {
        left.start()
    };
    let high = if left.end() < right.end() {
        left.end()
    } else {
        right.end()
    };
    *low..=*high
}

pub(super) fn meet_texts<'a>(left: &Texts<'a>, right: &Texts<'a>) -> Texts<'a> {
    // At the same text the one that leaves it out is the narrower.
    let low = |bound: Bound<&'a str>| match bound {
        Bound::Unbounded => None,
        Bound::Included(text) => Some((text, false)),
        Bound::Excluded(text) => Some((text, true)),
    };
    let narrower_low = if low(left.0) < low(right.0) {
        right.0
    } else {
        left.0
    };
    let narrower_high = match (left.1, right.1) {
        (Bound::Unbounded, bound) | (bound, Bound::Unbounded) => bound,
        (left, right) if low(left).map(|(text, _)| text) == low(right).map(|(text, _)| text) => {
            if matches!(left, Bound::Excluded(_)) {
                left
            } else {
                right
            }
        }
        (left, right) => {
            if low(left) < low(right) {
                left
            } else {
                right
            }
        }
    };
    (narrower_low, narrower_high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_ranges_of_texts_have_in_common_is_what_both_contain() {
        use std::ops::RangeBounds;
        let bounds = [
            Bound::Unbounded,
            Bound::Included("b"),
            Bound::Excluded("b"),
            Bound::Included("d"),
            Bound::Excluded("d"),
        ];
        let ranges: Vec<Texts> = bounds
            .iter()
            .flat_map(|low| bounds.iter().map(|high| (*low, *high)))
            .collect();
        for left in &ranges {
            for right in &ranges {
                let met = meet_texts(left, right);
                for text in ["a", "b", "c", "d", "e"] {
                    let contains = |range: &Texts| RangeBounds::<str>::contains(range, text);
                    assert_eq!(
                        contains(&met),
                        contains(left) && contains(right),
                        "{left:?} {right:?} {text}"
                    );
                }
            }
        }
    }
}
