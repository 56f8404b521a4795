//! Ranges, intervals and statistics of a number; of a date, which is a number of microseconds, ranges and statistics.

use rustc_hash::FxHashMap;
use serde_json::Number;

use super::answer::{Bucket, FacetAnswer, RangeCount};
use super::plan::{Facet, Range, bad};
use super::request::HistogramRequest;
use super::sum::ExactSum;
use crate::change::{Datum, Float};
use crate::definition::moment;
use crate::index::keyword::{Selection, Values};
use crate::query::{QueryError, value};

/// Intervals that hold a document: those of all facets are written in memory.
pub(super) const BUCKETS_MAX: usize = 10_000;

pub(super) fn ranges(selections: &[Selection<'_>], field: usize, ranges: &[Range]) -> FacetAnswer {
    let ints: Vec<_> = ranges.iter().map(IntRange::new).collect();
    let floats: Vec<_> = ranges.iter().map(FloatRange::new).collect();
    let mut counts = vec![0u64; ranges.len()];
    let mut missing = 0;
    for selection in selections {
        let mut present = 0;
        match selection.values(field) {
            Values::Int(values) | Values::Moment(values) => values.each(|_, values| {
                present += 1;
                for (count, range) in counts.iter_mut().zip(&ints) {
                    *count += u64::from(values.iter().any(|value| range.holds(*value)));
                }
            }),
            Values::Float(values) => values.each(|_, values| {
                present += 1;
                for (count, range) in counts.iter_mut().zip(&floats) {
                    *count += u64::from(values.iter().any(|value| range.holds(*value)));
                }
            }),
            // Planned for numbers and dates alone.
            Values::None | Values::Text(_) | Values::Bool(_) | Values::Place(_) => {}
        }
        missing += selection.size() as u64 - present;
    }
    let counted = ranges.iter().zip(counts).map(|(range, count)| RangeCount {
        from: range.asked.from.clone(),
        to: range.asked.to.clone(),
        count,
    });
    FacetAnswer::Ranges {
        ranges: counted.collect(),
        missing,
    }
}

/// A range among integers, of more digits than an `f64` has.
struct IntRange {
    from: i128,
    /// Excluded.
    to: i128,
}

impl IntRange {
    fn new(range: &Range) -> IntRange {
        // The least integer that is not below a bound: for both ends the same.
        let least = |bound: &Number| match (bound.as_i64(), bound.as_u64()) {
            (Some(whole), _) => i128::from(whole),
            (_, Some(whole)) => i128::from(whole),
            _ => bound.as_f64().unwrap_or_default().ceil() as i128,
        };
        IntRange {
            from: range.from.as_ref().map_or(i128::MIN, least),
            to: range.to.as_ref().map_or(i128::MAX, least),
        }
    }

    fn holds(&self, value: i64) -> bool {
        (self.from..self.to).contains(&i128::from(value))
    }
}

struct FloatRange {
    from: Option<f64>,
    /// Excluded.
    to: Option<f64>,
}

impl FloatRange {
    fn new(range: &Range) -> FloatRange {
        FloatRange {
            from: range.from.as_ref().and_then(Number::as_f64),
            to: range.to.as_ref().and_then(Number::as_f64),
        }
    }

    fn holds(&self, value: f64) -> bool {
        self.from.is_none_or(|from| value >= from) && self.to.is_none_or(|to| value < to)
    }
}

pub(super) fn histogram(
    selections: &[Selection<'_>],
    facet: &Facet,
    request: &HistogramRequest,
) -> Result<FacetAnswer, QueryError> {
    // By the number of the interval, a whole number.
    let mut counts: FxHashMap<u64, u64> = FxHashMap::default();
    let mut missing = 0;
    let number_of = |value: f64| (((value - request.offset) / request.interval).floor() + 0.0).to_bits();
    for selection in selections {
        let mut present = 0;
        let mut add = |numbers: &mut dyn Iterator<Item = u64>| {
            present += 1;
            // Values ascend, so those of one interval are neighbours: a document counts there once.
            let mut last = None;
            for number in numbers {
                if last.replace(number) != Some(number) {
                    *counts.entry(number).or_default() += 1;
                }
            }
        };
        match selection.values(facet.field) {
            Values::Int(values) => {
                values.each(|_, values| add(&mut values.iter().map(|value| number_of(*value as f64))));
            }
            Values::Float(values) => {
                values.each(|_, values| add(&mut values.iter().map(|value| number_of(*value))));
            }
            Values::None | Values::Text(_) | Values::Moment(_) | Values::Bool(_) | Values::Place(_) => {}
        }
        missing += selection.size() as u64 - present;
    }
    if counts.len() > BUCKETS_MAX {
        return Err(bad(
            format!("the facet `{}` has {} intervals", facet.name, counts.len()),
            format!("choose `interval` for at most {BUCKETS_MAX}"),
        ));
    }
    let bucket = |(number, count): (u64, u64)| Bucket {
        from: finite(request.offset + f64::from_bits(number) * request.interval),
        count,
    };
    let mut histogram: Vec<Bucket> = counts.into_iter().map(bucket).collect();
    histogram.sort_unstable_by(|a, b| a.from.total_cmp(&b.from));
    Ok(FacetAnswer::Histogram { histogram, missing })
}

pub(super) fn stats(selections: &[Selection<'_>], field: usize) -> FacetAnswer {
    // A field's values are all in one of them.
    let (mut ints, mut floats) = (Extent::NONE, Extent::NONE);
    let (mut sum_of_ints, mut sum_of_floats) = (0i128, ExactSum::default());
    let mut missing = 0;
    for selection in selections {
        let mut present = 0;
        match selection.values(field) {
            Values::Int(values) => values.each(|_, values| {
                present += 1;
                for value in values {
                    ints.add(*value);
                    sum_of_ints += i128::from(*value);
                }
            }),
            Values::Float(values) => values.each(|_, values| {
                present += 1;
                for value in values {
                    floats.add(Float(*value));
                    sum_of_floats.add(*value);
                }
            }),
            Values::None | Values::Text(_) | Values::Moment(_) | Values::Bool(_) | Values::Place(_) => {}
        }
        missing += selection.size() as u64 - present;
    }
    let count = ints.count + floats.count;
    let sum = sum_of_ints as f64 + finite(sum_of_floats.value());
    let exact = i64::try_from(sum_of_ints).ok().filter(|_| floats.count == 0);
    let ends = match (ints.ends, floats.ends) {
        (Some((least, greatest)), _) => Some((Datum::Int(least), Datum::Int(greatest))),
        (None, ends) => ends.map(|(least, greatest)| (Datum::Float(least), Datum::Float(greatest))),
    };
    FacetAnswer::Stats {
        count,
        min: ends.as_ref().and_then(|(least, _)| value::number(least)),
        max: ends.as_ref().and_then(|(_, greatest)| value::number(greatest)),
        sum: match exact {
            Some(sum) => sum.into(),
            None => Number::from_f64(sum).unwrap_or_else(|| 0.into()),
        },
        mean: (count > 0).then(|| sum / count as f64),
        missing,
    }
}

pub(super) fn date_stats(selections: &[Selection<'_>], field: usize) -> FacetAnswer {
    let mut moments = Extent::NONE;
    let mut sum = 0i128;
    let mut missing = 0;
    for selection in selections {
        let mut present = 0;
        if let Values::Moment(values) = selection.values(field) {
            values.each(|_, values| {
                present += 1;
                for value in values {
                    moments.add(*value);
                    sum += i128::from(*value);
                }
            });
        }
        missing += selection.size() as u64 - present;
    }
    // Between the least and the greatest, so it is a moment too.
    let mean = sum.checked_div_euclid(i128::from(moments.count));
    FacetAnswer::DateStats {
        count: moments.count,
        min: moments.ends.and_then(|(least, _)| moment::text(least)),
        max: moments.ends.and_then(|(_, greatest)| moment::text(greatest)),
        mean: mean.and_then(|mean| moment::text(i64::try_from(mean).ok()?)),
        missing,
    }
}

/// How many values there are, and between which they lie.
struct Extent<T> {
    count: u64,
    ends: Option<(T, T)>,
}

impl<T: Ord + Copy> Extent<T> {
    const NONE: Extent<T> = Extent { count: 0, ends: None };

    fn add(&mut self, value: T) {
        self.count += 1;
        self.ends = Some(match self.ends {
            None => (value, value),
            Some((least, greatest)) => (least.min(value), greatest.max(value)),
        });
    }
}

/// JSON has no infinity.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(json: &str) -> Range {
        let asked: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
        let end = |name| asked.get(name).and_then(serde_json::Value::as_number).cloned();
        Range {
            from: end("from"),
            to: end("to"),
            asked: Default::default(),
        }
    }

    #[test]
    fn integers_are_held_against_bounds_of_any_number() {
        let holds = |json: &str, value: i64| IntRange::new(&range(json)).holds(value);
        assert!(holds(r#"{"from":1.5}"#, 2) && !holds(r#"{"from":1.5}"#, 1));
        assert!(holds(r#"{"to":1.5}"#, 1) && !holds(r#"{"to":1.5}"#, 2));
        assert!(holds(r#"{"to":2}"#, 1) && !holds(r#"{"to":2}"#, 2));
        assert!(holds("{}", i64::MIN) && holds("{}", i64::MAX));
        // An f64 does not tell these two apart.
        let exact = r#"{"from":9007199254740993}"#;
        assert!(holds(exact, 9007199254740993) && !holds(exact, 9007199254740992));
        assert!(!holds(r#"{"from":1e300}"#, i64::MAX) && holds(r#"{"from":-1e300}"#, i64::MIN));
        assert!(holds(r#"{"to":18446744073709551615}"#, i64::MAX));
    }
}
