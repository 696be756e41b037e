//! From the command line and the environment to what each part is built with.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use convis_exporters::{OutputStyle, Settings};
use convis_otel_config::policy::{self, Policy};
use convis_otel_config::{
    ConfigFile, ResourceAttributes, Setting, SinkConfig, Sources, batch_delay, metric_interval,
};

use crate::cli::{self, Run};
use crate::config;
use crate::fatal::Fatal;
use crate::say;

/// Events or metric points that wait for a sink: more than the fastest seconds of a two-core host bring, and at most
/// about 40 MB while a receiver is down.
const QUEUE_RECORDS: usize = 131_072;

/// Everything read from outside, before anything starts.
#[derive(Debug)]
pub struct Resolved {
    /// The options of the command line, and below them those of the file.
    pub options: Run,
    /// What the file says of options.
    pub settings: Vec<Setting>,
    /// The sinks; never none. Those of the file come first, since they have names of their own.
    pub sinks: Vec<SinkConfig>,
    /// What they share.
    pub shared: Settings,
    /// Time between two exports of metrics.
    pub interval: Duration,
    /// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
    pub attributes: ResourceAttributes,
    /// What is told.
    pub policy: Policy,
    /// Whether the table is shown because nothing else was asked for.
    pub is_default: bool,
}

/// Reads sinks, intervals and attributes, from the file as well.
///
/// # Errors
/// A setting is wrong.
pub fn resolve(given: &Run) -> Result<Resolved, Fatal> {
    let read_file = |path: &Path| std::fs::read(path);
    let warn = |warning: String| say::line(&format!("warning: {warning}"));
    let sources = Sources { env: &environment, read_file: &read_file, warn: &warn };
    let (file, options) = match &given.config {
        Some(path) => config::read(path, given, &sources)?,
        None => (ConfigFile::default(), given.clone()),
    };
    let mut sinks = file.sinks;
    for spec in &options.sinks {
        sinks.push(SinkConfig::from_spec(spec, &sources)?);
    }
    let is_default = sinks.is_empty();
    if is_default {
        sinks.push(SinkConfig::default());
    }
    let terminal = std::io::stdout().is_terminal();
    let colour = is_coloured(&std::io::stdout());
    let shared = Settings {
        event_delay: batch_delay(&sources),
        queue_records: QUEUE_RECORDS,
        events: options.events,
        output: OutputStyle { terminal, colour },
        seed: crate::clock::boot_now() ^ u64::from(std::process::id()),
        ..Settings::default()
    };
    let interval = options.interval.unwrap_or_else(|| metric_interval(&sources));
    let attributes = ResourceAttributes::from_env(&sources);
    let policy = policy(&options.policy, file.policy)?;
    Ok(Resolved { options, settings: file.settings, sinks, shared, interval, attributes, policy, is_default })
}

/// What is told, by the flags and by the file; the flags' rules come first.
fn policy(flags: &cli::Policy, file: policy::Settings) -> Result<Policy, Fatal> {
    let mut settings = policy::Settings::default();
    for text in &flags.networks {
        settings.add_network(text)?;
    }
    for text in &flags.include {
        settings.add_include(text)?;
    }
    for text in &flags.exclude {
        settings.add_exclude(text)?;
    }
    for text in &flags.expectations {
        settings.add_expectation(text)?;
    }
    for text in &flags.sampling {
        settings.add_sampling(text)?;
    }
    settings.extend(file);
    Ok(Policy::new(&settings)?)
}

/// Whether an output is for a person's eyes, who has not declined colours (<https://no-color.org>).
pub fn is_coloured(output: &impl IsTerminal) -> bool {
    output.is_terminal() && environment("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A variable of the process environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
