mod answers;
mod golden;
mod large;
mod scrape;
mod signed;
mod split;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use convis_otel_config::{
    Credentials, DEFAULT_RESOURCE_LABELS, Header, RemoteWrite, RemoteWriteVersion, Secret,
};
use prost::Message;

use super::RemoteWriter;
use crate::batch::Slice;
use crate::model::{Histogram, Instrument, Metric, MetricBatch, MetricResource, PointValue, Resource};
use crate::outcome::{Exporter as _, Outcome};
use crate::testing::http::Asked;
use crate::testing::samples::{ACTIVE, DURATION, IO, TIME, histogram, point};

/// The password no message may repeat.
const PASSWORD: &str = "hunter2-and-more";

fn to(base: &str, version: RemoteWriteVersion) -> RemoteWrite {
    RemoteWrite {
        endpoint: format!("{base}/api/v1/write?token=s3cret").parse().unwrap(),
        version,
        native_histograms: false,
        credentials: Some(Credentials::Basic {
            username: "convis".to_owned(),
            password: Secret::new(PASSWORD.to_owned()),
        }),
        headers: vec![Header {
            name: "x-scope-orgid".to_owned(),
            value: Secret::new("tenant-blue".to_owned()),
        }],
        timeout: Some(Duration::from_secs(5)),
        ca: None,
        identity: None,
    }
}

fn writer(config: &RemoteWrite) -> RemoteWriter {
    RemoteWriter::new(config, &DEFAULT_RESOURCE_LABELS.map(str::to_owned), || TIME).unwrap()
}

/// Sums, a level and a histogram of two Resources, `seconds` after [`TIME`].
fn metrics(seconds: u64) -> Arc<MetricBatch> {
    let resource = |name: &str, instance: &str| {
        let builder = Resource::builder().with("host.name", "node-1").with("process.executable.name", name);
        builder.with("service.name", name).with("service.instance.id", instance)
    };
    let start = TIME - 10_000_000_000;
    let nginx = resource("nginx", "4f1c")
        .with("service.namespace", "shop")
        .with("container.image.tags", vec!["1.27".to_owned(), "latest".to_owned()])
        .with("k8s.pod.name", "web-0");
    let web = vec![
        Metric {
            descriptor: &IO,
            points: vec![
                point("transmit", start, PointValue::Sum(1_200_000)),
                point("receive", start, PointValue::Sum(340)),
            ],
        },
        Metric { descriptor: &ACTIVE, points: vec![point("transmit", start, PointValue::Sum(3))] },
        Metric { descriptor: &DURATION, points: vec![point("transmit", start, histogram([1, 2, 3], 6.5))] },
    ];
    let db = vec![Metric { descriptor: &IO, points: vec![point("receive", start, PointValue::Sum(7))] }];
    Arc::new(MetricBatch {
        time_unix_nanos: TIME + seconds * 1_000_000_000,
        resources: vec![
            MetricResource { resource: Arc::new(nginx.build()), metrics: web },
            MetricResource { resource: Arc::new(resource("postgres", "09ab").build()), metrics: db },
        ],
    })
}

/// The same with the histogram in exponential buckets too.
fn native_metrics(seconds: u64) -> Arc<MetricBatch> {
    let Instrument::Histogram { bounds } = DURATION.instrument else { panic!() };
    let mut value = Histogram::new(bounds, true);
    for measured in [0.0, 0.05, 0.3, 0.3, 0.75, 60.0] {
        value.record(bounds, measured);
    }
    let mut batch = Arc::unwrap_or_clone(metrics(seconds));
    batch.resources[0].metrics[2].points[0].value = PointValue::Histogram(value);
    Arc::new(batch)
}

/// The same series, all of which have ended.
fn ended(seconds: u64) -> Arc<MetricBatch> {
    let mut batch = Arc::unwrap_or_clone(metrics(seconds));
    let metrics = batch.resources.iter_mut().flat_map(|of| &mut of.metrics);
    metrics.flat_map(|metric| &mut metric.points).for_each(|point| point.value = PointValue::NoRecordedValue);
    Arc::new(batch)
}

/// Encodes a batch and sends it once.
async fn send(writer: &mut RemoteWriter, batch: Arc<MetricBatch>) -> Outcome {
    let payload = writer.encode(&[Slice::whole(batch)]);
    let outcome = writer.send(&payload).await;
    writer.settled(matches!(outcome, Outcome::Sent { .. }));
    outcome
}

/// The message in a request's body.
fn message<M: Message + Default>(body: &[u8]) -> M {
    M::decode(&snap::raw::Decoder::new().decompress_vec(body).unwrap()[..]).unwrap()
}

/// The version that a request says it is.
fn version(asked: &Asked) -> &str {
    asked.headers["x-prometheus-remote-write-version"].to_str().unwrap()
}
