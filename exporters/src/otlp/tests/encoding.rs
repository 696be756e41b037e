use std::sync::Arc;

use convis_otel_config::{HistogramForm, Temporality};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;

use crate::batch::Slice;
use crate::model::{Event, EventBatch, MetricBatch, Resource, Role, SCOPE_VERSION};
use crate::otlp::delta::Delta;
use crate::otlp::encode_metrics::encode;
use crate::otlp::exporter::{Kind as _, Metrics};
use crate::otlp::transport::Format;
use crate::otlp::{encode_logs, encode_metrics};
use crate::testing::{assert_golden, samples};

fn decoded(slices: &[Slice<EventBatch>]) -> ExportLogsServiceRequest {
    let bytes = encode_logs(slices);
    let request = ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap();
    // Canonical bytes: no field is doubled, out of order, unknown or longer than need be.
    assert_eq!(request.encode_to_vec(), bytes);
    request
}

/// As [`assert_golden_json`], for JSON as it is sent.
pub(super) fn assert_golden_text(name: &str, json: &str) {
    let version = format!(r#""version":"{SCOPE_VERSION}""#);
    assert_golden(name, &(json.replace(&version, r#""version":"VERSION""#) + "\n"));
}

/// Compares OTLP/JSON with a file that is the same for every version of convis.
fn assert_golden_json(name: &str, json: &str) {
    let version = format!(r#""version": "{SCOPE_VERSION}""#);
    assert_golden(name, &(json.replace(&version, r#""version": "VERSION""#) + "\n"));
}

/// Scenario: events of two Resources, mixed, with IPv4, IPv6, failures, unknown beginnings, updates and a foreign closer.
/// Guarantees: the request is the one on file, and is read by the generated types without a difference.
#[test]
fn logs_equal_the_golden_file() {
    let request = decoded(&[Slice::whole(samples::events())]);
    assert_golden_json("otlp_logs.json", &serde_json::to_string_pretty(&request).unwrap());
}

/// Scenario: more events of one Resource than its length is guessed for.
/// Guarantees: all of them once, in their order, under the same Resource said several times.
#[test]
fn a_resource_of_many_events_is_said_again() {
    let mut batch = EventBatch::clone(&samples::many_events(2500));
    for (event, number) in batch.events.iter_mut().zip(0..) {
        event.time_unix_nanos += number;
    }
    let request = decoded(&[Slice::whole(Arc::new(batch.clone()))]);
    let of = &request.resource_logs;
    let records = |of: &ResourceLogs| of.scope_logs[0].log_records.clone();
    assert_eq!(of.iter().map(|of| records(of).len()).collect::<Vec<_>>(), [1024, 1024, 452]);
    assert!(of.iter().all(|each| each.resource == of[0].resource));
    let times = of.iter().flat_map(records).map(|record| record.time_unix_nano);
    assert!(times.eq(batch.events.iter().map(|event| event.time_unix_nanos)));
}

/// Scenario: points of all kinds.
/// Guarantees: the request is the one on file.
#[test]
fn metrics_equal_the_golden_file() {
    let request = encode_metrics(&[Slice::whole(samples::metrics())]);
    assert_golden_json("otlp_metrics.json", &serde_json::to_string_pretty(&request).unwrap());
}

/// Scenario: a batch is cut at every place.
/// Guarantees: both parts together hold every record once, and no empty envelope.
#[test]
fn parts_hold_every_record_once() {
    let events = samples::events();
    let metrics = samples::metrics();
    let all = events.events.len();
    for cut in 0..=all {
        let parts =
            [(0, cut), (cut, all)].map(|(from, to)| Slice { from, to, ..Slice::whole(Arc::clone(&events)) });
        let requests = parts.map(|part| decoded(&[part]));
        assert_eq!(requests.iter().map(log_records).sum::<usize>(), all);
    }
    for cut in 0..=6 {
        let parts =
            [(0, cut), (cut, 6)].map(|(from, to)| Slice { from, to, ..Slice::whole(Arc::clone(&metrics)) });
        let points = parts.map(|part| points(&encode_metrics(&[part])));
        assert_eq!(points, [cut, 6 - cut]);
    }
}

fn log_records(request: &ExportLogsServiceRequest) -> usize {
    let scopes = request.resource_logs.iter().flat_map(|of| &of.scope_logs);
    let counts = scopes.map(|scope| scope.log_records.len());
    counts.inspect(|count| assert!(*count > 0)).sum()
}

fn points(request: &ExportMetricsServiceRequest) -> usize {
    let scopes = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
    let metrics = scopes.flat_map(|scope| {
        assert!(!scope.metrics.is_empty());
        &scope.metrics
    });
    metrics.map(points_of).inspect(|count| assert!(*count > 0)).sum()
}

pub(super) fn points_of(metric: &Metric) -> usize {
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => sum.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        other => panic!("{other:?}"),
    }
}

/// Scenario: delta is preferred; a batch is sent, acknowledged, and comes again unchanged.
/// Guarantees: counters and histograms are delta and silent the second time; the up-down counter is cumulative, always.
#[test]
fn delta_leaves_up_down_counters_alone() {
    let mut delta = Delta::default();
    let batch = samples::metrics();
    let later = Arc::new(MetricBatch { time_unix_nanos: samples::TIME + 1, ..MetricBatch::clone(&batch) });
    delta.begin(batch.time_unix_nanos, false);
    let first = encode(&[Slice::whole(batch)], HistogramForm::Explicit, Some(&mut delta));
    delta.settled(true);
    delta.begin(later.time_unix_nanos, false);
    let second = encode(&[Slice::whole(later)], HistogramForm::Explicit, Some(&mut delta));
    let [delta, cumulative] = [1, 2];
    let io = ("convis.tcp.connection.io".to_owned(), delta);
    let active = ("convis.tcp.connection.active".to_owned(), cumulative);
    let duration = ("convis.tcp.connection.duration".to_owned(), delta);
    assert_eq!(temporalities(&first), [io.clone(), active.clone(), duration, io]);
    assert_eq!(temporalities(&second), [active]);
}

/// Scenario: each preference, with a counter, an up-down counter and a histogram, all measured as things happen.
/// Guarantees: low memory is delta here; the up-down counter is cumulative in every case.
#[test]
fn preferences_decide_the_temporality() {
    let [delta, cumulative] = [1, 2];
    let table = [
        (Temporality::Cumulative, [cumulative; 4]),
        (Temporality::Delta, [delta, cumulative, delta, delta]),
        (Temporality::LowMemory, [delta, cumulative, delta, delta]),
    ];
    for (temporality, expected) in table {
        let mut kind = Metrics::new(temporality, HistogramForm::Explicit);
        let bytes = kind.encode(&[Slice::whole(samples::metrics())], Format::Protobuf);
        let request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
        let told: Vec<_> = temporalities(&request).into_iter().map(|(_, told)| told).collect();
        assert_eq!(told, expected, "{temporality:?}");
    }
}

fn temporalities(request: &ExportMetricsServiceRequest) -> Vec<(String, i32)> {
    let scopes = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics
        .map(|metric| match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => (metric.name.clone(), sum.aggregation_temporality),
            Data::Histogram(histogram) => (metric.name.clone(), histogram.aggregation_temporality),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn with_resource(resource: Resource, events: usize) -> Slice<EventBatch> {
    let ends = ["10.0.0.2:53412", "93.184.216.34:443"];
    let event: Event = samples::event(&Arc::new(resource), Some(Role::Client), ends, samples::closed(1, 2));
    Slice::whole(Arc::new(EventBatch { events: vec![event; events] }))
}

/// Scenario: values so long, and so many events, that each length takes another number of bytes.
/// Guarantees: lengths are right and canonical whatever was guessed.
#[test]
fn lengths_beyond_the_guess_are_right() {
    let lengths = [0, 1, 100, 127, 128, 16_383, 16_384, 3_000_000];
    for (length, events) in
        lengths.into_iter().flat_map(|length| [(length, 1), (length, 1 + 40_000 / (length + 100))])
    {
        let resource = Resource::builder()
            .with("process.executable.name", "x".repeat(length))
            .with("process.pid", -1_i64)
            .with("flag", true)
            .with("tags", vec!["t".repeat(length)]);
        let request = decoded(&[with_resource(resource.build(), events)]);
        assert_eq!(log_records(&request), events);
    }
}
