//! OTLP: events as log records and metrics, for many Resources per request, over gRPC or HTTP.
//!
//! Source: the OTLP specification 1.11, <https://opentelemetry.io/docs/specs/otlp/>. The messages are those of
//! `opentelemetry-proto`; the OpenTelemetry SDK cannot carry more than one Resource.

mod attributes;
mod delta;
pub(crate) mod doors;
mod encode_logs;
mod encode_metrics;
mod exporter;
mod grpc;
mod http;
mod json;
mod json_logs;
mod json_metrics;
mod own;
mod points;
mod response;
mod transport;
mod wire;

use std::time::Duration;

use convis_otel_config::{HistogramForm, OtlpConfig, OtlpSignal, Protocol, Temporality};

pub(crate) use transport::Format;

pub use encode_logs::encode_logs;
pub use encode_metrics::encode_metrics;
use exporter::{Logs, Metrics, Otlp};
pub use json_logs::encode_logs_json;
pub use own::own_metrics;

use crate::build::{Parts, lane};
use crate::runner::Pace;
use crate::settings::Settings;
use crate::web::Target;

/// Events in one request, about 2 MB, so that requests rarely have to be cut.
const MAX_EVENTS: u64 = 2048;
/// As [`MAX_EVENTS`], in JSON.
const MAX_EVENTS_JSON: u64 = 1024;
/// Largest request, in bytes before compression: receivers commonly stop at 4 MiB.
const MAX_REQUEST_BYTES: usize = 3_500_000;

/// The ways out of a sink.
///
/// # Errors
/// One line, when an endpoint or a certificate cannot be used.
pub(crate) fn parts(config: &OtlpConfig, settings: &Settings) -> Result<Parts, String> {
    let pace = |signal: &OtlpSignal, delay, max_records| Pace {
        delay,
        max_records,
        max_bytes: MAX_REQUEST_BYTES,
        timeout: signal.timeout,
        retry: settings.retry,
    };
    let events = config.logs.as_ref().map(|signal| -> Result<_, String> {
        let max_events = if signal.protocol == Protocol::HttpJson { MAX_EVENTS_JSON } else { MAX_EVENTS };
        Ok(lane(logs(signal)?, pace(signal, settings.event_delay, max_events)))
    });
    let metrics = config.metrics.as_ref().map(|signal| -> Result<_, String> {
        // One collection per request: a later one is another point in time of the same series.
        let exporter = metrics(signal, config.temporality, config.histogram)?;
        Ok(lane(exporter, pace(signal, Duration::ZERO, 1)))
    });
    Ok(Parts { events: events.transpose()?, metrics: metrics.transpose()? })
}

/// The way out of events.
///
/// # Errors
/// One line, when the endpoint or a certificate cannot be used.
fn logs(signal: &OtlpSignal) -> Result<Otlp<Logs>, String> {
    Otlp::new(Logs, signal)
}

/// The way out of metrics.
///
/// # Errors
/// As for [`logs`].
fn metrics(
    signal: &OtlpSignal,
    temporality: Temporality,
    form: HistogramForm,
) -> Result<Otlp<Metrics>, String> {
    Otlp::new(Metrics::new(temporality, form), signal)
}

fn target(signal: &OtlpSignal) -> Target<'_> {
    Target {
        endpoint: &signal.endpoint,
        headers: &signal.headers,
        ca: signal.ca.as_deref(),
        identity: signal.identity.as_ref(),
    }
}

#[cfg(test)]
mod tests;
