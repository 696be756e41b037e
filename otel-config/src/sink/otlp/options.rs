//! Settings that are one of a few words or a number.

use std::time::Duration;

use url::{Host, Url};

use super::settings::Settings;
use crate::{Problem, Spec, decode::choose, error::shown, intervals::parse_duration};

/// Longest time for one batch when nothing says otherwise, by the specification.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is spoken to an OTLP endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf over gRPC.
    Grpc,
    /// Protobuf over HTTP.
    HttpProtobuf,
    /// JSON over HTTP.
    HttpJson,
}

/// How request bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By zstd, which the specification does not name and not every receiver takes.
    Zstd,
}

/// What counters and histograms count from. Up-down counters are cumulative in every case.
/// <https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Temporality {
    /// From the start of the series.
    #[default]
    Cumulative,
    /// Counters and histograms from the point before.
    Delta,
    /// As [`Temporality::Delta`] for synchronous counters and histograms; asynchronous counters are cumulative.
    LowMemory,
}

/// What histograms are sent as.
/// <https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HistogramForm {
    /// Buckets between fixed bounds.
    #[default]
    Explicit,
    /// Base-2 exponential buckets, whose scale follows the range of what is measured.
    Exponential,
}

/// Which signals a sink takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signals {
    pub(super) logs: bool,
    pub(super) metrics: bool,
}

impl Signals {
    /// Reads `signals=metrics+logs`; both when not given. An endpoint for a signal left out is an error.
    pub(super) fn read(spec: &Spec) -> Result<Self, Problem> {
        let wrong = |why| Problem::setting("signals", why);
        let mut signals = Self { logs: false, metrics: false };
        for word in spec.get("signals").unwrap_or("metrics+logs").split('+') {
            let is_logs = choose(word, &[("metrics", false), ("logs", true)]).map_err(wrong)?;
            *(if is_logs { &mut signals.logs } else { &mut signals.metrics }) = true;
        }
        for (key, taken) in [("logs_endpoint", signals.logs), ("metrics_endpoint", signals.metrics)] {
            if !taken && spec.get(key).is_some() {
                return Err(wrong(format!(
                    "it leaves out the signal of `{key}`; valid: metrics, logs, metrics+logs"
                )));
            }
        }
        Ok(signals)
    }
}

pub(super) fn protocol(settings: &Settings<'_>) -> Result<Option<Protocol>, Problem> {
    const WORDS: [(&str, Protocol); 3] = [
        ("grpc", Protocol::Grpc),
        ("http/protobuf", Protocol::HttpProtobuf),
        ("http/json", Protocol::HttpJson),
    ];
    settings.parsed("protocol", "PROTOCOL", |text| choose(text, &WORDS))
}

/// The specification leaves the default open: gzip pays on a network and only costs on this host.
pub(super) fn compression(settings: &Settings<'_>, endpoint: &Url) -> Result<Compression, Problem> {
    let words = [("gzip", Compression::Gzip), ("zstd", Compression::Zstd), ("none", Compression::None)];
    let given = settings.parsed("compression", "COMPRESSION", |text| choose(text, &words))?;
    let default = if is_this_host(endpoint) { Compression::None } else { Compression::Gzip };
    Ok(given.unwrap_or(default))
}

fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `timeout=` takes milliseconds or a number with a unit; the variables hold milliseconds. Zero is `None`: no limit.
pub(super) fn timeout(settings: &Settings<'_>) -> Result<Option<Duration>, Problem> {
    let timeout = match settings.spec.get("timeout") {
        Some(text) => millis(text)
            .or_else(|_| parse_duration(text))
            .map_err(|error| Problem::setting("timeout", format!("{error}, or milliseconds without one")))?,
        None => settings
            .parsed_variable("TIMEOUT", |text| {
                millis(text)
                    .map_err(|_| format!("`{}` is no whole number of milliseconds from 0", shown(text)))
            })
            .unwrap_or(DEFAULT_TIMEOUT),
    };
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

fn millis(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// Whether a connection without a scheme is without TLS.
pub(super) fn insecure(settings: &Settings<'_>) -> Result<bool, Problem> {
    let words = [("true", true), ("false", false)];
    let given = settings.parsed("insecure", "INSECURE", |text| choose(text, &words))?;
    Ok(given.unwrap_or(false))
}

pub(super) fn temporality(metrics: &Settings<'_>) -> Result<Temporality, Problem> {
    const WORDS: [(&str, Temporality); 3] = [
        ("cumulative", Temporality::Cumulative),
        ("delta", Temporality::Delta),
        ("lowmemory", Temporality::LowMemory),
    ];
    let given = metrics.parsed_own("temporality", "TEMPORALITY_PREFERENCE", |text| choose(text, &WORDS))?;
    Ok(given.unwrap_or_default())
}

pub(super) fn histogram(metrics: &Settings<'_>) -> Result<HistogramForm, Problem> {
    const WORDS: [(&str, HistogramForm); 2] = [
        ("explicit_bucket_histogram", HistogramForm::Explicit),
        ("base2_exponential_bucket_histogram", HistogramForm::Exponential),
    ];
    let given =
        metrics.parsed_own("histogram", "DEFAULT_HISTOGRAM_AGGREGATION", |text| choose(text, &WORDS))?;
    Ok(given.unwrap_or_default())
}
