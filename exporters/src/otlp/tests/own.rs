use convis_otel_config::{Compression, OtlpSignal, Protocol, Temporality};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prost::Message as _;

use super::{PASSWORD, header};
use crate::otlp::own_metrics;
use crate::testing::http::{Asked, Receiver};
use crate::testing::signal;

/// One request of an SDK that counted to seven.
async fn asked(protocol: Protocol, compression: Compression, temporality: Temporality) -> Asked {
    let (receiver, base) = Receiver::start(Vec::new()).await;
    let mut settings = OtlpSignal { compression, ..signal(&format!("{base}/in"), protocol) };
    settings.headers.push(header());
    let reader = PeriodicReader::builder(own_metrics(&settings, temporality).unwrap()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    provider.meter("own").u64_counter("seen").build().add(7, &[]);
    tokio::task::spawn_blocking(move || provider.force_flush()).await.unwrap().unwrap();
    receiver.asked().remove(0)
}

/// Scenario: convis's own metrics go where a sink's metrics go, by each way over HTTP.
/// Guarantees: path, headers, content type, compression, format and temporality are the sink's.
#[tokio::test(flavor = "multi_thread")]
async fn own_metrics_go_out_as_the_sinks_do() {
    use Compression as C;
    let (protobuf, json) = ("application/x-protobuf", "application/json");
    let table = [
        (Protocol::HttpProtobuf, protobuf, C::None, Temporality::Cumulative, 2),
        (Protocol::HttpProtobuf, protobuf, C::Zstd, Temporality::Delta, 1),
        (Protocol::HttpJson, json, C::None, Temporality::Cumulative, 2),
        (Protocol::HttpJson, json, C::Zstd, Temporality::LowMemory, 1),
    ];
    for (protocol, content_type, compression, temporality, expected) in table {
        let asked = asked(protocol, compression, temporality).await;
        assert_eq!(asked.path, "/in");
        assert_eq!(asked.headers["content-type"], content_type);
        assert_eq!(asked.headers["api-key"], PASSWORD);
        let body = match asked.headers.get("content-encoding").map(|value| value.to_str().unwrap()) {
            None => asked.body.to_vec(),
            Some("zstd") => zstd::decode_all(&asked.body[..]).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(asked.headers.contains_key("content-encoding"), compression == C::Zstd);
        let message: ExportMetricsServiceRequest = match protocol {
            Protocol::HttpJson => serde_json::from_slice(&body).unwrap(),
            _ => ExportMetricsServiceRequest::decode(&body[..]).unwrap(),
        };
        let metric = &message.resource_metrics[0].scope_metrics[0].metrics[0];
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
        assert_eq!(sum.data_points[0].value, Some(Value::AsInt(7)));
        assert_eq!(sum.aggregation_temporality, expected, "{temporality:?}");
    }
}
