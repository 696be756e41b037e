//! The one place that reads a clock, and the waiting built on it.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PAUSE: Duration = Duration::from_millis(20);

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "the tests run in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the tests run in real time")]
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_nanos()).expect("a clock before 2554")
}

/// Asks `probe` until it answers; `None` when `limit` has passed.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + limit;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if now() >= deadline {
            return None;
        }
        sleep(PAUSE);
    }
}

/// As [`poll`], but panics with `what` when the time has passed.
pub fn wait_for<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> T {
    poll(limit, probe).unwrap_or_else(|| panic!("waited {limit:?} for {what}"))
}

/// Nanoseconds as seconds.
pub fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
