//! What a batch says, series by series as Prometheus tells them apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::identity::{Identity, TARGET_INFO};
use super::labels::Labels;
use super::names::metric_name;
use crate::model::{Descriptor, Histogram, Instrument, MetricBatch, Point, PointValue};

/// What makes series of a batch.
#[derive(Debug)]
pub(super) struct Form {
    /// Resource attributes that every series has, in order.
    pub(super) keys: Vec<String>,
    /// Histograms that were measured in exponential buckets are native ones.
    pub(super) native: bool,
}

/// The live series of a batch.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) live: Vec<Live>,
    by_key: FxHashMap<Arc<Key>, usize>,
    /// The labels of series that are said to have ended.
    pub(super) ended: Vec<Labels>,
    /// Points of the batch.
    pub(super) records: usize,
}

/// What tells series apart: a native histogram and a classic one with the same labels are two.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) labels: Labels,
    /// A native histogram.
    pub(super) native: bool,
}

/// A series with values.
#[derive(Debug)]
pub(super) struct Live {
    /// Index of the point with which it goes out.
    pub(super) record: usize,
    pub(super) key: Arc<Key>,
    pub(super) descriptor: &'static Descriptor,
    /// Where its value is; in the order of their starts where more than one stream of the model has these labels.
    pub(super) places: Vec<Place>,
}

/// Where a point is in its batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    resource: usize,
    metric: usize,
    point: usize,
}

impl Place {
    /// The point.
    pub(super) fn of(self, batch: &MetricBatch) -> Option<&Point> {
        batch.resources.get(self.resource)?.metrics.get(self.metric)?.points.get(self.point)
    }
}

impl Plan {
    /// Reads a batch.
    pub(super) fn of(batch: &MetricBatch, form: &Form) -> Self {
        let mut plan = Self::default();
        // The last Resource of a job and instance is the one that is known best.
        let mut info: BTreeMap<(String, String), (usize, Labels)> = BTreeMap::new();
        for (resource, of) in batch.resources.iter().enumerate() {
            let identity = Identity::of(&of.resource, &form.keys);
            let first_live = plan.resource(batch, resource, &identity, form.native);
            if let (Some(record), Some((job, instance))) = (first_live, identity.key())
                && let Some(labels) = identity.target_info()
            {
                info.insert((job.to_owned(), instance.to_owned()), (record, labels));
            }
        }
        for (record, labels) in info.into_values() {
            plan.add(record, Key { labels, native: false }, &TARGET_INFO, None);
        }
        for live in plan.live.iter_mut().filter(|live| live.places.len() > 1) {
            live.places.sort_by_key(|place| place.of(batch).map(|point| point.start_unix_nanos));
        }
        plan
    }

    /// Whether the series has a value.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.by_key.contains_key(key)
    }

    /// Adds the series of one Resource; returns the index of its first point with a value.
    fn resource(
        &mut self,
        batch: &MetricBatch,
        resource: usize,
        identity: &Identity<'_>,
        native: bool,
    ) -> Option<usize> {
        let mut first_live = None;
        for (metric, of) in batch.resources[resource].metrics.iter().enumerate() {
            let name = metric_name(of.descriptor);
            for (point, value) in of.points.iter().enumerate() {
                let record = self.records;
                self.records += 1;
                let labels = identity.series(&name, &value.attributes);
                if value.value == PointValue::NoRecordedValue {
                    self.ended.push(labels);
                } else {
                    first_live.get_or_insert(record);
                    let key = Key { labels, native: native && is_exponential(&value.value) };
                    self.add(record, key, of.descriptor, Some(Place { resource, metric, point }));
                }
            }
        }
        first_live
    }

    fn add(&mut self, record: usize, key: Key, descriptor: &'static Descriptor, place: Option<Place>) {
        if let Some(known) = self.by_key.get(&key) {
            self.live[*known].places.extend(place);
            return;
        }
        let key = Arc::new(key);
        self.by_key.insert(Arc::clone(&key), self.live.len());
        let places = place.into_iter().collect();
        self.live.push(Live { record, key, descriptor, places });
    }
}

fn is_exponential(value: &PointValue) -> bool {
    matches!(value, PointValue::Histogram(Histogram { exponential: Some(_), .. }))
}

/// What an instrument says when nothing was measured.
pub(super) fn zero(descriptor: &Descriptor, native: bool) -> PointValue {
    match descriptor.instrument {
        Instrument::Counter | Instrument::UpDownCounter => PointValue::Sum(0),
        Instrument::Histogram { bounds } => PointValue::Histogram(Histogram::new(bounds, native)),
    }
}

/// Adds the values of two streams that are one series.
pub(super) fn add(sum: &mut PointValue, other: &PointValue) {
    match (sum, other) {
        (PointValue::Sum(sum), PointValue::Sum(other)) => *sum = sum.saturating_add(*other),
        (PointValue::Histogram(sum), PointValue::Histogram(other)) => {
            sum.count += other.count;
            sum.sum += other.sum;
            for (sum, other) in sum.buckets.iter_mut().zip(&other.buckets) {
                *sum += other;
            }
            // All streams of a native series have them.
            if let (Some(sum), Some(other)) = (&mut sum.exponential, &other.exponential) {
                sum.merge(other);
            }
        }
        _ => {}
    }
}
