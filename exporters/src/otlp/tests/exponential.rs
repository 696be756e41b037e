use convis_otel_config::HistogramForm;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogram, ExponentialHistogramDataPoint};

use crate::batch::Slice;
use crate::otlp::delta::Delta;
use crate::otlp::encode_metrics::encode;
use crate::testing::samples;

fn histogram(request: &ExportMetricsServiceRequest) -> &ExponentialHistogram {
    match request.resource_metrics[0].scope_metrics[0].metrics[0].data.as_ref().unwrap() {
        Data::ExponentialHistogram(histogram) => histogram,
        other => panic!("{other:?}"),
    }
}

/// Scale, zeros, offset and counts of a point.
fn buckets(point: &ExponentialHistogramDataPoint) -> (i32, u64, i32, Vec<u64>) {
    let positive = point.positive.clone().unwrap();
    (point.scale, point.zero_count, positive.offset, positive.bucket_counts)
}

/// Scenario: a histogram of a zero and of powers of two, and the end of another series, cumulative.
/// Guarantees: count, sum, extremes and buckets are those of the measurements; the end has its flag and no value.
#[test]
fn cumulative_points_hold_everything() {
    let batch = samples::exponential(&[0.0, 1.0, 2.0, 2.0, 1024.0]);
    let request = encode(&[Slice::whole(batch)], HistogramForm::Exponential, None);
    let histogram = histogram(&request);
    assert_eq!(histogram.aggregation_temporality, 2);
    let [point, ended] = histogram.data_points.as_slice() else { panic!("{histogram:?}") };
    assert_eq!((point.count, point.sum, point.min, point.max), (5, Some(1029.0), Some(0.0), Some(1024.0)));
    // Eight buckets for each doubling: number -1 ends at 1, number 79 at 1024. At scale 4 they would be 161.
    let (scale, zeros, offset, counts) = buckets(point);
    assert_eq!((scale, zeros, offset, counts.len()), (3, 1, -1, 81));
    assert_eq!((counts[0], counts[8], counts[80]), (1, 2, 1));
    assert_eq!(counts.iter().sum::<u64>() + zeros, point.count);
    assert_eq!((point.negative.as_ref(), point.flags), (None, 0));
    assert_eq!((ended.flags, ended.count, ended.sum, ended.positive.as_ref()), (1, 0, None, None));
}

/// Scenario: delta is preferred; a histogram goes on, measures something far away, so that its scale falls, and rests.
/// Guarantees: the second point holds only what was added, at the present scale; nothing is said of rest.
#[test]
fn delta_points_hold_what_was_added() {
    let mut delta = Delta::default();
    let mut send = |measured: &[f64], later: u64| {
        let batch = samples::exponential_at(measured, samples::TIME + later);
        delta.begin(batch.time_unix_nanos, false);
        let request = encode(&[Slice::whole(batch)], HistogramForm::Exponential, Some(&mut delta));
        delta.settled(true);
        request
    };
    let first = send(&[0.0, 1.0], 0);
    let second = send(&[0.0, 1.0, 1.0, 4096.0, 0.0], 1);
    let third = send(&[0.0, 1.0, 1.0, 4096.0, 0.0], 2);

    let [point] = histogram(&first).data_points.as_slice() else { panic!() };
    assert_eq!((histogram(&first).aggregation_temporality, point.count), (1, 2));
    assert_eq!(buckets(point), (20, 1, -1, vec![1]));
    let [point] = histogram(&second).data_points.as_slice() else { panic!() };
    assert_eq!((point.start_time_unix_nano, point.count, point.sum), (samples::TIME, 3, Some(4097.0)));
    let (scale, zeros, offset, counts) = buckets(point);
    assert_eq!((scale, zeros, offset, counts.len()), (3, 1, -1, 97));
    assert_eq!((counts[0], counts[96], counts.iter().sum::<u64>()), (1, 1, 2));
    assert!(third.resource_metrics.is_empty());
}

/// Scenario: exponential histograms are asked for, yet one was measured without; and they are there, yet not asked for.
/// Guarantees: explicit ones go out.
#[test]
fn explicit_buckets_go_out_otherwise() {
    let with = [Slice::whole(samples::exponential(&[0.05]))];
    let without = [Slice::whole(samples::metrics())];
    for (slices, form) in [(&with, HistogramForm::Explicit), (&without, HistogramForm::Exponential)] {
        let request = encode(slices, form, None);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        assert!(matches!(metrics.last().unwrap().data, Some(Data::Histogram(_))), "{metrics:?}");
    }
}
