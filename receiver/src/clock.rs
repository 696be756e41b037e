//! The kernel's clock and the wall clock.

use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

const NANOS: i128 = 1_000_000_000;

/// How far the wall clock is ahead of `CLOCK_BOOTTIME`, the clock of all kernel records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    ahead_ns: i128,
}

/// A comparison of the two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    ahead_ns: i128,
    /// By how much it may be wrong: the thread can be held up between the looks at the two.
    within_ns: i128,
}

impl Reading {
    /// The closest of a few.
    fn take() -> Self {
        const TRIES: usize = 4;
        let readings = std::iter::repeat_with(Self::once).take(TRIES);
        readings.min_by_key(|reading| reading.within_ns).unwrap_or(Self { ahead_ns: 0, within_ns: i128::MAX })
    }

    fn once() -> Self {
        let before = nanos(clock_gettime(ClockId::Boottime));
        let wall = nanos(clock_gettime(ClockId::Realtime));
        let after = nanos(clock_gettime(ClockId::Boottime));
        let within_ns = (after - before) / 2;
        Self { ahead_ns: wall - before - within_ns, within_ns }
    }
}

impl Clock {
    /// Compares the two clocks now.
    pub fn read() -> Self {
        Self { ahead_ns: Reading::take().ahead_ns }
    }

    /// The same clock, unless the wall clock was set meanwhile: both run at the same rate, so nothing else moves them apart,
    /// and a connection's events stay in their order.
    #[must_use]
    pub fn followed(self) -> Self {
        self.following(Reading::take())
    }

    fn following(self, reading: Reading) -> Self {
        const SET_NS: i128 = 1_000_000;
        let apart = (reading.ahead_ns - self.ahead_ns).abs();
        if apart > SET_NS + reading.within_ns { Self { ahead_ns: reading.ahead_ns } } else { self }
    }

    /// A clock that is `ahead_ns` nanoseconds ahead.
    pub const fn ahead(ahead_ns: i128) -> Self {
        Self { ahead_ns }
    }

    /// How far it is ahead, nanoseconds.
    pub const fn ahead_ns(self) -> i128 {
        self.ahead_ns
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
    format!("{timestamp:.3}")
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

    /// Scenario: readings that differ by what a held-up thread causes, and one after the wall clock was set.
    /// Guarantees: only the latter moves the clock.
    #[test]
    fn follows_only_a_clock_that_was_set() {
        let clock = Clock::ahead(5_000_000_000);
        for (ahead_ns, within_ns) in [(5_000_000_300, 50), (5_000_900_000, 0), (5_009_000_000, 9_000_000)] {
            assert_eq!(clock.following(Reading { ahead_ns, within_ns }), clock);
        }
        assert_eq!(clock.following(Reading { ahead_ns: 3_000, within_ns: 50 }), Clock::ahead(3_000));
    }

    /// Scenario: a record's time and a wall clock ahead of it.
    /// Guarantees: the sum, and never a wrap below the epoch.
    #[test]
    fn converts_boot_time() {
        assert_eq!(Clock::ahead(1_000).unix_nanos(5), 1_005);
        assert_eq!(Clock::ahead(-10).unix_nanos(5), 0);
    }
}
