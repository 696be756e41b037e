//! Metric points as OTLP metrics.

use std::borrow::Cow;

use convis_otel_config::HistogramForm;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    self as proto, AggregationTemporality, ResourceMetrics, ScopeMetrics,
};

use super::attributes::{resource, scope};
use super::delta::Delta;
use super::points::Head;
use crate::batch::Slice;
use crate::model::{
    Descriptor, Histogram, Instrument, Metric, MetricBatch, MetricResource, Point, PointValue, SCHEMA_URL,
};

/// One request with all points, cumulative, histograms with their explicit bounds.
pub fn encode_metrics(slices: &[Slice<MetricBatch>]) -> ExportMetricsServiceRequest {
    encode(slices, HistogramForm::Explicit, None)
}

/// One request with all points; `delta` turns counters and histograms into differences. Resources and metrics of which no
/// point remains are left out.
pub(super) fn encode(
    slices: &[Slice<MetricBatch>],
    form: HistogramForm,
    mut delta: Option<&mut Delta>,
) -> ExportMetricsServiceRequest {
    let mut resource_metrics = Vec::new();
    for slice in slices {
        let mut encoder = Encoder {
            time: slice.batch.time_unix_nanos,
            from: slice.from,
            to: slice.to,
            position: 0,
            form,
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
    form: HistogramForm,
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
        let descriptor = metric.descriptor;
        let said = points.iter().filter_map(|point| {
            let (start, value) = self.value(of, descriptor, point)?;
            Some((Head { point, start, time: self.time }, value))
        });
        let said: Vec<_> = said.collect();
        if said.is_empty() {
            return None;
        }
        Some(proto::Metric {
            name: descriptor.name.to_owned(),
            description: descriptor.description.to_owned(),
            unit: descriptor.unit.to_owned(),
            data: Some(self.data(descriptor, &said)),
            ..proto::Metric::default()
        })
    }

    fn data(&self, descriptor: &Descriptor, points: &[(Head<'_>, Cow<'_, PointValue>)]) -> Data {
        let aggregation_temporality = self.temporality(descriptor);
        match descriptor.instrument {
            Instrument::Counter | Instrument::UpDownCounter => Data::Sum(proto::Sum {
                data_points: points.iter().map(|(head, value)| head.number(value)).collect(),
                aggregation_temporality,
                is_monotonic: descriptor.instrument == Instrument::Counter,
            }),
            Instrument::Histogram { .. } if self.is_exponential(points) => {
                Data::ExponentialHistogram(proto::ExponentialHistogram {
                    data_points: points.iter().map(|(head, value)| head.exponential(value)).collect(),
                    aggregation_temporality,
                })
            }
            Instrument::Histogram { bounds } => Data::Histogram(proto::Histogram {
                data_points: points.iter().map(|(head, value)| head.histogram(value, bounds)).collect(),
                aggregation_temporality,
            }),
        }
    }

    /// A metric has one form: where one of its points was measured without exponential buckets, none is sent with them.
    fn is_exponential(&self, points: &[(Head<'_>, Cow<'_, PointValue>)]) -> bool {
        let lacks =
            |value: &PointValue| matches!(value, PointValue::Histogram(Histogram { exponential: None, .. }));
        self.form == HistogramForm::Exponential && !points.iter().any(|(_, value)| lacks(value))
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
