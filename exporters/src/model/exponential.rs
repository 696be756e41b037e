//! Base-2 exponential buckets: a histogram whose resolution follows the range of what is measured.
//!
//! At scale `s` the base is `2^(2^-s)` and bucket `i` holds `(base^i, base^(i+1)]`. Measurements begin at the finest scale;
//! when they no longer fit into 160 buckets, neighbours are merged in pairs, which takes the scale down by one.
//! Source: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram>.

mod mapping;

use std::ops::RangeInclusive;

/// Buckets that a histogram has at most, by the specification's default.
pub const MAX_BUCKETS: usize = 160;
/// The finest scale, by the specification's default.
pub const MAX_SCALE: i32 = 20;

/// Measurements in exponential buckets. Those that are not above zero are counted apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExponentialBuckets {
    scale: i32,
    zero_count: u64,
    /// Index of the first bucket.
    offset: i32,
    counts: Vec<u64>,
}

impl Default for ExponentialBuckets {
    /// Without measurements, at the finest scale.
    fn default() -> Self {
        Self { scale: MAX_SCALE, zero_count: 0, offset: 0, counts: Vec::new() }
    }
}

impl ExponentialBuckets {
    /// How fine the buckets are: `base = 2^(2^-scale)`.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// Measurements that were not above zero.
    pub fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// Index of the bucket that the first of [`counts`](Self::counts) is of.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// Measurements per bucket, at most [`MAX_BUCKETS`], from [`offset`](Self::offset) on: the one at position `n` is of
    /// `(base^(offset+n), base^(offset+n+1)]`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All measurements, zeros included.
    pub fn count(&self) -> u64 {
        self.zero_count + self.counts.iter().sum::<u64>()
    }

    /// Adds a measurement. What convis measures is never negative; infinity counts as the largest number.
    pub fn record(&mut self, measured: f64) {
        // Not a number is not above zero either.
        if measured > 0.0 {
            let finest = mapping::index(measured.min(f64::MAX));
            self.add(MAX_SCALE, finest, 1);
        } else {
            self.zero_count += 1;
        }
    }

    /// Adds the measurements of another histogram; the scale becomes the coarser of both, or coarser still where all of them
    /// need more buckets than there may be.
    pub fn merge(&mut self, other: &Self) {
        self.zero_count += other.zero_count;
        self.coarsen(other.scale);
        for (index, count) in other.indexed() {
            self.add(other.scale, index, count);
        }
    }

    /// The same measurements at a scale of at most `scale`.
    #[must_use]
    pub fn at_most(&self, scale: i32) -> Self {
        let mut coarse = self.clone();
        coarse.coarsen(scale);
        coarse
    }

    /// What was added since `then`, an earlier state of the same histogram, without empty buckets at either end.
    #[must_use]
    pub fn since(&self, then: &Self) -> Self {
        // The scale of a histogram only ever falls.
        let mut difference = self.at_most(then.scale);
        difference.zero_count = self.zero_count.saturating_sub(then.zero_count);
        for (index, count) in then.at_most(self.scale).indexed() {
            let position = index.checked_sub(difference.offset).and_then(|at| usize::try_from(at).ok());
            if let Some(now) = position.and_then(|position| difference.counts.get_mut(position)) {
                *now = now.saturating_sub(count);
            }
        }
        difference.trim();
        difference
    }

    /// Buckets that hold something, by index.
    fn indexed(&self) -> impl Iterator<Item = (i32, u64)> {
        let counts = self.counts.iter().zip(self.offset..);
        counts.filter(|(count, _)| **count > 0).map(|(count, index)| (index, *count))
    }

    /// Adds to the bucket that has this index at this scale, which is at least as fine as the histogram's.
    fn add(&mut self, scale: i32, index: i32, count: u64) {
        let mut index = index >> (scale - self.scale);
        while width(&self.range_with(index)) > MAX_BUCKETS {
            self.coarsen(self.scale - 1);
            index >>= 1;
        }
        let range = self.range_with(index);
        if !self.counts.is_empty() {
            let added = usize::try_from(self.offset - range.start()).unwrap_or_default();
            self.counts.splice(..0, std::iter::repeat_n(0, added));
        }
        self.offset = *range.start();
        self.counts.resize(width(&range), 0);
        let position = usize::try_from(index - self.offset).unwrap_or_default();
        if let Some(bucket) = self.counts.get_mut(position) {
            *bucket += count;
        }
    }

    /// Indexes in use once `index` is.
    fn range_with(&self, index: i32) -> RangeInclusive<i32> {
        match i32::try_from(self.counts.len()) {
            Ok(length) if length > 0 => index.min(self.offset)..=index.max(self.offset + length - 1),
            _ => index..=index,
        }
    }

    /// Merges buckets until the scale is at most `scale`.
    fn coarsen(&mut self, scale: i32) {
        let by = self.scale - scale;
        if by <= 0 {
            return;
        }
        let first = self.offset >> by;
        let mut length = 0;
        for position in 0..self.counts.len() {
            let index = self.offset.saturating_add(i32::try_from(position).unwrap_or(i32::MAX)) >> by;
            let to = usize::try_from(index - first).unwrap_or_default();
            let count = std::mem::take(&mut self.counts[position]);
            self.counts[to] += count;
            length = to + 1;
        }
        self.counts.truncate(length);
        self.offset = first;
        self.scale = scale;
    }

    fn trim(&mut self) {
        let used = self.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        self.counts.truncate(used);
        let empty = self.counts.iter().take_while(|count| **count == 0).count();
        self.counts.drain(..empty);
        self.offset = if used == 0 { 0 } else { self.offset + i32::try_from(empty).unwrap_or_default() };
    }
}

fn width(range: &RangeInclusive<i32>) -> usize {
    usize::try_from(i64::from(*range.end()) - i64::from(*range.start()) + 1).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
