//! Metrics in OTLP/JSON, from the messages that the protobuf form has. Only what convis sends is written: sums and
//! histograms of both kinds.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, number_data_point,
};

use super::json::{Object, double, long};

/// The request's bytes.
pub(super) fn write(request: &ExportMetricsServiceRequest) -> Vec<u8> {
    let mut out = Vec::new();
    Object::write(&mut out, |object| {
        object.objects("resourceMetrics", &request.resource_metrics, resource_metrics);
    });
    out
}

fn resource_metrics(object: &mut Object<'_>, of: &ResourceMetrics) {
    let resource = of.resource.as_ref();
    object.object("resource", |object| {
        attributes(object, resource.map_or(&[][..], |resource| &resource.attributes));
    });
    object.objects("scopeMetrics", &of.scope_metrics, scope_metrics);
    object.string("schemaUrl", &of.schema_url);
}

fn scope_metrics(object: &mut Object<'_>, of: &ScopeMetrics) {
    object.object("scope", |object| {
        if let Some(scope) = &of.scope {
            object.string("name", &scope.name);
            object.string("version", &scope.version);
        }
    });
    object.objects("metrics", &of.metrics, metric);
    object.string("schemaUrl", &of.schema_url);
}

fn metric(object: &mut Object<'_>, of: &Metric) {
    object.string("name", &of.name);
    object.string("description", &of.description);
    object.string("unit", &of.unit);
    match &of.data {
        Some(Data::Sum(sum)) => object.object("sum", |object| {
            object.objects("dataPoints", &sum.data_points, number);
            object.int("aggregationTemporality", sum.aggregation_temporality.into());
            object.bool("isMonotonic", sum.is_monotonic);
        }),
        Some(Data::Histogram(of)) => object.object("histogram", |object| {
            object.objects("dataPoints", &of.data_points, histogram);
            object.int("aggregationTemporality", of.aggregation_temporality.into());
        }),
        Some(Data::ExponentialHistogram(of)) => object.object("exponentialHistogram", |object| {
            object.objects("dataPoints", &of.data_points, exponential);
            object.int("aggregationTemporality", of.aggregation_temporality.into());
        }),
        Some(Data::Gauge(_) | Data::Summary(_)) | None => {}
    }
}

fn number(object: &mut Object<'_>, point: &NumberDataPoint) {
    head(object, &point.attributes, [point.start_time_unix_nano, point.time_unix_nano], point.flags);
    match point.value {
        Some(number_data_point::Value::AsInt(number)) => object.long("asInt", number),
        Some(number_data_point::Value::AsDouble(number)) => object.double("asDouble", number),
        None => {}
    }
}

fn histogram(object: &mut Object<'_>, point: &HistogramDataPoint) {
    head(object, &point.attributes, [point.start_time_unix_nano, point.time_unix_nano], point.flags);
    object.long("count", point.count);
    summary(object, [("sum", point.sum), ("min", point.min), ("max", point.max)]);
    object.list("bucketCounts", &point.bucket_counts, |out, count| long(out, *count));
    object.list("explicitBounds", &point.explicit_bounds, |out, bound| double(out, *bound));
}

fn exponential(object: &mut Object<'_>, point: &ExponentialHistogramDataPoint) {
    head(object, &point.attributes, [point.start_time_unix_nano, point.time_unix_nano], point.flags);
    object.long("count", point.count);
    summary(object, [("sum", point.sum), ("min", point.min), ("max", point.max)]);
    object.int("scale", point.scale.into());
    object.long("zeroCount", point.zero_count);
    if let Some(positive) = &point.positive {
        object.object("positive", |object| {
            object.int("offset", positive.offset.into());
            object.list("bucketCounts", &positive.bucket_counts, |out, count| long(out, *count));
        });
    }
}

/// What all points have.
fn head(object: &mut Object<'_>, of: &[KeyValue], [start, time]: [u64; 2], flags: u32) {
    attributes(object, of);
    object.long("startTimeUnixNano", start);
    object.long("timeUnixNano", time);
    if flags != 0 {
        object.int("flags", flags.into());
    }
}

fn summary(object: &mut Object<'_>, figures: [(&str, Option<f64>); 3]) {
    for (name, figure) in figures {
        if let Some(figure) = figure {
            object.double(name, figure);
        }
    }
}

fn attributes(object: &mut Object<'_>, of: &[KeyValue]) {
    object.objects("attributes", of, |object, of| {
        object.string("key", &of.key);
        object.object("value", |object| any_value(object, of.value.as_ref()));
    });
}

fn any_value(object: &mut Object<'_>, value: Option<&AnyValue>) {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => object.string("stringValue", text),
        Some(Any::BoolValue(flag)) => object.bool("boolValue", *flag),
        Some(Any::IntValue(number)) => object.long("intValue", *number),
        Some(Any::DoubleValue(number)) => object.double("doubleValue", *number),
        Some(Any::ArrayValue(array)) => object.object("arrayValue", |object| {
            object.objects("values", &array.values, |object, item| any_value(object, Some(item)));
        }),
        // Attributes of convis have no other kinds.
        Some(_) | None => {}
    }
}
