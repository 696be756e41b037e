//! Requests stay below what receivers commonly take, whatever is sent and however.

use std::sync::Arc;
use std::time::Duration;

use convis_otel_config::{HistogramForm, OtlpConfig, Protocol, SinkKind, Temporality};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use tokio::time::Instant;

use crate::build::build;
use crate::model::{EventBatch, Metric, MetricBatch, MetricResource, PointValue};
use crate::settings::Settings;
use crate::testing::http::Receiver;
use crate::testing::{samples, signal};

/// What gRPC servers take unless told otherwise.
const COMMON_LIMIT: usize = 4 * 1024 * 1024;

/// The bodies of all requests that carry this, each below the limit.
async fn sent(
    protocol: Protocol,
    events: &[Arc<EventBatch>],
    metrics: Option<&Arc<MetricBatch>>,
) -> Vec<Vec<u8>> {
    let (receiver, base) = Receiver::start(Vec::new()).await;
    let at = |path| signal(&format!("{base}/{path}"), protocol);
    let config = OtlpConfig {
        logs: Some(at("logs")),
        metrics: Some(at("metrics")),
        temporality: Temporality::Delta,
        histogram: HistogramForm::Explicit,
    };
    let (sinks, runners) = build(&[SinkKind::Otlp(config).into()], &Settings::default()).unwrap();
    for batch in events {
        sinks[0].offer_events(batch);
    }
    if let Some(metrics) = metrics {
        sinks[0].offer_metrics(metrics);
    }
    let stats = sinks[0].stats();
    assert!(runners.stop(Instant::now() + Duration::from_mins(2)).await.is_empty());
    for lane in stats {
        let lane = lane.stats.snapshot();
        assert_eq!((lane.sent, lane.queued()), (lane.accepted, 0));
    }
    let bodies: Vec<_> = receiver.asked().into_iter().map(|asked| asked.body.to_vec()).collect();
    for body in &bodies {
        assert!(body.len() < COMMON_LIMIT, "{}", body.len());
    }
    bodies
}

/// Scenario: 6000 events of long names, in batches of 3000.
/// Guarantees: in both forms every request is below the limit, and all of them together hold every event once.
#[tokio::test]
async fn requests_of_events_are_below_the_limit() {
    let batch = samples::many_events(3000);
    let long = samples::process(&"x".repeat(2000), 1);
    let events = batch.events.iter().map(|event| {
        let mut event = event.clone();
        event.resource = Arc::clone(&long);
        event
    });
    let batch = Arc::new(EventBatch { events: events.collect() });
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let bodies = sent(protocol, &[Arc::clone(&batch), Arc::clone(&batch)], None).await;
        let requests = bodies.iter().map(|body| match protocol {
            Protocol::HttpJson => serde_json::from_slice(body).unwrap(),
            _ => ExportLogsServiceRequest::decode(body.as_slice()).unwrap(),
        });
        let scopes = requests.flat_map(|request| request.resource_logs).flat_map(|of| of.scope_logs);
        assert_eq!(scopes.map(|scope| scope.log_records.len()).sum::<usize>(), 6000);
        assert!(bodies.len() > 2);
    }
}

/// Scenario: one collection of 60,000 points, as differences.
/// Guarantees: in both forms every request is below the limit, and all of them together hold every point once.
#[tokio::test]
async fn requests_of_metrics_are_below_the_limit() {
    let resources = (0..600_u32).map(|pid| {
        let point = |number| samples::point("transmit", samples::TIME - 1, PointValue::Sum(number));
        let points = (1..=100).map(|number| {
            let mut point = point(number);
            let mut attributes = point.attributes.as_ref().clone();
            attributes.push(("series", number.into()));
            point.attributes = Arc::new(attributes);
            point
        });
        let metrics = vec![Metric { descriptor: &samples::IO, points: points.collect() }];
        MetricResource { resource: samples::process("curl", pid), metrics }
    });
    let batch = Arc::new(MetricBatch { time_unix_nanos: samples::TIME, resources: resources.collect() });
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let bodies = sent(protocol, &[], Some(&batch)).await;
        let requests = bodies.iter().map(|body| match protocol {
            Protocol::HttpJson => serde_json::from_slice(body).unwrap(),
            _ => ExportMetricsServiceRequest::decode(body.as_slice()).unwrap(),
        });
        let scopes = requests.flat_map(|request| request.resource_metrics).flat_map(|of| of.scope_metrics);
        let points = scopes.flat_map(|scope| scope.metrics).map(|metric| super::encoding::points_of(&metric));
        assert_eq!(points.sum::<usize>(), 60_000);
        assert!(bodies.len() > 1);
    }
}
