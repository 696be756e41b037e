//! Batches as queues and runners see them: a number of records that can be cut anywhere.

use std::sync::Arc;

use crate::model::{EventBatch, MetricBatch};

/// Something that holds records in a fixed order.
pub trait Batch: Send + Sync + 'static {
    /// How many records it holds: events, or metric points.
    fn records(&self) -> usize;
}

impl Batch for EventBatch {
    fn records(&self) -> usize {
        self.events.len()
    }
}

impl Batch for MetricBatch {
    fn records(&self) -> usize {
        usize::try_from(self.points()).unwrap_or(usize::MAX)
    }
}

/// The records `from..to` of a batch.
#[derive(Debug)]
pub struct Slice<B> {
    /// The whole batch.
    pub batch: Arc<B>,
    /// Index of the first record.
    pub from: usize,
    /// Index after the last record.
    pub to: usize,
    /// Whether the batch is what remains of a collection: points that a later one has were taken out.
    pub pruned: bool,
}

// Not derived: that would ask `B: Clone`.
impl<B> Clone for Slice<B> {
    fn clone(&self) -> Self {
        Self { batch: Arc::clone(&self.batch), from: self.from, to: self.to, pruned: self.pruned }
    }
}

impl<B: Batch> Slice<B> {
    /// All records of a batch.
    pub fn whole(batch: Arc<B>) -> Self {
        let to = batch.records();
        Self { batch, from: 0, to, pruned: false }
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.to - self.from
    }
}

/// Number of records in all slices.
pub(crate) fn records<B: Batch>(slices: &[Slice<B>]) -> usize {
    slices.iter().map(Slice::records).sum()
}

/// Cuts slices in two parts of equal size, in order; `None` when there is only one record.
pub(crate) fn halve<B: Batch>(slices: &[Slice<B>]) -> Option<[Vec<Slice<B>>; 2]> {
    let mut room = records(slices) / 2;
    if room == 0 {
        return None;
    }
    let [mut left, mut right] = [Vec::new(), Vec::new()];
    for slice in slices {
        let middle = slice.from + slice.records().min(room);
        room -= middle - slice.from;
        if middle > slice.from {
            left.push(Slice { to: middle, ..slice.clone() });
        }
        if middle < slice.to {
            right.push(Slice { from: middle, ..slice.clone() });
        }
    }
    Some([left, right])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Numbers(usize);

    impl Batch for Numbers {
        fn records(&self) -> usize {
            self.0
        }
    }

    fn flat(slices: &[Slice<Numbers>]) -> Vec<(usize, usize)> {
        slices
            .iter()
            .flat_map(|slice| (slice.from..slice.to).map(|index| (Arc::as_ptr(&slice.batch) as usize, index)))
            .collect()
    }

    proptest! {
        /// Scenario: batches of any size are cut in two.
        /// Guarantees: no record is lost, doubled or reordered, no slice is empty, and the halves differ by one at most.
        #[test]
        fn halves_hold_every_record_once(sizes in proptest::collection::vec(1_usize..9, 1..6)) {
            let slices: Vec<_> = sizes.iter().map(|size| Slice::whole(Arc::new(Numbers(*size)))).collect();
            match halve(&slices) {
                None => prop_assert_eq!(records(&slices), 1),
                Some([left, right]) => {
                    prop_assert!(left.iter().chain(&right).all(|slice| slice.records() > 0));
                    prop_assert!(records(&right).abs_diff(records(&left)) <= 1);
                    let mut both = flat(&left);
                    both.extend(flat(&right));
                    prop_assert_eq!(both, flat(&slices));
                }
            }
        }
    }
}
