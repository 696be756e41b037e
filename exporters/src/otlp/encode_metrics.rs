//! Metric points as OTLP metrics.

use std::borrow::Cow;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    self as proto, AggregationTemporality, DataPointFlags, HistogramDataPoint, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, number_data_point,
};

use super::attributes::{key_value, resource, scope};
use super::delta::Delta;
use crate::batch::Slice;
use crate::model::SCHEMA_URL;
use crate::model::{
    Descriptor, Histogram, Instrument, Metric, MetricBatch, MetricResource, Point, PointValue,
};

/// One request with all points, cumulative.
pub fn encode_metrics(slices: &[Slice<MetricBatch>]) -> ExportMetricsServiceRequest {
    encode(slices, None)
}

/// One request with all points; `delta` turns counters and histograms into differences. Resources and metrics of which no
/// point remains are left out.
pub(super) fn encode(
    slices: &[Slice<MetricBatch>],
    mut delta: Option<&mut Delta>,
) -> ExportMetricsServiceRequest {
    let mut resource_metrics = Vec::new();
    for slice in slices {
        let mut encoder = Encoder {
            time: slice.batch.time_unix_nanos,
            from: slice.from,
            to: slice.to,
            position: 0,
            delta: delta.as_deref_mut(),
        };
        let resources = slice.batch.resources.iter();
        resource_metrics.extend(resources.filter_map(|of| encoder.resource_metrics(of)));
    }
    ExportMetricsServiceRequest { resource_metrics }
}

/// Walks one batch and takes the points whose position lies in `from..to`.
struct Encoder<'a> {
    time: u64,
    from: usize,
    to: usize,
    position: usize,
    delta: Option<&'a mut Delta>,
}

impl Encoder<'_> {
    fn resource_metrics(&mut self, of: &MetricResource) -> Option<ResourceMetrics> {
        let metrics: Vec<_> = of.metrics.iter().filter_map(|metric| self.metric(of, metric)).collect();
        if metrics.is_empty() {
            return None;
        }
        Some(ResourceMetrics {
            resource: Some(resource(&of.resource)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        })
    }

    fn metric(&mut self, of: &MetricResource, metric: &Metric) -> Option<proto::Metric> {
        let first = self.position;
        self.position += metric.points.len();
        let within = |position: usize| position.clamp(first, self.position) - first;
        let points = &metric.points[within(self.from)..within(self.to)];
        if points.is_empty() {
            return None;
        }
        let descriptor = metric.descriptor;
        let data = match descriptor.instrument {
            Instrument::Counter => self.sum(of, descriptor, points, true),
            Instrument::UpDownCounter => self.sum(of, descriptor, points, false),
            Instrument::Histogram { bounds } => self.histogram(of, descriptor, points, bounds),
        }?;
        Some(proto::Metric {
            name: descriptor.name.to_owned(),
            description: descriptor.description.to_owned(),
            unit: descriptor.unit.to_owned(),
            data: Some(data),
            ..proto::Metric::default()
        })
    }

    fn sum(
        &mut self,
        of: &MetricResource,
        descriptor: &'static Descriptor,
        points: &[Point],
        is_monotonic: bool,
    ) -> Option<Data> {
        let mut data_points = Vec::with_capacity(points.len());
        for point in points {
            let Some((start, value)) = self.value(of, descriptor, point) else {
                continue;
            };
            let value = match *value {
                PointValue::Sum(number) => Some(number_data_point::Value::AsInt(number)),
                PointValue::Histogram(_) | PointValue::NoRecordedValue => None,
            };
            data_points.push(NumberDataPoint {
                attributes: attributes(point),
                start_time_unix_nano: start,
                time_unix_nano: self.time,
                flags: flags(value.is_some()),
                value,
                ..NumberDataPoint::default()
            });
        }
        let aggregation_temporality = self.temporality(descriptor);
        (!data_points.is_empty()).then_some(Data::Sum(proto::Sum {
            data_points,
            aggregation_temporality,
            is_monotonic,
        }))
    }

    fn histogram(
        &mut self,
        of: &MetricResource,
        descriptor: &'static Descriptor,
        points: &[Point],
        bounds: &[f64],
    ) -> Option<Data> {
        let mut data_points = Vec::with_capacity(points.len());
        for point in points {
            let Some((start, value)) = self.value(of, descriptor, point) else {
                continue;
            };
            let base = HistogramDataPoint {
                attributes: attributes(point),
                start_time_unix_nano: start,
                time_unix_nano: self.time,
                ..HistogramDataPoint::default()
            };
            data_points.push(match value.as_ref() {
                PointValue::Histogram(histogram) => with_value(base, histogram, bounds),
                PointValue::Sum(_) | PointValue::NoRecordedValue => {
                    HistogramDataPoint { flags: flags(false), ..base }
                }
            });
        }
        let aggregation_temporality = self.temporality(descriptor);
        (!data_points.is_empty())
            .then_some(Data::Histogram(proto::Histogram { data_points, aggregation_temporality }))
    }

    /// Start and value of a point as they go out; `None` when there is nothing to say.
    fn value<'p>(
        &mut self,
        of: &MetricResource,
        descriptor: &'static Descriptor,
        point: &'p Point,
    ) -> Option<(u64, Cow<'p, PointValue>)> {
        match &mut self.delta {
            Some(delta) if is_delta(descriptor) => {
                delta.since_last(&of.resource, descriptor, point, self.time)
            }
            _ => Some((point.start_unix_nanos, Cow::Borrowed(&point.value))),
        }
    }

    fn temporality(&self, descriptor: &Descriptor) -> i32 {
        let temporality = if self.delta.is_some() && is_delta(descriptor) {
            AggregationTemporality::Delta
        } else {
            AggregationTemporality::Cumulative
        };
        temporality.into()
    }
}

/// What may fall is cumulative whatever is preferred: a receiver could not tell the level from differences.
fn is_delta(descriptor: &Descriptor) -> bool {
    descriptor.instrument != Instrument::UpDownCounter
}

fn with_value(base: HistogramDataPoint, histogram: &Histogram, bounds: &[f64]) -> HistogramDataPoint {
    HistogramDataPoint {
        count: histogram.count,
        sum: Some(histogram.sum),
        bucket_counts: histogram.buckets.clone(),
        explicit_bounds: bounds.to_vec(),
        min: Some(histogram.min).filter(|min| min.is_finite()),
        max: Some(histogram.max).filter(|max| max.is_finite()),
        ..base
    }
}

fn attributes(point: &Point) -> Vec<KeyValue> {
    let attributes = point.attributes.iter();
    attributes.map(|(key, value)| key_value(key, value.as_value())).collect()
}

fn flags(has_value: bool) -> u32 {
    if has_value { 0 } else { DataPointFlags::NoRecordedValueMask as u32 }
}
