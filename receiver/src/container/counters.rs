//! What asking runtimes costs and brings.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Why a request to a runtime failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// Nobody listens at the address.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer did.
    Disconnected,
    /// The runtime answered with an error.
    Refused,
    /// The answer makes no sense.
    Malformed,
    /// The answer is larger than any sensible one.
    TooLarge,
    /// Something else listens there, or a runtime without this interface.
    Unsupported,
    /// More questions wait than the runtime answers.
    QueueFull,
}

impl Failure {
    /// Every kind, in the order of [`Counted::failures`].
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Timeout,
        Self::Disconnected,
        Self::Refused,
        Self::Malformed,
        Self::TooLarge,
        Self::Unsupported,
        Self::QueueFull,
    ];

    /// `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::QueueFull => "queue_full",
        }
    }

    /// Whether it says that the runtime as a whole cannot be talked to, not only about one container.
    pub(super) const fn is_of_connection(self) -> bool {
        matches!(self, Self::Connect | Self::Timeout | Self::Disconnected)
    }
}

/// Counters, shared by those who ask and those who answer.
#[derive(Debug, Default)]
pub struct Counters {
    asked: AtomicU64,
    hits: AtomicU64,
    lookups: AtomicU64,
    requests: AtomicU64,
    request_nanos: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
    known: AtomicU64,
    endpoints: AtomicU64,
    connected: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Times a container was asked for.
    pub asked: u64,
    /// Of these, answered at once with details.
    pub hits: u64,
    /// Of these, handed to the runtimes.
    pub lookups: u64,
    /// Requests to runtimes, whatever for.
    pub requests: u64,
    /// Time that all of these took together.
    pub request_time: Duration,
    /// Failed requests by kind, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// Containers whose details are held.
    pub known: u64,
    /// Addresses at which a runtime is, or was once.
    pub endpoints: u64,
    /// Of these, the ones that can be asked now.
    pub connected: u64,
}

impl Counted {
    /// Failed requests of one kind.
    pub const fn failed(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }
}

impl Counters {
    /// The present values.
    pub fn snapshot(&self) -> Counted {
        Counted {
            asked: self.asked.load(Relaxed),
            hits: self.hits.load(Relaxed),
            lookups: self.lookups.load(Relaxed),
            requests: self.requests.load(Relaxed),
            request_time: Duration::from_nanos(self.request_nanos.load(Relaxed)),
            failures: std::array::from_fn(|index| self.failures[index].load(Relaxed)),
            known: self.known.load(Relaxed),
            endpoints: self.endpoints.load(Relaxed),
            connected: self.connected.load(Relaxed),
        }
    }

    pub(super) fn count_ask(&self, hit: bool) {
        self.asked.fetch_add(1, Relaxed);
        self.hits.fetch_add(u64::from(hit), Relaxed);
    }

    pub(super) fn count_lookup(&self) {
        self.lookups.fetch_add(1, Relaxed);
    }

    pub(super) fn count_request(&self, took: Duration, failure: Option<Failure>) {
        self.requests.fetch_add(1, Relaxed);
        self.request_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        if let Some(failure) = failure {
            self.count_failure(failure);
        }
    }

    pub(super) fn count_failure(&self, failure: Failure) {
        self.failures[failure as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn set_known(&self, known: usize) {
        self.known.store(known as u64, Relaxed);
    }

    pub(super) fn count_endpoint(&self) {
        self.endpoints.fetch_add(1, Relaxed);
    }

    /// An endpoint that can be asked, while this lives.
    pub(super) fn connected(&self) -> Connected<'_> {
        self.connected.fetch_add(1, Relaxed);
        Connected(self)
    }
}

/// See [`Counters::connected`].
#[derive(Debug)]
pub(super) struct Connected<'a>(&'a Counters);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: requests that succeed and fail.
    /// Guarantees: each failure is counted under its kind; the time of all is summed.
    #[test]
    fn counts_by_kind() {
        let counters = Counters::default();
        counters.count_request(Duration::from_millis(2), None);
        counters.count_request(Duration::from_millis(3), Some(Failure::Timeout));
        counters.count_failure(Failure::QueueFull);
        let counted = counters.snapshot();
        assert_eq!((counted.requests, counted.request_time), (2, Duration::from_millis(5)));
        for (index, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
            let expected = u64::from(matches!(failure, Failure::Timeout | Failure::QueueFull));
            assert_eq!(counted.failed(failure), expected, "{}", failure.as_str());
        }
        drop(counters.connected());
        assert_eq!(counters.snapshot().connected, 0);
    }
}
