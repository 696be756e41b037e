//! Metric points: cumulative totals per Resource, instrument and attribute set.

use std::sync::Arc;

use super::exponential::ExponentialBuckets;
use super::resource::Resource;
use super::value::OwnedValue;

/// How an instrument's points add up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Instrument {
    /// Monotonic sum.
    Counter,
    /// Sum that may fall.
    UpDownCounter,
    /// Distribution over fixed, strictly increasing upper bounds.
    Histogram {
        /// Upper bounds, inclusive; one more bucket lies beyond the last.
        bounds: &'static [f64],
    },
}

/// What an instrument is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Descriptor {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// How its points add up.
    pub instrument: Instrument,
}

/// Attributes of a point, sorted by key, each key once.
pub type AttributeSet = Vec<(&'static str, OwnedValue)>;

/// A sum's value.
pub type Number = i64;

/// A histogram's value.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Number of measurements.
    pub count: u64,
    /// Sum of the measurements, in the instrument's unit.
    pub sum: f64,
    /// Smallest measurement; infinite while there is none.
    pub min: f64,
    /// Largest measurement; negative infinite while there is none.
    pub max: f64,
    /// Measurements per bucket, one more than there are bounds.
    pub buckets: Vec<u64>,
    /// The same measurements in exponential buckets, when a sink wants them.
    pub exponential: Option<Box<ExponentialBuckets>>,
}

impl Histogram {
    /// Without measurements, for these bounds; with exponential buckets too if `exponential`.
    pub fn new(bounds: &[f64], exponential: bool) -> Self {
        Self {
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            buckets: vec![0; bounds.len() + 1],
            exponential: exponential.then(Box::default),
        }
    }

    /// Adds a measurement; `bounds` are those that the histogram was made for.
    pub fn record(&mut self, bounds: &[f64], measured: f64) {
        self.count += 1;
        self.sum += measured;
        self.min = self.min.min(measured);
        self.max = self.max.max(measured);
        let bucket = bounds.partition_point(|bound| *bound < measured);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        if let Some(exponential) = &mut self.exponential {
            exponential.record(measured);
        }
    }
}

/// The value of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum PointValue {
    /// Of a counter or an up-down counter.
    Sum(Number),
    /// Of a histogram.
    Histogram(Histogram),
    /// The series has ended.
    NoRecordedValue,
}

/// One cumulative point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What the point is about, beyond its Resource.
    pub attributes: Arc<AttributeSet>,
    /// Where the sum began, nanoseconds since the Unix epoch.
    pub start_unix_nanos: u64,
    /// What was measured from the start to the batch's time.
    pub value: PointValue,
}

/// The points of one instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The instrument.
    pub descriptor: &'static Descriptor,
    /// Never empty when handed to a sink.
    pub points: Vec<Point>,
}

/// The metrics of one Resource.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricResource {
    /// Whose metrics they are.
    pub resource: Arc<Resource>,
    /// Never empty when handed to a sink.
    pub metrics: Vec<Metric>,
}

/// One collection of all series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricBatch {
    /// When the values were read, nanoseconds since the Unix epoch.
    pub time_unix_nanos: u64,
    /// Never empty when handed to a sink.
    pub resources: Vec<MetricResource>,
}

impl MetricBatch {
    /// Number of points, the unit in which batches of metrics are counted.
    pub fn points(&self) -> u64 {
        let points =
            self.resources.iter().flat_map(|of| &of.metrics).map(|metric| metric.points.len() as u64);
        points.sum()
    }
}
