//! How a lane takes over the store of one that ends: the keeper stays, with everything that waits, and gets another queue
//! to store from and another runner to give to. Nothing is read back or counted anew.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot, watch};

use super::store::Store;
use super::taker::Stored;
use super::{Entry, Settled};
use crate::accounting::SinkStats;
use crate::model::EventBatch;
use crate::queue::{Arrivals, Shelf};
use crate::runner::Stop;

/// What the keeper of a store shares with those who take from it. While there is one, the keeper goes on.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) shelf: Arc<Shelf<Entry>>,
    pub(super) store: Arc<Store>,
    pub(super) stats: Arc<SinkStats>,
    pub(super) settled: UnboundedSender<Settled>,
    /// To the keeper.
    pub(super) successors: UnboundedSender<Successor>,
    /// One taker at a time, in the order in which they came.
    pub(super) turns: Arc<Semaphore>,
    /// Number of the newest taker: the others take no more.
    pub(super) newest: watch::Sender<u64>,
}

/// The lane that a keeper works for from now on.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) lane: Lane,
    pub(super) hub: Arc<Hub>,
    pub(super) adopted: oneshot::Sender<()>,
}

/// What differs between lanes on one store.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) arrivals: Arrivals<EventBatch>,
    /// Stored events that are held in memory as well.
    pub(crate) memory_records: usize,
    pub(crate) max_bytes: u64,
    pub(crate) stop: Stop,
}

impl Hub {
    /// A taker; `adopted` says when it may begin.
    pub(super) fn taker(self: Arc<Self>, adopted: Option<oneshot::Receiver<()>>) -> Stored {
        let newest = self.newest.subscribe();
        let number = *newest.borrow();
        Stored { hub: self, number, newest, adopted, turn: None }
    }

    /// Goes over to another lane. Those who took from here so far take no more; what they hold is put back, or settled.
    pub(crate) fn succeed(self: Arc<Self>, lane: Lane) -> Stored {
        let (adopted, wait) = oneshot::channel();
        self.newest.send_modify(|newest| *newest += 1);
        // The keeper is there as long as this hub is.
        let _never = self.successors.send(Successor { lane, hub: Arc::clone(&self), adopted });
        self.taker(Some(wait))
    }
}
