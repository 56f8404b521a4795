//! The documents of each minute, day, month or year, in UTC.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::answer::{DateBucket, FacetAnswer};
use super::numbers::BUCKETS_MAX;
use super::plan::{Facet, bad};
use super::request::CalendarInterval;
use crate::index::keyword::{Selection, Values};
use crate::query::QueryError;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// 1970 began on a Thursday: so long after a Monday.
const AFTER_MONDAY: i64 = 3 * DAY;

/// Counts a field of milliseconds since 1970. What no calendar has is counted as missing.
pub(super) fn histogram(
    selections: &[Selection<'_>],
    facet: &Facet,
    interval: CalendarInterval,
) -> Result<FacetAnswer, QueryError> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    let mut missing = 0;
    for selection in selections {
        let mut present = 0;
        if let Values::Int(values) = selection.values(facet.field) {
            values.each(|_, values| {
                let mut last = None;
                for start in values.iter().filter_map(|value| start_of(interval, *value)) {
                    // Values ascend, so those of one interval are neighbours: a document counts there once.
                    if last.replace(start) != Some(start) {
                        *counts.entry(start).or_default() += 1;
                    }
                }
                present += u64::from(last.is_some());
            });
        }
        missing += selection.size() as u64 - present;
    }
    if counts.len() > BUCKETS_MAX {
        return Err(bad(
            format!("the facet `{}` has {} intervals", facet.name, counts.len()),
            format!("choose `interval` for at most {BUCKETS_MAX}"),
        ));
    }
    let bucket = |(start, count): (i64, u64)| {
        let from = Timestamp::from_millisecond(start).ok()?.to_string();
        Some(DateBucket { from, count })
    };
    Ok(FacetAnswer::DateHistogram {
        date_histogram: counts.into_iter().filter_map(bucket).collect(),
        missing,
    })
}

/// When the interval began that a moment lies in, both in milliseconds since 1970.
fn start_of(interval: CalendarInterval, moment: i64) -> Option<i64> {
    let timestamp = Timestamp::from_millisecond(moment).ok()?;
    let floor = |unit: i64| Some(moment.div_euclid(unit) * unit);
    let date = || timestamp.to_zoned(TimeZone::UTC).date();
    match interval {
        CalendarInterval::Minute => floor(MINUTE),
        CalendarInterval::Hour => floor(HOUR),
        CalendarInterval::Day => floor(DAY),
        CalendarInterval::Week => {
            Some((moment + AFTER_MONDAY).div_euclid(7 * DAY) * (7 * DAY) - AFTER_MONDAY)
        }
        CalendarInterval::Month => midnight(date().first_of_month()),
        CalendarInterval::Quarter => {
            let date = date().first_of_month();
            let months = (date.month() - 1) % 3;
            midnight(date.checked_sub(months.months()).ok()?)
        }
        CalendarInterval::Year => midnight(date().first_of_year()),
    }
}

fn midnight(date: Date) -> Option<i64> {
    let midnight = date.to_zoned(TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_begins_where_the_calendar_says() {
        use CalendarInterval::{Day, Hour, Minute, Month, Quarter, Week, Year};
        let start = |interval, moment: &str| {
            let moment: Timestamp = moment.parse().unwrap();
            let start = start_of(interval, moment.as_millisecond()).unwrap();
            Timestamp::from_millisecond(start).unwrap().to_string()
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
        assert_eq!(start_of(Week, i64::MAX), None);
        assert_eq!(start_of(Day, i64::MIN), None);
    }
}
