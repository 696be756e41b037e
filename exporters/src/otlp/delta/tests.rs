use super::*;
use crate::testing::samples::{DURATION, IO, histogram, point, process};

fn sum(number: i64) -> PointValue {
    PointValue::Sum(number)
}

/// Sends one point in a batch of its own; returns start and value.
fn send(delta: &mut Delta, point: &Point, time: u64, acknowledged: bool) -> Option<(u64, PointValue)> {
    delta.begin(time, false);
    let descriptor = if matches!(point.value, PointValue::Histogram(_)) { &DURATION } else { &IO };
    let sent = delta.since_last(&process("curl", 1), descriptor, point, time);
    let sent = sent.map(|(start, value)| (start, value.into_owned()));
    delta.settled(acknowledged);
    sent
}

/// Scenario: a counter grows, rests, and one of its points is lost.
/// Guarantees: differences follow each other without gap or overlap, a lost one is part of the next, rest says nothing.
#[test]
fn differences_add_up_to_the_total() {
    let mut delta = Delta::default();
    assert_eq!(send(&mut delta, &point("receive", 10, sum(5)), 20, true), Some((10, sum(5))));
    assert_eq!(send(&mut delta, &point("receive", 10, sum(9)), 30, true), Some((20, sum(4))));
    assert_eq!(send(&mut delta, &point("receive", 10, sum(9)), 40, true), None);
    assert_eq!(send(&mut delta, &point("receive", 10, sum(10)), 50, false), Some((40, sum(1))));
    assert_eq!(send(&mut delta, &point("receive", 10, sum(12)), 60, true), Some((40, sum(3))));
}

/// Scenario: a series begins anew under the same name.
/// Guarantees: it counts from its own start.
#[test]
fn another_start_is_another_series() {
    let mut delta = Delta::default();
    let _ = send(&mut delta, &point("receive", 10, sum(5)), 20, true);
    assert_eq!(send(&mut delta, &point("receive", 25, sum(2)), 30, true), Some((25, sum(2))));
}

/// Scenario: a histogram grows.
/// Guarantees: count, sum and buckets are differences; extremes, unknown for the interval, are left out.
#[test]
fn histograms_are_differences_without_extremes() {
    let mut delta = Delta::default();
    let _ = send(&mut delta, &point("receive", 10, histogram([1, 0, 0], 0.5)), 20, true);
    let sent = send(&mut delta, &point("receive", 10, histogram([1, 2, 0], 2.0)), 30, true);
    let Some((20, PointValue::Histogram(sent))) = sent else { panic!("{sent:?}") };
    assert_eq!((sent.count, sent.buckets.as_slice()), (2, &[0, 2, 0][..]));
    assert!((sent.sum - 1.5).abs() < 1e-9);
    assert!(sent.min.is_infinite() && sent.max.is_infinite());
}

/// Scenario: series end, by their last word or by being absent from a later batch.
/// Guarantees: nothing of them is kept, but a batch that was lost ends no series.
#[test]
fn ended_series_are_forgotten() {
    let mut delta = Delta::default();
    let _ = send(&mut delta, &point("receive", 10, sum(5)), 20, true);
    assert_eq!(send(&mut delta, &point("receive", 10, PointValue::NoRecordedValue), 30, true), None);
    assert_eq!(delta.series.values().map(FxHashMap::len).sum::<usize>(), 0);

    let _ = send(&mut delta, &point("receive", 10, sum(5)), 40, true);
    let _ = send(&mut delta, &point("transmit", 10, sum(5)), 50, false);
    delta.begin(60, false);
    assert_eq!(delta.series.len(), 1);
    delta.settled(true);
    delta.begin(70, false);
    assert!(delta.series.is_empty());
}

/// Scenario: remains of a collection, with the last point of a series that ended, are sent before the newest collection.
/// Guarantees: series that the remains do not hold are not taken for ended: they go on from their last value.
#[test]
fn remains_end_no_other_series() {
    let mut delta = Delta::default();
    let (living, ended) = (point("receive", 10, sum(5)), point("transmit", 10, sum(7)));
    delta.begin(20, false);
    for point in [&living, &ended] {
        let _ = delta.since_last(&process("curl", 1), &IO, point, 20);
    }
    delta.settled(true);
    for (time, value, expected) in [(30, sum(8), Some((20, sum(1)))), (40, PointValue::NoRecordedValue, None)]
    {
        delta.begin(time, true);
        let last = point("transmit", 10, value);
        let sent = delta.since_last(&process("curl", 1), &IO, &last, time);
        assert_eq!(sent.map(|(start, value)| (start, value.into_owned())), expected);
        delta.settled(true);
    }
    assert_eq!(send(&mut delta, &point("receive", 10, sum(9)), 50, true), Some((20, sum(4))));
}
