use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

const BOUNDS: &[f64] = &[0.1, 1.0];

fn measured(all: &[f64]) -> PointValue {
    let mut histogram = Histogram::new(BOUNDS, true);
    for measured in all {
        histogram.record(BOUNDS, *measured);
    }
    PointValue::Histogram(histogram)
}

fn message(value: PointValue, resets: bool) -> v2::Histogram {
    histogram(&Reading { value: Cow::Owned(value), at: 20, start: 10, resets })
}

/// Buckets that hold something, by Prometheus's index, as a reader of spans and deltas has them.
fn buckets(message: &v2::Histogram) -> Vec<(i32, i64)> {
    let mut deltas = message.positive_deltas.iter();
    let (mut index, mut count, mut buckets) = (0, 0, Vec::new());
    for span in &message.positive_spans {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            buckets.push((index, count));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "{message:?}");
    buckets.retain(|(_, count)| *count != 0);
    buckets
}

/// Scenario: zero, powers of two, and numbers far apart.
/// Guarantees: by hand: a bound belongs to its bucket, whose index is its exponent at schema 0; short gaps are filled, long ones
/// left out; the times, and the hint where a sum begins.
#[test]
fn buckets_are_counted_by_their_upper_bounds() {
    // From 0.5 to 2^131: at scale 0 there are 133 buckets, and at scale 1 there would be more than 160.
    let all = [0.0, 0.5, 1.0, 2.0, 2.0, 3.0, 16.0, 2_f64.powi(20), 2_f64.powi(131)];
    let message = message(measured(&all), true);
    let span = |offset, length| Span { offset, length };
    assert_eq!(message.positive_spans, [span(-1, 6), span(15, 1), span(110, 1)]);
    // Of 0.5, 1, 2, 4, 8 and 16, then of 2^20 and 2^131.
    assert_eq!(message.positive_deltas, [1, 0, 1, -1, -1, 1, 0, 0]);
    let expected = v2::Histogram {
        count: Some(9),
        sum: all.iter().sum(),
        schema: 0,
        zero_threshold: 0.0,
        zero_count: Some(1),
        positive_spans: message.positive_spans.clone(),
        positive_deltas: message.positive_deltas.clone(),
        reset_hint: ResetHint::Yes.into(),
        timestamp: 20,
        start_timestamp: 10,
    };
    assert_eq!(message, expected);
}

/// Scenario: nothing measured yet, one number alone, and the end of a series.
/// Guarantees: an empty histogram at the finest schema there is; the end is the exact bits of the marker and nothing else.
#[test]
fn beginnings_and_ends() {
    let begin = message(measured(&[]), true);
    assert_eq!((begin.count, begin.zero_count, begin.sum.to_bits(), begin.schema), (Some(0), Some(0), 0, 8));
    assert!(begin.positive_spans.is_empty() && begin.positive_deltas.is_empty());
    let one = message(measured(&[1.0]), false);
    assert_eq!((one.schema, buckets(&one), one.reset_hint), (8, vec![(0, 1)], 0));
    let end = message(PointValue::NoRecordedValue, false);
    assert_eq!(end.sum.to_bits(), 0x7ff0_0000_0000_0002);
    assert_eq!((end.count, end.zero_count, end.schema, end.positive_spans.len()), (Some(0), Some(0), 0, 0));
}

fn measurement() -> impl Strategy<Value = f64> {
    let any = (1..f64::INFINITY.to_bits()).prop_map(f64::from_bits);
    prop_oneof![1 => Just(0.0), 4 => 1e-5..1e3, 1 => any]
}

proptest! {
    /// Scenario: any measurements, over a second to all that there is.
    /// Guarantees: what Prometheus demands: counts add up, a schema that it knows, spans that are apart and fit the deltas; and
    /// every measurement lies within the bounds of its bucket, by their definition.
    #[test]
    fn messages_are_valid_and_hold_every_measurement(all in prop::collection::vec(measurement(), 0..60)) {
        let message = message(measured(&all), false);
        let buckets = buckets(&message);
        let total: i64 = buckets.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(message.count, Some(all.len() as u64));
        prop_assert_eq!(total.cast_unsigned() + message.zero_count.unwrap(), all.len() as u64);
        prop_assert!((-4..=8).contains(&message.schema), "{:?}", message);
        prop_assert!(buckets.iter().all(|(_, count)| *count > 0));
        prop_assert!(message.positive_spans.iter().skip(1).all(|span| span.offset > 2), "{:?}", message);
        prop_assert!(message.positive_spans.iter().all(|span| span.length > 0));
        for (index, count) in buckets {
            let bound = |index: i32| (f64::from(index) / 2_f64.powi(message.schema)).exp2();
            let (lower, upper) = (bound(index - 1), bound(index));
            // A power in floating point errs a little.
            let within = |by: f64| all.iter().filter(|of| lower * (1.0 - by) < **of && **of < upper * (1.0 + by)).count();
            let counts = i64::try_from(within(-1e-9)).unwrap()..=i64::try_from(within(1e-9)).unwrap();
            prop_assert!(counts.contains(&count), "{} to {}: {} of {:?}", lower, upper, count, counts);
        }
    }

    /// Scenario: any measurements, then from the message back to exponential buckets.
    /// Guarantees: the very buckets at the message's scale.
    #[test]
    fn the_way_back_gives_the_same(all in prop::collection::vec(measurement(), 0..60)) {
        let PointValue::Histogram(Histogram { exponential: Some(exponential), .. }) = measured(&all) else { panic!() };
        let coarse = exponential.at_most(8);
        let message = message(measured(&all), false);
        let counts = coarse.counts().iter().zip(coarse.offset() + 1..);
        let expected: Vec<_> = counts.filter(|(count, _)| **count > 0).map(|(count, index)| (index, count.cast_signed())).collect();
        prop_assert_eq!((message.schema, message.zero_count), (coarse.scale(), Some(coarse.zero_count())));
        prop_assert_eq!(buckets(&message), expected);
    }
}
