//! How long to wait before the next attempt.

use std::time::Duration;

use convis_otel_config::Retry;

/// Limits of retrying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failure, before jitter.
    pub initial: Duration,
    /// Longest wait, before jitter.
    pub max: Duration,
    /// Records that could not be sent for so long after their first attempt are dropped.
    pub max_elapsed: Duration,
}

impl Default for RetryPolicy {
    /// 1 s, doubling to 30 s, for 5 minutes.
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: Duration::from_mins(5),
        }
    }
}

impl RetryPolicy {
    /// As it is for a sink with these settings of its own.
    pub(crate) fn of(self, own: &Retry) -> Self {
        Self {
            initial: own.initial.unwrap_or(self.initial),
            max: own.max.unwrap_or(self.max),
            max_elapsed: own.max_elapsed.unwrap_or(self.max_elapsed),
        }
    }
}

/// Exponential backoff with jitter.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    next: Duration,
}

impl Backoff {
    /// Begins with the shortest wait.
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, next: policy.initial.min(policy.max) }
    }

    /// The wait before the next attempt: half to one and a half times the base, which doubles each time.
    ///
    /// `at_least` is what the receiving side asked for. It is honoured up to `max_elapsed`, so that one wrong header
    /// cannot silence a sink for a day.
    pub fn next(&mut self, random: &mut fastrand::Rng, at_least: Option<Duration>) -> Duration {
        let wait = self.next.mul_f64(0.5 + random.f64());
        self.next = self.next.saturating_mul(2).min(self.policy.max);
        let at_least = at_least.unwrap_or_default().min(self.policy.max_elapsed);
        wait.max(at_least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: many failures in a row.
    /// Guarantees: each wait lies within its jitter, waits grow to the limit, and differ between lanes.
    #[test]
    fn waits_grow_within_their_jitter() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::new(RetryPolicy::default());
        for base in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let wait = backoff.next(&mut random, None).as_secs_f64();
            assert!((base * 0.5..base * 1.5).contains(&wait), "{base}: {wait}");
        }
    }

    /// Scenario: the receiving side asks for a time, once sensible and once absurd.
    /// Guarantees: it is a lower bound, up to the longest time of retrying.
    #[test]
    fn what_is_asked_for_is_a_bounded_lower_bound() {
        let mut random = fastrand::Rng::with_seed(7);
        let policy = RetryPolicy::default();
        let mut backoff = Backoff::new(policy);
        let asked = Duration::from_secs(42);
        assert_eq!(backoff.next(&mut random, Some(asked)), asked);
        assert_eq!(backoff.next(&mut random, Some(Duration::from_hours(24))), policy.max_elapsed);
    }
}
