//! Dates and times that came as numbers -> ISO 8601 text, which orders as the time does.
//!
//! What lies outside the years 0 to 9999 has no such text and is `None`: PostgreSQL's `infinity`, mostly.

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// The limits of MySQL's TIME; PostgreSQL's lie within.
const TIME_SECONDS_MAX: u64 = 838 * 3_600 + 59 * 60 + 59;
/// The last millisecond of the year 9999.
const MILLISECONDS_MAX: u64 = 253_402_300_799_999;

impl Unit {
    /// The unit in which a point in time of our era is this large: milliseconds end with the year 9999, and so on.
    ///
    /// Microseconds within eight years of 1970 look like milliseconds; a type with a precision tells them apart.
    pub fn by_magnitude(value: i64) -> Unit {
        match value.unsigned_abs() {
            small if small <= MILLISECONDS_MAX => Unit::Milliseconds,
            middle if middle <= MILLISECONDS_MAX * 1_000 => Unit::Microseconds,
            _ => Unit::Nanoseconds,
        }
    }

    /// The unit that Debezium's default (`adaptive`) uses for a fraction of so many digits.
    pub fn by_precision(digits: u32) -> Unit {
        match digits {
            0..=3 => Unit::Milliseconds,
            4..=6 => Unit::Microseconds,
            _ => Unit::Nanoseconds,
        }
    }

    fn duration(self, value: i64) -> SignedDuration {
        match self {
            Unit::Milliseconds => SignedDuration::from_millis(value),
            Unit::Microseconds => SignedDuration::from_micros(value),
            Unit::Nanoseconds => SignedDuration::from_nanos(value),
        }
    }
}

/// Days since 1970-01-01 as `2024-02-29`.
pub(super) fn date(days: i64) -> Option<String> {
    let seconds = days.checked_mul(86_400)?;
    Some(
        since_epoch(SignedDuration::from_secs(seconds))?
            .date()
            .to_string(),
    )
}

/// Time since 1970-01-01 as `2024-02-29T23:59:59.123456`.
pub(super) fn date_time(value: i64, unit: Unit) -> Option<String> {
    Some(since_epoch(unit.duration(value))?.to_string())
}

/// Time since midnight as `12:34:56.789`; an interval may be negative or longer than a day.
pub(super) fn time(value: i64, unit: Unit) -> Option<String> {
    let duration = unit.duration(value);
    let sign = if duration.is_negative() { "-" } else { "" };
    let duration = duration.unsigned_abs();
    let seconds = duration.as_secs();
    if seconds > TIME_SECONDS_MAX {
        return None;
    }
    let mut text = format!(
        "{sign}{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    if duration.subsec_nanos() != 0 {
        let fraction = format!(".{:09}", duration.subsec_nanos());
        text.push_str(fraction.trim_end_matches('0'));
    }
    Some(text)
}

fn since_epoch(duration: SignedDuration) -> Option<DateTime> {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    epoch
        .checked_add(duration)
        .ok()
        .filter(|moment| moment.year() >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Unit::*;

    #[test]
    fn numbers_become_iso_text() {
        assert_eq!(date(19782).as_deref(), Some("2024-02-29"));
        assert_eq!(date(0).as_deref(), Some("1970-01-01"));
        assert_eq!(date(-1).as_deref(), Some("1969-12-31"));
        assert_eq!(date(2932896).as_deref(), Some("9999-12-31"));
        assert_eq!(
            date_time(1709251199123456, Microseconds).as_deref(),
            Some("2024-02-29T23:59:59.123456")
        );
        assert_eq!(
            date_time(2147483648000000, Microseconds).as_deref(),
            Some("2038-01-19T03:14:08")
        );
        assert_eq!(
            date_time(-1, Microseconds).as_deref(),
            Some("1969-12-31T23:59:59.999999")
        );
        assert_eq!(
            date_time(MILLISECONDS_MAX as i64, Milliseconds).as_deref(),
            Some("9999-12-31T23:59:59.999")
        );
        assert_eq!(
            date_time(1709251199123456789, Nanoseconds).as_deref(),
            Some("2024-02-29T23:59:59.123456789")
        );
        assert_eq!(time(45296789000, Microseconds).as_deref(), Some("12:34:56.789"));
        assert_eq!(time(-3723004000, Microseconds).as_deref(), Some("-01:02:03.004"));
        assert_eq!(time(-3020399000, Milliseconds).as_deref(), Some("-838:59:59"));
        assert_eq!(time(0, Nanoseconds).as_deref(), Some("00:00:00"));
    }

    #[test]
    fn what_has_no_iso_text_is_none() {
        for days in [2932897, -622191234, i64::MAX, i64::MIN, -719529] {
            assert_eq!(date(days), None, "{days}");
        }
        for value in [9223372036825200000, i64::MIN, i64::MAX] {
            assert_eq!(date_time(value, Microseconds), None, "{value}");
            assert_eq!(time(value, Microseconds), None, "{value}");
        }
    }

    #[test]
    fn a_moment_tells_its_unit_by_its_size() {
        for (value, unit) in [
            (1709251199123, Milliseconds),
            (1709251199123456, Microseconds),
            (1709251199123456789, Nanoseconds),
            (-1, Milliseconds),
            (i64::MIN, Nanoseconds),
        ] {
            assert_eq!(Unit::by_magnitude(value), unit, "{value}");
        }
    }
}
