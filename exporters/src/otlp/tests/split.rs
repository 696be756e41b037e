//! Whatever is sent and whatever fits into a request: everything arrives once, in order, in requests that are taken.

use convis_otel_config::{HistogramForm, Protocol, Temporality};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use serde::de::DeserializeOwned;

use crate::otlp::{logs, metrics};
use crate::testing::samples::{TIME, numbered_events, numbered_sums};
use crate::testing::signal;
use crate::testing::split::{assert_in_order, bodies};

const PROTOCOLS: [Protocol; 2] = [Protocol::HttpProtobuf, Protocol::HttpJson];

fn decoded<M: Message + Default + DeserializeOwned>(protocol: Protocol, body: &[u8]) -> M {
    match protocol {
        Protocol::HttpJson => serde_json::from_slice(body).unwrap(),
        _ => M::decode(body).unwrap(),
    }
}

fn numbers_of_logs(request: ExportLogsServiceRequest) -> Vec<u64> {
    let scopes = request.resource_logs.into_iter().flat_map(|of| of.scope_logs);
    let of_each = scopes.map(|scope| {
        let times = scope.log_records.into_iter().map(|log| (log.time_unix_nano - TIME) / 1_000_000);
        let numbers: Vec<_> = times.collect();
        assert!(numbers.is_sorted(), "events of a Resource are out of order: {numbers:?}");
        numbers
    });
    of_each.flatten().collect()
}

fn numbers_of_metrics(request: ExportMetricsServiceRequest) -> Vec<u64> {
    let scopes = request.resource_metrics.into_iter().flat_map(|of| of.scope_metrics);
    let metrics = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.data.unwrap());
    let points = metrics.flat_map(|data| match data {
        Data::Sum(sum) => sum.data_points,
        other => panic!("{other:?}"),
    });
    let values = points.map(|point| match point.value {
        Some(Value::AsInt(number)) => u64::try_from(number).unwrap(),
        other => panic!("{other:?}"),
    });
    values.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Scenario: batches of events of any sizes, Resources of any, in both forms, before receivers that take more and less than the sink
    /// would send.
    /// Guarantees: every event arrives once, those of a Resource in order, in requests within both limits.
    #[test]
    fn events_arrive_once_and_in_order(
        sizes in vec(1_usize..80, 1..5), names in vec(1_usize..1000, 1..4),
        max_bytes in 6_000_usize..150_000, takes in 6_000_usize..150_000,
    ) {
        for protocol in PROTOCOLS {
            let exporter = logs(&signal("http://127.0.0.1:1/logs", protocol)).unwrap();
            let bodies = bodies(exporter, &numbered_events(&sizes, &names), (max_bytes, takes));
            let requests: Vec<_> = bodies.iter().map(|body| numbers_of_logs(decoded(protocol, body))).collect();
            assert_in_order(&requests, sizes.iter().sum());
        }
    }

    /// Scenario: collections of metrics of any sizes, likewise.
    /// Guarantees: every point arrives once, in order, in requests within both limits.
    #[test]
    fn points_arrive_once_and_in_order(
        sizes in vec(1_usize..80, 1..5), max_bytes in 2_000_usize..60_000, takes in 2_000_usize..60_000,
    ) {
        for protocol in PROTOCOLS {
            let signal = signal("http://127.0.0.1:1/metrics", protocol);
            let exporter = metrics(&signal, Temporality::Cumulative, HistogramForm::Explicit).unwrap();
            let bodies = bodies(exporter, &[numbered_sums(&sizes)], (max_bytes, takes));
            let requests: Vec<_> = bodies.iter().map(|body| numbers_of_metrics(decoded(protocol, body))).collect();
            assert_in_order(&requests, sizes.iter().sum());
        }
    }
}
