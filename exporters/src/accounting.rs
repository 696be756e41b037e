//! What happened to every record a sink was given.
//!
//! A record is one event or one metric point. Whenever nothing is in motion,
//! `accepted == sent + queued + dropped` holds for each lane of each sink, and `queued` is what waits in its queue or is
//! on its way.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why records were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The sink's queue had no room for the batch.
    QueueFull,
    /// The receiving side refused them for good.
    Rejected,
    /// They could not be sent within the longest time of retrying, or at once where that is not wanted.
    Expired,
    /// A single record was larger than a request may be.
    TooLarge,
    /// convis stopped before they were sent.
    Shutdown,
    /// What was stored could not be read back.
    Unreadable,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::QueueFull, Self::Rejected, Self::Expired, Self::TooLarge, Self::Shutdown, Self::Unreadable];

    /// The attribute `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
            Self::Shutdown => "shutdown",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Why an export failed, told apart by what an operator does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorType {
    /// No connection: check address, network and that the receiver runs.
    Unreachable,
    /// TLS failed: check certificates and the scheme of the endpoint.
    Tls,
    /// The receiver says that it cannot take anything now: check its health.
    Unavailable,
    /// No answer in time: check the receiver's load or raise the timeout.
    Timeout,
    /// The receiver asks for less: send less or raise the limit there.
    Throttled,
    /// Credentials are missing, wrong or not enough.
    Unauthenticated,
    /// Nothing speaks this protocol there: check path, port and protocol.
    NotFound,
    /// The request is larger than the receiver takes.
    TooLarge,
    /// The receiver refused the request for good.
    Rejected,
    /// The receiver took the request but refused some of its records.
    PartialSuccess,
    /// The receiver failed while working on the request.
    ServerError,
    /// The answer made no sense: check that the endpoint is what it should be.
    InvalidResponse,
    /// Writing to a local output failed.
    Output,
    /// Writing to the storage directory failed: check the disk.
    Storage,
}

impl ErrorType {
    /// All types, in the order of their discriminants.
    pub const ALL: [Self; 14] = [
        Self::Unreachable,
        Self::Tls,
        Self::Unavailable,
        Self::Timeout,
        Self::Throttled,
        Self::Unauthenticated,
        Self::NotFound,
        Self::TooLarge,
        Self::Rejected,
        Self::PartialSuccess,
        Self::ServerError,
        Self::InvalidResponse,
        Self::Output,
        Self::Storage,
    ];

    /// The attribute `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::PartialSuccess => "partial_success",
            Self::ServerError => "server_error",
            Self::InvalidResponse => "invalid_response",
            Self::Output => "output",
            Self::Storage => "storage",
        }
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Upper bounds of the export duration's buckets, in seconds; one more bucket lies beyond the last.
pub const DURATION_BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const DURATION_BUCKETS: usize = DURATION_BOUNDS.len() + 1;

/// Counters of one lane; shared between the side that offers, the side that sends, and whoever reports.
#[derive(Debug, Default)]
pub struct SinkStats {
    accepted: AtomicU64,
    sent: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    stored: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    failures: [AtomicU64; ErrorType::ALL.len()],
    duration_nanos: AtomicU64,
    duration_buckets: [AtomicU64; DURATION_BUCKETS],
}

/// The counters of a lane at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatsSnapshot {
    /// Records offered, also those that found the queue full.
    pub accepted: u64,
    /// Records that the receiving side acknowledged.
    pub sent: u64,
    /// Records dropped, by [`DropReason`] in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Records that outlive the process: of those queued, and of those whose outcome is not yet on disk.
    pub stored: u64,
    /// Attempts to export, retries included.
    pub requests: u64,
    /// Attempts after the first of a request.
    pub retries: u64,
    /// Attempts that failed, by [`ErrorType`] in the order of [`ErrorType::ALL`].
    pub failures: [u64; ErrorType::ALL.len()],
    /// Time spent in all attempts.
    pub duration_sum: Duration,
    /// Attempts per bucket of [`DURATION_BOUNDS`].
    pub duration_buckets: [u64; DURATION_BUCKETS],
}

impl StatsSnapshot {
    /// Adds what another lane counted.
    pub fn add(&mut self, other: &Self) {
        let Self {
            accepted,
            sent,
            dropped,
            stored,
            requests,
            retries,
            failures,
            duration_sum,
            duration_buckets,
        } = self;
        *accepted += other.accepted;
        *sent += other.sent;
        *stored += other.stored;
        *requests += other.requests;
        *retries += other.retries;
        *duration_sum += other.duration_sum;
        let counters = dropped.iter_mut().chain(failures).chain(duration_buckets);
        let others = other.dropped.iter().chain(&other.failures).chain(&other.duration_buckets);
        counters.zip(others).for_each(|(counter, other)| *counter += other);
    }

    /// Records dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Records that wait or are on their way.
    pub fn queued(&self) -> u64 {
        self.accepted.saturating_sub(self.sent).saturating_sub(self.dropped_total())
    }

    /// Records dropped for `reason`.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Attempts that failed with `error`.
    pub fn failures_of(&self, error: ErrorType) -> u64 {
        self.failures[error as usize]
    }
}

impl SinkStats {
    /// Reads all counters. Outcomes are read before what was accepted, so `queued` never comes out too small.
    pub fn snapshot(&self) -> StatsSnapshot {
        let sent = self.sent.load(Ordering::Acquire);
        let dropped = self.dropped.each_ref().map(|count| count.load(Ordering::Acquire));
        StatsSnapshot {
            accepted: self.accepted.load(Ordering::Acquire),
            sent,
            dropped,
            stored: self.stored.load(Ordering::Acquire),
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            failures: self.failures.each_ref().map(|count| count.load(Ordering::Relaxed)),
            duration_sum: Duration::from_nanos(self.duration_nanos.load(Ordering::Relaxed)),
            duration_buckets: self.duration_buckets.each_ref().map(|count| count.load(Ordering::Relaxed)),
        }
    }

    /// Records that wait or are on their way.
    pub fn queued(&self) -> u64 {
        self.snapshot().queued()
    }

    pub(crate) fn accept(&self, records: u64) {
        self.accepted.fetch_add(records, Ordering::Release);
    }

    pub(crate) fn send(&self, records: u64) {
        self.sent.fetch_add(records, Ordering::Release);
    }

    pub(crate) fn drop_records(&self, reason: DropReason, records: u64) {
        self.dropped[reason as usize].fetch_add(records, Ordering::Release);
    }

    /// So many records are in the store now.
    pub(crate) fn store(&self, records: u64) {
        self.stored.store(records, Ordering::Release);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fail(&self, error: ErrorType) {
        self.failures[error as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One attempt took this long, whatever came of it.
    pub(crate) fn attempt(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = DURATION_BOUNDS.partition_point(|bound| *bound < seconds);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.duration_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.duration_buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every variant is used as an index.
    /// Guarantees: `ALL` lists each once, in the order of the discriminants, with distinct names.
    #[test]
    fn indexes_and_names_are_distinct() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, error) in ErrorType::ALL.into_iter().enumerate() {
            assert_eq!(error as usize, index);
        }
        let mut names = ErrorType::ALL.map(ErrorType::as_str);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    /// Scenario: records take each of their ways.
    /// Guarantees: what is left is queued, and durations land in the bucket whose bound they do not exceed.
    #[test]
    fn counts_add_up() {
        let stats = SinkStats::default();
        stats.accept(10);
        stats.send(3);
        stats.drop_records(DropReason::Expired, 2);
        stats.attempt(Duration::from_millis(5));
        stats.attempt(Duration::from_mins(1));
        let snapshot = stats.snapshot();
        assert_eq!(snapshot.queued(), 5);
        assert_eq!(snapshot.dropped_for(DropReason::Expired), 2);
        assert_eq!(snapshot.requests, 2);
        assert_eq!((snapshot.duration_buckets[0], snapshot.duration_buckets[11]), (1, 1));
    }
}
