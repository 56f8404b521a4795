//! The documents of each minute, day, month or year, in UTC.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};
use rustc_hash::FxHashMap;

use super::answer::{DateBucket, FacetAnswer};
use super::numbers::BUCKETS_MAX;
use super::plan::{Facet, bad};
use super::request::CalendarInterval;
use crate::change::DatumRef;
use crate::definition::moment;
use crate::index::keyword::{Selection, Values};
use crate::query::QueryError;

// In microseconds, as everything here.
const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// 1970 began on a Thursday: so long after a Monday.
const AFTER_MONDAY: i64 = 3 * DAY;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Counts a field of dates, or of milliseconds since 1970. What no calendar has is counted as missing.
pub(super) fn histogram(
    selections: &[Selection<'_>],
    facet: &Facet,
    interval: CalendarInterval,
) -> Result<FacetAnswer, QueryError> {
    let mut counts: FxHashMap<i64, u64> = FxHashMap::default();
    let mut calendar = Calendar::new(interval);
    let mut missing = 0;
    for selection in selections {
        let mut present = 0;
        let mut add = |moments: &mut dyn Iterator<Item = i64>| {
            let mut last = None;
            for start in moments.filter_map(|moment| calendar.start_of(moment)) {
                // Values ascend, so those of one interval are neighbours: a document counts there once.
                if last.replace(start) != Some(start) {
                    *counts.entry(start).or_default() += 1;
                }
            }
            present += u64::from(last.is_some());
        };
        match selection.values(facet.field) {
            Values::Moment(values) => values.each(|_, values| add(&mut values.iter().copied())),
            Values::Int(values) => values.each(|_, values| {
                add(&mut values
                    .iter()
                    .filter_map(|value| moment::of(DatumRef::Int(*value))));
            }),
            // Planned for these two alone.
            Values::None | Values::Text(_) | Values::Float(_) | Values::Bool(_) | Values::Place(_) => {}
        }
        missing += selection.size() as u64 - present;
    }
    if counts.len() > BUCKETS_MAX {
        return Err(bad(
            format!("the facet `{}` has {} intervals", facet.name, counts.len()),
            format!("choose `interval` for at most {BUCKETS_MAX}"),
        ));
    }
    let mut counts: Vec<(i64, u64)> = counts.into_iter().collect();
    counts.sort_unstable();
    let bucket = |(start, count)| {
        let from = civil(start)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Some(DateBucket { from, count })
    };
    Ok(FacetAnswer::DateHistogram {
        date_histogram: counts.into_iter().filter_map(bucket).collect(),
        missing,
    })
}

/// When intervals begin.
struct Calendar {
    interval: CalendarInterval,
    /// By day since 1970, of intervals that differ in length: most documents share their days.
    starts: FxHashMap<i64, Option<i64>>,
}

impl Calendar {
    fn new(interval: CalendarInterval) -> Calendar {
        Calendar {
            interval,
            starts: FxHashMap::default(),
        }
    }

    /// When the interval began that a moment lies in.
    fn start_of(&mut self, moment: i64) -> Option<i64> {
        let floor = |unit: i64| Some(moment.div_euclid(unit) * unit);
        let first_day: fn(Date) -> Date = match self.interval {
            CalendarInterval::Minute => return floor(MINUTE),
            CalendarInterval::Hour => return floor(HOUR),
            CalendarInterval::Day => return floor(DAY),
            CalendarInterval::Week => {
                return Some((moment + AFTER_MONDAY).div_euclid(7 * DAY) * (7 * DAY) - AFTER_MONDAY);
            }
            CalendarInterval::Month => Date::first_of_month,
            CalendarInterval::Quarter => first_of_quarter,
            CalendarInterval::Year => Date::first_of_year,
        };
        let midnight = || {
            let first = first_day(civil(moment)?.date()).to_datetime(jiff::civil::Time::midnight());
            i64::try_from(first.duration_since(EPOCH).as_micros()).ok()
        };
        *self.starts.entry(moment.div_euclid(DAY)).or_insert_with(midnight)
    }
}

fn first_of_quarter(date: Date) -> Date {
    let month = (date.month() - 1) / 3 * 3 + 1;
    Date::new(date.year(), month, 1).unwrap_or(date)
}

/// By civil time: a timestamp of the library ends a day before the year 9999 does.
fn civil(micros: i64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_micros(micros)).ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn an_interval_begins_where_the_calendar_says() {
        use CalendarInterval::{Day, Hour, Minute, Month, Quarter, Week, Year};
        let start = |interval, moment: &str| {
            let moment: Timestamp = moment.parse().unwrap();
            let start = Calendar::new(interval).start_of(moment.as_microsecond()).unwrap();
            Timestamp::from_microsecond(start).unwrap().to_string()
        };
        for (interval, moment, expected) in [
            (Minute, "2026-08-31T23:59:59.999Z", "2026-08-31T23:59:00Z"),
            (Hour, "2026-08-31T23:59:59Z", "2026-08-31T23:00:00Z"),
            (Day, "1969-12-31T12:00:00Z", "1969-12-31T00:00:00Z"),
            // A Sunday and the Monday behind it, on both sides of 1970.
            (Week, "2026-11-22T23:00:00Z", "2026-11-16T00:00:00Z"),
            (Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Week, "1969-12-28T23:00:00Z", "1969-12-22T00:00:00Z"),
            (Week, "1970-01-01T00:00:00Z", "1969-12-29T00:00:00Z"),
            (Month, "2024-02-29T10:00:00Z", "2024-02-01T00:00:00Z"),
            (Quarter, "2026-12-31T00:00:00Z", "2026-10-01T00:00:00Z"),
            (Quarter, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            (Year, "1969-07-20T20:17:40Z", "1969-01-01T00:00:00Z"),
        ] {
            assert_eq!(start(interval, moment), expected, "{interval:?} of {moment}");
        }
        // Databases write "for ever" so.
        let last = moment::of(DatumRef::Text("9999-12-31 23:59:59")).unwrap();
        let start = Calendar::new(Year).start_of(last);
        assert_eq!(start, moment::of(DatumRef::Text("9999-01-01")));
    }
}
