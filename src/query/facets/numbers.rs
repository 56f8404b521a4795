//! Ranges, intervals and statistics of a number.

use rustc_hash::FxHashMap;
use serde_json::Number;

use super::answer::{Bucket, FacetAnswer, RangeCount};
use super::plan::{Facet, bad};
use super::request::{HistogramRequest, RangeRequest};
use super::sum::ExactSum;
use crate::change::{Datum, Float};
use crate::index::keyword::{Selection, Values};
use crate::query::{QueryError, value};

/// Intervals that hold a document: those of all facets are written in memory.
pub(super) const BUCKETS_MAX: usize = 10_000;

pub(super) fn ranges(selections: &[Selection<'_>], field: usize, ranges: &[RangeRequest]) -> FacetAnswer {
    let ints: Vec<_> = ranges.iter().map(IntRange::new).collect();
    let floats: Vec<_> = ranges.iter().map(FloatRange::new).collect();
    let mut counts = vec![0u64; ranges.len()];
    let mut missing = 0;
    for selection in selections {
        let mut present = 0;
        match selection.values(field) {
            Values::Int(values) => values.each(|_, values| {
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
            // Planned for numbers alone.
            Values::None | Values::Text(_) | Values::Bool(_) => {}
        }
        missing += selection.size() as u64 - present;
    }
    let counted = ranges.iter().zip(counts).map(|(range, count)| RangeCount {
        from: range.from.clone(),
        to: range.to.clone(),
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
    fn new(range: &RangeRequest) -> IntRange {
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
    fn new(range: &RangeRequest) -> FloatRange {
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
            Values::None | Values::Text(_) | Values::Bool(_) => {}
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
    let mut stats = Stats::default();
    for selection in selections {
        let mut present = 0;
        match selection.values(field) {
            Values::Int(values) => values.each(|_, values| {
                present += 1;
                for value in values {
                    stats.add(Datum::Int(*value));
                    stats.ints += i128::from(*value);
                }
            }),
            Values::Float(values) => values.each(|_, values| {
                present += 1;
                for value in values {
                    stats.add(Datum::Float(Float(*value)));
                    stats.floats.add(*value);
                }
            }),
            Values::None | Values::Text(_) | Values::Bool(_) => {}
        }
        stats.missing += selection.size() as u64 - present;
    }
    stats.answer()
}

#[derive(Default)]
struct Stats {
    count: u64,
    missing: u64,
    least: Option<Datum>,
    greatest: Option<Datum>,
    /// A field's values are all in one of them.
    ints: i128,
    floats: ExactSum,
}

impl Stats {
    fn add(&mut self, value: Datum) {
        self.count += 1;
        if self.least.as_ref().is_none_or(|least| value < *least) {
            self.least = Some(value.clone());
        }
        if self.greatest.as_ref().is_none_or(|greatest| value > *greatest) {
            self.greatest = Some(value);
        }
    }

    fn answer(&self) -> FacetAnswer {
        let floats = finite(self.floats.value());
        let sum = self.ints as f64 + floats;
        let is_float = matches!(self.least, Some(Datum::Float(_)));
        let exact = i64::try_from(self.ints).ok().filter(|_| !is_float);
        FacetAnswer::Stats {
            count: self.count,
            min: self.least.as_ref().and_then(value::number),
            max: self.greatest.as_ref().and_then(value::number),
            sum: match exact {
                Some(sum) => sum.into(),
                None => Number::from_f64(sum).unwrap_or_else(|| 0.into()),
            },
            mean: (self.count > 0).then(|| sum / self.count as f64),
            missing: self.missing,
        }
    }
}

/// JSON has no infinity.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(json: &str) -> RangeRequest {
        serde_json::from_str(json).unwrap()
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
