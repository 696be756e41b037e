//! A model's series as the series that Prometheus has of it: one of a sum, many of a histogram.

use std::borrow::Cow;
use std::sync::Arc;

use super::labels::{BOUND, NAME};
use super::plan::Key;
use crate::model::{Descriptor, Histogram, Instrument, PointValue};

/// The value that ends a series, to the bit; no arithmetic may touch it.
/// <https://prometheus.io/docs/specs/prw/remote_write_spec/#stale-markers>
pub(super) const STALE: u64 = 0x7ff0_0000_0000_0002;

/// One value of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) value: f64,
    /// Milliseconds since the Unix epoch.
    pub(super) at: i64,
    /// Where a counter or a histogram began, milliseconds since the Unix epoch; 0 where that says nothing.
    pub(super) start: i64,
}

/// A value of the model with its times, in milliseconds since the Unix epoch as in [`Sample`].
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) value: Cow<'a, PointValue>,
    pub(super) at: i64,
    pub(super) start: i64,
    /// The first of a sum that begins, perhaps anew.
    pub(super) resets: bool,
}

/// One series of Prometheus with its values, in order of time.
#[derive(Debug)]
pub(super) struct Line {
    of: Arc<Key>,
    pub(super) descriptor: &'static Descriptor,
    suffix: &'static str,
    bound: Option<String>,
    values: Values,
}

/// The values of a line.
#[derive(Debug)]
enum Values {
    /// Of a number.
    Samples(Vec<Sample>),
    /// Of a native histogram, with its classic buckets too.
    Histograms(Vec<Reading<'static>>),
}

impl Line {
    /// The lines of a series. Readings without a value end it.
    pub(super) fn all(
        of: &Arc<Key>,
        descriptor: &'static Descriptor,
        readings: &[Reading<'_>],
        lines: &mut Vec<Self>,
    ) {
        if of.native {
            let histograms =
                readings.iter().map(|of| Reading { value: Cow::Owned(of.value.clone().into_owned()), ..*of });
            let values = Values::Histograms(histograms.collect());
            lines.push(Self { of: Arc::clone(of), descriptor, suffix: "", bound: None, values });
        } else {
            Self::numbers(of, descriptor, readings, lines);
        }
    }

    /// What goes without native histograms: the same, unless it is one, which becomes the lines of a classic one.
    pub(super) fn classic(&self, write: &mut impl FnMut(&Self)) {
        match &self.values {
            Values::Samples(_) => write(self),
            Values::Histograms(readings) => {
                let mut lines = Vec::new();
                Self::numbers(&self.of, self.descriptor, readings, &mut lines);
                lines.iter().for_each(write);
            }
        }
    }

    fn numbers(
        of: &Arc<Key>,
        descriptor: &'static Descriptor,
        readings: &[Reading<'_>],
        lines: &mut Vec<Self>,
    ) {
        let mut push = |suffix, bound, value: &dyn Fn(&PointValue) -> f64| {
            let sample = |reading: &Reading<'_>| Sample {
                value: value(&reading.value),
                at: reading.at,
                start: reading.start,
            };
            let values = Values::Samples(readings.iter().map(sample).collect());
            lines.push(Self { of: Arc::clone(of), descriptor, suffix, bound, values });
        };
        let Instrument::Histogram { bounds } = descriptor.instrument else {
            return push("", None, &number);
        };
        for (index, bound) in bounds.iter().enumerate() {
            let upto = |histogram: &Histogram| -> u64 { histogram.buckets.iter().take(index + 1).sum() };
            push("_bucket", Some(bound.to_string()), &|value| of_histogram(value, |of| upto(of) as f64));
        }
        push("_bucket", Some("+Inf".to_owned()), &|value| of_histogram(value, |of| of.count as f64));
        push("_sum", None, &|value| of_histogram(value, |of| of.sum));
        push("_count", None, &|value| of_histogram(value, |of| of.count as f64));
    }

    /// The values of a number; none of a native histogram.
    pub(super) fn samples(&self) -> &[Sample] {
        match &self.values {
            Values::Samples(samples) => samples,
            Values::Histograms(_) => &[],
        }
    }

    /// The values of a native histogram; none of a number.
    pub(super) fn histograms(&self) -> &[Reading<'static>] {
        match &self.values {
            Values::Samples(_) => &[],
            Values::Histograms(readings) => readings,
        }
    }

    /// Name and value of each label, by name.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let bound = self.bound.as_deref().map(|bound| (BOUND, bound));
        let mut bound = bound.into_iter().peekable();
        let mut others =
            self.of.labels.iter().filter(|(name, _)| self.bound.is_none() || *name != BOUND).peekable();
        std::iter::from_fn(move || {
            let first = bound.next_if(|_| others.peek().is_none_or(|(name, _)| *name > BOUND));
            let (name, value) = first.or_else(|| others.next())?;
            let value = match name {
                NAME if !self.suffix.is_empty() => Cow::Owned(format!("{value}{}", self.suffix)),
                _ => Cow::Borrowed(value),
            };
            Some((name, value))
        })
    }
}

fn number(value: &PointValue) -> f64 {
    match value {
        PointValue::Sum(number) => *number as f64,
        PointValue::Histogram(_) | PointValue::NoRecordedValue => f64::from_bits(STALE),
    }
}

fn of_histogram(value: &PointValue, part: impl Fn(&Histogram) -> f64) -> f64 {
    match value {
        PointValue::Histogram(histogram) => part(histogram),
        PointValue::Sum(_) | PointValue::NoRecordedValue => f64::from_bits(STALE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::labels::Labels;
    use crate::testing::samples::{DURATION, histogram};

    /// Scenario: a histogram's value and its end, with labels on both sides of `le` and one called `le`.
    /// Guarantees: cumulative buckets, `+Inf` and count, the exact stale bits in each, `le` in its place and once.
    #[test]
    fn a_histogram_is_many_series() {
        let pairs = [("__name__", "d"), ("a", "1"), ("le", "mine"), ("z", "2")];
        let labels = Labels::new(pairs.map(|(name, value)| (name.into(), value.into())).into());
        let key = Arc::new(Key { labels, native: false });
        let readings = [histogram([1, 2, 3], 6.5), PointValue::NoRecordedValue].map(|value| Reading {
            value: Cow::Owned(value),
            at: 5,
            start: 1,
            resets: false,
        });
        let mut lines = Vec::new();
        Line::all(&key, &DURATION, &readings, &mut lines);
        let seen: Vec<_> = lines
            .iter()
            .map(|line| {
                let labels: Vec<_> = line.labels().map(|(name, value)| format!("{name}={value}")).collect();
                assert_eq!(line.samples()[1].value.to_bits(), 0x7ff0_0000_0000_0002);
                format!("{} {}", labels.join(" "), line.samples()[0].value)
            })
            .collect();
        assert_eq!(
            seen,
            [
                "__name__=d_bucket a=1 le=0.1 z=2 1",
                "__name__=d_bucket a=1 le=1 z=2 3",
                "__name__=d_bucket a=1 le=+Inf z=2 6",
                "__name__=d_sum a=1 le=mine z=2 6.5",
                "__name__=d_count a=1 le=mine z=2 6",
            ]
        );
    }
}
