//! convis under measurement.

use std::time::Duration;

use super::proc::Watched;
use super::sink::Sink;
use crate::clock::{poll, wait_for};
use crate::convis::Convis;
use crate::ledger::Ledger;

/// What the sink is called in convis's own figures.
const SINK: &str = "otlp";
const KINDS: [&str; 3] = ["opened", "closed", "failed"];
const PATIENCE: Duration = Duration::from_mins(1);
pub(super) const ALL_EVENTS: [&str; 2] = ["--events", "opened,updated,closed,failed"];

/// A capturing convis that sends to a receiver of ours.
pub(super) struct Agent(Convis);

impl Agent {
    /// Returns once it captures. `keys` are more keys of its sink.
    pub(super) fn start(sink: &Sink, keys: &str, arguments: &[&str]) -> Self {
        let spec = sink.spec(keys);
        let all: Vec<&str> = ["--sink", &spec].into_iter().chain(arguments.iter().copied()).collect();
        Self(Convis::start_with(&all))
    }

    /// Its process.
    pub(super) fn watched(&self) -> Watched {
        Watched(self.0.pid())
    }

    /// Its own figures.
    pub(super) fn ledger(&self) -> Ledger {
        self.0.ledger()
    }

    /// Waits until `ends` ends are told and nothing waits any more, or for a minute; its figures then.
    pub(super) fn settle(&self, ends: usize) -> Ledger {
        let settled = || {
            let ledger = self.ledger();
            let closed = ledger.kind("closed");
            let taken = closed.delivered + closed.dropped >= ends as f64;
            let quiet = KINDS.iter().all(|kind| ledger.kind(kind).pending < 0.5);
            let named = ledger.sum("convis_events_waiting", &[]).is_none_or(|waiting| waiting < 0.5);
            (taken && quiet && named && Events::of(&ledger).queued < 0.5).then_some(ledger)
        };
        poll(PATIENCE, settled).unwrap_or_else(|| self.ledger())
    }

    /// Stops it as a service manager does.
    pub(super) fn stop(self) {
        let stopped = self.0.stop();
        assert!(stopped.status.success(), "convis: {}: {}", stopped.status, stopped.stderr);
    }
}

/// What became of the events that went to the sink; of none where it takes no events.
pub(super) struct Events {
    /// Acknowledged.
    pub(super) sent: f64,
    /// Waiting.
    pub(super) queued: f64,
    /// Given up.
    pub(super) dropped: f64,
}

impl Events {
    pub(super) fn of(ledger: &Ledger) -> Self {
        let sum = |name: &str, labels: &[(&str, &str)]| ledger.sum(name, labels).unwrap_or_default();
        let lane = [("sink", SINK), ("signal", "events")];
        Self {
            sent: sum("convis_sink_records_sent_total", &lane),
            queued: sum("convis_sink_records_queued", &lane),
            dropped: sum("convis_events_dropped_total", &[("stage", SINK), ("kind", "event")]),
        }
    }
}

/// Waits until a reading of `/proc` says so.
pub(super) fn until(what: &str, done: impl Fn() -> bool) {
    wait_for(what, PATIENCE, || done().then_some(()));
}
