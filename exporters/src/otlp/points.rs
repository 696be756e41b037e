//! Metric points in their OTLP form.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    DataPointFlags, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, number_data_point,
};

use super::attributes::key_value;
use crate::model::{Histogram, Point, PointValue};

/// What every point has: its attributes, and start and time in nanoseconds since the Unix epoch.
pub(super) struct Head<'a> {
    pub(super) point: &'a Point,
    pub(super) start: u64,
    pub(super) time: u64,
}

impl Head<'_> {
    fn attributes(&self) -> Vec<KeyValue> {
        let attributes = self.point.attributes.iter();
        attributes.map(|(key, value)| key_value(key, value.as_value())).collect()
    }

    pub(super) fn number(&self, value: &PointValue) -> NumberDataPoint {
        let value = match *value {
            PointValue::Sum(number) => Some(number_data_point::Value::AsInt(number)),
            PointValue::Histogram(_) | PointValue::NoRecordedValue => None,
        };
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            flags: flags(value.is_some()),
            value,
            ..NumberDataPoint::default()
        }
    }

    pub(super) fn histogram(&self, value: &PointValue, bounds: &[f64]) -> HistogramDataPoint {
        let base = HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            ..HistogramDataPoint::default()
        };
        let PointValue::Histogram(histogram) = value else {
            return HistogramDataPoint { flags: flags(false), ..base };
        };
        HistogramDataPoint {
            count: histogram.count,
            sum: Some(histogram.sum),
            bucket_counts: histogram.buckets.clone(),
            explicit_bounds: bounds.to_vec(),
            min: known(histogram.min),
            max: known(histogram.max),
            ..base
        }
    }

    pub(super) fn exponential(&self, value: &PointValue) -> ExponentialHistogramDataPoint {
        let base = ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            ..ExponentialHistogramDataPoint::default()
        };
        let PointValue::Histogram(histogram @ Histogram { exponential: Some(buckets), .. }) = value else {
            return ExponentialHistogramDataPoint { flags: flags(false), ..base };
        };
        let positive = Buckets { offset: buckets.offset(), bucket_counts: buckets.counts().to_vec() };
        ExponentialHistogramDataPoint {
            count: histogram.count,
            sum: Some(histogram.sum),
            scale: buckets.scale(),
            zero_count: buckets.zero_count(),
            positive: Some(positive),
            min: known(histogram.min),
            max: known(histogram.max),
            ..base
        }
    }
}

/// An extreme is infinite while nothing was measured, or when it is not known.
fn known(extreme: f64) -> Option<f64> {
    Some(extreme).filter(|extreme| extreme.is_finite())
}

fn flags(has_value: bool) -> u32 {
    if has_value { 0 } else { DataPointFlags::NoRecordedValueMask as u32 }
}
