//! The kernel's clock and the wall clock.

use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

const NANOS: i128 = 1_000_000_000;

/// How far the wall clock is ahead of `CLOCK_BOOTTIME`, the clock of all kernel records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    ahead_ns: i128,
}

impl Clock {
    /// Compares the two clocks now. Taken anew for each batch of records, so that a step of the wall clock is followed.
    pub fn read() -> Self {
        let boot = nanos(clock_gettime(ClockId::Boottime));
        Self { ahead_ns: nanos(clock_gettime(ClockId::Realtime)) - boot }
    }

    /// A clock that is `ahead_ns` nanoseconds ahead.
    pub const fn ahead(ahead_ns: i128) -> Self {
        Self { ahead_ns }
    }

    /// Nanoseconds since the Unix epoch at `boot_ns` of `CLOCK_BOOTTIME`.
    pub fn unix_nanos(self, boot_ns: u64) -> u64 {
        u64::try_from(i128::from(boot_ns) + self.ahead_ns).unwrap_or(0)
    }
}

/// `CLOCK_BOOTTIME`, nanoseconds.
pub fn boot_now() -> u64 {
    u64::try_from(nanos(clock_gettime(ClockId::Boottime))).unwrap_or(0)
}

fn nanos(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * NANOS + i128::from(time.tv_nsec)
}

/// ISO 8601 in UTC with milliseconds, as `process.creation.time` is written.
pub fn iso_millis(unix_nanos: u64) -> String {
    let timestamp = Timestamp::from_nanosecond(unix_nanos.into()).unwrap_or(Timestamp::MAX);
    timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: instants around leap days and the epoch.
    /// Guarantees: the text `date -u` prints.
    #[test]
    fn writes_iso_8601() {
        assert_eq!(iso_millis(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso_millis(951_782_399_999_000_000), "2000-02-28T23:59:59.999Z");
        assert_eq!(iso_millis(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(iso_millis(1_795_509_296_123_456_789), "2026-11-24T08:34:56.123Z");
    }

    /// Scenario: a record's time and a wall clock ahead of it.
    /// Guarantees: the sum, and never a wrap below the epoch.
    #[test]
    fn converts_boot_time() {
        assert_eq!(Clock::ahead(1_000).unix_nanos(5), 1_005);
        assert_eq!(Clock::ahead(-10).unix_nanos(5), 0);
    }
}
