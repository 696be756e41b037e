//! `convis run`: one task from ring to fan-out.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use convis_ebpf::wire::flag;
use convis_exporters::model::{EventBatch, EventName};
use convis_exporters::{Runners, Sink};
use rustc_hash::FxHashSet;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::cli::{Admin, Run};
use crate::clock::{Clock, boot_now};
use crate::fatal::Fatal;
use crate::identity::process::Describer;
use crate::identity::users::Users;
use crate::identity::{Host, ProcessTable};
use crate::kernel::{self, Options, Source, privilege};
use crate::ledger;
use crate::metrics::{Aggregator, Limits};
use crate::own::{OwnListener, network_namespace};
use crate::settings::{self, Resolved};
use crate::status::{Snapshot, Status};
use crate::telemetry::Telemetry;
use crate::track::Tracker;
use crate::{admin, say};

/// The ring is emptied at least this often; sooner when it fills up.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8469);
/// Attribute sets per Resource and instrument, as the OpenTelemetry SDKs have it.
const CARDINALITY: usize = 2000;
/// Time between two checks for missed ends.
const CHECK_INTERVAL_NS: u64 = 30_000_000_000;
/// Where the processes of this host are.
const PROC: &str = "/proc";
/// Threads for sinks and the admin listener, beside the capture task.
const WORKERS: usize = 2;

/// Captures until a signal, the duration or an error ends it.
///
/// # Errors
/// See [`Fatal`].
pub fn run(options: &Run) -> Result<(), Fatal> {
    let resolved = settings::resolve(options)?;
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
    let outcome = runtime.block_on(capture(options, resolved));
    // A thread that waits for a stalled terminal must not hold the process.
    runtime.shutdown_background();
    outcome
}

fn start_log() {
    let filter =
        tracing_subscriber::EnvFilter::try_new(settings::environment("RUST_LOG").unwrap_or_default());
    let filter = filter.unwrap_or_default();
    // Only a test may have set another one before.
    let _already = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

async fn capture(options: &Run, resolved: Resolved) -> Result<(), Fatal> {
    let mut stops = Stops::new(options.duration)?;
    let listener = bind_admin(options.admin).await?;
    let (sinks, mut runners) = convis_exporters::build(&resolved.sinks, &resolved.shared)?;
    let status = Arc::new(Status::new(sinks.iter().flat_map(Sink::stats).collect()));
    // Before the first program is attached, so that no metric begins after what it counts.
    let attached = Clock::read();
    let attached_unix_nanos = attached.unix_nanos(boot_now());
    let mut source = kernel::load(&Options {
        ring_bytes: options.ring_bytes,
        max_connections: options.max_connections,
        leave_out: (!options.include_self).then(std::process::id),
    })?;
    let host = Host::detect(Path::new(PROC), &settings::environment, resolved.attributes.everywhere.clone());
    let describer = Describer { host: host.clone(), users: Users::from_file("/etc/passwd"), clock: attached };
    let tracker = tracker(options, describer, listener.as_ref(), attached_unix_nanos)?;
    let mut capture = Capture {
        tracker,
        sinks,
        status,
        events: options.events.clone(),
        skipped: (0, 0),
        checked: Checked::default(),
        swept: Swept::default(),
    };
    if let Some(listener) = listener {
        tokio::spawn(admin::serve(listener, Arc::clone(&capture.status)));
    }
    capture.drain(&mut source)?;
    let telemetry = Telemetry::start(
        &resolved.sinks,
        resolved.interval,
        &host,
        &resolved.attributes.own,
        &capture.status,
    )?;
    capture.status.set_ready();
    announce(&resolved);

    let ended = capture.follow(&mut source, &mut runners, &mut stops, resolved.interval).await;
    let stopped = capture.stop(source, runners, telemetry, options.shutdown_timeout, &mut stops).await;
    ended.and(stopped)
}

fn tracker(
    options: &Run,
    describer: Describer,
    listener: Option<&TcpListener>,
    attached_unix_nanos: u64,
) -> Result<Tracker, Fatal> {
    let mut processes = ProcessTable::new(PROC);
    processes.scan().map_err(|error| Fatal::Internal(format!("cannot read /proc: {error}")))?;
    let limits = Limits {
        resources: options.max_resources as usize,
        cardinality: CARDINALITY,
        series_ttl: options.series_ttl,
    };
    let metrics = Aggregator::new(options.metric_resource, limits, attached_unix_nanos);
    let own_listener = match listener.map(TcpListener::local_addr) {
        Some(Ok(address)) if !options.include_self => {
            let network_namespace = network_namespace()
                .map_err(|error| Fatal::Internal(format!("cannot read /proc/self/ns/net: {error}")))?;
            Some(OwnListener { address, network_namespace })
        }
        _ => None,
    };
    Ok(Tracker::new(processes, metrics, describer, own_listener))
}

/// An address that the user chose must work; the default one may be taken by another convis.
async fn bind_admin(asked: Option<Admin>) -> Result<Option<TcpListener>, Fatal> {
    match asked {
        Some(Admin::Off) => Ok(None),
        Some(Admin::At(address)) => {
            let bound = admin::bind(address).await;
            bound.map(Some).map_err(|source| Fatal::Admin { address, source })
        }
        None => match admin::bind(DEFAULT_ADMIN).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                say::line(&format!("warning: no admin listener, {DEFAULT_ADMIN} cannot be used: {error}"));
                Ok(None)
            }
        },
    }
}

fn announce(resolved: &Resolved) {
    if resolved.is_default {
        say::line(
            "showing each TCP connection of this host as it opens, closes or fails; to send events and metrics to an \
             OpenTelemetry Collector: --sink otlp,endpoint=http://localhost:4317",
        );
    } else {
        say::line("capturing TCP connections of this host");
    }
}

/// The state of the capture task.
struct Capture {
    tracker: Tracker,
    sinks: Vec<Sink>,
    status: Arc<Status>,
    events: Vec<EventName>,
    /// Skipped runs, and when they were looked up.
    skipped: (u64, u64),
    checked: Checked,
    swept: Swept,
}

/// The last sweep of the ledger.
#[derive(Default)]
struct Swept {
    at_ns: u64,
    /// What still waited after it: entries that the kernel lost when it skipped a program.
    left: u64,
}

impl Swept {
    /// Whether a sweep would find something: anything new at once, what it left behind only now and then.
    const fn is_due(&self, waiting: u64, boot_ns: u64) -> bool {
        const AGAIN_NS: u64 = 1_000_000_000;
        waiting > self.left || (waiting != 0 && boot_ns >= self.at_ns + AGAIN_NS)
    }
}

/// The last check for missed ends.
#[derive(Default)]
struct Checked {
    at_ns: u64,
    /// Skipped runs by then: without further ones nothing can have been missed.
    skipped: u64,
}

impl Capture {
    /// Drains and exports until something says stop.
    async fn follow(
        &mut self,
        source: &mut Source,
        runners: &mut Runners,
        stops: &mut Stops,
        metric_interval: Duration,
    ) -> Result<(), Fatal> {
        let start = Instant::now();
        let mut drains = interval_at(start + DRAIN_INTERVAL, DRAIN_INTERVAL);
        drains.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut exports = interval_at(start + metric_interval, metric_interval);
        exports.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = stops.asked() => return Ok(()),
                failure = runners.failed() => match failure {
                    Some(failure) if failure.is_output_closed() => return Ok(()),
                    Some(failure) => return Err(failure.into()),
                    None => return Err(Fatal::Internal("every sink ended".to_owned())),
                },
                ready = source.filling() => {
                    ready.map_err(|error| Fatal::Internal(format!("cannot wait for the ring: {error}")))?;
                    self.drain(source)?;
                }
                _ = drains.tick() => self.drain(source)?,
                _ = exports.tick() => {
                    self.drain(source)?;
                    self.export_metrics();
                }
            }
        }
    }

    /// Takes everything that is in the ring, and what waits in the ledger because the ring was full.
    fn drain(&mut self, source: &mut Source) -> Result<(), Fatal> {
        let clock = Clock::read();
        let boot_ns = boot_now();
        let now = clock.unix_nanos(boot_ns);
        let skipped = self.skipped(source, boot_ns);
        let tracker = &mut self.tracker;
        drain_ring(source, tracker, clock, now);
        let mut counters = source.counters()?;
        let waiting = ledger::waiting(&counters, &tracker.delivered);
        if self.swept.is_due(waiting, boot_ns) {
            sweep(source, tracker, clock, now);
            counters = source.counters()?;
            self.swept = Swept { at_ns: boot_ns, left: ledger::waiting(&counters, &tracker.delivered) };
        }
        tracker.processes.reap(boot_ns);
        if boot_ns >= self.checked.at_ns + CHECK_INTERVAL_NS && skipped != self.checked.skipped {
            give_up_missed(source, tracker, clock, now);
            self.checked = Checked { at_ns: boot_ns, skipped };
        }
        self.status.publish(Snapshot {
            counters,
            delivered: tracker.delivered,
            skipped,
            missed_ends: tracker.missed_ends,
            own_ends: tracker.own_ends,
            connections: tracker.connections(),
            processes: tracker.processes.len(),
            resources: tracker.metrics.resources(),
            overflowed: tracker.metrics.overflowed(),
        });
        self.export_events();
        Ok(())
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
        let mut events = self.tracker.take_events();
        events.retain(|event| self.events.contains(&event.name()));
        if events.is_empty() {
            return;
        }
        let batch = Arc::new(EventBatch { events });
        for sink in &self.sinks {
            sink.offer_events(&batch);
        }
    }

    fn export_metrics(&mut self) {
        let now = Clock::read().unix_nanos(boot_now());
        let batch = self.tracker.metrics.collect(now);
        if batch.resources.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        for sink in &self.sinks {
            sink.offer_metrics(&batch);
        }
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
        source.detach();
        // Nothing may be left for a later sweep.
        self.swept = Swept::default();
        self.drain(&mut source)?;
        let clock = Clock::read();
        self.tracker.release_unaccepted(clock, clock.unix_nanos(boot_now()));
        self.export_events();
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

fn drain_ring(source: &mut Source, tracker: &mut Tracker, clock: Clock, now: u64) {
    source.drain(|record| match record {
        Ok(record) => tracker.apply(record, clock, now),
        Err(_) => tracker.delivered.unreadable += 1,
    });
}

/// Takes what the ledger holds because the ring was full, in the order that gives each connection its events in turn.
fn sweep(source: &mut Source, tracker: &mut Tracker, clock: Clock, now: u64) {
    let (mut living, mut ended) = (Vec::new(), Vec::new());
    source.sweep(|key, entry| {
        if !key.is_socket() {
            ended.push((key, entry));
        } else if entry.conn.flags & flag::ENDING == 0 {
            living.push(entry.conn);
        }
    });
    // Their last records were not yet written when they were found, so they come before what is in the ring by now.
    for conn in living {
        tracker.sweep_if_pending(&conn, clock, now);
    }
    // What ended connections sent through the ring is older than their entries, so it is in the ring by now.
    drain_ring(source, tracker, clock, now);
    // A walk that the kernel restarts shows an entry twice.
    ended.sort_by_key(|(_, entry)| (entry.end_ns, entry.conn.id));
    ended.dedup_by_key(|(key, _)| *key);
    for (key, entry) in ended {
        tracker.sweep_ended(&entry, clock, now);
        source.forget(key);
    }
}

/// Gives up open connections that the ledger no longer has although no end came: the kernel skipped the program.
fn give_up_missed(source: &mut Source, tracker: &mut Tracker, clock: Clock, now: u64) {
    let mut open: FxHashSet<u64> = tracker.open_ids().into_iter().collect();
    source.sweep(|_, entry| {
        open.remove(&entry.conn.id);
    });
    // An end that came meanwhile is in the ring by now, and its connection no longer open after this.
    drain_ring(source, tracker, clock, now);
    tracker.give_up(open);
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
            let counted = lane.stats.snapshot();
            let (sent, dropped) = (counted.sent, counted.dropped_total());
            format!("{} {}: {sent} sent, {dropped} dropped", lane.sink, lane.signal.as_str())
        })
        .collect();
    let skipped = match snapshot.skipped {
        0 => String::new(),
        runs => format!("; the kernel skipped {runs} runs of programs, see docs/loss.md"),
    };
    format!("stopped; {}; {}{skipped}", kernel.join(", "), sinks.join("; "))
}

/// What asks convis to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
    deadline: Option<Instant>,
}

impl Stops {
    fn new(duration: Option<Duration>) -> Result<Self, Fatal> {
        let listen =
            |kind| signal(kind).map_err(|error| Fatal::Internal(format!("cannot wait for signals: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            deadline: duration.map(|duration| Instant::now() + duration),
        })
    }

    /// Completes at the next signal, or once at the end of the duration.
    async fn asked(&mut self) {
        let Self { terminate, interrupt, deadline } = self;
        let over = async {
            match *deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = over => {}
        }
        *deadline = None;
    }
}
