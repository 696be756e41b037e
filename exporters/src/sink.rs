//! A running sink: what offers to it, what runs it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use convis_otel_config::{EventKinds, SinkConfig};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::accounting::SinkStats;
use crate::batch::Batch as _;
use crate::model::{Event, EventBatch, MetricBatch};
use crate::prometheus::Sites;
use crate::queue::Entrance;
use crate::runner::Stop;
use crate::storage::Stores;

/// What a lane carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Connection events.
    Events,
    /// Metric points.
    Metrics,
}

impl Signal {
    /// The word for logs and attributes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Metrics => "metrics",
        }
    }
}

/// The counters of one lane.
#[derive(Debug, Clone)]
pub struct LaneStats {
    /// Name of the sink: `otlp`, `otlp/2`, ...; the value of the attribute `stage`.
    pub sink: Arc<str>,
    /// What the lane carries.
    pub signal: Signal,
    /// Its counters.
    pub stats: Arc<SinkStats>,
}

/// The offering side of a sink. Clones share its queues; offers never wait.
#[derive(Debug, Clone)]
pub struct Sink {
    name: Arc<str>,
    kinds: EventKinds,
    events: Option<Lane<EventBatch>>,
    metrics: Option<Lane<MetricBatch>>,
}

#[derive(Debug)]
pub(crate) struct Lane<B> {
    pub(crate) entrance: Arc<Entrance<B>>,
    pub(crate) stats: Arc<SinkStats>,
}

// Not derived: that would ask `B: Clone`.
impl<B> Clone for Lane<B> {
    fn clone(&self) -> Self {
        Self { entrance: Arc::clone(&self.entrance), stats: Arc::clone(&self.stats) }
    }
}

impl Sink {
    pub(crate) fn new(
        name: Arc<str>,
        kinds: EventKinds,
        events: Option<Lane<EventBatch>>,
        metrics: Option<Lane<MetricBatch>>,
    ) -> Self {
        Self { name, kinds, events, metrics }
    }

    /// The sink's name: `stdout`, `otlp`, and `otlp/2` for the second of a kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a clone of that sink, with the same queues.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.name, &other.name)
    }

    /// Whether it takes `signal`; what a sink does not take is neither queued nor counted.
    pub fn takes(&self, signal: Signal) -> bool {
        match signal {
            Signal::Events => self.events.is_some(),
            Signal::Metrics => self.metrics.is_some(),
        }
    }

    /// The kinds of events it takes; none when it takes no events.
    pub fn kinds(&self) -> EventKinds {
        self.events.as_ref().map_or(EventKinds::NONE, |_| self.kinds)
    }

    /// Queues those of the events that it takes, or drops and counts them when the queue is full.
    pub fn offer_events(&self, batch: &Arc<EventBatch>) {
        let Some(lane) = &self.events else {
            return;
        };
        let takes = |event: &Event| event.name().is_among(self.kinds);
        if batch.events.iter().all(takes) {
            return lane.entrance.offer(batch);
        }
        let events = batch.events.iter().filter(|event| takes(event)).cloned().collect();
        lane.entrance.offer(&Arc::new(EventBatch { events }));
    }

    /// Queues metric points, or drops and counts them when the queue is full.
    pub fn offer_metrics(&self, batch: &Arc<MetricBatch>) {
        if let Some(lane) = &self.metrics {
            lane.entrance.offer(batch);
        }
    }

    /// Whether so many events would be queued now; `true` where none are taken.
    pub fn has_room_for_events(&self, count: usize) -> bool {
        self.events.as_ref().is_none_or(|lane| lane.entrance.has_room(count))
    }

    /// Whether these points would be queued now; `true` where none are taken.
    pub fn has_room_for_metrics(&self, batch: &MetricBatch) -> bool {
        self.metrics.as_ref().is_none_or(|lane| lane.entrance.has_room(batch.records()))
    }

    /// Whether nothing is queued or on its way.
    pub fn is_idle(&self) -> bool {
        let events = self.events.as_ref().is_none_or(|lane| lane.entrance.is_idle());
        events && self.metrics.as_ref().is_none_or(|lane| lane.entrance.is_idle())
    }

    /// The counters of its lanes.
    pub fn stats(&self) -> Vec<LaneStats> {
        let events = self.events.as_ref().map(|lane| (Signal::Events, Arc::clone(&lane.stats)));
        let metrics = self.metrics.as_ref().map(|lane| (Signal::Metrics, Arc::clone(&lane.stats)));
        let lanes = events.into_iter().chain(metrics);
        lanes.map(|(signal, stats)| LaneStats { sink: Arc::clone(&self.name), signal, stats }).collect()
    }
}

/// Why a sink cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The reader of standard output went away, as `head` does; a reason to end, not an error.
    #[error("standard output was closed by its reader")]
    OutputClosed,
    /// Standard output cannot be written for another reason.
    #[error("cannot write to standard output: {0}; check the disk or the terminal behind it")]
    Output(std::io::Error),
    /// A defect of convis.
    #[error("the task of the sink ended unexpectedly: {0}")]
    Panicked(JoinError),
}

/// A sink's lane that ended before it was told to.
#[derive(Debug)]
pub struct SinkFailure {
    /// Name of the lane: the sink's name and its signal.
    pub lane: Arc<str>,
    /// Why it ended.
    pub error: SinkError,
}

impl SinkFailure {
    /// Whether the process should end quietly and successfully.
    pub const fn is_output_closed(&self) -> bool {
        matches!(self.error, SinkError::OutputClosed)
    }
}

impl fmt::Display for SinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sink {}: {}", self.lane, self.error)
    }
}

impl std::error::Error for SinkFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The tasks of all sinks.
#[derive(Debug, Default)]
pub struct Runners {
    tasks: JoinSet<Result<(), SinkError>>,
    names: HashMap<Id, Arc<str>>,
    sinks: Vec<Started>,
    pub(crate) stores: Stores,
    pub(crate) sites: Sites,
}

/// A sink that was started.
#[derive(Debug)]
struct Started {
    /// The very name that the [`Sink`] has: one that parts may be called as the one that follows it.
    name: Arc<str>,
    config: SinkConfig,
    stop: Arc<watch::Sender<Option<Instant>>>,
    stored: Option<StoredLane>,
    parted: bool,
}

/// A lane of events with a store: its runner can be told to stop alone, when another lane takes over what waits.
#[derive(Debug)]
struct StoredLane {
    directory: PathBuf,
    stop: Arc<watch::Sender<Option<Instant>>>,
}

impl Started {
    fn store(&self) -> Option<&Path> {
        self.stored.as_ref().map(|stored| &*stored.directory)
    }

    fn stops(&self) -> impl Iterator<Item = &Arc<watch::Sender<Option<Instant>>>> {
        [&self.stop].into_iter().chain(self.stored.iter().map(|stored| &stored.stop))
    }

    fn is_over(&self) -> bool {
        self.stops().all(|stop| stop.is_closed())
    }
}

impl Runners {
    /// What tells the lanes of a new sink to stop.
    pub(crate) fn stop_of(&mut self, name: &Arc<str>, config: &SinkConfig) -> Stop {
        let (announce, stop) = watch::channel(None);
        let (name, config) = (Arc::clone(name), config.clone());
        self.sinks.push(Started { name, config, stop: Arc::new(announce), stored: None, parted: false });
        stop
    }

    /// What tells the runner of a lane with a store to stop, of the sink that was started last.
    pub(crate) fn stop_of_stored(&mut self, directory: PathBuf) -> Stop {
        let (announce, stop) = watch::channel(None);
        if let Some(started) = self.sinks.last_mut() {
            started.stored = Some(StoredLane { directory, stop: Arc::new(announce) });
        }
        stop
    }

    /// For each of the settings the running sink that has them, no sink twice.
    pub(crate) fn kept(&self, configs: &[SinkConfig], running: &[Sink]) -> Vec<Option<Sink>> {
        let mut free: Vec<_> = self.sinks.iter().filter(|started| !started.parted).collect();
        let kept = configs.iter().map(|config| {
            let at = free.iter().position(|started| started.config == *config)?;
            let name = &free.remove(at).name;
            running.iter().find(|sink| Arc::ptr_eq(&sink.name, name)).cloned()
        });
        kept.collect()
    }

    /// Sinks that are not among `kept` have until the deadline to send what they hold; they end sooner when they have
    /// nothing left. What is left then is counted as dropped at shutdown. Where one of `kept` has taken over the store of
    /// such a sink, only what is on its way is left to it.
    pub fn part(&mut self, kept: &[Sink], deadline: Instant) {
        self.sinks.retain(|started| !started.is_over());
        let is_kept = |started: &Started| kept.iter().any(|sink| Arc::ptr_eq(&sink.name, &started.name));
        let stores: Vec<_> = self.sinks.iter().filter(|started| is_kept(started)).collect();
        let stores: Vec<PathBuf> =
            stores.iter().filter_map(|started| Some(started.store()?.into())).collect();
        for started in self.sinks.iter_mut().filter(|started| !is_kept(started)) {
            if let Some(stored) = started.stored.iter().find(|stored| stores.contains(&stored.directory)) {
                announce(&stored.stop, deadline);
            }
            if std::mem::replace(&mut started.parted, true) {
                continue;
            }
            let stops: Vec<_> = started.stops().cloned().collect();
            tokio::spawn(async move {
                sleep_until(deadline).await;
                for stop in stops {
                    announce(&stop, deadline);
                }
            });
        }
    }

    pub(crate) fn spawn(
        &mut self,
        lane: Arc<str>,
        task: impl Future<Output = Result<(), SinkError>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), lane);
    }

    /// Waits for the next lane that ends by an error. `None` when all have ended well, which happens only once every
    /// [`Sink`] is gone. Nothing is lost when the future is dropped.
    pub async fn failed(&mut self) -> Option<SinkFailure> {
        loop {
            let ended = self.tasks.join_next_with_id().await?;
            let (id, result) = match ended {
                Ok((id, result)) => (id, result),
                Err(error) => (error.id(), Err(SinkError::Panicked(error))),
            };
            let lane = self.names.remove(&id).unwrap_or_else(|| "unknown".into());
            if let Err(error) = result {
                return Some(SinkFailure { lane, error });
            }
        }
    }

    /// Closes all queues, lets the lanes send what they hold until the deadline, and waits for them. What is left then is
    /// counted as dropped at shutdown.
    pub async fn stop(mut self, deadline: Instant) -> Vec<SinkFailure> {
        for stop in self.sinks.iter().flat_map(Started::stops) {
            announce(stop, deadline);
        }
        let mut failures = Vec::new();
        while let Some(failure) = self.failed().await {
            failures.push(failure);
        }
        failures
    }
}

/// Says when the lanes of a sink must be done, unless that is known to be sooner.
fn announce(stop: &watch::Sender<Option<Instant>>, deadline: Instant) {
    stop.send_modify(|at| *at = Some(at.map_or(deadline, |sooner| sooner.min(deadline))));
}
