//! Metric points that wait while newer ones come.
//!
//! Points are cumulative: where a newer batch has a point of the same series, an older one that still waits says nothing
//! more, and is taken out. What remains of older batches are the last points of series that ended, and the points that say
//! so, each until it has an outcome. A point that was superseded shares the fate of the one that replaced it, so every
//! point that was accepted is counted once.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use rustc_hash::FxHashMap;

use super::shelf::Shelf;
use super::{Arrivals, Backlog, Queued};
use crate::accounting::{DropReason, SinkStats};
use crate::batch::Batch;
use crate::model::metric::AttributeSet;
use crate::model::{Metric, MetricBatch, MetricResource, Point, PointValue, Resource};
use crate::runner::{Stop, stopped};

/// What waits: `capacity` points at most beside the newest batch, which is always taken.
pub(crate) fn series(
    arrivals: Arrivals<MetricBatch>,
    capacity: usize,
    stats: Arc<SinkStats>,
    stop: Stop,
) -> (Keeper, Latest) {
    let shelf = Arc::new(Shelf::new());
    let keeper = Keeper { arrivals, shelf: Arc::clone(&shelf), capacity, stats: Arc::clone(&stats), stop };
    (keeper, Latest { shelf, stats })
}

/// The task that takes out what is superseded, also while a request is on its way.
pub(crate) struct Keeper {
    arrivals: Arrivals<MetricBatch>,
    shelf: Arc<Shelf<Queued<MetricBatch>>>,
    capacity: usize,
    stats: Arc<SinkStats>,
    stop: Stop,
}

impl Keeper {
    /// Runs until nothing more comes, which a stop brings about.
    pub(crate) async fn run(mut self) {
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                queued = self.arrivals.take() => match queued {
                    Some(queued) => self.put(queued),
                    None => break,
                },
                () = stopped(&mut self.stop), if !stopping => {
                    stopping = true;
                    self.arrivals.close();
                }
            }
        }
        self.shelf.complete();
    }

    fn put(&mut self, mut newer: Queued<MetricBatch>) {
        if self.shelf.is_abandoned() {
            self.stats.drop_records(DropReason::Shutdown, newer.weight());
            return;
        }
        // What waits here is bounded by itself.
        newer.room = None;
        let dropped = self.shelf.update(|waiting| {
            supersede(waiting, &mut newer);
            waiting.push_back(newer);
            shorten(waiting, self.capacity)
        });
        self.stats.drop_records(DropReason::QueueFull, dropped);
    }
}

/// The side of the runner.
pub(crate) struct Latest {
    shelf: Arc<Shelf<Queued<MetricBatch>>>,
    stats: Arc<SinkStats>,
}

#[async_trait]
impl Backlog<MetricBatch> for Latest {
    fn try_take(&mut self) -> Option<Queued<MetricBatch>> {
        self.shelf.look(VecDeque::pop_front)
    }

    async fn take(&mut self) -> Option<Queued<MetricBatch>> {
        self.shelf.ready().await;
        self.try_take()
    }

    fn put_back(&mut self, taken: Vec<Queued<MetricBatch>>) {
        self.shelf.update(|waiting| taken.into_iter().rev().for_each(|queued| waiting.push_front(queued)));
    }
}

impl Drop for Latest {
    fn drop(&mut self) {
        let left = self.shelf.abandon().iter().map(Queued::weight).sum();
        self.stats.drop_records(DropReason::Shutdown, left);
    }
}

/// Drops whole batches, the oldest first, until the points fit; never the newest. Returns the records dropped.
fn shorten(waiting: &mut VecDeque<Queued<MetricBatch>>, capacity: usize) -> u64 {
    let mut points: usize = waiting.iter().map(|queued| queued.batch.records()).sum();
    let mut dropped = 0;
    while points > capacity && waiting.len() > 1 {
        let oldest = waiting.pop_front();
        points -= oldest.as_ref().map_or(0, |queued| queued.batch.records());
        dropped += oldest.as_ref().map_or(0, Queued::weight);
    }
    dropped
}

/// Takes out of older batches the points of series of which the newer one has a value.
fn supersede(waiting: &mut VecDeque<Queued<MetricBatch>>, newer: &mut Queued<MetricBatch>) {
    if waiting.is_empty() {
        return;
    }
    let batch = Arc::clone(&newer.batch);
    let places = Places::of(&batch);
    let mut weights = vec![1; batch.records()];
    for older in waiting.iter_mut() {
        older.keep(|resource, metric, point, weight| match places.find(resource, metric, point) {
            Some(place) => {
                weights[place] += weight;
                false
            }
            None => true,
        });
    }
    waiting.retain(|older| older.batch.records() > 0);
    if weights.iter().any(|weight| *weight > 1) {
        newer.weights = weights;
    }
}

/// Where in a batch the value of each series is.
struct Places<'a> {
    resources: FxHashMap<&'a Resource, usize>,
    series: FxHashMap<Series<'a>, usize>,
}

/// Number of the Resource, instrument, attributes and start.
type Series<'a> = (usize, &'static str, &'a AttributeSet, u64);

impl<'a> Places<'a> {
    fn of(batch: &'a MetricBatch) -> Self {
        let mut places = Self { resources: FxHashMap::default(), series: FxHashMap::default() };
        let mut place = 0;
        for of in &batch.resources {
            let next = places.resources.len();
            let resource = *places.resources.entry(&of.resource).or_insert(next);
            for metric in &of.metrics {
                for point in &metric.points {
                    if point.value != PointValue::NoRecordedValue {
                        places.series.insert(series_of(resource, metric, point), place);
                    }
                    place += 1;
                }
            }
        }
        places
    }

    fn find(&self, resource: &Resource, metric: &Metric, point: &Point) -> Option<usize> {
        let resource = *self.resources.get(resource)?;
        self.series.get(&series_of(resource, metric, point)).copied()
    }
}

fn series_of<'p>(resource: usize, metric: &Metric, point: &'p Point) -> Series<'p> {
    (resource, metric.descriptor.name, &point.attributes, point.start_unix_nanos)
}

impl Queued<MetricBatch> {
    /// Keeps some of the points; `keep` is also told how many records each stands for.
    fn keep(&mut self, mut keep: impl FnMut(&Resource, &Metric, &Point, u64) -> bool) {
        let mut kept = Vec::new();
        let mut place = 0;
        for of in &self.batch.resources {
            for metric in &of.metrics {
                for point in &metric.points {
                    if keep(&of.resource, metric, point, self.weight_of(place..place + 1)) {
                        kept.push(place);
                    }
                    place += 1;
                }
            }
        }
        if kept.len() < place {
            self.reduce(&kept);
        }
    }

    /// Reduces the batch to the points at these places, which ascend.
    fn reduce(&mut self, kept: &[usize]) {
        if !self.weights.is_empty() {
            self.weights = kept.iter().map(|place| self.weights[*place]).collect();
        }
        let mut kept = kept.iter().copied().peekable();
        let mut place = 0;
        let mut points = |metric: &Metric| -> Vec<Point> {
            let mut here = |_: &&Point| {
                place += 1;
                kept.next_if_eq(&(place - 1)).is_some()
            };
            metric.points.iter().filter(|point| here(point)).cloned().collect()
        };
        let mut resources = Vec::new();
        for of in &self.batch.resources {
            let metrics = of.metrics.iter();
            let metrics: Vec<_> = metrics
                .map(|metric| Metric { descriptor: metric.descriptor, points: points(metric) })
                .filter(|metric| !metric.points.is_empty())
                .collect();
            if !metrics.is_empty() {
                resources.push(MetricResource { resource: Arc::clone(&of.resource), metrics });
            }
        }
        self.batch = Arc::new(MetricBatch { time_unix_nanos: self.batch.time_unix_nanos, resources });
        self.pruned = true;
    }
}

#[cfg(test)]
mod tests;
