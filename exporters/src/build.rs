//! From settings to running sinks.

use std::sync::Arc;

use convis_otel_config::{SinkConfig, SinkKind};
use tokio::time::Instant;

use crate::accounting::SinkStats;
use crate::batch::Batch;
use crate::model::{EventBatch, MetricBatch};
use crate::notice::Notices;
use crate::outcome::Exporter;
use crate::queue::series::series;
use crate::queue::{self, Arrivals, Entrance, Exit};
use crate::runner::{BYTES_PER_RECORD, Pace, Runner, Stop};
use crate::settings::Settings;
use crate::sink::{Lane, Runners, Signal, Sink};
use crate::storage::{self, Place};
use crate::{conflicts, file, newrelic, otlp, prometheus, stdout};

/// A setting that is well-formed but cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sink {sink}: {text}")]
pub struct BuildError {
    /// The sink's name.
    pub sink: String,
    /// One line: what is wrong and what to do.
    pub text: String,
}

/// The ways out of one sink, not yet running.
pub(crate) struct Parts {
    pub(crate) events: Option<Start<EventBatch>>,
    pub(crate) metrics: Option<Start<MetricBatch>>,
}

/// Starts a lane; a closure because each exporter is a type of its own.
pub(crate) type Start<B> = Box<dyn FnOnce(Opening<'_, B>) -> Lane<B>>;

/// What a lane needs to start.
pub(crate) struct Opening<'a, B: Batch> {
    lane: Arc<str>,
    settings: &'a Settings,
    runners: &'a mut Runners,
    stop: &'a Stop,
    stats: Arc<SinkStats>,
    entrance: Entrance<B>,
    exit: Exit<B>,
}

/// Builds and starts all sinks, inside a Tokio runtime. Nothing starts unless everything can.
///
/// # Errors
/// See [`reload`].
pub fn build(configs: &[SinkConfig], settings: &Settings) -> Result<(Vec<Sink>, Runners), BuildError> {
    let mut runners = Runners::default();
    let sinks = reload(configs, settings, &[], &mut runners)?;
    Ok((sinks, runners))
}

/// Makes the sinks of these settings: those of `running` whose settings are the same stay as they are, the others are
/// built and started. Nothing starts unless everything can.
///
/// A sink with the name and the `storage` of one that runs takes over what that one has stored, and its counters; one that
/// listens where another did takes over its page.
/// What is not in the result is over once its last clone is dropped: its lanes end when they have sent what they hold,
/// for which [`Runners::part`] sets a deadline.
///
/// Lanes encode and compress inside their task, a few milliseconds at a time: a runtime with more than one thread keeps
/// that away from other work.
///
/// # Errors
/// When a certificate, a key, an endpoint or a storage directory cannot be used.
pub fn reload(
    configs: &[SinkConfig],
    settings: &Settings,
    running: &[Sink],
    runners: &mut Runners,
) -> Result<Vec<Sink>, BuildError> {
    check(configs)?;
    let kept = runners.kept(configs, running);
    let mut prepared = Vec::with_capacity(configs.len());
    let mut names: Vec<Arc<str>> = kept.iter().flatten().map(|sink| sink.name().into()).collect();
    for (config, _) in configs.iter().zip(&kept).filter(|(_, kept)| kept.is_none()) {
        let settings = &settings.of(&config.delivery);
        let name = name(config.name.as_deref().unwrap_or(kind(config)), &names);
        let error = |text| BuildError { sink: name.to_string(), text };
        let parts = prepare(config, settings, runners).map_err(error)?;
        let storage = config.delivery.storage.as_ref().filter(|_| parts.events.is_some());
        let place = storage.map(|storage| runners.stores.place(storage, &name)).transpose().map_err(error)?;
        names.push(Arc::clone(&name));
        prepared.push((name, parts, place, config));
    }
    let mut started = prepared.into_iter().map(|(name, parts, place, config)| {
        let stop = runners.stop_of(&name, config);
        start(&name, parts, place, config, settings, runners, &stop)
    });
    // Each in its place.
    Ok(kept.into_iter().filter_map(|kept| kept.or_else(|| started.next())).collect())
}

/// Whether these sinks can run beside each other; nothing is opened.
///
/// # Errors
/// When two write one file or listen on one address.
pub fn check(configs: &[SinkConfig]) -> Result<(), BuildError> {
    conflicts::find(configs).map_or(Ok(()), |(second, first, text)| {
        let [second, first] = [second, first].map(|place| shown(configs, place));
        Err(BuildError { sink: second, text: format!("sink {first} already {text}") })
    })
}

/// The one place where a new sink is added: its ways out, ...
fn prepare(config: &SinkConfig, settings: &Settings, runners: &mut Runners) -> Result<Parts, String> {
    match &config.kind {
        SinkKind::Stdout(config) => stdout::parts(config, settings),
        SinkKind::Otlp(config) => otlp::parts(config, settings),
        SinkKind::NewRelic(config) => newrelic::parts(config, settings),
        SinkKind::Prometheus(config) => prometheus::parts(config, settings, &mut runners.sites),
        SinkKind::File(config) => file::parts(config, settings),
    }
}

/// ... and what it is called unless it has a name.
const fn kind(config: &SinkConfig) -> &'static str {
    match &config.kind {
        SinkKind::Stdout(_) => "stdout",
        SinkKind::Otlp(_) => "otlp",
        SinkKind::NewRelic(_) => "newrelic",
        SinkKind::Prometheus(_) => "prometheus",
        SinkKind::File(_) => "file",
    }
}

/// A way out that starts later.
pub(crate) fn lane<E: Exporter>(exporter: E, pace: Pace) -> Start<E::Batch> {
    Box::new(move |opening| opening.open(exporter, pace))
}

impl<B: Batch> Opening<'_, B> {
    fn open<E: Exporter<Batch = B>>(self, exporter: E, pace: Pace) -> Lane<B> {
        // Lanes get different random numbers, so that two lanes to one receiver do not retry in step.
        let seed = self.settings.seed.wrapping_add(self.lane.bytes().map(u64::from).sum());
        let runner = Runner {
            exporter,
            queue: self.exit,
            stats: Arc::clone(&self.stats),
            pace,
            stop: self.stop.clone(),
            random: fastrand::Rng::with_seed(seed),
            notices: Notices::new(Arc::clone(&self.lane)),
            hold_until: Instant::now(),
            waits: None,
            bytes_per_record: BYTES_PER_RECORD,
        };
        self.runners.spawn(self.lane, runner.run());
        Lane { entrance: Arc::new(self.entrance), stats: self.stats }
    }
}

fn start(
    name: &Arc<str>,
    parts: Parts,
    place: Option<Place>,
    config: &SinkConfig,
    settings: &Settings,
    runners: &mut Runners,
    stop: &Stop,
) -> Sink {
    let settings = &settings.of(&config.delivery);
    let lane = |signal: Signal| Arc::from(format!("{name} {}", signal.as_str()));
    let events = parts.events.map(|start| {
        let lane = lane(Signal::Events);
        let Some(place) = place else {
            let (stats, entrance, arrivals) = waiting(settings, None);
            let exit = Exit::Direct(arrivals);
            return start(Opening { lane, settings, runners, stop, stats, entrance, exit });
        };
        let (stats, entrance, arrivals) = waiting(settings, place.stats.clone());
        let stop_of_runner = runners.stop_of_stored(place.directory.clone());
        let stored = storage::Lane {
            arrivals,
            memory_records: settings.queue_records,
            max_bytes: config.delivery.storage.as_ref().map_or(u64::MAX, |storage| storage.max_bytes),
            stop: stop.clone(),
        };
        let (keeper, taker) = runners.stores.start(place, name, stored, &stats, Arc::clone(&lane));
        if let Some(keeper) = keeper {
            runners.spawn(Arc::clone(&lane), async {
                keeper.run().await;
                Ok(())
            });
        }
        let exit = Exit::Kept(Box::new(taker));
        start(Opening { lane, settings, runners, stop: &stop_of_runner, stats, entrance, exit })
    });
    let metrics = parts.metrics.map(|start| {
        let lane = lane(Signal::Metrics);
        let (stats, entrance, arrivals) = waiting(settings, None);
        let (keeper, latest) = series(arrivals, settings.queue_records, Arc::clone(&stats), stop.clone());
        runners.spawn(Arc::clone(&lane), async {
            keeper.run().await;
            Ok(())
        });
        let exit = Exit::Kept(Box::new(latest));
        start(Opening { lane, settings, runners, stop, stats, entrance, exit })
    });
    let kinds = config.events.or(settings.events).unwrap_or(config.kind.events());
    Sink::new(Arc::clone(name), kinds, events, metrics)
}

/// The queue of a lane, and its counters, which may be those of a lane before it.
fn waiting<B: Batch>(
    settings: &Settings,
    known: Option<Arc<SinkStats>>,
) -> (Arc<SinkStats>, Entrance<B>, Arrivals<B>) {
    let stats = known.unwrap_or_default();
    let (entrance, arrivals) = queue::bounded(settings.queue_records, Arc::clone(&stats));
    (stats, entrance, arrivals)
}

/// What a sink is called that is not built.
fn shown(configs: &[SinkConfig], place: usize) -> String {
    let names = configs[..=place].iter().fold(Vec::new(), |mut names, config| {
        let wanted = config.name.as_deref().unwrap_or(kind(config));
        let taken = name(wanted, &names);
        names.push(taken);
        names
    });
    names.last().map_or_else(String::new, ToString::to_string)
}

/// `otlp`, then `otlp/2`, `otlp/3`, ...
fn name(wanted: &str, taken: &[Arc<str>]) -> Arc<str> {
    let numbered = (2..).map(|number| format!("{wanted}/{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    let free = names.find(|name| taken.iter().all(|taken| **taken != **name));
    free.unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
