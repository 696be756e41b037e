//! What convis tells of itself: one list of families, for `/metrics` and for OTLP.

mod containers;
mod left_out;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use convis_ebpf::wire::{Counters, map_error};
use convis_exporters::{DropReason, ErrorType, LaneStats, Signal, StatsSnapshot};

use crate::ledger::{Delivered, KINDS, Terms};
use crate::track::LeftOut;
use crate::{container, nat};

/// What the capture task publishes after each drain.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// The kernel's counters, read after the ring was drained.
    pub counters: Counters,
    /// What was taken.
    pub delivered: Delivered,
    /// Runs of a program that the kernel skipped.
    pub skipped: u64,
    /// Connections whose end was missed.
    pub missed_ends: u64,
    /// Ends left out in user space.
    pub own_ends: u64,
    /// Events left out by policy.
    pub left_out: LeftOut,
    /// Connections open now.
    pub connections: usize,
    /// Processes held.
    pub processes: usize,
    /// Metric Resources.
    pub resources: usize,
    /// Measurements that went to an overflow set.
    pub overflowed: u64,
    /// Containers and peers.
    pub containers: Containers,
}

/// What it takes to say who is concerned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Containers {
    /// Containers, pods and services known.
    pub workloads: usize,
    /// Events that went out without the names of their container.
    pub unnamed: u64,
    /// Events that wait for names, or for the record of the other end.
    pub waiting: usize,
    /// What asking the runtimes came to.
    pub asked: container::Counted,
    /// What asking for address translations came to.
    pub translated: nat::Counted,
}

/// Shared between the capture task and those who ask.
#[derive(Debug)]
pub struct Status {
    ready: AtomicBool,
    snapshot: Mutex<Option<Snapshot>>,
    lanes: Mutex<Vec<LaneStats>>,
}

/// What all lanes of one name and signal have counted.
#[derive(Debug, Clone)]
pub struct LaneTotal {
    /// Name of the sink.
    pub sink: Arc<str>,
    /// What the lanes carry.
    pub signal: Signal,
    /// Their counters.
    pub counted: StatsSnapshot,
}

/// How a family adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Rises and falls.
    Gauge,
}

/// A value with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Key and value of each label.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: u64,
}

/// One self-telemetry metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// How it adds up.
    pub kind: Kind,
    /// One sentence.
    pub description: &'static str,
    /// Its values.
    pub samples: Vec<Sample>,
}

impl Status {
    /// Nothing captured yet.
    pub fn new(lanes: Vec<LaneStats>) -> Self {
        Self { ready: AtomicBool::new(false), snapshot: Mutex::new(None), lanes: Mutex::new(lanes) }
    }

    /// Every hook is attached.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether convis captures.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Publishes the newest figures.
    pub fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }

    /// The newest figures.
    pub fn snapshot(&self) -> Option<Snapshot> {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts further lanes in; those that are known already stay.
    pub fn watch(&self, lanes: impl IntoIterator<Item = LaneStats>) {
        let mut known = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in lanes {
            if !known.iter().any(|known| Arc::ptr_eq(&known.stats, &lane.stats)) {
                known.push(lane);
            }
        }
    }

    /// The counters of every sink's lanes, those of sinks that are gone included: a sink that follows another of its name
    /// counts on.
    pub fn lanes(&self) -> Vec<LaneTotal> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals: Vec<LaneTotal> = Vec::with_capacity(lanes.len());
        for lane in lanes.iter() {
            let counted = lane.stats.snapshot();
            match totals.iter_mut().find(|total| (&total.sink, total.signal) == (&lane.sink, lane.signal)) {
                Some(total) => total.counted.add(&counted),
                None => totals.push(LaneTotal { sink: Arc::clone(&lane.sink), signal: lane.signal, counted }),
            }
        }
        totals
    }

    /// Every family with its present values.
    pub fn families(&self) -> Vec<Family> {
        let mut dropped = Family {
            name: "convis.events.dropped",
            unit: "{event}",
            kind: Kind::Counter,
            description: "Lost, by where and why.",
            samples: Vec::new(),
        };
        let mut families = Vec::new();
        if let Some(snapshot) = self.snapshot() {
            families.extend(ledger_families(&snapshot, &mut dropped));
            families.extend(table_families(&snapshot));
            families.extend(left_out::families(&snapshot.left_out));
            families.extend(containers::families(&snapshot.containers));
            families.extend([lost_bytes(&snapshot.counters), ledger_errors(&snapshot.counters)]);
        }
        families.extend(sink_families(&self.lanes(), &mut dropped));
        families.push(dropped);
        families
    }

    /// The families as Prometheus text.
    pub fn prometheus_text(&self) -> String {
        let mut text = String::new();
        for family in self.families() {
            let counter = family.kind == Kind::Counter;
            let name = family.name.replace('.', "_") + if counter { "_total" } else { "" };
            let kind = if counter { "counter" } else { "gauge" };
            let _infallible = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n", family.description);
            for sample in &family.samples {
                let labels: Vec<_> = sample
                    .labels
                    .iter()
                    .map(|(key, value)| format!("{}=\"{value}\"", key.replace('.', "_")))
                    .collect();
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                let _infallible = writeln!(text, "{name}{labels} {}", sample.value);
            }
        }
        text
    }
}

fn ledger_families(snapshot: &Snapshot, dropped: &mut Family) -> [Family; 3] {
    let family = |name, kind, description, term: fn(&Terms) -> u64| Family {
        name,
        unit: "{event}",
        kind,
        description,
        samples: KINDS
            .iter()
            .map(|(kind, label)| Sample {
                labels: vec![("kind", (*label).to_owned())],
                value: term(&Terms::of(*kind, &snapshot.counters, &snapshot.delivered)),
            })
            .collect(),
    };
    let families = [
        family("convis.events.seen", Kind::Counter, "Happened in the kernel.", |terms| terms.seen),
        family("convis.events.delivered", Kind::Counter, "Taken by user space.", |terms| terms.delivered),
        family("convis.events.pending", Kind::Gauge, "Waiting in the kernel's ledger.", |terms| {
            terms.pending
        }),
    ];
    for (kind, label) in KINDS {
        for (reason, value) in Terms::of(kind, &snapshot.counters, &snapshot.delivered).reasons() {
            let labels = vec![
                ("stage", "kernel".to_owned()),
                ("reason", reason.to_owned()),
                ("kind", label.to_owned()),
            ];
            dropped.samples.push(Sample { labels, value });
        }
    }
    families
}

/// A family of one value without labels.
fn single(
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    description: &'static str,
    value: u64,
) -> Family {
    Family { name, unit, kind, description, samples: vec![Sample { labels: Vec::new(), value }] }
}

fn table_families(snapshot: &Snapshot) -> Vec<Family> {
    let counters = &snapshot.counters;
    vec![
        single(
            "convis.connections.own",
            "{connection}",
            Kind::Counter,
            "Ended ends of convis's own connections, left out.",
            counters.own_ends + snapshot.own_ends,
        ),
        single(
            "convis.connections.missed",
            "{connection}",
            Kind::Counter,
            "Connections whose end was not seen, found out later.",
            snapshot.missed_ends,
        ),
        single(
            "convis.connections.untracked",
            "{connection}",
            Kind::Counter,
            "Ends for which the ledger had no room.",
            counters.untracked,
        ),
        single(
            "convis.programs.skipped",
            "{run}",
            Kind::Counter,
            "Hits that no copy of a kernel program saw, at most: the kernel skips one that is already running.",
            snapshot.skipped,
        ),
        single("convis.connections", "{connection}", Kind::Gauge, "Open now.", snapshot.connections as u64),
        single("convis.processes", "{process}", Kind::Gauge, "Held in the cache.", snapshot.processes as u64),
        single(
            "convis.metric.resources",
            "{resource}",
            Kind::Gauge,
            "With metrics.",
            snapshot.resources as u64,
        ),
        single(
            "convis.metric.overflowed",
            "{measurement}",
            Kind::Counter,
            "Measurements in an overflow set.",
            snapshot.overflowed,
        ),
        single(
            "convis.kernel.reads.failed",
            "{read}",
            Kind::Counter,
            "Reads of kernel memory that failed.",
            counters.read_failed,
        ),
        single(
            "convis.records.unreadable",
            "{record}",
            Kind::Counter,
            "Records that user space could not read.",
            snapshot.delivered.unreadable,
        ),
    ]
}

fn ledger_errors(counters: &Counters) -> Family {
    let sample = |error: &str, index: usize| Sample {
        labels: vec![("error.type", error.to_owned())],
        value: counters.map_errors.get(index).copied().unwrap_or_default(),
    };
    Family {
        name: "convis.ledger.errors",
        unit: "{change}",
        kind: Kind::Counter,
        description: "Changes of the ledger that the kernel refused.",
        samples: vec![
            sample("full", map_error::FULL),
            sample("busy", map_error::BUSY),
            sample("no_memory", map_error::NO_MEMORY),
            sample("_OTHER", map_error::OTHER),
        ],
    }
}

fn lost_bytes(counters: &Counters) -> Family {
    let sample = |direction: &str, value| Sample {
        labels: vec![("network.io.direction", direction.to_owned())],
        value,
    };
    Family {
        name: "convis.bytes.lost",
        unit: "By",
        kind: Kind::Counter,
        description: "Payload of connections whose end was lost.",
        samples: vec![sample("transmit", counters.lost_sent), sample("receive", counters.lost_received)],
    }
}

fn sink_families(lanes: &[LaneTotal], dropped: &mut Family) -> Vec<Family> {
    let family =
        |name, unit, kind, description| Family { name, unit, kind, description, samples: Vec::new() };
    let mut accepted =
        family("convis.sink.records.accepted", "{record}", Kind::Counter, "Offered to the sink.");
    let mut sent =
        family("convis.sink.records.sent", "{record}", Kind::Counter, "Acknowledged by the receiver.");
    let mut queued =
        family("convis.sink.records.queued", "{record}", Kind::Gauge, "Waiting or on their way.");
    let mut stored = family(
        "convis.sink.records.stored",
        "{record}",
        Kind::Gauge,
        "In storage, where they outlive convis.",
    );
    let mut requests = family("convis.sink.exports", "{request}", Kind::Counter, "Attempts to export.");
    let mut retries = family("convis.sink.retries", "{request}", Kind::Counter, "Attempts after the first.");
    let mut failures = family("convis.sink.failures", "{request}", Kind::Counter, "Attempts that failed.");
    let mut millis = family("convis.sink.export.duration", "ms", Kind::Counter, "Time spent in attempts.");
    for lane in lanes {
        let stats = &lane.counted;
        let labels = [("sink", lane.sink.to_string()), ("signal", lane.signal.as_str().to_owned())];
        let with = |more: Option<(&'static str, &str)>| {
            let more = more.map(|(key, value)| (key, value.to_owned()));
            labels.iter().cloned().chain(more).collect::<Vec<_>>()
        };
        for (family, value) in [
            (&mut accepted, stats.accepted),
            (&mut sent, stats.sent),
            (&mut queued, stats.queued()),
            (&mut stored, stats.stored),
            (&mut requests, stats.requests),
            (&mut retries, stats.retries),
            (&mut millis, u64::try_from(stats.duration_sum.as_millis()).unwrap_or(u64::MAX)),
        ] {
            family.samples.push(Sample { labels: with(None), value });
        }
        for error in ErrorType::ALL {
            let value = stats.failures_of(error);
            if value != 0 {
                failures.samples.push(Sample { labels: with(Some(("error.type", error.as_str()))), value });
            }
        }
        for reason in DropReason::ALL {
            let kind = match lane.signal {
                Signal::Events => "event",
                Signal::Metrics => "metric_point",
            };
            let labels = vec![
                ("stage", lane.sink.to_string()),
                ("reason", reason.as_str().to_owned()),
                ("kind", kind.to_owned()),
            ];
            dropped.samples.push(Sample { labels, value: stats.dropped_for(reason) });
        }
    }
    vec![accepted, sent, queued, stored, requests, retries, failures, millis]
}
