//! `convis run`: one task from ring to fan-out.

mod reload;
mod setup;
mod stops;
mod take;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use convis_ebpf::wire::Counters;
use convis_exporters::model::{EventBatch, MetricBatch};
use convis_exporters::{Runners, Sink};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::cli::Run;
use crate::clock::{Clock, boot_now};
use crate::container::root_of_host;
use crate::fatal::Fatal;
use crate::identity::Host;
use crate::identity::process::Describer;
use crate::identity::users::Users;
use crate::kernel::{self, Options, Source, privilege};
use crate::ledger;
use crate::settings::{self, Resolved};
use crate::status::{Containers, Snapshot, Status};
use crate::telemetry::Telemetry;
use crate::track::{Purpose, Tracker};
use crate::{admin, say};
use reload::Reload;
use setup::{announce, bind_admin, tracker};
use stops::{Stops, Wish};
use take::{Swept, drain_ring, end_unseen, sweep};

/// The ring is emptied at least this often; sooner when it fills up.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);
/// How long stopping waits for names of containers that have been asked for.
const LAST_NAMES: Duration = Duration::from_secs(1);
/// Where the processes of this host are.
const PROC: &str = "/proc";
/// What is logged unless `RUST_LOG` says otherwise: convis's own warnings, and errors of its libraries.
const LOG_FILTER: &str = "error,convis=warn";
/// Threads for sinks and the admin listener, beside the capture task.
const WORKERS: usize = 2;

/// Captures until a signal, the duration or an error ends it.
///
/// # Errors
/// See [`Fatal`].
pub fn run(given: &Run) -> Result<(), Fatal> {
    let resolved = settings::resolve(given)?;
    start_log();
    let missing = privilege::missing().map_err(|error| Fatal::Internal(error.to_string()))?;
    if !missing.is_empty() {
        return Err(Fatal::NotPermitted { missing: missing.join(" and ") });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Fatal::Internal(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(capture(given, resolved));
    // A thread that waits for a stalled terminal must not hold the process.
    runtime.shutdown_background();
    outcome
}

fn start_log() {
    let asked = settings::environment("RUST_LOG").filter(|filter| !filter.is_empty());
    let filter = tracing_subscriber::EnvFilter::try_new(asked.as_deref().unwrap_or(LOG_FILTER));
    let filter = filter.unwrap_or_default();
    // Only a test may have set another one before.
    let _already = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(settings::is_coloured(&std::io::stderr()))
        .with_target(false)
        .try_init();
}

async fn capture(given: &Run, resolved: Resolved) -> Result<(), Fatal> {
    let options = &resolved.options;
    let mut stops = Stops::new(options.duration)?;
    let listener = bind_admin(options.admin).await?;
    let (sinks, mut runners) = convis_exporters::build(&resolved.sinks, &resolved.shared)?;
    let status = Arc::new(Status::new(sinks.iter().flat_map(Sink::stats).collect()));
    // Before the first program is attached, so that no metric begins after what it counts.
    let attached = Clock::read();
    let attached_unix_nanos = attached.unix_nanos(boot_now());
    let (mut source, report) = kernel::load(&Options {
        ring_bytes: options.ring_bytes,
        max_connections: options.max_connections,
        leave_out: (!options.include_self).then(std::process::id),
        probes: options.probes,
    })?;
    if let Some(why) = report.no_live_totals {
        say::line(&format!("warning: bytes are counted only when connections close: {why}"));
    }
    let host = Host::detect(Path::new(PROC), &settings::environment, resolved.attributes.everywhere.clone());
    let describer = Describer {
        host: host.clone(),
        users: Users::from_file(root_of_host(Path::new(PROC)).join("etc/passwd")),
        k8s_labels: options.containers.k8s_labels,
        clock: attached,
    };
    let exponential = resolved.sinks.iter().any(|sink| sink.kind.wants_exponential());
    let mut tracker = tracker(options, describer, listener.as_ref(), attached_unix_nanos, exponential)?;
    tracker.set_policy(resolved.policy.clone(), resolved.shared.seed);
    let mut capture = Capture {
        tracker,
        sinks,
        status,
        clock: attached,
        skipped: (0, 0),
        swept: Swept::default(),
        dropped: false,
    };
    if let Some(listener) = listener {
        tokio::spawn(admin::serve(listener, Arc::clone(&capture.status)));
    }
    capture.drain(&mut source);
    // What is open already has its baseline from here on.
    capture.walk(&mut source, Purpose { samples: false, updates: false })?;
    let telemetry = Telemetry::start(
        &resolved.sinks,
        resolved.interval,
        &host,
        &resolved.attributes.own,
        &capture.status,
    )?;
    capture.status.set_ready();
    announce(&resolved);

    let intervals = Intervals { metrics: resolved.interval, updates: options.update_interval };
    let timeout = options.shutdown_timeout;
    let mut reload = Reload { given: given.clone(), running: resolved, host, telemetry };
    let ended = capture.follow(&mut source, &mut runners, &mut stops, intervals, &mut reload).await;
    let stopped = capture.stop(source, runners, reload.telemetry, timeout, &mut stops).await;
    ended.and(stopped)
}

/// The state of the capture task.
struct Capture {
    tracker: Tracker,
    sinks: Vec<Sink>,
    status: Arc<Status>,
    clock: Clock,
    /// Skipped runs, and when they were looked up.
    skipped: (u64, u64),
    swept: Swept,
    /// Whether the kernel side has lost anything, which is said once.
    dropped: bool,
}

/// Times between what happens regularly.
#[derive(Clone, Copy)]
struct Intervals {
    metrics: Duration,
    updates: Duration,
}

impl Capture {
    /// Drains and exports until something says stop.
    async fn follow(
        &mut self,
        source: &mut Source,
        runners: &mut Runners,
        stops: &mut Stops,
        intervals: Intervals,
        reload: &mut Reload,
    ) -> Result<(), Fatal> {
        let start = Instant::now();
        let mut drains = interval_at(start + DRAIN_INTERVAL, DRAIN_INTERVAL);
        drains.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut exports = interval_at(start + intervals.metrics, intervals.metrics);
        exports.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut updates = interval_at(start + intervals.updates, intervals.updates);
        updates.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let tells_updates = self.sinks.iter().any(|sink| sink.kinds().updated);
            tokio::select! {
                biased;
                wish = stops.wish() => match wish {
                    Wish::Stop => return Ok(()),
                    Wish::Reload => reload.run(self, runners),
                },
                failure = runners.failed() => match failure {
                    Some(failure) if failure.is_output_closed() => return Ok(()),
                    Some(failure) => return Err(failure.into()),
                    None => return Err(Fatal::Internal("every sink ended".to_owned())),
                },
                ready = source.filling() => {
                    ready.map_err(|error| Fatal::Internal(format!("cannot wait for the ring: {error}")))?;
                    self.drain(source);
                }
                _ = drains.tick() => self.drain(source),
                _ = exports.tick() => {
                    self.drain(source);
                    self.walk(source, Purpose { samples: true, updates: false })?;
                    self.export_metrics();
                }
                _ = updates.tick(), if tells_updates => {
                    self.drain(source);
                    self.walk(source, Purpose { samples: false, updates: true })?;
                }
            }
        }
    }

    /// Takes everything that is in the ring, and what waits in the ledger because the ring was full.
    fn drain(&mut self, source: &mut Source) {
        let clock = self.clock();
        let boot_ns = boot_now();
        let skipped = self.skipped(source, boot_ns);
        let tracker = &mut self.tracker;
        drain_ring(source, tracker, clock, boot_ns);
        let mut counters = source.counters();
        let waiting = ledger::waiting(&counters, &tracker.delivered);
        if self.swept.is_due(waiting, boot_ns) {
            sweep(source, tracker, clock, boot_ns);
            counters = source.counters();
            self.swept = Swept { at_ns: boot_ns, left: ledger::waiting(&counters, &tracker.delivered) };
        }
        tracker.processes.reap(boot_ns);
        tracker.settle(clock, boot_ns);
        self.status.publish(Snapshot {
            counters,
            delivered: tracker.delivered,
            skipped,
            missed_ends: tracker.missed_ends,
            own_ends: tracker.own_ends,
            left_out: tracker.left_out,
            connections: tracker.connections(),
            processes: tracker.processes.len(),
            resources: tracker.metrics.resources(),
            overflowed: tracker.metrics.overflowed(),
            containers: Containers {
                workloads: tracker.workloads.len(),
                unnamed: tracker.unnamed(),
                waiting: tracker.waiting(),
                asked: tracker.workloads.asked(),
                translated: tracker.translator.counted(),
            },
        });
        self.warn_of_drops(&counters);
        self.export_events();
    }

    /// Reads the figures of every living connection, and finds out which ones have ended without a word. Costs by their
    /// number, whatever they move.
    fn walk(&mut self, source: &mut Source, purpose: Purpose) -> Result<(), Fatal> {
        let clock = self.clock();
        let boot_ns = boot_now();
        // Before the walk, which then no longer shows the connections whose ends these counters call lost.
        let counters = source.counters();
        let tracker = &mut self.tracker;
        tracker.begin_walk(purpose);
        source.live(|record| tracker.apply(record, clock, boot_ns))?;
        let doubts = tracker.end_walk();
        if !doubts.is_empty() {
            end_unseen(source, tracker, doubts, clock, boot_ns);
        }
        tracker.settle(clock, boot_ns);
        tracker.count_lost(&counters);
        self.export_events();
        Ok(())
    }

    /// The clock, after a look whether the wall clock was set.
    fn clock(&mut self) -> Clock {
        self.clock = self.clock.followed();
        self.clock
    }

    /// Says once that the kernel side lost something: whoever reads the numbers should know.
    fn warn_of_drops(&mut self, counters: &Counters) {
        let delivered = &self.tracker.delivered;
        let dropped = |kind| ledger::Terms::of(kind, counters, delivered).dropped();
        if !self.dropped && ledger::KINDS.iter().any(|(kind, _)| dropped(*kind) != 0) {
            self.dropped = true;
            say::line(
                "warning: events are being lost in the kernel, see convis_events_dropped_total at /metrics and \
                 docs/loss.md; --ring-bytes and --max-connections give them more room",
            );
        }
    }

    /// Looked up once a second: it takes a file for each program.
    fn skipped(&mut self, source: &mut Source, boot_ns: u64) -> u64 {
        const EVERY_NS: u64 = 1_000_000_000;
        if boot_ns >= self.skipped.1 + EVERY_NS || source.is_detached() {
            self.skipped = (source.skipped(), boot_ns);
        }
        self.skipped.0
    }

    fn export_events(&mut self) {
        let events = self.tracker.take_events();
        if events.is_empty() {
            return;
        }
        let batch = Arc::new(EventBatch { events });
        for sink in &self.sinks {
            sink.offer_events(&batch);
        }
    }

    fn export_metrics(&mut self) {
        let now = self.clock().unix_nanos(boot_now());
        let batch = self.tracker.metrics.collect(now);
        self.offer_metrics(batch);
    }

    /// Has histograms measured in exponential buckets too; the sinks get the last points of those that were not.
    fn begin_exponential(&mut self) {
        let now = self.clock().unix_nanos(boot_now());
        if let Some(last) = self.tracker.metrics.begin_exponential(now) {
            self.offer_metrics(last);
        }
    }

    fn offer_metrics(&self, batch: MetricBatch) {
        if batch.resources.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        for sink in &self.sinks {
            sink.offer_metrics(&batch);
        }
    }

    /// Lets go of everything that waits; names that have been asked for get this long.
    async fn settle_all(&mut self, patience: Duration, stops: &mut Stops) {
        const LOOK_AGAIN: Duration = Duration::from_millis(10);
        let clock = self.clock();
        self.tracker.release_unaccepted(clock, boot_now());
        self.tracker.expect_no_more();
        let deadline = Instant::now() + patience;
        loop {
            self.tracker.settle(clock, boot_now());
            if self.tracker.waiting() == 0 || Instant::now() >= deadline {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stops.asked() => break,
            }
        }
        self.tracker.settle_all(clock, boot_now());
        self.export_events();
    }

    /// Detaches, takes what is left, sends it until the deadline, and says in one line what became of everything.
    async fn stop(
        mut self,
        mut source: Source,
        runners: Runners,
        telemetry: Telemetry,
        timeout: Duration,
        stops: &mut Stops,
    ) -> Result<(), Fatal> {
        // While it can still be told who is open: once detached, ends are no longer seen.
        let purpose = Purpose { samples: true, updates: false };
        self.drain(&mut source);
        self.walk(&mut source, purpose)?;
        if self.tracker.owes_lost() {
            self.walk(&mut source, purpose)?;
        }
        source.detach();
        // Nothing may be left for a later sweep.
        self.swept = Swept::default();
        self.drain(&mut source);
        self.settle_all(timeout.min(LAST_NAMES), stops).await;
        self.export_metrics();
        let deadline = Instant::now() + timeout;
        let failures = tokio::select! {
            (failures, ()) = async { tokio::join!(runners.stop(deadline), telemetry.stop(timeout)) } => failures,
            () = stops.asked() => Vec::new(),
        };
        say::line(&summary(&self.status));
        match failures.into_iter().find(|failure| !failure.is_output_closed()) {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

fn summary(status: &Status) -> String {
    let Some(snapshot) = status.snapshot() else {
        return "stopped before anything was captured".to_owned();
    };
    let kernel: Vec<_> = ledger::KINDS[..3]
        .iter()
        .map(|(kind, name)| {
            let terms = ledger::Terms::of(*kind, &snapshot.counters, &snapshot.delivered);
            format!(
                "{name} {} seen = {} delivered + {} pending + {} dropped",
                terms.seen,
                terms.delivered,
                terms.pending,
                terms.dropped()
            )
        })
        .collect();
    let sinks: Vec<_> = status
        .lanes()
        .iter()
        .map(|lane| {
            let counted = &lane.counted;
            let (sent, dropped) = (counted.sent, counted.dropped_total());
            let kept = match counted.stored {
                0 => String::new(),
                _ => format!(", {} kept in storage", counted.queued()),
            };
            format!("{} {}: {sent} sent, {dropped} dropped{kept}", lane.sink, lane.signal.as_str())
        })
        .collect();
    let skipped = match snapshot.skipped {
        0 => String::new(),
        runs => format!("; the kernel skipped {runs} runs of programs, see docs/loss.md"),
    };
    format!("stopped; {}; {}{skipped}", kernel.join(", "), sinks.join("; "))
}
