//! The source database's clock: it only moves when the program says so.

use jiff::Timestamp;

/// A moment, in milliseconds since 1970.
#[derive(Clone, Copy)]
pub struct Moment(pub u64);

/// 2026-03-02 08:00:00 UTC, a Monday.
pub const OPENING: Moment = Moment(1_772_438_400_000);

impl Moment {
    pub fn later(self, ms: u64) -> Moment {
        Moment(self.0 + ms)
    }

    /// Formats in UTC as `jiff` (and `strftime`) name the parts.
    pub fn format(self, format: &str) -> String {
        let timestamp = Timestamp::from_millisecond(self.0 as i64).expect("a moment of this century");
        timestamp.strftime(format).to_string()
    }

    /// TiDB's timestamp oracle: milliseconds, then 18 bits that count within one.
    pub fn tso(self) -> u64 {
        self.0 << 18
    }
}
