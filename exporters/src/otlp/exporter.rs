//! The exporter of both signals: what differs between them is a [`Kind`].

use convis_otel_config::{HistogramForm, OtlpSignal, Temporality};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;

use super::delta::Delta;
use super::encode_logs::encode_logs;
use super::json_logs::encode_logs_json;
use super::response::{Refused, read};
use super::transport::{Format, Transport};
use super::{encode_metrics, json_metrics};
use crate::batch::{Batch, Slice};
use crate::model::{EventBatch, MetricBatch};
use crate::outcome::{Exporter, Outcome, Payload};
use crate::web::Redact;

/// What distinguishes one signal from the other.
pub(crate) trait Kind: Send + 'static {
    /// What it sends.
    type Batch: Batch;
    /// The gRPC method.
    const GRPC_PATH: &'static str;
    /// The answer's count of refused records in OTLP/JSON.
    const JSON_REJECTED: &'static str;

    /// The request's bytes; none when there is nothing to say.
    fn encode(&mut self, slices: &[Slice<Self::Batch>], format: Format) -> Vec<u8>;
    /// What an answer says was refused.
    fn refused(answer: &[u8]) -> Result<Refused, prost::DecodeError>;
    /// The last request was acknowledged or given up.
    fn settled(&mut self, acknowledged: bool) {
        let _ = acknowledged;
    }
}

/// Events as log records.
pub(crate) struct Logs;

impl Kind for Logs {
    type Batch = EventBatch;
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    const JSON_REJECTED: &'static str = "rejectedLogRecords";

    fn encode(&mut self, slices: &[Slice<EventBatch>], format: Format) -> Vec<u8> {
        match format {
            Format::Protobuf => encode_logs(slices),
            Format::Json => encode_logs_json(slices),
        }
    }

    fn refused(answer: &[u8]) -> Result<Refused, prost::DecodeError> {
        let partial = ExportLogsServiceResponse::decode(answer)?.partial_success.unwrap_or_default();
        Ok(Refused::new(partial.rejected_log_records, partial.error_message))
    }
}

/// Metric points, cumulative or delta.
pub(crate) struct Metrics {
    form: HistogramForm,
    delta: Option<Delta>,
}

impl Metrics {
    pub(crate) fn new(temporality: Temporality, form: HistogramForm) -> Self {
        let delta = match temporality {
            Temporality::Cumulative => None,
            // All counters and histograms here are measured as things happen, as synchronous instruments are.
            Temporality::Delta | Temporality::LowMemory => Some(Delta::default()),
        };
        Self { form, delta }
    }
}

impl Kind for Metrics {
    type Batch = MetricBatch;
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    const JSON_REJECTED: &'static str = "rejectedDataPoints";

    fn encode(&mut self, slices: &[Slice<MetricBatch>], format: Format) -> Vec<u8> {
        if let (Some(delta), Some(slice)) = (&mut self.delta, slices.first()) {
            delta.begin(slice.batch.time_unix_nanos, slice.pruned);
        }
        let request = encode_metrics::encode(slices, self.form, self.delta.as_mut());
        match format {
            Format::Protobuf => request.encode_to_vec(),
            Format::Json if request.resource_metrics.is_empty() => Vec::new(),
            Format::Json => json_metrics::write(&request),
        }
    }

    fn refused(answer: &[u8]) -> Result<Refused, prost::DecodeError> {
        let partial = ExportMetricsServiceResponse::decode(answer)?.partial_success.unwrap_or_default();
        Ok(Refused::new(partial.rejected_data_points, partial.error_message))
    }

    fn settled(&mut self, acknowledged: bool) {
        if let Some(delta) = &mut self.delta {
            delta.settled(acknowledged);
        }
    }
}

/// The way out of one signal.
pub(crate) struct Otlp<K> {
    kind: K,
    transport: Transport,
    redact: Redact,
}

impl<K: Kind> Otlp<K> {
    pub(super) fn new(kind: K, signal: &OtlpSignal) -> Result<Self, String> {
        Ok(Self {
            kind,
            transport: Transport::new(signal, K::GRPC_PATH)?,
            redact: Redact::new(&signal.headers),
        })
    }
}

impl<K: Kind> Exporter for Otlp<K> {
    type Batch = K::Batch;

    fn encode(&mut self, slices: &[Slice<K::Batch>]) -> Payload {
        let message = self.kind.encode(slices, self.transport.format());
        if message.is_empty() {
            return Payload::default();
        }
        self.transport.payload(message)
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        let outcome = match self.transport.send(payload.body.clone()).await {
            Ok(answer) => read(&answer, K::refused, K::JSON_REJECTED),
            Err(outcome) => outcome,
        };
        self.redact.outcome(outcome)
    }

    fn settled(&mut self, acknowledged: bool) {
        self.kind.settled(acknowledged);
    }
}
