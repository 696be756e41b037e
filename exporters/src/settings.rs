//! What all sinks share.

use std::sync::Arc;
use std::time::Duration;

use convis_otel_config::{Delivery, EventKinds};
use tokio::sync::watch;

use crate::retry::RetryPolicy;

/// Settings that do not belong to one sink.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Longest time an event waits for others to share a request with (`OTEL_BLRP_SCHEDULE_DELAY`).
    pub event_delay: Duration,
    /// Capacity of each lane's queue, in events or metric points.
    pub queue_records: usize,
    /// Limits of retrying.
    pub retry: RetryPolicy,
    /// Events of every sink that does not say itself which ones it takes.
    pub events: Option<EventKinds>,
    /// How standard output looks.
    pub output: OutputStyle,
    /// Asks sinks to open their files again.
    pub reopen: Reopen,
    /// The wall clock: nanoseconds since the Unix epoch.
    pub now: fn() -> u64,
    /// Start of the random numbers that spread retries; differs between processes.
    pub seed: u64,
}

impl Settings {
    /// As they are for a sink with these settings of its own.
    pub(crate) fn of(&self, delivery: &Delivery) -> Self {
        Self {
            queue_records: delivery.queue_records.unwrap_or(self.queue_records),
            retry: self.retry.of(delivery),
            ..self.clone()
        }
    }
}

/// Asks sinks to open their files again, as a program that moved them away wants it. Clones ask the same sinks.
#[derive(Debug, Clone, Default)]
pub struct Reopen(Arc<watch::Sender<()>>);

impl Reopen {
    /// Asks all sinks that write files.
    pub fn ask(&self) {
        self.0.send_replace(());
    }

    pub(crate) fn asked(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// How standard output looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputStyle {
    /// A person reads it: the table's header comes again from time to time.
    pub terminal: bool,
    /// Lines may be coloured: a terminal, and `NO_COLOR` is unset.
    pub colour: bool,
}

impl Default for Settings {
    /// 1 s, 65,536 records, [`RetryPolicy::default`], no terminal, the
    /// system's clock, seed 0.
    fn default() -> Self {
        Self {
            event_delay: Duration::from_secs(1),
            queue_records: 65_536,
            retry: RetryPolicy::default(),
            events: None,
            output: OutputStyle::default(),
            reopen: Reopen::default(),
            now: unix_nanos,
            seed: 0,
        }
    }
}

/// The system's clock.
pub(crate) fn unix_nanos() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0)
}
