//! The way out for convis's own metrics: the OpenTelemetry SDK's exporter, with a sink's endpoint, headers and TLS.

use std::fmt;

use bytes::Bytes;
use convis_otel_config::{Compression, OtlpSignal, Protocol, Temporality};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Compression as SdkCompression, MetricExporter, Protocol as SdkProtocol, WithExportConfig as _,
    WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::metrics::Temporality as SdkTemporality;
use tokio::runtime::Handle;

use super::{grpc, target};
use crate::web;

/// An exporter for an SDK's meter provider that sends where the sink's metrics go. Call it inside a Tokio runtime, whose
/// threads do the sending: the SDK exports from a thread without one.
///
/// # Errors
/// As for the sink itself: a certificate or a key cannot be used.
pub fn own_metrics(signal: &OtlpSignal, temporality: Temporality) -> Result<MetricExporter, String> {
    let timeout = signal.timeout.unwrap_or(convis_otel_config::DEFAULT_TIMEOUT);
    let temporality = match temporality {
        Temporality::Cumulative => SdkTemporality::Cumulative,
        Temporality::Delta => SdkTemporality::Delta,
        Temporality::LowMemory => SdkTemporality::LowMemory,
    };
    let compression = match signal.compression {
        Compression::None => None,
        Compression::Gzip => Some(SdkCompression::Gzip),
        Compression::Zstd => Some(SdkCompression::Zstd),
    };
    let exporter = match signal.protocol {
        Protocol::Grpc => {
            let mut builder = MetricExporter::builder()
                .with_tonic()
                .with_temporality(temporality)
                .with_channel(grpc::endpoint(signal)?.connect_lazy())
                .with_metadata(grpc::metadata(signal)?)
                .with_timeout(timeout);
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            builder.build()
        }
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            let protocol = match signal.protocol {
                Protocol::HttpJson => SdkProtocol::HttpJson,
                _ => SdkProtocol::HttpBinary,
            };
            let client = OnRuntime { client: web::client(target(signal))?, runtime: Handle::current() };
            let mut builder = MetricExporter::builder()
                .with_http()
                .with_protocol(protocol)
                .with_temporality(temporality)
                .with_http_client(client)
                .with_endpoint(signal.endpoint.as_str())
                .with_timeout(timeout);
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            builder.build()
        }
    };
    exporter.map_err(|error| format!("the exporter of convis's own metrics cannot be set up: {error}"))
}

/// A client whose requests run on a runtime, whatever thread asks for them.
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

// Not derived: the client's headers hold secrets.
impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRuntime")
    }
}

#[async_trait::async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}
