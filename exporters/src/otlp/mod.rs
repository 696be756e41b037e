//! OTLP: events as log records and metrics, for many Resources per request, over gRPC or HTTP.
//!
//! Source: the OTLP specification 1.11, <https://opentelemetry.io/docs/specs/otlp/>. The messages are those of
//! `opentelemetry-proto`; the OpenTelemetry SDK cannot carry more than one Resource.

mod attributes;
mod delta;
mod encode_logs;
mod encode_metrics;
mod exporter;
mod grpc;
mod http;
mod own;
mod redact;
mod response;
mod tls;
mod transport;
mod wire;

use convis_otel_config::{OtlpSignal, Temporality};

pub use encode_logs::encode_logs;
pub use encode_metrics::encode_metrics;
use exporter::{Logs, Metrics, Otlp};
pub use own::own_metrics;

/// Sent with every request.
const USER_AGENT: &str = concat!("convis/", env!("CARGO_PKG_VERSION"));

/// The way out of events.
///
/// # Errors
/// One line, when the endpoint or a certificate cannot be used.
pub(crate) fn logs(signal: &OtlpSignal) -> Result<Otlp<Logs>, String> {
    Otlp::new(Logs, signal)
}

/// The way out of metrics.
///
/// # Errors
/// As for [`logs`].
pub(crate) fn metrics(signal: &OtlpSignal, temporality: Temporality) -> Result<Otlp<Metrics>, String> {
    Otlp::new(Metrics::new(temporality), signal)
}

/// An endpoint for messages: without user, password and query, which may hold secrets.
fn shown(endpoint: &url::Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", endpoint.scheme(), endpoint.path())
}

#[cfg(test)]
mod tests;
