//! The sinks that exist, each with its own settings.
//!
//! A new sink is one file here, one arm of [`SinkKind`] and one entry in `SINKS`.

pub(crate) mod delivery;
pub(crate) mod file;
pub(crate) mod headers;
pub(crate) mod newrelic;
pub(crate) mod otlp;
pub(crate) mod prometheus;
pub(crate) mod stdout;
pub(crate) mod tls;

use std::ops::Range;

use self::{
    delivery::{Delivery, EventKinds},
    file::FileConfig,
    newrelic::NewRelicConfig,
    otlp::{HistogramForm, OtlpConfig},
    prometheus::{PrometheusConfig, PrometheusWay},
    stdout::StdoutConfig,
};
use crate::{
    ConfigError, Problem, Sources, Spec,
    error::shown,
    spec::{self, Key},
};

/// Settings of one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// What the user calls it; `None` leaves that to the program, which takes the name of its kind.
    pub name: Option<String>,
    /// Its own settings.
    pub kind: SinkKind,
    /// Which events it takes; `None` leaves that to the program.
    pub events: Option<EventKinds>,
    /// How its records wait and are tried again.
    pub delivery: Delivery,
}

/// Settings that only one kind of sink has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are a handful per process")]
pub enum SinkKind {
    /// Lines on standard output.
    Stdout(StdoutConfig),
    /// OTLP over gRPC or HTTP.
    Otlp(OtlpConfig),
    /// New Relic's Event API.
    NewRelic(NewRelicConfig),
    /// Prometheus remote write, or a page for scraping.
    Prometheus(PrometheusConfig),
    /// JSON lines in a file.
    File(FileConfig),
}

/// Reads the settings of one kind of sink.
type Read = fn(&Spec, &Sources<'_>) -> Result<SinkKind, Problem>;

/// Every sink by the name used in `--sink`, in the order that errors list them.
const SINKS: [(&str, Read); 5] = [
    ("file", |spec, _| FileConfig::from_spec(spec).map(SinkKind::File)),
    ("newrelic", |spec, sources| NewRelicConfig::from_spec(spec, sources).map(SinkKind::NewRelic)),
    ("otlp", |spec, sources| OtlpConfig::from_spec(spec, sources).map(SinkKind::Otlp)),
    ("prometheus", |spec, sources| PrometheusConfig::from_spec(spec, sources).map(SinkKind::Prometheus)),
    ("stdout", |spec, _| StdoutConfig::from_spec(spec).map(SinkKind::Stdout)),
];

/// The byte ranges of the secrets that are written out in the text of one `--sink`, right or wrong, so that they can be
/// hidden wherever that text shows.
pub fn secrets_in(text: &str) -> Vec<Range<usize>> {
    /// Names of secrets wherever they exist, for a sink that does not.
    const COMMON: &[Key] = &[
        Key::secret("header.NAME"),
        Key::secret("password"),
        Key::secret("bearer"),
        Key::secret("aws_secret_key"),
    ];
    spec::secrets::find(text, |name| {
        let own = match name {
            "file" => file::KEYS,
            "newrelic" => newrelic::KEYS,
            "otlp" => otlp::KEYS,
            "prometheus" => prometheus::KEYS,
            "stdout" => stdout::KEYS,
            _ => COMMON,
        };
        [own, delivery::EVENT_KEYS, delivery::KEYS].concat()
    })
}

impl SinkConfig {
    /// Reads one `--sink` text: see [`Spec`] for the grammar.
    ///
    /// # Errors
    /// One line that names the setting and what is valid.
    pub fn from_spec(text: &str, sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let names = SINKS.map(|(name, _)| name);
        let spec = Spec::parse(text, &names, sources)?;
        let place = || format!("--sink {}", shown(&spec.name));
        Self::read(&spec, sources).map_err(|problem| ConfigError { place: place(), problem })
    }

    /// Reads what `--sink` or an entry of the file says.
    pub(crate) fn read(spec: &Spec, sources: &Sources<'_>) -> Result<Self, Problem> {
        let known = SINKS.iter().find(|(name, _)| *name == spec.name);
        let (_, read) = known.ok_or_else(|| {
            let valid = SINKS.map(|(name, _)| name).join(", ");
            Problem::UnknownSink { name: shown(&spec.name), valid }
        })?;
        let kind = read(spec, sources)?;
        Ok(Self { name: None, kind, events: delivery::events(spec)?, delivery: Delivery::from_spec(spec)? })
    }
}

impl SinkKind {
    /// The events that it takes when nobody says otherwise.
    pub const fn events(&self) -> EventKinds {
        match self {
            Self::Stdout(_) | Self::Otlp(_) | Self::File(_) => EventKinds::DEFAULT,
            Self::Prometheus(_) => EventKinds::NONE,
            // Its users look at what happens now, and a connection may live for days.
            Self::NewRelic(_) => EventKinds::ALL,
        }
    }

    /// Whether it sends histograms with exponential buckets, which are measured only where somebody wants them.
    pub fn wants_exponential(&self) -> bool {
        match self {
            Self::Stdout(_) | Self::File(_) | Self::NewRelic(_) => false,
            Self::Prometheus(config) => match &config.way {
                PrometheusWay::Write(write) => write.native_histograms,
                PrometheusWay::Listen(_) => false,
            },
            Self::Otlp(config) => {
                config.metrics.is_some() && matches!(config.histogram, HistogramForm::Exponential)
            }
        }
    }
}

impl From<SinkKind> for SinkConfig {
    fn from(kind: SinkKind) -> Self {
        Self { name: None, kind, events: None, delivery: Delivery::default() }
    }
}

/// What runs when no sink is configured anywhere: the table on standard output.
impl Default for SinkConfig {
    fn default() -> Self {
        SinkKind::Stdout(StdoutConfig::default()).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Outside;

    #[test]
    fn unknown_sinks_name_the_valid_ones() {
        let line = Outside::default().refusal("otlpp,header.x=hunter2");
        assert_eq!(
            line,
            "--sink otlpp: unknown sink `otlpp`; valid sinks: file, newrelic, otlp, prometheus, stdout"
        );
        assert!(Outside::default().refusal("OTLP").contains("unknown sink `OTLP`"));
    }

    #[test]
    fn names_are_listed_in_order() {
        assert!(SINKS.is_sorted_by_key(|(name, _)| *name));
    }

    proptest! {
        #[test]
        fn any_text_is_safe_and_errors_are_one_line(
            text in "(otlp|stdout|newrelic|prometheus|file)(,(account|path|key|endpoint|listen|username|password|bearer|sigv4|aws_access_key|aws_secret_key|header\\.a|timeout|protocol|ca|signals|insecure|x)=(http://|.|\n|@|:){0,12}){0,4}"
        ) {
            if let Err(error) = Outside::default().sink(&text) {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
}
