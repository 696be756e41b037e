//! How long to wait before the next attempt.

use std::time::Duration;

use convis_otel_config::Delivery;

/// Longest wait that a receiving side can ask for, and default of [`RetryPolicy::max_elapsed`].
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// Limits of retrying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Whether a failure that may pass is tried again at all.
    pub enabled: bool,
    /// Wait after the first failure, before jitter.
    pub initial: Duration,
    /// Longest wait, before jitter.
    pub max: Duration,
    /// Records that could not be sent for so long after their first attempt are dropped; `None` never gives up.
    pub max_elapsed: Option<Duration>,
}

impl Default for RetryPolicy {
    /// 1 s, doubling to 30 s, for 5 minutes.
    fn default() -> Self {
        Self {
            enabled: true,
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: Some(LONGEST_ASKED),
        }
    }
}

impl RetryPolicy {
    /// As it is for a sink with these settings of its own. Records that are stored wait for ever unless it says
    /// otherwise: their place is bounded, their time need not be.
    pub(crate) fn of(self, own: &Delivery) -> Self {
        let unsaid = if own.storage.is_some() { None } else { self.max_elapsed };
        let retry = &own.retry;
        Self {
            enabled: self.enabled && retry.enabled,
            initial: retry.initial.unwrap_or(self.initial),
            max: retry.max.unwrap_or(self.max),
            max_elapsed: match retry.max_elapsed {
                None => unsaid,
                Some(Duration::ZERO) => None,
                limit => limit,
            },
        }
    }

    /// Whether the next attempt, after `waited` since the first, would come too late.
    pub(crate) fn gives_up(&self, waited: Duration) -> bool {
        !self.enabled || self.max_elapsed.is_some_and(|limit| waited > limit)
    }
}

/// Exponential backoff with jitter.
#[derive(Debug, Clone)]
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
    /// `at_least` is what the receiving side asked for. It is honoured up to `max_elapsed`, or five minutes where that has
    /// no end, so that one wrong header cannot silence a sink for a day.
    pub fn next(&mut self, random: &mut fastrand::Rng, at_least: Option<Duration>) -> Duration {
        let wait = self.next.mul_f64(0.5 + random.f64());
        self.next = self.next.saturating_mul(2).min(self.policy.max);
        let at_least = at_least.unwrap_or_default().min(self.policy.max_elapsed.unwrap_or(LONGEST_ASKED));
        wait.max(at_least)
    }
}

#[cfg(test)]
mod tests {
    use convis_otel_config::{Retry, Storage};

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
        assert_eq!(Some(backoff.next(&mut random, Some(Duration::from_hours(24)))), policy.max_elapsed);
        let endless = RetryPolicy { max_elapsed: None, ..policy };
        let wait = Backoff::new(endless).next(&mut random, Some(Duration::from_hours(24)));
        assert_eq!(wait, Duration::from_mins(5));
    }

    /// Scenario: a sink says nothing, has storage, sets a limit, lifts it, or wants no retry.
    /// Guarantees: the default of five minutes holds only for what waits in memory; what is said counts.
    #[test]
    fn a_sinks_own_settings_count() {
        let storage = || Some(Storage { directory: "/x".into(), max_bytes: 1 });
        let of =
            |storage, retry| RetryPolicy::default().of(&Delivery { storage, retry, ..Delivery::default() });
        let limited = |seconds| Retry { max_elapsed: Some(Duration::from_secs(seconds)), ..Retry::default() };
        assert_eq!(of(None, Retry::default()), RetryPolicy::default());
        assert_eq!(of(storage(), Retry::default()).max_elapsed, None);
        assert_eq!(of(storage(), limited(7)).max_elapsed, Some(Duration::from_secs(7)));
        assert_eq!(of(None, limited(0)).max_elapsed, None);
        let policy = of(None, limited(7));
        let waits = [Duration::from_secs(7), Duration::from_secs(8)];
        assert_eq!(waits.map(|waited| policy.gives_up(waited)), [false, true]);
        let once = of(storage(), Retry { enabled: false, ..Retry::default() });
        assert!(once.gives_up(Duration::ZERO));
        assert!(!of(None, limited(0)).gives_up(Duration::from_hours(1000)));
    }
}
