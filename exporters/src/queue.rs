//! The bounded queue in front of a lane's runner.
//!
//! Its capacity counts records, not batches, and includes what is on its way: a slow receiver cannot make a lane hold
//! more than that. Offering never waits; a batch that does not fit is dropped whole and counted `queue_full`, so the
//! oldest records, which are the hardest to get again, stay. A batch larger than the whole capacity is taken only while
//! the lane is idle.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::accounting::{DropReason, SinkStats};
use crate::batch::{Batch, Slice};

/// The side that offers.
#[derive(Debug)]
pub(crate) struct Entrance<B> {
    room: Arc<Semaphore>,
    capacity: usize,
    stats: Arc<SinkStats>,
    queue: mpsc::UnboundedSender<Queued<B>>,
}

/// The side that takes. When it goes away, what still waits is counted as dropped at shutdown.
#[derive(Debug)]
pub(crate) struct Exit<B: Batch> {
    stats: Arc<SinkStats>,
    queue: mpsc::UnboundedReceiver<Queued<B>>,
}

/// A batch with its place in the queue.
#[derive(Debug)]
pub(crate) struct Queued<B> {
    batch: Arc<B>,
    offered: Instant,
    _room: OwnedSemaphorePermit,
}

/// Makes a queue for `capacity` records.
pub(crate) fn bounded<B: Batch>(capacity: usize, stats: Arc<SinkStats>) -> (Entrance<B>, Exit<B>) {
    // Permits are acquired as u32 and the semaphore has its own limit above that.
    let capacity = capacity.clamp(1, u32::MAX as usize);
    let (sender, receiver) = mpsc::unbounded_channel();
    let entrance = Entrance {
        room: Arc::new(Semaphore::new(capacity)),
        capacity,
        stats: Arc::clone(&stats),
        queue: sender,
    };
    let exit = Exit { stats, queue: receiver };
    (entrance, exit)
}

impl<B: Batch> Entrance<B> {
    /// Queues a batch, or drops it and counts why. Never waits.
    pub(crate) fn offer(&self, batch: &Arc<B>) {
        let records = batch.records();
        if records == 0 {
            return;
        }
        self.stats.accept(records as u64);
        let places = u32::try_from(records.min(self.capacity)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(places) else {
            let reason = if self.queue.is_closed() { DropReason::Shutdown } else { DropReason::QueueFull };
            self.stats.drop_records(reason, records as u64);
            return;
        };
        let queued = Queued { batch: Arc::clone(batch), offered: Instant::now(), _room: room };
        if self.queue.send(queued).is_err() {
            self.stats.drop_records(DropReason::Shutdown, records as u64);
        }
    }

    /// Records that hold a place, waiting or on their way.
    #[cfg(test)]
    pub(crate) fn occupied(&self) -> usize {
        self.capacity - self.room.available_permits()
    }
}

impl<B: Batch> Exit<B> {
    /// The next batch; `None` once the queue is closed and empty. Nothing is lost when the future is dropped.
    pub(crate) async fn take(&mut self) -> Option<Queued<B>> {
        self.queue.recv().await
    }

    /// The next batch if one waits.
    pub(crate) fn try_take(&mut self) -> Option<Queued<B>> {
        self.queue.try_recv().ok()
    }

    /// Takes no more offers; what waits can still be taken.
    pub(crate) fn close(&mut self) {
        self.queue.close();
    }
}

impl<B: Batch> Drop for Exit<B> {
    fn drop(&mut self) {
        self.queue.close();
        while let Ok(queued) = self.queue.try_recv() {
            let records = queued.batch.records() as u64;
            self.stats.drop_records(DropReason::Shutdown, records);
        }
    }
}

/// Batches taken from the queue whose outcome is not known yet. They keep their places until the claim is dropped, and
/// whatever has no outcome by then is counted as dropped at shutdown.
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
        self.open += queued.batch.records() as u64;
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
        self.items.iter().map(|queued| Slice::whole(Arc::clone(&queued.batch))).collect()
    }

    /// So many records were acknowledged.
    pub(crate) fn sent(&mut self, records: u64) {
        self.open -= records;
        self.stats.send(records);
    }

    /// So many records are given up.
    pub(crate) fn dropped(&mut self, reason: DropReason, records: u64) {
        self.open -= records;
        self.stats.drop_records(reason, records);
    }
}

impl<B> Drop for Claim<B> {
    fn drop(&mut self) {
        if self.open > 0 {
            self.stats.drop_records(DropReason::Shutdown, self.open);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Records(usize);

    impl Batch for Records {
        fn records(&self) -> usize {
            self.0
        }
    }

    fn queue(capacity: usize) -> (Entrance<Records>, Exit<Records>, Arc<SinkStats>) {
        let stats = Arc::new(SinkStats::default());
        let (entrance, exit) = bounded(capacity, Arc::clone(&stats));
        (entrance, exit, stats)
    }

    fn take(exit: &mut Exit<Records>) -> Claim<Records> {
        let mut claim = Claim::new(Arc::clone(&exit.stats));
        if let Some(queued) = exit.try_take() {
            claim.add(queued);
        }
        claim
    }

    /// Scenario: a batch larger than the capacity meets an idle and a busy lane.
    /// Guarantees: it passes only while the lane is idle, and then nothing else fits.
    #[test]
    fn an_oversized_batch_needs_an_idle_lane() {
        let (entrance, mut exit, stats) = queue(4);
        entrance.offer(&Arc::new(Records(9)));
        entrance.offer(&Arc::new(Records(1)));
        assert_eq!(stats.snapshot().dropped_for(DropReason::QueueFull), 1);
        take(&mut exit).sent(9);
        entrance.offer(&Arc::new(Records(1)));
        entrance.offer(&Arc::new(Records(9)));
        assert_eq!(stats.snapshot().dropped_for(DropReason::QueueFull), 10);
        assert_eq!(stats.queued(), 1);
    }

    /// Scenario: offers before and after the taking side is gone.
    /// Guarantees: all of them are counted as dropped at shutdown.
    #[test]
    fn what_remains_is_counted_at_shutdown() {
        let (entrance, exit, stats) = queue(4);
        entrance.offer(&Arc::new(Records(2)));
        drop(exit);
        entrance.offer(&Arc::new(Records(3)));
        assert_eq!(stats.snapshot().dropped_for(DropReason::Shutdown), 5);
        assert_eq!(stats.queued(), 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Offer(usize),
        Take,
        Settle { sent: u64, dropped: u64 },
        Abandon,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..7).prop_map(Step::Offer),
            Just(Step::Take),
            (0_u64..7, 0_u64..7).prop_map(|(sent, dropped)| Step::Settle { sent, dropped }),
            Just(Step::Abandon),
        ]
    }

    proptest! {
        /// Scenario: any sequence of offers, takes, outcomes and abandoned claims, then the end.
        /// Guarantees: accepted == sent + queued + dropped after each step, with `queued` counted by the test itself;
        /// never more places taken than there are; nothing queued at the end.
        #[test]
        fn every_record_is_accounted_for(
            capacity in 1_usize..12,
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let (entrance, mut exit, stats) = queue(capacity);
            let mut claims: Vec<Claim<Records>> = Vec::new();
            let mut waiting = std::collections::VecDeque::new();
            for step in steps {
                match step {
                    Step::Offer(records) => {
                        let before = stats.snapshot().dropped_total();
                        entrance.offer(&Arc::new(Records(records)));
                        if records > 0 && stats.snapshot().dropped_total() == before {
                            waiting.push_back(records as u64);
                        }
                    }
                    Step::Take => {
                        let claim = take(&mut exit);
                        prop_assert_eq!(claim.open(), waiting.pop_front().unwrap_or(0));
                        claims.push(claim);
                    }
                    Step::Settle { sent, dropped } => if let Some(claim) = claims.last_mut() {
                        let sent = sent.min(claim.open());
                        claim.sent(sent);
                        let dropped = dropped.min(claim.open());
                        claim.dropped(DropReason::Rejected, dropped);
                    }
                    Step::Abandon => drop(claims.pop()),
                }
                let snapshot = stats.snapshot();
                let queued = waiting.iter().sum::<u64>() + claims.iter().map(Claim::open).sum::<u64>();
                prop_assert_eq!(snapshot.accepted, snapshot.sent + queued + snapshot.dropped_total());
                prop_assert_eq!(snapshot.queued(), queued);
                prop_assert!(entrance.occupied() <= capacity);
            }
            drop(claims);
            drop(exit);
            prop_assert_eq!(stats.queued(), 0);
            prop_assert_eq!(entrance.occupied(), 0);
        }
    }
}
