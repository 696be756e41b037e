use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use convis_otel_config::{PrometheusConfig, PrometheusWay, RemoteWriteVersion, SinkConfig, SinkKind};
use tokio::time::Instant;

use super::{message, to};
use crate::model::{Metric, MetricBatch, MetricResource, Point, PointValue, Resource};
use crate::prometheus::MAX_REQUEST_BYTES;
use crate::prometheus::wire::v1;
use crate::settings::Settings;
use crate::sink::Sink;
use crate::testing::http::{Answer, Receiver};
use crate::testing::samples::{DURATION, IO, TIME, histogram};

const RESOURCES: u64 = 400;

/// Many Resources with counters and a histogram.
fn batch() -> Arc<MetricBatch> {
    let start = TIME - 10_000_000_000;
    let point = |port: u64, value| {
        let attributes = vec![("server.port", i64::try_from(port).unwrap().into())];
        Point { attributes: Arc::new(attributes), start_unix_nanos: start, value }
    };
    let resource = |index: u64| {
        let resource = Resource::builder()
            .with("service.name", format!("service-{index}"))
            .with("service.instance.id", format!("instance-{index}"))
            .with("host.name", "node-1");
        let io = (0..10).map(|port| point(port, PointValue::Sum(i64::try_from(index).unwrap()))).collect();
        let duration = vec![point(1, histogram([1, 2, index], 6.5))];
        MetricResource {
            resource: Arc::new(resource.build()),
            metrics: vec![
                Metric { descriptor: &IO, points: io },
                Metric { descriptor: &DURATION, points: duration },
            ],
        }
    };
    Arc::new(MetricBatch { time_unix_nanos: TIME, resources: (0..RESOURCES).map(resource).collect() })
}

/// Scenario: a batch that is larger than a request may be, then the end of all its series; a receiver that finds the first
/// request too large as well.
/// Guarantees: every request is within the limit; every series begins once and ends once, all parts of a histogram in one
/// request; every point is counted once as sent.
#[tokio::test]
async fn a_large_batch_is_cut_and_arrives_once() {
    let (receiver, base) = Receiver::start(vec![Answer::status(413)]).await;
    let way = PrometheusWay::Write(Box::new(to(&base, RemoteWriteVersion::V1)));
    let config: SinkConfig =
        SinkKind::Prometheus(PrometheusConfig { way, resource_labels: Vec::new() }).into();
    let (sinks, runners) = crate::build(&[config], &Settings::default()).unwrap();
    let batch = batch();
    sinks[0].offer_metrics(&batch);
    idle(&sinks[0]).await;
    sinks[0].offer_metrics(&ended(&batch));
    let stats = sinks[0].stats().remove(0).stats;
    drop(sinks);
    let stopped = runners.stop(Instant::now() + Duration::from_mins(1)).await;
    assert!(stopped.is_empty(), "{stopped:?}");
    assert_eq!((stats.snapshot().sent, stats.snapshot().dropped_total()), (2 * batch.points(), 0));

    let asked = receiver.asked();
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    // The first was refused.
    for request in &asked[1..] {
        let size = snap::raw::decompress_len(&request.body).unwrap();
        assert!(size <= MAX_REQUEST_BYTES, "{size}");
        let series = message::<v1::WriteRequest>(&request.body).timeseries;
        let is_end = series[0].samples[0].value.is_nan();
        let mut parts = BTreeMap::<String, usize>::new();
        for series in series {
            assert_eq!(series.samples[0].value.is_nan(), is_end);
            let labels: Vec<_> = series.labels.into_iter().map(|label| (label.name, label.value)).collect();
            let label =
                |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            if label("__name__").unwrap().contains("duration") {
                *parts.entry(label("instance").unwrap()).or_default() += 1;
            }
            assert!(seen[usize::from(is_end)].insert(labels.clone()), "twice: {labels:?}");
        }
        assert!(parts.values().all(|parts| *parts == 5), "{parts:?}");
    }
    // Ten counters, five series of a histogram, and `target_info`.
    assert_eq!(seen[0].len(), usize::try_from(RESOURCES).unwrap() * 16);
    assert_eq!(seen[0], seen[1]);
}

/// The same series ten seconds later, all of which have ended.
fn ended(batch: &MetricBatch) -> Arc<MetricBatch> {
    let mut batch = batch.clone();
    batch.time_unix_nanos += 10_000_000_000;
    let metrics = batch.resources.iter_mut().flat_map(|of| &mut of.metrics);
    metrics.flat_map(|metric| &mut metric.points).for_each(|point| point.value = PointValue::NoRecordedValue);
    Arc::new(batch)
}

async fn idle(sink: &Sink) {
    let waiting = async {
        while sink.stats().iter().any(|lane| lane.stats.queued() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap();
}
