//! Histograms in exponential buckets as Prometheus's native ones.
//!
//! Both have buckets of `(base^i, base^(i+1)]` with `base = 2^(2^-scale)`; Prometheus counts them by the exponent of the upper
//! bound, so that OpenTelemetry's bucket `i` is its `i + 1`.
//!
//! Sources: <https://prometheus.io/docs/specs/native_histograms/> and "Exponential Histograms" in
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

use super::line::{Reading, STALE};
use super::wire::v2::{self, ResetHint, Span};
use crate::model::{ExponentialBuckets, Histogram, PointValue};

/// The finest schema. The coarsest is -4, which the whole range of a number fits into.
const FINEST: i32 = 8;

/// Up to so many empty buckets in a row cost less than what tells that they are left out.
const SHORT_GAP: usize = 2;

/// The message of one value; the one that ends a series has nothing but a sum, which is the marker.
pub(super) fn histogram(reading: &Reading<'_>) -> v2::Histogram {
    let base =
        v2::Histogram { timestamp: reading.at, start_timestamp: reading.start, ..v2::Histogram::default() };
    let PointValue::Histogram(Histogram { count, sum, exponential: Some(buckets), .. }) = &*reading.value
    else {
        return v2::Histogram { count: Some(0), zero_count: Some(0), sum: f64::from_bits(STALE), ..base };
    };
    let buckets = buckets.at_most(FINEST);
    let (positive_spans, positive_deltas) = spans(&buckets);
    let hint = if reading.resets { ResetHint::Yes } else { ResetHint::Unspecified };
    v2::Histogram {
        count: Some(*count),
        sum: *sum,
        schema: buckets.scale(),
        // Only what is not above zero was counted as such.
        zero_threshold: 0.0,
        zero_count: Some(buckets.zero_count()),
        positive_spans,
        positive_deltas,
        reset_hint: hint.into(),
        ..base
    }
}

/// Buckets as spans, between which long rows of empty ones are left out, with the differences between neighbours.
fn spans(buckets: &ExponentialBuckets) -> (Vec<Span>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<Span>::new(), Vec::new());
    let mut before = 0;
    // Empty buckets since the last one that was told.
    let mut gap = 0;
    for count in buckets.counts() {
        if *count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if gap <= SHORT_GAP => {
                for _ in 0..gap {
                    deltas.push(-std::mem::take(&mut before));
                }
                span.length += narrow(gap) + 1;
            }
            last => {
                let offset =
                    if last.is_some() { 0 } else { buckets.offset() + 1 } + narrow(gap).cast_signed();
                spans.push(Span { offset, length: 1 });
            }
        }
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - std::mem::replace(&mut before, count));
        gap = 0;
    }
    (spans, deltas)
}

/// There are at most 160 buckets.
fn narrow(buckets: usize) -> u32 {
    u32::try_from(buckets).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
