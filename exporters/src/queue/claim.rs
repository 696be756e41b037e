//! What a runner has taken and not yet settled.

use std::sync::Arc;

use tokio::time::Instant;

use super::Queued;
use crate::accounting::{DropReason, SinkStats};
use crate::batch::{Batch, Slice};
use crate::storage::Receipt;

/// Batches taken from the queue whose outcome is not known yet. They keep their places until the claim is dropped, and
/// whatever has no outcome by then is counted as dropped at shutdown, unless a store keeps it.
#[derive(Debug)]
pub(crate) struct Claim<B> {
    stats: Arc<SinkStats>,
    items: Vec<Queued<B>>,
    open: u64,
}

impl<B: Batch> Claim<B> {
    pub(crate) fn new(stats: Arc<SinkStats>) -> Self {
        Self { stats, items: Vec::new(), open: 0 }
    }

    /// Takes over a batch.
    pub(crate) fn add(&mut self, queued: Queued<B>) {
        self.open += queued.weight();
        self.items.push(queued);
    }

    /// Records without an outcome.
    pub(crate) fn open(&self) -> u64 {
        self.open
    }

    /// When the oldest batch was offered.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.items.first().map(|queued| queued.offered)
    }

    /// Everything claimed, in order.
    pub(crate) fn slices(&self) -> Vec<Slice<B>> {
        let slice =
            |queued: &Queued<B>| Slice { pruned: queued.pruned, ..Slice::whole(Arc::clone(&queued.batch)) };
        self.items.iter().map(slice).collect()
    }

    /// How many records have the fate of these: themselves, and those that they superseded.
    pub(crate) fn weight(&self, part: &[Slice<B>]) -> u64 {
        let plain = self.items.iter().all(|queued| queued.weights.is_empty());
        let weight = |slice: &Slice<B>| {
            let of = |queued: &&Queued<B>| Arc::ptr_eq(&queued.batch, &slice.batch);
            let queued = self.items.iter().find(of).filter(|_| !plain);
            queued.map_or(slice.records() as u64, |queued| queued.weight_of(slice.from..slice.to))
        };
        part.iter().map(weight).sum()
    }

    /// So many records were acknowledged.
    pub(crate) fn sent(&mut self, records: u64) {
        self.open -= records;
        self.stats.send(records);
    }

    /// Whether what is left without an outcome outlives the process.
    pub(crate) fn is_stored(&self) -> bool {
        self.items.iter().any(|queued| queued.receipt.is_some())
    }

    /// Whether nothing of it has an outcome yet.
    pub(crate) fn is_whole(&self) -> bool {
        self.open == self.items.iter().map(Queued::weight).sum::<u64>()
    }

    /// Everything claimed, in order, to be put back. What has an outcome already gets another one then, and counts again.
    pub(crate) fn give_back(&mut self) -> Vec<Queued<B>> {
        let all: u64 = self.items.iter().map(Queued::weight).sum();
        self.stats.accept(all - self.open);
        self.open = 0;
        std::mem::take(&mut self.items)
    }

    /// So many records are given up.
    pub(crate) fn dropped(&mut self, reason: DropReason, records: u64) {
        self.open -= records;
        self.stats.drop_records(reason, records);
    }
}

impl<B> Drop for Claim<B> {
    fn drop(&mut self) {
        let receipts = self.items.iter().filter_map(|queued| queued.receipt.as_ref());
        if self.open == 0 {
            return receipts.for_each(Receipt::settle);
        }
        // A batch of which a part is left is sent once more as a whole.
        let kept: u64 = receipts.map(Receipt::records).sum();
        self.stats.drop_records(DropReason::Shutdown, self.open.saturating_sub(kept));
    }
}
