//! Cumulative points turned into differences, for receivers that prefer delta temporality.
//!
//! A difference is taken from the last value that the receiver acknowledged, and its start is the time of that value: what
//! was refused or lost is part of the next point, which then begins earlier. So the differences of a series add up to its
//! cumulative value, gapless and without overlap. Points that say nothing new are left out.

use std::borrow::Cow;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::metric::AttributeSet;
use crate::model::{Descriptor, Histogram, Point, PointValue, Resource};

/// The last acknowledged value of every series.
#[derive(Debug, Default)]
pub(super) struct Delta {
    series: FxHashMap<Arc<Resource>, FxHashMap<Key, Last>>,
    /// What becomes of series once the request is acknowledged.
    pending: Vec<(Arc<Resource>, Key, Option<Last>)>,
    /// Time of the batch being sent.
    batch: u64,
    /// Whether that batch holds every series and was acknowledged so far.
    intact: bool,
}

type Key = (&'static str, Arc<AttributeSet>);

#[derive(Debug)]
struct Last {
    start: u64,
    time: u64,
    value: PointValue,
}

impl Delta {
    /// Before a batch, or a part of it, is encoded.
    ///
    /// A batch holds all series unless it was `pruned`: what a wholly acknowledged one did not hold has ended, and its end
    /// got lost on the way.
    pub(super) fn begin(&mut self, batch_time: u64, pruned: bool) {
        self.pending.clear();
        if self.batch == batch_time {
            return;
        }
        let previous = std::mem::replace(&mut self.batch, batch_time);
        if std::mem::replace(&mut self.intact, !pruned) {
            self.series.retain(|_, of| {
                of.retain(|_, last| last.time == previous);
                !of.is_empty()
            });
        }
    }

    /// Start and difference of a point since the last acknowledged one; `None` when nothing changed.
    pub(super) fn since_last<'p>(
        &mut self,
        resource: &Arc<Resource>,
        descriptor: &'static Descriptor,
        point: &'p Point,
        time: u64,
    ) -> Option<(u64, Cow<'p, PointValue>)> {
        let key = (descriptor.name, Arc::clone(&point.attributes));
        if point.value == PointValue::NoRecordedValue {
            self.pending.push((Arc::clone(resource), key, None));
            return None;
        }
        let last = self.series.get(resource).and_then(|of| of.get(&key));
        // Another start is another run of the series: its value counts from there.
        let last = last.filter(|last| last.start == point.start_unix_nanos);
        let difference = match last {
            None => Some((point.start_unix_nanos, Cow::Borrowed(&point.value))),
            Some(last) => difference(&last.value, &point.value).map(|value| (last.time, Cow::Owned(value))),
        };
        let now = Last { start: point.start_unix_nanos, time, value: point.value.clone() };
        self.pending.push((Arc::clone(resource), key, Some(now)));
        difference.filter(|(_, value)| !is_nothing(value))
    }

    /// The request was acknowledged, or given up.
    pub(super) fn settled(&mut self, acknowledged: bool) {
        self.intact &= acknowledged;
        for (resource, key, last) in self.pending.drain(..).filter(|_| acknowledged) {
            let of = self.series.entry(resource).or_default();
            match last {
                Some(last) => _ = of.insert(key, last),
                None => _ = of.remove(&key),
            }
        }
    }
}

/// What was added; the whole value when it fell, which a series that keeps its start does not do.
fn difference(then: &PointValue, now: &PointValue) -> Option<PointValue> {
    match (then, now) {
        (PointValue::Sum(then), PointValue::Sum(now)) => Some(PointValue::Sum(now.saturating_sub(*then))),
        (PointValue::Histogram(then), PointValue::Histogram(now)) => {
            Some(PointValue::Histogram(histogram_difference(then, now)))
        }
        _ => None,
    }
}

/// Extremes of an interval cannot be told from those since the start, unless the interval is all there is.
fn histogram_difference(then: &Histogram, now: &Histogram) -> Histogram {
    let buckets = now.buckets.iter().zip(&then.buckets);
    let (min, max) = if then.count == 0 { (now.min, now.max) } else { (f64::INFINITY, f64::NEG_INFINITY) };
    let exponential = now.exponential.as_ref().map(|now| {
        let then = then.exponential.as_deref();
        Box::new(then.map_or_else(|| (**now).clone(), |then| now.since(then)))
    });
    Histogram {
        count: now.count.saturating_sub(then.count),
        sum: now.sum - then.sum,
        min,
        max,
        buckets: buckets.map(|(now, then)| now.saturating_sub(*then)).collect(),
        exponential,
    }
}

fn is_nothing(value: &PointValue) -> bool {
    match value {
        PointValue::Sum(number) => *number == 0,
        PointValue::Histogram(histogram) => histogram.count == 0,
        PointValue::NoRecordedValue => false,
    }
}

#[cfg(test)]
mod tests;
