//! Points in time: ISO 8601 text <-> microseconds since 1970 in UTC, and intervals between them.
//!
//! What has no zone is in UTC, and a date is its midnight. Digits beyond microseconds are cut off. Only the years 0 to
//! 9999 count: there the text of all points in time has one length, so that it orders as the time does.

use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::{SignedDuration, Span};

use crate::change::DatumRef;

/// No date is written longer, also with the name of its zone.
const TEXT_BYTES_MAX: usize = 100;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// 0000-01-01T00:00:00 and the last microsecond of the year 9999.
const FIRST: i64 = -62_167_219_200_000_000;
const LAST: i64 = 253_402_300_799_999_999;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// The point in time of a value: ISO 8601 text, or an integer of milliseconds since 1970.
pub(crate) fn of<'a>(value: impl Into<DatumRef<'a>>) -> Option<i64> {
    match value.into() {
        DatumRef::Text(text) => of_text(text.trim()),
        DatumRef::Int(milliseconds) => milliseconds.checked_mul(1_000).filter(is_moment),
        _ => None,
    }
}

fn of_text(text: &str) -> Option<i64> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let local = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    let offset = match pieces.to_numeric_offset() {
        Some(offset) => offset.seconds(),
        // A zone by its name alone would need its rules.
        None if pieces.time_zone_annotation().is_some() => return None,
        None => 0,
    };
    let since = local.duration_since(EPOCH) - SignedDuration::from_secs(i64::from(offset));
    i64::try_from(since.as_nanos().div_euclid(1_000))
        .ok()
        .filter(is_moment)
}

fn is_moment(micros: &i64) -> bool {
    (FIRST..=LAST).contains(micros)
}

/// Text such as `2026-01-01T00:00:00.000000Z`; `None` outside the years 0 to 9999.
pub(crate) fn text(micros: i64) -> Option<String> {
    let time = civil(micros)?;
    Some(format!(
        "{}.{:06}Z",
        time.strftime("%Y-%m-%dT%H:%M:%S"),
        micros.rem_euclid(MICROS_PER_SECOND)
    ))
}

/// By civil time: a timestamp of the library ends a day before the year 9999 does, and that day is how databases write
/// "for ever".
fn civil(micros: i64) -> Option<DateTime> {
    let since = SignedDuration::from_micros(micros);
    EPOCH.checked_add(since).ok().filter(|_| is_moment(&micros))
}

/// How MySQL writes a date that is none.
pub(crate) fn is_zero_date(text: &str) -> bool {
    text.starts_with("0000-00-00")
}

/// What is added to a point in time: months by the calendar, the rest by the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub micros: i64,
}

/// The units of an interval's text, with what one of them is.
const UNITS: [(&str, Interval); 8] = [
    ("microsecond", Interval { months: 0, micros: 1 }),
    (
        "second",
        Interval {
            months: 0,
            micros: MICROS_PER_SECOND,
        },
    ),
    (
        "minute",
        Interval {
            months: 0,
            micros: 60 * MICROS_PER_SECOND,
        },
    ),
    (
        "hour",
        Interval {
            months: 0,
            micros: 3_600 * MICROS_PER_SECOND,
        },
    ),
    (
        "day",
        Interval {
            months: 0,
            micros: 86_400 * MICROS_PER_SECOND,
        },
    ),
    (
        "week",
        Interval {
            months: 0,
            micros: 7 * 86_400 * MICROS_PER_SECOND,
        },
    ),
    ("month", Interval { months: 1, micros: 0 }),
    (
        "year",
        Interval {
            months: 12,
            micros: 0,
        },
    ),
];

impl Interval {
    /// What an interval's text must be like.
    pub const EXPECTED: &str = "`interval '7 days'`: whole numbers of microseconds, seconds, minutes, hours, days, weeks, months or years";

    /// Parses numbers and units by turns: `7 days`, `1 month -2 hours`.
    pub fn parse(text: &str) -> Option<Interval> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (pairs, []) = words.as_chunks::<2>() else {
            return None;
        };
        if pairs.is_empty() {
            return None;
        }
        pairs.iter().try_fold(Interval::default(), |sum, [count, unit]| {
            let unit = unit.to_ascii_lowercase();
            let unit = unit.strip_suffix('s').unwrap_or(&unit);
            let (_, one) = UNITS.iter().find(|(name, _)| *name == unit)?;
            let count: i64 = count.parse().ok()?;
            let months = i32::try_from(i64::from(one.months).checked_mul(count)?).ok()?;
            Some(Interval {
                months: sum.months.checked_add(months)?,
                micros: sum.micros.checked_add(one.micros.checked_mul(count)?)?,
            })
        })
    }

    /// The same, backwards. `None` where no integer holds it.
    pub fn negated(self) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    /// The point in time so much later. A day that its month does not have becomes the last that it has.
    pub(crate) fn after(self, micros: i64) -> Option<i64> {
        let months = Span::new().try_months(self.months).ok()?;
        let shifted = civil(micros)?.checked_add(months).ok()?;
        let since = i64::try_from(shifted.duration_since(EPOCH).as_micros()).ok()?;
        since.checked_add(self.micros).filter(is_moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Datum;

    fn normal(written: &str) -> Option<String> {
        text(of(&Datum::text(written))?)
    }

    #[test]
    fn a_date_with_or_without_zone_and_time_is_one_point_in_time() {
        let midnight = Some("2026-01-01T00:00:00.000000Z".to_owned());
        for written in [
            "2026-01-01",
            " 2026-01-01T00:00 ",
            "2026-01-01 00:00:00",
            "2026-01-01T00:00:00Z",
            "2026-01-01 02:00:00+02",
            "2026-01-01T01:00:00+01:00[Europe/Berlin]",
            "2025-12-31T19:00:00.0000009-05:00",
        ] {
            assert_eq!(normal(written), midnight, "{written}");
        }
        assert_eq!(of(&Datum::Int(-1)), Some(-1_000));
        assert_eq!(
            normal("1969-12-31 23:59:59.999999").as_deref(),
            Some("1969-12-31T23:59:59.999999Z")
        );
        for none in [
            "",
            "2026-02-30",
            "soon",
            "0000-00-00",
            "+10000-01-01",
            "12:00",
            "2026-01-01T01:00[Europe/Berlin]",
        ] {
            assert_eq!(normal(none), None, "{none}");
        }
        assert_eq!(of(&Datum::Int(i64::MAX)), None);
    }

    #[test]
    fn text_orders_as_time_does() {
        let mut times = [FIRST, -1, 0, 1, 1_700_000_000_123_456, LAST, -86_400_000_001];
        times.sort();
        let texts: Vec<String> = times.iter().map(|time| text(*time).unwrap()).collect();
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(
            texts
                .iter()
                .map(|text| of(&Datum::text(text)).unwrap())
                .collect::<Vec<_>>(),
            times
        );
        assert_eq!(text(LAST + 1), None);
    }

    #[test]
    fn months_follow_the_calendar_and_hours_the_clock() {
        let check = |from: &str, interval: &str, to: &str| {
            let shifted = Interval::parse(interval)
                .unwrap()
                .after(of(&Datum::text(from)).unwrap());
            assert_eq!(shifted.and_then(text), normal(to), "{from} + {interval}");
        };
        check("2024-01-31", "1 month", "2024-02-29");
        check("2026-03-01", "-7 days", "2026-02-22");
        check("1969-12-31T23:59:59.999999", "1 microsecond", "1970-01-01");
        check("2026-03-01", "1 YEAR 2 hours", "2027-03-01T02:00");
        for wrong in [
            "",
            "7",
            "days",
            "7 fortnights",
            "1.5 days",
            "9999999999 months",
            "99999999999999 days",
        ] {
            assert_eq!(Interval::parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            Interval::parse("2000000 weeks").and_then(|interval| interval.after(0)),
            None
        );
    }
}
