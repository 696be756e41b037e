use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::{Claim, bounded};
use super::*;
use crate::batch::Slice;
use crate::testing::samples::{IO, point, process};

/// A series of the tests: Resource, direction and start.
type Name = (u32, u8, u64);

/// One collection: the value of each series, `None` for the point that says it has ended.
type Collection = BTreeMap<Name, Option<i64>>;

/// The same in order.
type Points = Vec<(Name, Option<i64>)>;

fn batch(time: u64, points: &Collection) -> Arc<MetricBatch> {
    let mut resources: BTreeMap<u32, Vec<Point>> = BTreeMap::new();
    for ((resource, direction, start), value) in points {
        let value = value.map_or(PointValue::NoRecordedValue, PointValue::Sum);
        let direction = ["transmit", "receive"][usize::from(*direction)];
        resources.entry(*resource).or_default().push(point(direction, *start, value));
    }
    let resources = resources.into_iter().map(|(resource, points)| MetricResource {
        resource: process("curl", resource),
        metrics: vec![Metric { descriptor: &IO, points }],
    });
    Arc::new(MetricBatch { time_unix_nanos: time, resources: resources.collect() })
}

/// The points of a batch, read back.
fn points(batch: &MetricBatch) -> Points {
    let mut all = Vec::new();
    for of in &batch.resources {
        let pid = of.resource.attributes().find(|(key, _)| *key == "process.pid").unwrap().1;
        let pid = pid.to_string().parse().unwrap();
        for point in &of.metrics[0].points {
            let direction = u8::from(point.attributes[0].1 == "receive".into());
            let value = match point.value {
                PointValue::Sum(value) => Some(value),
                _ => None,
            };
            all.push(((pid, direction, point.start_unix_nanos), value));
        }
    }
    all
}

fn collection(points: &[(Name, Option<i64>)]) -> Collection {
    points.iter().copied().collect()
}

/// A keeper without its task.
struct Bench {
    entrance: super::super::Entrance<MetricBatch>,
    keeper: Keeper,
    latest: Latest,
    stats: Arc<SinkStats>,
    _stop: watch::Sender<Option<Instant>>,
}

impl Bench {
    fn new(capacity: usize) -> Self {
        let stats = Arc::new(SinkStats::default());
        let (entrance, arrivals) = bounded(1000, Arc::clone(&stats));
        let (announce, stop) = watch::channel(None);
        let (keeper, latest) = series(arrivals, capacity, Arc::clone(&stats), stop);
        Self { entrance, keeper, latest, stats, _stop: announce }
    }

    fn offer(&mut self, batch: &Arc<MetricBatch>) {
        self.entrance.offer(batch);
        let queued = self.keeper.arrivals.try_take().unwrap();
        self.keeper.put(queued);
    }

    fn waiting(&self) -> Vec<(u64, Points)> {
        let of = |queued: &Queued<MetricBatch>| (queued.batch.time_unix_nanos, points(&queued.batch));
        self.latest.shelf.look(|waiting| waiting.iter().map(of).collect())
    }
}

const LIVE: Name = (1, 0, 10);
const ENDED: Name = (1, 1, 10);

/// Scenario: a series lives on, another ends and says so, while nothing is sent.
/// Guarantees: of the living one only the newest point waits; of the ended one its last value, then its end, in order and
/// marked as remains; all points are queued, and all count as sent with those that stand for them.
#[test]
fn the_last_points_of_ended_series_wait() {
    let mut bench = Bench::new(100);
    bench.offer(&batch(1, &collection(&[(LIVE, Some(1)), (ENDED, Some(5))])));
    bench.offer(&batch(2, &collection(&[(LIVE, Some(2)), (ENDED, Some(6))])));
    bench.offer(&batch(3, &collection(&[(LIVE, Some(3)), (ENDED, None)])));
    bench.offer(&batch(4, &collection(&[(LIVE, Some(4))])));
    let expected = [(2, vec![(ENDED, Some(6))]), (3, vec![(ENDED, None)]), (4, vec![(LIVE, Some(4))])];
    assert_eq!(bench.waiting(), expected);
    assert_eq!(bench.stats.queued(), 7);
    for (pruned, weight) in [(true, 2), (true, 1), (false, 4)] {
        let mut claim = Claim::new(Arc::clone(&bench.stats));
        claim.add(bench.latest.try_take().unwrap());
        let slices = claim.slices();
        assert_eq!((slices[0].pruned, claim.weight(&slices)), (pruned, weight));
        claim.sent(weight);
    }
    assert_eq!((bench.stats.snapshot().sent, bench.stats.queued()), (7, 0));
}

/// Scenario: a series begins anew under the same attributes.
/// Guarantees: its earlier run is not superseded by it.
#[test]
fn another_start_is_another_series() {
    let mut bench = Bench::new(100);
    bench.offer(&batch(1, &collection(&[(LIVE, Some(9))])));
    bench.offer(&batch(2, &collection(&[((1, 0, 11), Some(1))])));
    assert_eq!(bench.waiting().len(), 2);
}

/// Scenario: more ended series wait than the capacity holds.
/// Guarantees: the oldest remains are dropped and counted, the newest batch is taken whatever its size.
#[test]
fn remains_are_bounded() {
    let mut bench = Bench::new(3);
    for time in 0..4 {
        bench.offer(&batch(u64::from(time), &collection(&[((time, 0, 1), Some(1))])));
    }
    assert_eq!(bench.waiting().iter().map(|(time, _)| *time).collect::<Vec<_>>(), [1, 2, 3]);
    let large: Collection = (10..15).map(|resource| ((resource, 0, 1), Some(1))).collect();
    bench.offer(&batch(9, &large));
    assert_eq!(bench.waiting().len(), 1);
    assert_eq!(bench.stats.snapshot().dropped_for(DropReason::QueueFull), 4);
    assert_eq!(bench.stats.queued(), 5);
}

/// Scenario: the task runs; collections come while the runner is busy, then a stop.
/// Guarantees: the task ends, what waits can still be taken, then nothing more comes; what is not taken counts as dropped
/// at shutdown.
#[tokio::test(start_paused = true)]
async fn the_task_ends_at_a_stop() {
    let stats = Arc::new(SinkStats::default());
    let (entrance, arrivals) = bounded(1000, Arc::clone(&stats));
    let (announce, stop) = watch::channel(None);
    let (keeper, mut latest) = series(arrivals, 100, Arc::clone(&stats), stop);
    let task = tokio::spawn(keeper.run());
    for time in 1..=3 {
        entrance.offer(&batch(time, &collection(&[(LIVE, Some(1)), ((2, 0, time), Some(1))])));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    announce.send_replace(Some(Instant::now()));
    task.await.unwrap();
    let mut claim = Claim::new(Arc::clone(&stats));
    claim.add(latest.take().await.unwrap());
    claim.sent(1);
    drop((latest, claim));
    entrance.offer(&batch(9, &collection(&[(LIVE, Some(1))])));
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.sent, snapshot.dropped_for(DropReason::Shutdown), snapshot.queued()), (1, 6, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Offer(Collection),
    /// Takes the oldest batch; so many of its points are acknowledged, the rest refused.
    Take(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let name = (0_u32..3, 0_u8..2, 1_u64..3);
    let value = prop_oneof![3 => (0_i64..9).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        3 => proptest::collection::btree_map(name, value, 1..8).prop_map(Step::Offer),
        1 => (0_usize..9).prop_map(Step::Take),
    ]
}

/// A point as the naive model has it: each that was ever accepted.
#[derive(Debug, Clone)]
struct Accepted {
    time: u64,
    name: Name,
    value: Option<i64>,
    /// The point that replaced it.
    by: Option<usize>,
    gone: bool,
}

#[derive(Default)]
struct Model {
    all: Vec<Accepted>,
}

impl Model {
    fn waiting(&self) -> Vec<(u64, Points)> {
        let mut batches: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for point in self.all.iter().filter(|point| point.by.is_none() && !point.gone) {
            batches.entry(point.time).or_default().push((point.name, point.value));
        }
        batches.into_iter().collect()
    }

    fn offer(&mut self, time: u64, points: &Collection, capacity: usize) -> u64 {
        for (name, value) in points {
            let new = self.all.len();
            for old in self.all.iter_mut().filter(|old| old.name == *name && value.is_some()) {
                if old.by.is_none() && !old.gone {
                    old.by = Some(new);
                }
            }
            self.all.push(Accepted { time, name: *name, value: *value, by: None, gone: false });
        }
        let mut dropped = 0;
        loop {
            let waiting = self.waiting();
            let count: usize = waiting.iter().map(|(_, points)| points.len()).sum();
            if count <= capacity || waiting.len() == 1 {
                return dropped;
            }
            for (name, _) in &waiting[0].1 {
                dropped += self.settle(waiting[0].0, *name);
            }
        }
    }

    /// How many accepted points share the fate of this one, which leaves.
    fn settle(&mut self, time: u64, name: Name) -> u64 {
        let of = |point: &Accepted| point.time == time && point.name == name;
        let index = self.all.iter().position(of).unwrap();
        self.all[index].gone = true;
        let root = |mut at: usize| {
            while let Some(by) = self.all[at].by {
                at = by;
            }
            at
        };
        (0..self.all.len()).filter(|at| root(*at) == index).count() as u64
    }
}

proptest! {
    /// Scenario: any collections of a few series, taken now and then, in part acknowledged and in part refused.
    /// Guarantees: what waits, its order, what was sent, what was refused and what was dropped are those of a naive model
    /// that follows each point by itself; accepted == sent + queued + dropped after each step.
    #[test]
    fn every_point_has_the_fate_of_its_successor(
        capacity in 1_usize..20,
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut bench = Bench::new(capacity);
        let mut model = Model::default();
        let (mut sent, mut refused, mut full) = (0, 0, 0);
        for (time, step) in (0_u64..).zip(steps) {
            match step {
                Step::Offer(points) => {
                    bench.offer(&batch(time, &points));
                    full += model.offer(time, &points, capacity);
                }
                Step::Take(acknowledged) => if let Some(queued) = bench.latest.try_take() {
                    let mut claim = Claim::new(Arc::clone(&bench.stats));
                    claim.add(queued);
                    let whole = claim.slices().remove(0);
                    let cut = acknowledged.min(whole.to);
                    let part = claim.weight(&[Slice { to: cut, ..whole.clone() }]);
                    claim.sent(part);
                    let part = claim.weight(&[Slice { from: cut, ..whole.clone() }]);
                    claim.dropped(DropReason::Rejected, part);
                    prop_assert_eq!(claim.open(), 0);
                    for (index, (name, _)) in points(&whole.batch).into_iter().enumerate() {
                        let fate = if index < cut { &mut sent } else { &mut refused };
                        *fate += model.settle(whole.batch.time_unix_nanos, name);
                    }
                }
            }
            let snapshot = bench.stats.snapshot();
            prop_assert_eq!(bench.waiting(), model.waiting());
            prop_assert_eq!(snapshot.sent, sent);
            prop_assert_eq!(snapshot.dropped_for(DropReason::Rejected), refused);
            prop_assert_eq!(snapshot.dropped_for(DropReason::QueueFull), full);
            prop_assert_eq!(snapshot.accepted, model.all.len() as u64);
            let gone = snapshot.sent + snapshot.dropped_total();
            prop_assert_eq!(snapshot.queued(), snapshot.accepted - gone);
        }
    }
}
