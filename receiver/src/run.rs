//! `convis run`: one task from ring to fan-out.

mod input;
mod peak;
mod rehearsal;
mod reload;
mod replay;
mod setup;
mod stops;
mod take;

use std::sync::Arc;
use std::time::Duration;

use convis_ebpf::wire::Counters;
use convis_exporters::model::{EventBatch, MetricBatch};
use convis_exporters::{Runners, Sink};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::cli::Run;
use crate::fatal::Fatal;
use crate::kernel::{self, privilege};
use crate::ledger;
use crate::recording::{self, Step};
use crate::settings::{self, Resolved};
use crate::status::{Containers, Snapshot, Status};
use crate::telemetry::Telemetry;
use crate::track::{Purpose, Tracker};
use crate::{admin, say};
use input::Input;
use peak::Peak;
pub use rehearsal::{Outcome, Rehearsal};
use reload::Reload;
use setup::{Start, announce, bind_admin, tracker};
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
    if given.replay.is_some() {
        given.refuse_capture_options()?;
    } else {
        check_privileges()?;
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

fn check_privileges() -> Result<(), Fatal> {
    let missing = privilege::missing().map_err(|error| Fatal::Internal(error.to_string()))?;
    if missing.is_empty() { Ok(()) } else { Err(Fatal::NotPermitted { missing: missing.join(" and ") }) }
}

fn start_log() {
    let asked = settings::environment("RUST_LOG").filter(|filter| !filter.is_empty());
    let filter = log_filter(asked.as_deref()).unwrap_or_else(|why| {
        say::line(&format!(
            "warning: RUST_LOG is not used: {why}; expected levels such as warn,convis=debug"
        ));
        log_filter(None).unwrap_or_default()
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(settings::is_coloured(&std::io::stderr()))
        .with_target(false);
    // Only a test may have set another one before.
    let _already = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

/// Levels by target. No patterns and no spans, which would take regular expressions into the program.
fn log_filter(asked: Option<&str>) -> Result<Targets, tracing_subscriber::filter::ParseError> {
    asked.unwrap_or(LOG_FILTER).parse()
}

async fn capture(given: &Run, mut resolved: Resolved) -> Result<(), Fatal> {
    let mut stops = Stops::new(resolved.options.duration)?;
    let listener = bind_admin(&resolved.options).await?;
    let recording = resolved.options.replay.clone();
    let opened = recording.as_deref().map(|path| setup::open(path, &mut resolved)).transpose()?;
    let (sinks, mut runners) = convis_exporters::build(&resolved.sinks, &resolved.shared)?;
    let status = Arc::new(Status::new(sinks.iter().flat_map(Sink::stats).collect()));
    let start = match opened {
        Some(start) => start,
        None => setup::attach(&resolved, listener.as_ref())?,
    };
    let exponential = resolved.sinks.iter().any(|sink| sink.kind.wants_exponential());
    let mut tracker = tracker(&resolved.options, exponential, &start)?;
    let Start { host, mut input, .. } = start;
    tracker.set_policy(resolved.policy.clone(), resolved.shared.seed);
    let mut capture = Capture::new(tracker, sinks, status, recording.is_some());
    if let Some(listener) = listener {
        tokio::spawn(admin::serve(listener, Arc::clone(&capture.status)));
    }
    if !capture.replays {
        capture.drain(&mut input);
        // What is open already has its baseline from here on.
        capture.walk(&mut input, Purpose { samples: false, updates: false })?;
    }
    let telemetry = Telemetry::start(
        &resolved.sinks,
        resolved.interval,
        &host,
        &resolved.attributes.own,
        &capture.status,
    )?;
    capture.status.set_ready();

    let options = &resolved.options;
    let intervals = Intervals { metrics: resolved.interval, updates: options.update_interval };
    let (timeout, speed) = (options.shutdown_timeout, options.replay_speed);
    if !capture.replays {
        announce(&resolved);
    }
    let mut reload = Reload { given: given.clone(), running: resolved, host, telemetry };
    if capture.replays {
        let ended = capture.replay(&mut input, speed, &mut runners, &mut stops, &mut reload).await;
        let stopped = capture.stop_sinks(runners, reload.telemetry, timeout, &mut stops, None).await;
        return ended.and(stopped);
    }
    let ended = capture.follow(&mut input, &mut runners, &mut stops, intervals, &mut reload).await;
    let stopped = capture.stop(input, runners, reload.telemetry, timeout, &mut stops).await;
    ended.and(stopped)
}

/// The state of the capture task.
struct Capture {
    tracker: Tracker,
    sinks: Vec<Sink>,
    status: Arc<Status>,
    /// Skipped runs, and when they were looked up.
    skipped: (u64, u64),
    swept: Swept,
    peak: Peak,
    /// Whether the kernel side has lost anything, which is said once.
    dropped: bool,
    /// Whether a recording goes by: then sinks are waited for, and what is ready stays until they have room.
    replays: bool,
}

/// Times between what happens regularly.
#[derive(Clone, Copy)]
struct Intervals {
    metrics: Duration,
    updates: Duration,
}

impl Capture {
    fn new(tracker: Tracker, sinks: Vec<Sink>, status: Arc<Status>, replays: bool) -> Self {
        let swept = Swept::default();
        Self {
            tracker,
            sinks,
            status,
            skipped: (0, 0),
            swept,
            peak: Peak::default(),
            dropped: false,
            replays,
        }
    }

    /// Drains and exports until something says stop.
    async fn follow(
        &mut self,
        input: &mut Input,
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
                    Wish::Reload => reload.run(self, runners, input.now()),
                },
                failure = runners.failed() => match failure {
                    Some(failure) if failure.is_output_closed() => return Ok(()),
                    Some(failure) => return Err(failure.into()),
                    None => return Err(Fatal::Internal("every sink ended".to_owned())),
                },
                ready = input.filling() => {
                    ready.map_err(|error| Fatal::Internal(format!("cannot wait for the ring: {error}")))?;
                    self.drain(input);
                }
                _ = drains.tick() => self.drain(input),
                _ = exports.tick() => {
                    self.drain(input);
                    self.walk(input, Purpose { samples: true, updates: false })?;
                    self.export_metrics(input);
                    self.give_back_memory();
                }
                _ = updates.tick(), if tells_updates => {
                    self.drain(input);
                    self.walk(input, Purpose { samples: false, updates: true })?;
                }
            }
        }
    }

    /// Takes everything that is in the ring, and what waits in the ledger because the ring was full.
    fn drain(&mut self, input: &mut Input) {
        self.take(input, Step::Drain);
    }

    /// The same after the programs were detached: nothing may be left for a later sweep.
    fn drain_last(&mut self, input: &mut Input) {
        self.swept = Swept::default();
        self.take(input, Step::DrainLast);
    }

    fn take(&mut self, input: &mut Input, step: Step) {
        let (clock, boot_ns) = input.begin(step);
        let skipped = self.skipped(input, boot_ns);
        let tracker = &mut self.tracker;
        drain_ring(input, tracker, clock, boot_ns);
        let mut counters = input.counters();
        let waiting = ledger::waiting(&counters, &tracker.delivered);
        if self.swept.is_due(waiting, boot_ns) {
            sweep(input, tracker, clock, boot_ns);
            counters = input.counters();
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
        self.peak.note(self.tracker.held());
        self.warn_of_drops(&counters);
        self.export_events();
    }

    fn give_back_memory(&mut self) {
        if self.peak.has_passed(self.tracker.held()) {
            self.tracker.shrink();
            kernel::give_back_memory();
        }
    }

    /// Reads the figures of every living connection, and finds out which ones have ended without a word. Costs by their
    /// number, whatever they move.
    fn walk(&mut self, input: &mut Input, purpose: Purpose) -> Result<(), Fatal> {
        let (clock, boot_ns) = input.begin(Step::Walk { samples: purpose.samples, updates: purpose.updates });
        // Before the walk, which then no longer shows the connections whose ends these counters call lost.
        let counters = input.counters();
        let tracker = &mut self.tracker;
        tracker.begin_walk(purpose);
        input.live(|record| tracker.apply(record, clock, boot_ns))?;
        let doubts = tracker.end_walk();
        if !doubts.is_empty() {
            end_unseen(input, tracker, doubts, clock, boot_ns);
        }
        tracker.settle(clock, boot_ns);
        tracker.count_lost(&counters);
        self.export_events();
        Ok(())
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
    fn skipped(&mut self, input: &mut Input, boot_ns: u64) -> u64 {
        const EVERY_NS: u64 = 1_000_000_000;
        if boot_ns >= self.skipped.1 + EVERY_NS || input.is_detached() {
            self.skipped = (input.skipped(), boot_ns);
        }
        self.skipped.0
    }

    /// What is ready goes to the sinks; in a replay, once they have room.
    fn export_events(&mut self) {
        if self.replays {
            return;
        }
        let events = self.tracker.take_events();
        if events.is_empty() {
            return;
        }
        let batch = Arc::new(EventBatch { events });
        for sink in &self.sinks {
            sink.offer_events(&batch);
        }
    }

    /// Every metric point, as of now.
    fn read_metrics(&mut self, input: &mut Input) -> Option<Arc<MetricBatch>> {
        let (clock, boot_ns) = input.begin(Step::Metrics);
        let batch = self.tracker.metrics.collect(clock.unix_nanos(boot_ns));
        (!batch.resources.is_empty()).then(|| Arc::new(batch))
    }

    fn export_metrics(&mut self, input: &mut Input) {
        if let Some(batch) = self.read_metrics(input) {
            self.offer_metrics(&batch);
        }
    }

    /// Has histograms measured in exponential buckets too; the sinks get the last points of those that were not.
    fn begin_exponential(&mut self, now_unix_nanos: u64) {
        if let Some(last) = self.tracker.metrics.begin_exponential(now_unix_nanos)
            && !last.resources.is_empty()
        {
            self.offer_metrics(&Arc::new(last));
        }
    }

    fn offer_metrics(&self, batch: &Arc<MetricBatch>) {
        for sink in &self.sinks {
            sink.offer_metrics(batch);
        }
    }

    /// Nothing more will come: children that nobody accepted are told, and no other end is waited for.
    fn release(&mut self, input: &mut Input) {
        let (clock, boot_ns) = input.begin(Step::Release);
        self.tracker.release_unaccepted(clock, boot_ns);
        self.tracker.expect_no_more();
    }

    fn settle(&mut self, input: &mut Input) {
        let (clock, boot_ns) = input.begin(Step::Settle);
        self.tracker.settle(clock, boot_ns);
    }

    /// Lets go of what still waits.
    fn settle_last(&mut self, input: &mut Input) {
        let (clock, boot_ns) = input.begin(Step::Last);
        self.tracker.settle_all(clock, boot_ns);
        self.export_events();
    }

    /// Lets go of everything that waits; names that have been asked for get this long.
    async fn settle_all(&mut self, input: &mut Input, patience: Duration, stops: &mut Stops) {
        const LOOK_AGAIN: Duration = Duration::from_millis(10);
        self.release(input);
        let deadline = Instant::now() + patience;
        loop {
            self.settle(input);
            if self.tracker.waiting() == 0 || Instant::now() >= deadline {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stops.asked() => break,
            }
        }
        self.settle_last(input);
    }

    /// Detaches, takes what is left, sends it until the deadline, and says in one line what became of everything.
    async fn stop(
        mut self,
        mut input: Input,
        runners: Runners,
        telemetry: Telemetry,
        timeout: Duration,
        stops: &mut Stops,
    ) -> Result<(), Fatal> {
        // While it can still be told who is open: once detached, ends are no longer seen.
        let purpose = Purpose { samples: true, updates: false };
        self.drain(&mut input);
        self.walk(&mut input, purpose)?;
        if self.tracker.owes_lost() {
            self.walk(&mut input, purpose)?;
        }
        input.detach();
        self.drain_last(&mut input);
        self.settle_all(&mut input, timeout.min(LAST_NAMES), stops).await;
        self.export_metrics(&mut input);
        let recorded = input.finish(timeout);
        self.stop_sinks(runners, telemetry, timeout, stops, recorded).await
    }

    /// Sends what is left until the deadline, and says in one line what became of everything.
    async fn stop_sinks(
        self,
        runners: Runners,
        telemetry: Telemetry,
        timeout: Duration,
        stops: &mut Stops,
        recorded: Option<recording::Outcome>,
    ) -> Result<(), Fatal> {
        let deadline = Instant::now() + timeout;
        let failures = tokio::select! {
            (failures, ()) = async { tokio::join!(runners.stop(deadline), telemetry.stop(timeout)) } => failures,
            () = stops.asked() => Vec::new(),
        };
        say::line(&summary(&self.status, recorded));
        match failures.into_iter().find(|failure| !failure.is_output_closed()) {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

fn summary(status: &Status, recorded: Option<recording::Outcome>) -> String {
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
    let recorded = match recorded {
        None => String::new(),
        Some(recording::Outcome { written, missing: 0 }) => format!("; {written} records recorded"),
        Some(recording::Outcome { written, missing }) => {
            format!("; {written} records recorded, {missing} are missing in the recording")
        }
    };
    format!("stopped; {}; {}{skipped}{recorded}", kernel.join(", "), sinks.join("; "))
}
