//! The bounded queue in front of a lane's runner.
//!
//! Its capacity counts records, not batches, and includes what is on its way: a slow receiver cannot make a lane hold
//! more than that. Offering never waits; a batch that does not fit is dropped whole and counted `queue_full`, so the
//! oldest records, which are the hardest to get again, stay. A batch larger than the whole capacity is taken only while
//! the lane is idle.
//!
//! Between queue and runner a keeper may look after what waits: [`series`] takes out points that newer ones supersede,
//! [`storage`](crate::storage) lets events outlive the process.

mod claim;
pub(crate) mod series;
mod shelf;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::accounting::{DropReason, SinkStats};
use crate::batch::Batch;
use crate::storage::Receipt;
pub(crate) use claim::Claim;
pub(crate) use shelf::Shelf;

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
pub(crate) struct Arrivals<B: Batch> {
    stats: Arc<SinkStats>,
    queue: mpsc::UnboundedReceiver<Queued<B>>,
}

/// What a keeper has for the runner.
#[async_trait]
pub(crate) trait Backlog<B>: Send {
    /// The next batch if one can be had at once.
    fn try_take(&mut self) -> Option<Queued<B>>;
    /// The next batch; `None` once nothing waits and nothing will come. Nothing is lost when the future is dropped.
    async fn take(&mut self) -> Option<Queued<B>>;
    /// Lets what was taken wait again, before everything else, in this order.
    fn put_back(&mut self, taken: Vec<Queued<B>>);
}

/// Where a runner takes from.
pub(crate) enum Exit<B: Batch> {
    /// The queue itself.
    Direct(Arrivals<B>),
    /// A keeper, which closes the queue by itself when a stop is announced.
    Kept(Box<dyn Backlog<B>>),
}

/// A batch with its place in the queue.
#[derive(Debug)]
pub(crate) struct Queued<B> {
    batch: Arc<B>,
    offered: Instant,
    /// Its place, unless what waits is bounded otherwise.
    room: Option<OwnedSemaphorePermit>,
    /// How many records each of its records stands for; empty when each stands for itself.
    weights: Vec<u64>,
    /// Whether records that a later batch supersedes were taken out.
    pruned: bool,
    /// Of a stored batch, which outlives the process until its outcome is told.
    receipt: Option<Receipt>,
}

/// Makes a queue for `capacity` records.
pub(crate) fn bounded<B: Batch>(capacity: usize, stats: Arc<SinkStats>) -> (Entrance<B>, Arrivals<B>) {
    // Permits are acquired as u32 and the semaphore has its own limit above that.
    let capacity = capacity.clamp(1, u32::MAX as usize);
    let (sender, receiver) = mpsc::unbounded_channel();
    let entrance = Entrance {
        room: Arc::new(Semaphore::new(capacity)),
        capacity,
        stats: Arc::clone(&stats),
        queue: sender,
    };
    (entrance, Arrivals { stats, queue: receiver })
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
        let queued = Queued {
            batch: Arc::clone(batch),
            offered: Instant::now(),
            room: Some(room),
            weights: Vec::new(),
            pruned: false,
            receipt: None,
        };
        if self.queue.send(queued).is_err() {
            self.stats.drop_records(DropReason::Shutdown, records as u64);
        }
    }

    /// Whether a batch of so many records would be taken now.
    pub(crate) fn has_room(&self, records: usize) -> bool {
        self.room.available_permits() >= records.min(self.capacity)
    }

    /// Whether nothing holds a place.
    pub(crate) fn is_idle(&self) -> bool {
        self.has_room(self.capacity)
    }

    /// Records that hold a place, waiting or on their way.
    #[cfg(test)]
    pub(crate) fn occupied(&self) -> usize {
        self.capacity - self.room.available_permits()
    }
}

impl<B: Batch> Arrivals<B> {
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

/// The next batch of several queues, those in front first; `None`, and no queue left, once all are closed and empty. Nothing
/// is lost when the future is dropped.
pub(crate) async fn first<B: Batch>(several: &mut VecDeque<Arrivals<B>>) -> Option<Queued<B>> {
    poll_fn(|context| {
        let mut place = 0;
        while let Some(arrivals) = several.get_mut(place) {
            match arrivals.queue.poll_recv(context) {
                Poll::Ready(Some(queued)) => return Poll::Ready(Some(queued)),
                Poll::Ready(None) => drop(several.remove(place)),
                Poll::Pending => place += 1,
            }
        }
        if several.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

impl<B: Batch> Drop for Arrivals<B> {
    fn drop(&mut self) {
        self.queue.close();
        while let Ok(queued) = self.queue.try_recv() {
            let records = queued.batch.records() as u64;
            self.stats.drop_records(DropReason::Shutdown, records);
        }
    }
}

impl<B: Batch> Exit<B> {
    /// See [`Backlog::take`].
    pub(crate) async fn take(&mut self) -> Option<Queued<B>> {
        match self {
            Self::Direct(arrivals) => arrivals.take().await,
            Self::Kept(backlog) => backlog.take().await,
        }
    }

    /// See [`Backlog::try_take`].
    pub(crate) fn try_take(&mut self) -> Option<Queued<B>> {
        match self {
            Self::Direct(arrivals) => arrivals.try_take(),
            Self::Kept(backlog) => backlog.try_take(),
        }
    }

    /// See [`Backlog::put_back`]. Only what a store keeps is put back, so the queue itself need not be able to.
    pub(crate) fn put_back(&mut self, taken: Vec<Queued<B>>) {
        if let Self::Kept(backlog) = self {
            backlog.put_back(taken);
        }
    }

    /// Takes no more offers; what waits can still be taken.
    pub(crate) fn close(&mut self) {
        if let Self::Direct(arrivals) = self {
            arrivals.close();
        }
    }
}

impl<B: Batch> Queued<B> {
    /// A batch that a store keeps, unless there is no receipt.
    pub(crate) fn stored(
        batch: Arc<B>,
        offered: Instant,
        room: Option<OwnedSemaphorePermit>,
        receipt: Option<Receipt>,
    ) -> Self {
        Self { batch, offered, room, weights: Vec::new(), pruned: false, receipt }
    }

    /// The batch, when it was offered, its place and its receipt.
    pub(crate) fn into_parts(self) -> (Arc<B>, Instant, Option<OwnedSemaphorePermit>, Option<Receipt>) {
        (self.batch, self.offered, self.room, self.receipt)
    }

    /// How many accepted records it stands for.
    fn weight(&self) -> u64 {
        self.weight_of(0..self.batch.records())
    }

    fn weight_of(&self, records: Range<usize>) -> u64 {
        if self.weights.is_empty() { records.len() as u64 } else { self.weights[records].iter().sum() }
    }
}

#[cfg(test)]
mod tests;
